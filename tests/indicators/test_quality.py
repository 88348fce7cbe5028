"""What is silent is said: devices never heard, changes of the register, stopped desks, composites of the stale."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from citytwin import snapshot
from citytwin.engine import Engine
from citytwin.indicators.api import Context, Indicator
from citytwin.indicators.quality import MISSING_LIMIT, Standing, inherit, weigh
from citytwin.indicators.registry import Registry, builtin
from citytwin.indicators.themes.composite import composites
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Float64, Int32
from citytwin.models.frame import Quality
from tests.indicators.town import batches, town

HOUR, MINUTE = 3_600_000, 60_000
NOW = 1_750_000_000_000 // HOUR * HOUR
Event = dict[str, Any]


def reading(subject: str, prop: str, value: float, time: int = NOW) -> Event:
    return {
        "type": "obs", "time": time, "id": f"{subject}{prop}{time}", "source": "iot", "subject": subject,
        "property": prop, "value": value, "quality": "good",
    }  # fmt: skip


def case(code: str, move: str, time: int = NOW, source: str = "desk", **more: Any) -> Event:
    return {"type": f"case.{move}", "time": time, "id": f"{code}{move}", "source": source, "subject": code, **more}


class City:
    """An engine over the town, with all built-in indicators or with some and the scores of their themes."""

    def __init__(self, *ids: str) -> None:
        chosen = [builtin()[i] for i in ids]
        themes: dict[str, list[str]] = {}
        for spec in chosen:
            themes.setdefault(spec.theme, []).append(spec.id)
        self.engine = Engine(town()[0], Registry([*chosen, *composites(themes)]) if ids else builtin())

    def say(self, *events: Event, now: int = NOW) -> None:
        for batch in batches(list(events)):
            assert not self.engine.feed(batch, 1).rejected
        self.engine.tick(now, 2)

    def change(self, code: str, now: int, **fields: Any) -> None:
        batch = EventBatch.of("device.changed", [now], [f"{code}{now}"], subject=[code], fields=fields)
        assert not self.engine.feed(batch, 1).rejected
        self.engine.tick(now, 2)

    def of(self, id: str, code: str = "C") -> tuple[str, int, int]:
        line, row = self.engine.board.lines[id], self.engine.scopes.row(code)
        return Quality(int(line.quality[row])).name, int(line.fresh[row]), int(line.expected[row])

    def value(self, id: str, code: str = "C") -> float:
        return float(self.engine.board.lines[id].value[self.engine.scopes.row(code)])


def test_devices_that_never_reported_are_expected() -> None:
    city = City()
    city.say(reading("L1", "waterlog.depth", 77))
    assert city.of("waterlog_depth_max") == ("PARTIAL", 1, 5)
    assert city.of("waterlog_depth_max", "C1011") == ("NODATA", 0, 0)
    assert city.of("waterlog_depth_max", "C1111") == ("NODATA", 0, 2)


def test_one_that_nobody_declares_is_expected_once_it_was_heard() -> None:
    city = City()
    city.say(reading("H1", "river.level", 26), reading("H3", "river.level", 26))
    assert city.of("river_level") == ("GOOD", 2, 2)
    city.say(reading("H2", "river.level", 20, NOW + 1), now=NOW + 1)
    assert city.of("river_level") == ("GOOD", 3, 3)


def test_a_device_without_a_period_becomes_stale() -> None:
    city = City()
    city.say(reading("L3", "waterlog.depth", 3))
    city.engine.tick(NOW + 2 * HOUR - 1, 3)
    assert city.of("waterlog_points", "C1111") == ("PARTIAL", 1, 2)
    assert city.engine.next_due() <= NOW + 2 * HOUR
    city.engine.tick(NOW + 2 * HOUR, 3)
    assert city.of("waterlog_points", "C1111") == ("STALE", 0, 2)


def test_changes_of_the_register_are_seen_at_once() -> None:
    city = City()
    city.say(reading("P1", "water.pressure", 0.3))
    assert city.of("water_pressure_compliance") == ("PARTIAL", 1, 2)
    city.change("P2", NOW + 1, in_service=np.array([0], np.int8))
    assert city.of("water_pressure_compliance") == ("GOOD", 1, 1)
    city.change("P2", NOW + 2, in_service=np.array([1], np.int8))
    city.change("G1", NOW + 3, properties=Coded.of(["gas.ch4_lel water.pressure"]))
    assert city.of("water_pressure_compliance") == ("PARTIAL", 1, 3)
    gone = EventBatch.of("device.removed", [NOW + 4], ["x"], subject=["P2"], fields={})
    assert not city.engine.feed(gone, 1).rejected
    city.engine.tick(NOW + 4, 2)
    assert city.of("water_pressure_compliance") == ("PARTIAL", 1, 2)
    city.change("P1", NOW + 5, in_service=np.array([0], np.int8))
    assert city.of("water_pressure_compliance") == ("PARTIAL", 0, 1)


def test_a_desk_that_was_never_heard_has_no_backlog_of_zero() -> None:
    city = City()
    city.say(reading("H1", "river.level", 26))
    assert np.isnan(city.value("case_backlog"))
    assert city.of("case_backlog") == ("NODATA", 0, 2)
    city.say(case("K", "reported"))
    assert (city.value("case_backlog"), city.of("case_backlog")) == (0, ("PARTIAL", 1, 2))
    assert city.value("case_backlog", "C0000") == 0


def test_a_class_form_is_not_asked_before_anything_that_feeds_it_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, asked = builtin()["noise_compliance"], list[int]()
    assert spec.cls is not None
    values = spec.cls.values

    def noted(self: Indicator, ctx: Context) -> tuple[Int32, Float64]:
        asked.append(ctx.now)
        return values(self, ctx)

    monkeypatch.setattr(spec.cls, "values", noted)
    city = City("noise_compliance")
    for now in (NOW, NOW + HOUR):
        city.say(reading("P1", "water.pressure", 0.2), now=now)
        assert city.of("noise_compliance")[0] == "NODATA"
    assert asked == []
    noise = reading("NS1", "noise.laeq", 40.0, NOW + HOUR)
    city.say(noise, now=NOW + 2 * HOUR)
    assert asked == [NOW + 2 * HOUR]
    city.say(noise | {"id": "gone", "corrects": noise["id"], "revision": 1, "retracted": True}, now=NOW + 3 * HOUR)
    assert asked == [NOW + 2 * HOUR]


def test_a_desk_that_stops_is_stale_after_two_of_its_periods() -> None:
    city = City()
    city.say(case("K", "reported"), case("J", "reported", source="s1"))
    assert city.of("case_backlog") == ("GOOD", 2, 2)
    assert city.engine.next_due() <= NOW + 40 * MINUTE
    city.engine.tick(NOW + 40 * MINUTE, 3)
    assert city.of("case_backlog") == ("PARTIAL", 1, 2)
    city.engine.tick(NOW + 48 * HOUR, 3)
    assert city.of("case_backlog", "C1") == ("STALE", 0, 2)
    assert city.value("case_backlog") == 0
    assert city.of("citycode_active_users") == ("NODATA", 0, 1)


def test_all_devices_silent_make_the_share_of_good_readings_stale() -> None:
    city = City()
    city.say(reading("P1", "water.pressure", 0.3), reading("L1", "waterlog.depth", 3))
    assert city.of("obs_valid_rate")[0] == "PARTIAL"
    city.engine.tick(NOW + 40 * MINUTE, 3)
    assert (city.value("obs_valid_rate"), city.of("obs_valid_rate")[0]) == (100, "STALE")


def test_composites_leave_out_what_is_stale_and_move_with_their_parts() -> None:
    city = City("rain_1h_max", "river_level", "waterlog_points", "waterlog_depth_max")
    city.say(reading("H1", "river.level", 29.73), reading("L1", "waterlog.depth", 0))
    both = city.value("theme_score.weather_flood")
    city.engine.tick(NOW + 19 * MINUTE, 3)
    city.say(reading("L1", "waterlog.depth", 0, NOW + 19 * MINUTE), now=NOW + 20 * MINUTE)
    assert city.of("river_level")[0] == "STALE"
    assert city.value("theme_score.weather_flood") == 100 != both
    assert city.of("theme_score.weather_flood")[0] == "PARTIAL"
    detail = city.engine.board.lines["theme_score.weather_flood"].detail
    assert detail[0] == {"missing": 0.5}  # the rain was never heard, the river is stale
    city.say(reading("L1", "waterlog.depth", 30, NOW + 20 * MINUTE), now=NOW + 20 * MINUTE + 1)
    assert city.value("theme_score.weather_flood") < 100
    city.engine.tick(NOW + 25 * HOUR, 3)
    assert city.of("theme_score.weather_flood")[0] == "STALE"


def test_a_city_that_only_has_a_register_has_no_health_index() -> None:
    city = City()
    for k in range(3):
        city.engine.tick(NOW + k * 1000, k)
        assert np.isnan(city.value("city_health_index"))
        assert city.of("city_health_index")[0] == "NODATA"


def test_a_snapshot_keeps_who_was_heard() -> None:
    city = City()
    city.say(reading("L1", "waterlog.depth", 3), case("K", "reported"))
    held = city.engine.snapshot()
    meta = msgspec.json.decode(msgspec.json.encode(held.meta))
    city.engine.tick(NOW + 12 * MINUTE, 3)
    again = snapshot.restore(town()[0], builtin(), held.arrays, meta)
    again.tick(NOW + 12 * MINUTE, 3)
    for id, line in city.engine.board.lines.items():
        other = again.board.lines[id]
        for name in ("value", "quality", "fresh", "expected"):
            assert np.array_equal(getattr(line, name), getattr(other, name), equal_nan=True), (id, name)
    assert city.engine.next_due() == again.next_due()


def part(value: float, quality: Quality, fresh: int = 1, expected: int = 1) -> Standing:
    numbers = np.array([fresh], np.int32), np.array([expected], np.int32)
    return Standing.of(np.array([value]), np.array([quality], np.uint8), *numbers)


G, P, S, N = Quality.GOOD, Quality.PARTIAL, Quality.STALE, Quality.NODATA
NONE = float("nan")


@pytest.mark.parametrize(
    ("parts", "mean", "share", "quality"),
    [
        ([part(80, G), part(60, G)], 70, 0, G),
        ([part(80, G), part(60, P, 1, 2)], 70, 0, P),
        ([part(80, G), part(0, S, 0)], 80, 0.5, P),
        ([part(80, G), part(NONE, N, 0)], 80, 0.5, P),
        ([part(80, G), part(NONE, N, 0, 0)], 80, 0, G),
        ([part(80, G), part(0, S, 0), part(NONE, N, 0)], NONE, 2 / 3, N),
        ([part(80, S, 0), part(60, S, 0), part(NONE, N, 0)], 70, 1, S),
        ([part(NONE, N, 0)], NONE, 1, N),
        ([part(NONE, Quality.ERROR, 0, 0), part(50, G)], 50, 0.5, P),
    ],
)  # fmt: skip
def test_what_parts_make_of_a_composite(parts: list[Standing], mean: float, share: float, quality: Quality) -> None:
    got, missing = weigh([p.value for p in parts], parts, 1)
    assert np.array_equal(got, [mean], equal_nan=True)
    assert missing[0] == pytest.approx(share)
    assert (missing[0] > MISSING_LIMIT) == (quality in (S, N))
    assert inherit(got, parts)[0][0] == quality
