"""A history of every type of event, and all values of two cities beside each other, tick by tick."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from citytwin.client import City, Row, Rows
from citytwin.models.events import VOCABULARY
from citytwin.models.shards import DESK_FAMILIES
from citytwin.models.vocabulary import EventType, Field, Kind
from tests.cluster.driver import CITY, DEVICES, GRIDS, Event, event

#: Types that are tested on their own, whose numbers are known there, and what a city says of itself.
_LEFT_OUT = ("citycode.use", "call.", "case.", "platform.", "indicator.", "ws.", "bench.")
_KINDS_LEFT_OUT = ("waterlog.depth", "bin.fill")


def history(now_ms: int, seed: int = 5) -> Iterator[Event]:
    """Events of nearly every type but the desk's within a day, some twice, corrected or retracted; all are taken."""
    rng = random.Random(seed)
    words = VOCABULARY()
    properties = [p for p in words.properties.values() if p.name not in _KINDS_LEFT_OUT]
    for name, kind in sorted(words.types.items()):
        if name.startswith(_LEFT_OUT) or kind.register is not None or (kind.family or name) in DESK_FAMILIES:
            continue
        for n in range(80 if name == "obs" else 8):
            data = {f.name: _value(f, now_ms, rng) for f in kind.fields if f.required or rng.random() < 0.7}
            if name == "obs":
                found = properties[n % len(properties)]
                data = {"property": found.name, "value": rng.randint(int(found.lo), int(min(found.hi, found.lo + 90)))}
            yield from _told(rng, kind, f"wide-{name}-{n}", now_ms - rng.randint(60_000, 20 * 3_600_000), data)


def _told(rng: random.Random, kind: EventType, id: str, at: int, data: dict[str, Any]) -> Iterator[Event]:
    subject = rng.choice(list(DEVICES) if kind.name in ("obs", "device.status") else ["S1", "S2", "420101001001S3"])
    place = {} if rng.random() < 0.2 else {"gridid": rng.choice(list(GRIDS.values()))}
    first = event(kind.name, id, at, subject, source=f"wide/{rng.randint(1, 3)}", **place, **data)
    yield first
    chance = rng.random()
    if chance < 0.15:
        yield first
    elif chance < 0.3:
        yield first | {"id": f"{id}-1", "corrects": id, "revision": 1, "gridid": rng.choice(list(GRIDS.values()))}
    elif chance < 0.4:
        yield first | {"id": f"{id}-1", "corrects": id, "revision": 1, "retracted": True}


def _value(field: Field, now_ms: int, rng: random.Random) -> Any:
    if field.kind is Kind.CODE:
        return rng.choice(field.choices or ("a", "b"))
    if field.kind is Kind.TIME:
        return datetime.fromtimestamp((now_ms + rng.randint(-7_200_000, 7_200_000)) // 1000, UTC).isoformat()
    if field.kind is Kind.FLAG:
        return rng.random() < 0.5
    if field.kind in (Kind.TEXT, Kind.SECRET):
        return f"t{rng.randint(1, 4)}"
    low = int(field.lo or 0)
    return rng.randint(low, int(min(field.hi if field.hi is not None else low + 90, low + 90)))


class Watcher:
    """Follows all values of a city by WebSocket; remembers what was said at which tick."""

    def __init__(self, url: str) -> None:
        self.at = 0
        self._told: list[Rows] = []
        self._city = City(url)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ends.set()

    def _follow(self) -> None:
        for rows in self._city.watch(scope=CITY, depth=4, max_hz=5):
            self._told.append(rows)
            self.at = max(self.at, rows.at)
            if self._ends.is_set():
                return

    def state(self, at: int) -> dict[tuple[str, str], Row]:
        """Values as of a tick: by indicator and code of the scope."""
        return {(r.indicator, r.code): r for rows in list(self._told) if rows.at <= at for r in rows.rows}


def differences(one: Watcher, other: Watcher, at: int) -> list[str]:
    """Values that are not the same as of a tick; that there is no data may be said or not."""
    a, b = ({k: r for k, r in w.state(at).items() if r.quality != "nodata"} for w in (one, other))
    assert a
    return [f"{k}: {a.get(k)} and {b.get(k)}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
