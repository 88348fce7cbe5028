"""Safe city: cameras that see, crowds that can move."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
