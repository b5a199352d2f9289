"""Hands, a face and breath for a dance that has only bones: none of them comes from motion capture.

Hands go from one natural shape to the next with the music: a new shape for every phrase of some beats, drawn from those
that suit the style, reached within a beat and never quite held, as every finger has its own slow tremor. The eyes look
at the audience, with moments away; they blink at irregular times; the mouth opens and smiles with the energy; the chest
breathes.

All of it follows from a seed, the time of the audio and what is known of the music, so that the same dance has the same
hands. The randomness is drawn by hashing whole numbers (of phrases, blinks, ticks), which needs no state and never
repeats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dancerev.model.features import ACTIVITY, ENERGY, ONSETS, AcousticFrame
from dancerev.model.hands_and_face import FINGERS
from dancerev.model.pose import Pose
from dancerev.model.skeleton import INDEX

from .scalar_kinematics import Quaternion, Vector, conjugate, multiply, rotate

# A hand's shape: for thumb to little finger how far it is bent, 0 straight … 1 a fist, and how far the fingers are
# spread, -1 pressed together … 1 splayed.
_SHAPES: dict[str, tuple[tuple[float, float, float, float, float], float]] = {
    "relaxed": ((0.25, 0.22, 0.3, 0.36, 0.42), 0.0),
    "open": ((0.08, 0.07, 0.06, 0.08, 0.1), 0.35),
    "splayed": ((0.05, 0.1, 0.06, 0.08, 0.1), 1.0),
    "blade": ((0.3, 0.06, 0.05, 0.06, 0.08), -0.6),
    "soft fist": ((0.5, 0.62, 0.68, 0.72, 0.74), -0.2),
    "fist": ((0.75, 0.9, 0.92, 0.93, 0.94), -0.3),
    "point": ((0.55, 0.08, 0.72, 0.78, 0.8), -0.1),
    "lead": ((0.2, 0.1, 0.3, 0.4, 0.3), 0.25),
    "petal": ((0.45, 0.5, 0.12, 0.1, 0.06), 0.55),
    "claw": ((0.35, 0.42, 0.42, 0.44, 0.46), 0.8),
    "cup": ((0.4, 0.38, 0.4, 0.42, 0.44), -0.35),
}

_ANY_STYLE = {"relaxed": 5.0, "open": 2.0, "soft fist": 2.0, "lead": 1.0, "cup": 1.0, "splayed": 0.5, "point": 0.5}
_STYLES: Mapping[str, dict[str, float]] = {
    "salsa": {"lead": 4.0, "relaxed": 3.0, "open": 2.0, "splayed": 1.0, "cup": 1.0},
    "indian": {"petal": 5.0, "splayed": 2.0, "blade": 2.0, "lead": 1.0, "relaxed": 1.0},
    "modern": {"relaxed": 4.0, "open": 3.0, "blade": 1.0, "lead": 1.0, "claw": 0.5},
    "martial": {"fist": 4.0, "blade": 3.0, "soft fist": 2.0, "claw": 1.0},
    "street": {"relaxed": 3.0, "soft fist": 3.0, "fist": 1.0, "point": 1.5, "splayed": 1.0, "open": 1.0},
    "pop": {"relaxed": 3.0, "open": 2.0, "point": 1.5, "soft fist": 1.5, "splayed": 1.5},
}
"""How often each shape comes in a style; styles that are not here get those of :data:`_ANY_STYLE`."""

_BEND = np.radians([[42.0, 40.0, 62.0], *[[78.0, 96.0, 58.0]] * 4])  # of the three joints of each digit when bent
_SPREAD = np.radians([0.0, -11.0, -2.5, 6.0, 15.0])  # of each digit when splayed; towards the thumb is negative
_LEAST_BEND = 0.04
_TREMOR = 0.07
_REACH_TIME = 0.13  # seconds in which two thirds of the way to a new shape are made
_PHRASES = (2, 4, 4, 8)  # beats that a shape is kept
_UNKNOWN_PERIOD = 0.55  # seconds from beat to beat while no beat is known

_BLINK = 0.18  # seconds from open to open
_BETWEEN_BLINKS = (1.8, 6.2)  # seconds: 15 a minute on average
_ON_AUDIENCE, _AWAY = (1.6, 4.8), (0.5, 1.4)  # seconds
_MOST_YAW, _MOST_PITCH = 0.6, 0.38  # radians of the eyes in the head
_AUDIENCE: Vector = (0.0, 1.45, 5.0)  # metres: the eyes of whoever watches
_SACCADE_TIME = 0.035  # seconds

_BREATH = math.radians(1.1)  # of the chest
_CHEST, _SHOULDERS = INDEX["UpperChest"], (INDEX["LeftShoulder"], INDEX["RightShoulder"])
_NECKLINE = tuple(INDEX[name] for name in ("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head"))


class HandsAndFace:
    """Adds fingers, a face and breath to the poses of one dancer, in the order of their times."""

    def __init__(self, seed: int = 0, styles: tuple[str, ...] = (), *, hands: bool = True, face: bool = True) -> None:
        """Make one for one dancer.

        Args:
            seed: whole number; another one has other hands and blinks.
            styles: names of the styles that the weights of :meth:`add` are for.
            hands: add fingers.
            face: add a face, and breath.
        """
        self.hands, self.face = hands, face
        self._seed = seed
        self._shapes = _Repertoire(styles)
        self._time = -math.inf
        self._beat = 0.0  # beats since the beginning
        self._phrases = [_Phrase(), _Phrase()]
        self._curl = np.array([_SHAPES["relaxed"][0]] * 2)
        self._spread = np.zeros(2)
        self._energy = self._mouth = 0.0
        self._blinks = _Schedule(seed, 11, (_BETWEEN_BLINKS,))
        self._looks = _Schedule(seed, 12, (_ON_AUDIENCE, _AWAY))
        self._gaze = (0.0, 0.0)
        self._breath = 0.0

    def add(
        self,
        pose: Pose,
        frame: AcousticFrame | None,
        style: npt.NDArray[np.float32] | None = None,
        *,
        still: bool = False,
    ) -> Pose:
        """Return ``pose`` with what is added.

        Args:
            pose: later than the one before.
            frame: the last acoustic frame, None before the music.
            style: (styles,) weights; None or zeros for any style.
            still: whether the dancer stands still; the hands then keep their shapes.
        """
        seconds = min(max(pose.time - self._time, 0.0), 0.2)
        self._time = pose.time
        self._follow(frame, seconds)
        if self.hands:
            pose = replace(pose, fingers=self._fingers(style, seconds, still))
        if self.face:
            pose = replace(pose, face=self._expression(pose, frame, seconds), rotations=self._breathe(pose, seconds))
        return pose

    def _follow(self, frame: AcousticFrame | None, seconds: float) -> None:
        """Keep up with beat and energy."""
        period, energy = _UNKNOWN_PERIOD, 0.0
        if frame is not None:
            energy = float(frame.audio[ENERGY] * frame.audio[ACTIVITY])
            if frame.beat.confidence > 0.0:
                period = frame.beat.period
                # The count since the beginning takes the tracker's phase, at its own nearest beat.
                phase = frame.beat.at(self._time).phase
                off = (phase - self._beat - seconds / period + 0.5) % 1.0 - 0.5
                self._beat += off * min(4.0 * seconds, 1.0)
        self._beat += seconds / period
        self._energy += (energy - self._energy) * (1.0 - math.exp(-seconds / 0.5))

    def _fingers(self, style: npt.NDArray[np.float32] | None, seconds: float, still: bool) -> npt.NDArray[np.float32]:
        """(30, 4) local rotations of both hands."""
        share = 1.0 - math.exp(-seconds / _REACH_TIME)
        for side, phrase in enumerate(self._phrases):
            if not still:
                phrase.advance(self._seed, side, self._beat)
            curl, spread = self._shapes.draw(_random(self._seed, 20 + side, phrase.number), style)
            self._curl[side] += share * (curl - self._curl[side])
            self._spread[side] += share * (spread - self._spread[side])
        lively = 0.6 + 0.8 * self._energy
        tremor = np.array([_wander(self._seed, 30 + i, 0.9 * self._time) for i in range(12)])
        curl = self._curl + lively * _TREMOR * tremor[:10].reshape(2, 5)
        curl = np.clip(_LEAST_BEND + (1.0 - _LEAST_BEND) * curl, _LEAST_BEND, 1.0)
        return _finger_rotations(curl, self._spread + 0.15 * lively * tremor[10:])

    def _expression(self, pose: Pose, frame: AcousticFrame | None, seconds: float) -> npt.NDArray[np.float32]:
        """(5,) as ``model.hands_and_face.FACE``."""
        since = self._blinks.since(pose.time)
        closed = since / (0.4 * _BLINK) if since < 0.4 * _BLINK else (_BLINK - since) / (0.6 * _BLINK)
        onset = 0.0 if frame is None else float(frame.audio[ONSETS].max())
        opened = 0.4 * self._energy * (1.0 + _wander(self._seed, 41, 2.3 * pose.time)) + 0.2 * onset
        self._mouth += (opened * min(2.0 * self._energy, 1.0) - self._mouth) * (1.0 - math.exp(-seconds / 0.08))
        joy = 0.12 + 0.6 * self._energy + 0.18 * _wander(self._seed, 42, 0.23 * pose.time)
        self._look(pose, seconds)
        face = (min(max(closed, 0.0), 1.0), min(max(joy, 0.0), 1.0), min(max(self._mouth, 0.0), 1.0), *self._gaze)
        return np.array(face, dtype=np.float32)

    def _look(self, pose: Pose, seconds: float) -> None:
        """Turn the eyes to the audience, or for a moment away from it."""
        self._looks.since(pose.time)
        number, away = self._looks.number, self._looks.kind == 1
        if away:
            yaw = (2.0 * _random(self._seed, 51, number) - 1.0) * _MOST_YAW
            pitch = (1.4 * _random(self._seed, 52, number) - 1.0) * _MOST_PITCH
        else:
            yaw, pitch = _towards_audience(pose)
        yaw += 0.02 * _wander(self._seed, 53, 1.7 * pose.time)
        pitch += 0.015 * _wander(self._seed, 54, 1.7 * pose.time)
        share = 1.0 - math.exp(-seconds / _SACCADE_TIME)
        self._gaze = (self._gaze[0] + share * (yaw - self._gaze[0]), self._gaze[1] + share * (pitch - self._gaze[1]))

    def _breathe(self, pose: Pose, seconds: float) -> npt.NDArray[np.float32]:
        """Return the rotations of ``pose`` with the chest and the shoulders raised by the breath."""
        self._breath += seconds * (0.25 + 0.3 * self._energy) * math.tau
        angle = 0.5 * _BREATH * (1.0 + 0.5 * self._energy) * math.sin(self._breath)
        rotations = pose.rotations.copy()
        chest: Quaternion = (-math.sin(angle / 2.0), 0.0, 0.0, math.cos(angle / 2.0))
        rotations[_CHEST] = multiply(_quaternion(rotations[_CHEST]), chest)
        for side, shoulder in zip((1.0, -1.0), _SHOULDERS, strict=True):
            lift: Quaternion = (0.0, 0.0, side * math.sin(0.6 * angle), math.cos(0.6 * angle))
            rotations[shoulder] = multiply(_quaternion(rotations[shoulder]), lift)
        return rotations


class _Phrase:
    """The beats for which one hand keeps its shape."""

    def __init__(self) -> None:
        self.number = 0
        self._end = 0.0

    def advance(self, seed: int, side: int, beat: float) -> None:
        """Go on to the phrase in which ``beat`` is."""
        while beat >= self._end:
            self.number += 1
            self._end += _PHRASES[int(_random(seed, 24 + side, self.number) * len(_PHRASES))]


class _Repertoire:
    """The shapes of hands of each style."""

    def __init__(self, styles: tuple[str, ...]) -> None:
        self._curls = np.array([curl for curl, _ in _SHAPES.values()])
        self._spreads = np.array([spread for _, spread in _SHAPES.values()])

        def weights(chosen: Mapping[str, float]) -> npt.NDArray[np.float64]:
            return np.array([chosen.get(name, 0.0) for name in _SHAPES]) / sum(chosen.values())

        self._any = weights(_ANY_STYLE)
        self._styles = np.array([weights(_STYLES.get(name, _ANY_STYLE)) for name in styles]).reshape(-1, len(_SHAPES))

    def draw(self, chance: float, style: npt.NDArray[np.float32] | None) -> tuple[npt.NDArray[np.float64], float]:
        """Return the bend (5,) and the spread of the shape that ``chance`` (0 … 1) picks from those of a style."""
        weights = self._any
        if style is not None and len(style) == len(self._styles) and style.sum() > 0.0:
            weights = style @ self._styles / style.sum()
        shape = min(int(np.searchsorted(np.cumsum(weights), chance)), len(self._spreads) - 1)
        return self._curls[shape], float(self._spreads[shape])


class _Schedule:
    """Moments that come at irregular intervals, of kinds that take turns."""

    def __init__(self, seed: int, channel: int, intervals: tuple[tuple[float, float], ...]) -> None:
        self._seed, self._channel, self._intervals = seed, channel, intervals
        self.number, self.kind = 0, 0
        self._start, self._end = 0.0, self._length()

    def _length(self) -> float:
        least, most = self._intervals[self.kind]
        return least + (most - least) * _random(self._seed, self._channel, self.number)

    def since(self, time: float) -> float:
        """Seconds from the last moment to ``time``, which never falls."""
        while time >= self._end:
            self.number += 1
            self.kind = self.number % len(self._intervals)
            self._start, self._end = self._end, self._end + self._length()
        return time - self._start


def _finger_rotations(curl: npt.NDArray[np.float64], spread: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """(30, 4) local rotations of bends (2, 5) and spreads (2,) of the left and the right hand.

    A finger bends about the hand's forward axis, by which its tip goes down to the palm, after it is spread about the
    axis out of the palm. The thumb bends across the palm.
    """
    bend = curl[:, :, None] * _BEND  # (2, 5, 3)
    aside = np.zeros_like(bend)
    # Fingers come together as they bend.
    aside[:, :, 0] = spread[:, None] * _SPREAD * (1.0 - 0.7 * curl)
    side = np.array([1.0, -1.0])[:, None, None]
    half_bend, half_aside = -0.5 * side * bend, 0.5 * side * aside
    cb, sb, ca, sa = np.cos(half_bend), np.sin(half_bend), np.cos(half_aside), np.sin(half_aside)
    # The product of a turn about y (aside) and one about z (bend).
    rotations = np.stack([sa * sb, sa * cb, ca * sb, ca * cb], axis=-1)
    thumb = bend[:, 0]
    half = 0.5 * thumb
    cosine, sine = np.cos(half), np.sin(half)
    flip = side[:, :, 0]
    rotations[:, 0] = np.stack([0.35 * sine, 0.85 * flip * sine, -0.39 * flip * sine, cosine], axis=-1)
    rotations[:, 0] /= np.linalg.norm(rotations[:, 0], axis=-1, keepdims=True)
    return rotations.reshape(len(FINGERS), 4).astype(np.float32)


def _towards_audience(pose: Pose) -> tuple[float, float]:
    """Yaw and pitch of the eyes in the head that look at the audience; straight ahead where it is out of sight."""
    head: Quaternion = (0.0, 0.0, 0.0, 1.0)
    for bone in _NECKLINE:
        head = multiply(head, _quaternion(pose.rotations[bone]))
    x, _, z = pose.root.tolist()
    ax, ay, az = _AUDIENCE
    # The audience is as wide as the stage: it is in front of every dancer, a little towards the middle.
    x, y, z = rotate(conjugate(head), (ax - 0.4 * x, ay - 1.5, az - z))
    yaw, pitch = math.atan2(x, z), math.atan2(y, math.hypot(x, z))
    if abs(yaw) > 1.3:  # behind: they do not strain
        return 0.0, 0.0
    return min(max(yaw, -_MOST_YAW), _MOST_YAW), min(max(pitch, -_MOST_PITCH), _MOST_PITCH)


def _quaternion(values: npt.NDArray[np.float32]) -> Quaternion:
    x, y, z, w = values.tolist()
    return x, y, z, w


def _random(seed: int, channel: int, number: int) -> float:
    """Return a number in [0, 1) that depends on its arguments alone (SplitMix64, Steele et al., 2014)."""
    word = (seed * 0x9E3779B97F4A7C15 + channel * 0xD1B54A32D192ED03 + number * 0x8CB92BA72F3D8DD7) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return ((word ^ (word >> 31)) >> 11) / (1 << 53)


_WORD = (1 << 64) - 1


def _wander(seed: int, channel: int, position: float) -> float:
    """Return a smooth random curve between -1 and 1 that never repeats (value noise; Perlin's fade of 2002)."""
    whole = math.floor(position)
    t = position - whole
    fade = t * t * t * (t * (6.0 * t - 15.0) + 10.0)
    a, b = _random(seed, channel, whole), _random(seed, channel, whole + 1)
    return 2.0 * (a + fade * (b - a)) - 1.0
