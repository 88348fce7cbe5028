"""A seeded hierarchical partition: districts cut into streets, communities and grids that tile them exactly.

All geometry lies on an integer lattice (a unit is 1e-5 degree for the built-in city, about a metre). The cell borders
of every district and the district borders themselves are noded together by snap rounding, so two neighbours share the
very same edges: there is no gap and no overlap, also across a district border.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from citytwin.models.columns import Float64, Int32, Int64

#: Number of sample points per cell when seeds are spread, and rounds of moving them to the middle of their samples.
SAMPLES, ROUNDS = 40, 4

Density = Callable[[Float64], Float64]


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Cells with the groups they belong to: parallel columns, ordered by district, street, community.

    `cells` are polygons on the integer lattice; `district`, `street`, `community` int32 indices into the plan: the
    district, its street (counted within the district) and the community (counted within the street).
    """

    cells: NDArray[np.object_]
    district: Int32
    street: Int32
    community: Int32


def partition(
    districts: Sequence[BaseGeometry],
    plan: Sequence[Sequence[int]],
    cells: Sequence[int],
    density: Density,
    *,
    aspect: float = 1.0,
    seed: int = 7,
) -> Partition:
    """Cut each district into `cells[i]` cells, grouped into the streets of `plan[i]` (communities per street).

    `density` maps points float64[n, 2] on the lattice to weights > 0: cells are smaller where it is high. `aspect` is
    the width of a lattice unit over its height. Raises ValueError where a district has fewer cells than communities.
    """
    for i, (streets, n) in enumerate(zip(plan, cells, strict=True)):
        if n < sum(streets):
            raise ValueError(f"district {i}: {n} cells cannot hold {sum(streets)} communities; give it more cells")
    rng = np.random.default_rng(seed)
    seeds = [spread(shape, n, density, aspect, rng) for shape, n in zip(districts, cells, strict=True)]
    lines = [borders(shape, points, aspect) for shape, points in zip(districts, seeds, strict=True)]
    faces, district = _faces(districts, lines)
    parts = [_cut(faces[district == i], seeds[i], plan[i], aspect) for i in range(len(districts))]
    return Partition(
        np.concatenate([p.cells for p in parts]),
        np.concatenate([np.full(len(p.cells), i, np.int32) for i, p in enumerate(parts)]),
        np.concatenate([p.street for p in parts]),
        np.concatenate([p.community for p in parts]),
    )


def spread(shape: BaseGeometry, n: int, density: Density, aspect: float, rng: np.random.Generator) -> Float64:
    """`n` seeds inside `shape`, dense where `density` is high, evenly spaced among their neighbours (float64[n, 2])."""
    box = np.array(shape.bounds).reshape(2, 2)
    shapely.prepare(shape)
    samples = np.zeros((0, 2))
    while len(samples) < n * SAMPLES:
        points = rng.uniform(box[0], box[1], (n * SAMPLES, 2))
        weight = density(points)
        points = points[rng.uniform(0, weight.max(), len(points)) < weight]
        samples = np.concatenate([samples, points[shapely.contains_xy(shape, points[:, 0], points[:, 1])]])
    samples = samples[: n * SAMPLES] * [aspect, 1]
    seeds = samples[rng.choice(len(samples), n, replace=False)]
    for _ in range(ROUNDS):
        near = shapely.STRtree(shapely.points(seeds)).nearest(shapely.points(samples))
        count = np.bincount(near, minlength=n)
        mean = np.stack([np.bincount(near, samples[:, k], n) for k in (0, 1)], 1) / np.maximum(count, 1)[:, None]
        seeds = np.where(count[:, None] > 0, mean, seeds)
    inside: Float64 = seeds / [aspect, 1]
    return inside


def borders(shape: BaseGeometry, seeds: Float64, aspect: float) -> BaseGeometry:
    """The lines between the Voronoi cells of `seeds`, clipped to `shape`."""
    if len(seeds) < 2:
        return shapely.MultiLineString()
    scale = np.array([aspect, 1.0])
    frame = shapely.box(*(np.array(shape.bounds) * [aspect, 1, aspect, 1])).buffer(10)
    edges = shapely.voronoi_polygons(shapely.multipoints(seeds * scale), extend_to=frame, only_edges=True)
    return shapely.intersection(shapely.transform(edges, lambda c: c / scale), shape)


