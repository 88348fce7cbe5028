"""A small city for tests of the way out: a board that is fed by frames, and a client that follows the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from citytwin.dashboards.ports import Page, Past, Refused, Series, Taken
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.api import Spec, count, indicator
from citytwin.indicators.told import EventTold, Explanation, Fact, Feed, Heard, Reach, Term
from citytwin.models.columns import Int32
from citytwin.models.events import VOCABULARY
from citytwin.models.frame import Delta, Quality, Values


@indicator(
    "calls", theme="gov", window="sliding 1h/1m", unit="1", better="down", levels="city district street",
    decimals=0, name={"zh": "来电", "en": "Calls"}, bands={"yellow": 50, "red": 80},
)  # fmt: skip
def calls(n: Any = count("call")) -> Any:
    """Number of calls."""
    return n


@indicator(
    "pressure", theme="water", unit="MPa", better="up", levels="city district street", decimals=2,
    name={"zh": "水压", "en": "Pressure"}, bands={"yellow": 0.2, "red": 0.14},
)  # fmt: skip
def pressure(n: Any = count("obs")) -> Any:
    """A pressure."""
    return n


def small_tree() -> ScopeTree:
    """A city of 3 districts with 2 streets each."""
    tree = ScopeTree()
    tree.add("C", "城", -1, name_en="City")
    for d in range(3):
        row = tree.add(f"D{d}", f"区{d}", 0, name_en=f"District {d}")
        for s in range(2):
            tree.add(f"D{d}S{s}", f"街{d}{s}", row, name_en=f"Street {d} {s}")
    return tree


def values(rows: Sequence[int], value: Sequence[float], quality: int = Quality.GOOD) -> Values:
    """Values with nothing special about them."""
    n = len(rows)
    return Values(
        np.array(rows, np.int32), np.array(value, np.float64), np.full(n, quality, np.uint8), np.zeros(n, np.int32),
        np.full(n, 2, np.int32), np.zeros(n, np.bool_), np.full(n, np.nan),
    )  # fmt: skip


class FakeBoard:
    """A board whose state is set by the test."""

    def __init__(self) -> None:
        self.now, self.position = 1_000_000, 1
        self.scopes = small_tree()
        n = len(self.scopes)
        self.values: dict[str, Values] = {
            "calls": values(range(n), [10.0 * i for i in range(n)]),
            "pressure": values(range(n), [0.3] * n),
        }
        self.devices = Delta(
            np.array([5, 6, 7], np.int32),
            {
                "code": ["V5", "V6", "V7"], "name": ["车5", "车6", "车7"], "name_en": ["Bus 5", "", ""],
                "lon": [114.1, 114.2, 114.3], "lat": [30.1, 30.2, 30.3], "scope": [2, 3, 5], "speed": [1.0, 2.0, None],
            },
        )  # fmt: skip
        self.on_desk: dict[str, list[Mapping[str, Any]]] = {}
        self.open_cases: list[Mapping[str, Any]] = [{"code": "K1", "scope": 2, "open": True, "state": "opened"}]

    types = VOCABULARY().types

    def specs(self) -> Sequence[Spec]:
        return [calls, pressure]

    def current(self, indicator: str) -> Values:
        return self.values[indicator]

    def kinds(self) -> Sequence[str]:
        return ["device"]

    def entities(self, kind: str, rows: Int32 | None = None) -> Delta:
        assert kind == "device"
        if rows is None:
            return self.devices
        at = [self.devices.rows.tolist().index(r) for r in rows.tolist()]
        return Delta(rows, {n: [c[i] for i in at] for n, c in self.devices.columns.items()})

    def cases(self) -> Sequence[Mapping[str, Any]]:
        return self.open_cases

    def desk(self, part: str) -> Sequence[Mapping[str, Any]]:
        return self.on_desk.get(part, ())

    def ticker(self) -> Sequence[Mapping[str, Any]]:
        return [{"t": 999, "scope": 0, "text": "first"}]


class Follower:
    """A client's view of one subscription, built from nothing but the messages of the wire."""

    def __init__(self) -> None:
        self.epoch, self.seq, self.live = "", -1, False
        self.cells: dict[tuple[str, int], tuple[Any, ...]] = {}
        self.scopes: dict[int, str] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.names: dict[int, str] = {}
        self.facts: dict[str, Any] = {}
        self.entries: list[int] = []
        self.snaps = 0
        self.since = 0

    def hear(self, m: Mapping[str, Any]) -> None:
        """Take one message in."""
        kind = m["type"]
        if kind == "snap":
            self._snap(m)
        elif kind == "live":
            self.seq, self.epoch, self.live = m["seq"], m["epoch"], True
            if not m.get("resumed"):
                self.since, self.entries = m["seq"], []
        elif kind in ("delta", "log"):
            assert self.live
            assert m["prev"] == self.seq, f"gap: {m['prev']} after {self.seq}"
            self.seq = m["seq"]
            self._payload(m)

    def _snap(self, m: Mapping[str, Any]) -> None:
        if m["part"] == 1:
            self.snaps += 1
            if m.get("mode") != "diff":
                self.cells, self.scopes, self.rows, self.facts, self.live = {}, {}, {}, {}, False
            for k in m.get("drop", ()):
                self.rows.pop(k, None)
                self.cells = {c: v for c, v in self.cells.items() if c[1] != k}
            self.cells = {c: v for c, v in self.cells.items() if c[0] not in m.get("drop_ids", ())}
        self._payload(m)

    def _payload(self, m: Mapping[str, Any]) -> None:
        scopes = m.get("scopes", {"k": [], "code": []})
        self.scopes.update(zip(scopes["k"], scopes["code"], strict=True))
        for name, c in (m.get("values") or {}).items():
            band = {k: b for b, ks in c.get("b", {}).items() for k in ks}
            quality = {k: q for q, f in c.get("q", {}).items() for k in _keys(f, c["k"])}
            for i, k in enumerate(c["k"]):
                self.cells[name, k] = (c["v"][i], quality.get(k, "good"), band.get(k, ""))
        twin = m.get("twin")
        if twin:
            names = twin.get("names", {"k": [], "code": []})
            self.names.update(zip(names["k"], names["code"], strict=True))
            for i, k in enumerate(twin["k"]):
                self.rows[k] = {n: column[i] for n, column in twin["columns"].items()} | {"code": self.names[k]}
            for k in twin.get("gone", ()):
                self.rows.pop(k, None)
        self.facts.update(m.get("sys") or {})
        if m["type"] == "log":
            self.entries += [i["seq"] for i in m["items"]]


