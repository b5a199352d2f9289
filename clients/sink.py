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


class Sinks:
    """Several sinks as one. A sink that raises loses that pose, is logged once, and is tried again with the next."""

    def __init__(self, sinks: Sequence[PoseSink]) -> None:
        self._sinks = list(sinks)
        self._failed: set[int] = set()

    def send(self, pose: Pose, time: float) -> None:
        """Send to every sink; never raises."""
        for index, sink in enumerate(self._sinks):
            try:
                sink.send(pose, time)
            except Exception as error:
                if index not in self._failed:
                    _log.warning("%s failed: %s", type(sink).__name__, error)
                self._failed.add(index)


class PerDancer:
    """A sink for each dancer on stage."""

    def __init__(self, sinks: Sequence[Sinks]) -> None:
        self._sinks = list(sinks)

    def send(self, pose: Pose, time: float) -> None:
        """Send to the sink of the pose's dancer; never raises."""
        self._sinks[pose.dancer].send(pose, time)
