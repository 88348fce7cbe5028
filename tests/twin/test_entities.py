"""Entities against a plain dict: newest valid time wins per attribute, in any order and any cut into batches."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import MISSING, Coded, Strings
from citytwin.models.entities import KIND_NUMBER, all_fields, all_relations
from citytwin.twin.entities import Entities
from citytwin.twin.relations import Relation
from tests.conftest import Figure

PROVE = os.environ.get("CITYTWIN_TEST_PROVE") == "1"
CODES = tuple("abcdef")


@dataclass
class Change:
    """One register change as a person would write it down."""

    kind: str
    code: str
    at: int
    remove: bool = False
    lon: float | None = None
    scope: int | None = None
    name: str = ""
    facility: str = ""
    device_kind: str | None = None
    period_s: float | None = None
    in_service: bool | None = None
    calibrated: int | None = None


@dataclass
class Plain:
    """The oracle: a dict per entity, each attribute with the time it was said."""

    held: dict[str, dict[str, tuple[int, Any]]] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[int]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def take(self, c: Change) -> None:
        if c.remove:
            if c.code in self.kind and c.at >= max(self.said[c.code]):
                self.ended[c.code] = max(c.at, self.ended.get(c.code, c.at))
            return
        if self.kind.setdefault(c.code, c.kind) != c.kind:
            return
        self.said.setdefault(c.code, []).append(c.at)
        if self.ended.get(c.code, c.at) < c.at:
            del self.ended[c.code]
        held = self.held.setdefault(c.code, {})
        names = ("lon", "scope") + (("name",) if c.kind == "facility" else _DEVICE)
        for name in names:
            value = getattr(c, name)
            if value not in (None, "") and (name not in held or held[name][0] <= c.at):
                held[name] = (c.at, value)

    def value(self, code: str, name: str) -> Any:
        return self.held[code].get(name, (0, None))[1]


_DEVICE = ("name", "facility", "device_kind", "period_s", "in_service", "calibrated")


def columns(batch: list[Change]) -> dict[str, Any]:
    """The attributes of device changes as columns."""
    return {
        "name": Strings.of([c.name for c in batch]),
        "facility": Coded.of([c.facility or None for c in batch]),
        "device_kind": Coded.of([c.device_kind for c in batch]),
        "period_s": np.array([np.nan if c.period_s is None else c.period_s for c in batch]),
        "in_service": np.array([-1 if c.in_service is None else int(c.in_service) for c in batch], np.int8),
        "calibrated": np.array([MISSING if c.calibrated is None else c.calibrated for c in batch], np.int64),
    }


def put(entities: Entities, batch: list[Change]) -> None:
    """Give a run of changes of one kind and operation to the columns."""
    codes, at = Strings.of([c.code for c in batch]), np.array([c.at for c in batch], np.int64)
    if batch[0].remove:
        entities.remove(codes, at)
        return
    kind = batch[0].kind
    attrs = columns(batch) if kind == "device" else {"name": Strings.of([c.name for c in batch])}
    scope = np.array([-1 if c.scope is None else c.scope for c in batch], np.int32)
    lon = np.array([np.nan if c.lon is None else c.lon for c in batch])
    entities.upsert(kind, codes, scope, lon, lon, attrs, at)


def runs(changes: list[Change], most: int) -> list[list[Change]]:
    """Consecutive changes of one kind and operation, at most so many together."""
    out: list[list[Change]] = []
    for c in changes:
        if out and len(out[-1]) < most and (out[-1][0].kind, out[-1][0].remove) == (c.kind, c.remove):
            out[-1].append(c)
        else:
            out.append([c])
    return out


change = st.builds(
    Change,
    kind=st.sampled_from(["device", "device", "device", "facility"]),
    code=st.sampled_from(CODES),
    at=st.integers(0, 6),
    remove=st.sampled_from([False, False, False, True]),
    lon=st.none() | st.floats(113, 115),
    scope=st.none() | st.integers(0, 9),
    name=st.sampled_from(["", "北", "x", "a longer name"]),
    facility=st.sampled_from(["", *CODES]),
    device_kind=st.none() | st.sampled_from(["camera", "gauge"]),
    period_s=st.none() | st.floats(0, 100),
    in_service=st.none() | st.booleans(),
    calibrated=st.none() | st.integers(-5, 5),
)


def assert_equal(entities: Entities, plain: Plain) -> None:
    """Every row says what the dict says."""
    assert entities.n == len(plain.kind)
    assert sorted(entities.codes.tolist()) == sorted(plain.kind)
    for code, kind in plain.kind.items():
        row = entities.row(code)
        assert entities.kind[row] == KIND_NUMBER[kind]
        assert entities.valid_from[row] == max(plain.said[code])
        assert entities.since[row] == min(plain.said[code])
        assert entities.valid_to[row] == plain.ended.get(code, MISSING)
        assert entities.name(row) == (plain.value(code, "name") or code)
        scope, lon = plain.value(code, "scope"), plain.value(code, "lon")
        assert entities.scope[row] == (-1 if scope is None else scope)
        assert entities.lon[row] == lon or (lon is None and np.isnan(entities.lon[row]))
        assert np.array_equal(entities.lon[row], entities.lat[row], equal_nan=True)
        for name in _DEVICE[2:]:
            want = plain.value(code, name)
            got: Any = entities.attr(name)[row]
            missing = want is None and (got is None or got in (-1, MISSING) or bool(np.isnan(got)))
            assert missing if want is None else got == want, (name, got, want)
        target = plain.value(code, "facility")
        known = target in plain.kind and plain.kind[target] == "facility"
        assert entities.attr("facility")[row] == (entities.row(target) if known else -1)


@settings(max_examples=2000 if PROVE else 150, deadline=None)
@given(st.lists(change, max_size=30), st.integers(1, 30), st.integers(0, 30))
def test_entities_equal_a_plain_dict(changes: list[Change], most: int, snapshot_at: int) -> None:
    entities, plain = Entities(), Plain()
    for i, batch in enumerate(runs(changes, most)):
        put(entities, batch)
        for c in batch:
            plain.take(c)
        if i == snapshot_at:
            entities = Entities.from_state(entities.state())
        if i % 3 == 0:
            entities.attr("facility")
    assert_equal(entities, plain)


@settings(max_examples=60, deadline=None)
@given(st.lists(change, max_size=25), st.integers(2, 25))
def test_the_cut_into_batches_leaves_the_same_state(changes: list[Change], most: int) -> None:
    one, other = Entities(), Entities()
    for size, entities in ((1, one), (most, other)):
        for batch in runs(changes, size):
            put(entities, batch)
    left, right = one.state(), other.state()
    assert left.keys() == right.keys()
    for key, value in left.items():
        np.testing.assert_array_equal(value, right[key], key)


@settings(max_examples=60, deadline=None)
@given(st.lists(change, max_size=12, unique_by=lambda c: c.at), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(changes: list[Change], random: Any) -> None:
    changes = [c for c in changes if c.kind == "device" and not c.remove]
    shuffled = list(changes)
    random.shuffle(shuffled)
    one, other = Entities(), Entities()
    for entities, order in ((one, changes), (other, shuffled)):
        for c in order:
            put(entities, [c])
    for code in CODES:
        a, b = one.row(code), other.row(code)
        assert (a < 0) == (b < 0)
        if a >= 0:
            assert [one.valid_from[a], one.since[a], one.name(a)] == [
                other.valid_from[b],
                other.since[b],
                other.name(b),
            ]
            for name in _DEVICE[2:]:
                left, right = one.attr(name), other.attr(name)
                assert str(left[a]) == str(right[b])


def device(entities: Entities, codes: list[str], at: int = 0, **attrs: Any) -> np.ndarray[Any, Any]:
    """Register devices without a place."""
    n = len(codes)
    nowhere = np.full(n, np.nan)
    return entities.upsert(
        "device", Strings.of(codes), np.full(n, -1, np.int32), nowhere, nowhere, attrs, np.full(n, at, np.int64)
    )


def test_integer_numbers_count_steps_of_the_resolution() -> None:
    entities = Entities()
    device(entities, ["a", "b"], period_s=np.array([60_500, MISSING], np.int64))
    np.testing.assert_array_equal(np.asarray(entities.attr("period_s")), [60.5, np.nan])


def test_wrong_columns_are_refused_and_rows_of_other_kinds_stay() -> None:
    entities = Entities()
    with pytest.raises(KeyError, match="no attribute storeys"):
        device(entities, ["a"], storeys=np.array([1]))
    with pytest.raises(TypeError, match="holds numbers"):
        device(entities, ["a"], period_s=Strings.of(["x"]))
    with pytest.raises(ValueError, match="rows"):
        device(entities, ["a"], period_s=np.array([1.0, 2.0]))
    device(entities, ["a"])
    nowhere = np.array([np.nan])
    rows = entities.upsert("grid", Strings.of(["a"]), np.array([3], np.int32), nowhere, nowhere, {}, np.array([9]))
    assert rows.tolist() == [-1]
    assert entities.attr("kind")[0] == "device"
    assert entities.scope[0] == -1
    assert device(entities, ["", "b"]).tolist() == [-1, 1]
    assert entities.rows_of(Strings.of(["", "b", "nobody"])).tolist() == [-1, 1, -1]


def test_dirty_rows_are_told_once() -> None:
    entities = Entities()
    device(entities, ["a", "b", "c"])
    assert entities.take_dirty().tolist() == [0, 1, 2]
    assert entities.take_dirty().tolist() == []
    device(entities, ["b"], at=1)
    entities.remove(Strings.of(["c", "nobody"]), np.array([5, 5], np.int64))
    assert entities.take_dirty().tolist() == [1, 2]
    assert entities.alive(4).tolist() == [True, True, True]
    assert entities.alive(5).tolist() == [True, True, False]
    assert Entities.from_state(entities.state()).take_dirty().tolist() == [0, 1, 2]


def test_succession_edges_are_noted_once_and_survive_a_snapshot() -> None:
    entities = Entities()
    device(entities, ["old", "left", "right"])
    for _ in range(2):
        entities.succeed(np.array([0, 0], np.int32), np.array([1, 2], np.int32), np.array([7, 7], np.int64))
    again = Entities.from_state(entities.state())
    assert [e.tolist() for e in again.succession()] == [[0, 0], [1, 2], [7, 7]]


def test_texts_and_waiting_targets_that_were_replaced_are_dropped() -> None:
    entities = Entities()
    for i in range(6000):
        device(entities, ["a"], at=i, name=Strings.of([f"name {i}"]), facility=Strings.of([f"f{i}"]))
    assert entities.name(0) == "name 5999"
    waiting = entities._column("facility")
    assert isinstance(waiting, Relation)
    assert waiting.holders.n < 3000
    assert entities.state()["attr.name.offsets"].shape == (3,)
    assert entities.state()["attr.facility.holders"].tolist() == [0]
    assert entities.attr("facility").tolist() == [-1]


def test_kinds_share_names_only_with_the_same_meaning() -> None:
    assert not set(all_fields()) & set(all_relations())
    entities = Entities()
    device(entities, ["a"])
    for name in (*all_fields(), *all_relations(), "lon", "lat", "scope", "valid_from", "valid_to", "recorded", "kind"):
        assert len(entities.attr(name)) == 1
    with pytest.raises(KeyError):
        entities.attr("no such name")


def test_many_devices_are_registered_in_few_bytes(figure: Figure) -> None:
    n = 1_000_000 if PROVE else 100_000
    rng = np.random.default_rng(5)
    codes = Strings.of([f"dev-{i:08d}" for i in range(n)])
    family = Coded(rng.integers(0, 6, n).astype(np.int32), ("air", "water", "traffic", "level", "power", "camera"))
    attrs: dict[str, Any] = {"device_kind": family, "period_s": np.full(n, 60.0), "in_service": np.ones(n, np.int8)}
    device(Entities(), ["warm"], period_s=np.array([1.0]))
    entities = Entities()
    start = time.perf_counter()
    at = np.zeros(n, np.int64)
    rows = entities.upsert("device", codes, at.astype(np.int32), rng.random(n), rng.random(n), attrs, at)
    took = time.perf_counter() - start
    per_device = sum(entities.nbytes().values()) / n
    figure(f"{n} devices registered", took, "s")
    figure("bytes of a registered device", per_device, "B")
    assert rows.tolist() == list(range(n))
    assert np.array_equal(entities.rows_of(codes), rows)
    assert per_device < 250
