"""Alarms of GB/T 28181 as platforms send them, and what is no such alarm."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from citytwin.models.batch import REASONS
from citytwin.models.events import TITLES, VOCABULARY
from citytwin.streams import gb28181
from citytwin.streams.codec import Codec
from citytwin.streams.rules import Refusal
from tests.conftest import proving

ZONE = ZoneInfo("Asia/Shanghai")
RUNS = 5000 if proving() else 150


def body(encoding: str = "gb2312", /, **changed: str | None) -> bytes:
    """A notification; None leaves an element away."""
    told: dict[str, str | None] = {
        "CmdType": "Alarm", "SN": "12", "DeviceID": "42010600001320000007", "AlarmPriority": "1", "AlarmMethod": "5",
        "AlarmTime": "2026-09-21T22:00:05", "AlarmDescription": "越界入侵", "Longitude": "114.3", "Latitude": "30.6",
        "Info": "<AlarmType>6</AlarmType>", **changed,
    }  # fmt: skip
    inside = "".join(f"<{k}>{v}</{k}>" for k, v in told.items() if v is not None)
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<Notify>{inside}</Notify>'.encode(encoding)


@pytest.mark.parametrize("encoding", ["gb2312", "gb18030", "gbk", "utf-8"])
def test_an_alarm_becomes_an_event(encoding: str) -> None:
    alarm = gb28181.read(body(encoding), ZONE)
    event = gb28181.event_of(alarm, ZONE)
    assert event["data"] == {"priority": 1, "method": "video", "kind": "intrusion", "text": "越界入侵", "sn": 12}
    assert (event["subject"], event["time"]) == ("42010600001320000007", "2026-09-21T22:00:05.000+08:00")
    assert (event["lon"], event["lat"]) == (114.3, 30.6)
    done = Codec(VOCABULARY(), b"k").decode(json.dumps(event).encode(), "application/json")
    assert not done.rejections
    assert int(done.batches[0].time[0]) == 1_789_999_205_000
    assert alarm.words.zh == "入侵检测报警"
    assert gb28181.event_of(gb28181.read(body(encoding), ZONE), ZONE) == event, "sent again it is the same"
    assert TITLES["device.alarm"]["zh"]


def test_rare_characters_need_gb18030() -> None:
    assert gb28181.read(body("gb18030", AlarmDescription="㙟䶮𠀀"), ZONE).text == "㙟䶮𠀀"


def test_every_type_of_the_standard_has_words() -> None:
    codes = set()
    for method, word in gb28181.METHODS.items():
        kinds = gb28181.TYPES.get(method, {})
        for kind in (None, *kinds):
            info = None if kind is None else f"<AlarmType>{kind}</AlarmType>"
            alarm = gb28181.read(body(AlarmMethod=str(method), Info=info), ZONE)
            event: Any = gb28181.event_of(alarm, ZONE)
            assert event["data"]["method"] == word.code
            codes.add((method, event["data"].get("kind")))
            assert alarm.words.zh
            assert alarm.words.en
    assert len(codes) == 7 + 5 + 12 + 2
    assert sorted(gb28181.METHODS) == [1, 2, 3, 4, 5, 6, 7]


def test_no_place_is_no_place() -> None:
    for given_ in ({"Longitude": None, "Latitude": None}, {"Longitude": "0", "Latitude": "0.0"}):
        assert "lon" not in gb28181.event_of(gb28181.read(body(**given_), ZONE), ZONE)


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"CmdType": "Keepalive"}, "unknown_type", "CmdType"), ({"CmdType": None}, "missing", "CmdType"),
        ({"SN": None}, "missing", "SN"), ({"SN": "-1"}, "wrong_type", "SN"),
        ({"SN": "9999999999"}, "out_of_range", "SN"), ({"AlarmPriority": "I"}, "wrong_type", "AlarmPriority"),
        ({"DeviceID": "123"}, "bad_code", "DeviceID"), ({"DeviceID": "4201060000132000000x"}, "bad_code", "DeviceID"),
        ({"AlarmPriority": "5"}, "out_of_range", "AlarmPriority"),
        ({"AlarmMethod": "8"}, "out_of_range", "AlarmMethod"),
        ({"Info": "<AlarmType>13</AlarmType>"}, "bad_code", "AlarmType"),
        ({"AlarmTime": "2026-09-21T22:00:05+08:00"}, "bad_time", "AlarmTime"),
        ({"AlarmTime": "2026-13-21T22:00:05"}, "bad_time", "AlarmTime"), ({"AlarmTime": None}, "missing", "AlarmTime"),
        ({"AlarmTime": "0001-01-01T00:00:00"}, "bad_time", "AlarmTime"),
        ({"Longitude": "east"}, "bad_number", "Longitude"), ({"Longitude": None}, "bad_number", "Longitude"),
        ({"Longitude": "30.6", "Latitude": "114.3"}, "swapped_lonlat", "Latitude"),
        ({"Longitude": "200", "Latitude": "30"}, "out_of_range", "Latitude"),
        ({"Longitude": "nan", "Latitude": "30"}, "bad_number", "Longitude"),
        ({"AlarmDescription": "<b>x</b>"}, "wrong_type", "AlarmDescription"),
    ],
)  # fmt: skip
def test_a_wrong_alarm_is_refused(changed: dict[str, str | None], reason: str, field: str) -> None:
    with pytest.raises(Refusal) as refused:
        gb28181.read(body(**changed), ZONE)
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_the_answer_is_the_response_of_the_standard() -> None:
    root = etree.fromstring(gb28181.answer(body(), taken=True))
    told = {e.tag: e.text for e in root}
    assert root.tag == "Response"
    assert told == {"CmdType": "Alarm", "SN": "12", "DeviceID": "42010600001320000007", "Result": "OK"}
    refused = gb28181.answer(b"no xml", taken=False, why="not -- so --> <b>-")
    root = etree.fromstring(refused)
    assert [(e.tag, e.text) for e in root.iterchildren(tag=etree.Element)][-1] == ("Result", "ERROR")
    assert refused.startswith(b'<?xml version="1.0" encoding="GB2312"?>')


def outcome(raw: bytes) -> str:
    """Type of the event, or the reason; the answer is XML either way."""
    try:
        said = str(gb28181.event_of(gb28181.read(raw, ZONE), ZONE)["type"])
    except Refusal as refused:
        said = refused.reason
    etree.fromstring(gb28181.answer(raw, taken=said == "device.alarm", why=said))
    return said


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 700), st.binary(max_size=6), st.integers(0, 20), st.binary(max_size=50))
def test_any_bytes_are_taken_or_refused(at: int, new: bytes, cut: int, other: bytes) -> None:
    whole = body()
    for raw in (whole[:at] + new + whole[at + cut :], other):
        said = outcome(raw)
        assert said in REASONS or said == "device.alarm"
