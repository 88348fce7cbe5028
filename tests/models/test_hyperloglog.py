"""Distinct counts: errors over seeds, the union, and the same sketch by plain Python."""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.columns import Float64, Strings, UInt64
from citytwin.models.hashing import hash_strings
from citytwin.models.hyperloglog import BITS, REGISTERS, HyperLogLog

Figure = Callable[[str, float, str], None]


def keys(seed: int, n: int) -> UInt64:
    """Different keys."""
    return np.unique(np.random.default_rng(seed).integers(0, 2**64, n + n // 8 + 8, np.uint64))[:n]


def of(*parts: UInt64) -> HyperLogLog:
    sketch = HyperLogLog(len(parts))
    for i, part in enumerate(parts):
        sketch.add(np.full(len(part), i), part)
    return sketch


def errors(n: int, seeds: int) -> Float64:
    """Relative errors."""
    return np.concatenate([of(keys(s, n)).estimate() for s in range(seeds)]) / n - 1


@pytest.mark.parametrize("n", [10, 100, 1_000, 5_000, 10_000, 20_000, 100_000])
def test_the_error_is_a_percent_and_a_half(n: int, figure: Figure) -> None:
    off = errors(n, 60)
    rms = float(np.sqrt(np.mean(off**2)))
    figure(f"HyperLogLog 2^12, RMS error of {n:,} keys over 60 seeds", 100 * rms, "%")
    assert rms < 0.02
    assert abs(float(np.mean(off))) < 0.006


def test_few_keys_are_counted_almost_exactly() -> None:
    assert HyperLogLog(3).estimate().tolist() == [0.0, 0.0, 0.0]
    for n in (1, 2, 10, 50):
        assert of(keys(5, n)).estimate()[0] == pytest.approx(n, rel=0.03)


def test_texts_of_people_are_counted_by_their_hashes() -> None:
    texts = Strings.of([f"user-{i}" for i in range(30_000)] * 2)
    sketch = of(hash_strings(texts).a)
    assert sketch.estimate()[0] == pytest.approx(30_000, rel=0.05)
    assert of(np.arange(30_000, dtype=np.uint64)).estimate()[0] == pytest.approx(30_000, rel=0.05)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=80), st.lists(st.integers(0, 2**64 - 1), max_size=80))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_merging_is_the_union(a: list[int], b: list[int]) -> None:
    one, other = of(np.array(a, np.uint64)), of(np.array(b, np.uint64))
    both = of(np.array([*b, *a, *a], np.uint64))
    one.merge(other)
    assert np.array_equal(one.registers, both.registers)
    one.merge(other)
    assert np.array_equal(one.registers, both.registers)


def test_unions_of_groups() -> None:
    parts = [keys(s, 3_000) for s in range(4)]
    sketch = of(*parts)
    joined = sketch.union(np.array([1, 0, 1, -1]), 3)
    expected = of(parts[1], np.concatenate([parts[0], parts[2]]), parts[0][:0])
    assert np.array_equal(joined.registers, expected.registers)
    assert len(joined) == 3


def plain(values: UInt64) -> list[int]:
    """The registers by the definition, after the same mixing."""
    registers, mask = [0] * REGISTERS, 2**64 - 1
    for x in map(int, values):
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            x = ((x ^ x >> 33) * factor) & mask  # noqa: PLW2901
        x ^= x >> 33  # noqa: PLW2901
        bits = f"{x:064b}"
        rest = bits[BITS:]
        rank = rest.index("1") + 1 if "1" in rest else len(rest) + 1
        slot = int(bits[:BITS], 2)
        registers[slot] = max(registers[slot], rank)
    return registers


def test_registers_are_those_of_the_definition() -> None:
    values = np.concatenate([keys(9, 5_000), np.array([0, 1, 2**64 - 1], np.uint64)])
    assert of(values).registers[0].tolist() == plain(values)


def test_a_full_sketch_is_beyond_counting() -> None:
    sketch = HyperLogLog(1)
    sketch.registers[:] = 64 - BITS + 1
    assert np.isinf(sketch.estimate())[0]


def test_adding_is_fast(figure: Figure) -> None:
    sketch, values = HyperLogLog(100), keys(1, 100_000)
    rows = np.arange(100_000) % 100
    sketch.add(rows, values)
    took = min(timeit.repeat(lambda: sketch.add(rows, values), number=1, repeat=5))
    figure("HyperLogLog, adding a key", took / 1e5 * 1e9, "ns")
