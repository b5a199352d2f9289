"""The line in the terminal that tells how the show goes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence

from dancerev.clients.sink import PoseSink
from dancerev.model.features import ACTIVITY, ENERGY
from dancerev.model.pose import FRAME_RATE

from .beat.tracker import FORGET_BELOW
from .notes import NoteWriter
from .performance.performance import Change, Performance
from .performance.table import Value
from .show import Show

_EVERY = 0.2  # seconds between updates
_ANSWER = 3.0  # seconds for which an answer to the performer is shown
_LEFT_OUT = 0.5  # seconds of sound, from which on it is spoken of
_REFUSALS = 0.3  # seconds between notes on what was refused
_LEVELS = " ▁▂▃▄▅▆▇█"


class StatusLine:
    """BPM, beat, level, pose rate, late frames and targets, in one line that is written over.

    Without a terminal there are only the notes, each of which is printed when it comes up, and the summary. Never waits
    for a terminal that has stopped reading, as one over a network does when the laptop sleeps.
    """

    def __init__(
        self, show: Show, performance: Performance, targets: Sequence[PoseSink], provider: str, writer: NoteWriter
    ) -> None:
        """Show what goes on.

        Args:
            show: the show.
            performance: whose answers are shown.
            targets: receivers.
            provider: of ONNX Runtime.
            writer: of the line and of the notes.
        """
        self._show, self._performance = show, performance
        self._fault: str | None = None
        self._answer, self._answered = "", 0.0  # to the performer, and when
        performance.subscribe(self._take)
        self._targets = targets
        self._errors: list[str] = []
        names = list(dict.fromkeys(target.name for target in targets))  # of several dancers all may go to one
        self._tail = f"→ {names[0]}" + (f" +{len(names) - 1}" if len(names) > 1 else "")
        self._provider = provider.removesuffix("ExecutionProvider")
        self._writer = writer
        self._refused, self._left_out = 0.0, False  # when a refusal was shown last; whether lateness was
        self._next = time.perf_counter() + _EVERY
        self._last_sent, self._last_time = 0, time.perf_counter()
        self._rate = 0.0
        self._note = show.source.note

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
                self._writer.note(note)
        model = self._show.stream.dancers[0].model
        if model.fault:
            if model.fault != self._fault:
                self._writer.note(model.fault)
            self._fault, model.fault = model.fault, None
        if self._show.left_out > _LEFT_OUT and not self._left_out:
            self._left_out = True
            ordinary = hasattr(os, "nice") and os.nice(0) >= 0
            priority = " (the system grants no higher priority)" if ordinary else ""
            self._writer.note(
                f"this computer is too slow, or too busy with other programs: poses are left out{priority}"
            )
        errors = (f"{target.name} gets no poses: {target.error}" for target in self._targets if target.error)
        before, self._errors = self._errors, list(dict.fromkeys(errors))
        for error in self._errors:
            if error not in before:
                self._writer.note(error)
        if not self._writer.shown:
            return
        rate = (self._show.poses_sent - self._last_sent) / (now - self._last_time)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
        self._last_sent, self._last_time = self._show.poses_sent, now
        self._writer.show(self._line()[: shutil.get_terminal_size().columns - 1])

    def _take(self, change: Change) -> None:
        """Keep an answer for the line; a refusal is a note."""
        now = time.perf_counter()
        if not change.accepted and now - self._refused > _REFUSALS:
            self._refused = now
            self._writer.note(change.message)
        self._answer = " ".join(part for part in (change.name, _shown(change.value), change.message) if part)
        self._answered = now

    def close(self) -> None:
        """Leave the line and sum up, unless the show has not begun."""
        if self._show.frames:
            self._writer.write(f"{self._summary()}\n")

    def _summary(self) -> str:
        """Return the show in a line: how long it was, how many poses left, how many were late."""
        show = self._show
        minutes, seconds = divmod(round(show.frames / FRAME_RATE + show.left_out), 60)
        dancers = len(show.stream.dancers)
        who = "1 dancer" if dancers == 1 else f"{dancers} dancers"
        late = f", {show.late_frames} late" if show.late_frames else ""
        return f"danced {minutes}:{seconds:02} with {who} on {self._provider}: {show.poses_sent} poses{late}"

    def _line(self) -> str:
        frame = self._show.stream.last
        if frame is None:
            return f"waiting for sound  {self._tail}"
        beat = frame.beat
        level = _LEVELS[round(float(frame.audio[ENERGY]) * (len(_LEVELS) - 1))]
        if frame.audio[ACTIVITY] <= 0.0 and beat.confidence < FORGET_BELOW:
            rhythm = "silence"
        else:
            dots = "".join("●" if i == beat.beat_in_bar else "○" for i in range(beat.beats_per_bar))
            rhythm = f"{beat.bpm:.0f} BPM {dots} {beat.confidence:.0%}"
        answer = f"[{self._answer}]" if time.perf_counter() - self._answered < _ANSWER else "?: keys"
        minutes, seconds = divmod(int(frame.time), 60)
        parts = [
            f"{minutes}:{seconds:02}",
            rhythm,
            f"{level}",
            str(self._performance.values["style"]),
            f"{self._rate:.0f} poses/s" + (f", {self._show.late_frames} late" if self._show.late_frames else ""),
            answer,
            self._tail,
        ]
        return "  ".join(parts)


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
