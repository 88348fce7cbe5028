"""The units of the city: vehicles of its stations and teams of its districts, with names, skills, room and homes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from citytwin.models.columns import Float64, Int64, Strings


@dataclass(frozen=True, slots=True)
class Team:
    """A kind of units: how they are named (zh, with a number), what they can do, how many cases they take at once."""

    kind: str
    name: str
    skills: str
    capacity: int = 1


#: Vehicles by kind of the station that they start from, two of each.
AT_STATION: dict[str, Team] = {
    "ems_station": Team("ambulance", "急救{}车", "medical"),
    "fire_station": Team("fire_engine", "消防{}车", "fire rescue pump"),
    "police_station": Team("patrol_car", "巡逻{}车", "order patrol traffic", 2),
}
EACH_STATION = 2
#: Teams of each district, at the seat of it.
OF_DISTRICT: tuple[Team, ...] = (
    Team("drainage_team", "排水{}队", "drainage pump", 2), Team("drainage_team", "排水{}队", "drainage pump", 2),
    Team("road_team", "道路抢修{}队", "road", 3), Team("lighting_team", "照明维修{}队", "lighting", 4),
    Team("sanitation_team", "环卫{}队", "sanitation", 6), Team("street_team", "街面巡查{}队", "order patrol", 6),
    Team("green_team", "园林{}队", "green", 4), Team("water_team", "供水抢修{}队", "water", 2),
    Team("gas_team", "燃气抢修{}队", "gas"), Team("power_team", "电力抢修{}队", "power", 2),
)  # fmt: skip
#: Teams stand within some 800 m of the seat of their district, so that they are not all at one place.
_SPREAD = 0.008


@dataclass(frozen=True, slots=True, eq=False)
class Crews:
    """One row for each unit: code, kind, name, skills (words), capacity, home (code of a district), place at rest."""

    code: Strings
    lon: Float64
    lat: Float64
    kind: tuple[str, ...]
    name: tuple[str, ...]
    skills: tuple[str, ...]
    capacity: Int64
    home: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.code)


def district_of(code: str) -> str:
    """Code of the district of a grid: the first six digits, as all codes of GB/T 2260 have them."""
    return code[:6]


def crews(
    stations: tuple[tuple[str, ...], Float64, Float64], seats: tuple[Float64, Float64],
    grids: tuple[Strings, Float64, Float64],
) -> Crews:  # fmt: skip
    """Units of stations (kinds, lon, lat), then of districts; the home is the district of the nearest grid."""
    teams = [AT_STATION[kind] for kind in stations[0] for _ in range(EACH_STATION)]
    lon, lat = (np.repeat(at, EACH_STATION) for at in stations[1:])
    turn = np.arange(len(OF_DISTRICT)) / len(OF_DISTRICT) * 2 * np.pi
    lon = np.concatenate([lon, (seats[0][:, None] + _SPREAD * np.cos(turn)).ravel()])
    lat = np.concatenate([lat, (seats[1][:, None] + _SPREAD * np.sin(turn)).ravel()])
    teams += [team for _ in range(len(seats[0])) for team in OF_DISTRICT]
    codes, count = grids[0].tolist(), dict[str, int]()
    names, homes = [], []
    for team, x, y in zip(teams, lon.tolist(), lat.tolist(), strict=True):
        count[team.kind] = count.get(team.kind, 0) + 1
        names.append(team.name.format(count[team.kind]))
        homes.append(district_of(codes[int(np.hypot(grids[1] - x, grids[2] - y).argmin())]))
    return Crews(
        Strings.of([f"U{i + 1}" for i in range(len(teams))]), lon, lat, tuple(t.kind for t in teams), tuple(names),
        tuple(t.skills for t in teams), np.array([t.capacity for t in teams], np.int64), tuple(homes),
    )  # fmt: skip
