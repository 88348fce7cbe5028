"""Composites: a score of each theme, the worst of them, and the city's health index."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from citytwin.indicators.api import Context, Indicator, Spec, ind
from citytwin.indicators.quality import Standing, weigh
from citytwin.models.columns import Float64, Int32

_ALARMS = ("red", "orange")
_WARNINGS = ("blue", "yellow")
#: Scopes down to this level, district, are told what lies behind their score.
_WIDE = 1


def edges(spec: Spec, bands: Mapping[str, float]) -> tuple[float, float, float] | None:
    """Best value, warning and alarm of an indicator under these bands; None without two.

    The best is as far on the good side of the warning as the alarm is on the bad side, but not below 0, and not above
    100 for a percentage: a local default.
    """
    warn = next((bands[b] for b in _WARNINGS if b in bands), None)
    alarm = next((bands[b] for b in _ALARMS if b in bands), None)
    if warn is None or alarm is None or warn == alarm:
        return None
    best = warn + (warn - alarm)
    if spec.better != "up":
        return max(0.0, best), warn, alarm
    return (min(100.0, best) if spec.unit == "%" else best), warn, alarm


def score(spec: Spec, bands: Mapping[str, float], value: Float64) -> Float64:
    """100 at the best value, 60 at the warning, 0 at the alarm, linear between and held there; NaN without a value."""
    found = edges(spec, bands)
    if found is None:
        return np.full(len(value), np.nan)
    best, warn, alarm = found
    knots = [(alarm, 0.0), (warn, 60.0), (best, 100.0)]
    xs, ys = zip(*sorted(knots), strict=True)
    return np.asarray(np.interp(value, xs, ys), np.float64)


class _Score(Indicator):
    """What scores share."""

    theme = "composite"
    window = "instant"
    unit = "0-100"
    better = "up"
    levels = "city district street community"
    decimals = 1
    bands = {"yellow": 70, "red": 60}
    source = "local default: scale, weights and limits"
    status = "L"
    owner = "command centre"
    every = ""

    def __init__(self) -> None:
        self._facts: dict[int, dict[str, Any]] = {}

    def scopes(self, ctx: Context) -> Int32:
        """Rows of the scopes that have a score, moved or not: what the parts say of them all is kept for all scores."""
        return ctx.down_to(ctx.spec(self.id).finest)

    def note(self, ctx: Context, at: Int32, value: Float64, fact: Callable[[int], dict[str, Any]]) -> None:
        """Keep what `fact` says of the places of `at` down to district; of those without a value nothing."""
        for place in np.flatnonzero(ctx.scopes.level[at] <= _WIDE).tolist():
            if np.isnan(value[place]):
                self._facts.pop(int(at[place]), None)
            else:
                self._facts[int(at[place])] = fact(place)

    def detail(self, ctx: Context) -> Mapping[int, Mapping[str, Any]]:
        """Facts of the values just given, for the levels down to district."""
        return self._facts


class ThemeScore(_Score):
    """Mean score of the theme's indicators whose value is not stale; the share of missing weight stands beside it.

    Missing is what should have said something and did not; an indicator that has nothing to measure at a scope is left
    out of the weights. The catalogue's tumbling window is a publishing period; a composite has the time of its parts.
    """

    of: ClassVar[str]

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scores of the theme's indicators, equally weighted."""
        specs = [s for s in map(ctx.spec, self.aggregates) if edges(s, s.bands_at(ctx.now)) is not None]
        at = self.scopes(ctx)
        parts = [ctx.standing(s.id, at) for s in specs]
        scores = [score(s, s.bands_at(ctx.now), ctx.relative(s.id, at)) for s in specs]
        mean, missing = weigh(scores, parts, len(at))
        self.note(ctx, at, mean, lambda i: {"missing": round(float(missing[i]), 4)})
        return at, mean


