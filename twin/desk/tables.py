"""What a city pack says of the desk: categories, limits of stages, plans; what it does not say is built in.

In city.toml: `[categories]` and `[stages]` with a `file` each (CSV), `[[plans]]` with a `file` each (TOML).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from citytwin.models.desk import categories, limits, plantoml
from citytwin.models.desk.categories import Categories
from citytwin.models.desk.limits import Stage
from citytwin.models.desk.plans import Plan
from citytwin.models.desk.plantoml import PlanError
from citytwin.models.desk.table import TableError
from citytwin.twin.pack_files import PackFiles

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeskTables:
    """The tables of a city's desk: the pack's own rows over the built-in ones."""

    categories: Categories
    stages: Mapping[str, Stage]
    plans: Mapping[str, Plan]


def desk_tables(files: PackFiles, manifest: Mapping[str, Any]) -> DeskTables:
    """Read them; a file with faults is left out as a whole, and each fault is a problem of the pack."""
    named = _read(files, manifest.get("categories", {}), categories.parse) or []
    stages = _read(files, manifest.get("stages", {}), limits.parse) or {}
    plans = (_read(files, entry, plantoml.parse) for entry in manifest.get("plans", ()))
    return DeskTables(
        Categories([*categories.builtin(), *named]),
        {**limits.builtin(), **stages},
        {**plantoml.builtin(), **{plan.id: plan for plan in plans if plan is not None}},
    )


def _read(files: PackFiles, entry: Mapping[str, Any], parse: Callable[[str, str], T]) -> T | None:
    name = str(entry.get("file", ""))
    text = files.attempt(name) if name else None
    if text is None:
        return None
    try:
        return parse(text, name)
    except (TableError, PlanError) as error:
        for fault in str(error).splitlines():
            _tell(files, name, fault)
        return None


def _tell(files: PackFiles, name: str, fault: str) -> None:
    """A line `file:line: field: reason`, or `file: place: reason` of a plan, as a problem of the pack."""
    at, field, reason = fault.removeprefix(name).split(": ", 2)
    line = at.removeprefix(":")
    files.report(name, int(line) if line.isdigit() else 0, field, reason)
