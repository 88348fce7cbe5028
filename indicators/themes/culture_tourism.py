"""Culture and tourism: how full the sights are."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
