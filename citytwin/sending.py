"""Batches to the HTTP door of a city or a bridge: in order, again and again until they are taken."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import numpy as np

from citytwin.feeder import Stopped, Totals
from citytwin.models.batch import EventBatch
from citytwin.models.vocabulary import Kind, Vocabulary
from citytwin.streams.arrow import encode_arrow

_ARROW = "application/vnd.apache.arrow.stream"
#: Events of one call; a door takes 10,000 and 16 MiB.
_CALL = 5_000
_FIRST_S, _LONGEST_S = 0.25, 5.0
_TIMEOUT_S = 60.0
#: Answers after which the same call may well be taken later.
_AGAIN = {408, 429, 500, 502, 503, 504}


class NotTaken(RuntimeError):
    """The door will never take this; the text says why and what to do."""


class Sender:
    """Posts batches as Arrow to POST /ingest, one call at a time; where the door is busy, full or away, it waits."""

    def __init__(
        self, url: str, vocabulary: Vocabulary, *, token: str = "", stop: threading.Event | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Raises NotTaken where `url` is no address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise NotTaken(f"{url!r} is no address; write it as http://127.0.0.1:8080")
        self.url, self.vocabulary, self.say = url, vocabulary, say
        self.stop, self.totals, self.retries = stop or threading.Event(), Totals(), 0
        self._path = parts.path.rstrip("/") or "/ingest"
        self._make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc = parts.netloc
        self._line: http.client.HTTPConnection | None = None
        self._headers = {"Content-Type": _ARROW, **({"Authorization": f"Bearer {token}"} if token else {})}
        self._groups = _groups(vocabulary)

    def put(self, batches: Iterable[EventBatch]) -> None:
        """Send batches, returns when all are taken. Raises Stopped, NotTaken."""
        for call in self.calls(batches):
            self._post(encode_arrow(call, self.vocabulary), sum(map(len, call)))

    def calls(self, batches: Iterable[EventBatch]) -> Iterator[list[EventBatch]]:
        """Batches as they go into one call: at most 5,000 events, no two fields of one name and different kinds."""
        call: list[EventBatch] = []
        held = group = 0
        for batch in itertools.chain.from_iterable(map(_cut, batches)):
            found = self._groups[batch.type]
            if call and (held + len(batch) > _CALL or found != group):
                yield call
                call, held = [], 0
            call.append(batch)
            held, group = held + len(batch), found
        if call:
            yield call

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _post(self, body: bytes, events: int) -> None:
        wait, told = _FIRST_S, ""
        while True:
            status, answer, after = self._once(body)
            if status == 200:
                if told:
                    self.say(f"{self.url} takes events again")
                self._count(events, answer)
                return
            why = _why(answer, status)
            if status not in _AGAIN and status:
                raise NotTaken(f"{self.url} refuses the events: {why} ({status})")
            if why != told:
                self.say(f"{self.url} takes no events now: {why}; trying again")
                told = why
            self.retries += 1
            if self.stop.wait(max(wait, after)):
                raise Stopped
            wait = min(wait * 2, _LONGEST_S)

    def _once(self, body: bytes) -> tuple[int, bytes, float]:
        """Status, body and Retry-After of one try; status 0: nobody answered."""
        if self._line is None:
            self._line = self._make(self._netloc, timeout=_TIMEOUT_S)
        try:
            self._line.request("POST", self._path, body, self._headers)
            answer = self._line.getresponse()
            after = answer.getheader("Retry-After") or "0"
            return answer.status, answer.read(), min(float(after) if after.isdigit() else 0.0, _LONGEST_S)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            return 0, (str(error) or type(error).__name__).encode(), 0.0

    def _count(self, events: int, answer: bytes) -> None:
        try:
            said = json.loads(answer)
            refused = [str(r["reason"]) for r in said["rejected"]]
            self.totals.accepted += int(said["accepted"])
            self.totals.duplicates += int(said["duplicates"])
        except (ValueError, KeyError, TypeError) as error:
            raise NotTaken(f"{self.url} is no door of CityTwin: its answer cannot be read ({error})") from error
        self.totals.events += events
        for reason in refused:
            self.totals.reject(reason)


def _cut(batch: EventBatch) -> Iterator[EventBatch]:
    if len(batch) <= _CALL:
        if len(batch):
            yield batch
        return
    for start in range(0, len(batch), _CALL):
        yield batch.take(np.arange(start, min(start + _CALL, len(batch))))


def _groups(vocabulary: Vocabulary) -> dict[str, int]:
    """A number for each type: those with the same number have no field of one name and different kinds."""
    seen: list[dict[str, Kind]] = []
    found: dict[str, int] = {}
    for name, event in vocabulary.types.items():
        kinds = {f.name: f.kind for f in event.fields}
        at = next((i for i, g in enumerate(seen) if all(g.get(n, k) == k for n, k in kinds.items())), len(seen))
        if at == len(seen):
            seen.append({})
        seen[at] |= kinds
        found[name] = at
    return found


def _why(answer: bytes, status: int) -> str:
    if not status:
        return answer.decode("utf-8", "replace")
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace") or "no reason was given"


def step_by_step(now_ms: int, at_ms: int, longest_ms: int = 60_000) -> Sequence[int]:
    """Times to go through from `at_ms` to `now_ms`, at most `longest_ms` apart; so that what waits is never much."""
    return [*range(at_ms + longest_ms, now_ms, longest_ms), now_ms] if now_ms > at_ms else []
