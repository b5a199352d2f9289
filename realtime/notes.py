"""Lines on stderr, written in a thread of its own: a show never waits for a terminal, a pipe or a disk."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator

_WAITING = 100  # pieces of text; what comes while so many wait is lost
_LAST_SECONDS = 0.5  # that the last lines have to leave in


class NoteWriter:
    """Writes text to stderr as it was when this was made, as far as it takes any.

    Attributes:
        shown: whether stderr is a terminal, which can show a line that is written over.
    """

    def __init__(self) -> None:
        """Begin; without a stderr everything is lost."""
        self._texts: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        try:
            # Not Python's own stream: one that is locked by a write that waits would hold up the end of the program.
            self._descriptor = os.dup(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):  # closed
            self._descriptor = -1
        self.shown = sys.stderr is not None and sys.stderr.isatty()
        self._thread = threading.Thread(target=self._run, name="notes", daemon=True)
        self._thread.start()

    def note(self, note: str) -> None:
        """Leave a note above the line."""
        self.write(f"note: {note}\n")

    def write(self, lines: str) -> None:
        """Write lines above the line, as they are."""
        self._put(f"\r\x1b[2K{lines}" if self.shown else lines)

    def show(self, line: str) -> None:
        """Write the line over the one before; not where there is no terminal."""
        if self.shown:
            self._put(f"\r\x1b[2K{line}")

    def _put(self, text: str) -> None:
        """Write ``text`` soon; never wait, and never raise."""
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


class _NoteHandler(logging.Handler):
    """Makes a note of what is logged."""

    def __init__(self, writer: NoteWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Make the note."""
        self._writer.note(record.getMessage())


@contextlib.contextmanager
def log_to(writer: NoteWriter) -> Iterator[None]:
    """Make a note of all that dancerev logs: logging itself would wait for stderr."""
    log, handler = logging.getLogger("dancerev"), _NoteHandler(writer)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)
