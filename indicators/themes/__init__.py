"""The built-in indicators, one file a theme."""

from __future__ import annotations

from types import ModuleType

from citytwin.indicators.api import Indicator, Spec
from citytwin.indicators.themes import (
    composite,
    credit,
    culture_tourism,
    data_governance,
    economy,
    education,
    elderly,
    emergency,
    environment,
    gas,
    gov_service,
    health,
    heating,
    iot,
    lighting,
    livelihood,
    market,
    parking,
    platform,
    power,
    public_transport,
    safe_city,
    sanitation,
    social_governance,
    sports,
    traffic,
    water,
    weather_flood,
)

#: In the order in which the city's index adds them up.
_MODULES: tuple[ModuleType, ...] = (
    traffic,
    public_transport,
    parking,
    water,
    power,
    gas,
    heating,
    environment,
    weather_flood,
    sanitation,
    lighting,
    social_governance,
    livelihood,
    emergency,
    safe_city,
    economy,
    market,
    health,
    education,
    elderly,
    culture_tourism,
    sports,
    gov_service,
    data_governance,
    credit,
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
