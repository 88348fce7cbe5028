"""The bridge on a real Kafka: foreign records in, batches per shard out, nothing lost, everything bad told."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from citytwin.models.events import VOCABULARY
from citytwin.models.shards import route
from citytwin.sections import FromKafka
from citytwin.streams.brokers import Place, Refused, Topic
from citytwin.streams.kafka import committed
from tests.cluster.bridges import (
    NOW,
    SHARDS,
    batches,
    config,
    dead,
    event,
    ids,
    make_topics,
    produce,
    raw,
    running,
    until,
)
from tests.servers.kafka import Kafka

JSON = {"Content-Type": "application/cloudevents+json"}
LINES = {"Content-Type": "application/x-ndjson"}


def test_records_become_batches_of_their_shard(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix, kafka=[FromKafka([f"{prefix}-in"])])
        cluster = await make_topics(given, Topic(f"{prefix}-in", 2))
        await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(3000)], 0)
        await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(3000, 4500)], 1)
        async with running(given) as bridge:
            await until(lambda: bridge.outbox.counts.events == 4500, "all events are written")
        found = await batches(cluster, prefix)
        assert not found["desk"] + found["registers"]
        assert Counter(i for _, b in found["events"] for i in b.id.tolist()) == Counter(f"e{i}" for i in range(4500))
        kind = VOCABULARY().types["obs"]
        assert all((route(b, kind, SHARDS) == p).all() for p, b in found["events"])
        assert max(len(b) for _, b in found["events"]) <= 1000
        # the records of one partition stay in order within their shard
        for shard in range(SHARDS):
            numbers = [int(i[1:]) for p, b in found["events"] if p == shard for i in b.id.tolist()]
            first = [n for n in numbers if n < 3000]
            assert first == sorted(first)
        done = await committed(cluster, f"{prefix}-bridge")
        assert done == {Place(f"{prefix}-in", 0): 3000, Place(f"{prefix}-in", 1): 1500}

    asyncio.run(go())


def test_registers_and_cases_go_their_own_way(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix)
        cluster = await make_topics(given)
        removed = event(1, type="device.removed", subject="D1", data={})
        closed = event(2, type="case.closed", subject="C1", data={})
        async with running(given) as bridge, httpx.AsyncClient(base_url=f"http://127.0.0.1:{bridge.port}") as client:
            body = b"\n".join(map(raw, (removed, closed, event(3))))
            answer = await client.post("/ingest", content=body, headers=LINES)
        assert answer.status_code == 200, answer.text
        found = await batches(cluster, prefix)
        assert {n: [b.type for _, b in some] for n, some in found.items()} == {
            "events": ["obs"], "registers": ["device.removed"], "desk": ["case.closed"],
        }  # fmt: skip

    asyncio.run(go())


BAD: dict[str, tuple[bytes, str]] = {
    "poison": (b"\x00\xff\x80 no json", "not_utf8"),
    "empty": (b"", "not_json"),
    "two lines that are no JSON": (b'{"a":\n"b\nc"}', "not_json"),
    "an array": (b"[1,2]", "not_object"),
    "wrong topic": (raw(event(1, type="billing.invoice")), "unknown_type"),
    "giant": (raw(event(2, data={"property": "air.pm25", "value": 1, "note": "x" * 300_000})), "too_large"),
    "schema of tomorrow": (raw(event(3, data={"property": "air.pm25", "value": 1, "colour": "red"})), "unknown_field"),
    "version of tomorrow": (raw(event(4, specversion="2.0")), "bad_version"),
    "a year ahead": (raw(event(5, time="2027-12-01T00:00:00Z")), "future"),
}


def test_bad_records_are_told_and_the_stream_goes_on(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix, kafka=[FromKafka([f"{prefix}-in"])])
        cluster = await make_topics(given, Topic(f"{prefix}-in", 1))
        values = [raw(event(100)), *(v for v, _ in BAD.values()), raw(event(101))]
        await produce(cluster, f"{prefix}-in", values)
        async with running(given) as bridge:
            await until(lambda: bridge.outbox.counts.letters == len(BAD), "all dead letters are written")
            await until(lambda: bridge.outbox.counts.events == 2, "the good events are written")
        letters = await dead(cluster, prefix)
        assert {x["place"]: x["reason"] for x in letters} == {
            f"{prefix}-in/0/{i}": reason for i, (_, reason) in enumerate(BAD.values(), 1)
        }
        assert {x["door"] for x in letters} == {f"kafka {prefix}-in"}
        assert {x["seen_ms"] for x in letters} == {NOW}
        ahead = next(x for x in letters if x["reason"] == "future")
        assert (ahead["id"], ahead["source"], ahead["field"]) == ("e5", "test", "time")
        assert "2027-12-01" in ahead["head"]
        assert sorted(await ids(cluster, prefix)) == ["e100", "e101"]
        assert (await committed(cluster, f"{prefix}-bridge"))[Place(f"{prefix}-in", 0)] == len(values)

    asyncio.run(go())


def test_an_event_without_an_id_has_its_place_as_id(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    mapping = tmp_path / "air.toml"
    mapping.write_text("""
        format = "ndjson"
        [[events]]
        type = "obs"
        source = "air"
        subject = "{station}"
        time = { column = "t", format = "ms" }
        fields = { property = "air.pm25", value = { column = "pm" } }
    """)

    async def go() -> None:
        sources = [FromKafka([f"{prefix}-a"]), FromKafka([f"{prefix}-b"], mapping=str(mapping), group=f"{prefix}-b")]
        given = config(kafka.plain.bootstrap, prefix, kafka=sources)
        cluster = await make_topics(given, Topic(f"{prefix}-a", 1), Topic(f"{prefix}-b", 1))
        await produce(cluster, f"{prefix}-a", [raw(event(1)), raw(event(2, id=None)), raw(event(3))])
        rows = [raw({"station": f"S{i}", "t": NOW, "pm": i}) for i in range(20)]
        await produce(cluster, f"{prefix}-b", rows)
        async with running(given) as bridge:
            await until(lambda: bridge.outbox.counts.events == 23, "all events are written")
        found = sorted(await ids(cluster, prefix))
        assert found == sorted(["e1", "e3", f"{prefix}-a/0/1", *(f"{prefix}-b/0/{i}" for i in range(20))])

    asyncio.run(go())


def test_http_answers_once_kafka_has_it(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix)
        cluster = await make_topics(given)
        async with running(given) as bridge, httpx.AsyncClient(base_url=f"http://127.0.0.1:{bridge.port}") as client:
            body = b"\n".join(
                [raw(event(1)), raw(event(2, type="nonsense")), raw(event(3, time="2027-12-01T00:00:00Z"))]
            )
            answer = await client.post("/ingest", content=body, headers=LINES)
            assert await ids(cluster, prefix) == ["e1"]
            one = await client.post("/ingest", content=raw(event(4, type="nonsense")), headers=JSON)
            odd = await client.post("/ingest", content=b"x", headers={"Content-Type": "text/plain"})
            assert (await client.get("/readyz")).json()["ready"] is True
            assert b"citytwin_bridge_events_total 1.0" in (await client.get("/metrics")).content
        assert answer.status_code == 200
        assert answer.json()["accepted"] == 1
        assert [(r["index"], r["reason"]) for r in answer.json()["rejected"]] == [(1, "unknown_type"), (2, "future")]
        assert (one.status_code, odd.status_code) == (400, 415)
        assert Counter(x["reason"] for x in await dead(cluster, prefix)) == {"unknown_type": 2, "future": 1}

    asyncio.run(go())


def test_too_much_at_once_is_told_to_come_again(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix, inflight_mb=1, linger_ms=500)
        cluster = await make_topics(given)
        bodies = [b"\n".join(raw(event(n * 2000 + i)) for i in range(2000)) for n in range(8)]
        async with running(given) as bridge:
            address = f"http://127.0.0.1:{bridge.port}/ingest"
            async with httpx.AsyncClient(timeout=30) as client:
                answers = await asyncio.gather(*(client.post(address, content=b, headers=LINES) for b in bodies))
        codes = Counter(a.status_code for a in answers)
        assert codes[200] >= 1
        assert codes[429] >= 1
        assert codes.total() == codes[200] + codes[429]
        assert all("retry-after" in a.headers for a in answers if a.status_code == 429)
        assert len(await ids(cluster, prefix)) == 2000 * codes[200]

    asyncio.run(go())


def test_other_topics_than_the_settings_say_are_refused(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix)
        with pytest.raises(Refused, match="topics create"):
            async with running(given):
                pass
        await make_topics(given)
        given.kafka.shards = SHARDS + 1
        with pytest.raises(Refused, match=f"kafka.shards = {SHARDS}"):
            async with running(given):
                pass

    asyncio.run(go())
