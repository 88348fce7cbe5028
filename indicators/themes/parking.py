"""Parking: how full the public car parks are."""

from __future__ import annotations

from citytwin.indicators.api import Indicator, Spec

INDICATORS: tuple[Spec | type[Indicator], ...] = ()
