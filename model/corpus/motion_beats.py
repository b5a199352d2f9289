"""The beat in a movement, and a movement brought onto a beat.

:func:`find_beats` threads a steady pulse through the kinematic beats of a take by dynamic programming, in the manner of
Ellis, "Beat Tracking by Dynamic Programming", 2007; :class:`Pulse` plays the motion so that this pulse falls where the
music's does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from ..kinematic_beats import SMOOTHING, alignment, dips, joint_speed, kinematic_beats
from .motion import Motion

Array = npt.NDArray[Any]

LOCAL_RATE = 1.3
"""How much faster or slower than its average a take may run from one beat to the next."""

_STEADINESS = 4.0  # what a deviation of one octave from the period costs, in fully pronounced beats
_ACCENTS = (0.2, 0.3, 0.4, 0.5, 0.6)  # how much slower the motion runs on the beat than on average, and faster between
_ALIGNED = 0.7  # alignment with which an accent is strong enough


def find_beats(strength: Array, fps: float, period: float) -> tuple[Array, float]:
    """Return the most pronounced pulse of about one period.

    Args:
        strength: (T,) how pronounced a kinematic beat is in each frame, 0 where there is none.
        fps: frames per second.
        period: seconds from beat to beat; each interval lies within :data:`LOCAL_RATE` of it.

    Returns:
        frames (N,) of the beats, and the mean of their strength less the cost of unsteadiness.
    """
    low, high = int(np.ceil(period * fps / LOCAL_RATE)), int(np.floor(period * fps * LOCAL_RATE))
    steps = np.arange(low, high + 1)
    cost = _STEADINESS * np.log2(steps / (period * fps)) ** 2
    total, previous = strength.copy(), np.full(len(strength), -1)
    for frame in range(low, len(strength)):
        before = frame - steps[: np.searchsorted(steps, frame, side="right")]
        gains = total[before] - cost[: len(before)]
        best = int(np.argmax(gains))
        # The first beat of the pulse may come anywhere in its first period.
        if gains[best] > 0.0 or frame >= high:
            total[frame] = strength[frame] + gains[best]
            previous[frame] = before[best]
    end = len(total) - high + int(np.argmax(total[-high:])) if len(total) > high else int(np.argmax(total))
    score, beats = float(total[end]), [end]
    while previous[beats[-1]] >= 0:
        beats.append(int(previous[beats[-1]]))
    return np.array(beats[::-1]), score / len(beats)


@dataclass(frozen=True)
class Pulse:
    """A motion with its beats: ``beats`` (N,) rising seconds of the motion; they can be laid on any music's beats.

    Attributes:
        motion: the take's segment.
        beats: (N,) seconds.
        stretch: mean speed of playing at the tempo for which it was made, 1 as it was danced.
        score: beat alignment when played so.
        accent: how much slower it runs on the beat, and faster between, than on average.
    """

    motion: Motion
    beats: Array
    stretch: float
    score: float
    accent: float = _ACCENTS[0]

    def seconds_at(self, beat: Array) -> Array:
        """Motion time (M,) at which the pulse reaches ``beat`` (M,), counted in beats from the first, with accent.

        Smooth and monotone; outside the pulse it goes on at the mean rate and stops at the motion's ends.
        """
        mean = (self.beats[-1] - self.beats[0]) / (len(self.beats) - 1)
        count = 4
        before = self.beats[0] - mean * np.arange(count, 0, -1)
        after = self.beats[-1] + mean * np.arange(1, count + 1)
        index = np.arange(-count, len(self.beats) + count)
        warp = PchipInterpolator(index, np.concatenate([before, self.beats, after]))
        beat = np.clip(beat, index[0], index[-1])
        accented = beat - self.accent / (2.0 * np.pi) * np.sin(2.0 * np.pi * beat)
        return np.asarray(np.clip(warp(accented), 0.0, self.motion.seconds))


def _played_beats(pulse: Pulse, rate: float, fps: float) -> tuple[Array, float]:
    """Kinematic beats in beats of the pulse, played at ``rate`` beats per second; and the alignment to whole beats."""
    count = len(pulse.beats)
    times = np.arange(int((count - 1) * fps / rate) + 1) / fps
    rotations, root, contacts = pulse.motion.at(pulse.seconds_at(times * rate))
    played = Motion(rotations, root, contacts, fps)
    found = kinematic_beats(played.positions(), fps)
    return found * rate, alignment(np.arange(1, count - 1) / rate, found)


def fit_pulse(motion: Motion, rate: float, stretches: Array) -> Pulse | None:
    """Return the pulse of a motion that serves best when it is danced at ``rate`` beats per second.

    Args:
        motion: at 60 frames per second.
        rate: dance beats per second.
        stretches: (S,) mean speeds at which the motion may be played.

    Returns:
        None where the motion is too short for three beats.
    """
    fps = motion.fps
    speed = joint_speed(motion.positions(), fps).mean(axis=1)
    fitted: list[tuple[float, float, Array]] = []
    for stretch in stretches:
        times, depth = dips(speed, fps, SMOOTHING * stretch)
        strength = np.zeros(len(motion))
        strength[np.rint(times * fps).astype(int)] = np.sqrt(depth)
        beats, score = find_beats(strength, fps, stretch / rate)
        if len(beats) >= 3:
            fitted.append((score - 0.3 * abs(np.log2(stretch)), float(stretch), beats / fps))
    best: Pulse | None = None
    worth = -np.inf
    for _, stretch, beats in sorted(fitted, key=lambda fit: -fit[0])[:3]:
        for accent in _ACCENTS:
            pulse = _refined(Pulse(motion, beats, stretch, 0.0, accent), rate)
            if pulse.score >= _ALIGNED:
                break
        value = pulse.score - 0.3 * abs(np.log2(stretch))
        if value > worth:
            best, worth = pulse, value
    return best


def _refined(pulse: Pulse, rate: float, rounds: int = 3) -> Pulse:
    """Return the pulse with its beats moved to where the kinematic beats fall once it is played at ``rate``."""
    best = pulse
    mean = float(np.diff(pulse.beats).mean())
    for turn in range(rounds):
        found, score = _played_beats(pulse, rate, 60.0)
        if turn == 0 or score > best.score:
            best = replace(pulse, score=score)
        if len(found) == 0:
            break
        index = np.arange(len(pulse.beats))
        nearest = found[np.abs(found[:, None] - index).argmin(axis=0)]
        shift = np.where(np.abs(nearest - index) < 0.3, nearest - index, 0.0)
        moved = pulse.seconds_at(index + shift)
        beats = pulse.beats + 0.8 * (moved - pulse.beats)
        # Rates stay within bounds: an interval that would leave them is not changed.
        gaps = np.diff(beats)
        bad = (gaps > mean * LOCAL_RATE) | (gaps < mean / LOCAL_RATE)
        hold = np.concatenate([[False], bad]) | np.concatenate([bad, [False]])
        beats[hold] = pulse.beats[hold]
        if (np.diff(beats) <= 0.05).any():
            break
        pulse = replace(pulse, beats=beats)
    return best
