"""The built-in indicators, one file a theme."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec
from citytwin.indicators.themes import (
    composite,
    data_governance,
    emergency,
    environment,
    gas,
    iot,
    livelihood,
    platform,
    social_governance,
    traffic,
    water,
    weather_flood,
)

_MODULES = (
    traffic,
    water,
    gas,
    environment,
    weather_flood,
    social_governance,
    livelihood,
    emergency,
    data_governance,
    iot,
    platform,
)


def _by_theme() -> dict[str, list[str]]:
    themes: dict[str, list[str]] = {}
    for module in _MODULES:
        for item in module.INDICATORS:
            if item.bands:
                themes.setdefault(item.theme, []).append(item.id)
    return themes


#: Function and class forms of all themes; composites last.
INDICATORS: tuple[Spec | type[Indicator], ...] = (
    *(item for module in _MODULES for item in module.INDICATORS),
    *composite.composites(_by_theme()),
)
