"""The whole stream without a clock: samples in, poses out. What ``dancerev-live`` and ``dancerev-generate`` share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dancerev.model.features import ACTIVITY, AcousticFrame
from dancerev.model.pose import FRAME_RATE, Pose, rest_pose

from .beat.tracker import FORGET_BELOW, BeatClock
from .body.arrangement import Arrangement
from .body.hands_and_face import HandsAndFace
from .body.interpolate import PoseInterpolator
from .dancer import Dancer, dance_together
from .features import FeatureExtractor


class DanceStream:
    """Audio to dance.

    Attributes:
        extractor: makes acoustic frames of samples; its ``tracker`` takes taps and the like.
        dancers: those on stage, in their order.
        arrangement: what the performer imposes on them, such as a freeze.
        interpolators: fill in the poses between those of the network, one for each dancer.
        hands_and_faces: add fingers and a face to the poses, one for each dancer; none if empty.
        last: the last acoustic frame, None before the first.
        frames: acoustic frames so far.
        samples: samples so far.
    """

    def __init__(
        self,
        dancers: Dancer | Sequence[Dancer],
        fps: int = 30,
        extractor: FeatureExtractor | None = None,
        hands_and_faces: Sequence[HandsAndFace] = (),
    ) -> None:
        """Make a stream.

        Args:
            dancers: one, or several who share their model.
            fps: poses a second of each, a multiple of 15.
            extractor: another than the default one.
            hands_and_faces: as the attribute.
        """
        self.extractor = FeatureExtractor() if extractor is None else extractor
        self.dancers = [dancers] if isinstance(dancers, Dancer) else list(dancers)
        self.arrangement = Arrangement()
        self.last: AcousticFrame | None = None
        self.frames = self.samples = 0
        self._beats = BeatClock()
        self.interpolators = [PoseInterpolator(fps) for _ in self.dancers]
        self.fps = fps
        self.hands_and_faces = list(hands_and_faces)

    @property
    def fps(self) -> int:
        """Poses a second of each dancer; may be set between two pushes."""
        return int(self.interpolators[0].fps)

    @fps.setter
    def fps(self, fps: int) -> None:
        if fps < FRAME_RATE or fps % FRAME_RATE:
            raise ValueError(f"the output rate must be a multiple of {FRAME_RATE}, not {fps}")
        for interpolator in self.interpolators:
            interpolator.fps = fps

    @property
    def beat_is_known(self) -> bool:
        """Whether music plays or has just paused, so that its beat means something; not in silence."""
        frame = self.last
        return frame is not None and (frame.audio[ACTIVITY] > 0.0 or frame.beat.confidence >= FORGET_BELOW)

    def begin(self) -> list[Pose]:
        """Return the poses that are due before any music was heard: those up to 1/15 s."""
        stances = [dancer.opening_poses() for dancer in self.dancers]
        return [pose for together in zip(*stances, strict=True) for pose in self._filled_in(together)]

    def push(self, samples: npt.NDArray[np.float32]) -> tuple[list[Pose], list[float]]:
        """Take (n,) mono float32 samples at ``audio.clock.SAMPLE_RATE``.

        Returns:
            the poses that they complete, with times on the grid of the output rate: each is for a time later than
            the last sample, by up to 1/15 s, and those of all dancers for one time come in their order; and the beats
            announced, in seconds of audio, none earlier than the last complete frame.
        """
        poses: list[Pose] = []
        beats: list[float] = []
        self.samples += len(samples)
        for frame in self.extractor.push(samples):
            self.last = frame
            self.frames += 1
            beats += self._beats.announce(frame.beat, frame.time + 1.0 / FRAME_RATE)
            poses += self._filled_in(dance_together(self.dancers, frame, self.arrangement))
        return poses, beats

    def restart(self) -> None:
        """Put every dancer at its centre, at rest, with the next pose; the music goes on as it was."""
        now = self.frames / FRAME_RATE + 1.0 / FRAME_RATE  # of the last pose
        self.arrangement.restart()
        self.dancers[0].model.reset()
        for dancer, interpolator in zip(self.dancers, self.interpolators, strict=True):
            dancer.restart()
            interpolator.restart(dancer.finish(rest_pose(now)))

    def _filled_in(self, poses: Sequence[Pose]) -> list[Pose]:
        """Return the output poses up to the time of ``poses``, one of each dancer, in order of time."""
        filled = [interpolator.push(pose) for interpolator, pose in zip(self.interpolators, poses, strict=True)]
        for number, extras in enumerate(self.hands_and_faces):
            style = self.dancers[number].style
            still = self.arrangement.freeze or self.arrangement.rest or self.arrangement.blackout
            filled[number] = [extras.add(pose, self.last, style, still=still) for pose in filled[number]]
        return [pose for together in zip(*filled, strict=True) for pose in together]
