"""Where made things stand: random places inside grids, never in the water, and how many people live in each grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from citytwin.geo.partition import Density
from citytwin.models.columns import Float64, Int64
from citytwin.twin.build.sources import ASPECT, KM, STEPS
from citytwin.twin.build.tiling import Tiling

#: Inhabitants of the city that the grids sum to.
PEOPLE = 13_774_000


class Ground:
    """The grids as ground: `codes`, `people` (int64[n]), and places in them.

    Each kind of thing draws from a generator of its own, so that more of one moves none of another.
    """

    def __init__(self, tiling: Tiling, density: Density, water: Sequence[Any], seed: int) -> None:
        self.codes = list(tiling.grids)
        self.shapes = np.array(list(tiling.grids.values()), object)
        self.seed = seed
        self.row = {code: i for i, code in enumerate(self.codes)}
        self._tree = shapely.STRtree(self.shapes)
        self._water = shapely.union_all([shapely.transform(w, lambda p: p * STEPS) for w in water])
        shapely.prepare(self._water)
        self.dry = shapely.difference(self.shapes, self._water)
        centre = shapely.get_coordinates(shapely.point_on_surface(self.shapes))
        self.urban: Float64 = density(centre)
        self.area_m2: Float64 = shapely.area(self.shapes) * KM * KM * 0.8607 * 1e6
        self.people = self._settle()

    def random(self, name: str) -> np.random.Generator:
        """The generator of one kind of thing."""
        return np.random.default_rng([self.seed, *name.encode()])

    def _settle(self) -> Int64:
        """People by density and dry share, whole numbers that sum to PEOPLE."""
        noise = self.random("people").lognormal(0, 0.35, len(self.codes))
        # Communities are cut by the size of the task: a grid in town holds several times the people of a village's.
        dry = shapely.area(self.dry)
        weight = (0.08 + self.urban) * dry**0.15 * (dry / shapely.area(self.shapes)) * noise
        share = weight / weight.sum() * PEOPLE
        whole: Int64 = np.floor(share).astype(np.int64)
        rest = np.argsort(whole - share, kind="stable")[: PEOPLE - int(whole.sum())]
        whole[rest] += 1
        return whole

    def draw(self, name: str, n: int, power: float = 0.6) -> tuple[list[str], Float64]:
        """Grid codes and places (degrees, float64[n, 2]) of `n` things, more where many people live."""
        rng = self.random(name)
        weight = self.people.astype(np.float64) ** power
        grids = np.sort(rng.choice(len(self.codes), n, p=weight / weight.sum()))
        return [self.codes[g] for g in grids], self.inside(grids, rng)

    def cover(self, name: str, n: int, km: float) -> tuple[list[str], Float64]:
        """Grid codes and places of `n` things that reach as many people as they can within `km`, one after another."""
        rng = self.random(name)
        weight = self.people.astype(np.float64) ** 0.4
        many = min(1500, int(np.count_nonzero(weight)))
        sites = np.sort(rng.choice(len(self.codes), many, replace=False, p=weight / weight.sum()))
        centre = shapely.get_coordinates(shapely.point_on_surface(self.shapes)) * [ASPECT * KM, KM]
        near = np.hypot(*(centre[sites, None] - centre[None]).transpose(2, 0, 1)) < km
        left, chosen = self.people.astype(np.int64).copy(), []
        for _ in range(n):
            best = int((near @ left).argmax())
            chosen.append(int(sites[best]))
            # a second one serves those who have one less urgently, so that towns get several
            left = np.where(near[best], left // 8, left)
        grids = np.sort(np.array(chosen, np.int64))
        return [self.codes[g] for g in grids], self.inside(grids, rng)

    def inside(self, grids: Int64, rng: np.random.Generator) -> Float64:
        """A place inside each of the given grids, on dry land where the grid has any (degrees, five decimals)."""
        home = np.where(shapely.area(self.dry[grids]) > 500, self.dry[grids], self.shapes[grids])
        box = shapely.bounds(home)
        at = np.rint(shapely.get_coordinates(shapely.point_on_surface(home)))
        open_ = np.ones(len(grids), np.bool_)
        for _ in range(60):
            guess = np.rint(rng.uniform(box[:, :2], box[:, 2:]))
            hit = open_ & shapely.contains_xy(home, guess[:, 0], guess[:, 1])
            at[hit] = guess[hit]
            open_ &= ~hit
        places: Float64 = np.round(at / STEPS, 5)
        return places

    def grid_at(self, places: Float64) -> list[str]:
        """Grid code of each place, the nearest grid for one outside the city (degrees, float64[n, 2])."""
        return [self.codes[i] for i in self._tree.nearest(shapely.points(places * STEPS)).tolist()]

    def nearest(self, places: Float64, of: Float64) -> Int64:
        """Index of the nearest of `of` for each place (int64[n])."""
        found: Int64 = shapely.STRtree(shapely.points(of)).nearest(shapely.points(places)).astype(np.int64)
        return found


Row = Mapping[str, object]
