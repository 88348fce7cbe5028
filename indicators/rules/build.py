"""From a rule as data to its parts at work; what a city does not know is said with the field that names it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from citytwin.indicators.onecolumns import BadExpression
from citytwin.indicators.rules.events import Absence, Count, Follows, Near
from citytwin.indicators.rules.joined import Fact, Joined, OfIndicator
from citytwin.indicators.rules.matchers import Matcher, fact
from citytwin.indicators.rules.part import Part, Setting
from citytwin.indicators.rules.readings import Silence, Threshold
from citytwin.indicators.rules.series import Anomaly, Rate
from citytwin.models.desk.rules import Pattern, Problem, Rule, RuleError, When
from citytwin.models.vocabulary import Vocabulary

#: Bands of each indicator of a city: what a rule may name.
Bands = Mapping[str, Collection[str]]

_KINDS: dict[str, type[Part]] = {"sequence": Follows, "near": Near, "count": Count, "rate": Rate, "anomaly": Anomaly}
#: Kinds that read a value of each event.
_VALUED = frozenset({"threshold", "rate", "anomaly"})


def build(rule: Rule, setting: Setting, vocabulary: Vocabulary, indicators: Bands, file: str = "") -> Part:
    """The condition of a rule at work. Raises RuleError for a type, field or indicator that the city does not have."""
    try:
        return _part(rule.when, setting, vocabulary, indicators, "when.")
    except _Unknown as error:
        raise RuleError([Problem(file, 0, rule.id, error.field, str(error))]) from error


class _Unknown(Exception):
    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field


def _part(when: When, setting: Setting, vocabulary: Vocabulary, indicators: Bands, path: str) -> Part:
    if when.parts:
        inner = [_part(p, setting, vocabulary, indicators, f"{path}parts[{i}].") for i, p in enumerate(when.parts, 1)]
        return Joined(when, setting, inner)
    if when.kind == "fact":
        try:
            return Fact(when, setting, fact(when.first.where))
        except BadExpression as error:
            raise _Unknown(f"{path}where", str(error)) from error
    if when.indicator:
        return _of_indicator(when, setting, indicators, path)
    patterns = {"": when.first} if when.then is None else {"first.": when.first, "then.": when.then}
    matchers = [_matcher(p, when, vocabulary, path + name) for name, p in patterns.items()]
    if when.kind == "threshold":
        return Threshold(when, setting, matchers)
    if when.kind == "absence":
        return Silence(when, setting, matchers) if when.then is None else Absence(when, setting, matchers)
    return _KINDS[when.kind](when, setting, matchers)


def _matcher(pattern: Pattern, when: When, vocabulary: Vocabulary, path: str) -> Matcher:
    try:
        return Matcher(pattern, when.value if when.kind in _VALUED else "", vocabulary)
    except BadExpression as error:
        known = any(pattern.type in (t.name, t.family) for t in vocabulary.types.values())
        raise _Unknown(path + ("where" if known else "type"), str(error)) from error


def _of_indicator(when: When, setting: Setting, indicators: Bands, path: str) -> Part:
    if when.indicator not in indicators:
        raise _Unknown(f"{path}indicator", f"there is no indicator {when.indicator:.60} in this city")
    bands = indicators[when.indicator]
    if when.band and when.band not in bands:
        has = f"it has {', '.join(bands)}" if bands else "it has none: write above or below"
        raise _Unknown(f"{path}band", f"{when.indicator} has no band {when.band}; {has}")
    return OfIndicator(when, setting)
