"""Each kind of condition by example: when it fires and when it is over, with times worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from citytwin.indicators.api import col as column
from citytwin.indicators.api import indicator, maximum, row, tally
from citytwin.indicators.rules.words import case_code
from citytwin.models.columns import Float64
from citytwin.models.desk.columns import batches_of
from tests.indicators.rules.street import HEAD, Street, at, rule

DEPTH = 'type = "obs"\nwhere = \'col.property == "waterlog.depth"\'\n'
UP, DOWN = "alarm.raised r@D00", "alarm.cleared r@D00"


def parts_of(street: Street, number: int = 0) -> list[dict[str, Any]]:
    """The parts of the why of an alarm that was raised."""
    raised = [d for d in street.drafts if d.type == "alarm.raised"]
    found: list[dict[str, Any]] = json.loads(raised[number].fields["evidence"])["parts"]
    return found


def test_a_threshold_holds_for_its_time_and_has_a_dead_band() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27\nclear = 25\nhold = "3m"'))
    s.depth((0, "D00", 27), (0, "D01", 26))
    assert s.tick(5) == []  # 27 is not above 27
    s.depth((6, "D00", 27.1), (7, "D00", 25.5), (8, "D00", 28))
    assert s.tick(8.99) == []
    assert s.due == at(9)
    assert s.tick(9) == [UP]  # three minutes after 6, the dead band between
    assert s.drafts[0].fields["value"] == 28
    s.depth((10, "D00", 25.1))
    assert s.tick(10) == []
    s.depth((11, "D00", 25))
    assert s.tick(11) == [DOWN]
    s.depth((12, "D00", 28))
    assert s.tick(14.9) == []
    assert s.tick(15) == [UP]


def test_a_clear_reading_within_the_hold_time_begins_it_anew() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27\nhold = "3m"'))
    s.depth((0, "D00", 30), (2, "D00", 20), (2.5, "D00", 30))
    assert s.tick(5.4) == []
    assert s.tick(5.5) == [UP]


def test_below_mirrors_above() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}below = 5\nclear = 7'))
    s.depth((0, "D00", 4))
    assert s.tick(0) == [UP]
    s.depth((1, "D00", 6.9))
    assert s.tick(1) == []
    s.depth((2, "D00", 7))
    assert s.tick(2) == [DOWN]


def test_a_reading_that_is_no_longer_fresh_says_nothing() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27\nfresh = "10m"'))
    s.depth((0, "D00", 30))
    assert s.tick(0) == [UP]
    s.depth((5, "D00", 30))
    assert s.tick(14.9) == []
    assert s.due == at(15)
    assert s.tick(15) == [DOWN]


def test_an_alarm_is_over_after_its_off_delay() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27', 'off = "5m"'))
    s.depth((0, "D00", 30))
    assert s.tick(0) == [UP]
    s.depth((1, "D00", 10))
    assert s.tick(1) == []
    s.depth((4, "D00", 30))
    assert s.tick(4) == []
    s.depth((6, "D00", 10))
    assert s.tick(6) == []
    assert s.tick(10.9) == []
    assert s.due == at(11)
    assert s.tick(11) == [DOWN]
    assert s.drafts[-1].id == f"cleared/r@D00/{at(0)}"


def test_a_threshold_at_a_scope_joins_its_subjects() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27', 'at = "grid"'))
    s.depth((0, "D00", 30), (0, "D16", 40), (0, "D01", 30))  # D00 and D16 lie in one grid
    grids = s.city.grid_codes()
    assert s.tick(0) == [f"alarm.raised r@{grids[0]}", f"alarm.raised r@{grids[1]}"]
    assert s.drafts[0].fields["value"] == 40
    assert len(parts_of(s)[0]["evidence"]) == 2
    s.depth((1, "D16", 1))
    assert s.tick(1) == []
    s.depth((2, "D00", 1))
    assert s.tick(2) == [f"alarm.cleared r@{grids[0]}"]


@indicator("deepest", theme="t", levels="city district street grid", decimals=1, better="down",
           bands={"yellow": 15, "red": 27})  # fmt: skip
def deepest(
    m: Float64 = tally("obs", row.value, row.property == "waterlog.depth", reduce="max", per_unit=10),
) -> Float64:
    return m


def test_an_indicator_beyond_an_edge_and_in_a_band() -> None:
    edge = rule('kind = "threshold"\nindicator = "deepest"\nabove = 20\nclear = 10\nhold = "1m"', 'at = "district"')
    s, first = Street(edge, (deepest,)), "420101"
    s.depth((0, "D00", 21))
    assert s.tick(0) == []
    assert s.tick(0.9) == []
    assert s.tick(1) == [f"alarm.raised r@{first[:4]}{s.city.grid_codes()[0][4:6]}"]
    s.depth((2, "D00", 15))
    assert s.tick(2) == []
    s.depth((3, "D00", 10))
    assert [t.split()[0] for t in s.tick(3)] == ["alarm.cleared"]
    band = Street(rule('kind = "threshold"\nindicator = "deepest"\nband = "yellow"', 'at = "grid"'), (deepest,))
    band.depth((0, "D00", 15), (0, "D01", 14.9))
    assert band.tick(0) == [f"alarm.raised r@{band.city.grid_codes()[0]}"]
    band.depth((1, "D00", 14))
    assert [t.split()[0] for t in band.tick(1)] == ["alarm.cleared"]


SOS = 'first = { type = "alarm.sos" }\nthen = { type = "alarm.contacted" }\nwithin = "5m"'


def test_an_absence_is_an_answer_that_does_not_come() -> None:
    s = Street(rule(f'kind = "absence"\n{SOS}'))
    s.say("alarm.sos", {"min": 0, "who": "a"}, {"min": 1, "who": "b"}, {"min": 1, "who": "c"})
    s.say("alarm.contacted", {"min": 4, "who": "b"})
    assert s.tick(4.9) == []
    assert s.due == at(5)
    assert s.tick(5) == ["alarm.raised r@a"]
    assert s.tick(6) == ["alarm.raised r@c"]
    s.say("alarm.contacted", {"min": 7, "who": "a"})
    assert s.tick(7) == ["alarm.cleared r@a"]
    s.say("alarm.sos", {"min": 8, "who": "a"})
    assert s.tick(12.9) == []
    assert s.tick(13) == ["alarm.raised r@a"]


def test_a_late_answer_counts_where_it_belongs() -> None:
    s = Street(rule(f'kind = "absence"\n{SOS}'))
    s.say("alarm.sos", {"min": 0, "who": "a"})
    s.tick(4)
    s.say("alarm.contacted", {"min": 3, "who": "a"})
    assert s.tick(6) == []


def test_silence_is_over_with_the_next_sign_of_life() -> None:
    s = Street(rule('kind = "absence"\ntype = "device.status"\nwithin = "10m"'))
    s.say("device.status", {"min": 0, "who": "D00", "state": "online"}, {"min": 3, "who": "D01", "state": "online"})
    assert s.tick(9.9) == []
    assert s.due == at(10)
    assert s.tick(10) == [UP]
    assert s.tick(13) == ["alarm.raised r@D01"]
    s.say("device.status", {"min": 14, "who": "D00", "state": "online"})
    assert s.tick(14) == [DOWN]


def test_a_sequence_is_by_the_same_subject_and_in_time() -> None:
    first = """first = { type = "device.status", where = 'col.state == "fault"' }"""
    then = """then = { type = "device.status", where = 'col.state == "offline"' }"""
    s = Street(rule(f'kind = "sequence"\n{first}\n{then}\nwithin = "5m"\nstay = "3m"'))
    s.say("device.status", {"min": 0, "who": "D00", "state": "fault"}, {"min": 0, "who": "D02", "state": "fault"})
    s.say("device.status", {"min": 4, "who": "D01", "state": "offline"}, {"min": 5.1, "who": "D02", "state": "offline"})
    assert s.tick(6) == []
    s.say("device.status", {"min": 5, "who": "D00", "state": "offline"})  # late, and just in time
    assert s.tick(6) == [UP]
    assert [e["time"] for e in parts_of(s)[0]["evidence"]] == [at(0), at(5)]
    assert s.tick(7.9) == []
    assert s.due == at(8)
    assert s.tick(8) == [DOWN]


def test_near_is_across_subjects_within_metres_and_minutes() -> None:
    first, then = 'first = { type = "hazard.found" }', 'then = { type = "call.offered" }'
    s = Street(rule(f'kind = "near"\n{first}\n{then}\nwithin = "5m"\nmetres = 300\nstay = "2m"', 'at = "grid"'))
    grid = s.city.grid_codes()[0]
    s.say("hazard.found", {"min": 0, "who": "h", "lat": 0, "due_at": 1})
    s.say("call.offered", {"min": 1, "lat": 301}, {"min": 5.1, "lat": 10})
    assert s.tick(5.5) == []
    s.say("call.offered", {"min": 4.9, "lat": 299.9})
    assert s.tick(5.5) == [f"alarm.raised r@{grid}"]
    assert s.drafts[0].fields["value"] == pytest.approx(299.9, abs=0.01)
    assert [e["type"] for e in parts_of(s)[0]["evidence"]] == ["hazard.found", "call.offered"]
    assert s.tick(6.8) == []
    assert s.tick(6.9) == [f"alarm.cleared r@{grid}"]


def test_a_rate_is_that_of_a_minute_over_its_window() -> None:
    s = Street(rule(f'kind = "rate"\n{DEPTH}above = 2\nwithin = "10m"\nfresh = "20m"'))
    s.depth((0, "D00", 10), (5, "D00", 20), (0, "D01", 10), (5, "D01", 20.1))
    assert s.tick(5) == ["alarm.raised r@D01"]  # 10.1 cm in 5 minutes; 10 cm are just 2 a minute
    assert s.drafts[0].fields["value"] == pytest.approx(2.02)
    s.depth((12, "D01", 24))  # of the window only 5 and 12 are left: 3.9 / 7
    assert s.tick(12) == ["alarm.cleared r@D01"]


def test_a_rate_below_is_a_fall() -> None:
    s = Street(rule(f'kind = "rate"\n{DEPTH}below = -1\nwithin = "10m"'))
    s.depth((0, "D00", 30), (2, "D00", 27.9))
    assert s.tick(2) == [UP]
    assert s.tick(11.9) == []
    assert s.tick(12) == [DOWN]  # not fresh any more


def test_a_count_within_a_time_at_a_scope() -> None:
    s = Street(rule('kind = "count"\ntype = "call.offered"\nwithin = "10m"\nleast = 3', 'at = "grid"'))
    one, two = s.city.grid_codes()[:2]
    s.say("call.offered", {"min": 0, "scope": one}, {"min": 4, "scope": one}, {"min": 5, "scope": two})
    assert s.tick(5) == []
    s.say("call.offered", {"min": 9, "scope": one})
    assert s.tick(9) == [f"alarm.raised r@{one}"]
    assert s.due == at(10)
    assert s.tick(10) == [f"alarm.cleared r@{one}"]


def test_a_count_within_metres_of_each_other() -> None:
    text = rule('kind = "count"\ntype = "call.offered"\nwithin = "10m"\nleast = 3\nmetres = 200', 'at = "grid"')
    s = Street(text)
    grid = s.city.grid_codes()[0]
    s.say("call.offered", {"min": 0, "lat": 0}, {"min": 1, "lat": 250}, {"min": 2, "lat": 450})
    assert s.tick(2) == []  # the middle one has one neighbour at 200 m less a bit, the other is 250 m away
    s.say("call.offered", {"min": 3, "lat": 120})
    assert s.tick(3) == [f"alarm.raised r@{grid}"]
    assert s.drafts[0].fields["value"] == 3


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ('cusum"\ntarget = 10\nslack = 1\nlimit = 4', [12.5, 12.5, 12.5]),  # 1.5, 3, 4.5
        ('ewma"\ntarget = 10\nsigma = 1\nweight = 0.2', [12.2, 12.2, 11.8]),  # limit 11: 10.44, 10.792, 10.9936
        ('robust_z"\nwidth = 3\nhistory = 5\nfloor = 1', [10, 11, 13.9]),  # median 10.5, scale 1: z 3.4
    ],
)
def test_a_model_finds_a_reading_strange(model: str, values: list[float]) -> None:
    s = Street(rule(f'kind = "anomaly"\n{DEPTH}model = "{model}'))
    for minute, value in enumerate(values[:-1]):
        s.depth((minute, "D00", value))
        assert s.tick(minute) == []
    if "ewma" in model:
        s.depth((2, "D00", 11.8))
        assert s.tick(2) == []  # 10.9936 is still inside
        s.depth((3, "D00", 11.1))
        assert s.tick(3) == [UP]  # 11.01488
        return
    s.depth((len(values), "D00", values[-1]))
    assert s.tick(len(values)) == [UP]


def test_a_model_folds_what_is_settled_once() -> None:
    s = Street(rule(f'kind = "anomaly"\n{DEPTH}model = "cusum"\ntarget = 10\nslack = 1\nlimit = 4', 'late = "2m"'))
    for minute in range(0, 40, 10):  # each is settled long before the next one comes: 1.5 a reading
        s.depth((minute, "D00", 12.5))
        assert s.tick(minute) == ([UP] if minute == 20 else [])


WATER = """kind = "all"
[[rule.when.parts]]
label = { zh = "积水深度", en = "Depth" }
kind = "threshold"
type = "obs"
where = 'col.property == "waterlog.depth"'
above = 27
hold = "3m"
unit = "cm"
[[rule.when.parts]]
label = { zh = "小时雨量", en = "Rain of an hour" }
kind = "threshold"
indicator = "rain"
by = "street"
above = 20
unit = "mm"
[[rule.when.parts]]
label = { zh = "低洼点", en = "Low point" }
kind = "fact"
where = 'ent.observes.facility_kind == "low_point"'
[[rule.when.parts]]
label = { zh = "附近来电", en = "Calls nearby" }
kind = "count"
type = "call.offered"
within = "30m"
least = 2
metres = 200
"""


@indicator("rain", theme="t", window="sliding 1h/5m", unit="mm", levels="city district street", decimals=1)
def rain(m: Float64 = maximum("obs", column.value, column.property == "rain.depth", per_unit=100)) -> Float64:
    return m


def test_depth_and_rain_and_low_point_and_calls() -> None:
    s = Street(rule(WATER, 'case = { category = "flood.waterlog", level = 3 }'), (rain,))
    kinds = s.city.entities.attr("facility_kind")
    low = [i for i in range(32) if kinds[s.city.entities.row(f"facility{i:02d}")] == "low_point"]
    other = next(i for i in range(32) if i not in low)
    who, dry = f"D{low[0]:02d}", f"D{other:02d}"
    for minute in (0, 1, 2, 3):
        rows = [{"min": minute, "who": w, "property": "waterlog.depth", "value": 30, "lat": 0} for w in (who, dry)]
        s.say("obs", *rows)
    assert s.tick(3) == []
    s.say("obs", *({"min": 3, "who": w, "property": "rain.depth", "value": 21} for w in (who, dry)))
    assert s.tick(3.1) == []
    s.say("call.offered", {"min": 2, "lat": 150}, {"min": 3, "lat": 250})
    assert s.tick(3.2) == []
    s.say("call.offered", {"min": 3.3, "lat": -150})
    said = s.tick(3.3)
    code = case_code(f"r@{who}", at(3.3))
    assert said == [f"alarm.raised r@{who}", *(f"case.{m} {code}" for m in ("reported", "accepted", "filed"))]
    parts = parts_of(s)
    assert [(p["label"]["en"], p["value"], p["unit"], p["ok"], len(p["evidence"])) for p in parts] == [
        ("Depth", 30.0, "cm", True, 4), ("Rain of an hour", 21.0, "mm", True, 0), ("Low point", None, "", True, 0),
        ("Calls nearby", 2.0, "", True, 2),
    ]  # fmt: skip
    filed = s.drafts[-1]
    assert filed.fields["due_at"] == at(3.3) + 3_600_000  # an hour of clock time at level III
    for batch in batches_of(s.drafts, s.city.vocabulary):
        assert s.engine.feed(batch, 0).accepted == len(batch)
    s.tick(3.4)
    assert s.engine.cases is not None
    assert s.engine.cases.count_by_state()["filed"] == 1


def test_any_needs_one_and_tells_of_all() -> None:
    text = rule(f"""kind = "any"
