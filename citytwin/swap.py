"""Puts a plugin in force, takes it out, switches an indicator off: what a definition in the log does to the engine.

A file that comes is filled in from what the engine still holds: readings of the horizon (24 h by default), cases,
calls and registers as long as their types are kept. It is the same at the same position of the log, live and replayed,
so a restart comes to equal frames. Nothing is changed unless all of it can be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from citytwin.annex import Annex
from citytwin.indicators.aggregates import Aggregates
from citytwin.indicators.api import Spec
from citytwin.indicators.board import in_order
from citytwin.indicators.columns import EntityTable
from citytwin.indicators.components import Components
from citytwin.indicators.loading import Plugin, forget, load_text
from citytwin.indicators.outlet import mark
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Int64
from citytwin.models.vocabulary import ALWAYS
from citytwin.twin.ledger import Ledger

if TYPE_CHECKING:
    from citytwin.engine import Engine

_log = logging.getLogger(__name__)
T = TypeVar("T")
#: Rows of a ledger that are counted in at once.
_PIECE = 1 << 18
#: Kinds of aggregates that events are counted in.
BY_EVENT = frozenset({"count", "total", "mean", "max", "min", "quantile", "distinct"})
#: Names of the definitions in the log.
PLUGIN, SWITCH = "plugin", "switch"


class PluginError(Exception):
    """A file cannot be put in force or taken out; the text says why and what to do. Nothing was changed."""


def document_of(plugin: Plugin, checked_at: int = 0) -> dict[str, Any]:
    """What the log is told when a file is put in force; `checked_at` ms UTC."""
    return {"file": plugin.file, "version": plugin.version, "text": plugin.text, "checked_at": checked_at}


def define(engine: Engine, name: str, document: Mapping[str, Any]) -> None:
    """Do what a definition in the log says; one that cannot be done is told in `engine.troubles`."""
    try:
        if name == PLUGIN and document.get("text") is None:
            remove(engine, str(document["file"]))
        elif name == PLUGIN:
            file, text = str(document["file"]), str(document["text"])
            annex = prepare(engine, _guarded(engine, file, lambda: load_text(file, text)))
            annex.checked_at = int(document.get("checked_at", 0))
            install(engine, annex)
        elif name == SWITCH:
            switch(engine, str(document["indicator"]), str(document["version"]), str(document["reason"]))
    except Exception as error:  # the author's code may raise anything; the replay goes on without it
        _log.warning("a definition of the log cannot be followed: %s", error)
        engine.troubles[str(document.get("file", document.get("indicator", "")))] = str(error)


def _guarded(engine: Engine, id: str, call: Callable[[], T]) -> T:
    """Run an author's code under the guard of the board, if it has one."""
    guard = engine.board.guard
    found: T = guard(id, call) if guard is not None else call()
    return found


# In


def check(engine: Engine, plugin: Plugin) -> None:
    """Whether the file fits beside what is in force. Raises PluginError."""
    old = engine.annexes.by_file.get(plugin.file)
    gone = set(old.plugin.ids) if old is not None else set()
    for id in plugin.ids:
        if id in engine.registry and id not in gone:
            raise PluginError(f"the id {id} is taken by {origin_of(engine, id)}; choose another")
    _in_order(engine, gone, plugin.specs, f"{plugin.file} cannot be put in force")


def _in_order(engine: Engine, gone: set[str], come: Iterable[Spec], what: str) -> None:
    """Raise PluginError where what would be in force reads what is not there, or runs in a circle."""
    kept = [s for s in engine.registry if s.id not in gone]
    try:
        in_order([*kept, *come])
    except ValueError as error:
        raise PluginError(f"{what}: {error}; take out what reads it first, or put in what it reads") from error


def origin_of(engine: Engine, id: str) -> str:
    """Where an indicator in force comes from, for a sentence."""
    files = [f for f, a in engine.annexes.by_file.items() if id in a.plugin.ids]
    return f"the file {files[0]}" if files else "a built-in indicator or a package"


def prepare(engine: Engine, plugin: Plugin) -> Annex:
    """The file with its history counted in, not yet in force. Raises PluginError."""
    check(engine, plugin)
    try:
        annex = build(engine, plugin)
        fill(engine, annex)
    except Exception as error:  # a declaration may ask for what is not there, a condition may not fit a column
        drop_feeds(engine)
        said = error.args[0] if error.args else error
        raise PluginError(f"{plugin.file} cannot be counted: {said}") from error
    return annex


def build(engine: Engine, plugin: Plugin) -> Annex:
    """The file's lines over aggregates that hold nothing yet. Raises KeyError, ValueError."""
    main = engine.aggregates
    given = (engine.sources, engine.tables, engine.entities, main.origin_ms, main.unknown_scope, engine.own)
    aggregates = Aggregates(*given)
    lines = []
    for spec in plugin.specs:  # a class form is made here, by the author's code
        line = _guarded(engine, spec.id, lambda s=spec: engine.board.line(s, aggregates))  # type: ignore[misc]
        line.guarded = True
        lines.append(line)
    aggregates.resize(len(engine.scopes))
    if engine.own is not None and not aggregates.merged:  # a shard tells what is counted in too
        parts = Components()
        parts.add(aggregates)
        mark(parts)
    return Annex(plugin, aggregates, lines)


