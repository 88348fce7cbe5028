"""Water supply: pressure at the ends of the network, quality of tap water, flow at night."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, col, count, indicator, total
from citytwin.indicators.expr import ref
from citytwin.indicators.themes.places import largest_above
from citytwin.models.columns import Float64, Int32

#: Least pressure at the end of the network, MPa (CJJ 58).
LEAST_MPA = 0.14


@indicator(
    "water_pressure_compliance", theme="water", window="sliding 24h/15m", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "供水管网压力合格率", "en": "Network pressure compliance"},
    meaning={
        "zh": "24 小时内管网末梢压力不低于 0.14 MPa 的有效读数比例",
        "en": "Share of good readings of 24 hours at network ends that are at or above 0.14 MPa",
    },
    bands={"yellow": 97.5, "red": 97}, source="CJJ 58: at least 97 % of readings", status="V", owner="water",
    feeds=(("obs", "water.pressure"),),
    examples=[{"ok": 99, "n": 100, "gives": 99.0}, {"ok": 0, "n": 0, "gives": None}],
)  # fmt: skip
def water_pressure_compliance(
    ok: Float64 = count("obs", (col.property == "water.pressure") & (col.value >= LEAST_MPA) & (col.quality == "good")),
    n: Float64 = count("obs", (col.property == "water.pressure") & (col.quality == "good")),
) -> Float64:
    """Share of good readings of `water.pressure`, the property measured at network ends, at or above 0.14 MPa.

    The catalogue names a device role; a role may change while an event keeps what it says, so the property decides.
    """
    return 100 * ok / n


_GOOD = col.quality == "good"
_TURBIDITY, _CHLORINE, _PH = (col.property == f"water.{p}" for p in ("turbidity", "chlorine", "ph"))
_FIT = (
    (_TURBIDITY & (col.value <= 1))
    | (_CHLORINE & (col.value >= 0.05))
    | (_PH & (col.value >= 6.5) & (col.value <= 8.5))
)


@indicator(
    "water_quality_compliance", theme="water", window="sliding 24h/1h", unit="%", better="up",
    levels="city district street", decimals=2, name={"zh": "管网水质合格率", "en": "Tap water quality compliance"},
    meaning={
        "zh": "24 小时内浊度、余氯、pH 有效读数符合限值的比例",
        "en": "Share of good readings of 24 hours of turbidity, free chlorine and pH that are within their limits",
    },
    bands={"yellow": 99, "red": 95}, source="GB 5749-2022: 1 NTU, 0.05 mg/L at the tap, pH 6.5 to 8.5; unconfirmed",
    status="K+L", owner="water", feeds=tuple(("obs", f"water.{p}") for p in ("turbidity", "chlorine", "ph")),
    examples=[
        {"fit": 594, "n": 600, "gives": 99.0}, {"fit": 2, "n": 3, "gives": 66.67}, {"fit": 0, "n": 0, "gives": None},
    ],
)  # fmt: skip
def water_quality_compliance(
    fit: Float64 = count("obs", _FIT & _GOOD), n: Float64 = count("obs", (_TURBIDITY | _CHLORINE | _PH) & _GOOD)
) -> Float64:
    """Good readings of `water.turbidity`, `water.chlorine` and `water.ph` within their limits over all of them.

    The catalogue counts samples that keep all three limits; but events say one property each, meters of one point read
    at different times, and many points measure only one, so what belongs to one sample is not told. Counting readings
    is a little kinder: a sample that breaks one limit of three counts as a third.
    """
    return 100 * fit / n


#: Quarters of the night, local time: 02:00 to 05:00.
_NIGHT = (8, 20)
_QUARTERS = 96
#: Least quarters with a good reading, of the night's 12 and of the 96 of a day: three in four, a local default.
_LEAST_NIGHT, _LEAST_DAY = 9, 72
_FLOW_STEPS = 100  # of water.flow: 0.01 m3/h


class NightFlow(Indicator):
    """Smallest 15-minute mean flow between 02:00 and 05:00 over the mean flow of 24 hours, of the worst metering area.

    Flow at night is leakage for the larger part. A metering area is a facility of the kind `dma` that a flow meter
    observes. The catalogue says "tumbling 1d"; a day that has just begun holds nothing but its night, and every morning
    would begin with a ratio near 1 and an alarm. So the mean is that of the 24 hours that end now, and the night is the
    twelve quarters of local clock time in them, which are whole but between 02:00 and 05:00. A meter needs good
    readings in nine of the twelve and in 72 of all 96 quarters. Each scope shows the largest ratio of its areas. The
    second alarm of the catalogue (robust z above 3 against 28 days) is no band of the value; it is an alarm of
    models.anomaly.
    """

    id = "dma_night_flow_ratio"
    theme = "water"
    window = "sliding 24h/15m"
    unit = "ratio"
    better = "down"
    levels = "street community"
    decimals = 3
    name = {"zh": "夜间最小流量比", "en": "Minimum night flow ratio"}
    meaning = {
        "zh": "计量区 2 至 5 时最小 15 分钟平均流量与 24 小时平均流量之比，取各区最大值",
        "en": "Least 15-minute flow from 02:00 to 05:00 over the mean flow of 24 hours; the largest of the areas",
    }
    bands = {"yellow": 0.35, "red": 0.5}
    source = "local default"
    status = "L"
    owner = "water"
    feeds = (("obs", "water.flow"),)
    every = "1m"
    aggregates = {
        "flow": total(
            "obs", col.value,
            (col.property == "water.flow") & _GOOD & (ref("ent", "observes.facility_kind") == "dma"),
            per_unit=_FLOW_STEPS, by="subject",
        )
    }  # fmt: skip

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Ratio of each meter with enough quarters, and the largest above."""
        panes = ctx.panes("flow")
        steps, said = np.rint(panes.sums * _FLOW_STEPS), panes.counts > 0
        quarter = (panes.first + np.arange(steps.shape[1])) % _QUARTERS
        night = said & (quarter >= _NIGHT[0]) & (quarter < _NIGHT[1])
        with np.errstate(all="ignore"):
            least = np.where(night, steps / panes.counts, np.inf).min(axis=1)
            ratio = least / (steps.sum(axis=1) / panes.counts.sum(axis=1))
        fine = (night.sum(axis=1) >= _LEAST_NIGHT) & (said.sum(axis=1) >= _LEAST_DAY) & np.isfinite(ratio)
        return largest_above(ctx, panes.groups[fine], ratio[fine])


INDICATORS = (water_pressure_compliance, water_quality_compliance, NightFlow)
