"""The way back to the state after a stop: the newest snapshot that can be read, then the log from there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.frame import Frame
from citytwin.streams.log import Definition, Events, Log, LogGap, Record, Tick
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.streams.store import StoreError

_log = logging.getLogger(__name__)
Refused = Callable[[int, Sequence[Rejection]], None]


class Stepper(Protocol):
    """The two steps of an engine, as a replay needs them."""

    @property
    def position(self) -> int:
        """Last log position in the state."""

    def feed(self, batch: EventBatch, position: int) -> Changes:
        """Take events of one type in."""

    def tick(self, now: int, position: int) -> Frame:
        """Move the clock and give what changed."""

    def define(self, name: str, document: Mapping[str, Any], position: int) -> None:
        """Put in force what a definition says, if it changes what is in force."""


E = TypeVar("E", bound=Stepper)


class ReplayFailed(Exception):
    """The engine cannot take a record of the log; the text is a sentence for the operator."""


@dataclass(slots=True)
class Recovered(Generic[E]):
    """An engine that stands at `position`, and how it came there."""

    engine: E
    position: int
    snapshot: int = 0
    records: int = 0
    events: int = 0
    seconds: float = 0.0
    frame: Frame | None = None
    last_definition: Mapping[str, Any] | None = None
    #: Why the newest snapshot was passed over; empty if it was not.
    passed: str = ""

    def sentence(self) -> str:
        """One line for the operator."""
        base = f"snapshot {self.snapshot}" if self.snapshot else "the beginning"
        return f"from {base}, {self.records} records with {self.events} events in {self.seconds:.1f} s"


def apply(engine: Stepper, position: int, record: Record, refused: Refused) -> Frame | None:
    """One record into the engine, as it was done the first time; the frame if it was a tick."""
    match record:
        case Events(batch):
            changes = engine.feed(batch, position)
            if changes.rejected:
                refused(position, changes.rejected)
        case Tick(now):
            frame = engine.tick(now, position)
            if frame.refused:
                refused(position, frame.refused)
            return frame
        case Definition(name, document):
            engine.define(name, document, position)
    return None


def recover(
    log: Log,
    snapshots: Snapshots | None,
    make: Callable[[], E],
    restore: Callable[[Snapshot], E],
    *,
    refused: Refused = lambda _p, _r: None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Recovered[E]:
    """Build the engine from the newest usable snapshot and replay what came after it.

    `progress(done, of)` is told about every hundredth record. A snapshot that `restore` cannot use is passed over.
    Raises LogGap if the log no longer reaches back far enough, CorruptLog, ReplayFailed.
    """
    started = time.perf_counter()
    found = _start(log, snapshots, make, restore)
    if found.position + 1 < log.first and log.end:
        raise LogGap(_gap(log.first, found))
    total = log.end - found.position
    for position, record in log.read(found.position + 1):
        frame = _replayed(found, position, record, refused)
        found.frame = frame or found.frame
        if isinstance(record, Definition) and record.name == "definitions":
            found.last_definition = record.document
        found.position, found.records = position, found.records + 1
        found.events += len(record.batch) if isinstance(record, Events) else 0
        if found.records % 100 == 0:
            progress(found.records, total)
    found.seconds = time.perf_counter() - started
    return found


def _gap(first: int, found: Recovered[E]) -> str:
    begins = f"the log begins at position {first}, the state reaches only to {found.position}: no usable snapshot"
    if not found.passed:
        return f"{begins}; restore the last backup with `citytwin restore`"
    return (
        f"{begins} ({found.passed}). What came before is no longer in the log and cannot be counted anew: go back to "
        "the indicators, plugins, city pack and settings under which the snapshot was made, or begin in a new folder"
    )


def _replayed(found: Recovered[E], position: int, record: Record, refused: Refused) -> Frame | None:
    try:
        return apply(found.engine, position, record, refused)
    except StoreError:
        raise
    except Exception as error:  # whatever it is, a city that is half there must not start
        _log.debug("the replay failed at position %d", position, exc_info=True)
        what = f"{len(record.batch)} {record.batch.type} events" if isinstance(record, Events) else "a tick"
        raise ReplayFailed(
            f"the log cannot be replayed: the engine failed at position {position}, {what} "
            f"({type(error).__name__}: {error}). Nothing was started and the log is as it was. Run `citytwin doctor`; "
            "start a version of CityTwin that takes this record, or bring the last backup into another folder with "
            "`citytwin restore`"
        ) from error


def _start(
    log: Log, snapshots: Snapshots | None, make: Callable[[], E], restore: Callable[[Snapshot], E]
) -> Recovered[E]:
    passed = ""
    for snapshot in snapshots.valid(log.end) if snapshots else ():
        try:
            return Recovered(restore(snapshot), snapshot.position, snapshot.position, passed=passed)
        except Exception as error:  # the log is the truth: whatever is wrong with a snapshot, it is only slower
            _log.warning("snapshot %d is of no use here: %r; an older one is tried", snapshot.position, error)
            passed = passed or f"snapshot {snapshot.position} is of no use here: {error}"
    return Recovered(make(), 0, passed=passed)
