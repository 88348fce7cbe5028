"""Rules on the log before they are in force: the log is replayed with the draft beside the rules that are.

The draft hears and ticks what the live engine heard and ticked, in the same order and by the same code, so that it
fires just as it would have. What its own cases and alarms would have changed afterwards is not in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citytwin import ruling
from citytwin.asof import PastCity, Supply, Unreachable
from citytwin.engine import Engine
from citytwin.indicators.rules.book import RuleBook
from citytwin.models.desk.event import Draft
from citytwin.models.desk.rules import Problem, Rule, RuleError
from citytwin.streams.log import Definition, Events, SqliteLog, Tick

#: Minutes of an operator that an alarm of each priority takes, 0 is a notice. Local defaults, no standard says them.
OPERATOR_MINUTES = {1: 10.0, 2: 5.0, 3: 3.0, 4: 2.0, 0: 0.0}
#: Alarms an operator and day that are very likely acceptable: one in ten minutes (EEMUA 191; unconfirmed).
ACCEPTABLE_A_DAY = 144
#: Two alarms overlap when they are raised at one entity or in one grid, at most so far apart in time.
OVERLAP_MS = 10 * 60_000
DAY_MS = 86_400_000
_TOP = 10


class CannotRehearse(Exception):
    """The log or the rules do not allow it; the text is a sentence for the user."""


@dataclass(slots=True)
class Rehearsed:
    """What draft rules said on a log, and what the rules in force said on it: drafts of alarms in their order."""

    since: int = 0
    until: int = 0
    draft: list[Draft] = field(default_factory=list)
    in_force: list[Draft] = field(default_factory=list)
    #: Names of scopes by code, in both languages.
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    late: int = 0
    dropped: int = 0

    @property
    def raised(self) -> list[Draft]:
        """Alarms of the draft."""
        return [d for d in self.draft if d.type == "alarm.raised"]

    def overlap(self) -> tuple[int, dict[str, int]]:
        """How many of its alarms overlap alarms of the rules in force, and how many by rule of those."""
        others: dict[str, list[Draft]] = {}
        for d in self.in_force:
            if d.type == "alarm.raised":
                for place in {d.subject.partition("@")[2], d.scope} - {""}:
                    others.setdefault(place, []).append(d)
        hit, by_rule = 0, Counter[str]()
        for d in self.raised:
            near = {
                o.fields["rule"]
                for place in (d.subject.partition("@")[2], d.scope)
                for o in others.get(place, ())
                if abs(o.time - d.time) <= OVERLAP_MS
            }
            hit += bool(near)
            by_rule.update(near)
        return hit, dict(by_rule.most_common())

    def report(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        days = max((self.until - self.since) / DAY_MS, 1e-9)
        raised, (hit, by_rule) = self.raised, self.overlap()
        minutes = sum(OPERATOR_MINUTES[0 if d.fields["notice"] else d.fields["priority"]] for d in raised)
        places = Counter(d.scope for d in raised).most_common(_TOP)
        return {
            "since": self.since, "until": self.until, "days": round(days, 4), "alarms": len(raised),
            "alarms_per_day": round(len(raised) / days, 2), "acceptable_per_day": ACCEPTABLE_A_DAY,
            "cases": sum(d.type == "case.filed" for d in self.draft),
            "by_rule": dict(Counter(d.fields["rule"] for d in raised).most_common()),
            "operator_minutes": minutes, "operator_minutes_per_day": round(minutes / days, 2),
            "assumed_minutes": {str(k): v for k, v in OPERATOR_MINUTES.items()},
            "overlap": hit, "overlap_by_rule": by_rule, "late": self.late, "dropped": self.dropped,
            "top": [{"scope": code, "name": self.names.get(code), "alarms": n} for code, n in places],
        }  # fmt: skip


def check(rules: Sequence[Rule], engine: Engine) -> RuleBook:
    """A book of rules over the city of an engine. Raises RuleError for what the city does not know."""
    bands = {spec.id: tuple(spec.bands) for spec in engine.registry}
    book = RuleBook(rules, engine.scopes, engine.entities, engine.vocabulary, bands, ruling.due_at(engine.city))
    if book.problems:
        raise RuleError(book.problems)
    return book


def named(problems: Sequence[Problem], file: str) -> list[str]:
    """Problems as lines, under the name of a file."""
    return [str(p) if p.file else f"{file}: rule {p.rule}: {p.field}: {p.what}" for p in problems]


def rehearse(
    folder: Path, supply: Supply, rules: Sequence[Rule], since: int | None = None, until: int | None = None
) -> Rehearsed:
    """Replay the log of a data folder under draft rules; what is raised in [since, until) ms is told.

    The replay begins where the log does, whatever `since` is, for what came before may still matter. Raises RuleError,
    CannotRehearse, StoreError.
    """
    with SqliteLog(folder / "log.db", read_only=True) as log:
        engine, begin = _start(folder, supply, log)
        book = engine.rules if engine.rules is not None else check((), engine)
        engine.rules, book.beside = book, check(rules, engine)
        done = Rehearsed(since or 0, until or 0)
        for now in _ticks(engine, log, begin, until):
            done.since, done.until = done.since or now, now if until is None else until
            if now >= done.since:
                done.draft += book.beside.said
                done.in_force += book.said
        done.late, done.dropped = book.beside.late, book.beside.dropped
    tree = engine.scopes
    done.names = {c: {"zh": tree.name[i], "en": tree.name_en[i] or tree.name[i]} for i, c in enumerate(tree.code)}
    return done


def _start(folder: Path, supply: Supply, log: SqliteLog) -> tuple[Engine, int]:
    """An engine at the beginning of the log, or where a snapshot allows to begin if that was shortened."""
    first = log.first_tick()
    if first is None:
        raise CannotRehearse(f"the log in {folder} has no tick yet: nothing happened that a rule could be tried on")
    if log.first == 1:
        return Engine(supply.city(), supply.registry()), 1
    past = PastCity(folder, supply)
    snapshots = [p for p in past.snapshots.positions() if p + 1 >= log.first]
    if not snapshots:
        raise CannotRehearse(f"the log in {folder} was shortened, and no snapshot is left to begin with")
    try:
        past.go(min(snapshots))
    except Unreachable as error:
        raise CannotRehearse(
            f"the log in {folder} was shortened, and its snapshots are of other definitions"
        ) from error
    assert past.engine is not None
    return past.engine, past.position + 1


def _ticks(engine: Engine, log: SqliteLog, begin: int, until: int | None) -> Iterator[int]:
    """Replay record by record; after each tick its time."""
    for at, record in log.read(begin):
        match record:
            case Events(batch):
                engine.feed(batch, at)
            case Definition(name, document):
                engine.define(name, document, at)
            case Tick(now):
                if until is not None and now >= until:
                    return
                engine.tick(now, at)
                if engine.desk is not None:
                    engine.desk.drafts.clear()  # what followed stands in the log
                yield now
