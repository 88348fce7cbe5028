"""What happens in the fake city: a rain band, indicators that follow it, cases, a ticker. Seeded, a function of time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ground import Ground

# id, theme, zh, en, unit, better, decimals, bands, finest level, base, swing, answer to rain
TABLE: list[tuple[Any, ...]] = [
    ("city_health_index", "composite", "城市体征综合指数", "City health index", "0-100", "up", 1, {"yellow": 75, "red": 60}, 3, 84, 2, -16),
    ("rain_hour_max", "weather_flood", "最大小时雨量", "Maximum hourly rain", "mm", "down", 1, {"yellow": 20, "orange": 50}, 3, 4, 1, 64),
    ("waterlogging_depth", "weather_flood", "最大渍水深度", "Deepest waterlogging", "cm", "down", 0, {"yellow": 15, "red": 27}, 3, 1, 1, 34),
    ("waterlogged_points", "weather_flood", "渍水点数", "Waterlogged points", "处", "down", 0, {"yellow": 5, "orange": 12}, 2, 0, 1, 14),
    ("river_level", "weather_flood", "长江汉口站水位", "Yangtze level at Hankou", "m", "down", 2, {"yellow": 25.0, "red": 27.3}, 0, 25.3, 0.3, 0.1),
    ("water_pressure_compliance", "water", "供水管网压力合格率", "Pressure compliance", "%", "up", 2, {"yellow": 97.5, "red": 97}, 2, 98.9, 0.4, -0.5),
    ("pump_availability", "water", "排涝泵站可用率", "Pump availability", "%", "up", 1, {"yellow": 95, "orange": 90}, 1, 97, 1, -9),
    ("power_customers_out", "power", "当前停电户数", "Customers without power", "户", "down", 0, {"yellow": 1000, "red": 5000}, 2, 60, 30, 1300),
    ("gas_alarms_open", "gas", "燃气泄漏未处置报警数", "Open gas alarms", "起", "down", 0, {"yellow": 3, "red": 8}, 2, 0, 0.6, 0),
    ("traffic_tti", "traffic", "行程时间比", "Travel time index", "ratio", "down", 2, {"yellow": 1.5, "red": 1.8}, 4, 1.2, 0.12, 0.4),
    ("congested_length_ratio", "traffic", "拥堵里程比例", "Congested road length", "%", "down", 1, {"yellow": 15, "red": 25}, 4, 7, 3, 9),
    ("network_mean_speed", "traffic", "路网平均行程速度", "Network mean speed", "km/h", "up", 1, {"yellow": 25, "red": 20}, 2, 31, 3, -6),
    ("station_crowd", "public_transport", "轨道站点最大客流密度", "Densest station", "人/m²", "down", 1, {"yellow": 3, "red": 5}, 2, 1.4, 0.4, 0.5),
    ("aqi", "environment", "空气质量指数AQI", "Air quality index", "index", "down", 0, {"yellow": 101, "red": 201}, 2, 52, 8, -12),
    ("aqi_hourly", "environment", "实时AQI", "Hourly AQI", "index", "down", 0, {"yellow": 101, "red": 201}, 2, 48, 8, -12),
    ("surface_water_class", "environment", "地表水断面水质类别", "Surface water class", "class 1-6", "down", 0, {"yellow": 4, "red": 6}, 2, 3, 0.4, 0),
    ("hotline_surge", "livelihood", "诉求突增指数", "Request surge", "z", "down", 1, {"yellow": 3, "orange": 5}, 2, 0.6, 0.5, 3.2),
    ("hotline_wait_p95", "livelihood", "热线等待时长P95", "Hotline wait P95", "s", "down", 0, {"yellow": 30, "red": 90}, 1, 12, 4, 30),
    ("units_available", "emergency", "应急队伍可用率", "Units available", "%", "up", 1, {"yellow": 50, "red": 30}, 1, 78, 4, -15),
    ("ambulance_response", "emergency", "急救平均反应时间", "Ambulance response", "min", "down", 1, {"yellow": 14, "red": 18}, 1, 10, 1, 1.4),
    ("case_on_time_closing_rate", "social_governance", "按期结案率", "On-time closing rate", "%", "up", 2, {"yellow": 90, "red": 70}, 3, 94, 2, -1),
    ("device_online_rate", "iot", "物联设备在线率", "IoT device online rate", "%", "up", 1, {"yellow": 95, "red": 90}, 4, 97, 1, -4),
    ("data_timeliness_rate", "data_governance", "数据汇聚及时率", "Data timeliness", "%", "up", 1, {"yellow": 95, "red": 90}, 1, 96.6, 0.6, 0),
    ("e2e_latency_p95", "platform", "端到端时延P95", "End-to-end latency P95", "ms", "down", 0, {"yellow": 2000, "red": 5000}, 0, 420, 90, 0),
]  # fmt: skip
LEVELS = ["city", "district", "street", "community", "grid"]
WINDOWS = {
    "traffic_tti": "tumbling 5m",
    "rain_hour_max": "sliding 1h/5m",
    "aqi": "sliding 24h/1h",
    "data_timeliness_rate": "tumbling 1d",
}
CATEGORIES = [
    "flood.waterlog", "water.burst", "street.stall", "sanitation.litter", "facility.manhole", "green.tree",
    "facility.streetlight", "construction.noise",
]  # fmt: skip
STATES = ["reported", "accepted", "filed", "dispatched", "received", "arrived", "handled", "verified"]


def indicators() -> list[dict[str, Any]]:
    """Metadata as /api/v1/indicators gives it."""
    return [
        dict(
            id=i, theme=theme, name=dict(zh=zh, en=en), meaning=dict(zh=f"{zh}（演示数据）", en=f"{en} (made up)"), unit=unit,
            better=better, levels=LEVELS[: finest + 1], window=WINDOWS.get(i, "instant"), decimals=decimals, bands=bands,
            source="catalogue", status="L", owner="fake", formula="base + swing * noise + rain", inputs=[], error=None,
        )
        for i, theme, zh, en, unit, better, decimals, bands, finest, *_ in TABLE
    ]  # fmt: skip


class Story:
    """Values by indicator and row at a time; `faults` names what is stale, partial or without data."""

    def __init__(self, ground: Ground, seed: int = 7) -> None:
        self.ground = ground
        self.rng = np.random.default_rng(seed)
        self.lon, self.lat = ground.centre[:, 0], ground.centre[:, 1]
        self.phase = self.rng.uniform(0, 2 * math.pi, (len(TABLE), len(self.lon)))
        self.level, self.parent = ground.level, ground.parent
        self.below = [
            [(r, np.flatnonzero(self.parent == r)) for r in np.flatnonzero(self.level == level)] for level in (2, 1, 0)
        ]

    def rain(self, t: float) -> Any:
        """Rain 0..1 by row: two cores that drift with time."""
        wave = 0.86 + 0.1 * math.sin(t / 3.6e6 * 2.1)
        out = np.zeros_like(self.lon)
        for x, y, sx, sy, a in (
            (114.305, 30.60, 0.06, 0.075, 1.0),
            (114.33, 30.525, 0.045, 0.04, 0.8),
            (114.25, 30.66, 0.09, 0.09, 0.35),
        ):
            out = np.maximum(out, a * np.exp(-(((self.lon - x) / sx) ** 2) - ((self.lat - y) / sy) ** 2))
        out = out * wave
        out[self.ground.unlocated] = 0
        for rows in self.below:
            for row, below in rows:
                if len(below):
                    out[row] = out[below].max()
        return out

    def values(self, t: float, history: bool = False) -> dict[str, Any]:
        """All values at ms t, rounded as declared; NaN where the level does not exist."""
        growth = 1.0 if not history else 1 / (1 + math.exp(-(t - self.start) / 3.0e6))
        rain = self.rain(t) * growth
        out = {}
        for k, (i, _, _, _, _, _, decimals, _, finest, base, swing, answer) in enumerate(TABLE):
            noise = np.sin(t / 6.0e4 + self.phase[k]) * 0.6 + np.sin(t / 1.3e6 + 2 * self.phase[k])
            v = base + swing * noise * 0.6 + answer * rain * (1 + 0.08 * np.sin(self.phase[k]))
            v = np.round(np.maximum(v, 0) if base >= 0 else v, decimals)
            out[i] = np.where(self.level <= finest, v, np.nan)
        return out

    start = 0.0

    def case(self, n: int, now: int) -> dict[str, Any]:
        """Case n: where, what, how far, how late."""
        rng = np.random.default_rng(1000 + n)
        core = np.flatnonzero(
            (self.level == 3) & ~self.ground.unlocated & (np.hypot(self.lon - 114.31, self.lat - 30.58) < 0.11)
        )
        row = int(rng.choice(core if n % 5 else np.flatnonzero((self.level == 3) & ~self.ground.unlocated)))
        state = STATES[int(rng.choice(8, p=[0.06, 0.07, 0.1, 0.08, 0.35, 0.16, 0.12, 0.06]))]
        level = int(rng.choice([0, 1, 2, 3, 4], p=[0.86, 0.01, 0.03, 0.04, 0.06]))
        due = now + int(rng.uniform(-0.5, 9) * 3_600_000) + (n % 7) * 61_000
        return dict(
            code=f"C-{10000 + n}", category=CATEGORIES[n % 8], channel="12345", state=state, level=level, scope=row,
            lon=float(self.lon[row] + rng.normal(0, 0.001)), lat=float(self.lat[row] + rng.normal(0, 0.001)),
            reported_at=now - int(rng.uniform(0, 20) * 3_600_000), due_at=due,
        )  # fmt: skip
