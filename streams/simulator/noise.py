"""Counter-based noise: a number that depends only on (seed, name, counters), so that step sizes cannot change it."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from citytwin.models.columns import Float64, Int64, UInt8, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def _mix(x: UInt64) -> UInt64:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014), on arrays."""
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


def bits(seed: int, name: str, *counters: Int64 | int) -> UInt64:
    """64 random bits for each row of the counters (broadcast together): uint64[n]."""
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + zlib.crc32(name.encode())) % 2**64)
    state = _mix(np.atleast_1d(start))
    for counter in counters:
        state = _mix((state + _GOLDEN) ^ np.atleast_1d(np.asarray(counter, np.int64)).view(np.uint64))
    return state


def uniform(seed: int, name: str, *counters: Int64 | int) -> Float64:
    """Uniform numbers in [0, 1): float64[n]."""
    return (bits(seed, name, *counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed: int, name: str, *counters: Int64 | int) -> Float64:
    """Nearly standard normal numbers within +-3.5: the scaled sum of four 16-bit parts of one draw."""
    raw = bits(seed, name, *counters)
    parts = sum(((raw >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.float64) for s in (0, 16, 32, 48))
    return np.asarray((parts / 65536.0 - 2.0) * 3.0**0.5)


def generator(seed: int, name: str, block: int) -> np.random.Generator:
    """A generator of its own for block `block` of the stream `name` (Philox: any block costs the same)."""
    key = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(name.encode())) % 2**64
    return np.random.Generator(np.random.Philox(key=[key, block % 2**64]))


def hex_digits(raw: UInt64) -> UInt8:
    """The 16 hex digits of each number: uint8[n, 16]."""
    shift = np.arange(60, -4, -4, dtype=np.uint64)
    return _HEX[((raw[:, None] >> shift) & np.uint64(15)).astype(np.intp)]


def digits(values: NDArray[np.integer], width: int) -> UInt8:
    """The last `width` decimal digits of each number: uint8[n, width]."""
    power = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values.astype(np.int64)[:, None] // power % 10 + 48).astype(np.uint8)
