"""Rules as data: what makes an alarm, what it says, whether it opens a case. Read from TOML by `models.desk.ruletoml`.

A rule has one condition (`When`), a tree: leaves look at events, at values of indicators or at registers, `all` and
`any` join them. What a leaf means is told in `KINDS`. Texts may hold the names of `PLACEHOLDERS` in braces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from citytwin.models.vocabulary import ALWAYS

#: Where an alarm of a rule is: at the entity that the events are about, or at a scope of this level.
PLACES = ("subject", "city", "district", "street", "community", "grid")
#: Bands of indicators from the worst, which are also the colours of priorities 1 to 4.
BANDS = ("red", "orange", "yellow", "blue")
#: Models of an `anomaly` with the fields that each needs.
MODELS: dict[str, tuple[str, ...]] = {
    "robust_z": ("width",), "ewma": ("target", "sigma"), "cusum": ("target", "slack", "limit"),
}  # fmt: skip
#: What a text may hold in braces.
PLACEHOLDERS = ("place", "subject", "value", "unit", "count", "rule", "theme", "district", "street")
#: What each kind of condition says.
KINDS: dict[str, str] = {
    "threshold": "a reading, or the value or band of an indicator, beyond an edge for a hold time; back below `clear`",
    "sequence": "an event, then another one by the same subject within a time",
    "absence": "an event that is not followed by another one within a time; or nothing at all for a time",
    "near": "an event, then another one within a distance and a time, whoever they are about",
    "rate": "the change of a reading a minute over a window, beyond an edge",
    "anomaly": "a reading that a model of its own history finds strange",
    "count": "so many events within a time, at a scope, at a subject or within a distance of each other",
    "fact": "what the register says of the entity that the alarm is about",
    "all": "all parts hold; the first one says where",
    "any": "at least one part holds",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Events of a type (or family) for which a condition over their columns holds; "" = all of them."""

    type: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class When:
    """One part of a condition; which fields it uses depends on `kind`. Times in ms, distances in metres.

    `by`: what is looked at together, one of PLACES. `clear`: where a threshold is over (dead band). `fresh`: a reading
    older than this says nothing any more (0 = it holds for ever). `stay`: how long a passing event keeps its alarm up.
    """

    kind: str
    label: Mapping[str, str]
    unit: str = ""
    by: str = "subject"
    first: Pattern = Pattern("")
    then: Pattern | None = None
    value: str = "col.value"
    indicator: str = ""
    band: str = ""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    hold_ms: int = 0
    fresh_ms: int = 0
    within_ms: int = 0
    stay_ms: int = 0
    metres: float = 0.0
    least: int = 0
    model: str = ""
    target: float = 0.0
    sigma: float = 0.0
    weight: float = 0.3
    width: float = 3.0
    slack: float = 0.0
    limit: float = 0.0
    floor: float = 0.0
    history: int = 30
    parts: tuple[When, ...] = ()

    def leaves(self) -> Iterator[When]:
        """The parts that look at something, in order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()

    def reach_ms(self) -> int:
        """How far back it looks."""
        return max((p.within_ms + p.hold_ms + p.stay_ms + p.fresh_ms for p in self.leaves()), default=0)


@dataclass(frozen=True, slots=True)
class CaseOf:
    """The case that a rule opens: category, level 0..4 (0 = none); `automatic`: a unit is sent without a person."""

    category: str
    level: int = 0
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in force in [valid_from, valid_to) ms UTC.

    `priority` 1..4, 1 the worst; `notice`: it needs no response and has no priority of its own (4 is told). `off_ms`:
    how long its condition must be gone before its alarm is. `late_ms`: events that come later are not looked at.
    `confidence` 0..1: how sure it is to be right when it fires. `status`: a key of models.thresholds.STATUSES.
    """

    id: str
    version: int
    valid_from: int
    valid_to: int
    theme: str
    title: Mapping[str, str]
    text: Mapping[str, str]
    priority: int
    notice: bool
    at: str
    group: str
    confidence: float
    source: str
    status: str
    off_ms: int
    late_ms: int
    when: When
    case: CaseOf | None = None

    @property
    def key(self) -> str:
        """Name of this version of the rule."""
        return f"{self.id}/{self.version}"

    def in_force(self, now: int) -> bool:
        """Whether it holds at a time (ms UTC)."""
        return self.valid_from <= now < self.valid_to


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a rule: file, line (1 = the first), rule, field, and what to do."""

    file: str
    line: int
    rule: str
    field: str
    what: str

    def __str__(self) -> str:
        who = f"rule {self.rule}: " if self.rule else ""
        what = f"{self.field}: {self.what}" if self.field else self.what
        return f"{self.file}:{self.line}: {who}{what}"


class RuleError(ValueError):
    """Rules that cannot be taken; `problems` says all that is wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(slots=True)
class RuleSet:
    """Rules by their versions; two versions of one rule are never in force together."""

    rules: list[Rule] = field(default_factory=list)

    def add(self, rules: Sequence[Rule], file: str = "") -> None:
        """Take more rules in. RuleError, and none is taken, where a version is there or overlaps another."""
        problems, held = [], list(self.rules)
        for rule in rules:
            for other in (r for r in held if r.id == rule.id):
                if other.version == rule.version:
                    problems.append(Problem(file, 0, rule.id, "version", f"{rule.version} is there already; raise it"))
                elif rule.valid_from < other.valid_to and other.valid_from < rule.valid_to:
                    what = f"it is in force together with version {other.version}; end that one with valid_to first"
                    problems.append(Problem(file, 0, rule.id, "valid_from", what))
            held.append(rule)
        if problems:
            raise RuleError(problems)
        self.rules = held


#: A rule that never ends.
FOR_EVER = ALWAYS
