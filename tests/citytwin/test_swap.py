"""Plugins come, change and go while events flow, to the numbers of an engine that always knew them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from citytwin import snapshot, swap
from citytwin.engine import Engine
from citytwin.indicators.loading import Plugin, load_text
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.frame import Quality
from citytwin.testing import START_MS, TinyCity, random_events
from tests.citytwin.bad_plugins import GOOD, RAISES, class_form

KINDS = ("call.offered", "call.answered", "obs", "case.closed", "case.reopened", "data.batch", "citycode.use")
MINUTE = 60_000

#: One of every kind of state: sums, means, extremes, sketches, distinct, tallies of tables, registers, panes, feeds.
MANY = """
from citytwin.indicators.api import *

META = dict(theme="t", levels="city district street grid", owner="me", source="local")
RAIN = col.property == "rain.depth"

@indicator("many.sum", window="sliding 1h/1m", feeds=(("call", ""),), **META)
def a(n=count("call.offered"), w=total("call.answered", col.wait_s), m=mean("call.answered", col.wait_s)):
    return n + w / 10 + m

@indicator("many.most", window="sliding 30m/5m", feeds=(("obs", "rain.depth"),), **META)
def b(hi=maximum("obs", col.value, RAIN), lo=minimum("obs", col.value, RAIN), q=quantile("obs", col.value, 0.9, RAIN)):
    return hi + lo + q

@indicator("many.keys", window="tumbling 1h", **META)
def c(users=distinct("citycode.use", col.user)):
    return users

@indicator("many.rows", window="instant", feeds=(("device", ""),), **META)
def d(rain=tally("obs", row.value, row.property == "rain.depth", end=row.time + 600_000, per_unit=100),
      devices=tally("device", where=row.in_service == 1), rows=tally("data.batch", row.rows)):
    return rain + devices + rows

@indicator("many.reads", window="instant", **META)
def e(x=ind("many.sum"), y=ind("device_online_rate")):
    return x + y

class Panes(Indicator):
    id, window, every = "many.panes", "sliding 1h/10m", "10s"
    theme, levels, owner, source = "t", "city district", "me", "local"
    aggregates = {"n": count("obs", RAIN, by="subject"), "closed": rows("case", row.terminal == 0, at=row.last_at)}

    def values(self, ctx):
        import numpy as np
        panes, cases = ctx.panes("n"), ctx.rows("closed")
        found = np.zeros(len(ctx.scopes))
        for scope, n in ((ctx.entities.scope[panes.groups], panes.counts.max(axis=1)), (cases.scope, 1)):
            up = ctx.scopes.ancestors()[scope]
            for level in (0, 1):
                np.add.at(found, up[:, level][up[:, level] >= 0], n if np.ndim(n) == 0 else n[up[:, level] >= 0])
        at = np.flatnonzero(ctx.scopes.level <= 1)
        return at, found[at]
