"""Economy: organisations that begin and end."""

from __future__ import annotations

from citytwin.indicators.api import indicator, row, tally
from citytwin.models.columns import Float64


@indicator(
    "entity_net_growth", theme="economy", window="tumbling 30d", unit="%/month", better="up",
    levels="city district street", decimals=2,
    name={"zh": "市场主体净增率", "en": "Net growth of market entities"},
    meaning={
        "zh": "30 天内新登记减注销、吊销的单位数占期初在册单位数的比例",
        "en": "Organisations registered less those cancelled or revoked in 30 days, over those at the start",
    },
    bands={"yellow": 0, "red": -1}, source="local default; ISO 37120:2014 5.6 counts new entities", status="L",
    owner="market supervision", feeds=(("org.registered", ""),),
    examples=[
        {"stock": 1020, "begun": 40, "ended": 20, "gives": 2.0}, {"stock": 95, "begun": 0, "ended": 5, "gives": -5.0},
        {"stock": 3, "begun": 3, "ended": 0, "gives": None},
    ],
)  # fmt: skip
def entity_net_growth(
    stock: Float64 = tally("organisation", start=row.since, end=row.valid_to),
    begun: Float64 = tally("organisation", at=row.since),
    ended: Float64 = tally("organisation", at=row.valid_to),
) -> Float64:
    """(begun - ended) / (stock - begun + ended): the denominator is the stock at the start of the window.

    All three are told by the register with the clock, so an organisation counts from its start of validity, whenever
    that was said. A revoked organisation is a cancelled one whose reason (`why`) is "revoked": both end its validity,
    so `ended` has both. One that began and ended in the window is in both tallies and not in the stock at the start.
    The closed month is as it stood at its end; in the open one the number grows from 0.
    """
    return 100 * (begun - ended) / (stock - begun + ended)


INDICATORS = (entity_net_growth,)