[[rule.when.parts]]
label = {{ zh = "深", en = "Deep" }}
kind = "threshold"
{DEPTH}above = 50
[[rule.when.parts]]
label = {{ zh = "快", en = "Fast" }}
kind = "rate"
{DEPTH}above = 3
within = "10m"
""")
    s = Street(text)
    s.depth((0, "D00", 51), (0, "D01", 5), (1, "D01", 9))
    assert s.tick(1) == [UP, "alarm.raised r@D01"]
    assert [p["ok"] for p in parts_of(s, 0)] == [True, False]
    assert [p["ok"] for p in parts_of(s, 1)] == [False, True]


def test_versions_take_over_from_each_other() -> None:
    until = HEAD.replace('theme = "t"', 'theme = "t"\nvalid_to = 2026-07-08T22:10:00+08:00')
    since = HEAD.replace("version = 1", "version = 2").replace("2026-01-01T00:00:00", "2026-07-08T22:10:00")
    when = f'\n[rule.when]\nlabel = {{ zh = "深", en = "Deep" }}\nkind = "threshold"\n{DEPTH}above = '
    s = Street(f"{until}{when}20\n{since}{when}30\n")
    s.depth((0, "D00", 25), (0, "D01", 35))
    assert s.tick(0) == [UP, "alarm.raised r@D01"]
    assert s.due == at(10)  # 22:10 in Shanghai
    assert s.tick(10) == [DOWN, "alarm.cleared r@D01", "alarm.raised r@D01"]
    assert s.drafts[-1].fields["evidence"].startswith('{"rule":"r","version":2')


def test_a_reading_that_was_retracted_did_not_fire() -> None:
    s = Street(rule(f'kind = "threshold"\n{DEPTH}above = 27\nhold = "3m"'))
    row = {"min": 0, "who": "D00", "property": "waterlog.depth", "value": 30}
    s.say("obs", {**row, "id": "a"}, {**row, "min": 1, "id": "b"})
    s.say("obs", {**row, "id": "c", "corrects": "a", "revision": 1, "retracted": True})
    assert s.tick(3) == []
    assert s.tick(4) == [UP]


def test_a_place_without_a_number_of_an_indicator_is_not_up() -> None:
    s = Street(rule('kind = "threshold"\nindicator = "deepest"\nbelow = 5', 'at = "grid"'), (deepest,))
    assert s.tick(0) == []
    s.depth((1, "D00", 1))
    assert len(s.tick(1)) == 1


def test_rules_of_what_a_city_does_not_have_are_left_out_and_told() -> None:
    good = rule(f'kind = "threshold"\n{DEPTH}above = 27')
    for bad, field, word in (
        ('kind = "threshold"\nindicator = "nothing"\nabove = 1\nby = "city"', "when.indicator", "no indicator"),
        ('kind = "threshold"\nindicator = "rain"\nband = "red"\nby = "city"', "when.band", "has none"),
        ('kind = "count"\ntype = "no.type"\nwithin = "1m"\nleast = 2', "when.type", "no event type"),
        ('kind = "count"\ntype = "obs"\nwhere = "col.nothing > 1"\nwithin = "1m"\nleast = 2', "when.where", "no col."),
        ('kind = "count"\ntype = "obs"\nwhere = "col.property > 1"\nwithin = "1m"\nleast = 2', "when.where", "Coded"),
        ('kind = "count"\ntype = "obs"\nwhere = "__import__(1)"\nwithin = "1m"\nleast = 2', "when.where", "column"),
        ('kind = "count"\ntype = "call.offered"\nwhere = "col.caller.known()"\nwithin = "1m"\nleast = 2', "when.where",
         "secret"),
    ):  # fmt: skip
        at_city = 'at = "city"' if "by =" in bad else ""
        text = good + rule(bad, at_city).replace('id = "r"', 'id = "bad"')
        s = Street(text, (rain,))
        assert s.engine.rules is not None
        assert [r.id for r in s.engine.rules.rules] == ["r"]
        assert s.engine.troubles["rule bad"].startswith(f"{field}: ")
        assert word in s.engine.troubles["rule bad"]