"""


def story(seed: int = 1) -> Iterator[tuple[int, list[EventBatch]]]:
    """Twelve ticks of ten minutes, with what is said before each; some of it late, some corrected."""
    city, rng = TinyCity(), np.random.default_rng(seed)
    everything = [
        random_events(city, city.vocabulary.types[k], 600, rng, properties=["rain.depth"], prefix=f"{k}/")
        for k in KINDS
    ]
    edges = np.arange(START_MS - 110 * MINUTE, START_MS + 1, 10 * MINUTE).tolist()
    late = [b.time + rng.integers(0, 20 * MINUTE, len(b)) for b in everything]
    for low, high in zip([0, *edges[:-1]], edges, strict=True):
        batches = [
            b.take(rows)
            for b, arrives in zip(everything, late, strict=True)
            if len(rows := np.flatnonzero((arrives > low) & (arrives <= high)))
        ]
        yield high, batches


def plugin(text: str, file: str = "many.py") -> Plugin:
    """The plugin of a text."""
    return load_text(file, text)


def fresh(registry: Registry | None = None) -> Engine:
    """An engine over the tiny city."""
    return Engine(TinyCity(), registry or builtin())


def put(engine: Engine, text: str, file: str = "many.py") -> None:
    """Put a text in force, as the log would."""
    engine.define("plugin", swap.document_of(plugin(text, file)), engine.position)
    assert engine.troubles == {}


Changes = dict[int, Callable[[Engine], None]]


def lived(at: Changes, engine: Engine | None = None, frames: list[str] | None = None) -> Engine:
    """An engine that lived through the story; `at`: what is done before the k-th tick."""
    engine = engine or fresh()
    for k, (now, batches) in enumerate(story()):
        if now <= engine.now:
            continue
        engine.tick(now, 0) if not engine.k else None
        for each in batches:
            engine.feed(each, 0)
        if k in at:
            at[k](engine)
        engine.tick(now, 0)
        if frames is not None:
            frames.append(engine.frame_hash())
    return engine


def same(a: Engine, b: Engine, ids: tuple[str, ...]) -> None:
    """Two engines say the same of these."""
    for id in ids:
        x, y = a.board.lines[id], b.board.lines[id]
        assert (x.error, y.error) == ("", "")
        for name in ("value", "closed", "quality", "fresh", "expected"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), err_msg=f"{id} {name}")
        assert not np.isnan(x.value).all(), id


@pytest.mark.parametrize("k", [0, 1, 5, 11])
def test_one_that_comes_late_says_what_it_would_have_said(k: int) -> None:
    ids = plugin(MANY).ids
    always = lived({}, fresh(Registry([*builtin(), *plugin(MANY).specs])))
    late = lived({k: lambda e: put(e, MANY)})
    same(always, late, ids)


def test_what_is_built_in_does_not_notice() -> None:
    plain = lived({})
    busy = lived({2: lambda e: put(e, MANY), 5: lambda e: swap.remove(e, "many.py"), 7: lambda e: put(e, MANY)})
    same_ids = [i for i, line in plain.board.lines.items() if not np.isnan(line.value).all()]
    same(plain, busy, tuple(same_ids))
    assert busy.state_hash() == plain.state_hash()


def test_another_definition_takes_the_place_of_the_old() -> None:
    other = MANY.replace("n + w / 10 + m", "2 * n").replace('@indicator("many.keys"', '@indicator("many.users"')
    changed = lived({3: lambda e: put(e, MANY), 8: lambda e: put(e, other)})
    always = lived({}, fresh(Registry([*builtin(), *plugin(other).specs])))
    same(always, changed, plugin(other).ids)
    assert "many.keys" not in changed.board.lines
    assert "many.keys" not in changed.registry


def test_every_scope_is_told_after_a_change() -> None:
    engine = lived({3: lambda e: put(e, MANY)})
    put(engine, MANY.replace('levels="city district street grid"', 'levels="city"'))
    frame = engine.tick(START_MS + 1000, 0)
    told = frame.values["many.sum"]
    assert len(told.rows) == len(engine.scopes)
    assert np.isnan(told.value[engine.scopes.level[told.rows] > 0]).all()


@pytest.mark.parametrize("when", ["after the swap", "after the tick", "two ticks later"])
def test_a_snapshot_goes_on_to_equal_frames(when: str) -> None:
    held: list[Any] = []

    def take(engine: Engine) -> None:
        held.append(snapshot.take(engine))

    def both(engine: Engine) -> None:
        put(engine, MANY)
        take(engine)

    frames: list[str] = []
    changes: dict[str, Changes] = {"after the swap": {4: both}, "after the tick": {4: lambda e: put(e, MANY), 5: take}}
    changes["two ticks later"] = {4: lambda e: put(e, MANY), 6: take}
    lived(changes[when], frames=frames)
    again = snapshot.restore(TinyCity(), builtin(), held[0].arrays, held[0].meta)
    assert set(plugin(MANY).ids) <= set(again.board.lines)
    k = {"after the swap": 4, "after the tick": 5, "two ticks later": 6}[when]
    said = []
    for i, (now, batches) in enumerate(story()):
        if i > k:
            for each in batches:
                again.feed(each, 0)
        if i >= k:
            again.tick(now, 0)
            said.append(again.frame_hash())
    assert said == frames[k:]


def test_a_snapshot_with_a_plugin_that_cannot_be_loaded_is_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived({4: lambda e: put(e, MANY), 5: lambda e: put(e, GOOD, "good.py")})
    held = snapshot.take(engine)
    held.meta["plugins"][0]["text"] = "import a_module_that_is_gone"
    again = snapshot.restore(TinyCity(), builtin(), held.arrays, held.meta)
    assert "many.sum" not in again.board.lines
    assert "a_module_that_is_gone" in again.troubles["many.py"]
    assert "good.calls" in again.board.lines
    again.tick(START_MS + MINUTE, 0)


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    engine = lived({4: lambda e: put(e, MANY)})
    before, feeds = engine.frame_hash(), engine.pulse.state()["feeds"]
    reader = GOOD.replace('count("call.offered")', 'ind("many.sum")')
    lost = '@indicator("lost.x", window="sliding 1h/1m", feeds=(("hazard", ""),), **META)\ndef z(n=count("no.such"))'
    for text, file, words in (
        (GOOD.replace("good.calls", "case_backlog"), "x.py", "taken by a built-in"),
        (GOOD.replace("good.calls", "many.sum"), "x.py", "taken by the file many.py"),
        (GOOD.replace('count("call.offered")', 'ind("no.such")'), "x.py", "which does not exist"),
        (GOOD.replace('count("call.offered")', 'ind("good.calls")'), "x.py", "in a circle"),
        (GOOD.replace("call.offered", "no.such"), "x.py", "no event type or family 'no.such'"),
        (MANY[: MANY.index("@indicator")] + lost + ":\n    return n\n", "x.py", "no.such"),
        (GOOD.replace('count("call.offered")', 'count("obs", where=col.nope > 1)'), "x.py", "has no such field"),
    ):
        with pytest.raises(swap.PluginError, match=words):
            swap.prepare(engine, plugin(text, file))
    swap.install(engine, swap.prepare(engine, plugin(reader, "reader.py")))
    with pytest.raises(swap.PluginError, match=r"good\.calls reads the indicator 'many\.sum', which does not exist"):
        swap.remove(engine, "many.py")
    with pytest.raises(swap.PluginError, match="take out what reads it first"):
        swap.prepare(engine, plugin(MANY.replace('"many.sum"', '"many.other"')))
    swap.remove(engine, "reader.py")
    assert (engine.frame_hash(), engine.pulse.state()["feeds"]) == (before, feeds)


def test_readers_of_what_changed_are_worked_out_again() -> None:
    reader = GOOD.replace('count("call.offered")', 'ind("many.sum")').replace("return n", "return 2 * n")
    engine = lived({4: lambda e: put(e, MANY), 5: lambda e: put(e, reader, "reader.py")})
    put(engine, MANY.replace("n + w / 10 + m", "n"))
    engine.tick(START_MS + 1, 0)
    child, parent = engine.board.lines["many.sum"], engine.board.lines["good.calls"]
    districts = engine.scopes.level <= 1
    np.testing.assert_array_equal(parent.value[districts], 2 * child.value[districts])


def test_one_that_raises_is_switched_off_and_the_others_go_on() -> None:
    engine = lived({4: lambda e: put(e, RAISES, "raises.py"), 5: lambda e: put(e, GOOD, "good.py")})
    line = engine.board.lines["bad.raises"]
    assert line.off == "ValueError: boom"
    assert (line.quality == Quality.ERROR).all()
    assert engine.tick(START_MS + 1, 0).sys["errors"] == {"bad.raises": "ValueError: boom"}
    assert engine.board.lines["good.calls"].value[0] > 0
    same(lived({}), engine, ("hotline_answer_rate", "obs_valid_rate"))


def test_off_stays_off_through_snapshots_until_the_file_changes_or_it_is_released() -> None:
    engine = lived({4: lambda e: put(e, RAISES, "raises.py")})
    held = snapshot.take(engine)
    again = snapshot.restore(TinyCity(), builtin(), held.arrays, held.meta)
    again.tick(START_MS + 1, 0)
    assert again.board.lines["bad.raises"].off == "ValueError: boom"
    version = plugin(RAISES, "raises.py").version
    again.define("switch", {"indicator": "bad.raises", "version": version, "reason": ""}, 0)
    assert again.board.lines["bad.raises"].off == ""
    again.tick(START_MS + 2, 0)
    assert again.board.lines["bad.raises"].off == "ValueError: boom", "it raised again"
    put(again, RAISES.replace("raise ValueError", "ValueError"), "raises.py")
    again.tick(START_MS + 3, 0)
    assert again.board.lines["bad.raises"].off == ""
    assert again.board.lines["bad.raises"].value[0] > 0


def test_a_switch_off_from_the_log_is_told_and_taken_back() -> None:
    engine = lived({4: lambda e: put(e, GOOD, "good.py")})
    version = plugin(GOOD, "good.py").version
    before = engine.board.lines["good.calls"].value.copy()
    engine.define("switch", {"indicator": "good.calls", "version": version, "reason": "too slow"}, 0)
    frame = engine.tick(START_MS + 1, 0)
    assert frame.sys["errors"]["good.calls"] == "too slow"
    assert set(frame.values["good.calls"].quality.tolist()) == {int(Quality.ERROR)}
    assert "good.calls" not in engine.tick(START_MS + 2, 0).values, "told once"
    engine.define("switch", {"indicator": "good.calls", "version": version, "reason": ""}, 0)
    engine.tick(START_MS + 3, 0)
    np.testing.assert_array_equal(engine.board.lines["good.calls"].value, before)


def test_a_plugin_cannot_write_into_the_numbers_of_others() -> None:
    thief = class_form(
        "thief", 'def values(self, ctx):\n    ctx.value("case_backlog")[:] = 0\n    return np.arange(1), np.ones(1)'
    )
    engine = lived({4: lambda e: put(e, thief, "thief.py")})
    assert "read-only" in engine.board.lines["bad.thief"].off


def test_state_that_breaks_switches_its_own_file_off(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived({4: lambda e: put(e, GOOD, "good.py")})
    annex = engine.annexes.by_file["good.py"]

    def broken(*_: Any) -> None:
        raise TypeError("a code where a number is needed")

    monkeypatch.setattr(annex.aggregates, "apply", broken)
    city = TinyCity()
    batch = random_events(city, city.vocabulary.types["call.offered"], 5, np.random.default_rng(8), prefix="x")
    engine.feed(batch, 0)
    engine.tick(START_MS + 1, 0)
    assert engine.board.lines["good.calls"].off == "TypeError: a code where a number is needed"
    held = snapshot.take(engine)
    again = snapshot.restore(TinyCity(), builtin(), held.arrays, held.meta)
    assert again.annexes.by_file["good.py"].broken
