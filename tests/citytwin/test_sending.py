"""A simulated city over HTTP: nothing left out where the door is busy, full or away; it goes on where it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from citytwin.cli import cli
from citytwin.clock import ManualClock
from citytwin.feeder import Stopped
from citytwin.living import Options, State, live, remember, remembered
from citytwin.models.events import VOCABULARY
from citytwin.sending import NotTaken, Sender, step_by_step
from citytwin.streams.codec import Codec
from citytwin.streams.simulator import Simulator
from tests.streams.towns import small_city

START = 1_754_000_000_000


class Door:
    """A door on a free port that decodes what comes; `answers` are given first, in order (0: the line is cut)."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.ids: list[str] = []
        self.calls: list[int] = []
        self.tokens: set[str | None] = set()
        self.codec = Codec(VOCABULARY(), b"k")
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                door.take(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, call: BaseHTTPRequestHandler) -> None:
        """Answer one call."""
        body = call.rfile.read(int(call.headers["Content-Length"]))
        self.tokens.add(call.headers.get("Authorization"))
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            call.close_connection = True
            return
        decoded = self.codec.decode(body, call.headers["Content-Type"])
        assert not decoded.rejections
        if status == 200:
            found = [i for b in decoded.batches for i in b.id.tolist()]
            self.calls.append(len(found))
            new = set(found) - set(self.ids)
            self.ids += found
            said: Any = {"accepted": len(new), "duplicates": len(found) - len(new), "rejected": [], "position": 1}
        else:
            said = {"detail": f"because {status}"}
        raw = json.dumps(said).encode()
        call.send_response(status)
        call.send_header("Content-Length", str(len(raw)))
        call.end_headers()
        call.wfile.write(raw)


@pytest.fixture
def door() -> Iterator[Door]:
    """A door that is closed afterwards."""
    made = Door()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries."""
    monkeypatch.setattr("citytwin.sending._FIRST_S", 0.001)
    monkeypatch.setattr("citytwin.sending._LONGEST_S", 0.002)


def test_all_is_sent_in_bounded_calls(door: Door) -> None:
    sim = Simulator(small_city(), 7, START, story=False)
    batches = [b for minute in range(1, 30) for b in sim.step(START + minute * 60_000)]
    sender = Sender(door.url, VOCABULARY(), token="t0ken")
    sender.put(batches)
    assert sorted(door.ids) == sorted(i for b in batches for i in b.id.tolist())
    assert max(door.calls) <= 5_000
    assert len(door.calls) < len(batches), "several types go together"
    assert (sender.totals.events, sender.totals.accepted) == (len(door.ids), len(set(door.ids)))
    assert door.tokens == {"Bearer t0ken"}


@pytest.mark.usefixtures("impatient")
def test_a_door_that_is_busy_or_away_is_tried_again(door: Door) -> None:
    door.answers = [429, 503, 0, 502, 200]
    said: list[str] = []
    sender = Sender(door.url, VOCABULARY(), say=said.append)
    sender.put(Simulator(small_city(), 7, START, story=False).step(START + 60_000)[:1])
    assert sender.retries == 4
    assert len(door.calls) == 1
    assert "because 429; trying again" in said[0]
    assert "takes events again" in said[-1]


def test_a_door_that_never_takes_it_is_told(door: Door) -> None:
    door.answers = [401]
    with pytest.raises(NotTaken, match="because 401"):
        Sender(door.url, VOCABULARY()).put(Simulator(small_city(), 7, START, story=False).step(START + 60_000)[:1])
    with pytest.raises(NotTaken, match="is no address"):
        Sender("example.org", VOCABULARY())


def test_it_stops_while_it_waits(door: Door) -> None:
    door.answers = [429] * 9
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Sender(door.url, VOCABULARY(), stop=stop).put(
            Simulator(small_city(), 7, START, story=False).step(START + 60_000)[:1]
        )


class Steps(threading.Event):
    """Moves the clock by a second each time it is waited for, and is set after so many."""

    def __init__(self, clock: ManualClock, steps: int) -> None:
        super().__init__()
        self.clock, self.left = clock, steps

    def wait(self, timeout: float | None = None) -> bool:
        """Another second."""
        self.left -= 1
        self.clock.set(self.clock.now_ms() + 1000)
        return self.left < 0


def run(door: Door, clock: ManualClock, file: Path, steps: int) -> None:
    """So many seconds of a city's life."""
    sender = Sender(door.url, VOCABULARY())
    live(
        small_city(), sender, Options(), file=file, clock=clock, stop=Steps(clock, steps), say=lambda _: None
    )  # fmt: skip


def test_it_goes_on_where_it_was(door: Door, tmp_path: Path) -> None:
    clock, file = ManualClock(START), tmp_path / "state.json"
    run(door, clock, file, 120)
    first = remembered(file)
    assert first is not None
    assert (first.anchor_ms, first.told_ms) == (START, START + 120_000)
    count = len(door.ids)
    clock.set(START + 600_000)
    run(door, clock, file, 5)
    second = remembered(file)
    assert second is not None
    assert (second.anchor_ms, second.told_ms) == (START, START + 605_000)
    assert len(door.ids) > count, "what happened meanwhile is told"
    assert count == len(set(door.ids[:count]))


def test_a_state_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert remembered(file) is remembered(None) is None
    file.write_text("{")
    assert remembered(file) is None
    remember(file, State(1, 2.0, 3, 4))
    assert remembered(file) == State(1, 2.0, 3, 4)


def test_steps_are_never_long() -> None:
    assert list(step_by_step(5, 5)) == []
    assert list(step_by_step(150_000, 0)) == [60_000, 120_000, 150_000]


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    said = CliRunner().invoke(cli, ["simulate", "--to", "http://127.0.0.1:1", "--token-file", str(tmp_path / "token")])
    assert said.exit_code != 0
    assert "is empty" in said.output
