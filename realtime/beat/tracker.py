"""The interface of all beat trackers, and the beats that follow from their states."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from dancerev.model.features import BeatState

from ..spectrum import SpectralBlock

MIN_BPM, MAX_BPM = 55.0, 196.0
"""The default tempo range. Faster music is followed at half its tempo, as people dance to it."""

FORGET_BELOW = 0.3
"""Confidence below which, in silence, corrections by hand are forgotten."""

PREDICTED_FROM = 0.05
"""Confidence below which no beat is predicted."""


class BeatTracker(Protocol):
    """Follow the beat, one block of audio (1/15 s) at a time, and take corrections by hand.

    Every confidence lies in [0, 1].
    """

    def update(self, block: SpectralBlock) -> BeatState:
        """Process the block and return the state of the beat at its end."""

    def tap(self, time: float) -> None:
        """Take a tap on a beat at ``time`` (seconds of audio); three taps set tempo and phase."""

    def set_downbeat(self, time: float) -> None:
        """Make the beat nearest to ``time`` (seconds of audio) begin a bar."""

    def scale_tempo(self, factor: float) -> bool:
        """Halve (0.5) or double (2) the tempo until the music stops; return False if it is out of range."""

    def hold_tempo(self, on: bool) -> None:
        """Keep the tempo as it is while ``on``, whatever the music does; the phase still follows."""
        return

    def nudge(self, seconds: float) -> None:
        """Move the beats later by ``seconds``, or earlier where that is negative."""
        return

    def attach(self, heard_at: Callable[[float], float]) -> None:
        """Follow the clock of the show: ``heard_at`` maps seconds of audio to ``time.perf_counter()`` seconds."""
        return

    def close(self) -> None:
        """Let go of ports and threads; harmless when repeated."""
        return


class BeatClock:
    """Predict each beat once, at the latest when it falls, from successive beat states."""

    def __init__(self) -> None:
        self._last = -math.inf

    def announce(self, state: BeatState, until: float) -> list[float]:
        """List the beats (seconds, rising) from ``state.time`` to before ``until``.

        There are none within half a period of the last, and none while the confidence is below PREDICTED_FROM.

        Args:
            state: the present state of the beat.
            until: seconds; the time of the next state.
        """
        if state.confidence < PREDICTED_FROM:
            return []
        beats = []
        beat = state.next_beat
        while beat < until:
            if beat - self._last >= 0.5 * state.period:
                beats.append(beat)
                self._last = beat
            beat += state.period
        return beats
