"""Government service: items online, licences that are used again, applications in time, the platform's own targets.

The project states targets (status S): they are the red edge, so what misses its target is in alarm. The yellow edge is
the catalogue's.
"""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from citytwin.indicators.api import Context, Indicator, Spec, ind, indicator, row, tally
from citytwin.models.columns import Float64, Int32

_NEEDED = row.apply_at.known() & row.licences_needed.known() & row.licences_reused.known()


@indicator(
    "elicence_use_rate", theme="gov_service", window="tumbling 30d", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "电子证照应用率", "en": "E-licence use rate"},
    meaning={
        "zh": "30 天内申请所需证照中由电子证照库提供的比例（目标 ≥ 85 %）",
        "en": "Share of the licences that applications of 30 days need and the e-licence base gave (target >= 85 %)",
    },
    bands={"yellow": 90, "red": 85}, source="目标 ≥ 85 % (project target >= 85 %)", status="S",
    owner="government service", feeds=(("service", ""),),
    examples=[{"reused": 85, "needed": 100, "gives": 85.0}, {"reused": 0, "needed": 0, "gives": None}],
)  # fmt: skip
def elicence_use_rate(
    reused: Float64 = tally(
        "service",
        row.licences_reused.where(row.licences_reused <= row.licences_needed, row.licences_needed),
        _NEEDED,
        at=row.apply_at,
    ),
    needed: Float64 = tally("service", row.licences_needed, _NEEDED, at=row.apply_at),
) -> Float64:
    """Licences from the e-licence base over licences needed, of the applications made in the window.

    An application that does not tell both numbers is in neither sum; one that says it used more than it needed counts
    with what it needed. An application that is told again counts once, with its newest numbers.
    """
    return 100 * reused / needed


_ONLINE = row.state == "online"
#: Items that are in force: one in draft is none yet.
_ITEM = row.state.isin(["online", "offline"])


@indicator(
    "online_items", theme="gov_service", window="instant", unit="count", better="up", levels="city",
    decimals=0, name={"zh": "一网通办线上事项数", "en": "Items handled online"},
    meaning={"zh": "可在线办理的事项数（目标 ≥ 1000）", "en": "Items that can be handled online (target >= 1,000)"},
    bands={"yellow": 1050, "red": 1000}, source="目标 ≥ 1000 (project target >= 1,000 items)", status="S",
    owner="government service", feeds=(("service.item", ""),),
    examples=[{"items": 1060, "gives": 1060.0}, {"items": 0, "gives": 0.0}],
)  # fmt: skip
def online_items(items: Float64 = tally("service.item", where=_ONLINE)) -> Float64:
    """Items whose newest state is online.

    The catalogue has districts too, but the target is the city's: each district would stand in alarm for ever. What a
    district does online is told by the two ratios.
    """
    return items


@indicator(
    "online_doable_ratio", theme="gov_service", window="instant", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "网上办事项比例", "en": "Items doable online"},
    meaning={
        "zh": "在用事项中可在线办理的比例（目标 ≥ 95 %）",
        "en": "Share of the items in force that can be handled online (target >= 95 %)",
    },
    bands={"yellow": 96, "red": 95}, source="目标 ≥ 95 % (project target >= 95 %)", status="S",
    owner="government service", feeds=(("service.item", ""),),
    examples=[{"online": 96, "items": 100, "gives": 96.0}, {"online": 0, "items": 0, "gives": None}],
)  # fmt: skip
def online_doable_ratio(
    online: Float64 = tally("service.item", where=_ONLINE), items: Float64 = tally("service.item", where=_ITEM)
) -> Float64:
    """Items online over items in force, which are online or offline; drafts are left out."""
    return 100 * online / items


@indicator(
    "full_online_ratio", theme="gov_service", window="instant", unit="%", better="up", levels="city district",
    decimals=2, name={"zh": "全程网办事项比例", "en": "Items fully online"},
    meaning={
        "zh": "在用事项中全程网办的比例（目标 ≥ 70 %）",
        "en": "Share of the items in force that can be handled online from end to end (target >= 70 %)",
    },
    bands={"yellow": 72, "red": 70}, source="目标 ≥ 70 % (project target >= 70 %)", status="S",
    owner="government service", feeds=(("service.item", ""),),
    examples=[{"full": 72, "items": 100, "gives": 72.0}, {"full": 0, "items": 0, "gives": None}],
)  # fmt: skip
def full_online_ratio(
    full: Float64 = tally("service.item", where=_ONLINE & (row.full_online == 1)),
    items: Float64 = tally("service.item", where=_ITEM),
) -> Float64:
    """Items that are online now and need no visit at all, over items in force; drafts are left out."""
    return 100 * full / items


