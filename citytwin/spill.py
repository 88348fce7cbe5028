"""Where large columns lie: in memory up to a bound, beyond it in memory-mapped files of the data folder.

The files hold nothing that is not in the log and the snapshots: each goes with its column, all go at the next start.
"""

from __future__ import annotations

import logging
import mmap
import os
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_log = logging.getLogger(__name__)
#: Columns below this many bytes stay in memory and are not counted: a file for each would cost more than it saves.
SMALL = 1 << 16


class Spill:
    """An allocator for `Engine(allocate=)`: `held` bytes in memory, `spilled` in files of `folder`."""

    def __init__(self, folder: Path, bound: int) -> None:
        """`bound` in bytes. What an earlier process left in the folder is removed."""
        self.folder, self.bound = folder, bound
        # by number: an array may be let go in any thread, in the middle of whatever that one does
        self._held: dict[int, int] = {}
        self._spilled: dict[int, int] = {}
        self._next = 0
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(list(self._held.values()))

    @property
    def spilled(self) -> int:
        """Bytes in files."""
        return sum(list(self._spilled.values()))

    def __call__(self, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """Room for n values, whose content is not defined."""
        size = n * np.dtype(dtype).itemsize
        if size < SMALL:
            return np.empty(n, dtype)
        self._next += 1
        if self.held + size > self.bound:
            try:
                return self._mapped(self._next, n, np.dtype(dtype), size)
            except OSError as error:  # no room there either: better too much memory than no city
                _log.warning("%s cannot take %d bytes (%s); they stay in memory", self.folder, size, error)
        array = np.empty(n, dtype)
        self._held[self._next] = size
        weakref.finalize(array, self._held.pop, self._next).atexit = False
        return array

    def _mapped(self, number: int, n: int, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{number}.column"
        with path.open("w+b") as file:
            try:
                # room is taken now: a write into a map that has none would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
                held = mmap.mmap(file.fileno(), size)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        array: NDArray[Any] = np.frombuffer(held, dtype, n)
        self._spilled[number] = size
        # called when the array and all views of it are no longer used
        weakref.finalize(array, self._removed, number, path).atexit = False
        return array

    def _removed(self, number: int, path: Path) -> None:
        del self._spilled[number]
        path.unlink(missing_ok=True)
