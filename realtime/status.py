"""The line in the terminal that tells how the show goes."""

from __future__ import annotations

import shutil
import sys
import time

from dancerev.model.features import ENERGY
from dancerev.realtime.show import Show

_EVERY = 0.2  # seconds between updates
_LEVELS = " ▁▂▃▄▅▆▇█"


class StatusLine:
    """BPM, beat, level, pose rate, late frames and targets, in one line that is written over.

    Silent without a terminal, but for notes, each of which is printed once.
    """

    def __init__(self, show: Show, targets: list[str], provider: str, notes: list[str]) -> None:
        self._show = show
        self._tail = f"{provider.removesuffix('ExecutionProvider')} → {', '.join(targets)}"
        self._shown = sys.stderr.isatty()
        self._next = time.monotonic() + _EVERY
        self._last_sent, self._last_time = 0, time.monotonic()
        self._rate = 0.0
        self._note: str | None = None
        for note in notes:
            self._print_note(note)

    def update(self) -> None:
        """Write the line anew where it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        if self._show.source.note != self._note and self._show.source.note:
            self._print_note(self._show.source.note)
        if not self._shown:
            return
        rate = (self._show.poses_sent - self._last_sent) / (now - self._last_time)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        self._last_sent, self._last_time = self._show.poses_sent, now
        line = self._line()[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r\x1b[2K{line}")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the line and sum up."""
        if self._shown:
            sys.stderr.write(f"\r\x1b[2K{self._line()}\n")

    def _print_note(self, note: str) -> None:
        self._note = note
        print(f"\r\x1b[2Knote: {note}" if self._shown else f"note: {note}", file=sys.stderr)

    def _line(self) -> str:
        heard = self._show.stream.heard
        if heard is None:
            return f"listening …  {self._tail}"
        beat = heard.beat
        level = _LEVELS[round(float(heard.audio[ENERGY]) * (len(_LEVELS) - 1))]
        dots = "".join("●" if i == beat.beat_in_bar else "○" for i in range(beat.beats_per_bar))
        return (
            f"{beat.bpm:5.1f} BPM {dots} {beat.confidence:4.0%} sure  level {level}  "
            f"{self._rate:4.1f} poses/s  {self._show.late_frames} late  {self._tail}"
        )
