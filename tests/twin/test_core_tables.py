"""Tables of newest events, deadlines and the index of keys, held against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import MISSING, Strings
from citytwin.models.hashing import HashIndex, combine, hash_strings
from citytwin.twin.deadlines import NEVER, Deadlines

texts = st.lists(st.text(max_size=12), max_size=60)


@given(st.lists(texts, max_size=6))
@settings(max_examples=100, deadline=None)
def test_interning_equals_a_dict(batches: list[list[str]]) -> None:
    index, known = HashIndex(2), dict[str, int]()
    for batch in batches:
        keys = hash_strings(Strings.of(batch))
        got, fresh = index.intern(keys, len(known))
        wanted = []
        for text, new in zip(batch, fresh.tolist(), strict=True):
            assert new == (text not in known)
            wanted.append(known.setdefault(text, len(known)))
        assert got.tolist() == wanted
        assert index.find(keys).tolist() == wanted
    assert len(index) == len(known)
    assert index.find(hash_strings(Strings.of(["not in there at all"]))).tolist() == [-1]


def test_pairs_of_keys_know_their_order() -> None:
    a, b = hash_strings(Strings.of(["a"])), hash_strings(Strings.of(["b"]))
    assert combine(a, b).a[0] != combine(b, a).a[0]
    assert hash_strings(Strings.of(["ab", ""])).a[0] != combine(a, b).a[0]


steps = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9000)), max_size=6), st.integers(0, 2500)),
    max_size=12,
)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_deadlines_equal_a_plain_list(plan: list[tuple[list[tuple[int, int]], int]]) -> None:
    wheel, model, now = Deadlines(), dict[int, int](), 0
    for planned, step in plan:
        once = dict(planned)
        rows = np.array(sorted(once), np.int64)
        when = np.array([now + 1 + once[r] for r in sorted(once)], np.int64)
        wheel.plan(rows, when)
        for r, w in zip(rows.tolist(), when.tolist(), strict=True):
            model[r] = min(w, model.get(r, NEVER))
        assert wheel.next_due() == min(model.values(), default=NEVER)
        now += step
        due = sorted(r for r, w in model.items() if w <= now)
        assert wheel.due(now).tolist() == due
        model = {r: w for r, w in model.items() if w > now}
        copy = Deadlines()
        copy.load(wheel.state())
        assert copy.next_due() == wheel.next_due()


def test_no_deadline_is_never_due() -> None:
    wheel = Deadlines()
    wheel.plan(np.array([1, 2]), np.array([MISSING, NEVER]))
    assert wheel.next_due() == NEVER
    assert wheel.due(10**15).tolist() == []
