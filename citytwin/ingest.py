"""The door for events: decodes on the caller's thread, hands over, answers once the log has it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from citytwin.dashboards.ports import Refused, Taken
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.columns import Int64
from citytwin.models.desk.event import DESK_SOURCE, SIMULATED
from citytwin.runtime import Busy, Runtime, Unavailable
from citytwin.streams.codec import CONTENT_TYPES, BadBody, BodyTooLarge, Codec, Decoded, UnsupportedType
from citytwin.streams.decoded import MAX_BODY_BYTES, merge

_COMMANDS = "what people at the desk say comes by /api/v1/commands; another source may not begin with desk/"


class Door:
    """Bytes in, `Taken` out; a bad event never stops its neighbours and becomes a dead letter."""

    content_types: Sequence[str] = tuple(CONTENT_TYPES)
    max_bytes: int = MAX_BODY_BYTES

    def __init__(self, codec: Codec, runtime: Runtime, name: str = "http") -> None:
        self.codec, self.runtime, self.name = codec, runtime, name

    def submit(self, body: bytes, content_type: str) -> Future[Taken]:
        """Decode on the calling thread and hand over; resolves once the log has it. Raises Refused."""
        decoded = without_desk(decode_body(self.codec, body, content_type))
        place = hashlib.blake2b(body, digest_size=12).hexdigest()
        return self.hand_over(decoded, place)

    def hand_over(self, decoded: Decoded, place: str) -> Future[Taken]:
        """Submit what was decoded; `place` names the body, so that a repeat adds no dead letters. Raises Refused."""
        answer: Future[Taken] = Future()
        try:
            taken = self.runtime.submit(decoded.batches)
            kept = self.runtime.refuse(self.name, place, decoded.rejections) if decoded.rejections else None
        except (Busy, Unavailable) as error:
            raise refused(error) from error
        # Calls and submissions are done in order, so the last of the two ends both.
        last: Future[Any] = kept or taken
        last.add_done_callback(lambda _: _settle(answer, lambda: self._taken(decoded, taken, kept)))
        return answer

    def _taken(self, decoded: Decoded, taken: Future[list[Changes]], kept: Future[int] | None) -> Taken:
        changes = taken.result()
        if kept is not None:
            kept.result()
        rejected = [_fact(r, r.index) for r in decoded.rejections]
        for found, index in zip(changes, decoded.index, strict=True):
            rejected += [_fact(r, int(index[r.index])) for r in found.rejected if r.index >= 0]
        rejected.sort(key=lambda r: int(r["index"]))
        accepted, duplicates = sum(c.accepted for c in changes), sum(c.duplicates for c in changes)
        return Taken(accepted, duplicates, self.runtime.position, rejected)


def _fact(rejection: Rejection, index: int) -> Mapping[str, Any]:
    return {"index": index, "reason": rejection.reason, "field": rejection.field, "detail": rejection.detail}


def without_desk(decoded: Decoded) -> Decoded:
    """What came, without events that say they are the desk's: those come as commands, where rights are asked."""
    kept: list[tuple[EventBatch, Int64]] = []
    refused = list(decoded.rejections)
    for batch, index in zip(decoded.batches, decoded.index, strict=True):
        names = batch.source.names
        codes = [i for i, name in enumerate(names) if name.startswith(DESK_SOURCE) and name != SIMULATED]
        bad = np.isin(batch.source.codes, codes)
        for i in np.flatnonzero(bad).tolist():
            head, id = f"{batch.type} {batch.subject[i]}".encode()[:200], batch.id[i]
            source = batch.source[i] or ""
            refused.append(Rejection(int(index[i]), "not_allowed", "source", _COMMANDS, head, source, id))
        kept.append((batch.take(~bad), index[~bad]) if bad.any() else (batch, index))
    return merge(kept, refused, decoded.total) if len(refused) > len(decoded.rejections) else decoded


def decode_body(codec: Codec, body: bytes, content_type: str) -> Decoded:
    """The events of a body that came by HTTP. Raises Refused for one that cannot be read as a whole."""
    try:
        return codec.decode(body, content_type)
    except UnsupportedType as error:
        raise Refused(415, "unsupported_type", "Unsupported content type", str(error)) from error
    except BodyTooLarge as error:
        raise Refused(413, "too_large", "Body too large", str(error)) from error
    except BadBody as error:
        raise Refused(400, "bad_body", "Unreadable body", str(error)) from error


def refused(error: Busy | Unavailable) -> Refused:
    """The answer of the wire for a submission that was not taken."""
    if isinstance(error, Busy):
        seconds = max(1, round(error.retry_after_s))
        return Refused(429, "busy", "Too many events are waiting", str(error), seconds)
    return Refused(503, "unavailable", "Events cannot be kept now", str(error), 5)


def _settle(answer: Future[Taken], make: Callable[[], Taken]) -> None:
    try:
        answer.set_result(make())
    except (Busy, Unavailable) as error:
        answer.set_exception(refused(error))
    except Exception as error:
        answer.set_exception(error)
