"""The city at a time of the past: a process of its own that replays the log and answers; `citytwin.past` asks it.

`python -m citytwin.asof` reads questions from stdin and writes answers to stdout, each a length and a pickle: both ends
are ours. It restores the newest snapshot not after the wanted tick that fits the definitions now in force, else it
begins with the log; a later tick goes on from where it stands. It ends when nobody asks, or when stdin is closed.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import pickle
import select
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from citytwin.engine import Engine
from citytwin.indicators.api import Spec
from citytwin.indicators.explain import explain
from citytwin.indicators.loading import version_of
from citytwin.indicators.registry import Registry, definition_hash
from citytwin.models.vocabulary import HOUR_MS
from citytwin.snapshot import DefinitionsChanged, restore
from citytwin.streams.log import Definition, Events, LogGap, Record, SqliteLog, Tick
from citytwin.streams.snapshots import Snapshot, Snapshots, read
from citytwin.streams.store import StoreError
from citytwin.twin.pack import City, load_city

_log = logging.getLogger(__name__)
_HEAD = struct.Struct("<I")
#: A snapshot is taken instead of going on when it saves so many records of the log.
_WORTH = 20_000
#: So often, in records, the asker is told how far it is, and it is seen whether it is still there.
_TELL = 50


@dataclass(frozen=True, slots=True)
class Supply:
    """Makes the pack and the indicators under which the log is replayed; each call gives a fresh one.

    `registry`: what is always in force; `texts`: the plugins in force now, by file.
    """

    city: Callable[[], City]
    registry: Callable[[], Registry]
    texts: Mapping[str, str] = field(default_factory=dict)


def from_settings(settings: Mapping[str, Any]) -> Supply:
    """What a node uses: `pack`, `telemetry_hours`, and `texts` of the plugin files in force by name."""
    from citytwin.plugins import base

    def city() -> City:
        found = load_city(settings["pack"])
        found.vocabulary.keep_telemetry(round(settings["telemetry_hours"] * HOUR_MS))
        return found

    return Supply(city, lambda: base()[0], settings["texts"])


class Gone(Exception):
    """Whoever asked is no longer there."""


class Unreachable(Exception):
    """The log no longer reaches back to the wanted time; `since`: position from which on it does."""

    def __init__(self, since: int) -> None:
        super().__init__(f"the state is known from position {since} on")
        self.since = since


class PastCity:
    """An engine that is brought to ticks of the past."""

    def __init__(
        self, folder: Path, supply: Supply, tell: Callable[[int, int], None] = lambda _done, _of: None
    ) -> None:
        """`tell(done, of)` hears of the records replayed on the way to a tick."""
        self.folder, self.supply, self.tell = folder, supply, tell
        self.snapshots = Snapshots(folder / "snapshots")
        self.engine: Engine | None = None
        self.position = 0
        #: What was in force at `position`; None: just what is now.
        self.definition: Mapping[str, Any] | None = None
        #: Versions of the plugin files that were in force at `position`, by file.
        self.plugins: dict[str, str] = {}

    def go(self, position: int) -> None:
        """Stand at this position of the log, which holds a tick. Raises Unreachable, StoreError, ValueError."""
        with SqliteLog(self.folder / "log.db", read_only=True) as log:
            if self.engine is None or self.position > position:
                self._begin(log, position)
            else:
                self._leap(position)
            begun = self.position
            for at, record in log.read(begun + 1, position + 1):
                self._step(at, record)
                if (at - begun) % _TELL == 0:
                    self.tell(at - begun, position - begun)

    def _step(self, at: int, record: Record) -> None:
        """One record; a definition is noted only: numbers are those of the definitions now in force."""
        assert self.engine is not None
        match record:
            case Events(batch):
                self.engine.feed(batch, at)
            case Tick(now):
                self.engine.tick(now, at)
            case Definition("definitions", document):
                self.definition = document
            case Definition("plugin", document):
                self.plugins[str(document["file"])] = str(document["version"]) if document["text"] is not None else ""
        self.position = at

    def _begin(self, log: SqliteLog, position: int) -> None:
        self.engine, self.definition, self.plugins = None, None, {}
        for at in self.snapshots.positions():
            if at <= position and at + 1 >= log.first and self._restore(at):
                return
        if log.first > 1:
            raise Unreachable(min((p for p in self.snapshots.positions() if p + 1 >= log.first), default=log.end))
        self.engine, self.position = Engine(self.supply.city(), self.supply.registry()), 0
        for file, text in self.supply.texts.items():
            self.engine.define("plugin", {"file": file, "text": text}, 0)

    def _leap(self, position: int) -> None:
        """Take a snapshot that lies well ahead."""
        for at in self.snapshots.positions():
            if self.position + _WORTH < at <= position and self._restore(at):
                return

    def _restore(self, at: int) -> bool:
        """Stand at a snapshot; False if it cannot be read or was taken under other definitions."""
        try:
            found: Snapshot = read(self.snapshots.path(at))
            made = (self.supply.city(), self.supply.registry(), found.arrays, found.meta)
            self.engine = restore(*made, texts=self.supply.texts)
        except (DefinitionsChanged, StoreError, ValueError, KeyError) as error:
            _log.info("snapshot %d is of no use for the past: %s", at, error)
            return False
        self.position, self.definition = at, None
        self.plugins = {p["file"]: version_of(p["text"]) for p in found.meta["plugins"]}
        return True

    # Answers.

    def differs(self, spec: Spec) -> bool:
        """Whether another definition of the indicator was in force where it stands."""
        assert self.engine is not None
        for file, annex in self.engine.annexes.by_file.items():
            if spec.id in annex.plugin.ids:
                return self.plugins.get(file) != annex.plugin.version
        if self.definition is None:
            return False
        sources = self.definition.get("sources")
        if isinstance(sources, Mapping):
            return bool(sources.get(spec.id, {}).get("hash") != definition_hash(spec))
        return bool(self.definition.get("indicators") != self.engine.base.hash())

    def answer(self, question: str, indicator: str, given: Mapping[str, Any]) -> Any:
        """`explain` or `values` of an indicator: (now, position, whether definitions differ, what was asked for)."""
        engine = self.engine
        assert engine is not None
        row = given.get("row", 0)
        if question == "explain":
            rest = {k: v for k, v in given.items() if k != "row"}
            found: Any = explain(engine, indicator, row, **rest)
        else:
            found = engine.current(indicator)
        return engine.now, self.position, self.differs(engine.registry[indicator]), found


# Messages.


def put(out: BinaryIO, message: Any) -> None:
    """Write one message."""
    raw = pickle.dumps(message)
    out.write(_HEAD.pack(len(raw)) + raw)
    out.flush()


def take(source: BinaryIO) -> Any:
    """Read one message; None at the end."""
    head = _exactly(source, _HEAD.size)
    return None if head is None else pickle.loads(_exactly(source, _HEAD.unpack(head)[0]) or b"N.")


def _exactly(source: BinaryIO, n: int) -> bytes | None:
    parts = b""
    while len(parts) < n:
        piece = source.read(n - len(parts))
        if not piece:
            return None
        parts += piece
    return parts


class _Child:
    """Questions in, answers out."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        # what a plugin prints must not stand among the answers
        self._out = os.fdopen(os.dup(1), "wb", 0)
        os.dup2(2, 1)
        self._in = os.fdopen(0, "rb", 0)
        self._idle = float(settings["idle_s"])
        module, _, name = str(settings["make"]).partition(":")
        supply = getattr(importlib.import_module(module), name)(settings["given"])
        self.city = PastCity(Path(settings["folder"]), supply, self._tell)

    def _tell(self, done: int, of: int) -> None:
        if select.select([self._in], [], [], 0)[0]:  # nothing is asked on the way: it is the end of the file
            raise Gone
        put(self._out, ("on the way", done, of))

    def run(self) -> None:
        """Answer until nobody asks."""
        while select.select([self._in], [], [], self._idle)[0]:
            asked = take(self._in)
            if asked is None:
                return
            put(self._out, self._answer(*asked))

    def _answer(self, what: str, *given: Any) -> tuple[Any, ...]:
        try:
            if what == "go":
                self.city.go(*given)
                return ("there", self.city.position)
            return ("answer", self.city.answer(what, *given))
        except Gone:
            raise
        except Unreachable as error:
            return ("unreachable", error.since)
        except LogGap as error:
            return ("failed", f"the log was shortened meanwhile ({error})")
        except Exception as error:
            _log.exception("a question about the past")
            return ("failed", f"{type(error).__name__}: {error}")


def main() -> None:
    """The process: its settings are the one argument, as JSON."""
    os.nice(5)
    try:
        _Child(json.loads(sys.argv[1])).run()
    except (Gone, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
