"""The modeler's workshop: what is known of each indicator, of each file of the plugins folder, of the newest edits."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from citytwin import swap
from citytwin.engine import Engine
from citytwin.footprint import bytes_of
from citytwin.indicators.api import Spec
from citytwin.indicators.line import Line
from citytwin.indicators.loading import Plugin
from citytwin.indicators.registry import definition_hash
from citytwin.models.columns import Int32
from citytwin.models.frame import Frame, Values
from citytwin.past import moment
from citytwin.runtime import Runtime
from citytwin.streams.log import Definition, StoreUnavailable
from citytwin.submissions import Unavailable
from citytwin.watchdog import Watchdog

_log = logging.getLogger(__name__)
#: So many of the newest edits are kept for the lab page.
EDITS_KEPT = 20
#: Sizes are measured again after so long.
_SIZES_S = 30.0


@dataclass(frozen=True, slots=True)
class IndicatorState:
    """One indicator in force, or one that a file wanted to bring and could not.

    `origin`: "builtin", "package <name>" or "file <name>"; `version`: hash of its definition (16 hex digits);
    `checked_at`: ms UTC of the check of a file, None for others; `error`: why it has no number now, "" if it has;
    `quarantined`: it is off until its file changes or it is released; `cost_us`: moving average of the time of a
    processor that it takes in a tick; `bytes`: state of its aggregates, shared ones counted whole; `note`: what else to
    know.
    """

    id: str
    origin: str
    version: str
    checked_at: int | None = None
    error: str = ""
    quarantined: bool = False
    cost_us: float = 0.0
    bytes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of the plugins folder: what it is now, and what of it is in force.

    `version`: hash of its text as last read; `in_force`: hash of the text that counts ("" for none): another one than
    `version` after a save that did not pass; `ids`: indicators in force; `problems`: sentences, one each, empty if it
    passed; `checked_at` ms UTC, None while the first check runs; `status`: "checking", "in force", "refused" or
    "removed"; `notes`: what else the check found out.
    """

    file: str
    version: str
    in_force: str = ""
    ids: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    checked_at: int | None = None
    status: str = "checking"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """One swap: what a file's indicators said before and after it, at the city and its districts.

    `at` ms UTC and log `position` of the swap; `scopes`: codes; `before`, `after`: id to values in their order (None =
    no data); an indicator that is new has no `before`, one that went has no `after`. `after` is of the first tick with
    the new definition, empty until then. `filled_from` ms UTC: events from then on were counted in, 0 = all there are.
    """

    file: str
    at: int
    position: int
    version: str
    replaced: str = ""
    scopes: tuple[str, ...] = ()
    before: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    after: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    filled_from: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """What happened to one indicator: `kind` is "refused", "quarantined", "released" or "removed".

    `before`: scope code to what a removed one said last at the city and its districts.
    """

    id: str
    file: str
    at: int
    kind: str
    error: str = ""
    before: Mapping[str, float | None] = field(default_factory=dict)


