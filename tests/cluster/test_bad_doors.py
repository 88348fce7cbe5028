"""Bad input on every door of a cluster: a dead letter or a line with the reason, and the stream goes on."""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiomqtt
import httpx
import numpy as np
import pytest

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.part import Marker
from citytwin.models.shards import shards_of
from citytwin.models.telling import Telling
from citytwin.streams.arrays import split
from citytwin.streams.brokers import Topic
from citytwin.streams.kafka import create_topics
from citytwin.streams.pack import CorruptRecord, pack
from citytwin.streams.parts import FRAME, PART
from citytwin.streams.records import Definition, Events, Row
from citytwin.streams.wire import from_bytes, to_bytes
from tests.cluster.bridges import dead, produce, read
from tests.cluster.driver import CITY, EAST, SHARDS, OnKafka, event, send, value, wait_for
from tests.doors.test_cap import document
from tests.doors.test_gb28181 import body as notification
from tests.servers.kafka import Door, Kafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.process import until

YEAR = 366 * 86_400_000
GIANT = 2_000_000


def now() -> int:
    """The time now (ms UTC)."""
    return time.time_ns() // 1_000_000


def local() -> str:
    """The time now, as systems of the city write it."""
    return datetime.now(ZoneInfo("Asia/Shanghai")).isoformat(timespec="seconds")


def reading(id: str, subject: str = "D-e1", at: int = 0, kind: str = "obs", **fields: Any) -> EventBatch:
    """One reading as shards have it."""
    columns = fields or {
        "property": Coded.of(["waterlog.depth"]), "value": _whole(200), "quality": Coded.of(["good"]),
        "unit": Coded.of([""]),
    }  # fmt: skip
    return EventBatch.of(kind, [at or now()], [id], source="hand", subject=[subject], fields=columns)


def _whole(number: int) -> Any:
    return np.array([number], np.int64)


class City:
    """A cluster with doors to foreign topics and MQTT, and how many dead letters of each reason were seen."""

    def __init__(self, many: OnKafka, mosquitto: Mosquitto) -> None:
        self.many, self.mosquitto = many, mosquitto
        self.letters: Counter[str] = Counter()
        self.depth = 20

    def put(self, topic: str, *values: bytes, partition: int = 0) -> None:
        """Write records past all doors."""
        asyncio.run(produce(self.many.cluster, f"{self.many.prefix}.{topic}", values, partition))

    def refused(self, **more: int) -> list[dict[str, Any]]:
        """Wait for so many more dead letters of these reasons and no others; the letters."""
        self.letters.update(more)
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = asyncio.run(dead(self.many.cluster, self.many.prefix))
            return Counter(f["reason"] for f in found) == self.letters

        try:
            until(there, 40, "the dead letters are there")
        except AssertionError as error:
            raise AssertionError(f"{error}: {Counter(f['reason'] for f in found)}, not {self.letters}") from None
        return found[-sum(more.values()) :]

    def events(self, type: str) -> list[EventBatch]:
        """What lies in the partitions of events, of one type."""
        topic = f"{self.many.prefix}.events"
        found = []
        for body in (v for held in asyncio.run(read(self.many.cluster, topic, SHARDS)).values() for v in held):
            with suppress(CorruptRecord):
                record = from_bytes(body)
                if isinstance(record, Events) and record.batch.type == type:
                    found.append(record.batch)
        return found

    def goes_on(self) -> None:
        """A valid event after it is counted and seen; nobody ended."""
        self.depth += 1
        sent = [event("obs", f"on-{self.depth}-{d}", now(), d, property="waterlog.depth", value=self.depth)
                for d in ("D-e1", "D-w1")]  # fmt: skip
        assert send(self.many, sent)[0] == 200
        wait_for(self.many, "waterlog_depth_max", self.depth)
        assert [m.name for m in self.many.members if not m.alive] == []


