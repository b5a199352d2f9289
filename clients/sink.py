"""Sinks: what takes a dance pose by pose. Several are one sink, and none of them can harm another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, Self

from dancerev.model.features import BeatState
from dancerev.model.pose import Pose

_log = logging.getLogger(__name__)


class PoseSink(Protocol):
    """Takes a dance pose by pose and never waits. A class that derives from it needs :meth:`send` alone.

    Attributes:
        name: for the status line, such as ``127.0.0.1:39539``.
        error: why the sink takes no poses now, one line, or None.
        lost: poses that it did not take.
    """

    name: str = ""
    error: str | None = None
    lost: int = 0

    def send(self, pose: Pose) -> None:
        """Take one pose; ``pose.time`` is its stamp in seconds, ``pose.dancer`` says whose it is."""

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Take the music at the time of the pose just sent, once for all dancers.

        Args:
            beat: None while no beat is known.
            onset: strength, 0 … 1.
            energy: loudness, 0 … 1.
        """
        return

    def mark(self, time: float, text: str) -> None:
        """Take a marker of the performer's, at ``time`` seconds."""
        return

    def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        return

    def __enter__(self) -> Self:
        """Return the sink, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the sink."""
        self.close()


class Sinks(PoseSink):
    """Several sinks as one. A sink that raises loses that pose, is logged once, and is tried again with the next."""

    def __init__(self, sinks: Sequence[PoseSink]) -> None:
        """Make one sink of several, which it closes too."""
        self.sinks = list(sinks)
        self._failed: set[int] = set()  # their ids

    def send(self, pose: Pose) -> None:
        """Send to every sink; never raises."""
        for sink in self.sinks:
            try:
                sink.send(pose)
            except Exception as error:
                self._note_failure(sink, error)

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Send to every sink; never raises."""
        for sink in self.sinks:
            try:
                sink.send_music(beat, onset, energy)
            except Exception as error:
                self._note_failure(sink, error)

    def mark(self, time: float, text: str) -> None:
        """Send to every sink; never raises."""
        for sink in self.sinks:
            try:
                sink.mark(time, text)
            except Exception as error:
                self._note_failure(sink, error)

    def close(self) -> None:
        """Close every sink; never raises."""
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:
                self._note_failure(sink, error)

    def _note_failure(self, sink: PoseSink, error: Exception) -> None:
        if id(sink) not in self._failed:
            _log.warning("%s failed: %s", type(sink).__name__, error)
        self._failed.add(id(sink))


class PerDancer(PoseSink):
    """A sink for each dancer; the first one takes the music too."""

    def __init__(self, sinks: Sequence[PoseSink]) -> None:
        """Make one sink of ``sinks``, that of dancer 0 first."""
        self.sinks = list(sinks)

    def send(self, pose: Pose) -> None:
        """Send to the sink of the pose's dancer."""
        self.sinks[pose.dancer].send(pose)

    @property
    def error(self) -> str | None:  # type: ignore[override]  # an attribute of the others
        """The first error of a sink."""
        return next((sink.error for sink in self.sinks if sink.error), None)

    @property
    def lost(self) -> int:  # type: ignore[override]
        """Poses that the sinks did not take, of all of them together."""
        return sum(sink.lost for sink in self.sinks)

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Send to the sink of dancer 0."""
        self.sinks[0].send_music(beat, onset, energy)

    def mark(self, time: float, text: str) -> None:
        """Send to the sink of dancer 0."""
        self.sinks[0].mark(time, text)

    def close(self) -> None:
        """Close every sink."""
        for sink in self.sinks:
            sink.close()