class Workshop:
    """What is in force and how it came there; swaps files in the engine's thread. Reads may come from any thread.

    `adopt` is told the indicators in force and the values of those that are new, in the engine's thread.
    """

    def __init__(self, engine: Engine, runtime: Runtime, origins: Mapping[str, str], watchdog: Watchdog) -> None:
        self.engine, self.runtime, self.origins, self.watchdog = engine, runtime, dict(origins), watchdog
        self.adopt: Callable[[Sequence[Spec], Mapping[str, Values]], None] = lambda _specs, _values: None
        #: Files of the folder by name, as citytwin.folder knows them.
        self.known: dict[str, FileState] = {}
        #: Changes with each swap: who was refused because of what was in force may be looked at again.
        self.generation = 0
        self._edits: deque[Edit | News] = deque(maxlen=EDITS_KEPT)
        self._rows: Int32 = engine.trend.rows
        lines = (line for a in engine.annexes.by_file.values() for line in a.lines)
        self._off = {line.spec.id: line.off for line in lines if line.off}
        self._sizes: tuple[float, dict[str, int]] = (-_SIZES_S, {})
        self._hashes: dict[int, str] = {}

    # Reads.

    def state(self) -> list[dict[str, Any]]:
        """Every indicator in force, and those that files want to bring and cannot: see IndicatorState."""
        lines, sizes = list(self.engine.board.lines.values()), self._measured()
        files = {i: (f, a) for f, a in list(self.engine.annexes.by_file.items()) for i in a.plugin.ids}
        found = [asdict(self._of(line, files.get(line.spec.id), sizes.get(line.spec.id, 0))) for line in lines]
        return found + [asdict(s) for s in self._wanted(set(self.engine.board.lines))]

    def _of(self, line: Line, of: tuple[str, Any] | None, size: int) -> IndicatorState:
        id, error, off = line.spec.id, line.error, bool(line.off)
        if of is None:
            origin, version, checked, note = self.origins.get(id, "builtin"), self._hash(line.spec), None, ""
        else:
            file, annex = of
            known = self.known.get(file)
            origin, version = f"file {file}", annex.plugin.version
            checked = annex.checked_at or None
            note = " ".join((*self._notes(line, annex), *_refusal(known), *_own(known, id)))
        return IndicatorState(id, origin, version, checked, error, off, round(line.cost_us, 1), size, note)

    def _hash(self, spec: Spec) -> str:
        found = self._hashes.get(id(spec))
        if found is None:
            found = self._hashes[id(spec)] = definition_hash(spec)
        return found

    def _notes(self, line: Line, annex: Any) -> list[str]:
        """Since when a window is complete that reaches further back than what was counted in."""
        windows = [a.window or line.spec.window for a in line.spec.params.values() if a.kind in swap.BY_EVENT]
        longest = max((w.length_ms for w in windows), default=0)
        complete = annex.filled_from + longest
        if annex.filled_from and complete > self.engine.now:
            since = moment(annex.filled_from)
            return [f"Counts events from {since} on; its window is complete at {moment(complete)}."]
        return []

    def _wanted(self, there: set[str]) -> list[IndicatorState]:
        """What a refused file wanted to bring."""
        found = []
        for state in list(self.known.values()):
            if state.status == "refused":
                error = "\n".join(state.problems)
                for id in [i for i in state.ids if i not in there] if state.ids else [state.file]:
                    found.append(IndicatorState(id, f"file {state.file}", state.version, state.checked_at, error))
        return found

    def _measured(self) -> dict[str, int]:
        """Bytes by indicator; measured now and then, for it is a long walk."""
        at, sizes = self._sizes
        if time.monotonic() - at > _SIZES_S:
            try:
                sizes = {id: bytes_of(line) for id, line in list(self.engine.board.lines.items())}
            except RuntimeError:  # something grew while it was walked: the old sizes are good enough
                return sizes
            self._sizes = (time.monotonic(), sizes)
        return sizes

    def edits(self) -> list[dict[str, Any]]:
        """The newest edits and news, newest first, at most EDITS_KEPT: see Edit and News."""
        return [asdict(e) for e in list(self._edits)]

    def files(self) -> list[dict[str, Any]]:
        """Every file of the plugins folder: see FileState."""
        return [asdict(f) for f in sorted(self.known.values(), key=lambda f: f.file)]

    # Swaps.

    def put(self, plugin: Plugin, checked_at: int = 0) -> None:
        """Put a file in force that was checked (ms UTC). Raises PluginError, Unavailable; nothing was changed then."""
        self._do(lambda: self._put(plugin, checked_at))

    def take_all_out(self) -> None:
        """Take every file out, those that read others first. Raises Unavailable."""
        for file in reversed(list(self.engine.annexes.by_file)):
            try:
                self.take_out(file)
            except swap.PluginError as error:
                _log.warning("%s stays: %s", file, error)

    def take_out(self, file: str) -> None:
        """Take a file out. Raises PluginError, Unavailable; nothing was changed then."""
        self._do(lambda: self._take_out(file))

    def release(self, id: str) -> None:
        """Switch an indicator on again that was switched off. Raises PluginError, Unavailable."""
        self._do(lambda: self._switch(id, ""))

    def _do(self, run: Callable[[], None]) -> None:
        """In the engine's thread, or here while there is none."""
        if self.runtime.running:
            return self.runtime.call(run).result()
        try:
            return run()
        except StoreUnavailable as error:
            raise Unavailable(str(error)) from error

    def _put(self, plugin: Plugin, checked_at: int) -> None:
        old = self.engine.annexes.by_file.get(plugin.file)
        before = self._values(old.plugin.ids if old is not None else ())
        annex = swap.prepare(self.engine, plugin)
        annex.checked_at = checked_at
        document = swap.document_of(plugin, checked_at)
        try:
            position = self.runtime.note(Definition(swap.PLUGIN, document), lambda: swap.install(self.engine, annex))
        except StoreUnavailable:
            swap.drop_feeds(self.engine)
            raise
        replaced = old.plugin.version if old is not None else ""
        self._swapped({*before, *plugin.ids})
        codes, now = self._codes(), self.runtime.clock.now_ms()
        edit = Edit(plugin.file, now, position, plugin.version, replaced, codes, before, {}, annex.filled_from)
        self._edits.appendleft(edit)

    def _take_out(self, file: str) -> None:
        swap.check_removal(self.engine, file)
        plugin = self.engine.annexes.by_file[file].plugin
        before, codes = self._values(plugin.ids), self._codes()
        document = {"file": file, "version": plugin.version, "text": None}
        self.runtime.note(Definition(swap.PLUGIN, document), lambda: swap.remove(self.engine, file))
        self._swapped(set(plugin.ids))
        for id, values in before.items():
            said = dict(zip(codes, values, strict=True))
            self._edits.appendleft(News(id, file, self.runtime.clock.now_ms(), "removed", "", said))

    def _swapped(self, ids: set[str]) -> None:
        """Indicators came, changed or went."""
        self.generation += 1
        for id in ids:
            self._off.pop(id, None)
            self.watchdog.forget(id)
        self.adopt(list(self.engine.registry), {})

    def _codes(self) -> tuple[str, ...]:
        return tuple(self.engine.scopes.code[r] for r in self._rows.tolist())

    def _values(self, ids: Sequence[str]) -> dict[str, tuple[float | None, ...]]:
        """Values of indicators in force at the city and its districts."""
        lines = self.engine.board.lines
        found = {i: np.append(lines[i].value, np.nan)[self._rows] for i in ids if i in lines}
        return {i: tuple(None if np.isnan(v) else float(v) for v in values) for i, values in found.items()}

    def _switch(self, id: str, reason: str) -> None:
        version = next((a.plugin.version for a in self.engine.annexes.by_file.values() if id in a.plugin.ids), "")
        file = next((f for f, a in self.engine.annexes.by_file.items() if id in a.plugin.ids), "")
        if not version:
            raise swap.PluginError(f"{id} is of no file; only those of files are switched off and on")
        document = {"indicator": id, "version": version, "reason": reason}
        self.runtime.note(Definition(swap.SWITCH, document), lambda: swap.switch(self.engine, id, version, reason))
        self.watchdog.forget(id)
        self._off[id] = reason
        kind = "quarantined" if reason else "released"
        self._edits.appendleft(News(id, file, self.runtime.clock.now_ms(), kind, reason))

    # After each tick, in the engine's thread.

    def ticked(self, frame: Frame) -> None:
        """Switch off what was too slow, write down what is off, note what edits changed."""
        for edit in [e for e in self._edits if isinstance(e, Edit) and not e.after and e.version]:
            annex = self.engine.annexes.by_file.get(edit.file)
            if annex is not None and annex.plugin.version == edit.version:
                self._edits[self._edits.index(edit)] = replace(edit, after=self._values(annex.plugin.ids))
        slow = self.watchdog.ticked()
        for annex in list(self.engine.annexes.by_file.values()):
            for line in annex.lines:
                reason = line.off or slow.get(line.spec.id, "")
                if reason and self._off.get(line.spec.id) != reason:
                    self._note_off(line.spec.id, reason)

    def _note_off(self, id: str, reason: str) -> None:
        try:
            self._switch(id, reason)
        except (StoreUnavailable, swap.PluginError) as error:  # the next tick tries again
            _log.warning("%s is off (%s), which could not be written into the log yet: %s", id, reason, error)
        else:
            _log.warning("the indicator %s is switched off: %s", id, reason)

    def tell(self, state: FileState, wanted: Sequence[str] = ()) -> None:
        """Note how a file stands; a refusal is news of each indicator that it wanted to bring."""
        before, self.known[state.file] = self.known.get(state.file), state
        told = before is not None and (before.version, before.problems) == (state.version, state.problems)
        if state.status == "refused" and not told:
            error = "\n".join(state.problems)
            for id in wanted or state.ids or (state.file,):
                self._edits.appendleft(News(id, state.file, self.runtime.clock.now_ms(), "refused", error))


def _refusal(known: FileState | None) -> list[str]:
    if known is None or known.status != "refused":
        return []
    return [f"The newest save of {known.file} is refused, what was in force before stays: {known.problems[0]}"]


def _own(known: FileState | None, id: str) -> list[str]:
    return [n.removeprefix(f"{id}: ") for n in known.notes if n.startswith(f"{id}: ")] if known is not None else []
