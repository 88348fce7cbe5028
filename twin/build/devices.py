"""Sensing devices of the pack: families of made ones, the ten real air stations and the Hankou river gauge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from citytwin.twin.build.things import Table, Things, row

#: Real places of river gauges (name, longitude, latitude) with made levels but for Hankou, whose three are official.
_GAUGES = (
    ("HK", "hankou", "汉口（武汉关）水位站", 114.2907, 30.5812, (25.0, 27.3, 29.73)),
    ("YL", "yangluo", "阳逻水位站", 114.546, 30.668, (24.2, 26.5, 28.9)),
    ("JK", "jinkou", "金口水位站", 114.136, 30.326, (25.9, 28.2, 30.6)),
    ("HC", "hanchuan_gate", "蔡甸水位站", 114.032, 30.585, (26.4, 28.6, 31.0)),
)
_SECTIONS = ("长江", "汉江", "东湖", "府河", "滠水", "倒水", "举水", "金水河", "通顺河", "汤逊湖", "梁子湖", "后官湖")
_WEATHER = "weather.temp weather.humidity weather.wind rain.forecast_1h"
_ZONES = (("0", 0.02), ("1", 0.3), ("2", 0.34), ("3", 0.14), ("4a", 0.18), ("4b", 0.02))


def add_devices(things: Things) -> None:
    """All devices; each observes the facility it stands at where there is one."""
    _traffic(things)
    _supply(things)
    _environment(things)
    _weather(things)
    _street(things)
    _people(things)


def _of(things: Things, *kinds: str) -> Table:
    return [f for f in things.tables["facility"] if f["facility_kind"] in kinds]


def _at(
    things: Things, facilities: Sequence[dict[str, Any]], letters: str, kind: str, title: str, period: int, says: str,
    more: Callable[[dict[str, Any]], dict[str, Any]] = lambda facility: {},
) -> None:  # fmt: skip
    """A device on each of the given facilities."""
    rng = things.ground.random("devices " + letters)
    things.add(
        "device",
        [
            _device(
                things.numbers.device(letters, f["scope"]),
                f["scope"],
                (f["lon"], f["lat"]),
                f"{f['name']}{title}",
                kind,
                period,
                says,
                rng,
                facility=f["code"],
                observes=f["code"],
                **more(f),
            )
            for f in facilities
        ],
    )


def _free(
    things: Things, n: int, letters: str, kind: str, title: str, period: int, says: str,
    more: Callable[[np.random.Generator], dict[str, Any]] = lambda rng: {}, power: float = 0.6,
) -> None:  # fmt: skip
    """`n` devices that stand by themselves."""
    rng = things.ground.random("devices " + letters)
    grids, places = things.ground.draw("place " + letters, n, power)
    made = []
    for grid, at in zip(grids, places.tolist(), strict=True):
        code = things.numbers.device(letters, grid)
        about = {"name": f"{things.near(grid)}{title}{int(code[-4:])}", **more(rng)}
        made.append(_device(code, grid, at, kind=kind, period=period, says=says, rng=rng, **about))
    things.add("device", made)


def _device(
    code: str, grid: str, at: Sequence[float], name: str, kind: str, period: int, says: str, rng: np.random.Generator,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One made device; one in a hundred is out of service."""
    year = int(rng.integers(2019, 2026))
    base = {
        "device_kind": kind, "period_s": period, "in_service": int(rng.random() > 0.01), "properties": says,
        "mandatory": 0, "vendor": f"V{rng.integers(1, 6)}", "firmware": f"1.{rng.integers(0, 9)}",
        "calibrated": f"{year}-06-01", "calibration_due": f"{year + 2}-06-01", "state": "normal",
    }  # fmt: skip
    return row(code, grid, at, name, **{**base, **more})


def _traffic(things: Things) -> None:
    _at(things, _of(things, "road"), "TF", "traffic_detector", "检测器", 60, "traffic.speed traffic.flow")
    _at(things, _of(things, "parking"), "PK", "parking_counter", "车位计", 60, "parking.occupied",
        lambda f: {"nominal_value": f["capacity"]})  # fmt: skip


def _supply(things: Things) -> None:
    _free(things, 240, "WP", "pressure_gauge", "管网末梢压力点", 60, "water.pressure",
          lambda rng: {"role": "network_end", "nominal_value": round(float(rng.uniform(0.2, 0.34)), 3)})  # fmt: skip
    _at(things, _of(things, "dma"), "WF", "flow_meter", "流量计", 60, "water.flow",
        lambda f: {"nominal_flow": 200 + int(f["code"][-3:]) * 4})  # fmt: skip
    _free(
        things,
        40,
        "WQ",
        "water_quality",
        "供水水质点",
        300,
        "water.turbidity water.chlorine water.ph",
        lambda rng: {"role": "tap"},
    )
    _free(things, 240, "GD", "gas_detector", "燃气探测器", 60, "gas.ch4_lel", lambda rng: {"alarm_level": 20})
    _at(things, _of(things, "gas_regulator"), "GP", "gas_pressure", "压力计", 60, "gas.pressure")
    _at(things, _of(things, "transformer"), "PV", "voltage_meter", "电压表", 60, "power.voltage",
        lambda f: {"nominal_voltage": 220, "phases": 1})  # fmt: skip
    _at(things, _of(things, "transformer"), "PH", "voltage_meter", "高压侧电压表", 60, "power.voltage",
        lambda f: {"nominal_voltage": 10_000, "phases": 3})  # fmt: skip
    _rooms(things, 60)


