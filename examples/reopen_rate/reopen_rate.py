"""Reopen rate of cases, as a package that is installed beside CityTwin."""

from __future__ import annotations

from citytwin.indicators.api import count, indicator
from citytwin.models.columns import Float64


@indicator(
    "gov.case.reopen_rate",
    theme="social_governance",
    window="sliding 7d/1h",
    unit="%",
    better="down",
    levels="city district street",
    decimals=2,
    name={"zh": "案件重开率", "en": "Case reopen rate"},
    meaning={
        "zh": "七日内重开案件数与结案数之比",
        "en": "Cases that were reopened per hundred that were closed, of the last seven days",
    },
    bands={"yellow": 5, "red": 10},
    source="local default",
    status="L",
    owner="governance",
    feeds=(("case", ""),),
    examples=[
        {"reopened": 1, "closed": 4, "gives": 25.0},
        {"reopened": 0, "closed": 0, "gives": None},
    ],
)
def reopen_rate(reopened: Float64 = count("case.reopened"), closed: Float64 = count("case.closed")) -> Float64:
    """Reopened over closed cases of the window; a case that is reopened twice counts twice."""
    return 100 * reopened / closed


INDICATORS = (reopen_rate,)
