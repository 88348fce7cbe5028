"""A city as data: reads a city pack (a folder with a manifest) into a City."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.columns import Int32
from citytwin.models.desk.rules import Rule, RuleError, RuleSet
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.models.events import VOCABULARY
from citytwin.models.vocabulary import Vocabulary
from citytwin.twin import pack_layers, pack_rows
from citytwin.twin.entities import Entities
from citytwin.twin.pack_files import PackFiles, Problem
from citytwin.twin.pack_manifest import PackError, parse_manifest

if TYPE_CHECKING:
    from citytwin.geo.locate import Locator

#: Folder of the packs that come with the program.
CITIES = Path(__file__).parent / "cities"


@dataclass(frozen=True, slots=True)
class Source:
    """A declared source of events: its `source` attribute, titles, expected period in seconds, families of properties.

    `types`: patterns of the event types that it says, as `case.*`. Indicators of such events expect it to be heard:
    silent for two periods, it makes them stale.
    """

    id: str
    title: Mapping[str, str]
    period_s: float
    families: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working days of a city: weekend weekdays (1 = Monday) and the days that differ (ISO date to is-working)."""

    weekend: frozenset[int] = frozenset({6, 7})
    days: Mapping[str, bool] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def working(self, day: str) -> bool:
        """Whether an ISO date is a working day."""
        listed = self.days.get(day)
        return datetime.fromisoformat(day).isoweekday() not in self.weekend if listed is None else listed


@dataclass(frozen=True, slots=True)
class Layer:
    """A map layer of the pack: where it lies, its titles, and what must be said beside it."""

    name: str
    title: Mapping[str, str]
    file: str
    licence: str
    attribution: str = ""
    synthetic: bool = False
    crs: str = ""


class City:
    """What a pack loads to; geometry is read when it is first asked for.

    `edition` is a SHA-256 of everything that the pack says; `problems` are the rows that were left out
    (those of geometry are added when it is read).
    """

    def __init__(self, files: PackFiles, manifest: Mapping[str, Any], vocabulary: Vocabulary) -> None:
        self.files = files
        self.manifest = manifest
        self.problems: list[Problem] = files.problems
        self.name = str(manifest["name"])
        self.title: dict[str, str] = dict(manifest.get("title", {"zh": self.name, "en": self.name}))
        self.timezone = str(manifest.get("timezone", "UTC"))
        self.crs = str(manifest.get("crs", "EPSG:4490"))
        self.vocabulary = vocabulary
        self.scopes: ScopeTree = pack_rows.read_scopes(files, manifest)
        if not len(self.scopes):
            raise PackError(f"{files.root}: no city in the scopes; its row has an empty parent")
        self.scopes.complete()
        self.sources = [_source(s) for s in manifest.get("sources", ())]
        self.calendar = _calendar(files, manifest.get("calendar", {}))
        #: Rules of alarms that the pack brings; a file with a fault is left out whole.
        self.rules: list[Rule] = _rules(files, manifest.get("rules", ()))
        self.layers = {str(d["name"]): _layer(d, self.crs) for d in manifest.get("layers", ())}
        self._polygons: dict[int, tuple[Int32, NDArray[np.object_]]] = {}
        self._locator: Locator | None = None
        self._bytes: dict[str, bytes] = {}
        self.entities: Entities = pack_rows.read_entities(self)
        self.edition = files.digest(["city.toml", *_files(manifest)])

    def levels_with_geometry(self) -> list[int]:
        """Levels that the pack itself gives polygons for, finest last."""
        return sorted(LEVELS.index(g["level"]) for g in self.manifest.get("geometry", ()))

    def polygons(self, level: int) -> tuple[Int32, NDArray[np.object_]]:
        """Scope rows of a level (int32[n]) and their polygons (n shapely geometries), in the order of rows.

        A level without geometry of its own is joined from the next finer one; empty where there is none.
        """
        if level not in self._polygons:
            self._polygons[level] = pack_layers.read_polygons(self, level)
        return self._polygons[level]

    def polygon(self, row: int) -> Any:
        """Polygon of one scope, None if it has none."""
        rows, shapes = self.polygons(int(self.scopes.level[row]))
        at = int(np.searchsorted(rows, row))
        return shapes[at] if at < len(rows) and rows[at] == row else None

    @property
    def locator(self) -> Locator:
        """Finds the finest scope with a polygon at a place; built at the first call, then kept."""
        if self._locator is None:
            from citytwin.geo.locate import Locator

            levels = self.levels_with_geometry()
            rows, shapes = self.polygons(levels[-1]) if levels else (np.zeros(0, np.int32), np.zeros(0, object))
            self._locator = Locator(list(shapes), rows)
        return self._locator

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """West, south, east and north edge of the city in degrees; None where the pack has no geometry."""
        return self.locator.bounds if self.levels_with_geometry() else None

    def layer(self, name: str) -> bytes:
        """GeoJSON of a layer: `districts`, `streets`, `communities`, `grids` (id = scope row) or one of `layers`.

        KeyError for a name that is none of them.
        """
        if name not in self._bytes:
            self._bytes[name] = pack_layers.layer(self, name)
        return self._bytes[name]

    def layer_names(self) -> list[str]:
        """All layers that `layer` answers."""
        own = pack_layers.SCOPE_LAYERS if self.levels_with_geometry() else {}
        return [*own, *self.layers]


