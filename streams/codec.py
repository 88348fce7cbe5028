"""The door for bytes: picks the reader by content type and keeps to the limits of one body."""

from __future__ import annotations

from citytwin.models.vocabulary import Vocabulary
from citytwin.streams.arrow import decode_arrow
from citytwin.streams.cloudevents import CloudEvents
from citytwin.streams.decoded import BadBody, BodyTooLarge, Decoded, UnsupportedType, check_size
from citytwin.streams.rules import Box, Rules

#: Content types that can be read, with what each holds.
CONTENT_TYPES: dict[str, str] = {
    "application/cloudevents+json": "one CloudEvent",
    "application/json": "one CloudEvent",
    "application/cloudevents-batch+json": "a JSON array of CloudEvents",
    "application/x-ndjson": "one CloudEvent a line",
    "application/vnd.apache.arrow.stream": "an Arrow IPC stream with one event a row",
}


class Codec:
    """Bytes to batches under one vocabulary; pure, and safe to share between threads.

    `secret`: key of the HMACs of personal numbers. `box`: the city as (lon0, lat0, lon1, lat1), None = everywhere.
    """

    def __init__(self, vocabulary: Vocabulary, secret: bytes, box: Box | None = None) -> None:
        self.rules = Rules(vocabulary, secret, box)
        self._json = CloudEvents(self.rules)

    def decode(self, body: bytes, content_type: str) -> Decoded:
        """Events of one body; a bad event becomes a rejection and never stops its neighbours.

        Raises UnsupportedType (415), BodyTooLarge (413), and BadBody (400) where the body as a whole cannot be read.
        """
        kind = content_type.split(";", maxsplit=1)[0].strip().lower()
        if kind not in CONTENT_TYPES:
            raise UnsupportedType(f"Cannot read {kind or 'a body without a type'}; send {', '.join(CONTENT_TYPES)}.")
        check_size(body)
        if kind == "application/cloudevents-batch+json":
            return self._json.batch(body)
        if kind == "application/x-ndjson":
            return self._json.lines(body)
        if kind == "application/vnd.apache.arrow.stream":
            return decode_arrow(body, self.rules)
        return self._json.structured(body)


__all__ = ["CONTENT_TYPES", "BadBody", "BodyTooLarge", "Codec", "Decoded", "UnsupportedType"]
