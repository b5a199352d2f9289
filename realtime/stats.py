"""What a show measures of itself, in constant memory."""

from __future__ import annotations

import numpy as np

_RESOLUTION = 0.02
_LIMIT = 2000.0


class Durations:
    """A histogram of durations in milliseconds: exact to 0.02 ms up to 2 s, however many are added."""

    def __init__(self) -> None:
        """Begin with no durations."""
        self._counts = np.zeros(round(_LIMIT / _RESOLUTION) + 1, dtype=np.int64)
        self.count = 0
        self.max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; a negative one counts as none."""
        milliseconds = max(0.0, 1000.0 * seconds)
        self._counts[min(int(milliseconds / _RESOLUTION), len(self._counts) - 1)] += 1
        self.count += 1
        self.max = max(self.max, milliseconds)

    def percentile(self, share: float) -> float:
        """Return the duration in ms that ``share`` (0 … 1) of all do not exceed; 0 of none."""
        if not self.count:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self._counts), share * self.count))
        return min((index + 1) * _RESOLUTION, self.max)

    def summary(self) -> dict[str, float]:
        """p50, p99 and max in ms."""
        return {
            "p50": round(self.percentile(0.50), 3),
            "p99": round(self.percentile(0.99), 3),
            "max": round(self.max, 3),
        }
