"""The city of job W: irregular cells that tile the box of Wuhan, nested in districts, and registered devices."""

from __future__ import annotations

import numpy as np
import shapely

from citytwin.geo.locate import Locator
from citytwin.geo.scopes import ScopeTree
from citytwin.models.columns import Float64, Int32, Int64, Strings
from citytwin.models.events import VOCABULARY
from citytwin.models.vocabulary import Vocabulary
from citytwin.twin.entities import Entities

#: West, south, east and north of job W in degrees.
BOX = (113.70, 29.97, 115.08, 31.36)
#: 2026-01-01T00:00:00Z, a pane edge of every window of the job.
START_MS = 1_767_225_600_000
CELLS, DISTRICTS = 2_000, 13


def device_codes(rows: Int64) -> list[str]:
    """Codes of devices by number."""
    return [f"420100-iot-sensor-{i:07d}" for i in rows.tolist()]


def homes(devices: int, seed: int) -> tuple[Float64, Float64]:
    """lon and lat (degrees with six decimals) where each device is or starts."""
    rng = np.random.default_rng([seed, 1])
    west, south, east, north = BOX
    lon = np.round(rng.uniform(west + 0.02, east - 0.02, devices), 6)
    lat = np.round(rng.uniform(south + 0.02, north - 0.02, devices), 6)
    return lon, lat


def cells(n: int, seed: int) -> tuple[list[shapely.Geometry], Float64]:
    """n polygons that tile the box and the points they grew around (float64[n, 2]): Voronoi cells of seeded points."""
    rng = np.random.default_rng([seed, 2])
    west, south, east, north = BOX
    points = rng.uniform((west, south), (east, north), (n, 2))
    frame = shapely.box(*BOX)
    grown = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=frame))
    clipped = shapely.intersection(grown, frame)
    shapely.prepare(clipped)
    tree = shapely.STRtree(clipped)
    point, cell = tree.query(shapely.points(points), predicate="intersects")
    order = np.empty(n, np.int64)
    order[point] = cell
    return [clipped[i] for i in order.tolist()], points


class BenchCity:
    """What the engine needs of a city: 1 city, 13 districts with a street and a community each, 2,000 grid cells."""

    def __init__(self, devices: int, seed: int = 7, n_cells: int = CELLS) -> None:
        self.name, self.timezone, self.edition = "bench", "Asia/Shanghai", f"bench {devices} {seed} {n_cells}"
        self.title = {"zh": "基准城", "en": "Benchmark city"}
        self.vocabulary: Vocabulary = VOCABULARY()
        self.scopes, self.box = ScopeTree(), BOX
        self.shapes, points = cells(n_cells, seed)
        self.cell_rows = self._scopes(points, seed)
        self.locator = Locator(self.shapes, self.cell_rows)
        self.entities = Entities()
        self._register(devices, seed)

    def _scopes(self, points: Float64, seed: int) -> Int32:
        """Rows of the cells; a cell belongs to the district whose middle is nearest to its point."""
        tree = self.scopes
        tree.add("420100", "基准城", -1, name_en="Benchmark city")
        middles = np.random.default_rng([seed, 3]).choice(points, DISTRICTS, replace=False)
        nearest = ((points[:, None, :] - middles[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
        communities = []
        for i in range(DISTRICTS):
            code = f"4201{i + 1:02d}"
            row = tree.add(code, code, 0)
            for digits in (3, 3):
                code += "1".zfill(digits)
                row = tree.add(code, code, row)
            communities.append(row)
        names = [tree.code[communities[d]] + f"{i:04d}" for i, d in enumerate(nearest.tolist())]
        rows = [tree.add(c, c, communities[d]) for c, d in zip(names, nearest.tolist(), strict=True)]
        tree.complete()
        return np.array(rows, np.int32)

    def _register(self, devices: int, seed: int) -> None:
        lon, lat = homes(devices, seed)
        step = 100_000
        for first in range(0, devices, step):
            rows = np.arange(first, min(devices, first + step), dtype=np.int64)
            n = len(rows)
            self.entities.upsert(
                "device", Strings.of(device_codes(rows)), self.locator.locate(lon[rows], lat[rows]), lon[rows],
                lat[rows], {"period_s": np.full(n, 60.0), "in_service": np.ones(n, np.int8)}, np.zeros(n, np.int64),
            )  # fmt: skip
