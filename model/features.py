"""The definition of the acoustic features, frozen under a version number.

Every number is causal and comes at exactly :data:`~dancerev.model.pose.FRAME_RATE` Hz. Frame k is complete
when the audio up to time k / FRAME_RATE has arrived (k = 1, 2, …); its ``time`` is that instant.
``dancerev.realtime.features`` computes them, for training and for the stage alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FEATURE_VERSION = 3
"""Raised whenever the meaning of any number below changes; a model states the version it was trained on."""

BANDS = 8
"""Mel-spaced bands between 30 Hz and 11 kHz in which onsets and levels are given."""

AUDIO_FEATURES: tuple[str, ...] = (
    *(f"onset_{band}" for band in range(BANDS)),  # onset strength per band, 0 none … 1 strong, low to high
    *(f"level_{band}" for band in range(BANDS)),  # band level under the automatic gain, 0 … 1 (60 dB)
    "energy",  # loudness under the automatic gain, 0 … 1
    "brightness",  # spectral centroid on a log-frequency axis, 0 … 1
    "noisiness",  # spectral flatness, 0 tonal … 1 noise
    "activity",  # 1 while there is music, falling to 0 within a second of silence
)

ONSETS = slice(0, BANDS)
ENERGY = AUDIO_FEATURES.index("energy")
ACTIVITY = AUDIO_FEATURES.index("activity")

BEAT_FEATURES: tuple[str, ...] = (
    "step_sin",  # phase in the step, a beat or two, at the time of the pose; (0, 1) is on the beat
    "step_cos",
    "bar_sin",  # phase in the bar, times the confidence in it
    "bar_cos",
    "tempo",  # log2(steps per minute / 120)
    "beat_confidence",  # 0 … 1
)

BEAT = slice(len(AUDIO_FEATURES), len(AUDIO_FEATURES) + len(BEAT_FEATURES))
STEP_SIN, STEP_COS, BAR_SIN, BAR_COS, TEMPO = range(BEAT.start, BEAT.start + 5)

FASTEST_STEP = 130.0
"""Beats per minute above which a dancer steps on every second beat only."""

FEATURE_NAMES: tuple[str, ...] = AUDIO_FEATURES + BEAT_FEATURES
FEATURE_SIZE = len(FEATURE_NAMES)


@dataclass(frozen=True, slots=True)
class BeatState:
    """What is known of the beat at one instant of the audio.

    Attributes:
        time: seconds of audio.
        phase: position in the beat, [0, 1); 0 is on the beat.
        period: seconds from beat to beat.
        confidence: [0, 1].
        beat_in_bar: 0 for the downbeat, counting up.
        beats_per_bar: 2, 3, 4 or 6.
        bar_confidence: [0, 1]; 0 while the music does not show its bar.
        beat_in_step: 0 for the beat on which the dancer steps.
        beats_per_step: 1, or where the music is fast 2, in bars of three and six 3.
    """

    time: float
    phase: float
    period: float
    confidence: float
    beat_in_bar: int = 0
    beats_per_bar: int = 4
    bar_confidence: float = 0.0
    beat_in_step: int = 0
    beats_per_step: int = 1

    @property
    def bpm(self) -> float:
        """Beats per minute."""
        return 60.0 / self.period

    @property
    def next_beat(self) -> float:
        """Seconds of audio at which the next beat falls."""
        return self.time + (1.0 - self.phase) * self.period

    def at(self, time: float) -> BeatState:
        """Return the same beat as it will stand at ``time`` (seconds), if the tempo stays."""
        beats = self.beats_at(time)
        whole = math.floor(beats)
        return replace(
            self,
            time=time,
            phase=beats - whole,
            beat_in_bar=whole % self.beats_per_bar,
            beat_in_step=(self.beat_in_step + whole - self.beat_in_bar) % self.beats_per_step,
        )

    def on_beat(self, time: float) -> BeatState:
        """Return the beat that falls at ``time`` (seconds), or nearest to it, as it will stand then: its phase is 0."""
        return replace(self.at(time + 0.5 * self.period), time=time, phase=0.0)

    def beats_at(self, time: float) -> float:
        """Beats since the current bar's downbeat at ``time`` (seconds), at the present tempo."""
        return self.beat_in_bar + self.phase + (time - self.time) / self.period

    def steps_at(self, time: float) -> float:
        """Step since the last one at ``time`` (seconds), at the present tempo."""
        return (self.beat_in_step + self.phase + (time - self.time) / self.period) / self.beats_per_step


@dataclass(frozen=True, slots=True)
class AcousticFrame:
    """The music up to ``time`` (seconds of audio): ``audio`` (len(AUDIO_FEATURES),) float32 and the beat."""

    time: float
    audio: npt.NDArray[np.float32]
    beat: BeatState


def beat_features(beat: BeatState, time: float) -> npt.NDArray[np.float32]:
    """(len(BEAT_FEATURES),) float32: the beat as it will stand at ``time`` (seconds), the time of the pose."""
    turn, bar = 2.0 * math.pi * beat.steps_at(time), 2.0 * math.pi * beat.beats_at(time) / beat.beats_per_bar
    return np.array(
        [
            math.sin(turn),
            math.cos(turn),
            beat.bar_confidence * math.sin(bar),
            beat.bar_confidence * math.cos(bar),
            math.log2(beat.bpm / beat.beats_per_step / 120.0),
            beat.confidence,
        ],
        dtype=np.float32,
    )


def network_input(frame: AcousticFrame, time: float) -> npt.NDArray[np.float32]:
    """(FEATURE_SIZE,) float32: the network's input for the pose for ``time`` (seconds)."""
    return np.concatenate([frame.audio, beat_features(frame.beat, time)])
