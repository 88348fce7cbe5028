"""Streets, communities and grids of the pack, made by seed inside the real districts, and where the city is dense."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from citytwin.geo.partition import Density, partition
from citytwin.models.columns import Float64
from citytwin.twin.build.sources import ASPECT, KM, STEPS, Sources

#: Grids of the whole city.
GRIDS = 10_000
CITY = "420100"


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """Scopes in order of rows (code, zh, en, parent, synthetic), and grid polygons on the lattice by code."""

    scopes: list[tuple[str, str, str, str, bool]]
    grids: dict[str, shapely.Geometry]


def urban(sources: Sources) -> Density:
    """Density of the city at points of the lattice: 1.035 at a metro station, 0.035 some kilometres away."""
    points = np.array([s[1:] for s in sources.stations.values()]) * STEPS * [ASPECT, 1]
    tree = shapely.STRtree(shapely.points(points))

    def density(at: Float64) -> Float64:
        scaled = at * [ASPECT, 1]
        near = points[tree.nearest(shapely.points(scaled))]
        far = np.hypot(*(scaled - near).T) * KM
        out: Float64 = 0.035 + np.exp(-far / 1.1)
        return out

    return density


def make_tiling(sources: Sources, seed: int, grids: int = GRIDS) -> Tiling:
    """Tile the districts with about `grids` grids, each street and community by its real code and count."""
    streets = {d: [s for s in sources.streets if s.startswith(d)] for d in sources.borders}
    inside: dict[str, list[str]] = {s: [] for s in sources.streets}
    for code in sources.communities:
        inside[code[:9]].append(code)
    plan = [[len(inside[s]) for s in streets[d] if inside[s]] for d in sources.borders]
    total = sum(map(sum, plan))
    cells = [max(round(grids * sum(p) / total), sum(p)) for p in plan]
    made = partition(list(sources.borders.values()), plan, cells, urban(sources), aspect=ASPECT, seed=seed)
    filled = [[s for s in streets[d] if inside[s]] for d in sources.borders]
    owners = [
        inside[filled[d][s]][c]
        for d, s, c in zip(made.district.tolist(), made.street.tolist(), made.community.tolist(), strict=True)
    ]
    return _name(sources, owners, made.cells)


def _name(sources: Sources, owners: list[str], cells: NDArray[np.object_]) -> Tiling:
    """Give grids their codes: the community's 12 digits and 001, 002 ... from west to east."""
    west = shapely.bounds(cells)[:, 0]
    order = sorted(range(len(owners)), key=lambda i: (owners[i], float(west[i]), i))
    scopes = [(CITY, "武汉市", "Wuhan", "", False)]
    scopes += [(c, n, sources.english.get(c, ""), CITY, False) for c, n in sources.districts.items()]
    scopes += [(c, n, sources.english.get(c, ""), c[:6], False) for c, n in sources.streets.items()]
    scopes += [(c, n, sources.english.get(c, ""), c[:9], False) for c, n in sources.communities.items()]
    grids: dict[str, shapely.Geometry] = {}
    for owner, members in itertools.groupby(order, key=lambda i: owners[i]):
        for number, i in enumerate(members, 1):
            code = f"{owner}{number:03d}"
            grids[code] = cells[i]
            scopes.append((code, f"{number:03d}网格", f"Grid {number:03d}", owner, True))
    return Tiling(scopes, grids)
