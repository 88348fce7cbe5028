"""What is wrong with the running system, in plain words: a table of rules over the state, each with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from citytwin.models.ops import MemberState, OpsState, ShardState, Verdict

#: A sentence names at most so many things; the others are counted.
NAMED_MAX = 6
_SOURCE_NAMES = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is wrong; seconds, ms, bytes and counts as the names say.

    `checkpoint_s`: three times the pace at which checkpoints are made. `letters_*`: new dead letters in a minute.
    """

    member_s: float = 15.0
    late_ms: int = 5_000
    far_ms: int = 60_000
    provisional_s: float = 5.0
    provisional_alarm_s: float = 60.0
    still_s: float = 15.0
    checkpoint_s: float = 900.0
    letters: int = 10
    letters_alarm: int = 1_000
    free_bytes: int = 2 << 30
    free_alarm_bytes: int = 256 << 20


class Found(NamedTuple):
    """What a rule found: words for {0}, {1} of its texts, in Chinese and in English."""

    zh: tuple[str, ...] = ()
    en: tuple[str, ...] = ()


Look = Callable[[OpsState, Limits], Found | None]


class Rule(NamedTuple):
    """A thing that can be wrong, or with the level `ok` one that is good to know."""

    level: Literal["ok", "warn", "alarm"]
    code: str
    look: Look
    zh: str
    en: str
    do_zh: str
    do_en: str


def diagnose(state: OpsState, limits: Limits | None = None) -> list[Verdict]:
    """Everything that is wrong, alarms first, or that nothing is; then what is good to know."""
    bounds = limits or Limits()
    found = [(rule, what) for rule in RULES if (what := rule.look(state, bounds)) is not None]
    out = [
        Verdict(
            level=r.level,
            code=r.code,
            zh=r.zh.format(*w.zh),
            en=r.en.format(*w.en),
            do_zh=r.do_zh.format(*w.zh),
            do_en=r.do_en.format(*w.en),
        )
        for r, w in found
    ]
    if all(v.level == "ok" for v in out):
        out.insert(0, Verdict(level="ok", code="ok", zh="一切正常", en="All is well"))
    return sorted(out, key=lambda v: ("alarm", "warn", "ok").index(v.level))


def named(things: Iterable[object], most: int = NAMED_MAX) -> Found:
    """The first few by name and how many more there are; how many in all."""
    names = [str(t) for t in things]
    shown, rest = names[:most], len(names) - most
    zh = "、".join(shown) + (" 等" if rest > 0 else "")
    en = ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
    return Found((zh, str(len(names))), (en, str(len(names))))


def _named_or_none(things: Sequence[object], most: int = NAMED_MAX) -> Found | None:
    return named(things, most) if things else None


