"""How deep a text nests, before a parser that recurses sees it."""

# ruff: noqa: PLR1714  (chains of comparisons compile to branches, sets do not)
from __future__ import annotations

import numpy as np
from numba import njit

from citytwin.models.columns import UInt8


@njit(cache=True, nogil=True)
def _depth(buf: UInt8, i: int, end: int) -> int:
    """Deepest nesting of brackets outside strings."""
    depth = deepest = 0
    while i < end:
        b = buf[i]
        if b == 34:
            i += 1
            while i < end and buf[i] != 34:
                i += 2 if buf[i] == 92 else 1
        elif b == 123 or b == 91:
            depth += 1
            deepest = max(deepest, depth)
        elif b == 125 or b == 93:
            depth -= 1
        i += 1
    return deepest


def depth(body: bytes) -> int:
    """Deepest nesting of brackets in a text."""
    return int(_depth(np.frombuffer(body, np.uint8), 0, len(body)))
