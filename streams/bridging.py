"""What a bridge does to events, without any IO: single payloads to events, events to records of the city's topics."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.shards import DESK, route
from citytwin.models.vocabulary import Vocabulary
from citytwin.streams.cloudevents import is_utf8
from citytwin.streams.codec import Codec
from citytwin.streams.decoded import MAX_EVENT_BYTES, MAX_EVENTS, Decoded, concat, merge, pick
from citytwin.streams.mapping import PLACE, Mapping, MappingError
from citytwin.streams.rules import Refusal, Rules

#: Bytes of one text of lines; a payload beyond the limit of an event is refused before.
_MOST_BYTES = 8 << 20
#: No JSON text holds this byte, so a line that does is refused as none.
_NO_JSON = b"\x01"

Payloads = Sequence[bytes | None]
PlaceOf = Callable[[int], str]


class Lines:
    """Single payloads, each one JSON event, read together as lines; CloudEvents, or rows of a mapping."""

    def __init__(self, rules: Rules, decode: Callable[[bytes], Decoded], *, placed: bool, key: str) -> None:
        self.rules, self._decode, self._placed, self._key = rules, decode, placed, key

    @classmethod
    def of_codec(cls, codec: Codec) -> Lines:
        """CloudEvents; one without an id gets its place as id."""
        return cls(codec.rules, lambda body: codec.decode(body, "application/x-ndjson"), placed=False, key="id")

    @classmethod
    def of_mapping(cls, mapping: Mapping, rules: Rules) -> Lines:
        """Rows of a mapping. Raises MappingError for one of CSV."""
        if mapping.document.format != "ndjson":
            raise MappingError('a bridge reads one JSON event a record: the mapping must have format = "ndjson"')
        return cls(rules, mapping.decode, placed=mapping.placed, key=PLACE)

    def read(self, payloads: Payloads, place: PlaceOf) -> Decoded:
        """Events of the payloads; positions are their indices. `place`: where each came from, its id if it has none."""
        parts = [self._chunk(payloads, a, b, place) for a, b in _chunks(payloads)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _chunk(self, payloads: Payloads, first: int, stop: int, place: PlaceOf) -> Decoded:
        mine = payloads[first:stop]
        if not self._placed and (plain := _plain(mine)) is not None:
            done = self._decode(plain)
            if done.total == len(mine):
                return self._named(_moved(done, first), payloads, place)
        return self._careful(payloads, range(first, stop), place, self._placed)

    def _careful(self, payloads: Payloads, rows: Sequence[int], place: PlaceOf, placed: bool) -> Decoded:
        """Each payload made one line first, or refused for what no line can be."""
        refused: list[Rejection] = []
        lines: list[bytes] = []
        index: list[int] = []
        for i in rows:
            raw = payloads[i]
            try:
                line = _line(raw)
            except Refusal as why:
                refused.append(self.rules.rejection(why, i, raw or b""))
                continue
            index.append(i)
            lines.append(self._with_place(line, place(i)) if placed else line)
        done = _moved_to(self._decode(b"\n".join(lines)), np.array(index, np.int64))
        done.rejections += refused
        done.total += len(refused)
        return done if placed else self._named(done, payloads, place)

    def _named(self, done: Decoded, payloads: Payloads, place: PlaceOf) -> Decoded:
        """Read those again that were refused for want of an id, with their place as id."""
        if self._key == PLACE or not any(_nameless(r) for r in done.rejections):
            return done
        nameless = {r.index: r for r in done.rejections if _nameless(r)}
        again = self._careful(payloads, sorted(nameless), place, True)
        # an id that is there and null is no absent one: then the first answer stands
        again.rejections = [nameless[r.index] if r.reason == "not_json" else r for r in again.rejections]
        done.rejections = [r for r in done.rejections if not _nameless(r)]
        done.total -= len(nameless)
        return _joined([done, again])

    def _with_place(self, line: bytes, place: str) -> bytes:
        if not line.startswith(b"{"):
            return line
        rest = line[1:].lstrip()
        comma = b"" if rest.startswith(b"}") else b","
        return b'{"' + self._key.encode() + b'":' + json.dumps(place).encode() + comma + rest


def _chunks(payloads: Payloads) -> Iterator[tuple[int, int]]:
    """Bounds of runs of payloads that one text may hold."""
    first = size = 0
    for i, raw in enumerate(payloads):
        length = min(len(raw or b""), MAX_EVENT_BYTES)
        if i > first and (i - first >= MAX_EVENTS or size + length > _MOST_BYTES):
            yield first, i
            first, size = i, 0
        size += length + 1
    yield first, len(payloads)


def _plain(payloads: Payloads) -> bytes | None:
    """All payloads as lines where that is sure to be right, None where each must be looked at."""
    if not payloads or None in payloads or max(map(len, payloads)) > MAX_EVENT_BYTES:  # type: ignore[arg-type]
        return None
    body = b"\n".join(payloads)  # type: ignore[arg-type]
    # one payload that is no UTF-8 would make all lines of a text slow
    return body if body.count(b"\n") == len(payloads) - 1 and is_utf8(body) else None


def _line(raw: bytes | None) -> bytes:
    """One payload as one line; raises Refusal."""
    if raw is None or not raw.strip():
        raise Refusal("not_json", "", "the record is empty")
    if len(raw) > MAX_EVENT_BYTES:
        raise Refusal("too_large", "", f"the event has {len(raw)} bytes, at most {MAX_EVENT_BYTES} are taken")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("not_utf8", "", f"byte {error.start} of the event is no UTF-8") from None
    line = raw.strip()
    if b"\n" not in line:
        return line
    try:
        return msgspec.json.format(line, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return line.replace(b"\n", _NO_JSON)


def _nameless(rejection: Rejection) -> bool:
    return rejection.reason == "missing" and rejection.field == "id"


def _moved(done: Decoded, by: int) -> Decoded:
    if by:
        done.index = [i + by for i in done.index]
        done.rejections = [_at(r, r.index + by) for r in done.rejections]
    return done


def _moved_to(done: Decoded, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Decoded:
    done.index = [index[i] for i in done.index]
    done.rejections = [_at(r, int(index[r.index])) for r in done.rejections]
    return done


def _at(r: Rejection, index: int) -> Rejection:
    return Rejection(index, r.reason, r.field, r.detail, r.head, r.source, r.id)


def _joined(parts: Sequence[Decoded]) -> Decoded:
    pairs = [(b, i) for d in parts for b, i in zip(d.batches, d.index, strict=True)]
    return merge(pairs, [r for d in parts for r in d.rejections], sum(d.total for d in parts))


def refuse_future(done: Decoded, rules: Rules, now: int, payload: Callable[[int], bytes]) -> Decoded:
    """Without the events whose time is further ahead of `now` (ms UTC) than their type allows, which are refused."""
    kept = Decoded(rejections=list(done.rejections), total=done.total)
    for batch, index in zip(done.batches, done.index, strict=True):
        most = rules.vocabulary.types[batch.type].future_ms
        ahead = batch.time > now + most
        for row in np.flatnonzero(ahead).tolist():
            why = Refusal("future", "time", f"the time is more than {most // 1000} s ahead of the bridge's clock")
            at = int(index[row])
            kept.rejections.append(rules.rejection(why, at, payload(at), batch.source[row], batch.id[row]))
        if ahead.all():
            continue
        some = bool(ahead.any())
        kept.batches.append(pick(batch, ~ahead) if some else batch)
        kept.index.append(index[~ahead] if some else index)
    kept.rejections.sort(key=lambda r: r.index)
    return kept


class Outgoing(NamedTuple):
    """Events that go together: `topic` by its last name (events, registers, desk), and its partition."""

    topic: str
    partition: int
    batch: EventBatch


def spread(batches: Iterable[EventBatch], vocabulary: Vocabulary, shards: int, most: int) -> Iterator[Outgoing]:
    """Batches of at most `most` events for each shard, register and desk; what came first stays first."""
    groups: dict[tuple[str, tuple[str, ...]], list[EventBatch]] = {}
    for batch in batches:
        if len(batch):
            groups.setdefault((batch.type, tuple(batch.fields)), []).append(batch)
    for (name, _), group in groups.items():
        kind, whole = vocabulary.types[name], concat(group)
        if kind.register is not None:
            yield from _cut("registers", 0, whole, 0, len(whole), most)
            continue
        shard = route(whole, kind, shards)
        order = np.argsort(shard, kind="stable")
        sorted_, shard = whole.take(order), shard[order]
        edges = np.flatnonzero(np.diff(shard, prepend=shard[0] - 1, append=shard[-1] + 1)).tolist()
        for a, b in itertools.pairwise(edges):
            number = int(shard[a])
            topic, partition = ("desk", 0) if number == DESK else ("events", number)
            yield from _cut(topic, partition, sorted_, a, b, most)


def _cut(topic: str, partition: int, batch: EventBatch, first: int, stop: int, most: int) -> Iterator[Outgoing]:
    for a in range(first, stop, most):
        yield Outgoing(topic, partition, rows(batch, a, min(a + most, stop)))


def rows(batch: EventBatch, first: int, stop: int) -> EventBatch:
    """Rows first <= i < stop as views."""

    def cut(column: Column) -> Column:
        if isinstance(column, Strings):
            return Strings(column.data, column.offsets[first : stop + 1])
        return Coded(column.codes[first:stop], column.names) if isinstance(column, Coded) else column[first:stop]

    b = batch
    text = {n: Strings(c.data, c.offsets[first : stop + 1]) for n, c in (
        ("id", b.id), ("subject", b.subject), ("scope", b.scope), ("corrects", b.corrects))}  # fmt: skip
    return EventBatch(
        b.type, b.time[first:stop], Coded(b.source.codes[first:stop], b.source.names), text["id"], text["subject"],
        b.lon[first:stop], b.lat[first:stop], text["scope"], text["corrects"], b.revision[first:stop],
        b.retracted[first:stop], {n: cut(c) for n, c in b.fields.items()},
    )  # fmt: skip


def halves(out: Outgoing) -> list[Outgoing]:
    """The same in two, for a record that came out too large; one event stays one."""
    n = len(out.batch)
    if n < 2:
        return [out]
    return [out._replace(batch=rows(out.batch, a, b)) for a, b in ((0, n // 2), (n // 2, n))]


class Letter(msgspec.Struct):
    """A dead letter as `<prefix>.deadletters` holds it, in JSON; `place`: topic/partition/offset, or a digest."""

    reason: str
    field: str
    detail: str
    source: str
    id: str
    head: str
    door: str
    place: str
    seen_ms: int


def letters(rejections: Iterable[Rejection], door: str, place: PlaceOf, now: int) -> list[bytes]:
    """What was refused as records of the dead letters."""
    return [
        msgspec.json.encode(
            Letter(
                r.reason, r.field, r.detail[:1000], r.source[:200], r.id[:200], r.head.decode("utf-8", "replace"), door,
                place(r.index), now,
            )
        )
        for r in rejections
    ]  # fmt: skip
