"""Rules from TOML: `[[rule]]` tables, checked field by field; what is wrong is said with file, line, rule and field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from citytwin.models.desk.rules import (
    BANDS,
    FOR_EVER,
    KINDS,
    MODELS,
    PLACEHOLDERS,
    PLACES,
    CaseOf,
    Pattern,
    Problem,
    Rule,
    RuleError,
    RuleSet,
    When,
)
from citytwin.models.thresholds import STATUSES

#: Most of everything: rules in a file, parts of a condition in all, levels of them, characters of a text.
RULES_MAX, PARTS_MAX, DEPTH_MAX, TEXT_MAX = 200, 12, 4, 300
#: Longest time that a condition may look back, and the usual time that an event may come late, ms.
BACK_MAX_MS, LATE_MS = 24 * 3_600_000, 10 * 60_000
#: Usual time that a passing event keeps its alarm up, and that a strange reading says something, ms.
STAY_MS, FRESH_MS = 10 * 60_000, 3_600_000
#: Largest distance in metres.
METRES_MAX = 5_000.0

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RULE_FIELDS = {
    "id", "version", "valid_from", "valid_to", "theme", "title", "text", "priority", "at", "group", "confidence",
    "source", "status", "off", "late", "when", "case",
}  # fmt: skip
_READS = {"type", "where", "value"}
_EDGES = {"above", "below", "clear", "hold"}
#: Fields of each kind of condition besides kind, label, unit and by; those with a star must be there.
_FIELDS: dict[str, set[str]] = {
    "threshold": _READS | _EDGES | {"fresh", "indicator", "band", "metres"},
    "sequence": {"first*", "then*", "within*", "stay"},
    "absence": {"first", "then", "type", "where", "within*"},
    "near": {"first*", "then*", "within*", "metres*", "stay"},
    "rate": _READS | {"type*", "within*", "above", "below", "hold", "fresh"},
    "anomaly": _READS | {"type*", "model*", "target", "sigma", "weight", "width", "slack", "limit", "floor", "history",
                         "hold", "fresh"},
    "count": {"type*", "where", "within*", "least*", "metres", "hold"},
    "fact": {"where*"},
    "all": {"parts*", "hold"},
    "any": {"parts*", "hold"},
}  # fmt: skip


class _Bad(ValueError):
    """A field that cannot be taken."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field, self.what = field, what


