"""Which districts lie beside each other: where mutual aid may come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from citytwin.twin.pack import City

#: Borders that come this close are one border (degrees, some 100 m): packs draw them twice, a river lies between.
GAP_DEG = 0.001
_DISTRICT = 1


def districts_beside(city: City, gap: float = GAP_DEG) -> dict[str, frozenset[str]] | None:
    """By code of each district the codes of those beside it; None where the pack has no polygons within districts.

    Found from the finest polygons of the pack, which need not be joined for it. A district that touches none has an
    empty set.
    """
    levels = city.levels_with_geometry()
    rows, shapes = city.polygons(levels[-1]) if levels and levels[-1] >= _DISTRICT else (np.zeros(0, np.int32), [])
    if not len(rows):
        return None
    district = city.scopes.ancestors()[rows, _DISTRICT]
    one, other = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=gap)
    pairs = np.unique(np.stack([district[one], district[other]]), axis=1).T
    code, out = city.scopes.code, dict[str, set[str]]()
    for a, b in pairs.tolist():
        out.setdefault(code[a], set()).update({code[b]} - {code[a]})
    return {c: frozenset(some) for c, some in out.items()}
