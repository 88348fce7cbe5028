"""Which shard an event belongs to."""

from __future__ import annotations

import numpy as np
from aiokafka.partitioner import murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Strings
from citytwin.models.events import VOCABULARY
from citytwin.models.shards import DESK, Ownership, route, shards_of

TYPES = VOCABULARY().types


@settings(deadline=None)  # the first one waits for the compiler
@given(st.lists(st.text(max_size=40), max_size=30), st.integers(1, 1024))
def test_a_code_goes_where_clients_of_kafka_send_it(codes: list[str], shards: int) -> None:
    """By the community's digits where it begins with them, else by all of it."""

    def key(code: str) -> bytes:
        raw = code.encode()
        return raw[:12] if len(raw) >= 12 and raw[:12].isdigit() else raw

    wanted = [(murmur2(key(c)) & 0x7FFFFFFF) % shards for c in codes]
    assert shards_of(Strings.of(codes), shards).tolist() == wanted


def test_what_has_no_subject_goes_by_its_id_and_corrections_follow_it() -> None:
    """A correction of an event without a subject reaches the shard of its original."""
    first = EventBatch.of("citycode.use", [1, 2], ["a", "b"])
    later = EventBatch.of("citycode.use", [1, 2], ["c", "d"], corrects=["a", "b"], revision=[1, 1])
    kind = TYPES["citycode.use"]
    assert route(first, kind, 97).tolist() == route(later, kind, 97).tolist()


def test_cases_go_to_the_desk() -> None:
    """All of them, whatever their code."""
    batch = EventBatch.of("case.reported", [1, 2], ["a", "b"], subject=["K1", "420106001001"])
    assert route(batch, TYPES["case.reported"], 8).tolist() == [DESK, DESK]


def test_each_code_has_one_owner() -> None:
    """The shards share the registers out between them."""
    codes = Strings.of([f"4201060010{i:02d}x" for i in range(40)] + [f"dev-{i}" for i in range(200)])
    owners = np.array([Ownership(s, 7).of_codes(codes) for s in range(7)])
    assert (owners.sum(axis=0) == 1).all()
    assert not Ownership(DESK, 7).of_codes(codes).any()
