"""The line in the terminal that tells how the show goes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence

from dancerev.clients.sink import PoseSink
from dancerev.model.features import ENERGY

from .show import Show

_EVERY = 0.2  # seconds between updates
_NAMED = 3  # targets
_LEVELS = " ▁▂▃▄▅▆▇█"


class StatusLine:
    """BPM, beat, level, pose rate, late frames and targets, in one line that is written over.

    Silent without a terminal, but for notes, each of which is printed when it comes up. Never waits for a terminal that
    has stopped reading, as one over a network does when the laptop sleeps.
    """

    def __init__(self, show: Show, targets: Sequence[PoseSink], provider: str, notes: list[str]) -> None:
        self._show = show
        self._targets = targets
        self._troubles: list[str] = []
        names = list(dict.fromkeys(target.name for target in targets))  # of several dancers all may go to one
        shown = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
        self._tail = f"{provider.removesuffix('ExecutionProvider')} → {shown}"
        self._shown = sys.stderr.isatty()
        self._terminal = _open_terminal() if self._shown else None
        self._next = time.perf_counter() + _EVERY
        self._last_sent, self._last_time = 0, time.perf_counter()
        self._rate = 0.0
        self._note = show.source.note
        for note in notes:
            self.tell(note)

    def update(self) -> None:
        """Write the line anew where it is time to."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + _EVERY
        note = self._show.source.note
        if note != self._note:
            self._note = note
            if note:
                self.tell(note)
        troubles = (f"{target.name} gets no poses: {target.trouble}" for target in self._targets if target.trouble)
        before, self._troubles = self._troubles, list(dict.fromkeys(troubles))
        for trouble in self._troubles:
            if trouble not in before:
                self.tell(trouble)
        if not self._shown:
            return
        rate = (self._show.poses_sent - self._last_sent) / (now - self._last_time)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        self._last_sent, self._last_time = self._show.poses_sent, now
        self._write(f"\r\x1b[2K{self._line()[: shutil.get_terminal_size().columns - 1]}")

    def close(self) -> None:
        """Leave the line and sum up."""
        if self._shown:
            self._write(f"\r\x1b[2K{self._line()}\n")
        if self._terminal is not None:
            os.close(self._terminal)

    def tell(self, note: str) -> None:
        """Leave a note above the line."""
        self._write(f"\r\x1b[2Knote: {note}\n" if self._shown else f"note: {note}\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # there is no room, or no terminal any more: the next line may do
            if self._terminal is not None:
                os.write(self._terminal, text.encode(errors="replace"))
            else:
                sys.stderr.write(text)
                sys.stderr.flush()

    def _line(self) -> str:
        heard = self._show.stream.last
        if heard is None:
            return f"listening …  {self._tail}"
        beat = heard.beat
        level = _LEVELS[round(float(heard.audio[ENERGY]) * (len(_LEVELS) - 1))]
        dots = "".join("●" if i == beat.beat_in_bar else "○" for i in range(beat.beats_per_bar))
        return (
            f"{beat.bpm:5.1f} BPM {dots} {beat.confidence:4.0%} sure  level {level}  "
            f"{self._rate:4.1f} poses/s  {self._show.late_frames} late  {self._tail}"
        )


def _open_terminal() -> int | None:
    """The terminal of stderr, opened once more so as not to wait: the other way would change it for the shell too.

    None where that cannot be, as on Windows.
    """
    try:
        return os.open(os.ttyname(sys.stderr.fileno()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, AttributeError):
        return None
