"""The built-in indicators, one file a theme."""

from __future__ import annotations

from types import ModuleType

from citytwin.indicators.api import Indicator, Spec
from citytwin.indicators.themes import (
    alarm_health,
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
    risk,
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
    alarm_health,
)


_MEASURES: tuple[Spec | type[Indicator], ...] = tuple(item for module in _MODULES for item in module.INDICATORS)
#: The count of all measures comes after them, the composites after that.
_ALL = (*_MEASURES, gov_service.indicator_models([item.id for item in _MEASURES]))


def _graded(item: Spec | type[Indicator]) -> bool:
    """Whether it has bands, of one edition or of several."""
    return bool(item.bands or getattr(item, "editions", ()))


def _by_theme() -> dict[str, list[str]]:
    themes: dict[str, list[str]] = {}
    for theme in dict.fromkeys(item.theme for item in _MEASURES):
        themes[theme] = [item.id for item in _ALL if item.theme == theme and _graded(item)]
    return {theme: members for theme, members in themes.items() if members}


#: Function and class forms of all themes; composites last.
INDICATORS: tuple[Spec | type[Indicator], ...] = (*_ALL, *composite.composites(_by_theme()), risk.GridRisk)
