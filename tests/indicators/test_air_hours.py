"""The official hours of ten stations through the engine: index, primary pollutants and class of 50 of 50."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.registry import builtin
from citytwin.models.columns import Coded, Strings
from tests.indicators.town import batches, centre, town
from tests.models.test_aqi import COLUMNS, FILE

CHINA = timezone(timedelta(hours=8))


def rows() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def ms(row: dict[str, str]) -> int:
    return int(datetime.fromisoformat(row["TimePoint"]).replace(tzinfo=CHINA).timestamp() * 1000)


def hour_events(hour: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "type": "obs", "time": ms(r), "id": f"{r['StationCode']}.{p}.{ms(r)}", "source": "cnemc",
            "subject": r["StationCode"], "property": f"air.{p}", "value": float(r[column]), "quality": "good",
        }
        for r in hour for p, column in COLUMNS.items() if r[column]
    ]  # fmt: skip


def city_of(stations: list[str]) -> tuple[Any, dict[str, int]]:
    """The town with each station in a grid of its own; scope row by station."""
    city, world = town()
    grids = np.array(world.grids[: len(stations)], np.int32)
    places = [centre(i) for i in range(len(stations))]
    city.entities.upsert(
        "device", Strings.of(stations), grids, np.array([p[0] for p in places]), np.array([p[1] for p in places]),
        {"device_kind": Coded.of(["air_station"] * len(stations)), "period_s": np.full(len(stations), 3600.0)},
        np.zeros(len(stations), np.int64),
    )  # fmt: skip
    return city, dict(zip(stations, grids.tolist(), strict=True))


def test_official_hours_come_out_of_the_engine() -> None:
    table = rows()
    city, scope = city_of(sorted({r["StationCode"] for r in table}))
    engine = Engine(city, builtin())
    right = 0
    for position, time in enumerate(sorted({ms(r) for r in table}), 1):
        hour = [r for r in table if ms(r) == time]
        engine.tick(time, position)  # readings ahead of the clock are refused
        for batch in batches(hour_events(hour)):
            engine.feed(batch, position)
        engine.tick(time + 30 * 60_000, position)
        values = engine.current("aqi_hourly")
        published = dict(zip(values.rows.tolist(), values.value.tolist(), strict=True))
        detail = engine.board.lines["aqi_hourly"].detail
        for r in hour:
            at = scope[r["StationCode"]]
            facts = detail[at]
            right += (
                published[at] == int(r["AQI"])
                and facts["class"]["zh"] == r["Quality"]
                and set(facts["primary"]["zh"]) == set(filter(None, r["PrimaryPollutant"].split(",")))
                and facts["edition"] == "HJ 633-2012"
            )
        mean = np.mean([float(r["PM2_5"]) for r in hour if r["PM2_5"]])
        assert published[0] >= mean  # the city's index is that of mean concentrations, and there is one
    assert right == 50


def test_the_hour_before_stands_until_the_new_one_comes_and_no_longer() -> None:
    table = rows()
    city, scope = city_of(sorted({r["StationCode"] for r in table}))
    engine = Engine(city, builtin())
    first = min(ms(r) for r in table)
    for batch in batches(hour_events([r for r in table if ms(r) == first])):
        engine.feed(batch, 1)
    seen = []
    for k, minutes in enumerate((10, 70, 125), 2):
        engine.tick(first + minutes * 60_000, k)
        values = engine.current("aqi_hourly")
        seen.append(scope["1325A"] in values.rows.tolist() and not np.isnan(values.value[0]))
    assert seen == [True, True, False]
