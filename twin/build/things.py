"""Made entities of the pack: buildings, houses, addresses, organisations, people, facilities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from citytwin.models.columns import Float64
from citytwin.twin.build.codes import Numbers, person, uscc
from citytwin.twin.build.ground import Ground
from citytwin.twin.build.sources import Sources

Table = list[dict[str, Any]]

#: How many facilities of each made kind.
FACILITIES = {
    "road": 900,
    "waste_bin": 420,
    "streetlight": 450,
    "low_point": 260,
    "underpass": 70,
    "drain_pump": 180,
    "manhole": 140,
    "hydrant": 60,
    "parking": 220,
    "ems_station": 88,
    "fire_station": 48,
    "police_station": 40,
    "bus_stop": 120,
    "park": 40,
    "school": 60,
    "hospital": 36,
    "venue": 30,
    "shelter": 24,
    "dma": 60,
    "transformer": 60,
    "gas_regulator": 60,
    "signal": 80,
    "elevator": 60,
    "bridge": 12,
    "sports_venue": 36,
}
_TITLE = {
    "road": "路",
    "waste_bin": "垃圾箱",
    "streetlight": "路灯",
    "low_point": "低洼点",
    "underpass": "下穿通道",
    "drain_pump": "排涝泵站",
    "manhole": "井盖",
    "hydrant": "消火栓",
    "parking": "停车场",
    "ems_station": "急救站",
    "fire_station": "消防站",
    "police_station": "派出所",
    "bus_stop": "公交站",
    "park": "公园",
    "school": "学校",
    "hospital": "医院",
    "venue": "场馆",
    "shelter": "避难场所",
    "dma": "供水计量区",
    "transformer": "配电站",
    "gas_regulator": "燃气调压站",
    "signal": "信号灯",
    "elevator": "电梯",
    "bridge": "桥梁",
    "metro_station": "地铁站",
    "river_section": "断面",
    "scenic_area": "景区",
    "sports_venue": "体育场馆",
}
#: Who answers for a facility, by the class in its code.
UNITS = {
    "01": "城市管理执法局",
    "02": "公安交通管理局",
    "03": "环境卫生中心",
    "04": "园林和林业局",
    "05": "街道办事处",
}
#: Class of a road: share, free-flow speed km/h, length m from and to.
_ROADS = {
    "expressway": (0.08, (70, 80), (900, 3200)), "arterial": (0.30, (50, 60), (500, 1800)),
    "secondary": (0.34, (40, 50), (300, 1100)), "branch": (0.28, (30, 40), (150, 700)),
}  # fmt: skip
_INDUSTRIES = ("C", "E", "F", "G", "H", "I", "J", "K", "L", "M", "O", "P", "Q", "R")
_USES = ("residential", "office", "commercial", "industrial", "public")


@dataclass(slots=True)
class Things:
    """All entity tables by kind, each row a mapping of columns."""

    sources: Sources
    ground: Ground
    names: Mapping[str, str]
    numbers: Numbers = field(default_factory=Numbers)
    tables: dict[str, Table] = field(default_factory=dict)

    def add(self, kind: str, rows: Table) -> Table:
        """Append rows to the table of a kind."""
        self.tables.setdefault(kind, []).extend(rows)
        return rows

    def near(self, grid: str, level: int = 9) -> str:
        """Short name of the street (level 9) or community (12) that a grid lies in."""
        name = self.names[grid[:level]]
        for tail in ("街道办事处", "街道", "社区居民委员会", "居民委员会", "社区居委会", "社区", "村委会", "村"):
            if name.endswith(tail) and len(name) > len(tail):
                return name[: -len(tail)]
        return name


def station_name(name: str) -> str:
    """Full name of a metro station."""
    return name if name.endswith("站") else f"{name}站"


def row(code: str, grid: str, at: Sequence[float], name: str = "", **more: Any) -> dict[str, Any]:
    """One made entity."""
    return {"code": code, "scope": grid, "lon": at[0], "lat": at[1], "name": name, "synthetic": 1, **more}


def add_grids(things: Things) -> None:
    """The grids themselves, with people, households, area and workers."""
    ground = things.ground
    centre = np.round(shapely.get_coordinates(shapely.point_on_surface(ground.shapes)) / 100_000, 5)
    rng = ground.random("households")
    size = rng.uniform(2.3, 2.9, len(ground.codes))
    things.add(
        "grid",
        [
            {
                "code": code,
                "scope": code,
                "lon": at[0],
                "lat": at[1],
                "name": f"{things.near(code, 12)}{code[12:]}网格",
                "synthetic": 1,
                "grid_kind": "unit",
                "population": people,
                "households": round(people / s),
                "area_m2": round(area),
                "workers": max(1, round(people / 3000)),
                "power_customers": round(people / 2.6),
                "state": "valid",
            }
            for code, at, people, s, area in zip(
                ground.codes,
                centre.tolist(),
                ground.people.tolist(),
                size.tolist(),
                ground.area_m2.tolist(),
                strict=True,
            )
        ],
    )


def add_buildings(things: Things, real: Sequence[Mapping[str, Any]], made: int = 4600) -> None:
    """Made buildings, and apart from them the surveyed ones around Optics Valley; each such feature gets its `code`."""
    ground = things.ground
    shapes = shapely.from_geojson([json.dumps(f["geometry"]) for f in real])
    at = np.round(shapely.get_coordinates(shapely.point_on_surface(shapes)), 5)
    surveyed = []
    for feature, place, grid in zip(real, at.tolist(), ground.grid_at(at), strict=True):
        about = feature["properties"]
        about["code"] = things.numbers.building(grid)
        height = about.get("height")
        storeys = max(1, round(height / 3.3)) if height else None
        known = row(about["code"], grid, place, about.get("name", ""), height_m=height, storeys=storeys)
        surveyed.append({**known, "synthetic": 0, "footprint_m2": about.get("area"), "state": "in_use"})
    # A file of its own: its licence is that of OpenStreetMap.
    things.add("building_osm", surveyed)
    grids, places = ground.draw("building", made)
    rng = ground.random("storeys")
    out: Table = []
    for grid, place in zip(grids, places.tolist(), strict=True):
        dense = float(ground.urban[ground.row[grid]])
        storeys = int(np.clip(rng.lognormal(1.2 + 1.1 * dense, 0.55), 1, 60))
        about = {
            "storeys": storeys,
            "height_m": round(storeys * 3.1, 1),
            "use": _USES[int(rng.choice(5, p=_USE_SHARE))],
            "built_year": int(rng.integers(1982, 2024)),
            "footprint_m2": round(float(rng.uniform(200, 1800))),
            "fire_class": str(rng.integers(1, 4)),
        }
        name = f"{things.near(grid, 12)}{len(out) % 90 + 1}号楼"
        out.append(row(things.numbers.building(grid), grid, place, name, **about, state="in_use"))
    things.add("building", out)


_USE_SHARE = (0.62, 0.1, 0.14, 0.06, 0.08)


def add_houses(things: Things, n: int = 3000) -> None:
    """Flats in made buildings: code = building, unit, floor, room."""
    rng = things.ground.random("house")
    homes = [b for b in things.tables["building"] if b.get("use") == "residential"]
    rooms: set[tuple[int, int, int, int]] = set()
    while len(rooms) < n:
        b = int(rng.integers(len(homes)))
        rooms.add((b, int(rng.integers(1, 4)), int(rng.integers(1, homes[b]["storeys"] + 1)), int(rng.integers(1, 5))))
    out = []
    for b, unit, floor, room in sorted(rooms):
        home = homes[b]
        use = ("self", "rent", "business", "vacant")[int(rng.choice(4, p=(0.6, 0.26, 0.05, 0.09)))]
        out.append(
            row(
                f"{home['code']}{unit:02d}{floor:02d}{room:02d}",
                home["scope"],
                (home["lon"], home["lat"]),
                f"{home['name']}{unit}单元{floor}{room:02d}",
                building=home["code"],
                address=home["address"],
                unit_no=str(unit),
                floor_no=floor,
                room_no=f"{floor}{room:02d}",
                house_use=use,
                area_m2=round(float(rng.uniform(42, 168)), 1),
                rooms=int(rng.integers(1, 6)),
                residents=0 if use == "vacant" else int(rng.integers(1, 6)),
                gas_user=int(rng.random() < 0.86),
                heated=int(rng.random() < 0.18),
                state="valid",
            )
        )
    things.add("house", out)


def add_addresses(things: Things) -> None:
    """Addresses of districts, streets, communities and of made buildings: a tree without crossings."""
    levels = (("district", things.sources.districts, None), ("street", things.sources.streets, 6),
              ("community", things.sources.communities, 9))  # fmt: skip
    out: Table = []
    for level, names, cut in levels:
        out += [{"code": code, "scope": code, "name": name, "address_level": level, "text": name, "primary": 1,
                 "parent_address": code[:cut] if cut else "", "synthetic": 0, "state": "valid"}
                for code, name in names.items()]  # fmt: skip
    for i, building in enumerate(things.tables["building"]):
        # One in forty has no plate yet: links of the registers are never complete.
        if i % 40 == 39:
            building["address"] = ""
            continue
        community = building["scope"][:12]
        code = things.numbers.next(community + "0001", 4)
        plate = f"{int(code[-4:]) * 2 - 1}号"
        out.append(
            row(
                code,
                building["scope"],
                (building["lon"], building["lat"]),
                f"{things.near(community, 12)}{plate}",
                address_level="plate",
                text=f"{things.names[community]}{plate}",
                plate_no=plate,
                primary=1,
                parent_address=community,
                building=building["code"],
                state="valid",
            )
        )
        building["address"] = code
    things.add("address", out)


def add_organisations(things: Things, n: int = 1500) -> None:
    """Companies with valid credit codes."""
    grids, places = things.ground.draw("organisation", n)
    rng = things.ground.random("industry")
    sizes = rng.lognormal(2.6, 1.2, n).astype(int) + 1
    things.add("organisation", [
        row(uscc(grid[:6], i + 1), grid, at, f"武汉{things.near(grid, 12)}{i + 1}号示例单位",
            industry=_INDUSTRIES[int(rng.integers(len(_INDUSTRIES)))], employees=int(size),
            scale_class="micro" if size < 10 else "small" if size < 100 else "medium" if size < 300 else "large",
            licences=int(rng.integers(1, 5)), major_hazard=int(rng.random() < 0.02),
            credit_flag=("normal", "abnormal", "dishonest")[int(rng.choice(3, p=(0.96, 0.03, 0.01)))], state="active")
        for i, (grid, at, size) in enumerate(zip(grids, places.tolist(), sizes, strict=True))
    ])  # fmt: skip


def add_people(things: Things, n: int = 300) -> None:
    """A few made persons, as keyed hashes only, each living in a made house."""
    rng = things.ground.random("person")
    homes = [h for h in things.tables["house"] if h["residents"]]
    out = []
    for i in range(n):
        home = homes[int(rng.integers(len(homes)))]
        born = int(rng.integers(1936, 2022))
        out.append({"code": person(i, things.ground.seed), "scope": home["scope"], "house": home["code"], "persons": 1,
                    "birth_year": born, "sex": ("male", "female")[int(rng.integers(2))],
                    "hukou_local": int(rng.random() < 0.7), "category": "elder" if born < 1961 else "", "synthetic": 1,
                    "state": "valid"})  # fmt: skip
    things.add("population", out)


def add_facilities(things: Things) -> None:
    """Made facilities of every kind, and the real metro stations."""
    for kind, n in FACILITIES.items():
        if kind == "ems_station":
            # the goal of the service is an ambulance within five kilometres
            grids, places = things.ground.cover(kind, n, 4.8)
        else:
            grids, places = things.ground.draw(kind, n, 0.75 if kind in ("road", "low_point", "underpass") else 0.6)
        rng = things.ground.random("about " + kind)
        things.add("facility", [_facility(things, kind, i, g, p, rng)
                                for i, (g, p) in enumerate(zip(grids, places.tolist(), strict=True))])  # fmt: skip
    stations = things.sources.stations
    at = np.round(np.array([s[1:] for s in stations.values()]), 5)
    things.add(
        "facility",
        [
            {
                **row(
                    things.numbers.facility(grid, "metro_station"),
                    grid,
                    place,
                    station_name(name),
                    facility_kind="metro_station",
                    usable_area_m2=1200 + 37 * (number % 41),
                    responsible_unit="武汉地铁集团",
                    state="normal",
                ),
                "synthetic": 0,
            }
            for (number, (name, *_)), grid, place in zip(
                stations.items(), things.ground.grid_at(at), at.tolist(), strict=True
            )
        ],
    )


def _facility(
    things: Things, kind: str, i: int, grid: str, at: list[float], rng: np.random.Generator
) -> dict[str, Any]:
    code = things.numbers.facility(grid, kind)
    more = about(kind, rng)
    return row(code, grid, at, f"{things.near(grid)}{int(code[-6:])}号{_TITLE[kind]}", facility_kind=kind,
               responsible_unit=UNITS[code[6:8]], accuracy_class="B", state="normal",
               installed=f"{int(rng.integers(2004, 2024))}-{int(rng.integers(1, 13)):02d}-01", **more)  # fmt: skip


def about(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """What a made facility of a kind has beside its name: size, capacity, what flows to it and off it."""
    match kind:
        case "road":
            names = list(_ROADS)
            road = names[int(rng.choice(4, p=[r[0] for r in _ROADS.values()]))]
            _, speed, length = _ROADS[road]
            return {"road_class": road, "free_flow_kmh": int(rng.integers(speed[0], speed[1] + 1)),
                    "length_m": int(rng.integers(*length))}  # fmt: skip
        case "parking":
            return {"capacity": int(rng.integers(40, 900))}
        case "venue" | "park" | "shelter":
            return {"usable_area_m2": int(rng.integers(800, 9000))}
        case "sports_venue":
            return {"usable_area_m2": int(rng.integers(1500, 12_000)), "courts": int(rng.integers(3, 13)),
                    "open_hours": int(rng.integers(12, 16))}  # fmt: skip
        case "drain_pump":
            return {"capacity": int(rng.integers(2, 40)) * 500}
        case "hospital":
            # open beds
            return {"capacity": int(np.clip(rng.lognormal(6.1, 0.7), 80, 3200))}
        case "school":
            # pupils that are enrolled
            return {"capacity": int(np.clip(rng.lognormal(7.0, 0.45), 240, 3600))}
        case "low_point" | "underpass":
            catchment = int(rng.integers(8, 60)) * 1000
            return {"catchment_m2": catchment, "curve_number": int(rng.integers(84, 97)),
                    "storage_m3": round(catchment * float(rng.uniform(0.004, 0.012))),
                    "pump_m3s": round(catchment * float(rng.uniform(2e-6, 8e-6)), 3)}  # fmt: skip
        case "streetlight":
            return {"schedule": "dusk"}
    return {}


def link(things: Things, missing: float = 0.035) -> None:
    """Address of the nearest building for organisations, that building for facilities and devices; some have none."""
    homes = things.tables["building"]
    at = places_of(homes)
    for kind, relation in (("organisation", "address"), ("facility", "building"), ("device", "building")):
        rows = [r for r in things.tables[kind] if not r.get(relation)]
        rng = things.ground.random("link " + kind)
        found = things.ground.nearest(places_of(rows), at)
        for each, home, chance in zip(rows, found.tolist(), rng.random(len(rows)), strict=True):
            if chance >= missing:
                each[relation] = homes[home]["address"] if relation == "address" else homes[home]["code"]


def places_of(rows: Sequence[Mapping[str, Any]]) -> Float64:
    """Places of rows (degrees, float64[n, 2])."""
    return np.array([[r["lon"], r["lat"]] for r in rows], np.float64)
