"""Heating: rooms that are warm enough while the networks heat."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, col, mean, row, rows
from citytwin.indicators.expr import ref
from citytwin.indicators.themes.places import lines_of_descent, named_scopes, sums_above
from citytwin.models.columns import Float64, Int32

#: Least indoor temperature, degrees Celsius.
LEAST_C = 18
_TENTHS = 10


class IndoorTemperature(Indicator):
    """100 * rooms whose newest hourly mean is at least 18 degrees / rooms with one, of 24 hours, while heating is on.

    A room is what a sensor of `heat.indoor_temp` stands in; one that observes a house which is not heated is left out.
    Whether heating is on is what the networks say (`heating.season`): each holds for the scope that its event names,
    for the whole city where it names none, and a room is judged while any network that holds for it is on. Without such
    a word there is no number: a cold room in summer breaks no rule. The hourly mean is exact, and 18.0 is warm enough.
    """

    id = "heating_indoor_temp_compliance"
    theme = "heating"
    window = "sliding 24h/1h"
    unit = "%"
    better = "up"
    levels = "city district street community"
    decimals = 2
    name = {"zh": "供热室温合格率", "en": "Indoor temperature compliance (heating season)"}
    meaning = {
        "zh": "供热季内最新小时平均室温不低于 18℃ 的房间比例",
        "en": "Share of rooms whose newest hourly mean is at least 18 degrees, while heating is on",
    }
    bands = {"yellow": 98, "red": 95}
    source = "18 degrees: lower limit of Chinese heating rules, unconfirmed; 98 and 95 % are a local default"
    status = "K+L"
    owner = "heating"
    feeds = (("obs", "heat.indoor_temp"),)
    every = "1m"
    aggregates = {
        "temperature": mean(
            "obs", col.value,
            (col.property == "heat.indoor_temp") & (col.quality == "good") & ~(ref("ent", "observes.heated") == 0),
            per_unit=_TENTHS, by="subject",
        ),
        "season": rows("heating.season", row.on == 1),
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Warm rooms over judged rooms, by scope."""
        panes = ctx.panes("temperature")
        newest = panes.counts.shape[1] - 1 - np.argmax(panes.counts[:, ::-1] > 0, axis=1)
        at = np.arange(len(panes.groups))
        total, count = np.rint(panes.sums[at, newest] * _TENTHS), panes.counts[at, newest]
        heated = np.zeros(len(ctx.scopes) + 1, np.bool_)  # the last one stands for "no such scope"
        heated[named_scopes(ctx, ctx.rows("season").scope)] = True
        judged = heated[lines_of_descent(ctx, panes.groups)].any(axis=1)
        warm = (total >= LEAST_C * _TENTHS * count).astype(np.int64)
        ok, n = sums_above(ctx, panes.groups[judged], warm[judged])
        found = np.flatnonzero(n > 0).astype(np.int32)
        return found, 100 * ok[found] / n[found]


INDICATORS = (IndoorTemperature,)
