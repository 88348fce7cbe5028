"""The ground of the fake city: scopes and layers of the Wuhan pack, so that the page is tried with real shapes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from citytwin.twin.pack import load_city
from citytwin.twin.pack_layers import layer


class Ground:
    """Scope rows as parallel lists `code name name_en parent level synthetic unlocated`, and `centre` [n, 2] of each."""

    def __init__(self) -> None:
        self.city = load_city("wuhan")
        tree = self.city.scopes
        n = len(tree)
        self.code, self.name, self.name_en = list(tree.code[:n]), list(tree.name[:n]), list(tree.name_en[:n])
        self.parent, self.level = np.asarray(tree.parent[:n]), np.asarray(tree.level[:n])
        self.synthetic, self.unlocated = np.asarray(tree.synthetic[:n]), np.asarray(tree.unlocated[:n])
        self.made: dict[str, bytes] = {}
        self.centre = self._centres()

    def layer(self, name: str) -> bytes:
        """GeoJSON of a layer, kept."""
        if name not in self.made:
            self.made[name] = layer(self.city, name)
        return self.made[name]

    def _centres(self) -> Any:
        centre = np.tile([114.3, 30.6], (len(self.code), 1))
        for name in ("districts", "streets", "communities", "grids"):
            for f in json.loads(self.layer(name))["features"]:
                ring = f["geometry"]["coordinates"][0]
                ring = ring[0] if f["geometry"]["type"] == "MultiPolygon" else ring
                centre[f["id"]] = np.mean(ring, axis=0)
        return centre