def _rooms(things: Things, n: int) -> None:
    """Temperature sensors in rooms of houses that are heated from outside."""
    rng = things.ground.random("devices HT")
    heated = [h for h in things.tables["house"] if h["heated"] and h["residents"]]
    for i in sorted(rng.choice(len(heated), min(n, len(heated)), replace=False).tolist()):
        home = heated[i]
        code = things.numbers.device("HT", home["scope"])
        things.add("device", [
            _device(code, home["scope"], (home["lon"], home["lat"]), f"{home['name']}室温计", "room_sensor", 300,
                    "heat.indoor_temp", rng, observes=home["code"], building=home["building"])
        ])  # fmt: skip


def _environment(things: Things) -> None:
    air = things.sources.air
    at = np.array([p[1:] for p in air.values()])
    rng = things.ground.random("air")
    pollutants = "air.pm25 air.pm10 air.so2 air.no2 air.o3 air.co"
    things.add("device", [
        {**_device(code, grid, place, f"{name}空气站", "air_station", 3600, pollutants, rng), "role": "national",
         "in_service": 1, "mandatory": 1, "synthetic": 0, "station": code}
        for (code, (name, *_)), grid, place in zip(air.items(), things.ground.grid_at(at), at.tolist(), strict=True)
    ])  # fmt: skip
    zones, shares = zip(*_ZONES, strict=True)
    _free(things, 130, "NS", "noise_meter", "噪声点", 60, "noise.laeq",
          lambda rng: {"zone_class": zones[int(rng.choice(len(zones), p=shares))]})  # fmt: skip
    says = "wq.do wq.codmn wq.cod wq.bod5 wq.nh3n wq.tp wq.ph wq.temp"
    count = iter(range(36))

    def section(rng: np.random.Generator) -> dict[str, Any]:
        i = next(count)
        name = f"{_SECTIONS[i % 12]}{'上中下'[i // 12]}游断面"
        return {
            "section_id": f"WH-S{i + 1:02d}",
            "target_class": ("II", "III", "III", "IV")[int(rng.integers(4))],
            "name": name,
        }

    _free(things, 36, "SW", "surface_water", "断面", 3600, says, section)


def _weather(things: Things) -> None:
    _free(things, 260, "RG", "rain_gauge", "雨量站", 60, "rain.depth", power=0.35)
    _free(things, 16, "WS", "weather_station", "气象站", 60, _WEATHER, power=0.35)
    _at(things, _of(things, "low_point", "underpass"), "WL", "waterlog_gauge", "积水仪", 60, "waterlog.depth",
        lambda f: {"alarm_level": 27 if f["facility_kind"] == "underpass" else 40})  # fmt: skip
    _at(things, _of(things, "drain_pump"), "DP", "drain_pump", "机组", 60, "pump.state pump.flow",
        lambda f: {"nominal_flow": f["capacity"]})  # fmt: skip
    rng = things.ground.random("gauges")
    for short, station, name, lon, lat, (fortify, warning, guarantee) in _GAUGES:
        grid = things.ground.grid_at(np.array([[lon, lat]]))[0]
        made = _device(
            f"RL-{short}",
            grid,
            (lon, lat),
            name,
            "river_gauge",
            300,
            "river.level",
            rng,
            station=station,
            fortify_level=fortify,
            warning_level=warning,
            guarantee_level=guarantee,
            mandatory=1,
        )
        things.add("device", [{**made, "in_service": 1, "synthetic": int(station != "hankou")}])


def _street(things: Things) -> None:
    _at(things, _of(things, "waste_bin"), "WB", "bin_sensor", "满溢传感器", 300, "bin.fill")
    _at(things, _of(things, "streetlight"), "SL", "lamp_controller", "控制器", 300, "lamp.power_state")
    _at(things, _of(things, "manhole"), "MH", "manhole_sensor", "井盖传感器", 300, "manhole.open manhole.tilt")
    _at(things, _of(things, "elevator"), "EL", "elevator_monitor", "监测", 60, "elevator.fault")


def _people(things: Things) -> None:
    _at(things, _of(things, "metro_station", "venue", "park", "scenic_area"), "CC", "crowd_counter", "客流计", 60,
        "crowd.count")  # fmt: skip
    _free(things, 120, "SD", "smoke_detector", "烟感", 300, "fire.smoke")
    rng = things.ground.random("cameras")
    grids, places = things.ground.draw("cameras", 260)
    things.add(
        "device",
        [
            _device(
                things.numbers.camera(grid),
                grid,
                at,
                f"{things.near(grid)}视频{i + 1}",
                "camera",
                60,
                "camera.intact",
                rng,
                role="key_area" if rng.random() < 0.4 else "ordinary",
                orientation=int(rng.integers(0, 360)),
            )
            for i, (grid, at) in enumerate(zip(grids, places.tolist(), strict=True))
        ],
    )
