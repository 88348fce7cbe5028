"""Care of the old: how fast a call for help is met."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
