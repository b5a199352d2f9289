"""The whole stream without a clock: samples in, poses out. What ``dancerev-live`` and ``dancerev-generate`` share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dancerev.model.features import AcousticFrame
from dancerev.model.pose import FRAME_RATE, Pose
from dancerev.realtime.beat import BeatClock
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.features import FeatureExtractor
from dancerev.realtime.interpolate import PoseInterpolator


class DanceStream:
    """Audio to dance.

    Attributes:
        ear: hears; its ``tracker`` takes taps and the like.
        dancer: dances.
        interpolator: fills in the poses between.
        heard: the last acoustic frame, None before the first.
        frames: acoustic frames so far.
    """

    def __init__(self, dancer: Dancer, fps: int = 30, ear: FeatureExtractor | None = None) -> None:
        """``fps``: poses a second to give out, a multiple of 15."""
        if fps % FRAME_RATE:
            raise ValueError(f"the output rate must be a multiple of {FRAME_RATE}, not {fps}")
        self.ear = FeatureExtractor() if ear is None else ear
        self.dancer = dancer
        self.heard: AcousticFrame | None = None
        self.frames = 0
        self._beats = BeatClock()
        self.interpolator = PoseInterpolator(fps)

    def begin(self) -> list[Pose]:
        """The poses that are due before any music was heard: those up to 1/15 s."""
        return [pose for stance in self.dancer.before_the_music() for pose in self.interpolator.push(stance)]

    def push(self, samples: npt.NDArray[np.float32]) -> tuple[list[Pose], list[float]]:
        """Hear (n,) mono float32 samples at ``features.SAMPLE_RATE``.

        Returns:
            the poses that they complete, with times on the grid of the output rate: each is for a time later than
            the last sample, by up to 1/15 s; and the beats announced, in seconds of audio, none earlier than the last
            complete frame.
        """
        poses: list[Pose] = []
        beats: list[float] = []
        for frame in self.ear.push(samples):
            self.heard = frame
            self.frames += 1
            beats += self._beats.announce(frame.beat, frame.time + 1.0 / FRAME_RATE)
            poses += self.interpolator.push(self.dancer.hear(frame))
        return poses, beats
