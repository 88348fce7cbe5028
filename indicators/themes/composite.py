"""Composites: a score of each theme, the worst of them, and the city's health index."""

# ruff: noqa: RUF012 - the class attributes are the declaration; the base class types them as ClassVar
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from citytwin.indicators.api import Context, Indicator, Spec, ind
from citytwin.models.columns import Float64, Int32

#: Weight of each theme in the health index, of each indicator in its theme: equal ones, a local default.
WEIGHT = 1.0
_ALARMS = ("red", "orange")
_WARNINGS = ("blue", "yellow")


def edges(spec: Spec) -> tuple[float, float, float] | None:
    """Best value, warning and alarm of an indicator; None without two bands.

    The best is as far on the good side of the warning as the alarm is on the bad side, but not below 0, and not above
    100 for a percentage: a local default.
    """
    warn = next((spec.bands[b] for b in _WARNINGS if b in spec.bands), None)
    alarm = next((spec.bands[b] for b in _ALARMS if b in spec.bands), None)
    if warn is None or alarm is None or warn == alarm:
        return None
    best = warn + (warn - alarm)
    if spec.better == "down":
        return max(0.0, best), warn, alarm
    return (min(100.0, best) if spec.unit == "%" else best), warn, alarm


def score(spec: Spec, value: Float64) -> Float64:
    """100 at the best value, 60 at the warning, 0 at the alarm, linear between and held there; NaN without a value."""
    found = edges(spec)
    if found is None:
        return np.full(len(value), np.nan)
    best, warn, alarm = found
    knots = [(alarm, 0.0), (warn, 60.0), (best, 100.0)]
    xs, ys = zip(*sorted(knots), strict=True)
    return np.asarray(np.interp(value, xs, ys), np.float64)


def weighted(parts: Sequence[Float64], n: int) -> tuple[Float64, Float64]:
    """Mean of the parts that are known, and the share of the weight that is missing (float64[n] each)."""
    total, known = np.zeros(n), np.zeros(n)
    for part in parts:
        there = ~np.isnan(part)
        total += np.where(there, part, 0.0) * WEIGHT
        known += there * WEIGHT
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / known, 1 - known / max(len(parts) * WEIGHT, 1.0)


def known(at: Int32, values: Float64) -> tuple[Int32, Float64]:
    """Those scope rows that have a value, and the values."""
    there = ~np.isnan(values)
    return at[there], values[there]


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
    every = "5s"

    def __init__(self) -> None:
        self._facts: dict[int, dict[str, Any]] = {}

    def scopes(self, ctx: Context) -> Int32:
        """Rows of the scopes that have a score: grids, most of the city's scopes, have none."""
        return np.flatnonzero(ctx.scopes.level <= ctx.spec(self.id).finest).astype(np.int32)

    def detail(self, ctx: Context) -> Mapping[int, Mapping[str, Any]]:
        """Facts of the values just given, for the levels down to district."""
        return self._facts


class ThemeScore(_Score):
    """Mean score of the indicators of a theme that have a value; the share of missing weight stands beside it.

    The catalogue's tumbling window is a publishing period; a composite has the times of its parts.
    """

    of: ClassVar[str]

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scores of the theme's indicators, equally weighted."""
        specs = [ctx.spec(i) for i in _before(ctx, self.id)]
        members = [s for s in specs if s.theme == self.of and edges(s) is not None]
        at = self.scopes(ctx)
        mean, missing = weighted([score(s, ctx.value(s.id)[at]) for s in members], len(at))
        wide = np.flatnonzero(~np.isnan(mean) & (ctx.scopes.level[at] <= 1)).tolist()
        self._facts = {int(at[i]): {"missing": round(float(missing[i]), 4)} for i in wide}
        return known(at, mean)


def _before(ctx: Context, id: str) -> list[str]:
    """Indicators that are worked out before this one in the same tick."""
    ids = list(ctx.ids())
    return ids[: ids.index(id)]


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
        themes = theme_ids(ctx)
        at = self.scopes(ctx)
        parts = [ctx.value(i)[at] for i in themes]
        mean, missing = weighted(parts, len(at))
        wide = np.flatnonzero(~np.isnan(mean) & (ctx.scopes.level[at] <= 1)).tolist()
        self._facts = {
            int(at[i]): {"worst": worst_theme(themes, parts, i), "missing": round(float(missing[i]), 4)} for i in wide
        }
        return known(at, mean)


class WorstTheme(_Score):
    """The lowest theme score of a scope, with the name of the theme: the card that says where to look."""

    id = "theme_score"
    name = {"zh": "最低主题健康分", "en": "Lowest theme score"}
    meaning = {"zh": "各主题健康分中的最低分，附主题名", "en": "Lowest of the theme scores, with the theme's name"}

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Minimum over themes that are known."""
        themes = theme_ids(ctx)
        at = self.scopes(ctx)
        parts = [ctx.value(i)[at] for i in themes]
        lowest = np.asarray(np.fmin.reduce(parts))
        wide = np.flatnonzero(~np.isnan(lowest) & (ctx.scopes.level[at] <= 1)).tolist()
        self._facts = {int(at[i]): {"worst": worst_theme(themes, parts, i)} for i in wide}
        return known(at, lowest)


def theme_ids(ctx: Context) -> list[str]:
    """Ids of the theme scores in order."""
    return [i for i in ctx.ids() if i.startswith("theme_score.")]


def worst_theme(themes: Sequence[str], parts: Sequence[Float64], place: int) -> str:
    """The theme with the lowest score at a place of the parts, the first of equals."""
    scores = [(float(p[place]), i) for i, p in enumerate(parts) if not np.isnan(p[place])]
    return themes[min(scores)[1]].partition(".")[2]


#: Names of themes in both languages.
THEMES: dict[str, tuple[str, str]] = {
    "traffic": ("交通运行", "Traffic"),
    "water": ("供水", "Water supply"),
    "gas": ("燃气", "Gas"),
    "environment": ("生态环境", "Environment"),
    "weather_flood": ("气象防汛", "Weather and flood"),
    "social_governance": ("社会治理", "Social governance"),
    "livelihood": ("民生服务", "Livelihood"),
    "emergency": ("应急", "Emergency"),
    "data_governance": ("数据治理", "Data governance"),
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
