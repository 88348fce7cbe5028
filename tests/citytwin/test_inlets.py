"""Doors of a bridge: what they let through of what was read."""

from __future__ import annotations

import json
from typing import Any

from citytwin.clock import ManualClock
from citytwin.inlets import Inlet
from citytwin.models.events import VOCABULARY
from citytwin.streams.codec import Codec

NOW = 1_750_000_000_000


def test_nobody_speaks_as_the_desk_by_a_bridge() -> None:
    codec = Codec(VOCABULARY(), b"key")
    sources = ("desk/chief", "hotline", "desk/auto", "desk/cases")
    body = [
        {
            "specversion": "1.0", "type": "case.noted", "source": s, "id": str(i), "subject": "C-1",
            "time": "2025-06-15T15:00:00Z", "data": {"text": "x"},
        }
        for i, s in enumerate(sources)
    ]  # fmt: skip
    unused: Any = None
    door = Inlet("http", unused, ManualClock(NOW), codec.rules)
    read = codec.decode(json.dumps(body).encode(), "application/cloudevents-batch+json")
    done, letters = door.checked(read, lambda _: b"", str)
    assert [b.source.tolist() for b in done.batches] == [["hotline", "desk/cases"]]
    assert [(r.index, r.reason) for r in done.rejections] == [(0, "not_allowed"), (2, "not_allowed")]
    assert (len(letters), door.taken, door.refused) == (2, 2, 2)
