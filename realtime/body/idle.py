"""Standing while no music plays: breath, shifts of weight, a look round. Never the same twice.

A network that was taught mostly to dance does not stand still, or stands like a statue. In silence its pose passes over
into a stance at ease, one leg after the other, with what a waiting person does: every movement goes to a place that is
drawn anew, after a time that is drawn anew, along a critically damped spring. It works on the pose before the feet are
planted, so that the legs give way under the shifting hips.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dancerev.model import rotation
from dancerev.model.curves import smoothstep
from dancerev.model.pose import FRAME_RATE, Pose, rest_pose
from dancerev.model.skeleton import BONES, INDEX

from .scalar_kinematics import Quaternion, multiply

_STEP = 1.0 / FRAME_RATE
_COMES, _GOES = 0.9, 0.5  # seconds in which it comes with the silence, and goes with the music
_SILENT, _PLAYING = 0.1, 0.5  # activity below which there is silence, and from which on there is music
_REST = rest_pose()
_LEGS = [[INDEX[side + part] for part in ("UpperLeg", "LowerLeg", "Foot", "Toes")] for side in ("Left", "Right")]
_SLACK = 0.012  # metres by which the hips come down, so that the knees can give


class _Drift:
    """A number that goes to places drawn at random and stays at each for a time drawn at random."""

    def __init__(self, reach: float, hold: tuple[float, float], stiffness: float, rng: np.random.Generator) -> None:
        self._reach, self._hold, self._stiffness, self._rng = reach, hold, stiffness, rng
        self.value = self.velocity = self._target = 0.0
        self._left = float(rng.uniform(0.3, 1.0) * hold[0])

    def step(self, seconds: float) -> float:
        """Return the value ``seconds`` later."""
        self._left -= seconds
        if self._left <= 0.0:
            self._left = float(self._rng.uniform(*self._hold))
            self._target = float(self._rng.triangular(-self._reach, 0.0, self._reach))
        # The exact step of a critically damped spring.
        fade = math.exp(-self._stiffness * seconds)
        off = self.value - self._target
        push = (self.velocity + self._stiffness * off) * seconds
        self.value = self._target + fade * (off + push)
        self.velocity = fade * (self.velocity - self._stiffness * push)
        return self.value


class Idle:
    """What one dancer adds to its stance in silence."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw everything from ``rng``."""
        self._rng = rng
        self._weight = 0.0
        self._breath, self._breath_rate = 0.0, 0.25
        self._side = _Drift(0.07, (2.5, 9.0), 2.2, rng)  # metres that the hips shift, to the left
        self._ahead = _Drift(0.025, (3.0, 9.0), 2.0, rng)
        self._look = _Drift(0.9, (1.5, 6.0), 4.5, rng)  # radians that the head turns, to the left
        self._nod = _Drift(0.22, (1.5, 6.0), 4.0, rng)
        self._arms = [_Drift(0.16, (2.0, 8.0), 2.5, rng) for _ in range(2)]

    def apply(self, pose: Pose, activity: float, heading: float) -> Pose:
        """Return the pose with what is added to it; called once for each network step.

        Args:
            pose: of the network.
            activity: of the music, 0 … 1.
            heading: radians, of the hips.
        """
        silence = min(max((_PLAYING - activity) / (_PLAYING - _SILENT), 0.0), 1.0)
        change = silence - self._weight
        self._weight += min(max(change, -_STEP / _GOES), _STEP / _COMES)
        if self._weight < 1e-3:
            return pose
        side, ahead, look, nod = (d.step(_STEP) for d in (self._side, self._ahead, self._look, self._nod))
        breath = self._breathe()
        w = smoothstep(self._weight)
        rotations, root = self._at_ease(pose, heading)

        def turn(bone: str, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> None:
            index = INDEX[bone]
            x, y, z, s = rotations[index].tolist()
            rotations[index] = multiply((x, y, z, s), _small_turn(w * pitch, w * yaw, w * roll))

        turn("Hips", roll=-0.7 * side)
        turn("Spine", yaw=0.10 * look, roll=1.1 * side)
        turn("Chest", pitch=0.012 * breath, yaw=0.10 * look)
        turn("UpperChest", pitch=-0.022 * breath, roll=0.4 * side)
        turn("Neck", pitch=0.4 * nod, yaw=0.35 * look)
        turn("Head", pitch=0.6 * nod - 0.006 * breath, yaw=0.45 * look, roll=-0.8 * side)
        for name, drift, sign in zip(("Left", "Right"), self._arms, (1.0, -1.0), strict=True):
            swing = drift.step(_STEP)
            turn(f"{name}Shoulder", roll=sign * 0.012 * breath)
            turn(f"{name}UpperArm", pitch=0.4 * swing, yaw=-sign * 0.3 * swing, roll=sign * 0.015 * breath)
            turn(f"{name}LowerArm", yaw=-sign * abs(swing))
        sine, cosine = math.sin(heading), math.cos(heading)
        x, z = rotation.turn_floor(side, ahead, sine, cosine)
        shift = np.array([w * x, -w * _SLACK, w * z], dtype=np.float32)
        return replace(pose, rotations=rotations, root=root + shift, contacts=np.maximum(pose.contacts, float(w > 0.9)))

    def _at_ease(self, pose: Pose, heading: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Rotations (22, 4) and root (3,) of the pose on its way to the stance; the left leg goes first."""
        weight = np.full(len(BONES), smoothstep(self._weight), dtype=np.float32)
        weight[_LEGS[0]] = smoothstep(min(1.5 * self._weight, 1.0))
        weight[_LEGS[1]] = smoothstep(max(1.5 * self._weight - 0.5, 0.0))
        rest = _REST.rotations.copy()
        rest[0] = rotation.from_yaw(np.float32(heading))
        root = pose.root.copy()
        root[1] += weight[0] * (_REST.root[1] - root[1])
        return rotation.slerp(pose.rotations, rest, weight).astype(np.float32), root

    def _breathe(self) -> float:
        """Lungs, −1 … 1; each breath has its own length."""
        self._breath += _STEP * self._breath_rate
        if self._breath >= 1.0:
            self._breath -= 1.0
            self._breath_rate = 1.0 / float(self._rng.uniform(3.2, 5.2))
        return math.sin(math.tau * self._breath)


def _small_turn(pitch: float, yaw: float, roll: float) -> Quaternion:
    """Turn about +X, +Y and +Z by small angles at once."""
    angle = math.sqrt(pitch * pitch + yaw * yaw + roll * roll)
    if angle < 1e-6:
        return (0.0, 0.0, 0.0, 1.0)
    scale = math.sin(angle / 2.0) / angle
    return (scale * pitch, scale * yaw, scale * roll, math.cos(angle / 2.0))
