"""The original's picture of a dancer: OpenPose's BODY_25 in two dimensions, as key points and as vector.

Key points are (T, 25, 2) pixels of a picture of 1280 × 720, x to the right and y down, seen from the front without
perspective: a dancer who faces +Z looks at us, so that the left hand is on the right of the picture.
:func:`to_vectors` gives what the original network moves in: coordinates in [−1, 1] within the picture, the hips where
they are, all other joints relative to them.

Cao et al., "OpenPose", TPAMI 2019, for the joints. :mod:`~dancerev.model.openpose` has the files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import rotation
from .skeleton import INDEX, forward_kinematics

Array = npt.NDArray[Any]

JOINTS: tuple[str, ...] = (
    "Nose",
    "Neck",
    "RShoulder",
    "RElbow",
    "RWrist",
    "LShoulder",
    "LElbow",
    "LWrist",
    "MidHip",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "REye",
    "LEye",
    "REar",
    "LEar",
    "LBigToe",
    "LSmallToe",
    "LHeel",
    "RBigToe",
    "RSmallToe",
    "RHeel",
)
MID_HIP = JOINTS.index("MidHip")

WIDTH, HEIGHT = 1280, 720
"""Of the picture, pixels."""

PIXELS_PER_METRE = 330.0
"""So that our dancer is as tall in the picture as the original's first pose."""

FLOOR = 690.0
"""Pixels from the top of the picture."""

FRAME_RATE = 30
"""Frames per second of the files."""

# Where the joints are that our skeleton has (the mean, where there are two) …
BONES_OF: dict[str, tuple[str, ...]] = {
    "Neck": ("LeftUpperArm", "RightUpperArm"),
    "MidHip": ("LeftUpperLeg", "RightUpperLeg"),
    **{
        f"{side[0]}{joint}": (f"{side}{bone}",)
        for side in ("Left", "Right")
        for joint, bone in {
            "Shoulder": "UpperArm",
            "Elbow": "LowerArm",
            "Wrist": "Hand",
            "Hip": "UpperLeg",
            "Knee": "LowerLeg",
            "Ankle": "Foot",
        }.items()
    },
}
# … and those that it lacks: metres from a bone's joint, in the bone's frame.
OFFSETS_OF: dict[str, tuple[str, tuple[float, float, float]]] = {
    "Nose": ("Head", (0.0, 0.06, 0.11)),
    "LEye": ("Head", (0.032, 0.09, 0.09)),
    "REye": ("Head", (-0.032, 0.09, 0.09)),
    "LEar": ("Head", (0.075, 0.07, 0.0)),
    "REar": ("Head", (-0.075, 0.07, 0.0)),
    "LBigToe": ("LeftToes", (-0.015, 0.0, 0.06)),
    "RBigToe": ("RightToes", (0.015, 0.0, 0.06)),
    "LSmallToe": ("LeftToes", (0.045, 0.0, 0.02)),
    "RSmallToe": ("RightToes", (-0.045, 0.0, 0.02)),
    "LHeel": ("LeftFoot", (0.0, -0.055, -0.05)),
    "RHeel": ("RightFoot", (0.0, -0.055, -0.05)),
}


def _relative(*parts: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """(50,) the vector of key points that are given in [−1, 1] of the picture, joint by joint."""
    points = np.concatenate(parts).reshape(len(JOINTS), 2)
    vector = points - points[MID_HIP]
    vector[MID_HIP] = points[MID_HIP]
    return vector.reshape(-1).astype(np.float32)


FIRST_POSE: npt.NDArray[np.float32] = _relative(
    # Nose, neck, right arm, left arm, hips, right leg, left leg, eyes and ears, left foot, right foot.
    (-0.00647944, -0.540766, -0.00655532, -0.3829),
    (-0.0862469, -0.388304, -0.107649, -0.137507, -0.0648178, 0.0423361),
    (0.0791047, -0.382726, 0.0882645, -0.148286, 0.0699688, 0.0641147),
    (0.0056175, 0.05319),
    (-0.0464647, 0.0476973, -0.0465082, 0.467254, -0.031224, 0.854397),
    (0.0576743, 0.0585055, 0.0394117, 0.478282, 0.0208931, 0.854322),
    (-0.0158758, -0.568058, 0.0147899, -0.568106, -0.0465137, -0.568036, 0.0391742, -0.562693),
    (0.0209782, 0.936187, 0.0424097, 0.930442, 0.0148087, 0.886806),
    (-0.0249588, 0.935932, -0.0434218, 0.935805, -0.0280986, 0.886854),
)
"""(50,) the vector of the pose with which every dance of the published network begins: a measured pose of its data
(Huang et al., MIT licence, see NOTICE), to which its weights are tied."""


def project(rotations: Array, root: Array) -> Array:
    """Key points (T, 25, 2) in pixels of poses.

    Args:
        rotations: (T, 22, 4) local unit quaternions xyzw.
        root: (T, 3) metres.
    """
    positions, turned = forward_kinematics(np.asarray(rotations, np.float64), np.asarray(root, np.float64))
    joints = np.empty((len(positions), len(JOINTS), 3))
    for joint, bones in BONES_OF.items():
        joints[:, JOINTS.index(joint)] = positions[:, [INDEX[bone] for bone in bones]].mean(axis=1)
    for joint, (bone, offset) in OFFSETS_OF.items():
        at = INDEX[bone]
        joints[:, JOINTS.index(joint)] = positions[:, at] + rotation.rotate(turned[:, at], np.array(offset))
    x, y = joints[..., 0], joints[..., 1]
    return np.stack([WIDTH / 2 + PIXELS_PER_METRE * x, FLOOR - PIXELS_PER_METRE * y], axis=-1)


def to_vectors(keypoints: Array) -> Array:
    """Return the original's pose vectors (T, 50) of key points (T, 25, 2) in pixels."""
    scaled = 2.0 * np.asarray(keypoints) / (WIDTH, HEIGHT) - 1.0
    hips = scaled[:, MID_HIP].copy()
    vectors = scaled - hips[:, None]
    vectors[:, MID_HIP] = hips
    return vectors.reshape(len(vectors), -1)


def from_vectors(vectors: Array) -> Array:
    """Inverse of :func:`to_vectors`."""
    scaled = np.asarray(vectors).reshape(-1, len(JOINTS), 2)
    hips = scaled[:, MID_HIP].copy()
    scaled = scaled + hips[:, None]
    scaled[:, MID_HIP] = hips
    return (scaled + 1.0) / 2.0 * (WIDTH, HEIGHT)
