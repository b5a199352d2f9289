"""The show: the one place where threads of time meet. Sound is heard, the stream dances, poses leave when due."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from dancerev.clients.sink import PoseSink
from dancerev.model.pose import Pose

from .audio.sources import AudioSource
from .stats import Durations
from .stream import DanceStream

LATE = 1.0 / 30.0
"""Seconds after which a pose that did not leave in time counts as late."""

_GIVE_UP = 0.1  # seconds: a pose this late is dropped, so that a stall is followed by the present, not by the past


class Show:
    """Runs a dance from a source to a sink until the source ends or someone calls :meth:`stop`.

    Attributes:
        frames: acoustic frames danced to.
        poses_sent: poses handed to the sink.
        late_frames: poses that left over 1/30 s after they were due, or not at all for that reason.
        step: durations of hearing and dancing one frame.
        lateness: by how much poses left after the instant of the audio that they are for.
    """

    def __init__(self, source: AudioSource, stream: DanceStream, sink: PoseSink) -> None:
        self.source, self.stream, self.sink = source, stream, sink
        self.frames = self.poses_sent = self.late_frames = 0
        self.step, self.lateness = Durations(), Durations()
        self._due: deque[Pose] = deque()
        self._stopped = False

    def stop(self) -> None:
        """End the show soon; may be called from a signal handler."""
        self._stopped = True

    def run(
        self, each_turn: Callable[[], None] = lambda: None, each_pose: Callable[[Pose], None] = lambda _: None
    ) -> None:
        """Dance, and call what should be quick.

        Args:
            each_turn: called every time round, fifty times a second or more, and however late the poses are.
            each_pose: called with every pose after it was sent.
        """
        # A collection in mid-show would halt the dance for as long as it takes to look at every object. Nothing here
        # makes cycles that would need it; those of sounddevice are collected where they arise, in capture.py.
        gc.collect()
        gc.freeze()
        gc.disable()
        with contextlib.suppress(AttributeError, OSError):
            os.nice(-10)  # ahead of what else runs here, where the system lets us
        try:
            self.source.start()
            self._due.extend(self.stream.begin())
            while not self._stopped and not (self.source.ended and not self._due):
                self._hear()
                each_turn()
                self._send_what_is_due(each_pose)
        finally:
            gc.enable()
            gc.unfreeze()
            self.source.close()

    def _hear(self) -> None:
        """Wait for sound, no longer than until the next pose is due, and dance to it."""
        now = time.perf_counter()
        wait = self.source.clock.heard_at(self._due[0].time) - now if self._due else 0.02
        wait = min(max(wait, 0.0), 0.02)
        if self.source.ended:
            time.sleep(wait)
            return
        samples = self.source.read(wait)
        if not len(samples):
            return
        before, began = self.stream.frames, time.perf_counter()
        poses, _ = self.stream.push(samples)
        self._due.extend(poses)
        heard = self.stream.frames - before
        for _ in range(heard):
            self.step.add((time.perf_counter() - began) / heard)
        self.frames += heard

    def _send_what_is_due(self, each_pose: Callable[[Pose], None]) -> None:
        clock = self.source.clock
        while self._due:
            late = time.perf_counter() - clock.heard_at(self._due[0].time)
            if late < 0.0:
                return
            pose = self._due.popleft()
            if late > LATE:
                self.late_frames += 1
            if late > _GIVE_UP and self._due and self._due[-1].time > pose.time:
                continue  # of the last moment all dancers are shown
            self.sink.send(pose, pose.time)
            self.lateness.add(late)
            self.poses_sent += 1
            each_pose(pose)

    def statistics(self) -> dict[str, Any]:
        """What ``--stats`` writes; times in ms."""
        heard = self.stream.heard
        return {
            "frames": self.frames,
            "poses_sent": self.poses_sent,
            "late_frames": self.late_frames,
            "xruns": self.source.xruns,
            "bpm": round(heard.beat.bpm, 2) if heard and heard.beat.confidence > 0 else None,
            "step_ms": self.step.summary(),
            "audio_to_pose_ms": self.lateness.summary(),
        }