def parse_rules(text: str, file: str = "rules.toml") -> list[Rule]:
    """The rules of a file. Raises RuleError with all that is wrong: of each rule the first fault of each part.

    >>> parse_rules("")
    []
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise RuleError([Problem(file, line, "", "", f"this is no TOML: {error}")]) from error
    heads = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*rule\s*\]\]", line)]
    problems = [
        Problem(file, 1, "", key, "a file of rules has [[rule]] tables only") for key in document if key != "rule"
    ]
    tables = document.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise RuleError([Problem(file, 1, "", "rule", "write each rule under [[rule]], with double brackets")])
    if len(tables) > RULES_MAX:
        raise RuleError(
            [Problem(file, 1, "", "rule", f"{len(tables)} rules; at most {RULES_MAX} are taken from a file")]
        )
    rules = []
    for number, table in enumerate(tables):
        line, id = heads[number] if number < len(heads) else 1, str(table.get("id", f"number {number + 1}"))[:60]
        try:
            rules.append(_rule(table))
        except _Bad as bad:
            problems.append(Problem(file, line, id, bad.field, bad.what))
    if problems:
        raise RuleError(problems)
    RuleSet().add(rules, file)
    return rules


def _rule(table: Mapping[str, Any]) -> Rule:
    _only(table, _RULE_FIELDS, "")
    id = _text(table, "id")
    if not re.fullmatch(r"[a-z][a-z0-9_.-]{0,59}", id):
        raise _Bad("id", "lower-case letters, digits, _ . and -, at most 60, beginning with a letter")
    since, until = _time(table, "valid_from", None), _time(table, "valid_to", FOR_EVER)
    if since >= until:
        raise _Bad("valid_to", "it must come after valid_from")
    priority, notice = _priority(table)
    at = _choice(table, "at", PLACES, "subject")
    group = _template(table.get("group", "{rule}"), "group")
    status = _choice(table, "status", tuple(STATUSES), None)
    return Rule(
        id, _whole(table, "version", 1, 10**6, None), since, until, _text(table, "theme"), _both(table, "title"),
        {lang: _template(t, "text") for lang, t in _both(table, "text").items()}, priority, notice, at, group,
        _number(table, "confidence", 0.0, 1.0, None), _text(table, "source"), status,
        _duration(table, "off", 0), _duration(table, "late", LATE_MS), _condition(table, at), _case(table),
    )  # fmt: skip


def _priority(table: Mapping[str, Any]) -> tuple[int, bool]:
    given = table.get("priority")
    if given == "notice":
        return 4, True
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 4:
        raise _Bad("priority", 'a number from 1 (the worst) to 4, or "notice" for what needs no response')
    return given, False


def _case(table: Mapping[str, Any]) -> CaseOf | None:
    given = table.get("case")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _Bad("case", 'a table, as in case = { category = "drainage.waterlogging", level = 2 }')
    _only(given, {"category", "level", "automatic"}, "case.")
    alone = given.get("automatic", False)
    if not isinstance(alone, bool):
        raise _Bad("case.automatic", "true: a unit is sent without a person; false, or left out: a person decides")
    return CaseOf(_text(given, "category", "case."), _whole(given, "level", 0, 4, 0, "case."), alone)


def _condition(table: Mapping[str, Any], at: str) -> When:
    given = table.get("when")
    if not isinstance(given, dict):
        raise _Bad("when", "the condition is missing; write it under [rule.when] with a kind")
    when = _when(given, at, "when.", 0)
    if sum(1 for _ in when.leaves()) > PARTS_MAX:
        raise _Bad("when", f"at most {PARTS_MAX} parts are taken: make two rules of it")
    _anchored(when, "when", at)
    return when


def _anchored(when: When, where: str, at: str) -> None:
    """The first part says where something is; a fact and a part that looks around cannot."""
    if not when.parts and when.by != at:
        raise _Bad(f"{where}.by", f"this part says where the alarm is, and the rule says at = {at!r}: make them equal")
    if when.kind == "fact":
        raise _Bad(where, "a fact alone makes no alarm: let the first part look at events or at an indicator")
    if when.kind == "threshold" and when.metres:
        raise _Bad(where, "metres look around a place that another part gives: do not let this part be the first")
    for part in when.parts[:1] if when.kind == "all" else when.parts:
        _anchored(part, f"{where}.parts", at)


def _when(table: Mapping[str, Any], at: str, path: str, depth: int) -> When:
    kind = _choice(table, "kind", tuple(KINDS), None, path)
    allowed = _FIELDS[kind]
    _only(table, {f.rstrip("*") for f in allowed} | {"kind", "label", "unit", "by"}, path)
    for name in sorted(f[:-1] for f in allowed if f.endswith("*")):
        if name not in table:
            raise _Bad(path + name, f"{kind} needs it: {KINDS[kind]}")
    inner = kind in ("all", "any")
    first, then = _patterns(table, path)
    made = When(
        kind=kind, label={} if inner and "label" not in table else _both(table, "label", path),
        unit=_text(table, "unit", path, ""), by=_choice(table, "by", PLACES, at, path), first=first, then=then,
        value=_text(table, "value", path, "col.value"), indicator=_text(table, "indicator", path, ""),
        band=_choice(table, "band", BANDS, "", path), hold_ms=_duration(table, "hold", 0, path),
        fresh_ms=_duration(table, "fresh", _fresh(table, kind, path), path),
        within_ms=_duration(table, "within", 0, path),
        stay_ms=_duration(table, "stay", STAY_MS, path) if kind in ("sequence", "near") else 0,
        metres=_number(table, "metres", 1.0, METRES_MAX, 0.0, path), least=_whole(table, "least", 1, 10_000, 0, path),
        model=_choice(table, "model", tuple(MODELS), "", path), history=_whole(table, "history", 5, 500, 30, path),
        parts=_parts(table, at, path, depth) if inner else (), **_numbers(table, path),
    )  # fmt: skip
    _check(made, table, path)
    return made


def _fresh(table: Mapping[str, Any], kind: str, path: str) -> int:
    """How long a reading says something where nothing else is said: what models find does not hold for ever."""
    return {"rate": _duration(table, "within", 0, path), "anomaly": FRESH_MS}.get(kind, 0)


def _numbers(table: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Edges and what models are set by, as far as they are given."""
    names = ("above", "below", "clear", "target", "sigma", "weight", "width", "slack", "limit", "floor")
    return {n: _number(table, n, -1e15, 1e15, None, path) for n in names if n in table}


