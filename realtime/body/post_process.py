"""Keeps a body a body: what stands between the network's poses and what is shown.

The stages, in order: a pose that is not finite is replaced by the last good one; joints stay within their limits,
and none moves faster than :data:`MAX_JOINT_SPEED`; the body is lifted out of the floor, and one that floats comes
down to it (:mod:`dancerev.realtime.body.gravity`); planted feet stay where they were put down and no foot is below it
(:mod:`~dancerev.realtime.body.foot_planting`). The stage's radius is kept
before the decoder (:mod:`~dancerev.realtime.body.stage_bounds`).

Causal, of constant state, and at any rate of poses: all times are in seconds. Its place is before the interpolator,
at 15 Hz: on seven takes of motion capture, feet skated in 2.8 % of the shown frames with a foot on the floor, and in
2.5 % when every pose shown was processed at 30 Hz, at twice the cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dancerev.model.pose import FRAME_RATE, Pose, rest_pose
from dancerev.model.skeleton import BONES, FEET, INDEX

from .foot_planting import FootPlanter
from .gravity import Gravity
from .scalar_kinematics import Body, Quaternion, Vector, blend, multiply

MAX_JOINT_SPEED = 8.0
"""Metres a second from pose to pose. Joints of the cleaned motion capture exceed 9 in 7 of 19,297 frames at 15 Hz;
between two poses what is shown ran up to 1.7 times as fast (15.1 m/s under a limit of 9), which stays below 15."""

_FARTHEST = 1000.0  # metres from the origin: a root beyond is a fault, not a place

# Largest angle in degrees between a bone and its rest pose in its parent.
_CONES = {
    "Spine": 50.0,
    "Chest": 35.0,
    "UpperChest": 35.0,
    "Neck": 50.0,
    "Head": 90.0,
    "Shoulder": 45.0,
    "UpperArm": 165.0,
    "LowerArm": 165.0,
    "Hand": 150.0,
    "UpperLeg": 155.0,
    "LowerLeg": 165.0,
    "Foot": 100.0,
    "Toes": 75.0,
}
_LIMITS = tuple(
    (INDEX[bone], math.cos(half), math.sin(half))
    for bone in BONES[1:]
    for half in [math.radians(_CONES[bone.removeprefix("Left").removeprefix("Right")]) / 2.0]
)
_KNEES = INDEX["LeftLowerLeg"], INDEX["RightLowerLeg"]
_KNEE_STRAIGHT, _KNEE_BENT = math.radians(-5.0), math.radians(165.0)  # about +X, which bends the shin backwards

_BODY_JOINTS = tuple(sorted(set(range(len(BONES))) - {joint for foot in FEET for joint in foot}))
_BODY_CLEARANCE = 0.01  # metres above the floor
_LIFT_TIME = 0.2  # seconds in which a lifted body comes down again


@dataclass(slots=True)
class _Frame:
    """A pose in plain floats."""

    rotations: list[Quaternion]
    root: Vector
    contacts: tuple[float, float]


class PostProcessor:
    """Poses in, poses of a possible body out, one for one and at once."""

    def __init__(self, *, limits: bool = True, plant_feet: bool = True, floor: bool = True) -> None:
        """Choose the stages; the guard against broken poses and the limit of speed are always on."""
        self.limits = limits
        self.plant_feet = plant_feet
        self.floor = floor
        rest = _read(rest_pose())
        assert rest is not None
        self._good = rest
        self._positions: list[Vector] | None = None  # of the last pose, before it was lifted and planted
        self._time = 0.0
        self._lift = 0.0
        self._gravity = Gravity()
        self._feet = FootPlanter()

    def process(self, pose: Pose) -> Pose:
        """Return the pose to show in place of ``pose``, whose numbers may be anything; its time is trusted."""
        seconds = min(max(pose.time - self._time, 1.0 / 240.0), 1.0 / FRAME_RATE)
        frame = _read(pose) or self._good
        if self.limits:
            limit_joints(frame.rotations)
        body = self._within_speed(frame, seconds)
        self._time, self._positions = pose.time, body.positions.copy()
        self._good = _Frame(body.rotations.copy(), body.positions[0], frame.contacts)
        if self.floor:
            self._lift *= math.exp(-seconds / _LIFT_TIME)
            self._lift = max(_BODY_CLEARANCE - body.lowest(_BODY_JOINTS), self._lift)
            if self._lift > 1e-5:
                body.lift(self._lift)
            self._gravity.process(body, seconds)
        if self.plant_feet or self.floor:
            self._feet.process(body, frame.contacts if self.plant_feet else (0.0, 0.0), self.floor, seconds)
        if self.floor:
            body.lift(max(-body.lowest(range(len(BONES))), 0.0))
        return Pose(
            pose.time,
            np.array(body.rotations, dtype=np.float32),
            np.array(body.positions[0], dtype=np.float32),
            np.array(self._feet.contacts if self.plant_feet else frame.contacts, dtype=np.float32),
        )

    def _within_speed(self, frame: _Frame, seconds: float) -> Body:
        """Return the body of ``frame``, or one on the way to it from the last that no joint needs to hurry for."""
        body = Body(frame.rotations, frame.root)
        if self._positions is None:
            return body
        good, limit = self._good, MAX_JOINT_SPEED * seconds
        t = 1.0
        while True:
            farthest = max(map(math.dist, body.positions, self._positions))
            if farthest <= limit:
                return body
            # A joint may run along an arc, faster at first than its chord: hence the loop and the margin.
            t *= 0.95 * limit / farthest
            rotations = [blend(a, b, t) for a, b in zip(good.rotations, frame.rotations, strict=True)]
            ax, ay, az = good.root
            bx, by, bz = frame.root
            body = Body(rotations, (ax + t * (bx - ax), ay + t * (by - ay), az + t * (bz - az)))


def _read(pose: Pose) -> _Frame | None:
    """Return a pose in plain floats, its quaternions made unit.

    None unless it is finite, its quaternions are not zero and its root is on this earth.
    """
    rotations: list[Quaternion] = []
    for x, y, z, w in pose.rotations.tolist():
        square = x * x + y * y + z * z + w * w
        if not 1e-6 < square < 1e6:  # nor is a NaN
            return None
        scale = 1.0 / math.sqrt(square)
        rotations.append((x * scale, y * scale, z * scale, w * scale))
    x, y, z = pose.root.tolist()
    left, right = pose.contacts.tolist()
    if not (max(abs(x), abs(y), abs(z)) <= _FARTHEST and math.isfinite(x + y + z + left + right)):
        return None
    return _Frame(rotations, (x, y, z), (min(max(left, 0.0), 1.0), min(max(right, 0.0), 1.0)))


def limit_joints(rotations: list[Quaternion]) -> None:
    """Bring unit local rotations back within generous anatomical limits, in place.

    Every bone stays within a cone of total rotation about its rest pose, and knees bend one way only. Elbows have no
    such hinge: which way one bends hangs on the twist of the upper arm, which motion capture does not know well
    enough (a limit of 15° behind the arm would change every sixth frame of some takes).
    """
    for bone in _KNEES:
        x, _, _, w = rotations[bone]
        bend = math.remainder(2.0 * math.atan2(x, w), math.tau)
        allowed = min(max(bend, _KNEE_STRAIGHT), _KNEE_BENT)
        if allowed != bend:
            back = (allowed - bend) / 2.0
            rotations[bone] = multiply(rotations[bone], (math.sin(back), 0.0, 0.0, math.cos(back)))
    for bone, least, most in _LIMITS:
        x, y, z, w = rotations[bone]
        if abs(w) < least:
            scale = math.copysign(most / math.sqrt(x * x + y * y + z * z), w)
            rotations[bone] = (x * scale, y * scale, z * scale, least)