class HealthIndex(_Score):
    """Mean of the theme scores that are known, with the worst theme and the share of missing weight."""

    id = "city_health_index"
    name = {"zh": "城市体征综合指数", "en": "City health index"}
    meaning = {
        "zh": "各主题健康分的加权平均，附最差主题",
        "en": "Weighted mean of the theme scores, with the worst theme",
    }
    bands = {"yellow": 75, "red": 60}
    source = "GB/T 33356-2022 for the themes; scale, weights and limits are a local default"

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Equally weighted mean over themes."""
        at, themes = self.scopes(ctx), list(self.aggregates)
        parts = [ctx.standing(i, at) for i in themes]
        mean, missing = weigh([p.value for p in parts], parts, len(at))
        worst = lowest(parts, len(at))
        self.note(
            ctx, at, mean, lambda i: {"worst": worst_theme(themes, worst, i), "missing": round(float(missing[i]), 4)}
        )
        return at, mean


class WorstTheme(_Score):
    """The lowest theme score of a scope, with the name of the theme: the card that says where to look."""

    id = "theme_score"
    name = {"zh": "最低主题健康分", "en": "Lowest theme score"}
    meaning = {"zh": "各主题健康分中的最低分，附主题名", "en": "Lowest of the theme scores, with the theme's name"}

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Minimum over themes that are known; none where the mean of the themes would have no number."""
        at, themes = self.scopes(ctx), list(self.aggregates)
        parts = [ctx.standing(i, at) for i in themes]
        mean, _ = weigh([p.value for p in parts], parts, len(at))
        worst = lowest(parts, len(at))
        value = np.where(np.isnan(mean), np.nan, np.fmin.reduce(worst))
        self.note(ctx, at, value, lambda i: {"worst": worst_theme(themes, worst, i)})
        return at, value


def lowest(parts: Sequence[Standing], n: int) -> Float64:
    """Values of the parts that count (float64[parts, n], NaN elsewhere): the known, or the stale where none is."""
    known = np.array([p.known for p in parts]).reshape(-1, n)
    values = np.array([p.value for p in parts]).reshape(-1, n)
    return np.where(known | ~known.any(axis=0), values, np.nan)


def worst_theme(themes: Sequence[str], values: Float64, place: int) -> str:
    """The theme with the lowest value at a place of the columns, the first of equals."""
    return themes[int(np.nanargmin(values[:, place]))].partition(".")[2]


#: Names of themes in both languages.
THEMES: dict[str, tuple[str, str]] = {
    "traffic": ("交通运行", "Traffic"),
    "public_transport": ("公共交通", "Public transport"),
    "parking": ("停车", "Parking"),
    "water": ("供水", "Water supply"),
    "power": ("供电", "Power"),
    "gas": ("燃气", "Gas"),
    "heating": ("供热", "Heating"),
    "environment": ("生态环境", "Environment"),
    "weather_flood": ("气象防汛", "Weather and flood"),
    "sanitation": ("环卫", "Sanitation"),
    "lighting": ("照明与部件", "Lighting and street furniture"),
    "social_governance": ("社会治理", "Social governance"),
    "livelihood": ("民生服务", "Livelihood"),
    "emergency": ("应急", "Emergency"),
    "safe_city": ("平安城市", "Safe city"),
    "economy": ("经济运行", "Economy"),
    "market": ("市场监管", "Market supervision"),
    "health": ("卫生健康", "Health"),
    "education": ("教育", "Education"),
    "elderly": ("养老", "Care of the old"),
    "culture_tourism": ("文化旅游", "Culture and tourism"),
    "sports": ("体育", "Sports"),
    "gov_service": ("政务服务", "Government service"),
    "data_governance": ("数据治理", "Data governance"),
    "credit": ("信用", "Credit"),
    "iot": ("物联感知", "IoT"),
    "platform": ("平台运行", "Platform"),
}


def theme_score(theme: str, members: Sequence[str]) -> type[ThemeScore]:
    """The score of one theme; `members` are the indicators that must be worked out before it."""
    zh, en = THEMES[theme]
    body = {
        "id": f"theme_score.{theme}",
        "of": theme,
        "name": {"zh": f"{zh}健康分", "en": f"{en} score"},
        "meaning": {
            "zh": f"{zh}主题各指标得分的平均：最佳 100，预警 60，告警 0",
            "en": f"Mean score of the theme's indicators ({en}): 100 at best, 60 at warning, 0 at alarm",
        },
        "aggregates": {m: ind(m) for m in members},
        "__doc__": ThemeScore.__doc__,
        "__module__": __name__,
    }
    return type(f"ThemeScore_{theme}", (ThemeScore,), body)


def composites(themes: Mapping[str, Sequence[str]]) -> list[type[Indicator]]:
    """Scores of the themes (theme to its indicators), the lowest of them, and the health index."""
    scores: list[type[Indicator]] = [theme_score(t, members) for t, members in themes.items()]
    children = {s.id: ind(s.id) for s in scores}
    totals = [
        type(base.__name__, (base,), {"aggregates": children, "__doc__": base.__doc__, "__module__": __name__})
        for base in (WorstTheme, HealthIndex)
    ]
    return [*scores, *totals]
