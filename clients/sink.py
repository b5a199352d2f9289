"""A dance sent to several receivers, none of which can harm another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from dancerev.model.pose import Pose

_log = logging.getLogger(__name__)


class PoseSink(Protocol):
    """Anything that takes a dance, pose by pose, without holding it up."""

    def send(self, pose: Pose, time: float) -> None:
        """Take one pose; ``time`` is the stamp in seconds that goes with it."""

    def close(self) -> None:
        """Give back what was held."""


class Sinks:
    """Several sinks as one. A sink that raises loses that pose, is logged once, and is tried again with the next.

    Attributes:
        failures: exceptions so far, per sink.
    """

    def __init__(self, sinks: Sequence[PoseSink]) -> None:
        self._sinks = list(sinks)
        self.failures = [0] * len(self._sinks)

    def send(self, pose: Pose, time: float) -> None:
        """Send to every sink; never raises."""
        for i, sink in enumerate(self._sinks):
            try:
                sink.send(pose, time)
            except Exception as error:
                self._note(i, error)

    def close(self) -> None:
        """Close every sink; never raises."""
        for i, sink in enumerate(self._sinks):
            try:
                sink.close()
            except Exception as error:
                self._note(i, error)

    def _note(self, i: int, error: Exception) -> None:
        if not self.failures[i]:
            _log.warning("%s failed: %s", type(self._sinks[i]).__name__, error)
        self.failures[i] += 1


class PerDancer:
    """A sink for each dancer on stage."""

    def __init__(self, sinks: Sequence[Sinks]) -> None:
        self._sinks = list(sinks)

    def send(self, pose: Pose, time: float) -> None:
        """Send to the sink of the pose's dancer; never raises."""
        self._sinks[pose.dancer].send(pose, time)
