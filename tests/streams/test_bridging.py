"""The pure part of the bridge: payloads to events as the codec reads each alone, events to batches of their shard."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.events import VOCABULARY
from citytwin.models.shards import route
from citytwin.streams.bridging import Lines, Outgoing, halves, letters, refuse_future, rows, spread
from citytwin.streams.codec import Codec
from citytwin.streams.decoded import MAX_EVENTS
from citytwin.streams.mapping import Mapping, MappingError
from citytwin.streams.pack import pack

CODEC = Codec(VOCABULARY(), b"key")
LINES = Lines.of_codec(CODEC)
NOW = 1_790_000_000_000


def event(number: int, **told: Any) -> dict[str, Any]:
    """An observation; None takes an attribute away."""
    data = {"property": "air.pm25", "value": number % 500}
    whole = {
        "specversion": "1.0", "type": "obs", "source": f"s{number % 3}", "id": f"e{number}",
        "subject": f"42010600100{number % 7}001", "time": "2026-09-21T14:13:19Z", "data": data, **told,
    }  # fmt: skip
    return {k: v for k, v in whole.items() if v is not None}


def raw(number: int, **told: Any) -> bytes:
    """As JSON."""
    return json.dumps(event(number, **told)).encode()


def place(i: int) -> str:
    """Where a payload came from."""
    return f"t/0/{i}"


PAYLOADS = st.sampled_from(
    [
        raw(1), raw(2), raw(3, type="case.closed", data={}), raw(4, id=None), raw(5, id=None, type="what"),
        raw(6, id=""), raw(7, time="soon"),
        json.dumps(event(8), indent=2).encode(), json.dumps(event(9), indent=2).encode()[:-3],
        b"", b"  ", None, b"{}", b"[]", b"nonsense", b"\xff", b"{\n}", b'{"a":"x\ny"}', raw(10) + b"\n" + raw(11),
        raw(12, data={"property": "air.pm25", "value": 1, "note": "x" * 300_000}), b" " + raw(13) + b"\r",
    ]
)  # fmt: skip


def alone(payload: bytes | None, i: int) -> tuple[list[str], list[str]]:
    """Ids that one payload gives and why it is refused, by the codec alone; the place stands in for an absent id."""
    text = (payload or b"").strip()
    if not text:
        return [], ["not_json"]
    done = CODEC.decode(text, "application/json")
    if done.rejections and (done.rejections[0].reason, done.rejections[0].field) == ("missing", "id"):
        told = json.loads(text)
        if "id" not in told:
            done = CODEC.decode(json.dumps({"id": place(i), **told}).encode(), "application/json")
    return [x for b in done.batches for x in b.id.tolist()], [r.reason for r in done.rejections]


@settings(deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=30))
def test_together_is_as_each_alone(payloads: list[bytes | None]) -> None:
    done = LINES.read(payloads, place)
    assert done.total == len(payloads) == done.taken + len(done.rejections)
    found: dict[int, tuple[list[str], list[str]]] = {i: ([], []) for i in range(len(payloads))}
    for batch, index in zip(done.batches, done.index, strict=True):
        for i, name in zip(index.tolist(), batch.id.tolist(), strict=True):
            found[i][0].append(name)
    for r in done.rejections:
        found[r.index][1].append(r.reason)
    assert found == {i: alone(p, i) for i, p in enumerate(payloads)}


def test_many_payloads_are_read_in_parts() -> None:
    n = 2 * MAX_EVENTS + 5
    payloads = [raw(i, id=None if i == MAX_EVENTS + 1 else f"e{i}") for i in range(n)]
    payloads[-1] = b"bad"
    done = LINES.read(payloads, place)
    (batch,), (index,) = done.batches, done.index
    assert index.tolist() == list(range(n - 1))
    assert batch.id[MAX_EVENTS + 1] == place(MAX_EVENTS + 1)
    assert [(r.index, r.reason) for r in done.rejections] == [(n - 1, "not_json")]
    assert done.total == n


ROWS = """
format = "ndjson"
[[events]]
type = "obs"
source = "air"
subject = "{station}"
time = { column = "t", format = "ms" }
fields = { property = "air.pm25", value = { column = "pm" } }
"""


def test_rows_of_a_mapping_without_ids_have_their_place() -> None:
    mapping = Mapping.load(ROWS, CODEC.rules)
    assert mapping.placed
    payloads = [json.dumps({"station": f"S{i}", "t": NOW, "pm": i}).encode() for i in range(10)]
    payloads[4] = b'{"station": "S4"}'
    done = Lines.of_mapping(mapping, CODEC.rules).read(payloads, place)
    assert [i for b in done.batches for i in b.id.tolist()] == [place(i) for i in range(10) if i != 4]
    assert [(r.index, r.reason) for r in done.rejections] == [(4, "missing")]


def test_several_events_of_a_row_have_ids_of_their_own() -> None:
    two = ROWS + ROWS.split("\n", 2)[2].replace("air.pm25", "air.pm10")
    done = Lines.of_mapping(Mapping.load(two, CODEC.rules), CODEC.rules).read([b'{"station":"S","t":1,"pm":2}'], place)
    assert sorted(i for b in done.batches for i in b.id.tolist()) == ["t/0/0/0", "t/0/0/1"]
    each = ROWS.replace('"air.pm25"', '"air.{p}"') + '[[events.each]]\np = "pm25"\n[[events.each]]\np = "pm10"\n'
    done = Lines.of_mapping(Mapping.load(each, CODEC.rules), CODEC.rules).read([b'{"station":"S","t":1,"pm":2}'], place)
    assert sorted(i for b in done.batches for i in b.id.tolist()) == ["t/0/0/0.0", "t/0/0/0.1"]


def test_a_mapping_that_names_ids_keeps_them() -> None:
    mapping = Mapping.load(ROWS.replace('source = "air"', 'source = "air"\nid = "{station}-{t}"'), CODEC.rules)
    assert not mapping.placed
    done = Lines.of_mapping(mapping, CODEC.rules).read([b'{"station":"S","t":1,"pm":2}'], place)
    assert done.batches[0].id.tolist() == ["S-1"]


def test_a_mapping_of_csv_is_refused() -> None:
    with pytest.raises(MappingError, match="ndjson"):
        Lines.of_mapping(Mapping.load(ROWS.replace("ndjson", "csv"), CODEC.rules), CODEC.rules)


def test_what_lies_ahead_is_refused_by_its_type() -> None:
    limit = VOCABULARY().types["obs"].future_ms
    payloads = [raw(0), raw(1, time="2026-09-21T14:15:00Z"), raw(2)]
    done = LINES.read(payloads, place)
    now = int(done.batches[0].time[1]) - limit
    assert refuse_future(done, CODEC.rules, now, lambda i: payloads[i]).rejections == []
    left = refuse_future(done, CODEC.rules, now - 1, lambda i: payloads[i])
    assert [i.tolist() for i in left.index] == [[0, 2]]
    (told,) = left.rejections
    assert (told.index, told.reason, told.field, told.id, told.source) == (1, "future", "time", "e1", "s1")
    assert told.head.startswith(b'{"specversion"')
    none = refuse_future(done, CODEC.rules, 0, lambda i: payloads[i])
    assert (none.batches, len(none.rejections)) == ([], 3)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.lists(st.integers(0, 400), min_size=1, max_size=120))
def test_spreading_keeps_every_event_and_their_order(shards: int, most: int, numbers: list[int]) -> None:
    vocabulary = VOCABULARY()
    done = LINES.read([raw(n, id=f"{i}") for i, n in enumerate(numbers)], place)
    cases = LINES.read([raw(n, type="case.closed", data={}) for n in numbers[:3]], place).batches
    removed = LINES.read([raw(n, type="device.removed", data={}) for n in numbers[:3]], place).batches
    found = list(spread([*done.batches, *cases, *removed], vocabulary, shards, most))
    assert all(1 <= len(out.batch) <= most for out in found)
    assert {(o.topic, o.partition) for o in found if o.topic != "events"} == {("desk", 0), ("registers", 0)}
    seen: list[int] = []
    for shard in range(shards):
        mine = [o.batch for o in found if o.topic == "events" and o.partition == shard]
        assert all((route(b, vocabulary.types["obs"], shards) == shard).all() for b in mine)
        ids = [int(i) for b in mine for i in b.id.tolist()]
        assert ids == sorted(ids)
        seen += ids
    assert sorted(seen) == list(range(len(numbers)))


def test_views_are_as_copies() -> None:
    (batch,) = LINES.read([raw(i) for i in range(20)], place).batches
    whole, cut = batch.take(np.arange(5, 12)), rows(batch, 5, 12)
    assert pack(whole) == pack(cut)
    first, second = halves(Outgoing("events", 0, cut))
    assert first.batch.id.tolist() + second.batch.id.tolist() == whole.id.tolist()
    one = Outgoing("events", 0, rows(batch, 0, 1))
    assert halves(one) == [one]


def test_a_batch_of_another_layout_is_not_mixed_in() -> None:
    (batch,) = LINES.read([raw(1)], place).batches
    fields = {n: c for n, c in batch.fields.items() if n != "unit"}
    other = EventBatch.of("obs", [1], ["x"], "s", ["4201"], fields=fields)
    assert len(list(spread([batch, other], VOCABULARY(), 1, 10))) == 2


def test_letters_tell_where_and_why() -> None:
    done = LINES.read([raw(1, type="what"), b"\xff"], place)
    first, second = (json.loads(x) for x in letters(done.rejections, "kafka x", place, NOW))
    assert (first["reason"], first["id"], first["place"], first["door"]) == ("unknown_type", "e1", "t/0/0", "kafka x")
    assert (second["reason"], second["seen_ms"], second["head"]) == ("not_utf8", NOW, "\ufffd")


def test_a_batch_without_rows_goes_nowhere() -> None:
    empty = EventBatch.of("obs", [], Strings.of([]), Coded.of([]))
    assert list(spread([empty], VOCABULARY(), 4, 10)) == []