def _parts(table: Mapping[str, Any], at: str, path: str, depth: int) -> tuple[When, ...]:
    given = table["parts"]
    if depth >= DEPTH_MAX or not isinstance(given, list) or not given or not all(isinstance(p, dict) for p in given):
        raise _Bad(path + "parts", f"a list of at least one condition, [[rule.when.parts]], at most {DEPTH_MAX} deep")
    return tuple(_when(p, at, f"{path}parts[{i + 1}].", depth + 1) for i, p in enumerate(given))


def _patterns(table: Mapping[str, Any], path: str) -> tuple[Pattern, Pattern | None]:
    if "first" in table:
        then = _pattern(table["then"], f"{path}then.") if "then" in table else None
        return _pattern(table["first"], f"{path}first."), then
    if "then" in table:
        raise _Bad(path + "then", "say with `first` after which event it is waited for")
    return Pattern(_text(table, "type", path, ""), _text(table, "where", path, "")), None


def _pattern(given: Any, path: str) -> Pattern:
    if not isinstance(given, dict):
        raise _Bad(path.rstrip("."), 'a table, as in { type = "obs", where = "col.value > 3" }')
    _only(given, {"type", "where"}, path)
    return Pattern(_text(given, "type", path), _text(given, "where", path, ""))


def _check(when: When, table: Mapping[str, Any], path: str) -> None:
    """What fields of one part must say together."""
    checks: dict[str, Callable[[When, Mapping[str, Any], str], None]] = {
        "threshold": _check_threshold, "rate": _check_edge, "anomaly": _check_anomaly, "absence": _check_absence,
    }  # fmt: skip
    if when.kind in checks:
        checks[when.kind](when, table, path)
    if "within" in table and when.within_ms <= 0:
        raise _Bad(path + "within", "a time longer than nothing, as in 5m")
    if when.reach_ms() > BACK_MAX_MS:
        raise _Bad(path + "within", "together with hold, stay and fresh it looks back more than 24h; make it shorter")


def _check_threshold(when: When, table: Mapping[str, Any], path: str) -> None:
    if bool(when.indicator) == bool(when.first.type):
        raise _Bad(path + "type", "a threshold reads events of a `type`, or an `indicator`; give one of them")
    if when.indicator and (when.by == "subject" or when.metres):
        raise _Bad(path + "by", f"an indicator has values at scopes: say at which, one of {', '.join(PLACES[1:])}")
    if when.band:
        if not when.indicator:
            raise _Bad(path + "band", "bands are those of an indicator; for events write above or below")
        if when.above is not None or when.below is not None or when.clear is not None:
            raise _Bad(path + "band", "the band is the edge; leave above, below and clear out")
        return
    _check_edge(when, table, path)
    if when.clear is not None:
        edge = when.above if when.above is not None else when.below
        if edge is not None and (when.clear > edge if when.above is not None else when.clear < edge):
            raise _Bad(path + "clear", f"it must lie on the good side of {edge:g}, so that there is a dead band")


def _check_edge(when: When, table: Mapping[str, Any], path: str) -> None:
    del table
    if (when.above is None) == (when.below is None):
        raise _Bad(path + "above", "give above or below, one of them")