def fill(engine: Engine, annex: Annex) -> None:
    """Count in what the engine still holds: live events of the horizon, all rows of tables."""
    ancestors, aggregates = engine.above(), annex.aggregates
    if engine.k:
        aggregates.tick(engine.now, {}, ancestors)
    for ledger in _ledgers(engine, annex):
        since = since_ms(engine, ledger)
        annex.filled_from = max(annex.filled_from, since)
        index = np.flatnonzero(ledger.live.data & (ledger.time.data >= since))
        for start in range(0, len(index), _PIECE):
            aggregates.apply(ledger, index[start : start + _PIECE], 1, ancestors)
    _hear(engine, annex)
    if engine.k:
        aggregates.tick(engine.now, _all_rows(engine, annex), ancestors)


def since_ms(engine: Engine, ledger: Ledger) -> int:
    """From when on events of a ledger are counted in (ms UTC); 0 where they are kept always."""
    horizon = max(t.horizon_ms for t in ledger.types)
    return 0 if horizon >= ALWAYS or not engine.k else max(0, engine.now - horizon)


def _ledgers(engine: Engine, annex: Annex) -> list[Ledger]:
    tables = {a.table for s in annex.plugin.specs for a in s.params.values() if a.kind in BY_EVENT}
    found = {id(engine.sources[t].ledger): engine.sources[t].ledger for t in sorted(tables)}
    return list(found.values())


def _all_rows(engine: Engine, annex: Annex) -> dict[str, Int64]:
    rows: dict[str, Int64] = {}
    for name in sorted({t.spec.table for t in annex.aggregates.tallies.values()}):
        table = engine.tables[name]
        if isinstance(table, EntityTable):
            rows[name] = table.mine(engine.entities.of_kind(name).astype(np.int64))
        else:
            rows[name] = np.arange(table.n, dtype=np.int64)
    return rows


def _hear(engine: Engine, annex: Annex) -> None:
    """Let the pulse know which sources said what feeds the file, as if it had listened all the time."""
    for feed in {table for spec in annex.plugin.specs for table, _ in spec.feeds if table in engine.sources}:
        source = engine.sources[feed]
        ledger = source.ledger
        recent = np.flatnonzero(ledger.time.data >= since_ms(engine, ledger))
        for move in np.unique(ledger.move.data[recent]).tolist():
            kind = ledger.types[move]
            if source.move in (None, move):
                rows = recent[ledger.move.data[recent] == move]
                said = Coded(ledger.source.data[rows], ledger.sources.names)
                engine.pulse.note(EventBatch.of(kind.name, ledger.time.data[rows], [""] * len(rows), said))


def install(engine: Engine, annex: Annex) -> None:
    """Put a prepared file in force, in place of what it was before."""
    old = engine.annexes.by_file.get(annex.plugin.file)
    engine.board.exchange(old.plugin.ids if old is not None else (), annex.lines)
    engine.annexes.by_file[annex.plugin.file] = annex
    _settle(engine, {*annex.plugin.ids, *(old.plugin.ids if old is not None else ())}, old)


# Out


def check_removal(engine: Engine, file: str) -> None:
    """Whether nothing that stays reads an indicator of the file. Raises PluginError."""
    annex = engine.annexes.by_file.get(file)
    if annex is None:
        raise PluginError(f"{file} is not in force")
    _in_order(engine, set(annex.plugin.ids), (), f"{file} cannot be taken out")


def remove(engine: Engine, file: str) -> None:
    """Take a file out. Raises PluginError."""
    check_removal(engine, file)
    annex = engine.annexes.by_file.pop(file)
    engine.board.exchange(annex.plugin.ids, ())
    _settle(engine, set(annex.plugin.ids), annex)


def _settle(engine: Engine, ids: set[str], old: Annex | None) -> None:
    """After an exchange: the registry, trends and feeds are those of what is in force."""
    specs = (s for a in engine.annexes.by_file.values() for s in a.plugin.specs)
    engine.registry = Registry([*engine.base, *specs])
    engine.trend.forget(ids)
    engine.troubles.pop(old.plugin.file if old is not None else "", None)
    drop_feeds(engine)
    if old is not None and all(a.plugin.version != old.plugin.version for a in engine.annexes.by_file.values()):
        forget(old.plugin)


def drop_feeds(engine: Engine) -> None:
    """Watch the sources of what is in force only."""
    engine.pulse.keep({table for line in engine.board.lines.values() for table, _ in line.spec.feeds})


def switch(engine: Engine, id: str, version: str, reason: str) -> None:
    """Switch an indicator of a plugin off, with the reason, or on again ("").

    Raises PluginError for another version.
    """
    for annex in engine.annexes.by_file.values():
        if id in annex.plugin.ids and annex.plugin.version == version:
            if annex.broken and not reason:
                raise PluginError(f"{id} cannot be switched on: {annex.broken}; save its file again")
            engine.board.switch(id, reason)
            return
    raise PluginError(f"{id} is not in force as it was; there is nothing to switch")