def _keys(flags: Any, all: list[int]) -> list[int]:
    if isinstance(flags, bool):
        return all if flags else []
    return [f[0] if isinstance(f, list) else f for f in flags]


class FakeReads:
    """Reads of the small city."""

    def about(self) -> Mapping[str, Any]:
        title = {"zh": "小城", "en": "Small"}
        return {
            "name": "small",
            "title": title,
            "timezone": "Asia/Shanghai",
            "edition": "1",
            "bbox": [114, 30, 115, 31],
        }

    def page(self, kind: str, scope: int | None, bbox: Any, limit: int, after: str) -> Page | None:
        if kind != "device":
            return None
        items: list[dict[str, Any]] = [
            {"code": f"V{i}", "name": f"车{i}", "scope": i} for i in range(5) if f"V{i}" > after
        ]
        return Page(items[:limit], items[limit - 1]["code"] if len(items) > limit else "")

    def entity(self, kind: str, code: str) -> Mapping[str, Any] | None:
        readings = [{"property": "speed", "value": 3.0, "unit": "m/s", "time": 1, "quality": "good"}]
        return {"kind": kind, "code": code, "readings": readings} if code == "V/1" else None

    def cases(
        self, scope: int | None, open: bool | None, limit: int, after: str, states: frozenset[str] = frozenset()
    ) -> Page:
        return Page([{"code": "K1", "open": open is not False}])

    def find(self, text: str, limit: int) -> Sequence[Mapping[str, Any]]:
        return [{"kind": "device", "code": "V5", "name": "车5", "name_en": "Bus 5", "scope": 2, "extra": 1}]

    def series(self, indicator: str, scope: int, start: int, stop: int, step: int) -> Series:
        return Series(np.array([start, start + 1000]), np.array([1.5, np.nan]))

    def explain(
        self, indicator: str, scope: int, at: int | None, parameter: str, after: str, limit: int
    ) -> tuple[Past, Explanation]:
        if after and after != "WzFd":
            raise ValueError("after is what the page before it gave as next")
        if at is not None and at < 1000:
            raise Refused(404, "before_data", "Not Found", "there is data from 1970-01-01T00:00:01Z on")
        reach = Reach("sliding 1h/1m", 0, 3_600_000)
        term = Term("n", "count", "call", "count(call, window=sliding 1h/1m)", 51.0, reach, 51, 0, True)
        event = EventTold("call.offered", "c1", "s", 5, 0, "", "D1", None, None, {"wait_s": 2.5}, {"n": 1.0})
        fact = Fact("device", "V5", "D1", {"in_service": True}, {})
        told = Explanation(
            indicator, scope, at or 1_000_000, 51.0, 51.0, None, None, "partial", 1, 2, reach, (term,), (),
            (Feed("call", "", 1, 1, 2, (Heard("s", 5), Heard("t", None))),), 1, 51, (fact,), (event,), "WzFd", True, "",
            "",
        )  # fmt: skip
        return Past(told.now, 3, at is not None), told

    def as_of(self, indicator: str, at: int) -> tuple[Past, Values]:
        if at == 2000:
            raise Refused(503, "past_replaying", "Service Unavailable", "the log is replayed: 37 % done; ask again", 2)
        return Past(at - 1, 3), values([0, 1, 4], [5.0, float("nan"), 81.0])

    def layers(self) -> Sequence[str]:
        return ["district"]

    def layer(self, name: str) -> bytes | None:
        return b'{"type":"FeatureCollection","features":[]}' if name == "district" else None

    def deadletters(self) -> Mapping[str, Any]:
        return {"total": 2, "by_reason": {"bad_time": 2}, "by_source": {"s": 2}, "newest": []}