@pytest.fixture(scope="module")
def city(kafka: Kafka, mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    home, prefix = tmp_path_factory.mktemp("doors"), f"t{secrets.token_hex(4)}"
    way = mosquitto.plain
    more: dict[str, Any] = {
        "bridge": {
            "group": f"{prefix}-bridge", "kafka": [{"topics": [f"{prefix}-foreign"]}],
            "mqtt": [{"filters": [f"{prefix}/#"]}],
        },
        "mqtt": {"host": way.host, "port": way.port, "client_id": f"{prefix}-bridge"},
    }  # fmt: skip
    many = OnKafka(home, kafka.plain, prefix, more=more)
    try:
        many.create()
        foreign = Topic(f"{prefix}-foreign", 1, config={"max.message.bytes": str(8 << 20)})
        asyncio.run(create_topics(many.cluster, [foreign]))
        many.start()
        made = City(many, mosquitto)
        made.goes_on()
        yield made
    finally:
        many.close()


def later_version(batch: EventBatch) -> bytes:
    """A record whose batch has a packing of tomorrow, with a checksum that fits."""
    body = bytes([9]) + pack(batch)[1:]
    good = to_bytes(Events(batch))
    head = Row(1, 1, 1, int(batch.time[0]), int(batch.time[0]), body)
    return struct.pack("<4sBBiqq8s", good[:4], *head[:5], head.checksum(0)) + body


def poison() -> list[bytes]:
    """Records that are none: no bytes, noise, another version, damaged, of a later packing."""
    good = to_bytes(Events(reading("poison")))
    flipped = bytearray(good)
    flipped[-3] ^= 1
    return [b"", b"\x00" * 50, b"CTW9" + good[4:], bytes(flipped), good[:60], later_version(reading("tomorrow"))]


@pytest.mark.parametrize("topic", ["events", "desk"])
def test_poison_on_events_and_desk(city: City, topic: str) -> None:
    found = poison()
    city.put(topic, *found, b"\xff" * GIANT)
    told = city.refused(damaged=len(found) + 1)
    assert {t["door"] for t in told} == {"worker"}
    assert {t["place"].rsplit("/", 2)[0] for t in told} == {f"{city.many.prefix}.{topic}/0"}
    city.goes_on()


def test_a_schema_of_tomorrow(city: City) -> None:
    extra: dict[str, Any] = {**reading("x").fields, "colour": Coded.of(["red"])}
    as_text: dict[str, Any] = {**reading("x").fields, "value": Strings.of(["20"])}
    city.put("events", *(to_bytes(Events(b)) for b in (
        reading("t1", kind="obs.tomorrow"), reading("t2", **extra), reading("t3", **as_text),
        reading("t4", property=Coded.of(["waterlog.depth"])))))  # fmt: skip
    city.refused(unknown_type=1, unknown_field=1, wrong_type=1, missing=1)
    city.goes_on()


def test_what_lies_in_the_wrong_topic(city: City) -> None:
    case = EventBatch.of("case.closed", [now()], ["c1"], subject=["K1"], fields={})
    device = EventBatch.of("device.removed", [now()], ["d1"], subject=["D-e1"], fields={})
    right = _shard("D-e1")
    city.put("events", to_bytes(Events(reading("m1"))), to_bytes(Events(case)), to_bytes(Events(device)),
             to_bytes(Definition("x", {})), to_bytes(Telling(1, now())), partition=(right + 1) % 4)  # fmt: skip
    city.put("desk", to_bytes(Events(reading("m2"))))
    city.refused(misplaced=6)
    city.put("events", to_bytes(Events(reading("m3", at=now() - 5000))), partition=right)
    city.goes_on()


def _shard(code: str) -> int:
    return int(shards_of(Strings.of([code]), 4)[0])


def test_a_clock_that_is_a_year_ahead(city: City) -> None:
    assert (
        send(city.many, [event("obs", "f1", now() + YEAR, "D-e1", property="waterlog.depth", value=99)])[1]["rejected"][
            0
        ]["reason"]
        == "future"
    )
    city.put("events", to_bytes(Events(reading("f2", at=now() + YEAR))), partition=_shard("D-e1"))
    doors = {t["door"] for t in city.refused(future=2)}
    assert doors == {"http", "worker"}
    city.goes_on()


def test_poison_in_the_registers_is_passed_over_by_all(city: City) -> None:
    removed = EventBatch.of("device.removed", [now()], ["r1"], source="hand", subject=["nobody"], fields={})
    found = poison()
    city.put("registers", *found, b"\xff" * GIANT, to_bytes(Events(reading("r2"))), to_bytes(Events(removed)),
             to_bytes(Marker(3, now())), to_bytes(Definition("plugin/x.py", {"none": 1})))  # fmt: skip
    city.refused(damaged=len(found) + 1, misplaced=1, unknown_subject=1)
    for member in (city.many.workers[0], city.many.clock, city.many.gateway):
        until(lambda m=member: m.said(0).count(".registers at ") == len(found) + 1, 30, member.name)  # type: ignore[misc]
    fields: dict[str, Any] = {"device_kind": "waterlog", "period_s": 3600, "properties": "waterlog.depth"}
    sent = event("device.registered", "r3", now(), "D-new", gridid="420101002001001", in_service=True, **fields)
    assert send(city.many, [sent])[0] == 200
    until(lambda: [e["code"] for e in city.many.city.entities("device") if e["code"] == "D-new"], 30, "D-new is there")
    city.goes_on()


def test_poison_among_the_parts(city: City) -> None:
    k = int(city.many.city.get("ops")["k"])
    noise = [piece for shard in (0, 1, -1, 99) for piece in split(PART, shard, k + 2, b"noise")]
    far = split(PART, 0, 10**15, b"far")
    alive = split(5, 0, 1, b"[]")
    city.put("parts", *poison(), *noise, *far, *alive, b"\xff" * GIANT)
    until(lambda: city.many.clock.said(0).count("is passed over") >= 2, 30, "the clock says so")
    city.goes_on()


def test_poison_on_the_board(city: City) -> None:
    before = value(city.many, "waterlog_depth_max", EAST)
    noise = [piece for sort in (FRAME, 3, 4, 6) for piece in split(sort, 0, 10**9, b"noise")]
    city.put("board", *poison(), *noise, b"\xff" * GIANT)
    until(lambda: city.many.gateway.said(0).count("passed over") >= 3, 30, "the gateway says so")
    assert value(city.many, "waterlog_depth_max", EAST) == before
    city.goes_on()
    # whoever comes later reads the same records
    city.many.gateway.stop()
    city.many.clock.kill()
    city.many.clock.start()
    city.many.gateway.start()
    city.goes_on()


def test_garbage_on_foreign_topics_and_mqtt(city: City) -> None:
    good = json.dumps(event("obs", "k1", now(), "D-w2", property="waterlog.depth", value=700)).encode()
    bad = [b"", b"\xff\xfe", b"[1]", b"{", b"9" * GIANT, good.replace(b'"obs"', b'"obs.tomorrow"')]
    asyncio.run(produce(city.many.cluster, f"{city.many.prefix}-foreign", [*bad, good]))
    wait_for(city.many, "waterlog_depth_max", 700)
    asyncio.run(publish(city, [*bad, good.replace(b'"k1"', b'"k2"').replace(b"700", b"800")]))
    wait_for(city.many, "waterlog_depth_max", 800)
    city.refused(not_json=4, not_utf8=2, not_object=2, too_large=2, unknown_type=2)
    city.depth = 900
    city.goes_on()


async def publish(city: City, payloads: list[bytes]) -> None:
    """Send messages with QoS 1."""
    async with aiomqtt.Client(**city.mosquitto.plain.aiomqtt()) as client:
        for payload in payloads:
            await client.publish(f"{city.many.prefix}/gauge", payload, qos=1)


def test_the_doors_for_other_systems_are_at_a_gateway(city: City) -> None:
    """A report, a warning of others and an alarm come in; what is refused is a dead letter, but for a report."""
    form = {"service_code": "facility.manhole", "address_string": "somewhere", "description": "open", "phone": "138"}
    with httpx.Client(base_url=city.many.city.url, timeout=60) as gateway:
        codes = []
        for _ in range(2):
            answer = gateway.post("/open311/v2/requests.json", data=form)
            assert answer.status_code == 201, answer.text
            codes.append(answer.json()[0]["service_request_id"])
        assert codes[0] == codes[1], "the same report is one"
        ask = f"/open311/v2/requests/{codes[0]}.json"
        until(lambda: "status" in gateway.get(ask).json()[0], 30, "the report is a case")
        found = gateway.get(ask).json()[0]
        assert (found["status"], found["service_code"]) == ("open", "facility.manhole")
        assert gateway.post("/open311/v2/requests.json", data={**form, "service_code": "no"}).status_code == 404
        warning = document(sent=local())
        told = gateway.post("/api/v1/cap", content=warning)
        assert told.status_code == 200, told.text
        assert told.json()["duplicate"] is False
        assert gateway.post("/api/v1/cap", content=warning).json()["duplicate"] is True
        received = gateway.get("/api/v1/cap/received").json()["items"]
        assert [i["identifier"] for i in received] == [told.json()["identifier"]]
        alarm = notification(AlarmTime=local()[:19])
        assert b"<Result>OK" in gateway.post("/api/v1/gb28181/alarm", content=alarm).content
        assert gateway.post("/api/v1/cap", content=b"<alert/>").status_code == 400
        assert b"ERROR" in gateway.post("/api/v1/gb28181/alarm", content=notification(SN="-1")).content
    letters = city.refused(bad_version=1, wrong_type=1)
    assert {f["door"] for f in letters} == {"cap", "gb28181"}
    assert [b.subject.tolist() for b in city.events("device.alarm")] == [["42010600001320000007"]]
    city.goes_on()


def test_all_of_it_is_counted(city: City) -> None:
    told = city.many.city.get("ops")["deadletters"]["by_reason"]
    shards = {
        r: n for r, n in city.letters.items() if r in ("damaged", "misplaced", "unknown_field", "unknown_subject")
    }
    assert {r: told.get(r) for r in shards} == shards
    assert value(city.many, "waterlog_depth_max", CITY)[0] == city.depth


def test_a_topic_that_is_not_there(city: City, tmp_path: Path) -> None:
    stray = OnKafka(tmp_path, Door(city.many.bootstrap), f"t{secrets.token_hex(4)}")
    try:
        stray.bridge.launch()
        until(lambda: not stray.bridge.alive, 60, "the bridge ends")
        assert stray.bridge.code == 1
        assert "run `citytwin topics create`" in stray.bridge.said()
    finally:
        stray.close()