def _check_anomaly(when: When, table: Mapping[str, Any], path: str) -> None:
    for name in MODELS[when.model]:
        if name not in table:
            raise _Bad(path + name, f"the model {when.model} needs it")
    for name in ("sigma", "width", "limit"):
        if name in table and getattr(when, name) <= 0:
            raise _Bad(path + name, "a number above 0")
    if not 0 < when.weight <= 1:
        raise _Bad(path + "weight", "a number above 0, at most 1; 0.2 to 0.3 is usual")


def _check_absence(when: When, table: Mapping[str, Any], path: str) -> None:
    if not when.first.type:
        raise _Bad(path + "type", "say which events: `type` for nothing at all, or `first` and `then`")
    if "first" in table and when.then is None:
        raise _Bad(path + "then", "say which event should follow; for nothing at all write `type` instead of `first`")
    if when.then is None and when.by != "subject":
        raise _Bad(path + "by", 'silence is that of a subject; write by = "subject"')


# Single fields.


def _only(table: Mapping[str, Any], allowed: set[str], path: str) -> None:
    for name in table:
        if name not in allowed:
            raise _Bad(f"{path}{name}"[:80], f"there is no such field here; there are {', '.join(sorted(allowed))}")


def _text(table: Mapping[str, Any], name: str, path: str = "", usual: str | None = None) -> str:
    given = table.get(name, usual)
    if not isinstance(given, str) or (not given and usual is None):
        raise _Bad(path + name, "a text is needed here")
    if len(given) > TEXT_MAX:
        raise _Bad(path + name, f"at most {TEXT_MAX} characters")
    return given


def _both(table: Mapping[str, Any], name: str, path: str = "") -> dict[str, str]:
    given = table.get(name)
    if not isinstance(given, dict) or set(given) != {"zh", "en"}:
        raise _Bad(path + name, 'both languages are needed, as in { zh = "...", en = "..." }')
    return {lang: _text(given, lang, f"{path}{name}.") for lang in ("zh", "en")}


def _template(given: Any, name: str) -> str:
    if not isinstance(given, str) or len(given) > TEXT_MAX:
        raise _Bad(name, f"a text of at most {TEXT_MAX} characters")
    for found in re.findall(r"\{([^{}]*)\}", given):
        if found not in PLACEHOLDERS:
            raise _Bad(name, f"there is no {{{found[:30]}}}; there are {', '.join(PLACEHOLDERS)}")
    return given


def _choice(table: Mapping[str, Any], name: str, allowed: Sequence[str], usual: str | None, path: str = "") -> str:
    given = table.get(name, usual)
    if name not in table and usual is not None:
        return usual
    if not isinstance(given, str) or given not in allowed:
        raise _Bad(path + name, f"one of {', '.join(allowed)}")
    return given


def _number(table: Mapping[str, Any], name: str, lo: float, hi: float, usual: float | None, path: str = "") -> float:
    given = table.get(name, usual)
    if isinstance(given, bool) or not isinstance(given, int | float) or not (lo <= given <= hi or name not in table):
        raise _Bad(path + name, f"a number from {lo:g} to {hi:g}")
    return float(given)


def _whole(table: Mapping[str, Any], name: str, lo: int, hi: int, usual: int | None, path: str = "") -> int:
    given = table.get(name, usual)
    if isinstance(given, bool) or not isinstance(given, int) or not (lo <= given <= hi or name not in table):
        raise _Bad(path + name, f"a whole number from {lo} to {hi}")
    return given


def _duration(table: Mapping[str, Any], name: str, usual: int, path: str = "") -> int:
    if name not in table:
        return usual
    found = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", str(table[name]))
    length = int(found[1]) * _UNITS_MS[found[2]] if found else -1
    if not 0 <= length <= BACK_MAX_MS:
        raise _Bad(path + name, "a duration of at most 24h, as in 30s, 5m or 1h")
    return length


def _time(table: Mapping[str, Any], name: str, usual: int | None) -> int:
    given = table.get(name)
    if given is None and usual is not None:
        return usual
    if isinstance(given, datetime) and given.tzinfo is not None:
        return round(given.astimezone(UTC).timestamp() * 1000)
    kind = "it has no offset" if isinstance(given, date) else "it is none"
    raise _Bad(name, f"a time with its offset, as in 2026-01-01T00:00:00+08:00; {kind}")