def _faces(
    districts: Sequence[BaseGeometry], lines: Sequence[BaseGeometry]
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """All faces of the snapped arrangement and the district of each; what lies in no district is left out."""
    noded = shapely.union_all([*(shapely.boundary(d) for d in districts), *lines], grid_size=1)
    faces = shapely.get_parts(shapely.polygonize([noded]))
    tree = shapely.STRtree(list(districts))
    face, shape = tree.query(shapely.point_on_surface(faces), predicate="intersects")
    face, first = np.unique(face, return_index=True)
    return faces[face], shape[first]


def _cut(faces: NDArray[np.object_], seeds: Float64, streets: Sequence[int], aspect: float) -> Partition:
    """Cells of one district: its faces joined by nearest seed, then grouped by the plan."""
    scale = np.array([aspect, 1.0])
    inner = shapely.get_coordinates(shapely.point_on_surface(faces)) * scale
    nearest = shapely.STRtree(shapely.points(seeds * scale)).nearest(shapely.points(inner))
    label = _join_fragments(faces, nearest.astype(np.int64))
    label = np.unique(label, return_inverse=True)[1]
    order = np.argsort(label, kind="stable")
    groups = np.split(faces[order], np.flatnonzero(np.diff(label[order])) + 1)
    cells = np.array([shapely.normalize(shapely.coverage_union_all(g)) for g in groups])
    graph = Graph.of(cells, aspect)
    street, community = np.zeros(len(cells), np.int32), np.zeros(len(cells), np.int32)
    for i, members in enumerate(split(graph, np.arange(len(cells)), list(streets))):
        street[members] = i
        for j, group in enumerate(split(graph, members, [1] * streets[i])):
            community[group] = j
    order = np.lexsort((np.arange(len(cells)), community, street))
    return Partition(cells[order], np.zeros(len(cells), np.int32), street[order], community[order])


def _join_fragments(faces: NDArray[np.object_], label: Int64) -> Int64:
    """Give a piece that a concave border cut off from its cell to the neighbour with the longest common edge."""
    area = shapely.area(faces)
    main = np.zeros(len(faces), np.bool_)
    order = np.lexsort((area, label))
    main[order[np.flatnonzero(np.diff(label[order], append=-1))]] = True
    a, b, length = shared_edges(faces)
    label = label.copy()
    for f in np.flatnonzero(~main)[np.argsort(-area[~main], kind="stable")]:
        touch = np.flatnonzero((a == f) | (b == f))
        if len(touch):
            best = touch[np.argmax(length[touch])]
            label[f] = label[a[best] + b[best] - f]
    return label


def shared_edges(cells: NDArray[np.object_]) -> tuple[Int64, Int64, Float64]:
    """Pairs of cells that share border, and the length of it: parallel arrays (first < second cell).

    Counts only segments whose two ends are the same in both cells, as they are in an exact tiling.
    """
    parts, part_cell = shapely.get_parts(cells, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    a, b = xy[:-1][same], xy[1:][same]
    cell = part_cell[ring_part[ring[:-1][same]]]
    swap = (a[:, 0] > b[:, 0]) | ((a[:, 0] == b[:, 0]) & (a[:, 1] > b[:, 1]))
    edge = np.where(swap[:, None], np.hstack([b, a]), np.hstack([a, b]))
    order = np.lexsort((cell, edge[:, 3], edge[:, 2], edge[:, 1], edge[:, 0]))
    edge, cell = edge[order], cell[order]
    twin = np.flatnonzero((edge[1:] == edge[:-1]).all(1) & (cell[1:] != cell[:-1]))
    length = np.hypot(*(edge[twin, 2:] - edge[twin, :2]).T)
    pair, index = np.unique(cell[twin] * len(cells) + cell[twin + 1], return_inverse=True)
    n, common = max(len(cells), 1), np.bincount(index, length, len(pair)).astype(np.float64)
    return (pair // n).astype(np.int64), (pair % n).astype(np.int64), common


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Which cells touch: for each cell its neighbours with the distance of the centres, and the centres."""

    near: list[list[tuple[int, float]]]
    centre: Float64

    @classmethod
    def of(cls, cells: NDArray[np.object_], aspect: float = 1.0) -> Graph:
        """Graph of the given exact tiling."""
        centre = shapely.get_coordinates(shapely.centroid(cells)) * [aspect, 1.0]
        near: list[list[tuple[int, float]]] = [[] for _ in cells]
        a, b, _ = shared_edges(cells)
        for i, j, d in zip(a.tolist(), b.tolist(), np.hypot(*(centre[a] - centre[b]).T).tolist(), strict=True):
            near[i].append((j, d))
            near[j].append((i, d))
        return cls(near, centre)

    def distances(self, start: int, among: set[int]) -> dict[int, float]:
        """Length of the shortest way from `start` through `among`; to what it cannot reach, thrice the air line."""
        best: dict[int, float] = {}
        heap = [(0.0, start)]
        while heap:
            d, cell = heapq.heappop(heap)
            if cell in best:
                continue
            best[cell] = d
            for other, step in self.near[cell]:
                if other in among and other not in best:
                    heapq.heappush(heap, (d + step, other))
        for cell in among - best.keys():
            best[cell] = 3 * float(np.hypot(*(self.centre[cell] - self.centre[start])))
        return best

    def pieces(self, cells: Sequence[int]) -> list[list[int]]:
        """Connected pieces of `cells`, the largest first."""
        left, out = set(cells), []
        for start in cells:
            if start not in left:
                continue
            left.discard(start)
            piece = [start]
            for cell in piece:
                fresh = [other for other, _ in self.near[cell] if other in left]
                left.difference_update(fresh)
                piece.extend(fresh)
            out.append(piece)
        return sorted(out, key=len, reverse=True)


def split(graph: Graph, cells: Sequence[int] | Int64, sizes: list[int]) -> list[Int64]:
    """Cut `cells` into groups with numbers of cells as `sizes`, at least that many each, connected where they can be.

    Cut in two again and again: a cell goes to the nearer of two far ends, by the difference of the ways to them, which
    keeps both halves in one piece.
    """
    members = [int(c) for c in cells]
    if len(sizes) == 1:
        return [np.sort(np.array(members, np.int64))]
    share = list(itertools.accumulate(sizes))
    cut = min(range(1, len(sizes)), key=lambda k: abs(2 * share[k - 1] - share[-1]))
    first, second = _halve(graph, members, share[cut - 1], share[-1] - share[cut - 1])
    return split(graph, first, sizes[:cut]) + split(graph, second, sizes[cut:])


def _halve(graph: Graph, members: list[int], left: int, right: int) -> tuple[list[int], list[int]]:
    """Two groups in the proportion `left` to `right`, of at least that many cells."""
    among = set(members)
    probe = graph.distances(members[0], among)
    a = max(members, key=lambda c: (probe[c], c))
    way_a = graph.distances(a, among)
    b = max(members, key=lambda c: (way_a[c], c))
    way_b = graph.distances(b, among)
    order = sorted(members, key=lambda c: (way_a[c] - way_b[c], way_a[c], c))
    n = min(max(round(len(order) * left / (left + right)), left), len(order) - right)
    first, second = order[:n], order[n:]
    first, second = _mend(graph, first, second, right)
    second, first = _mend(graph, second, first, left)
    return first, second


def _mend(graph: Graph, keep: list[int], mend: list[int], least: int) -> tuple[list[int], list[int]]:
    """Move loose pieces of `mend` that touch `keep` over to it, as long as `least` cells stay."""
    whole, *loose = graph.pieces(mend)
    inside = set(keep)
    rest = sum(map(len, loose))
    for piece in sorted(loose, key=len):
        touches = any(other in inside for cell in piece for other, _ in graph.near[cell])
        if touches and len(whole) + rest - len(piece) >= least:
            keep, rest = keep + piece, rest - len(piece)
        else:
            whole = whole + piece
            rest -= len(piece)
    return keep, whole
