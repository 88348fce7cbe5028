"""Plain recounts by theme, beside those of `oracle.py`: one module a group of themes. None imports the program.

A module may have (see `of`): DEVICES, FACILITIES, ENTITIES (more of the town), SENT (properties that devices send),
FEEDS, SCALES, SKETCHES, HORIZON, FUTURE, ALONE (laws; ALONE: types named like one of a family that are none), `refuse`
(function of (oracle, event) that gives a reason or ""), `deeds` (functions of (writer, bytes) that write events),
`revise` (function of (event, bytes) that gives the changed fields of a correction), and `recount(oracle, live, newest,
out)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

#: Every module of this folder, by name.
MODULES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"{__name__}.{found.name}")
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name)
)


def of(name: str, empty: Any) -> list[Any]:
    """What each module has under a name, `empty` for those without."""
    return [getattr(module, name, empty) for module in MODULES]


def joined(name: str) -> dict[str, Any]:
    """Dictionaries of all modules as one."""
    return {key: value for found in of(name, {}) for key, value in found.items()}
