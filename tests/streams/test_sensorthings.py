"""Observations by a map of datastreams: known by id, name or pattern; everything else is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from citytwin.models.events import VOCABULARY
from citytwin.streams.bridging import Lines
from citytwin.streams.codec import Codec
from citytwin.streams.mapping import MappingError
from citytwin.streams.sensorthings import Observations

LINES = Lines.of_codec(Codec(VOCABULARY(), b"key"))
THINGS = """
source = "things"
[[datastreams]]
id = "12"
subject = "DEV-12"
property = "air.pm25"
[[datastreams]]
name = "level of the lake"
subject = "DEV-13"
property = "river.level"
factor = 0.01
offset = 20.0
[[patterns]]
match = '(?P<subject>DEV-[0-9]+)/(?P<property>.+)'
properties = { "PM10" = "air.pm10" }
"""


def reader(folder: Path, text: str = THINGS) -> Observations:
    """Of a map."""
    (folder / "things.toml").write_text(text)
    return Observations.load(folder / "things.toml", LINES)


def one(observations: Observations, topic: str, **told: Any) -> Any:
    """Subject, property, value, id of one message, or the reason and field of its refusal."""
    payload = json.dumps({"phenomenonTime": "2026-09-21T14:13:19Z", **told}).encode()
    done = observations.read([(topic, payload)], lambda i: f"place-{i}")
    if done.rejections:
        return done.rejections[0].reason, done.rejections[0].field
    (batch,) = done.batches
    fields: Any = batch.fields
    return batch.subject[0], fields["property"][0], int(fields["value"][0]), batch.id[0]


def test_datastreams_are_known_in_four_ways(tmp_path: Path) -> None:
    found = reader(tmp_path)
    by_id, topic = "v1.1/Datastreams(12)/Observations", "v1.1/Observations"
    link = "Datastream@iot.navigationLink"
    assert one(found, by_id, result=3.5) == ("DEV-12", "air.pm25", 35, "place-0")
    assert one(found, by_id, result=3.5, **{"@iot.id": 5}) == ("DEV-12", "air.pm25", 35, "things/5")
    assert one(found, topic, result=1, **{link: "https://x/v1.1/Datastreams(12)"}) == (
        "DEV-12",
        "air.pm25",
        10,
        "place-0",
    )
    lake = {"@iot.id": 77, "name": "level of the lake"}
    assert one(found, topic, result=150, Datastream=lake)[:3] == ("DEV-13", "river.level", 21_500)
    assert one(found, topic, result=8, Datastream={"name": "DEV-9/PM10"})[:3] == ("DEV-9", "air.pm10", 80)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    found, topic = reader(tmp_path), "v1.1/Datastreams(12)/Observations"
    assert one(found, "v1.1/Datastreams(13)/Observations", result=1) == ("unknown_property", "Datastream")
    assert one(found, "elsewhere", result=1) == ("unknown_property", "Datastream")
    assert one(found, topic) == ("missing", "result")
    assert one(found, topic, result="many") == ("wrong_type", "result")
    assert one(found, topic, result=None) == ("missing", "value")
    assert one(found, topic, result=-1)[0] == "out_of_range"
    assert one(found, topic, result=1, phenomenonTime=None) == ("missing", "phenomenonTime")
    assert one(found, topic, result=1, phenomenonTime="soon") == ("bad_time", "time")
    assert one(found, "x", result=1, Datastream={"name": "DEV-1/colour"})[0] == "unknown_property"


def test_bad_messages_keep_their_neighbours(tmp_path: Path) -> None:
    topic = "v1.1/Datastreams(12)/Observations"
    good = b'{"result": 1, "resultTime": "2026-09-21T14:13:19Z"}'
    messages = [(topic, p) for p in (b"", good, b"\xff", b"[]", b'{"result": Infinity}', good, b'{"result": 1e999}')]
    done = reader(tmp_path).read(messages, str)
    assert [i.tolist() for i in done.index] == [[1, 5]]
    reasons = {r.index: r.reason for r in done.rejections}
    assert reasons == {0: "not_json", 2: "not_utf8", 3: "not_object", 4: "bad_number", 6: "bad_number"}
    assert done.total == len(messages)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('source = "x"', "names no"),
        ('source = "x"\n[[patterns]]\nmatch = "("', "no regular expression"),
        ('source = "x"\n[[patterns]]\nmatch = "(?P<subject>.*)"', "no group named property"),
        ("source = 1", "source"),
        ("nonsense", "things.toml"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(MappingError, match=why):
        reader(tmp_path, text)
