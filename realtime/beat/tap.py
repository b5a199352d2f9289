"""Tempo and phase from taps by hand."""

from __future__ import annotations

import numpy as np


class TapTempo:
    """Fit a straight line through the last eight taps."""

    def __init__(self, min_bpm: float, max_bpm: float) -> None:
        self._shortest, self._longest = 60.0 / max_bpm, 60.0 / min_bpm
        self._taps: list[float] = []

    def add(self, time: float) -> tuple[float, float] | None:
        """Add a tap at ``time`` (seconds); return the beat nearest to it and the period from the third tap on.

        A tap that is too early or too late for the tempo range, or for the taps before it, starts a new series.
        """
        if self._taps:
            gap = time - self._taps[-1]
            usual = (self._taps[-1] - self._taps[0]) / (len(self._taps) - 1) if len(self._taps) > 1 else gap
            fits = 0.9 * self._shortest <= gap <= 1.1 * self._longest and 0.6 * usual <= gap <= 1.6 * usual
            if not fits:
                self._taps.clear()
        self._taps = [*self._taps[-7:], time]
        if len(self._taps) < 3:
            return None
        index = np.arange(len(self._taps)) - (len(self._taps) - 1)
        period, beat = np.polyfit(index, self._taps, 1)
        return float(beat), min(max(float(period), self._shortest), self._longest)
