"""What is wrong is told in words, case by case; what time alone tells; the state of a real city in one process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from citytwin.models.diagnosis import NAMED_MAX, RULES, Limits, diagnose
from citytwin.models.frame import Frame
from citytwin.models.ops import (
    SOURCES_MAX,
    FramesState,
    HistoryState,
    LettersState,
    MemberState,
    OpsState,
    ShardState,
    SourceState,
    StoreState,
)
from citytwin.ops import CityOps, Watch, heard, standing_of
from citytwin.streams.history import Standing
from citytwin.streams.log import SqliteLog
from citytwin.streams.snapshots import Snapshot, Snapshots

ROOT = Path(__file__).resolve().parents[2]
GB = 1 << 30
STALE = SourceState(source="iot/a", watermark=1, age_s=10.0, period_s=4.0, state="stale")
UNHEARD = SourceState(source="iot/b", period_s=9.0, state="stale")


def healthy() -> OpsState:
    """A cluster in which all is well."""
    return OpsState(
        mode="cluster", now=1_000_000, k=40,
        shards=[ShardState(shard=i, owner=f"w{i % 2}", k=40, checkpoint_age_s=9.0) for i in range(4)],
        members=[
            MemberState(role="worker", id="w0", shards=[0, 2]), MemberState(role="worker", id="w1", shards=[1, 3]),
            MemberState(role="clock", id="c0"), MemberState(role="clock", id="c1", active=False),
            MemberState(role="gateway", id="g0"), MemberState(role="bridge", id="b0"),
        ],
        frames=FramesState(final=39, open=[40], missing=[3], waiting_s=0.4),
        sources=[SourceState(source="iot/a", watermark=990_000, age_s=10.0, period_s=60.0)],
        log=StoreState(bytes=GB, free_bytes=50 * GB),
        history=HistoryState(store="InfluxDB", written=9),
    )  # fmt: skip


def shard(number: int, **values: Any) -> Callable[[OpsState], None]:
    """A change of one shard."""
    return lambda s: _set(s.shards[number], values)


def member(number: int, **values: Any) -> Callable[[OpsState], None]:
    """A change of one process."""
    return lambda s: _set(s.members[number], values)


def put(part: str, **values: Any) -> Callable[[OpsState], None]:
    """A change of one part; "" the state itself."""
    return lambda s: _set(getattr(s, part) if part else s, values)


def _set(thing: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(thing, name, value)


def single(state: OpsState) -> None:
    """One process instead of a cluster."""
    state.mode, state.members = "single", [MemberState(role="city", id="me")]


def stopped(state: OpsState) -> None:
    """One process whose engine failed."""
    single(state)
    _set(state.shards[0], {"state": "missing", "owner": ""})


CASES: list[tuple[str, Callable[[OpsState], None], str, str]] = [
    ("engine_stopped", stopped, "alarm", "引擎已停止"),
    ("clock_none", member(2, active=False), "alarm", "没有主时钟"),
    ("clock_none", put("", members=[]), "alarm", "没有主时钟"),
    ("clock_two", member(3, active=True), "warn", "2 个主时钟：c0、c1"),
    ("no_shards", put("", shards=[]), "alarm", "没有任何分片"),
    ("shard_no_owner", shard(2, owner=""), "alarm", "1 个分片无人处理：2"),
    ("shard_no_owner", shard(1, state="missing"), "alarm", "分片无人处理：1"),
    ("shard_late", shard(1, lag_ms=7_000), "warn", "1 个分片滞后：1 (7 s)"),
    ("shard_late", shard(1, state="late"), "warn", "1 (0 s)"),
    ("shard_far_behind", shard(3, lag_ms=180_000, state="late"), "alarm", "严重滞后：3 (3 min)"),
    ("frames_waiting", put("frames", waiting_s=8.0), "warn", "8 s 以来只有暂定帧，缺分片 3"),
    ("frames_waiting_long", put("frames", waiting_s=130.0), "alarm", "已有 2 min 只有暂定帧"),
    ("frames_still", put("frames", still_s=20.0, missing=[]), "alarm", "已有 20 s 没有新的帧"),
    ("checkpoint_old", shard(0, checkpoint_age_s=8_000.0), "warn", "分片 0 (2 h)"),
    ("member_silent", member(4, seen_s=40.0), "warn", "g0 (40 s)"),
    ("source_stale", put("", sources=[STALE]), "warn", "iot/a (10 s)"),
    ("source_unheard", put("", sources=[UNHEARD]), "ok", "iot/b"),
    ("letters_growing", put("deadletters", recent=10, by_reason={"bad_time": 9, "x": 1}), "warn", "bad_time"),
    ("letters_flood", put("deadletters", recent=5_000, by_reason={"x": 1}), "alarm", "5000 个事件未被接收"),
    ("log_refuses", put("log", state="full"), "alarm", "日志不接受写入：full"),
    ("disk_full", put("log", free_bytes=100 << 20), "alarm", "只剩 100 MB"),
    ("disk_filling", put("log", free_bytes=GB), "warn", "剩余 1.0 GB"),
    ("history_waiting", put("history", spilled_bytes=3 << 20), "warn", "InfluxDB 写不进去，3 MB"),
    ("history_lost", put("history", dropped=99, recent=7), "alarm", "InfluxDB：一分钟内丢失 7 个历史点"),
]


@pytest.mark.parametrize(("code", "change", "level", "words"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_each_trouble_is_named_alone(code: str, change: Callable[[OpsState], None], level: str, words: str) -> None:
    state = healthy()
    change(state)
    *before, verdict = diagnose(state)
    assert [v.code for v in before] == (["ok"] if level == "ok" else [])
    assert (verdict.code, verdict.level) == (code, level)
    assert words in verdict.zh
    assert verdict.en
    assert verdict.do_zh
    assert verdict.do_en
    assert "{" not in verdict.zh + verdict.en + verdict.do_zh + verdict.do_en


def test_every_rule_has_a_case() -> None:
    assert {c[0] for c in CASES} == {r.code for r in RULES}
    assert len({r.code for r in RULES}) == len(RULES)


def test_every_verdict_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [r.code for r in RULES if f"`{r.code}`" not in text] == []


def test_all_is_well() -> None:
    (verdict,) = diagnose(healthy())
    assert (verdict.level, verdict.zh, verdict.en, verdict.do_en) == ("ok", "一切正常", "All is well", "")
    state = healthy()
    single(state)
    assert [v.code for v in diagnose(state)] == ["ok"]
    state.verdicts = diagnose(state)
    assert state.level == "ok"


@pytest.mark.parametrize(
    "change",
    [
        put("deadletters", total=9_000, recent=9),
        put("log", free_bytes=None, bytes=None),
        put("", history=None),
        put("history", dropped=99),
        put("", sources=[SourceState(source="me", watermark=1, age_s=9e6, state="stale")]),
        shard(0, checkpoint_age_s=None),
    ],
)
def test_what_is_no_trouble(change: Callable[[OpsState], None]) -> None:
    state = healthy()
    change(state)
    assert [v.code for v in diagnose(state)] == ["ok"]


def test_a_frozen_clock_is_no_clock() -> None:
    state = healthy()
    state.members[2].seen_s = 99.0
    assert [v.code for v in diagnose(state)] == ["clock_none", "member_silent"]


def test_alarms_come_first_and_many_are_counted() -> None:
    state = healthy()
    state.shards = [ShardState(shard=i) for i in range(64)] + [ShardState(shard="desk", owner="w", lag_ms=6000)]
    state.log.free_bytes = GB
    found = diagnose(state)
    assert [v.code for v in found] == ["shard_no_owner", "shard_late", "disk_filling"]
    assert found[0].zh == "64 个分片无人处理：0、1、2、3、4、5 等"
    assert f"and {64 - NAMED_MAX} more" in found[0].en
    assert len(re.findall(r"\d+[,)]", found[0].en)) <= NAMED_MAX + 1
    state.verdicts = found
    assert state.level == "alarm"
    assert [v.code for v in diagnose(state, Limits(late_ms=9000, free_bytes=1))] == ["shard_no_owner"]


# What only time tells


def test_rates_and_growth_are_of_the_last_minute() -> None:
    watch, state = Watch(), healthy()
    for second in range(200):
        state = healthy()
        state.now, state.k = second * 1000, second
        state.frames = FramesState(final=second)
        state.shards[1].events = 50 * second
        state.deadletters = LettersState(total=100, ever=100 + second)
        watch.look(state)
    assert state.shards[1].rate == pytest.approx(50)
    assert state.shards[0].rate == 0
    assert state.deadletters.recent == 60
    assert [v.code for v in state.verdicts] == ["letters_growing"]


def test_a_frame_that_waits_is_timed_and_one_of_many_is_not() -> None:
    watch = Watch()
    for second in range(100):
        state = healthy()
        state.now = second * 1000
        state.frames = FramesState(final=second, open=[second + 1], missing=[2])
        assert watch.look(state).verdicts[0].code == "ok"
    for second in range(100, 130):
        state = healthy()
        state.now = second * 1000
        state.frames = FramesState(final=99, open=[100, second], missing=[2])
        watch.look(state)
    assert (state.frames.waiting_s, state.frames.still_s) == (30.0, 30.0)
    assert [v.code for v in state.verdicts] == ["frames_waiting"]
    state.now = 0  # the clock was set back
    assert watch.look(state).deadletters.recent == 0


def test_sources_are_judged_by_their_period() -> None:
    pack = [SimpleNamespace(id=f"p{i}", period_s=60.0, types=()) for i in range(4)]
    found, more = heard({"p0": 990_000, "p1": 905_000, "p2": 880_000, "z": 1, "me": 999_000}, pack, 1_000_000)
    told = {s.source: (s.state, s.age_s, s.period_s) for s in found}
    assert told == {
        "p0": ("ok", 10.0, 60.0), "p1": ("late", 95.0, 60.0), "p2": ("stale", 120.0, 60.0),
        "p3": ("stale", None, 60.0), "me": ("ok", 1.0, None), "z": ("ok", 999.999, None),
    }  # fmt: skip
    assert more == 0
    many, more = heard({f"s{i:03}": 1 for i in range(SOURCES_MAX + 7)}, pack, 2)
    assert (len(many), more, many[0].source) == (SOURCES_MAX, 11, "p0")


def test_a_history_is_told_by_the_store_in_trouble() -> None:
    assert standing_of([], 0) is None
    good, bad = (
        SimpleNamespace(name="parquet", standing=Standing(5)),
        SimpleNamespace(name="influx", standing=Standing()),
    )
    found = standing_of([good, bad], 1.5)
    assert found == HistoryState(store="parquet + influx", written=5, lag_s=1.5)
    bad.standing = Standing(written=9, refused=1, dropped=2, errors=3, spilled=4, trouble="away")
    found = standing_of([good, bad], 0)
    assert found == HistoryState(store="influx", written=9, errors=3, spilled_bytes=4, dropped=3, error="away")


def test_a_shard_that_works_far_behind_is_late() -> None:
    state = healthy()
    state.shards[1].lag_ms, state.shards[1].rate, state.shards[2].lag_ms = 26_000, 7.5, 900
    Watch().look(state)
    assert [s.state for s in state.shards] == ["ok", "late", "ok", "ok"]
    assert state.shards[1].rate == 7.5, "what a clock knows stays"


def test_points_that_are_lost_are_told_for_a_minute() -> None:
    watch, told = Watch(), []
    for second in range(90):
        state = healthy()
        state.now, state.frames = second * 1000, FramesState(final=second)
        assert state.history is not None
        state.history.dropped = 4 if second >= 10 else 1
        watch.look(state)
        watch.sample(state.now, 0, {0: second})  # a frame, which knows nothing of the history
        told.append(state.history.recent)
    assert (told[9], told[10], told[60], told[89]) == (0, 3, 3, 0)


# One process


class Clock:
    """A clock that the test moves."""

    ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def wait(self, condition: Any, until_ms: int) -> None:
        """Nobody waits by it."""


def test_one_process_tells_of_itself(tmp_path: Path) -> None:
    clock, status = Clock(), {"live": True, "failed": "", "log": "ok"}
    city = SimpleNamespace(sources=[SimpleNamespace(id="iot/a", period_s=60.0, types=())])
    stats = SimpleNamespace(accepted=10)
    engine: Any = SimpleNamespace(now=clock.ms - 300, k=7, position=41, city=city, stats=stats)
    store = Snapshots(tmp_path / "snapshots")
    letters = {"bad_time": 3}
    with SqliteLog(tmp_path / "log.db") as log:
        ops = CityOps(
            engine, status, log, store, waiting=lambda: 5, letters=lambda: letters, went=lambda: 2, saved_k=lambda: 6,
            clock=clock,
        )  # fmt: skip
        ops.note(Frame(7, clock.ms, 41, sys={"watermarks": {"iot/a": clock.ms - 5000}, "accepted": 10}), 3)
        state = ops.state()
        assert (state.mode, state.k, state.frames.final, state.now) == ("single", 7, 7, clock.ms)
        (one,) = state.shards
        assert (one.shard, one.lag_records, one.lag_ms, one.next, one.events) == (0, 5, 300, 42, 10)
        assert (one.checkpoint_age_s, one.bytes, one.state) == (0, 0, "ok")
        assert [(s.source, s.age_s) for s in state.sources] == [("iot/a", 5.0)]
        assert (state.deadletters.total, state.deadletters.ever, state.log.state) == (3, 5, "ok")
        assert state.log.free_bytes
        assert ops.state() is state, "asked again at once, nothing is found out anew"
        assert "checkpoint_old" not in [v.code for v in state.verdicts]

        path = store.save(Snapshot(41, {}, {}))
        clock.ms = round(path.stat().st_mtime * 1000) + 20_000
        stats.accepted, engine.k, engine.now = 30, 8, clock.ms
        for _ in range(2):  # frames tell of the pace, so that one question is enough
            ops.note(Frame(8, clock.ms, 42, sys={"accepted": 10}), 3)
            clock.ms += 1_000
        letters["missing"] = 8
        state = ops.state()
        assert (state.shards[0].rate, state.deadletters.recent) == (10.0, 8)
        assert state.shards[0].checkpoint_age_s == pytest.approx(22, abs=0.01)
        assert (state.shards[0].bytes, state.shards[0].checkpoint_k) == (path.stat().st_size, 6)

        status["log"] = "full"
        clock.ms += 30_000
        codes = [v.code for v in ops.state().verdicts]
        assert codes[:2] == ["frames_still", "log_refuses"]
        assert ops.state().shards[0].state == "late"
        status["failed"] = "a bug"
        clock.ms += 1_000
        failed = ops.state()
        assert (failed.shards[0].owner, failed.shards[0].state, failed.log.state) == ("", "missing", "failed")
        assert failed.verdicts[0].code == "engine_stopped"


def test_a_snapshot_of_before_the_stop_is_not_too_old(tmp_path: Path) -> None:
    store, clock = Snapshots(tmp_path / "s"), Clock()
    written = store.save(Snapshot(1, {}, {})).stat().st_mtime
    clock.ms = round(written * 1000) + 86_400_000
    status = {"live": True, "failed": "", "log": "ok"}
    engine: Any = SimpleNamespace(now=clock.ms, k=1, position=1, city=None, stats=SimpleNamespace(accepted=1))
    with SqliteLog(tmp_path / "log.db") as log:
        ops = CityOps(engine, status, log, store, clock=clock)
        assert ops.state().shards[0].checkpoint_age_s == 0
        clock.ms = engine.now = clock.ms + 1_000_000
        assert "checkpoint_old" in [v.code for v in ops.state().verdicts]


def test_history_that_is_brought_in_is_not_behind(tmp_path: Path) -> None:
    clock, status = Clock(), {"live": False, "failed": "", "log": "ok"}
    engine: Any = SimpleNamespace(now=5_000, k=1, position=1, city=None, stats=SimpleNamespace(accepted=1))
    with SqliteLog(tmp_path / "log.db") as log:
        ops = CityOps(engine, status, log, Snapshots(tmp_path / "s"), clock=clock)
        state = ops.state()
    assert (state.now, state.shards[0].lag_ms, state.shards[0].state) == (5_000, 0, "ok")
