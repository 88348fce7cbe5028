"""Real sights with made capacities, and the lamps of underpasses, which burn day and night."""

from __future__ import annotations

import numpy as np

from citytwin.twin.build.things import UNITS, Things, row

#: Name in Chinese and English, rough place (WGS 84): facts that are widely known, noted by hand.
SIGHTS = (
    ("黄鹤楼", "Yellow Crane Tower", 114.2972, 30.5447),
    ("东湖听涛景区", "East Lake Tingtao", 114.3668, 30.5692),
    ("东湖磨山景区", "East Lake Moshan", 114.4098, 30.5512),
    ("归元寺", "Guiyuan Temple", 114.2572, 30.5462),
    ("湖北省博物馆", "Hubei Provincial Museum", 114.3608, 30.5622),
    ("晴川阁", "Qingchuan Pavilion", 114.2778, 30.5562),
    ("江汉关博物馆", "Hankow Customs House", 114.2888, 30.5806),
    ("武汉欢乐谷", "Happy Valley Wuhan", 114.3872, 30.5938),
    ("昙华林", "Tanhualin", 114.3042, 30.5548),
    ("户部巷", "Hubu Alley", 114.2946, 30.5482),
    ("武汉动物园", "Wuhan Zoo", 114.2446, 30.5422),
    ("木兰天池", "Mulan Tianchi", 114.2392, 31.0962),
)


def add_sights(things: Things) -> None:
    """Scenic areas: name and place are real, area and the number of visitors that they hold at a time are made."""
    known = set(things.ground.codes)
    at = np.array([s[2:] for s in SIGHTS])
    rng = things.ground.random("about scenic_area")
    out = []
    for (name, *_), place, grid in zip(SIGHTS, at.tolist(), things.ground.grid_at(at), strict=True):
        area = int(rng.integers(6, 60)) * 1000
        if grid in known:
            code = things.numbers.facility(grid, "scenic_area")
            out.append(row(code, grid, place, name, facility_kind="scenic_area", responsible_unit=UNITS[code[6:8]],
                           accuracy_class="B", state="normal", usable_area_m2=area,
                           capacity=round(area / float(rng.uniform(4, 9)))))  # fmt: skip
    things.add("facility", out)


def add_lamps(things: Things) -> None:
    """A lamp in every underpass, and one in each district that has none: they must be lit at any hour."""
    ground, rng = things.ground, things.ground.random("underpass lamps")
    places = [
        (f["scope"], (f["lon"], f["lat"])) for f in things.tables["facility"] if f["facility_kind"] == "underpass"
    ]
    for district in sorted({code[:6] for code in ground.codes} - {scope[:6] for scope, _ in places}):
        mine = [i for i, code in enumerate(ground.codes) if code.startswith(district)]
        grid = mine[int(np.argmax(ground.people[mine]))]
        at = ground.inside(np.array([grid]), rng)[0].tolist()
        places.append((ground.codes[grid], (at[0], at[1])))
    out = []
    for grid, place in places:
        code = things.numbers.facility(grid, "streetlight")
        out.append(row(code, grid, place, f"{things.near(grid)}{int(code[-6:])}号路灯", facility_kind="streetlight",
                       responsible_unit=UNITS[code[6:8]], accuracy_class="B", state="normal", schedule="always",
                       installed=f"{int(rng.integers(2008, 2024))}-06-01"))  # fmt: skip
    things.add("facility", out)
