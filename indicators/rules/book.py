"""The book of rules: what all rules know of the log, and what they have to say at each tick.

What fires is a function of the log and the times of its ticks alone: events count where they belong by (time, source,
id), up to `Rule.late_ms` late, whatever the order in which they came between two ticks and whatever their batches.

Bounds: SUBJECTS_MAX subjects whose readings are held (readings of further ones are not looked at); of each part 1,000
atoms a key and 20,000 in all, 200,000 readings of a course (the oldest are forgotten); ACTIVE_MAX alarms of a rule that
are up together (further places wait, in the order of their codes). `dropped` counts what had no room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.indicators.rules import words
from citytwin.indicators.rules.atoms import Finding, Ground, Place
from citytwin.indicators.rules.build import Bands, build
from citytwin.indicators.rules.matchers import Matcher, Told
from citytwin.indicators.rules.part import NEVER, Board, Part, Setting
from citytwin.indicators.rules.subjects import Subjects
from citytwin.models.columns import Int64
from citytwin.models.desk.event import Draft
from citytwin.models.desk.rules import Problem, Rule, RuleError
from citytwin.models.vocabulary import EventType, Vocabulary
from citytwin.twin.entities import Entities

#: Most alarms of one rule that are up at a time.
ACTIVE_MAX = 10_000


@dataclass(slots=True)
class Up:
    """An alarm that is up: its place, since when (ms), and since when its condition is gone (0 = it is not)."""

    place: Place
    since: int
    gone: int = 0


@dataclass(slots=True)
class Working:
    """A rule at work."""

    rule: Rule
    part: Part
    up: dict[str, Up]


def rules_hash(rules: Sequence[Rule]) -> str:
    """Hash of everything that rules say; "" without any."""
    text = repr(sorted(rules, key=lambda rule: rule.key))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest() if rules else ""


class RuleBook:
    """All rules of a city at work. Rules that name what it does not have are left out, and told in `problems`."""

    def __init__(
        self, rules: Sequence[Rule], scopes: ScopeTree, entities: Entities, vocabulary: Vocabulary,
        indicators: Bands, due_at: words.DueAt,
    ) -> None:  # fmt: skip
        """`indicators`: bands by indicator; `due_at`: when a case that a rule opens must be handled."""
        self.ground, self.subjects, self.due_at = Ground(scopes, entities), Subjects(), due_at
        self.now = 0
        self.late = 0
        #: What the last tick gave.
        self.said: list[Draft] = []
        #: Another book that hears all of this but is not listened to: rules that are rehearsed.
        self.beside: RuleBook | None = None
        self.problems: list[Problem] = []
        self.works: dict[str, Working] = {}
        self._watch: dict[str, list[tuple[Matcher, int, Part, int]]] = {}
        for rule in sorted(rules, key=lambda rule: (rule.id, rule.version)):
            try:
                part = build(rule, Setting(self.ground, self.subjects, rule.late_ms), vocabulary, indicators)
            except RuleError as error:
                self.problems += error.problems
                continue
            self.works[rule.key] = Working(rule, part, {})
        self.hash = rules_hash([w.rule for w in self.works.values()])
        self._listen(vocabulary)

    def _listen(self, vocabulary: Vocabulary) -> None:
        """Who looks at events of which type; equal patterns are evaluated once."""
        same: dict[str, Matcher] = {}
        for work in self.works.values():
            for part in work.part.leaves():
                for number, matcher in enumerate(part.matchers):
                    mask = same.setdefault(f"{matcher.type} {matcher.where}", matcher)
                    for kind in vocabulary.types.values():
                        if matcher.wants(kind):
                            self._watch.setdefault(kind.name, []).append((mask, number, part, work.rule.late_ms))

    @property
    def rules(self) -> list[Rule]:
        """The rules at work."""
        return [work.rule for work in self.works.values()]

    @property
    def dropped(self) -> int:
        """Atoms, readings and subjects that had no room."""
        parts = (p for w in self.works.values() for p in w.part.leaves())
        return self.subjects.dropped + sum(p.dropped for p in parts)

    def hears(self, kind: EventType) -> bool:
        """Whether any rule looks at events of a type."""
        return kind.name in self._watch or (self.beside is not None and self.beside.hears(kind))

    def matching(self, told: Told) -> Int64:
        """Rows of events of one type that any pattern holds for, in order (int64[m])."""
        hit = np.zeros(len(told), np.bool_)
        for matcher in {id(m): m for m, *_ in self._watch.get(told.kind.name, ())}.values():
            hit[matcher.rows(told)] = True
        return np.flatnonzero(hit)

    def reads(self) -> dict[str, int]:
        """Indicators that conditions read, and the finest level (index in LEVELS) at which each is read."""
        found: dict[str, int] = {}
        for work in self.works.values():
            for part in work.part.leaves():
                if part.when.indicator:
                    level = LEVELS.index(part.when.by)
                    found[part.when.indicator] = max(level, found.get(part.when.indicator, 0))
        return found

    def note(self, told: Told, sign: int = 1) -> None:
        """Events of one type begin (+1) or cease (-1) to count, for those rules for which they are not too late.

        An event that ceases takes its atom with it; what it had ended or answered already stays ended.
        """
        if self.beside is not None:
            self.beside.note(told, sign)
        masks: dict[int, Int64] = {}
        for matcher, number, part, late_ms in self._watch.get(told.kind.name, ()):
            if id(matcher) not in masks:
                masks[id(matcher)] = matcher.rows(told)
            rows = masks[id(matcher)]
            in_time = told.time[rows] >= self.now - late_ms
            self.late += len(rows) - int(np.count_nonzero(in_time))
            rows = rows[in_time]
            if len(rows):
                part.note(number, told, rows, sign)

    def tick(self, now: int, board: Board) -> list[Draft]:
        """Move the clock to `now`: what is to be said, by rule, then by place."""
        self.now = now
        out: list[Draft] = []
        for work in self.works.values():
            found = work.part.found(now, board)
            out += self._follow(work, found if work.rule.in_force(now) else {}, now)
        self.said = out
        if self.beside is not None:
            self.beside.tick(now, board)
        return out

    def _follow(self, work: Working, found: Mapping[str, Finding], now: int) -> list[Draft]:
        """Raise what is new, clear what is gone for long enough."""
        out: list[Draft] = []
        rule = work.rule
        for code in sorted(work.up):
            up = work.up[code]
            if code in found:
                up.gone = 0
                continue
            up.gone = up.gone or now
            if now - up.gone >= rule.off_ms or not rule.in_force(now):
                del work.up[code]
                out.append(words.cleared(rule, up.place, up.since, now, self.ground))
        for code in sorted(found.keys() - work.up.keys()):
            if not code or len(work.up) >= ACTIVE_MAX:
                continue
            work.up[code] = Up(found[code].place, now)
            out += self._raise(rule, found[code], now)
        return out

    def _raise(self, rule: Rule, finding: Finding, now: int) -> list[Draft]:
        out = [words.raised(rule, finding, now, self.ground)]
        if rule.case is not None:
            out += words.case_drafts(rule, finding, now, self.ground, self.due_at)
        return out

    def next_due(self) -> int:
        """Earliest time after the last tick at which one can find something without an event; 2**62 for never."""
        times = [work.part.due for work in self.works.values()]
        times += [up.gone + w.rule.off_ms for w in self.works.values() for up in w.up.values() if up.gone]
        edges = (t for w in self.works.values() for t in (w.rule.valid_from, w.rule.valid_to))
        return min((t for t in (*times, *edges) if t > self.now), default=NEVER)

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        works = {
            key: {"part": work.part.state(), "up": {c: _plain(u) for c, u in sorted(work.up.items())}}
            for key, work in self.works.items()
        }
        return {"now": self.now, "late": self.late, "subjects": self.subjects.state(), "works": works}

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state; a rule that the state does not know begins anew."""
        self.now, self.late = int(state["now"]), int(state["late"])
        self.subjects.load(state["subjects"])
        for key, known in state["works"].items():
            if key in self.works:
                self.works[key].part.load(known["part"])
                self.works[key].up = {code: _up(told) for code, told in known["up"].items()}


def _plain(up: Up) -> list[Any]:
    place = up.place
    where = [None if v != v else v for v in (place.lon, place.lat)]  # noqa: PLR0124  NaN is no JSON
    return [place.code, place.subject, place.scope, place.entity, *where, up.since, up.gone]


def _up(told: Sequence[Any]) -> Up:
    lon, lat = (float("nan") if v is None else float(v) for v in told[4:6])
    return Up(Place(told[0], told[1], told[2], told[3], lon, lat), told[6], told[7])