def _span(seconds: float) -> str:
    """`41 s`, `12 min`, `3 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _same(*words: str) -> Found:
    return Found(words, words)


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 1 << 30 else f"{size / 2**20:.0f} MB"


# Rules, by what they look at.


def _clocks(state: OpsState, limits: Limits) -> list[MemberState]:
    return [m for m in state.members if m.role == "clock" and m.active and m.seen_s <= limits.member_s]


def _no_clock(state: OpsState, limits: Limits) -> Found | None:
    return Found() if state.mode == "cluster" and not _clocks(state, limits) else None


def _two_clocks(state: OpsState, limits: Limits) -> Found | None:
    clocks = _clocks(state, limits)
    return named(m.id for m in clocks) if len(clocks) > 1 else None


def _no_shards(state: OpsState, _: Limits) -> Found | None:
    return None if state.shards else Found()


def _engine_stopped(state: OpsState, _: Limits) -> Found | None:
    return Found() if state.mode == "single" and any(s.state == "missing" for s in state.shards) else None


def _ownerless(shard: ShardState) -> bool:
    return shard.state == "missing" or not shard.owner


def _no_owner(state: OpsState, _: Limits) -> Found | None:
    return _named_or_none([s.shard for s in state.shards if state.mode == "cluster" and _ownerless(s)])


def _lags(state: OpsState, which: Callable[[ShardState], bool]) -> Found | None:
    found = sorted((s for s in state.shards if not _ownerless(s) and which(s)), key=lambda s: -s.lag_ms)
    return _named_or_none([f"{s.shard} ({_span(s.lag_ms / 1000)})" for s in found])


def _late(state: OpsState, limits: Limits) -> Found | None:
    return _lags(state, lambda s: s.lag_ms < limits.far_ms and (s.lag_ms >= limits.late_ms or s.state == "late"))


def _far_behind(state: OpsState, limits: Limits) -> Found | None:
    return _lags(state, lambda s: s.lag_ms >= limits.far_ms)


def _provisional(state: OpsState, limits: Limits) -> Found | None:
    waits = state.frames.waiting_s
    return _waiting(state) if limits.provisional_s < waits <= limits.provisional_alarm_s else None


def _provisional_long(state: OpsState, limits: Limits) -> Found | None:
    return _waiting(state) if state.frames.waiting_s > limits.provisional_alarm_s else None


def _waiting(state: OpsState) -> Found:
    missing, waits = named(state.frames.missing), _span(state.frames.waiting_s)
    zh, en = missing.zh[0] or "未知", missing.en[0] or "unknown"
    return Found((waits, zh, str(len(state.frames.open))), (waits, en, str(len(state.frames.open))))


def _no_frames(state: OpsState, limits: Limits) -> Found | None:
    still = state.frames.still_s
    # Where parts are waited for, that is told already.
    return _same(_span(still)) if still > limits.still_s and not state.frames.missing else None


def _old_checkpoint(state: OpsState, limits: Limits) -> Found | None:
    old = [(s.checkpoint_age_s, s.shard) for s in state.shards if (s.checkpoint_age_s or 0) > limits.checkpoint_s]
    return _named_or_none([f"{shard} ({_span(age or 0)})" for age, shard in sorted(old, key=lambda o: -(o[0] or 0))])


def _silent_member(state: OpsState, limits: Limits) -> Found | None:
    return _named_or_none([f"{m.id} ({_span(m.seen_s)})" for m in state.members if m.seen_s > limits.member_s])


def _stale_source(state: OpsState, _: Limits) -> Found | None:
    # One that nobody declared may have been a single call: it is shown, but nobody is to be called for it.
    stale = [s for s in state.sources if s.state == "stale" and s.watermark is not None and s.period_s is not None]
    stale.sort(key=lambda s: -(s.age_s or 0))
    return _named_or_none([f"{s.source} ({_span(s.age_s or 0)})" for s in stale], _SOURCE_NAMES)


def _unheard_source(state: OpsState, _: Limits) -> Found | None:
    return _named_or_none([s.source for s in state.sources if s.watermark is None], _SOURCE_NAMES)


def _letters(state: OpsState, limits: Limits) -> Found | None:
    recent = state.deadletters.recent
    return _growing(state) if limits.letters <= recent < limits.letters_alarm else None


def _letters_flood(state: OpsState, limits: Limits) -> Found | None:
    return _growing(state) if state.deadletters.recent >= limits.letters_alarm else None


def _growing(state: OpsState) -> Found:
    reasons = state.deadletters.by_reason
    worst = max(reasons, key=lambda r: reasons[r], default="?")
    return _same(str(state.deadletters.recent), str(state.deadletters.total), worst)


def _log_refuses(state: OpsState, _: Limits) -> Found | None:
    return _same(state.log.state) if state.log.state != "ok" else None


def _disk_full(state: OpsState, limits: Limits) -> Found | None:
    free = state.log.free_bytes
    return _same(_size(free)) if free is not None and free < limits.free_alarm_bytes else None


def _disk_filling(state: OpsState, limits: Limits) -> Found | None:
    free = state.log.free_bytes
    known = free is not None and limits.free_alarm_bytes <= free < limits.free_bytes
    return _same(_size(free or 0)) if known else None


def _history_waits(state: OpsState, _: Limits) -> Found | None:
    found = state.history
    return _same(found.store, _size(found.spilled_bytes)) if found and found.spilled_bytes else None


def _history_lost(state: OpsState, _: Limits) -> Found | None:
    found = state.history
    return _same(found.store, str(found.recent)) if found and found.recent else None


#: In the order in which they are told, within a level.
RULES: tuple[Rule, ...] = (
    Rule(
        "alarm", "engine_stopped", _engine_stopped,
        "引擎已停止",
        "The engine has stopped",
        "先看服务日志，再运行 citytwin doctor，然后重启",
        "read the log of the service, run `citytwin doctor`, start it again",
    ),
    Rule(
        "alarm", "clock_none", _no_clock,
        "没有主时钟：不再产生新的帧",
        "No clock is active: no new frames are made",
        "启动 citytwin clock；若已在运行，看它的日志",
        "start `citytwin clock`; if one runs, read its log",
    ),
    Rule(
        "alarm", "no_shards", _no_shards,
        "没有任何分片报告过状态",
        "No shard has ever told of itself",
        "运行 citytwin topics list 核对主题，再启动 citytwin worker",
        "check the topics with `citytwin topics list`, then start `citytwin worker`",
    ),
    Rule(
        "alarm", "shard_no_owner", _no_owner,
        "{1} 个分片无人处理：{0}",
        "Shards without a worker ({1}): {0}",
        "启动一个 citytwin worker；若刚停了一个，等 10 s 让其他进程接手",
        "start a `citytwin worker`; if one was just stopped, wait 10 s for others to take over",
    ),
    Rule(
        "alarm", "shard_far_behind", _far_behind,
        "{1} 个分片严重滞后：{0}",
        "Shards far behind ({1}): {0}",
        "增加 citytwin worker，或查看处理进程的 CPU 和磁盘",
        "add a `citytwin worker`, or look at CPU and disk of the one that owns them",
    ),
    Rule(
        "alarm", "frames_waiting_long", _provisional_long,
        "已有 {0} 只有暂定帧，缺分片 {1}",
        "For {0} frames have only been provisional; parts are missing of shards {1}",
        "查看这些分片的处理进程；数字缺少它们的部分",
        "look at the workers of these shards; the numbers lack their parts",
    ),
    Rule(
        "alarm", "frames_still", _no_frames,
        "已有 {0} 没有新的帧",
        "No new frame for {0}",
        "查看时钟进程、消息服务和磁盘",
        "look at the clock process, the broker and the disk",
    ),
    Rule(
        "alarm", "log_refuses", _log_refuses,
        "日志不接受写入：{0}",
        "The log takes nothing: {0}",
        "腾出磁盘空间或恢复消息服务；在此之前来源会收到 503",
        "make room on the disk or bring the broker back; until then sources are answered 503",
    ),
    Rule(
        "alarm", "disk_full", _disk_full,
        "日志所在磁盘只剩 {0}",
        "Only {0} are free for the log",
        "立即腾出空间，或设置 log.keep_days",
        "make room now, or set log.keep_days",
    ),
    Rule(
        "alarm", "letters_flood", _letters_flood,
        "一分钟内有 {0} 个事件未被接收，最多的原因是 {2}",
        "{0} events were not taken in the last minute, most for {2}",
        "运行 citytwin deadletters list；多半是某个来源改了格式",
        "run `citytwin deadletters list`; most likely a source has changed its format",
    ),
    Rule(
        "alarm", "history_lost", _history_lost,
        "{0}：一分钟内丢失 {1} 个历史点",
        "{0}: {1} points of the history were lost in the last minute",
        "恢复历史库，或加大暂存上限",
        "bring the history store back, or allow more to wait on disk",
    ),
    Rule(
        "warn", "clock_two", _two_clocks,
        "有 {1} 个主时钟：{0}",
        "{1} clocks say that they are active: {0}",
        "旧的已被隔离，写不进任何东西；超过一分钟仍如此，停掉较旧的一个",
        "the older one is fenced and writes nothing; if it lasts more than a minute, stop it",
    ),
    Rule(
        "warn", "shard_late", _late,
        "{1} 个分片滞后：{0}",
        "Shards behind ({1}): {0}",
        "重启之后会自行赶上；若持续增长，增加 citytwin worker",
        "after a restart they catch up by themselves; if it grows, add a `citytwin worker`",
    ),
    Rule(
        "warn", "frames_waiting", _provisional,
        "{0} 以来只有暂定帧，缺分片 {1}",
        "For {0} frames are provisional; shards {1} are missing",
        "通常 10 s 内自行恢复；否则查看这些分片的处理进程",
        "usually over within 10 s; otherwise look at the workers of these shards",
    ),
    Rule(
        "warn", "member_silent", _silent_member,
        "{1} 个进程没有响应：{0}",
        "Silent processes ({1}): {0}",
        "查看它是否还在运行，必要时重新启动；有意停用的可不理会",
        "see whether it runs and start it again; one that was taken away on purpose needs nothing",
    ),
    Rule(
        "warn", "checkpoint_old", _old_checkpoint,
        "{1} 个检查点太旧：分片 {0}",
        "Old checkpoints ({1}): shard {0}",
        "查看检查点目录的空间和权限；在此之前重启会更慢",
        "look at room and rights of the folder of checkpoints; until then a restart takes longer",
    ),
    Rule(
        "warn", "source_stale", _stale_source,
        "{1} 个来源中断：{0}",
        "Stale sources ({1}): {0}",
        "联系来源方；相关指标标为陈旧",
        "ask who runs them; the indicators that they feed are marked stale",
    ),
    Rule(
        "ok", "source_unheard", _unheard_source,
        "{1} 个来源从未上报：{0}",
        "Sources that were never heard ({1}): {0}",
        "接入这些来源，或从城市包的 [[sources]] 中去掉",
        "connect them, or take them out of `[[sources]]` of the city pack",
    ),
    Rule(
        "warn", "letters_growing", _letters,
        "一分钟内有 {0} 个事件未被接收，最多的原因是 {2}",
        "{0} events were not taken in the last minute, most for {2}",
        "运行 citytwin deadletters list 查看原因",
        "run `citytwin deadletters list` to see why",
    ),
    Rule(
        "warn", "disk_filling", _disk_filling,
        "日志所在磁盘剩余 {0}",
        "{0} are free for the log",
        "腾出空间，或设置 log.keep_days",
        "make room, or set log.keep_days",
    ),
    Rule(
        "warn", "history_waiting", _history_waits,
        "{0} 写不进去，{1} 暂存在磁盘",
        "{0} cannot be written; {1} wait on disk",
        "恢复历史库；暂存的会按顺序补写",
        "bring the history store back; what waits is written in order",
    ),
)  # fmt: skip
