"""The desk under kill -9: many open cases, fifty commands in flight; in one process and over Kafka alike.

Whoever gave a command gives it again under the same key until there is an answer. Then each was done once, in a state
that allowed it, whatever was killed between; and what was answered before the kill is there without being said again.
"""

from __future__ import annotations

import http.client
import json
import random
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from citytwin.models.desk.event import AUTO
from tests.cluster.driver import EAST, GRIDS, Driver, OneProcess, OnKafka, Process, event, send, wait_for
from tests.conftest import proving
from tests.servers.kafka import Kafka
from tests.servers.process import until

CASES = 1_000 if proving() else 100
ROUNDS = 8 if proving() else 1
FLIGHT = 50
SEED = int(datetime.now(UTC).strftime("%Y%m%d"))
HOUR = 3_600_000
#: A case's way from filed to handled; each move is legal once, so that a second one would be refused and seen.
WAY = ("case.dispatched", "case.received", "case.enroute", "case.arrived", "case.handled")


def now() -> int:
    """The time now (ms UTC)."""
    return time.time_ns() // 1_000_000


@dataclass
class Desk:
    """What people do at a city, and what they were told of it."""

    driver: Driver
    url: str
    #: By case: how many of its moves were answered, and how many were given.
    answered: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)

    def ask(self, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON; status 0 where nobody answered."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, {"content-type": "application/json"})
        try:  # whoever answers may be killed in the midst of it, also of a refusal
            try:
                with urllib.request.urlopen(request, timeout=40) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read() or b"{}")
        except (OSError, ValueError, http.client.HTTPException):
            return 0, {}

    def open(self, count: int) -> None:
        """So many cases that are filed, by a system beside."""
        grids, at = list(GRIDS.values()), now() - HOUR
        events = []
        for n in range(count):
            code, grid = f"K-{n}", grids[n % len(grids)]
            told: dict[str, Any] = {
                "category": "flood.waterlog",
                "channel": "12345",
                "level": 1 + n % 4,
                "gridid": grid,
            }
            events.append(event("case.reported", f"{code}-r", at + n, code, **told))
            events.append(event("case.accepted", f"{code}-a", at + n + 1, code))
            events.append(event("case.filed", f"{code}-f", at + n + 2, code, due_at=datetime.fromtimestamp(
                (at + 8 * HOUR) / 1000, UTC).isoformat()))  # fmt: skip
        for i in range(0, len(events), 900):
            status, answer = send(self.driver, events[i : i + 900])
            assert status == 200, answer
        wait_for(self.driver, "case_backlog", count, seconds=60)

    def move(self, code: str, step: int) -> tuple[int, dict[str, Any]]:
        """Give a case its next move under the key that it always has."""
        fields = {"unit": f"U{code}"}
        return self.ask("/commands", {"op": WAY[step], "subject": code, "idem": f"{code}-{step}-key", "fields": fields})

    def work(self, codes: list[str], stop: threading.Event) -> None:
        """One dispatcher: case after case one step on, until told to stop."""
        while not stop.is_set():
            for code in codes:
                step = self.answered[code]
                if step == len(WAY) or stop.is_set():
                    continue
                self.given[code] = step + 1
                status, answer = self.move(code, step)
                if status == 200:
                    self.answered[code] = step + 1
                elif status not in (0, 503):
                    self.odd.append(f"{code} step {step}: {status} {answer}")
                    return
            stop.wait(0.01)

    def again(self, code: str) -> None:
        """Give what was given and not answered again, and what was answered too: that one came before."""
        for step in range(self.given[code]):
            answers: list[Any] = []

            def there(step: int = step, answers: list[Any] = answers) -> bool:
                answers[:] = self.move(code, step)
                return answers[0] not in (0, 503)

            until(there, 60, f"an answer to step {step} of {code}")
            assert answers[0] == 200, f"{code} step {step}: {answers}"
            assert answers[1]["duplicate"] or step >= self.answered[code], f"{code} step {step} was lost"
            self.answered[code] = max(self.answered[code], step + 1)

    def check(self, code: str) -> int:
        """Each move is there once, in order, and nothing else came twice; how often the desk spoke by itself."""
        status, case = self.ask(f"/cases/{code}")
        assert status == 200, case
        ids = [line["id"] for line in case["timeline"]]
        assert len(set(ids)) == len(ids), f"{code}: {Counter(ids).most_common(3)}"
        moves = [line["type"] for line in case["timeline"] if line["type"] in WAY]
        assert moves == list(WAY[: self.answered[code]]), code
        assert [line for line in case["timeline"] if line["legal"] is False] == []
        return sum(line["actor"] == AUTO for line in case["timeline"])


@pytest.fixture(params=["one process", "cluster"])
def desk(request: pytest.FixtureRequest, kafka: Kafka, tmp_path: Path) -> Iterator[Desk]:
    speaking = {"desk": {"automatic": True}}
    driver: OneProcess | OnKafka
    if request.param == "cluster":
        driver = OnKafka(tmp_path, kafka.plain, f"t{secrets.token_hex(4)}", workers=2, more=speaking)
        driver.create()
    else:
        driver = OneProcess(tmp_path, more=speaking)
    try:
        driver.start()
        yield Desk(driver, driver.city.url)
    finally:
        driver.close()


def victims(driver: Driver, chance: random.Random) -> list[Process]:
    """What is killed this time."""
    if isinstance(driver, OneProcess):
        return [driver.run]
    assert isinstance(driver, OnKafka)
    some = [driver.members, [driver.gateway], driver.workers, [driver.gateway, driver.clock]]
    return chance.choice(some) if ROUNDS > 1 else driver.members


def test_killed_in_the_midst(desk: Desk, figure: Callable[[str, float, str], None]) -> None:
    chance = random.Random(SEED)
    desk.open(CASES)
    codes = [f"K-{n}" for n in range(CASES)]
    longest = 0.0
    for _ in range(ROUNDS):
        stop = threading.Event()
        busy = chance.sample(codes, FLIGHT * 2)
        before = sum(desk.answered.values())
        with ThreadPoolExecutor(FLIGHT) as pool:
            working = [pool.submit(desk.work, busy[i::FLIGHT], stop) for i in range(FLIGHT)]
            until(lambda: sum(desk.answered.values()) > before + FLIGHT, 60, "commands are answered")  # noqa: B023
            dying = victims(desk.driver, chance)
            for member in dying:
                member.kill()
            stop.set()
            for each in working:
                each.result(90)
        assert not desk.odd, desk.odd[:3]
        began = time.monotonic()
        for member in dying:
            member.launch()
        until(lambda: all(m.answers() for m in dying), 120, "all serve again")  # noqa: B023
        for code in busy:
            desk.again(code)
        longest = max(longest, time.monotonic() - began)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(desk.check, busy))
    until(lambda: desk.check(chance.choice(codes)) > 0, 60, "the desk reminds of cases whose time is half gone")
    said = sum(map(desk.check, codes))
    figure(f"desk of {desk.driver.name}: reminders among it, each once", said, "events")
    figure(f"desk of {desk.driver.name}: commands done once under kill -9", sum(desk.answered.values()), "commands")
    figure(f"desk of {desk.driver.name}: from a kill to all answers, longest", longest, "s")
    wait_for(desk.driver, "case_backlog", CASES, seconds=60)
    page = desk.ask(f"/cases?open=true&limit=1000&scope={EAST}")[1]
    assert len(page["items"]) == sum(GRIDS[g].startswith(EAST) for g in list(GRIDS)) * CASES // len(GRIDS)
