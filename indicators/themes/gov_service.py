"""Government service: the project's own targets, applications in time."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
