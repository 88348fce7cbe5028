"""English names of made and real entities, from the pinyin of their places and the words for their kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from citytwin.twin.build.sights import SIGHTS
from citytwin.twin.build.things import Things, station_name

_MAPS = {
    "districts": "Districts",
    "grids": "Grids (synthetic)",
    "water": "Water (schematic)",
    "metro": "Metro",
    "buildings": "Buildings of Optics Valley",
    "roads": "Roads of Optics Valley",
}
_WORDS = {"ems station": "EMS station", "dma": "Metering area"}


def add_english(things: Things) -> None:
    """Give every entity that has a name a `name_en`."""
    english = things.sources.english

    def near(code: str, level: int) -> str:
        # The last word tells what it is: Subdistrict, Community, Village.
        return english.get(code[:level], "").rsplit(" ", 1)[0]

    names: dict[str, str] = {}
    rules: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "map": lambda r: _MAPS[r["theme"]],
        "grid": lambda r: f"{near(r['code'], 12)} Grid {r['code'][12:]}",
        "address": lambda r: english.get(r["code"]) or f"{near(r['code'], 12)} No. {r['plate_no'][:-1]}",
        "building": lambda r: f"{near(r['code'], 12)} Building {int(r['code'][12:])}",
        "house": lambda r: f"{names[r['building']]}, Unit {r['unit_no']}, {r['room_no']}",
        "organisation": lambda r: f"{near(r['scope'], 12)} Sample Unit {int(r['code'][10:16])}",
        "facility": lambda r: _facility(things, r, near(r["scope"], 9)),
        "device": lambda r: _device(
            english, r, names.get(r.get("facility") or r.get("observes", "")) or near(r["scope"], 9)
        ),
    }
    for kind, rule in rules.items():
        for row in things.tables[kind]:
            row["name_en"] = names[row["code"]] = rule(row)


def _title(word: str) -> str:
    plain = word.replace("_", " ")
    return _WORDS.get(plain, plain.capitalize())


def _facility(things: Things, row: Mapping[str, Any], near: str) -> str:
    if row["facility_kind"] == "metro_station":
        number = next(i for i, (name, *_) in things.sources.stations.items() if station_name(name) == row["name"])
        return f"{things.sources.english[f'metro-{number}']} Metro Station"
    if row["facility_kind"] == "scenic_area":
        return next(en for zh, en, *_ in SIGHTS if zh == row["name"])
    return f"{near} {_title(row['facility_kind'])} {int(row['code'][-6:])}"


def _device(english: Mapping[str, str], row: Mapping[str, Any], place: str) -> str:
    if row["device_kind"] == "air_station":
        return f"{english['air-' + row['code']]} Air Station"
    if row["device_kind"] == "room_sensor":
        return f"{place} room sensor"
    if row["device_kind"] == "river_gauge":
        return f"{row['station'].replace('_', ' ').title()} River Gauge"
    title = _title(row["device_kind"]).lower()
    return f"{place} {title}" if row.get("facility") else f"{place} {title} {int(row['code'][-4:])}"
