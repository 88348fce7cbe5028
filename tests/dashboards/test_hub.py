"""The hub: whatever is published, lost, slow or resumed, a client ends with the newest state and every log entry."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from citytwin.dashboards.hub import Hub, Limits
from citytwin.dashboards.protocol import ClientMessage, Close, Filter, Hello, Resub, Resume, Sub, Unsub
from citytwin.models.frame import Delta, Frame, Quality
from tests.dashboards.fakes import FakeBoard, Follower, values

FILTERS = [
    Filter(), Filter(scope="C", level="street"), Filter(scope="D1", depth=1), Filter(depth=4, ids=["calls"]),
]  # fmt: skip
BOXES = [Filter(), Filter(bbox=(114.0, 30.0, 114.25, 30.25)), Filter(scope="D0"), Filter(ids=["V5", "V7"])]
LOGS = [Filter(), Filter(scope="D1")]


def read(text: str | None) -> list[dict[str, Any]]:
    return [] if text is None else msgspec.json.decode(text)


def drain(hub: Hub, key: int, at: float) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    while text := hub.take(key, at):
        out += read(text)
    return out


def make() -> tuple[Hub, FakeBoard]:
    board = FakeBoard()
    hub = Hub(board, "e1")
    hub.open("device")
    hub.seed("device", board.entities("device"))
    hub.join(1)
    return hub, board


def test_welcome_snapshot_live_delta() -> None:
    hub, _ = make()
    hub.handle(1, Hello(0), 0)
    hub.handle(1, Sub(7, "ind", Filter(level="district")), 0)
    said = drain(hub, 1, 0)
    assert [m["type"] for m in said] == ["welcome", "snap", "snap", "live"]
    assert said[1]["scopes"]["code"] == ["D0", "D1", "D2"]
    assert said[2]["values"]["calls"] == {"k": [1, 4, 7], "v": [10.0, 40.0, 70.0], "b": {"yellow": [7]}}
    hub.publish(Frame(2, 1_001_000, 2, {"calls": values([4, 5], [90.0, np.nan])}), 1000)
    (delta,) = drain(hub, 1, 1000)
    assert delta["values"] == {"calls": {"k": [4], "v": [90.0], "b": {"red": [4]}}}
    assert (delta["prev"], delta["seq"], delta["t"], delta["position"]) == (1, 2, 1_001_000, 2)


def test_nan_is_nodata_and_never_zero() -> None:
    hub, _ = make()
    hub.handle(1, Sub(1, "ind", Filter(ids=["calls"])), 0)
    drain(hub, 1, 0)
    hub.publish(Frame(2, 1, 2, {"calls": values([0], [np.nan])}), 1)
    (delta,) = drain(hub, 1, 1000)
    assert delta["values"]["calls"] == {"k": [0], "v": [None], "q": {"nodata": True}}


def test_partial_says_how_many() -> None:
    hub, _ = make()
    hub.handle(1, Sub(1, "ind", Filter(ids=["calls"], depth=4)), 0)
    drain(hub, 1, 0)
    partial = values([0, 1], [1.0, 2.0], Quality.PARTIAL)
    partial.fresh[:] = 1
    partial.quality[1] = Quality.STALE
    hub.publish(Frame(2, 1, 2, {"calls": partial}), 1)
    (delta,) = drain(hub, 1, 1000)
    assert delta["values"]["calls"]["q"] == {"partial": [[0, 1, 2]], "stale": [1]}


def test_rate_is_kept_and_encoding_shared() -> None:
    hub, _ = make()
    for key in range(2, 52):
        hub.join(key)
        hub.handle(key, Sub(key, "ind", Filter(depth=4), max_hz=2), 0)
        drain(hub, key, 0)
    before = hub.counts["encoded"]
    for i in range(10):
        hub.publish(Frame(i, i, i, {"calls": values([0], [float(i)])}), 100 * i)
        got = [drain(hub, key, 100 * i) for key in range(2, 52)]
        assert bool(got[0]) == (i % 5 == 0)
        assert all(len(g) == len(got[0]) for g in got)
    assert hub.counts["encoded"] - before == 2


def test_a_new_scope_comes_with_its_name() -> None:
    hub, board = make()
    hub.handle(1, Sub(1, "ind", Filter(scope="D1", depth=1)), 0)
    drain(hub, 1, 0)
    row = board.scopes.add("D1S9", "新街", board.scopes.row("D1"))
    hub.publish(Frame(2, 2, 2, {"calls": values([row], [3.0])}), 1)
    (delta,) = drain(hub, 1, 1000)
    assert delta["scopes"]["code"] == ["D1S9"]
    assert delta["values"]["calls"]["k"] == [row]


def test_large_changes_come_in_parts() -> None:
    board = FakeBoard()
    for i in range(12_000):
        board.scopes.add(f"D0X{i}", "街" * 10, 1)
    n = len(board.scopes)
    hub = Hub(board, "e")
    hub.join(1)
    follow = Follower()
    hub.handle(1, Sub(1, "ind", Filter(depth=4)), 0)
    first = hub.take(1, 0)
    assert first is not None
    texts = [first]
    while text := hub.take(1, 0):
        texts.append(text)
    assert max(map(len, texts)) < 3 * 256 * 1024
    hub.publish(Frame(2, 2, 2, {"calls": values(range(n), list(np.random.default_rng(1).random(n)))}), 1)
    while text := hub.take(1, 1000):
        texts.append(text)
    said = [m for t in texts for m in read(t)]
    assert all(len(msgspec.json.encode(m)) <= 256 * 1024 for m in said)
    for m in said:
        follow.hear(m)
    assert len(follow.scopes) == n
    assert len([c for c in follow.cells if c[0] == "calls"]) == n
    assert said[-1]["type"] == "live"


def test_requests_that_cannot_be_met_are_told_why() -> None:
    hub, _ = make()
    bad: list[tuple[ClientMessage, str]] = [
        (Sub(1, "nothing"), "unknown_channel"), (Sub(1, "ind", Filter(scope="X")), "unknown_scope"),
        (Sub(1, "ind", Filter(ids=["nope"])), "unknown_indicator"), (Sub(1, "sys", Filter(depth=1)), "bad_filter"),
        (Sub(1, "ind", Filter(depth=1, level="grid")), "bad_filter"), (Unsub(9), "unknown_id"),
        (Sub(1, "twin/device", Filter(bbox=(2, 0, 1, 1))), "bad_filter"),
    ]  # fmt: skip
    for message, reason in bad:
        assert hub.handle(1, message, 0) is None
        (said,) = drain(hub, 1, 0)
        assert (said["type"], said["reason"]) == ("error", reason)
        assert len(said["detail"]) > 10
    assert not hub.selections
    hub.handle(1, Sub(1, "sys"), 0)
    assert hub.handle(1, Sub(1, "sys"), 0) is Close.DUPLICATE_ID


def test_too_many_are_refused() -> None:
    board = FakeBoard()
    hub = Hub(board, "e", limits=Limits(subs=2, outbox=3))
    hub.join(1)
    for i in range(3):
        hub.handle(1, Sub(i, "sys"), 0)
    assert [m["reason"] for m in drain(hub, 1, 0) if m["type"] == "error"] == ["too_many"]
    codes = [hub.handle(1, Unsub(99), 0) for _ in range(5)]
    assert codes == [None, None, None, Close.TOO_MANY, Close.TOO_MANY]


def test_a_slow_reader_of_a_log_is_told_to_resume() -> None:
    hub, _ = make()
    hub.handle(1, Sub(1, "ticker"), 0)
    follow = Follower()
    for m in drain(hub, 1, 0):
        follow.hear(m)
    for i in range(3):
        hub.publish(Frame(i, i, i, ticker=({"t": i, "scope": 0},)), 1000 * i)
    assert hub.slow(4000) == []
    assert hub.slow(5300) == [1]
    hub.leave(1)
    hub.join(2)
    hub.handle(2, Sub(5, "ticker", resume=Resume("e1", follow.seq)), 6000)
    for m in drain(hub, 2, 6000):
        follow.hear(m)
    assert follow.entries == [2, 3, 4]


def test_a_flood_closes_by_bytes_and_stays_bounded() -> None:
    hub, _ = make()
    hub.handle(1, Sub(1, "ticker"), 0)
    hub.handle(1, Sub(2, "ind", Filter(depth=4)), 0)
    drain(hub, 1, 0)
    text = "x" * 2000
    for i in range(300):
        entries = tuple({"t": i, "scope": 0, "text": text} for _ in range(50))
        hub.publish(Frame(i, i, i, {"calls": values([0], [float(i)])}, ticker=entries), 10 * i)
    assert hub.slow(3000) == [1]
    assert hub.held(1) == 0
    assert hub.rings["ticker"].total - hub.rings["ticker"].entries[hub.rings["ticker"].start].before <= 16 << 20
    assert hub.handle(1, Sub(3, "ticker", resume=Resume("e1", 2)), 3000) is None
    said = [m for m in drain(hub, 1, 3000) if m.get("id") == 3]
    assert said[0]["reason"] == "expired"


def test_new_definitions_are_told() -> None:
    hub, board = make()
    hub.handle(1, Sub(1, "ind", Filter(level="district", ids=["calls"])), 0)
    hub.handle(1, Sub(2, "sys"), 0)
    before = next(m for m in drain(hub, 1, 0) if m.get("sys"))["sys"]["definitions"]
    changed = [dataclasses.replace(s, bands={"red": 5}) for s in board.specs()]
    hub.adopt(changed, {"calls": values([1], [10.0])})
    said = {m["channel"]: m for m in drain(hub, 1, 1000)}
    assert said["ind"]["values"]["calls"]["b"] == {"red": [1]}
    assert said["sys"]["sys"]["definitions"] == hub.definitions != before


def test_a_log_gives_every_entry_once_and_in_order() -> None:
    hub, _ = make()
    hub.handle(1, Sub(1, "ticker", max_hz=20), 0)
    view = Follower()
    for i in range(60):
        for m in drain(hub, 1, 100 * i):
            view.hear(m)
        hub.publish(Frame(i, i, i, ticker=({"t": i, "scope": i % 10},) * (i % 3)), 100 * i)
    for m in drain(hub, 1, 7000):
        view.hear(m)
    assert view.entries == list(range(2, 2 + sum(i % 3 for i in range(60))))


def test_another_filter_brings_what_changed_since() -> None:
    hub, _ = make()
    view = Follower()
    hub.handle(1, Sub(1, "ind", Filter(level="district", ids=["calls"])), 0)
    for m in drain(hub, 1, 0):
        view.hear(m)
    hub.publish(Frame(2, 2, 2, {"calls": values([1], [77.0])}), 1)
    hub.handle(1, Resub(1, Filter(depth=4, ids=["calls"])), 2)
    said = drain(hub, 1, 2)
    for m in said:
        view.hear(m)
    assert {m.get("mode") for m in said if m["type"] == "snap"} == {"diff"}
    assert {k: v[0] for (_, k), v in view.cells.items()} == {k: 77.0 if k == 1 else 10.0 * k for k in range(10)}


class Wire(RuleBasedStateMachine):
    """Publish, flush, cut, resume and change filters in any order; compare with a model that is a plain dictionary."""

    @initialize()
    def begin(self) -> None:
        self.hub, self.board = make()
        self.hub.leave(1)
        self.at, self.k, self.next = 0.0, 1, 10
        self.model = {(i, int(r)): float(v) for i, t in self.board.values.items() for r, v in zip(t.rows, t.value)}  # noqa: B905
        self.rows = {
            int(r): {n: c[i] for n, c in self.board.devices.columns.items()}
            for i, r in enumerate(self.board.devices.rows)
        }
        self.ticks = [0]
        self.clients: dict[int, dict[int, tuple[Sub, Follower]]] = {}
        self.lost: list[dict[int, tuple[Sub, Follower]]] = []

    @rule(
        data=st.lists(
            st.tuples(st.sampled_from(["calls", "pressure"]), st.integers(0, 9), st.integers(0, 99)), max_size=4
        ),
        moves=st.lists(st.tuples(st.integers(5, 9), st.integers(0, 6), st.booleans()), max_size=3),
        entries=st.lists(st.integers(-1, 9), max_size=3),
        step=st.integers(1, 700),
    )
    def publish(
        self, data: list[tuple[str, int, int]], moves: list[tuple[int, int, bool]], entries: list[int], step: int
    ) -> None:
        self.k += 1
        self.at += step
        fresh: dict[str, dict[int, float]] = {}
        for name, row, value in data:
            fresh.setdefault(name, {})[row] = float(value)
            self.model[name, row] = float(value)
        deltas = {n: values(list(v), list(v.values())) for n, v in fresh.items()}
        rows = {row: (x, gone) for row, x, gone in moves}
        self.rows |= {r: self._device(r, x) for r, (x, gone) in rows.items() if not gone}
        self.rows = {r: d for r, d in self.rows.items() if not (r in rows and rows[r][1])}
        told = [self._device(r, x) | {"gone": gone} for r, (x, gone) in rows.items()]
        columns = {n: [d[n] for d in told] for n in told[0]} if told else {}
        twin = {"device": Delta(np.array(list(rows), np.int32), columns)} if told else {}
        self.ticks += entries
        ticker = tuple({"t": self.k, "scope": None if e < 0 else e} for e in entries)
        self.hub.publish(Frame(self.k, self.k, self.k, deltas, twin, ticker=ticker, sys={"k": self.k // 3}), self.at)

    def _device(self, row: int, x: int) -> dict[str, Any]:
        place = {"lon": 114.0 + x / 10, "lat": 30.0 + x / 10, "scope": x}
        return {"code": f"V{row}", "name": f"车{row}", "name_en": "", **place, "speed": float(x)}

    @rule(which=st.integers(0, 3), log=st.integers(0, 1), hz=st.sampled_from([1, 5, 20]))
    def connect(self, which: int, log: int, hz: float) -> None:
        if len(self.clients) >= 3:
            return
        subs = [
            Sub(1, "ind", FILTERS[which], hz), Sub(2, "twin/device", BOXES[which], hz),
            Sub(3, "ticker", LOGS[log], hz), Sub(4, "sys", max_hz=hz),
        ]  # fmt: skip
        self._join({s.id: (s, Follower()) for s in subs})

    def _join(self, subs: dict[int, tuple[Sub, Follower]]) -> None:
        self.next += 1
        self.hub.join(self.next)
        for sub, view in subs.values():
            resume = Resume(view.epoch, view.seq) if view.live else None
            ask = Sub(sub.id, sub.channel, sub.filter, sub.max_hz, resume)
            assert self.hub.handle(self.next, ask, self.at) is None
        self.clients[self.next] = subs

    @rule(pick=st.integers(0, 2), frames=st.integers(1, 3), wait=st.integers(0, 1200))
    def take(self, pick: int, frames: int, wait: int) -> None:
        self.at += wait
        for key in list(self.clients)[pick : pick + 1]:
            for _ in range(frames):
                self._hear(key, self.hub.take(key, self.at))

    def _hear(self, key: int, text: str | None) -> None:
        for m in read(text):
            self.clients[key][m["id"]][1].hear(m)

    @rule(pick=st.integers(0, 2))
    def cut(self, pick: int) -> None:
        for key in list(self.clients)[pick : pick + 1]:
            self.hub.take(key, self.at)  # lost on the way
            self.hub.leave(key)
            self.lost.append(self.clients.pop(key))

    @rule()
    def resume(self) -> None:
        if self.lost and len(self.clients) < 3:
            self._join(self.lost.pop(0))

    @rule(pick=st.integers(0, 2), which=st.integers(0, 3))
    def refilter(self, pick: int, which: int) -> None:
        for key in list(self.clients)[pick : pick + 1]:
            for id, filters in ((1, FILTERS), (2, BOXES)):
                sub, view = self.clients[key][id]
                if view.live:
                    self.hub.handle(key, Resub(id, filters[which]), self.at)
                    view.live = True
                    self.clients[key][id] = (Sub(id, sub.channel, filters[which], sub.max_hz), view)
                    self._hear(key, self.hub.take(key, self.at))

    @invariant()
    def no_client_has_a_queue(self) -> None:
        for key in getattr(self, "clients", {}):
            assert self.hub.held(key) < 20_000

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        for subs in self.lost:
            self._join(subs)
        for key, subs in self.clients.items():
            for _ in range(3):
                self.at += 1001
                for m in drain(self.hub, key, self.at):
                    subs[m["id"]][1].hear(m)
            self._compare(subs)

    def _compare(self, subs: dict[int, tuple[Sub, Follower]]) -> None:
        keep = [None, range(10), [4, 5, 6], range(10)][FILTERS.index(subs[1][0].filter)] or [0]
        level = {r: int(v) for r, v in enumerate(self.board.scopes.level)}
        if subs[1][0].filter == FILTERS[1]:
            keep = [r for r in keep if level[r] == 2]
        ids = subs[1][0].filter.ids or ["calls", "pressure"]
        want = {(i, r): v for (i, r), v in self.model.items() if i in ids and r in keep}
        assert {c: v[0] for c, v in subs[1][1].cells.items()} == want
        box = BOXES.index(subs[2][0].filter)
        rows = {
            r: {"code": d["code"], "lon": d["lon"], "lat": d["lat"], "scope": d["scope"], "speed": d["speed"]}
            for r, d in self.rows.items()
            if [True, d["lon"] <= 114.25 and d["lat"] <= 30.25, d["scope"] in (1, 2, 3), d["code"] in ("V5", "V7")][box]
        }
        assert subs[2][1].rows == rows
        view, log = subs[3][1], subs[3][0].filter
        wanted = [i + 1 for i, s in enumerate(self.ticks) if log == LOGS[0] or s in (4, 5, 6)]
        assert view.entries == [w for w in wanted if w > view.since]
        assert subs[4][1].facts.get("k", 0) == (self.k // 3 if self.k > 1 else 0)


Wire.TestCase.settings = settings(
    max_examples=2000 if os.environ.get("CITYTWIN_TEST_PROVE") == "1" else 60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestWire = Wire.TestCase


def test_who_comes_from_a_server_that_was_further_waits_and_misses_nothing() -> None:
    hub = Hub(FakeBoard(), "e1", told={"case": 0, "ticker": 4})
    hub.join(1)
    hub.handle(1, Sub(1, "ticker", resume=Resume("e1", 6)), 0)
    assert [m["type"] for m in drain(hub, 1, 0)] == ["live"]
    for i in range(4):
        hub.publish(Frame(i, i, 100 + i, ticker=({"t": i, "scope": 0, "text": str(i)},)), 1000 * i)
    (log,) = drain(hub, 1, 9000)
    assert [(item["seq"], item["text"]) for item in log["items"]] == [(7, "2"), (8, "3")]
