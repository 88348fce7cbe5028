"""A small city for tests of the way out: a board that is fed by frames, and a client that follows the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.api import Spec, count, indicator
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
        self.open_cases: list[Mapping[str, Any]] = [{"code": "K1", "scope": 2, "open": True, "state": "opened"}]

    def specs(self) -> Sequence[Spec]:
        return [calls, pressure]

    def current(self, indicator: str) -> Values:
        return self.values[indicator]

    def kinds(self) -> Sequence[str]:
        return ["device"]

    def entities(self, kind: str) -> Delta:
        assert kind == "device"
        return self.devices

    def cases(self) -> Sequence[Mapping[str, Any]]:
        return self.open_cases

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
            for i, k in enumerate(c["k"]):
                q = next((n for n, f in c.get("q", {}).items() if f is True or (f and _has(f, k))), "good")
                band = next((b for b, ks in c.get("b", {}).items() if k in ks), "")
                self.cells[name, k] = (c["v"][i], q, band)
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


def _has(flags: Any, key: int) -> bool:
    return any(f == key or (isinstance(f, list) and f[0] == key) for f in flags)
