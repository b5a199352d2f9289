"""A ring buffer between one writer and one reader, in which neither ever waits for the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Ring:
    """Rows written by one thread and read, in order, by one other; all memory is taken at the start.

    Each of the two counters has one thread that changes it, so no lock is needed.
    """

    def __init__(self, capacity: int, channels: int, dtype: npt.DTypeLike = np.float32) -> None:
        """Take the memory for ``capacity`` rows of ``channels``."""
        if capacity < 1 or channels < 1:
            raise ValueError(f"a ring needs room for at least one row of one channel, not {capacity} × {channels}")
        self.capacity = capacity
        self._rows = np.zeros((capacity, channels), dtype=dtype)
        self._written = 0
        self._read = 0

    def __len__(self) -> int:
        """Rows that wait to be read."""
        return self._written - self._read

    @property
    def room(self) -> int:
        """Rows that can be written."""
        return self.capacity - len(self)

    def write(self, rows: Array) -> bool:
        """Take all of ``rows`` (n, channels), or none of them and return False where they do not fit (overrun)."""
        count = len(rows)
        if count > self.room:
            return False
        start = self._written % self.capacity
        head = min(count, self.capacity - start)
        self._rows[start : start + head] = rows[:head]
        if head < count:
            self._rows[: count - head] = rows[head:]
        self._written += count  # last: from here on the reader may look
        return True

    def read_into(self, out: Array) -> int:
        """Move the oldest rows into ``out`` (n, channels); how many there were, up to n."""
        count = min(len(out), len(self))
        start = self._read % self.capacity
        head = min(count, self.capacity - start)
        out[:head] = self._rows[start : start + head]
        if head < count:
            out[head:count] = self._rows[: count - head]
        self._read += count  # last: from here on the writer may write over them
        return count

    def read(self) -> Array:
        """All rows that wait, (n, channels), as a new array."""
        out = np.empty((len(self), self._rows.shape[1]), dtype=self._rows.dtype)
        return out[: self.read_into(out)]
