"""A pose, and the vector in which the network sees it.

The vector of one frame, at :data:`FRAME_RATE`, before normalisation:

========== ===== =======================================================================================
slice      width content
========== ===== =======================================================================================
TURN       1     change of heading since the frame before, radians
TRAVEL     2     movement of the root since the frame before, (x, z) metres, in the heading before the turn
HEIGHT     1     height of the hips above the floor, metres
ROTATIONS  132   6-D rotations of the 22 bones; of the hips with the heading taken out
CONTACTS   2     left and right foot planted, 0 or 1
========== ===== =======================================================================================

The heading is the hips' twist about +Y. Where the dancer stands is not in the vector: :class:`PoseDecoder`
integrates it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import rotation
from .skeleton import BONES, REST_OFFSETS, forward_kinematics

Array = npt.NDArray[Any]

FRAME_RATE = 15
"""Frames per second at which the network hears and moves."""

TURN = slice(0, 1)
TRAVEL = slice(1, 3)
HEIGHT = slice(3, 4)
ROTATIONS = slice(4, 4 + 6 * len(BONES))
CONTACTS = slice(ROTATIONS.stop, ROTATIONS.stop + 2)
POSE_SIZE: int = CONTACTS.stop


@dataclass(frozen=True, slots=True)
class Pose:
    """One body at one instant of the audio; right-handed, Y up, metres.

    Attributes:
        time: seconds of audio since the stream began.
        rotations: (22, 4) float32 local unit quaternions xyzw, in the order of ``skeleton.BONES``.
        root: (3,) float32 world position of the hips.
        contacts: (2,) float32, how surely the left and the right foot are planted, in [0, 1].
        dancer: which of the dancers on stage, from 0.
        fingers: (30, 4) float32 local unit quaternions xyzw, in the order of ``hands_and_face.FINGERS``, or None.
        face: (5,) float32 as ``hands_and_face.FACE`` says, or None.
    """

    time: float
    rotations: npt.NDArray[np.float32]
    root: npt.NDArray[np.float32]
    contacts: npt.NDArray[np.float32]
    dancer: int = 0
    fingers: npt.NDArray[np.float32] | None = None
    face: npt.NDArray[np.float32] | None = None

    def positions(self) -> npt.NDArray[np.float32]:
        """(22, 3) world positions of the joints."""
        return forward_kinematics(self.rotations, self.root)[0]

    def is_finite(self) -> bool:
        """Whether every number of the pose is finite."""
        return bool(
            np.isfinite(self.rotations).all() and np.isfinite(self.root).all() and np.isfinite(self.contacts).all()
        )


def rest_pose(time: float = 0.0) -> Pose:
    """Return the dancer at the stage centre, arms hanging, facing +Z."""
    rotations = np.tile(rotation.IDENTITY, (len(BONES), 1))
    down = np.float32(1.25)  # radians from the T-pose; a little short of straight down
    side = np.array([0.0, 0.0, 1.0], dtype=np.float32)
    rotations[BONES.index("LeftUpperArm")] = rotation.from_axis_angle(side, -down)
    rotations[BONES.index("RightUpperArm")] = rotation.from_axis_angle(side, down)
    return Pose(time, rotations, REST_OFFSETS[0].copy(), np.ones(2, dtype=np.float32))


def encode(rotations: Array, root: Array, contacts: Array) -> npt.NDArray[np.float32]:
    """Pose vectors of a sequence at :data:`FRAME_RATE`.

    Args:
        rotations: (T, 22, 4) local unit quaternions xyzw.
        root: (T, 3) metres.
        contacts: (T, 2).

    Returns:
        (T, POSE_SIZE) float32. The first frame has no frame before it: its turn and travel are zero.
    """
    heading = rotation.yaw_of(rotations[:, 0])
    turn = np.diff(heading, prepend=heading[:1])
    turn = np.arctan2(np.sin(turn), np.cos(turn))
    step = np.diff(root, axis=0, prepend=root[:1])
    before = np.concatenate([heading[:1], heading[:-1]])
    travel = rotation.rotate(rotation.from_yaw(-before), step)
    upright = rotations.copy()
    upright[:, 0] = rotation.multiply(rotation.from_yaw(-heading), rotations[:, 0])
    vectors = np.empty((len(root), POSE_SIZE), dtype=np.float32)
    vectors[:, TURN] = turn[:, None]
    vectors[:, TRAVEL] = travel[:, [0, 2]]
    vectors[:, HEIGHT] = root[:, 1:2]
    vectors[:, ROTATIONS] = rotation.to_6d(upright).reshape(len(root), -1)
    vectors[:, CONTACTS] = contacts
    return vectors


def rest_vector() -> npt.NDArray[np.float32]:
    """Return the pose vector (POSE_SIZE,) of :func:`rest_pose`, the stance in which a dance begins."""
    rest = rest_pose()
    return encode(rest.rotations[None], rest.root[None], rest.contacts[None])[0]


class PoseDecoder:
    """Pose vectors back to poses, one by one; the inverse of :func:`encode` given the first frame's place."""

    def __init__(self, place: tuple[float, float] = (0.0, 0.0), heading: float = 0.0) -> None:
        self.place = np.array(place, dtype=np.float64)
        self.heading = float(heading)

    def decode(self, vector: Array, time: float = 0.0) -> Pose:
        """Return the pose (POSE_SIZE,) → :class:`Pose`, moving on from where the last one stood."""
        turn, ahead_x, ahead_z, height = vector[: HEIGHT.stop].tolist()
        sine, cosine = math.sin(self.heading), math.cos(self.heading)
        self.place += rotation.turn_floor(ahead_x, ahead_z, sine, cosine)
        self.heading = math.remainder(self.heading + turn, math.tau)
        rotations = rotation.from_6d(vector[ROTATIONS].reshape(len(BONES), 6)).astype(np.float32, copy=False)
        # The hips' rotation followed by the heading's, a turn about +Y.
        x, y, z, w = rotations[0].tolist()
        sine, cosine = math.sin(self.heading / 2.0), math.cos(self.heading / 2.0)
        rotations[0] = cosine * x + sine * z, cosine * y + sine * w, cosine * z - sine * x, cosine * w - sine * y
        root = np.array([self.place[0], height, self.place[1]], dtype=np.float32)
        contacts = np.array([min(max(contact, 0.0), 1.0) for contact in vector[CONTACTS].tolist()], dtype=np.float32)
        return Pose(time, rotations, root, contacts)

    def to_centre(self) -> npt.NDArray[np.float32]:
        """(2,) metres: the stage centre (x, z) as the dancer sees it, in the facing frame."""
        sine, cosine = math.sin(self.heading), math.cos(self.heading)
        x, z = (-self.place).tolist()
        return np.array(rotation.turn_floor(x, z, -sine, cosine), dtype=np.float32)
