"""Mutated events: each is taken by the law or refused with a reason, and its neighbours never notice."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import numpy as np

from citytwin.models.batch import REASONS, EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.events import VOCABULARY
from citytwin.streams.cloudevents import CloudEvents
from citytwin.streams.codec import BadBody, Codec
from citytwin.streams.decoded import Decoded

BATCH, LINES, ONE = "application/cloudevents-batch+json", "application/x-ndjson", "application/cloudevents+json"
CODEC = Codec(VOCABULARY(), b"secret", (113.6, 29.9, 115.1, 31.4))
EVENTS = 10_000 if os.environ.get("CITYTWIN_TEST_PROVE") == "1" else 2_000
EACH = 10  # mutated events of one body, between as many good ones


def good(i: int, rng: random.Random) -> dict[str, Any]:
    head = {
        "specversion": "1.0", "id": f"e{i}", "source": "/gw/1", "subject": f"d{i % 7}", "lon": 114.3, "lat": 30.5,
        "time": f"2026-01-02T03:04:{i % 60:02d}.125+08:00", "type": "obs",
    }  # fmt: skip
    kind = rng.randrange(3)
    if kind == 0:
        return {**head, "data": {"property": "river.level", "value": 20.125, "unit": "m", "quality": "good"}}
    if kind == 1:
        return {**head, "type": "case.filed", "data": {"due_at": "2026-01-03T00:00:00Z", "component": "井盖"}}
    return {**head, "type": "call.answered", "data": {"caller": "13800001234", "wait_s": 12.5}}


_VALUES = [
    None, True, False, 0, -1, 1e308, -1e308, 10**40, 0.1, "", "x", "\u0000", "é" * 400, [], {}, [[1]], {"a": {"b": 1}},
    float("nan"), float("inf"), float("-inf"), "2999-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "13912345678",
]  # fmt: skip


def mutated(event: dict[str, Any], rng: random.Random, long: bool) -> bytes:
    """The event with one to three faults."""
    event = json.loads(json.dumps(event))
    for _ in range(rng.randint(1, 2)):
        target = event["data"] if rng.random() < 0.4 and isinstance(event.get("data"), dict) else event
        name = rng.choice([*target, "extra"])
        act = rng.randrange(6)
        if act == 0:
            target.pop(name, None)
        elif act in (1, 2):
            target[name] = rng.choice(_VALUES)
        elif act == 3:
            event["lon"], event["lat"] = event.get("lat"), event.get("lon")
        elif act == 4:
            event.update(rng.choice([{"corrects": "e1"}, {"revision": 1}, {"retracted": True}, {"crs": "gcj02"}]))
    text = json.dumps(event, ensure_ascii=rng.random() < 0.5)
    act = rng.randrange(9)
    if act == 0:
        text = text.replace('"id"', '"id": "twice", "id"', 1)
    elif act == 1:
        text = text.replace("114.3", "1" * rng.choice([5, 30, 400]), 1)
    elif act == 2:
        text = "[" * rng.choice([1, 20, 100_000 if long else 200]) + text
    elif act == 3 and long:
        text = text.replace("/gw/1", "x" * 10_000_000, 1)
    elif act == 4:
        text = f"[{text}]"
    raw = text.encode("utf-8", "surrogatepass")
    return raw if rng.random() < 0.6 else _bytes(raw, rng)


def _bytes(raw: bytes, rng: random.Random) -> bytes:
    """The text cut off, or with some bytes changed."""
    if rng.random() < 0.3:
        return raw[: rng.randrange(1, len(raw))]
    bad = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(bad))
        bad[at : at + rng.randrange(2)] = rng.choice(
            [b"", b"\xff", b"\\", b'"', b"{", b"}", b",", b"\x00", b"\xe6", b"7"]
        )
    return bytes(bad)


def rows_of(decoded: Decoded) -> dict[int, tuple[Any, ...]]:
    """Every event taken, by position, as comparable values."""
    rows: dict[int, tuple[Any, ...]] = {}
    for batch, index in zip(decoded.batches, decoded.index, strict=True):
        columns = [_listed(getattr(batch, n)) for n in EventBatch.__slots__ if n not in ("type", "fields")]
        columns += [_listed(c) for c in batch.fields.values()]
        for i, *values in zip(index.tolist(), *columns, strict=True):
            assert i not in rows
            rows[i] = (batch.type, *values)
    return rows


def _listed(column: Any) -> list[Any]:
    if isinstance(column, Strings):
        return [column.bytes_at(i) for i in range(len(column))]
    return column.tolist() if isinstance(column, Coded) else [repr(v) for v in column.tolist()]


def check(done: Decoded, texts: list[bytes]) -> None:
    """Every event is accounted for once, with a reason that is written down."""
    taken = rows_of(done)
    refused = {r.index: r for r in done.rejections}
    assert len(refused) == len(done.rejections)
    assert not taken.keys() & refused.keys()
    assert taken.keys() | refused.keys() == {i for i, t in enumerate(texts) if t.strip(b" \t\r")}
    assert done.total == len(taken) + len(refused)
    for told in refused.values():
        assert told.reason in REASONS
        assert told.detail
        assert len(told.head) <= 512
        assert b"13800001234" not in told.head
        assert b"13912345678" not in told.head


def test_mutated_lines() -> None:
    rng, reasons, taken = random.Random(2026), Counter[str](), 0
    for n in range(EVENTS // EACH):
        texts = [json.dumps(good(i, rng)).encode() for i in range(2 * EACH)]
        clean = rows_of(CODEC.decode(b"\n".join(texts), LINES))
        for i in range(1, 2 * EACH, 2):
            bad = mutated(good(i, rng), rng, n % 50 == 0 and i == 1)
            texts[i] = bad.replace(b"\n", b" ")
        done = CODEC.decode(b"\n".join(texts), LINES)
        check(done, texts)
        rows = rows_of(done)
        assert {i: rows[i] for i in range(0, 2 * EACH, 2)} == {i: clean[i] for i in range(0, 2 * EACH, 2)}
        law = CloudEvents(CODEC.rules)._slowly([(i, t.strip(b" \t\r")) for i, t in enumerate(texts) if t.strip()], 0)
        assert rows == rows_of(law)
        assert [(r.index, r.reason, r.field) for r in done.rejections] == [
            (r.index, r.reason, r.field) for r in law.rejections
        ]
        reasons.update(r.reason for r in done.rejections)
        taken += len(rows) - EACH
    assert taken > EVENTS // 20
    assert {
        "not_json", "not_utf8", "not_object", "too_large", "missing", "wrong_type", "unknown_type", "unknown_field",
        "bad_version", "bad_time", "bad_number", "bad_code", "out_of_range", "swapped_lonlat", "outside_city",
        "unknown_property", "bad_correction",
    } <= set(reasons)  # fmt: skip


def test_mutated_elements_of_a_batch() -> None:
    rng, whole, refused = random.Random(7), 0, 0
    for _ in range(EVENTS // EACH):
        texts = [json.dumps(good(i, rng)).encode() for i in range(2 * EACH)]
        clean = rows_of(CODEC.decode(b"[" + b",".join(texts) + b"]", BATCH))
        for i in range(1, 2 * EACH, 2):
            texts[i] = mutated(good(i, rng), rng, False) if rng.random() < 0.2 else texts[i]
        try:
            done = CODEC.decode(b"[" + b",".join(texts) + b"]", BATCH)
        except BadBody:
            whole += 1
            continue
        assert {r.reason for r in done.rejections} <= set(REASONS)
        assert done.taken + len(done.rejections) == done.total
        if done.total == len(texts):
            rows = rows_of(done)
            assert all(rows.get(i) == clean[i] for i in range(0, 2 * EACH, 2))
        refused += len(done.rejections)
    assert whole > 5
    assert refused > 30


def test_mutated_single_events() -> None:
    rng, told = random.Random(11), 0
    for i in range(500):
        text = mutated(good(i, rng), rng, i == 0)
        done = CODEC.decode(text, ONE)
        assert done.taken + len(done.rejections) == 1
        told += len(done.rejections)
    assert told > 300


def test_random_bytes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        body = rng.integers(0, 256, rng.integers(1, 200), dtype=np.uint8).tobytes()
        for kind in (LINES, ONE):
            done = CODEC.decode(body, kind)
            assert done.taken == 0
            assert {r.reason for r in done.rejections} <= set(REASONS)
