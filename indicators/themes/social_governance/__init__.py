"""Social governance: cases filed, closed, in time; where they pile up; who is on post."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec
from citytwin.indicators.themes.social_governance import cases
from citytwin.indicators.themes.social_governance.hotspots import HotSpotGrids
from citytwin.indicators.themes.social_governance.workers import GridPatrolCoverage, GridWorkerPresence

INDICATORS: tuple[Spec | type[Indicator], ...] = (
    *cases.INDICATORS,
    HotSpotGrids,
    GridWorkerPresence,
    GridPatrolCoverage,
    cases.proactive_discovery_rate,
)
