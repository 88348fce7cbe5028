"""What measures of devices share: which are in service, and which of these are online by the clock."""

from __future__ import annotations

from typing import Any

from citytwin.indicators.api import row, tally
from citytwin.indicators.expr import Expr

#: An event may be this far ahead of the clock (vocabulary: future_ms); such a device is online now.
_AHEAD_MS = 60_000
#: Devices that the register has in service, for a tally over the kind.
IN_SERVICE = (row.in_service == 1) & ~row.valid_to.known()


def online(where: Expr) -> Any:
    """Devices that fulfil a condition and last spoke at most three of their periods ago; without a period never."""
    return tally(
        "device",
        where=where & row.period_s.known(),
        start=row.last_seen - _AHEAD_MS,
        end=row.last_seen + row.period_s * 3000 + 1,
    )
