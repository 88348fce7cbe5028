"""Reads plans from TOML; all faults are told at once, with file, place in the document and what would be right."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from citytwin.models.desk.calendar import Limit
from citytwin.models.desk.plans import End, Level, Plan, Reports, Task, Words
from citytwin.models.desk.roles import ROLES
from citytwin.models.desk.triggers import Trigger, TriggerError
from citytwin.models.desk.triggers import parse as parse_trigger
from citytwin.models.vocabulary import HOUR_MS

PLACES = ("city", "district", "street")
#: Words that CAP 1.2 allows.
CAP_WORDS: dict[str, tuple[str, ...]] = {
    "category": (
        "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other",
    ),
    "responseType": (
        "Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None",
    ),
    "urgency": ("Immediate", "Expected", "Future", "Past", "Unknown"),
    "certainty": ("Observed", "Likely", "Possible", "Unlikely", "Unknown"),
}  # fmt: skip
_KEYS: dict[str, frozenset[str]] = {
    "": frozenset({
        "id", "version", "title", "kind", "place", "automatic", "source", "status", "levels", "tasks", "end",
        "reports", "notify", "resources", "cap",
    }),
    "levels": frozenset({"level", "begin", "keep", "hold", "lower_after", "choose", "basis"}),
    "tasks": frozenset({"n", "title", "role", "clock", "levels"}),
    "end": frozenset({"when", "hold", "automatic"}),
    "reports": frozenset({"first", "follow_up", "final", "to", "levels", "status"}),
    "notify": frozenset({"role", "title", "levels"}),
    "resources": frozenset({"title", "quantity", "unit", "skill"}),
    "cap": frozenset({*CAP_WORDS, "event", "headline", "instruction", "expires"}),
}  # fmt: skip
_ALL = (1, 2, 3, 4)
T = TypeVar("T")


class PlanError(ValueError):
    """A plan that cannot be used; its text has one line a fault, `file: place: reason`."""


class _Table:
    """A table of the document that is read key by key; faults are gathered."""

    def __init__(self, cells: Any, place: str, kind: str, faults: list[str]) -> None:
        self.place, self.faults = place, faults
        self.cells: Mapping[str, Any] = cells if isinstance(cells, dict) else {}
        if not isinstance(cells, dict):
            self.fault("", f"must be a table, [{kind}]")
        for name in self.cells.keys() - _KEYS[kind]:
            self.fault(name, f"is not known here; there are {', '.join(sorted(_KEYS[kind]))}")

    def fault(self, name: str, reason: str) -> None:
        """Note a fault of a key."""
        self.faults.append(f"{'.'.join(filter(None, (self.place, name)))}: {reason}")

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A value of a type; `default` where it is absent, None says that it must be there."""
        value = self.cells.get(name, default)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        word = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}.get(kind, kind.__name__)
        self.fault(name, "is missing" if value is None else f"must be {word}, not {value!r}")
        return kind()

    def choice(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """One of the known words."""
        value = self.get(name, str, default)
        if value and value not in known:
            self.fault(name, f"{value!r} is none of {', '.join(known)}")
        return value

    def words(self, name: str) -> Words:
        """A text in both languages."""
        value = self.cells.get(name)
        if isinstance(value, dict) and all(isinstance(value.get(k), str) and value[k] for k in ("zh", "en")):
            return {"zh": value["zh"], "en": value["en"]}
        self.fault(name, 'needs both languages, as in { zh = "内涝", en = "Waterlogging" }')
        return {"zh": "", "en": ""}

    def clock(self, name: str, default: str | None = None) -> int:
        """A duration in ms, `0` for none."""
        text = self.get(name, str, default)
        if text in ("", "0"):
            return 0
        try:
            limit = Limit.parse(text)
        except ValueError:
            limit = Limit(0, "working_hours")
        if limit.unit != "clock_hours":
            self.fault(name, f"{text!r} is no duration; write 30min or 2h")
        return round(limit.amount * HOUR_MS)

    def levels(self, name: str = "levels", default: tuple[int, ...] | None = _ALL) -> tuple[int, ...]:
        """Levels, sorted, each once."""
        value = self.get(name, list, None if default is None else list(default))
        if not all(type(n) is int and n in _ALL for n in value):
            self.fault(name, "levels are whole numbers from 1 (I, the worst) to 4 (IV)")
            return ()
        return tuple(sorted(set(value)))

    def trigger(self, name: str) -> Trigger:
        """A condition; one that never holds in place of a faulty one."""
        try:
            return parse_trigger(self.get(name, str))
        except TriggerError as error:
            if self.cells.get(name):
                self.fault(name, str(error))
            return parse_trigger("0 > 1")

    def tables(self, name: str) -> list[_Table]:
        """The tables of a list of them."""
        rows = self.get(name, list, [])
        return [_Table(row, f"{name}[{i}]", name, self.faults) for i, row in enumerate(rows, 1)]


def _level(table: _Table) -> Level:
    level = table.get("level", int)
    if level not in _ALL:
        table.fault("level", "levels are 1 (I, the worst) to 4 (IV)")
    basis = table.words("basis") if "basis" in table.cells else {}
    return Level(
        level, table.trigger("begin"), table.trigger("keep"), table.clock("hold", "0"), table.clock("lower_after"),
        table.levels("choose", ()), basis,
    )  # fmt: skip


def _task(table: _Table) -> Task:
    role = table.choice("role", tuple(ROLES))
    levels = frozenset(table.levels())
    return Task(table.get("n", int), table.words("title"), role, table.clock("clock", "0"), levels)


def _reports(table: _Table) -> Reports:
    return Reports(
        table.clock("first"), table.clock("follow_up"), table.clock("final"), table.get("to", str),
        frozenset(table.levels()), table.choice("status", ("V", "L"), "L"),
    )  # fmt: skip


def _cap(table: _Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, known in CAP_WORDS.items():
        many = name in ("category", "responseType")
        values = table.get(name, list, []) if many else [table.choice(name, known, "Unknown")]
        if not all(v in known for v in values):
            table.fault(name, f"{values} are not all of {', '.join(known)}")
        found[name] = values if many else values[0]
    found |= {name: dict(table.words(name)) for name in ("event", "headline", "instruction")}
    return found | {"expires_ms": table.clock("expires", "2h")}


def _agree(plan: Plan, root: _Table) -> None:
    """What the parts of a plan must have in common."""
    levels = [row.level for row in plan.levels]
    if not levels or levels != sorted(set(levels)):
        root.fault("levels", "a plan has at least one level; each is told once, the worst (1) first")
    numbers = [task.n for task in plan.tasks]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        root.fault("tasks", f"steps are numbered 1, 2, 3 in their order, not {numbers}")
    if plan.automatic and any(row.choose for row in plan.levels):
        root.fault("automatic", "a plan in which a person chooses the level cannot start without one")
    for i, row in enumerate(plan.levels, 1):
        if row.choose and row.level not in row.choose:
            root.fault(f"levels[{i}].choose", f"must contain its own level, {row.level}")
        if not row.begin.indicators | row.begin.alarms:
            root.fault(f"levels[{i}].begin", "reads no indicator and no alarm, so that it never changes")


def parse(text: str, file: str) -> Plan:
    """A plan from a TOML document. Raises PlanError with a line for every fault."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PlanError(f"{file}: no TOML: {error}") from error
    faults: list[str] = []
    root = _Table(document, "", "", faults)
    end = _Table(root.cells.get("end", {}), "end", "end", faults)
    reports, cap = (
        _Table(root.cells[name], name, name, faults) if name in root.cells else None for name in ("reports", "cap")
    )
    plan = Plan(
        root.get("id", str), root.get("version", int), root.words("title"), root.get("kind", str),
        root.choice("place", PLACES), tuple(map(_level, root.tables("levels"))),
        tuple(map(_task, root.tables("tasks"))),
        End(end.trigger("when"), end.clock("hold", "0"), end.get("automatic", bool, False)),
        _reports(reports) if reports else None, root.get("automatic", bool, False), _told(root, "notify"),
        _told(root, "resources"), _cap(cap) if cap else {}, root.get("source", str, ""),
        root.choice("status", ("V", "L"), "L"),
    )  # fmt: skip
    if plan.id and not plan.id.replace("_", "").isalnum():
        root.fault("id", f"{plan.id!r}: letters, digits and _ only, for it becomes part of codes")
    _agree(plan, root)
    if faults:
        raise PlanError("\n".join(f"{file}: {fault}" for fault in faults))
    return plan


def _told(root: _Table, name: str) -> tuple[Mapping[str, Any], ...]:
    """Rows that are only shown, with their titles in both languages; `levels` where they have some."""
    rows = []
    for table in root.tables(name):
        row = {k: v for k, v in table.cells.items() if isinstance(v, str | int | float)} | {
            "title": table.words("title")
        }
        rows.append(row | ({"levels": list(table.levels())} if "levels" in table.cells else {}))
    return tuple(rows)


def load(folder: Path) -> dict[str, Plan]:
    """All plans of a folder (`*.toml`) by id. Raises PlanError with the faults of all of them."""
    plans: dict[str, Plan] = {}
    faults: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            plan = parse(path.read_text("utf-8"), path.name)
        except (PlanError, UnicodeDecodeError) as error:
            faults += [str(error)] if isinstance(error, PlanError) else [f"{path.name}: no UTF-8: byte {error.start}"]
            continue
        if plan.id in plans:
            faults.append(f"{path.name}: id: {plan.id} is the id of another file, too")
        plans[plan.id] = plan
    if faults:
        raise PlanError("\n".join(faults))
    return plans


@cache
def builtin() -> Mapping[str, Plan]:
    """The plans that come with the program, by id.

    >>> len(builtin()["waterlogging"].tasks)
    7
    """
    return load(Path(__file__).parent / "plans")