class FakeIngest:
    """A door that takes JSON lists; "full" and "bad" are refused."""

    content_types: Sequence[str] = ("application/cloudevents-batch+json", "application/cloudevents+json")
    max_bytes = 10_000

    def submit(self, body: bytes, content_type: str) -> Future[Taken]:
        if body == b"full":
            raise Refused(503, "log_full", "The log is full", "the disk has no room; come again", 5)
        future: Future[Taken] = Future()
        rejected = [{"index": 1, "reason": "bad_time", "field": "time", "detail": "no offset"}]
        alone = "batch" not in content_type and body == b"bad"
        future.set_result(Taken(0 if alone else 1, 0, 7, rejected if b"bad" in body else ()))
        return future


class FakeHealth:
    """Always well."""

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        return True, {"lag_ms": 0}

    def metrics(self) -> bytes:
        return b"own_metric 1.0\n"


class FakeWorkshop:
    """One indicator that was edited once."""

    def state(self) -> Sequence[Mapping[str, Any]]:
        return [{"id": "calls", "origin": "builtin", "version": "1a", "cost_us": 3.5, "bytes": 10, "note": "fine"}]

    def files(self) -> Sequence[Mapping[str, Any]]:
        return [{"file": "calls.py", "problems": ("no name in zh",), "status": "refused"}]

    def edits(self) -> Sequence[Mapping[str, Any]]:
        return [{"file": "calls.py", "at": 5, "before": {"calls": (1.0, None)}}]
