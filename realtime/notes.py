"""Lines on stderr, written in a thread of its own: a show never waits for a terminal, a pipe or a disk."""

from __future__ import annotations

import os
import queue
import sys
import threading

_WAITING = 100  # pieces of text; what comes while so many wait is lost
_LAST_SECONDS = 0.5  # that the last lines have to leave in


class NoteWriter:
    """Writes text to stderr as it was when this was made, as far as it takes any."""

    def __init__(self) -> None:
        """Begin; without a stderr everything is lost."""
        self._texts: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        try:
            # Not Python's own stream: one that is locked by a write that waits would hold up the end of the program.
            self._descriptor = os.dup(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):  # closed
            self._descriptor = -1
        self._thread = threading.Thread(target=self._run, name="notes", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write ``text`` soon; never waits, and never raises."""
        if self._texts.full():
            return
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._texts.put_nowait(text.encode(encoding, errors="backslashreplace"))

    def close(self) -> None:
        """Give what waits a moment to leave."""
        if not self._texts.full():
            self._texts.put_nowait(None)
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        while (text := self._texts.get()) is not None:
            try:
                while text:
                    text = text[os.write(self._descriptor, text) :]
            except OSError:  # no terminal any more, or a full disk: the next line may do
                continue
        if self._descriptor >= 0:
            os.close(self._descriptor)
