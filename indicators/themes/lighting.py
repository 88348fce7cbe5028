"""Lighting and street furniture: lamps that burn, parts that are whole, covers that lie."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
