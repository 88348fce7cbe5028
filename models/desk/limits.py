"""When a stage of a case and its handling are due: by category, level and calendar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import Limit, WorkCalendar
from citytwin.models.desk.categories import Category
from citytwin.models.desk.table import Row, TableError, own, read, rows

#: The stage that a case in each state of models.lifecycle stands in; those that are over stand in none.
STAGE_OF: dict[str, str] = {
    "reported": "acceptance", "accepted": "filing", "filed": "dispatch", "returned": "dispatch",
    "dispatched": "receipt", "received": "handling", "arrived": "handling", "handled": "verification",
    "verified": "closing", "closed": "evaluation",
}  # fmt: skip
#: The stage that ends when the case itself is due; its limit is that of the category.
HANDLING = "handling"
#: Which of a category's limits holds for a level, 0 is none. A local default: GB/T 30428.8 leaves the choice to cities.
GRADE_OF: dict[int, str] = {1: "A", 2: "A", 3: "B", 4: "C", 0: "C"}
_NEEDS = ("stage", "zh", "en", *(f"level_{n}" for n in range(5)))


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage with its title and its limit by level 1..4, 0 for none; `status` V verified or L local."""

    code: str
    title: Mapping[str, str]
    limits: Mapping[int, Limit]
    status: str = "L"


def _stage(row: Row) -> Stage:
    faults, limits = list[str](), dict[int, Limit]()
    for level in range(5):
        try:
            limits[level] = Limit.parse(row.cells[f"level_{level}"])
        except ValueError as error:
            faults.append(row.fault(f"level_{level}", str(error)))
    if row.cells["stage"] not in STAGE_OF.values():
        faults.append(
            row.fault("stage", f"{row.cells['stage']!r} is none of {', '.join(dict.fromkeys(STAGE_OF.values()))}")
        )
    if faults:
        raise TableError("\n".join(faults))
    title = {"zh": row.cells["zh"], "en": row.cells["en"]}
    return Stage(row.cells["stage"], title, limits, row.cells.get("status") or "L")


def parse(text: str, file: str) -> dict[str, Stage]:
    """Limits of stages from a CSV table. Raises TableError with a line for every fault."""
    return {s.code: s for s in read(rows(text, file, _NEEDS, (*_NEEDS, "status")), _stage)}


@cache
def builtin() -> Mapping[str, Stage]:
    """The limits that come with the program, by stage."""
    return parse(own("stages.csv"), "stages.csv")


def grade_of(level: int, grade: str = "") -> str:
    """The grade A, B or C that is named, else that of the level."""
    return grade or GRADE_OF[level]


def handling_limit(category: Category, level: int, grade: str = "") -> Limit:
    """How long the handling of a case may take; KeyError for a level or grade that there is not."""
    return category.limits[grade_of(level, grade)]


def handling_due(category: Category, level: int, filed_at: int, calendar: WorkCalendar, grade: str = "") -> int:
    """When a case that was filed at a time is due, before any deferral (ms)."""
    return calendar.due(filed_at, handling_limit(category, level, grade))


def stage_limit(category: Category, level: int, stage: str, stages: Mapping[str, Stage] | None = None) -> Limit | None:
    """How long a stage may take: the category's own, else the table's; None for `handling`, which ends with the case.

    KeyError for a stage that there is not. A level I or II goes before what a category says of itself.
    """
    if stage == HANDLING:
        return None
    table = (builtin() if stages is None else stages)[stage].limits
    return table[level] if level in (1, 2) else category.stages.get(stage, table[level])


def stage_due(
    category: Category, level: int, stage: str, since: int, calendar: WorkCalendar,
    stages: Mapping[str, Stage] | None = None,
) -> int:  # fmt: skip
    """When a stage that began at `since` is due (ms); MISSING for `handling`."""
    limit = stage_limit(category, level, stage, stages)
    return MISSING if limit is None else calendar.due(since, limit)
