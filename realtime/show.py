"""The show: the one place where clocks and threads meet. Sound comes in, the stream dances, poses leave when due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.clients.sink import PoseSink, Sinks
from dancerev.model.features import ACTIVITY, ENERGY, ONSETS
from dancerev.model.pose import FRAME_RATE, Pose

from .audio.source import AudioSource
from .beat.tracker import FORGET_BELOW
from .spectrum import FRAME_SAMPLES
from .stats import Durations
from .stream import DanceStream

LATE = 1.0 / 30.0
"""Seconds after which a pose that did not leave in time counts as late."""

_GIVE_UP = 0.1  # seconds: a pose this late is dropped, so that a stall is followed by the present, not by the past
_LEAVE_OUT = 0.15  # seconds: sound that waits longer than this to be danced to is left out
_TURN = 0.02  # seconds: the longest wait of one turn


class Show:
    """Runs a dance from a source to a sink until the source ends or someone calls :meth:`stop`.

    On a computer that is too slow, whole frames of sound are left out, so that poses go on leaving. The time of the
    stream then falls behind that of the source by :attr:`left_out`; :meth:`heard_at` and :meth:`position` convert.

    Attributes:
        frames: acoustic frames danced to.
        poses_sent: poses handed to the sink.
        late_frames: poses that left over 1/30 s after they were due, or not at all for that reason.
        left_out: seconds of sound that were left out.
        step: durations of extracting the features of one frame and dancing to it.
        lateness: by how much poses left after the instant of the audio that they are for.
    """

    def __init__(self, source: AudioSource, stream: DanceStream, sink: PoseSink) -> None:
        """Make a show; the caller closes ``source`` and ``sink``."""
        self.source, self.stream = source, stream
        self.sinks = Sinks([sink])
        self.frames = self.poses_sent = self.late_frames = 0
        self.left_out = 0.0
        self.step, self.lateness = Durations(), Durations()
        self._waiting: npt.NDArray[np.float32] = np.empty(0, dtype=np.float32)  # sound not yet danced to
        self._due: deque[Pose] = deque()
        self._sent_time = -1.0  # of the stream: when the last pose was for
        self._stopped = False

    def stop(self) -> None:
        """End the show soon; may be called from a signal handler."""
        self._stopped = True

    def heard_at(self, time: float) -> float:
        """``time.perf_counter()`` seconds at which the stream's ``time`` (seconds) is heard."""
        return self.source.clock.heard_at(time + self.left_out)

    def position(self, moment: float) -> float:
        """Return the time of the stream, in seconds, that is heard at ``moment`` (``time.perf_counter()`` seconds)."""
        return self.source.clock.position(moment) - self.left_out

    def run(self, on_tick: Callable[[], None] = lambda: None, on_pose: Callable[[Pose], None] = lambda _: None) -> None:
        """Dance until the source ends, and call what should be quick.

        Args:
            on_tick: called every time round, fifty times a second or more, and however late the poses are.
            on_pose: called with every pose after it was sent.

        Raises:
            InputError: the source does not start.
        """
        try:
            self.source.start()
            self.stream.extractor.tracker.attach(self.heard_at)
            self._due.extend(self.stream.begin())
            while not self._stopped and not self._over:
                self._take_sound()
                self._leave_out_late_sound()
                self._dance()
                on_tick()
                self._send_what_is_due(on_pose)
        finally:
            self.source.close()

    @property
    def _over(self) -> bool:
        return self.source.ended and not len(self._waiting) and not self._due

    def _take_sound(self) -> None:
        """Wait for sound, no longer than until the next pose is due, and not at all while some waits already."""
        wait = self.heard_at(self._due[0].time) - time.perf_counter() if self._due else _TURN
        wait = 0.0 if len(self._waiting) else min(max(wait, 0.0), _TURN)
        if self.source.ended:
            time.sleep(wait)
            return
        samples = self.source.read(wait)
        if len(samples):
            self._waiting = np.concatenate([self._waiting, samples])

    def _leave_out_late_sound(self) -> None:
        """Leave out whole frames that should have been danced to long ago."""
        whole = len(self._waiting) // FRAME_SAMPLES
        if whole < 2:
            return
        late = time.perf_counter() - self.heard_at((self.stream.frames + 1) / FRAME_RATE)
        if late < _LEAVE_OUT:
            return
        count = min(whole - 1, int(late * FRAME_RATE))
        self._waiting = self._waiting[count * FRAME_SAMPLES :]
        self.left_out += count / FRAME_RATE
        self.late_frames += count * self.stream.fps // FRAME_RATE * len(self.stream.dancers)

    def _dance(self) -> None:
        """Dance to one frame of the sound that waits, or to what there is of it."""
        if not len(self._waiting):
            return
        room = FRAME_SAMPLES - self.stream.samples % FRAME_SAMPLES
        samples, self._waiting = self._waiting[:room], self._waiting[room:]
        before, began = self.stream.frames, time.perf_counter()
        poses, _ = self.stream.push(samples)
        self._due.extend(poses)
        if self.stream.frames > before:
            self.step.add(time.perf_counter() - began)
            self.frames += 1

    def _send_what_is_due(self, on_pose: Callable[[Pose], None]) -> None:
        while self._due:
            late = time.perf_counter() - self.heard_at(self._due[0].time)
            if late < 0.0:
                return
            pose = self._due.popleft()
            if late > LATE:
                self.late_frames += 1
            begun = pose.time == self._sent_time  # the other dancers of that moment have been shown
            if late > _GIVE_UP and not begun and self._due and self._due[-1].time > pose.time:
                continue  # but the last moment is shown, of all dancers
            self._sent_time = pose.time
            self.sinks.send(pose)
            self.lateness.add(late)
            self.poses_sent += 1
            if not pose.dancer:
                self._send_music(pose.time)
            on_pose(pose)

    def _send_music(self, time: float) -> None:
        """Send the music as it stands at ``time``; no beat where none is known, as in silence."""
        frame = self.stream.last
        if frame is None:
            return
        known = frame.audio[ACTIVITY] > 0.0 or frame.beat.confidence >= FORGET_BELOW
        beat = frame.beat.at(time) if known else None
        self.sinks.send_music(beat, float(frame.audio[ONSETS].max()), float(frame.audio[ENERGY]))

    def statistics(self) -> dict[str, Any]:
        """Return what ``--stats`` writes; times in ms, ``left_out`` in seconds."""
        frame = self.stream.last
        return {
            "frames": self.frames,
            "poses_sent": self.poses_sent,
            "late_frames": self.late_frames,
            "left_out": round(self.left_out, 3),
            "xruns": self.source.xruns,
            "bpm": round(frame.beat.bpm, 2) if frame and frame.beat.confidence > 0 else None,
            "step_ms": self.step.summary(),
            "audio_to_pose_ms": self.lateness.summary(),
        }