def find_city(path_or_name: str | Path) -> Path:
    """Folder of a pack: a path with a `city.toml`, or the name of a pack that comes with the program."""
    for folder in (Path(path_or_name), CITIES / str(path_or_name)):
        if (folder / "city.toml").is_file():
            return folder
    known = ", ".join(sorted(p.parent.name for p in CITIES.glob("*/city.toml")))
    raise PackError(f"no city pack at {path_or_name}: a pack is a folder with a city.toml; built in are {known}")


def load_city(path_or_name: str | Path, vocabulary: Vocabulary | None = None) -> City:
    """Read a pack; rows that cannot be used are left out and listed in `problems`. Raises PackError."""
    folder = find_city(path_or_name)
    files = PackFiles(folder)
    try:
        text = files.text("city.toml")
    except (OSError, ValueError) as error:
        raise PackError(f"{folder / 'city.toml'}: {error}") from error
    manifest = parse_manifest(text, str(folder / "city.toml"))
    return City(files, manifest, vocabulary or VOCABULARY())


def _files(part: Any) -> list[str]:
    """Every `file` that the manifest names, at any depth."""
    if isinstance(part, list):
        return [name for item in part for name in _files(item)]
    if not isinstance(part, dict):
        return []
    own = [str(part["file"])] if "file" in part else []
    return own + [name for item in part.values() for name in _files(item)]


def _source(entry: Mapping[str, Any]) -> Source:
    title = entry.get("title", {"zh": entry["id"], "en": entry["id"]})
    period = float(entry.get("period_s", 60))
    return Source(
        str(entry["id"]), dict(title), period, tuple(entry.get("families", ())), tuple(entry.get("types", ()))
    )


def _layer(entry: Mapping[str, Any], crs: str) -> Layer:
    title = entry.get("title", {"zh": entry["name"], "en": entry["name"]})
    return Layer(
        str(entry["name"]), dict(title), str(entry["file"]), str(entry.get("licence", "")),
        str(entry.get("attribution", "")), bool(entry.get("synthetic", False)), str(entry.get("crs", crs)),
    )  # fmt: skip


def _rules(files: PackFiles, entries: Sequence[Mapping[str, Any]]) -> list[Rule]:
    found = RuleSet()
    for entry in entries:
        name = str(entry["file"])
        text = files.attempt(name)
        try:
            found.add(parse_rules(text or "", name), name)
        except RuleError as error:
            for problem in error.problems:
                files.report(name, problem.line, problem.field, f"rule {problem.rule}: {problem.what}")
    return found.rules


def _calendar(files: PackFiles, entry: Mapping[str, Any]) -> Calendar:
    weekend = frozenset(int(d) for d in entry.get("weekend", (6, 7)))
    if "file" not in entry:
        return Calendar(weekend)
    days: dict[str, bool] = {}
    names: dict[str, str] = {}
    for line, row in files.rows(entry["file"], ("date", "working")):
        try:
            day = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC).date().isoformat()
            days[day] = {"1": True, "0": False}[row["working"]]
        except (ValueError, KeyError):
            files.report(entry["file"], line, "date", "needs an ISO date and working 0 or 1")
            continue
        names[day] = row.get("name", "")
    return Calendar(weekend, days, names)


__all__ = ["CITIES", "Calendar", "City", "Layer", "PackError", "Problem", "Source", "find_city", "load_city"]
