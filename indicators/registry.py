"""The registry: built-in indicators, plugins from entry points, and the hash of all definitions in force."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from citytwin.indicators.api import Indicator, Spec, describe_class, source_text

GROUP = "citytwin.indicators"


class Registry:
    """Indicators by id, in the order they were added."""

    def __init__(self, items: Iterable[Spec | type[Indicator]] = ()) -> None:
        self._specs: dict[str, Spec] = {}
        self.add(items)

    def add(self, items: Iterable[Spec | type[Indicator]]) -> Registry:
        """Add function or class forms; an id may be given once. Raises ValueError, TypeError."""
        for item in items:
            spec = item if isinstance(item, Spec) else describe_class(item)
            if spec.id in self._specs:
                raise ValueError(f"the indicator {spec.id} is defined twice; rename one of them")
            self._specs[spec.id] = spec
        return self

    def __iter__(self) -> Iterator[Spec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, id: str) -> Spec:
        return self._specs[id]

    def __contains__(self, id: str) -> bool:
        return id in self._specs

    def definitions(self) -> dict[str, str]:
        """Hash of each indicator's code and metadata."""
        return {s.id: definition_hash(s) for s in self}

    def sources(self) -> dict[str, dict[str, Any]]:
        """Hash, source text, window and bands of each indicator: what can be read later of the definitions in force."""
        return {
            s.id: {
                "hash": definition_hash(s), "code": source_text(s.cls or s.formula), "window": s.window_text,
                "bands": dict(s.bands),
            }
            for s in self
        }  # fmt: skip

    def hash(self) -> str:
        """One hash of all definitions."""
        text = "\n".join(f"{k} {v}" for k, v in sorted(self.definitions().items()))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def definition_hash(spec: Spec) -> str:
    """Hash of everything that can change a number of this indicator."""
    params = sorted((n, a.key(spec.window)) for n, a in spec.params.items())
    text = repr(
        (
            spec.code_hash,
            spec.window,
            spec.levels,
            spec.decimals,
            sorted(spec.bands.items()),
            params,
            spec.feeds,
            [(t.edition, t.valid_from, t.valid_to, sorted(t.bands.items())) for t in spec.thresholds],
            spec.of,
        )
    )
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def builtin() -> Registry:
    """The indicators of this package, in a registry of one's own."""
    return Registry(_described())


@cache
def _described() -> tuple[Spec, ...]:
    """Once a process: to find the source of a class Python reads all of its file, 15 ms for each."""
    from citytwin.indicators.themes import INDICATORS

    return tuple(Registry(INDICATORS))


def installed() -> Registry:
    """The built-in indicators and those of installed packages (entry points `citytwin.indicators`)."""
    registry = builtin()
    for point in entry_points(group=GROUP):
        registry.add(point.load())
    return registry