@indicator(
    "office_apps", theme="gov_service", window="instant", unit="count", better="up", levels="city", decimals=0,
    name={"zh": "集成办公应用数", "en": "Integrated office applications"},
    meaning={"zh": "在用的集成办公应用数（目标 ≥ 30）", "en": "Office applications that are live (target >= 30)"},
    bands={"yellow": 32, "red": 30}, source="目标 ≥ 30 (project target >= 30)", status="S", owner="office platform",
    feeds=(("office.app", ""),), examples=[{"apps": 33, "gives": 33.0}, {"apps": 0, "gives": 0.0}],
)  # fmt: skip
def office_apps(apps: Float64 = tally("office.app", where=row.state == "live")) -> Float64:
    """Applications whose newest state is live; those in testing or retired count not."""
    return apps


@indicator(
    "citycode_services", theme="gov_service", window="instant", unit="count", better="up", levels="city", decimals=0,
    name={"zh": "一码互联服务数", "en": "City-code services"},
    meaning={"zh": "接入市民码的在用服务数（目标 ≥ 120）", "en": "Live services of the city code (target >= 120)"},
    bands={"yellow": 126, "red": 120}, source="目标 ≥ 120 (project target >= 120)", status="S", owner="city code",
    feeds=(("citycode.service", ""),), examples=[{"services": 127, "gives": 127.0}, {"services": 0, "gives": 0.0}],
)  # fmt: skip
def citycode_services(services: Float64 = tally("citycode.service", where=row.state == "live")) -> Float64:
    """Services whose newest state is live; those in testing or retired count not."""
    return services


_JUDGED = row.apply_at.known() & ~(row.result == "withdrawn")


@indicator(
    "service_on_time_rate", theme="gov_service", window="tumbling 30d", unit="%", better="up",
    levels="city district street", decimals=2,
    name={"zh": "政务事项按期办结率", "en": "Applications on time"},
    meaning={
        "zh": "30 天内到承诺期限的申请中按期办结的比例",
        "en": "Share of the applications due in 30 days that were done by the promised time",
    },
    bands={"yellow": 99, "red": 97}, source="local default", status="L", owner="government service",
    feeds=(("service", ""),),
    examples=[{"on_time": 99, "due": 100, "gives": 99.0}, {"on_time": 0, "due": 0, "gives": None}],
)  # fmt: skip
def service_on_time_rate(
    on_time: Float64 = tally("service", where=_JUDGED & (row.done_at <= row.due_at), at=row.due_at),
    due: Float64 = tally("service", where=_JUDGED, at=row.due_at),
) -> Float64:
    """Applications done by their promised time, over those whose promised time passed in the window.

    The promised time is told with the application (`due_at`), in whatever days the office promised. One that is not
    done is due with the clock alone. One that was withdrawn is in neither number; granted and refused are done alike.
    """
    return 100 * on_time / due


class IndicatorModels(Indicator):
    """Indicators of the city that have a value at the city's level which is neither stale nor missing.

    Composites are not counted: they are made of indicators that are, and the target speaks of operating models, not of
    their sums. It does not count itself. The catalogue asks for a value fresher than three periods; how old a value may
    be depends on what feeds it, which is what its quality tells, so a value counts unless it is stale or in error.
    Indicators of plugins count too, as of the tick before where they are worked out later.
    """

    id = "indicator_models"
    theme = "gov_service"
    window = "instant"
    unit = "count"
    better = "up"
    levels = "city"
    decimals = 0
    name = {"zh": "城市运行指标模型数", "en": "Operating indicator models"}
    meaning = {
        "zh": "当前有有效值的城市运行指标数，不含综合指数（目标 ≥ 60）",
        "en": "Indicators with a valid value now, composites left out (target >= 60)",
    }
    bands = {"yellow": 66, "red": 60}
    source = "目标 ≥ 60 (project target >= 60)"
    status = "S"
    owner = "platform"
    feeds = (("indicator.value", ""),)
    every = "10s"

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Their number, at the city alone."""
        city = ctx.down_to(0)
        models = [i for i in ctx.ids() if i != self.id and ctx.spec(i).theme != "composite"]
        return city, np.array([float(sum(bool(ctx.standing(i, city).known[0]) for i in models))])


def indicator_models(ids: Sequence[str]) -> type[IndicatorModels]:
    """The count over indicators that must be worked out before it."""
    body = {"aggregates": {i: ind(i) for i in ids}, "__doc__": IndicatorModels.__doc__, "__module__": __name__}
    return type("IndicatorModels", (IndicatorModels,), body)


INDICATORS: tuple[Spec | type[Indicator], ...] = (
    elicence_use_rate,
    online_items,
    online_doable_ratio,
    full_online_ratio,
    office_apps,
    citycode_services,
    service_on_time_rate,
)
