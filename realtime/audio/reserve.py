"""Decoding ahead of time, so that a disk or a network share that stalls for some seconds is not noticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Reserve:
    """Rows of an iterator of blocks, taken ahead in a thread of its own and handed out by their place.

    What does not come in time is replaced by zeros, and left out when it comes: every row keeps its place.

    Attributes:
        starved: whether zeros were handed out last.
        error: what ended the blocks too early, or None.
    """

    def __init__(self, blocks: Iterator[Array], capacity: int, shape: tuple[int, ...] = (), skip: int = 0) -> None:
        """Prepare to take blocks.

        Args:
            blocks: of shape (n, *shape), each.
            capacity: rows to hold, at least.
            shape: of a row.
            skip: rows at the beginning to leave out.
        """
        self._shape = shape
        self._blocks, self._capacity = blocks, capacity
        self._lock = threading.Condition()
        self._held: list[Array] = []
        self._count = 0  # rows held
        self._due = skip  # rows still to be left out of what comes
        self._complete = self._closed = False
        self.starved = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._fill, name="decoder", daemon=True)

    def start(self) -> None:
        """Begin to take blocks."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether everything was handed out."""
        return self._complete and not self._count

    @property
    def held(self) -> int:
        """Rows that can be handed out now."""
        return self._count

    def wait(self, rows: int, timeout: float) -> None:
        """Wait until so many rows are held, or there are no more, but no longer than ``timeout`` seconds."""
        with self._lock:
            self._lock.wait_for(lambda: self._count >= rows or self._complete, timeout)

    def read(self, rows: int) -> Array:
        """Return the next rows, zeros in place of those that have not come; fewer only at the end."""
        with self._lock:
            parts, wanted = [], rows
            while self._held and wanted:
                block = self._held[0]
                parts.append(block[:wanted])
                self._held[0] = block[wanted:]
                wanted -= len(parts[-1])
                if not len(self._held[0]):
                    self._held.pop(0)
            self._count -= rows - wanted
            self._lock.notify_all()
            self.starved = bool(wanted) and not self._complete
            if self.starved:
                parts.append(np.zeros((wanted, *self._shape), dtype=np.float32))
                self._due += wanted
            return np.concatenate(parts) if parts else np.empty((0, *self._shape), dtype=np.float32)

    def close(self) -> None:
        """Take no more blocks; hardly waits for one that is being read."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join(0.5)

    def _fill(self) -> None:
        try:
            self._take_blocks()
        except Exception as error:  # whatever a decoder raises, the rows that are held are the last ones
            self.error = error
        finally:
            with self._lock:
                self._complete = True
                self._lock.notify_all()

    def _take_blocks(self) -> None:
        for block in self._blocks:
            with self._lock:
                left_out = min(self._due, len(block))
                self._due -= left_out
                if left_out < len(block):
                    self._held.append(block[left_out:])
                    self._count += len(block) - left_out
                self._lock.notify_all()
                self._lock.wait_for(lambda: self._closed or self._count < self._capacity)
                if self._closed:
                    return
