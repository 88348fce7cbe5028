"""Power: availability of supply, voltage in its band, customers that are without power."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, col, count, ent, indicator, row, rows, tally, twin
from citytwin.indicators.themes.places import added_above
from citytwin.models.columns import Float64, Int32

OUTAGE = "power_outage"
_WINDOW_MS = 30 * 86_400_000


class SupplyAvailability(Indicator):
    """100 * (1 - interrupted customer hours / customer hours) of the 30 days that end now, by IEEE 1366.

    An outage is a case of the category `power_outage` that was filed and was neither merged nor voided. It interrupts
    `customers` from its filing until it is closed, or until now while it is open, and is clipped exactly to the window;
    so the value falls with the clock alone while an outage lasts. A case that does not say its customers interrupts
    none. Customers are those of the register (`power_customers` of the grids); where more are said to be without power
    than there are, the value stops at 0. A reopened case is one outage from its first filing.
    """

    id = "power_asai"
    theme = "power"
    window = "sliding 30d/1h"
    unit = "%"
    better = "up"
    levels = "city district street"
    decimals = 4
    name = {"zh": "供电可靠率", "en": "Supply availability (ASAI)"}
    meaning = {
        "zh": "30 天内用户实际供电时长与应供电时长之比，未恢复的停电随时间累计",
        "en": "Customer hours with supply over all customer hours of 30 days; open outages accrue with the clock",
    }
    bands = {"yellow": 99.95, "red": 99.9}
    source = "definition IEEE 1366; ISO 37120:2014 7.7; limits are a local default"
    status = "K+L"
    owner = "power"
    feeds = (("case", ""),)
    every = "1m"
    aggregates = {
        "customers": twin("grid.power_customers"),
        "outages": rows(
            "case", (row.category == OUTAGE) & (row.counted == 1) & row.filed_at.known() & (row.customers > 0),
            customers=row.customers, start=row.filed_at, end=row.closed_at,
        ),
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Lost customer milliseconds by scope, exact, over those of the window."""
        outages = ctx.rows("outages")
        end = outages.number("end")
        until = np.where(np.isnan(end), ctx.now, np.minimum(end, ctx.now))
        lasted = np.maximum(until - np.maximum(outages.number("start"), ctx.now - _WINDOW_MS), 0).astype(np.int64)
        lost = added_above(ctx, outages.scope, lasted * outages.number("customers").astype(np.int64))
        served = ctx.tally("customers") * _WINDOW_MS
        at = np.flatnonzero(served > 0).astype(np.int32)
        return at, 100 * (1 - np.minimum(lost[at] / served[at], 1))


#: Steps of a reading: 0.1 V, so that the edges of the band are met exactly.
_TENTHS = (col.value * 10 + 0.5).floor() * 10
_NOMINAL = ent.nominal_voltage
_THREE = (ent.phases == 3) & (_NOMINAL <= 20_000)
_SINGLE = ent.phases == 1
_SAID = (col.property == "power.voltage") & (col.quality == "good") & (_NOMINAL > 0) & (_THREE | _SINGLE)
_IN_BAND = (_THREE & (_TENTHS >= _NOMINAL * 93) & (_TENTHS <= _NOMINAL * 107)) | (
    _SINGLE & (_TENTHS >= _NOMINAL * 90) & (_TENTHS <= _NOMINAL * 107)
)


@indicator(
    "voltage_compliance", theme="power", window="sliding 24h/15m", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "电压合格率", "en": "Voltage compliance"},
    meaning={
        "zh": "24 小时内电压有效读数处于允许偏差内的比例：三相 20 kV 及以下 ±7%，单相 220 V +7%/-10%",
        "en": "Share of good voltages of 24 hours in band: three-phase up to 20 kV +-7 %, single-phase +7/-10 %",
    },
    bands={"yellow": 98, "red": 95}, source="bands of GB/T 12325-2008; 98 and 95 % are a local default", status="V+L",
    owner="power", feeds=(("obs", "power.voltage"),),
    examples=[
        {"inside": 196, "n": 200, "gives": 98.0}, {"inside": 2, "n": 3, "gives": 66.67},
        {"inside": 0, "n": 0, "gives": None},
    ],
)  # fmt: skip
def voltage_compliance(inside: Float64 = count("obs", _SAID & _IN_BAND), n: Float64 = count("obs", _SAID)) -> Float64:
    """Good readings within the band of their meter's nominal voltage and phases, edges included, over all of them.

    The catalogue says time in band over time observed; a meter reads at its period, so each reading stands for one. A
    meter without a nominal voltage or phases is left out, and so is one above 20 kV: the rule for 35 kV and more bounds
    the sum of the deviations up and down over a time, which no single reading can keep or break.
    """
    return 100 * inside / n


@indicator(
    "outage_customers_now", theme="power", window="instant", unit="count", better="down",
    levels="city district street grid", decimals=0, name={"zh": "当前停电户数", "en": "Customers without power now"},
    meaning={"zh": "未恢复的停电案件影响的用户数之和", "en": "Customers of the power outages that are still open"},
    bands={"yellow": 500, "red": 5000}, source="local default", status="L", owner="power", feeds=(("case", ""),),
    examples=[{"customers": 1240, "gives": 1240.0}, {"customers": 0, "gives": 0.0}],
)  # fmt: skip
def outage_customers_now(
    customers: Float64 = tally("case", row.customers, (row.category == OUTAGE) & (row.open == 1)),
) -> Float64:
    """Sum of `customers` of the open cases of the category power_outage; one that does not say them adds nothing.

    An outage is open until its case is closed: until the supply was seen to be back, not only reported so.
    """
    return customers


INDICATORS = (SupplyAvailability, voltage_compliance, outage_customers_now)
