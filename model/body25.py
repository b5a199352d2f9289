"""The original's picture of a dancer: OpenPose's BODY_25 in two dimensions, as key points, vector and JSON files.

Key points are (T, 25, 2) pixels of a picture of 1280 × 720, x to the right and y down, seen from the front without
perspective: a dancer who faces +Z looks at us, so that the left hand is on the right of the picture.
:func:`to_vectors` gives what the original network moves in: coordinates in [−1, 1] within the picture, the hips where
they are, all other joints relative to them.

Cao et al., "OpenPose", TPAMI 2019, for the joints; the files are those of its output format 1.2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

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

SCORE = 0.8
"""Confidence that is written for every key point."""

REACH = 10
"""Frames within which a missing key point is looked for."""

# Where the joints are that our skeleton has (the mean, where there are two) …
_BONES: dict[str, tuple[str, ...]] = {
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
_OFFSETS: dict[str, tuple[str, tuple[float, float, float]]] = {
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


def project(rotations: Array, root: Array) -> Array:
    """Key points (T, 25, 2) in pixels of poses.

    Args:
        rotations: (T, 22, 4) local unit quaternions xyzw.
        root: (T, 3) metres.
    """
    positions, turned = forward_kinematics(np.asarray(rotations, np.float64), np.asarray(root, np.float64))
    joints = np.empty((len(positions), len(JOINTS), 3))
    for joint, bones in _BONES.items():
        joints[:, JOINTS.index(joint)] = positions[:, [INDEX[bone] for bone in bones]].mean(axis=1)
    for joint, (bone, offset) in _OFFSETS.items():
        at = INDEX[bone]
        joints[:, JOINTS.index(joint)] = positions[:, at] + rotation.rotate(turned[:, at], np.array(offset))
    x, y = joints[..., 0], joints[..., 1]
    return np.stack([WIDTH / 2 + PIXELS_PER_METRE * x, FLOOR - PIXELS_PER_METRE * y], axis=-1)


def to_vectors(keypoints: Array) -> Array:
    """The original's pose vectors (T, 50) of key points (T, 25, 2) in pixels."""
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


def write_openpose(folder: Path, keypoints: Array) -> None:
    """Writes ``frame000000_keypoints.json`` and on, one for each of the key points (T, 25, 2) in pixels.

    Those of a dance that was there before are removed, as a longer one would go on after this one's end. Face and
    hands, of which we know nothing, are zeros: the mark of OpenPose for what it has not seen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for before in folder.glob("frame*_keypoints.json"):
        before.unlink()
    unseen = {
        "face_keypoints_2d": [0.0] * (70 * 3),
        "hand_left_keypoints_2d": [0.0] * (21 * 3),
        "hand_right_keypoints_2d": [0.0] * (21 * 3),
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }
    rows = np.concatenate([keypoints, np.full((*np.shape(keypoints)[:2], 1), SCORE)], axis=-1).round(3)
    for i, row in enumerate(rows):
        content = {"version": 1.2, "people": [{"pose_keypoints_2d": row.reshape(-1).tolist(), **unseen}]}
        (folder / f"frame{i:06d}_keypoints.json").write_text(json.dumps(content), encoding="utf-8")


def read_openpose(folder: Path) -> Array:
    """Key points (T, 25, 2) in pixels of a folder of such files, in the order of their names.

    Frames without a person count like frames without a single joint, so that the dance stays in step with its music;
    what is missing is filled by :func:`fill_missing`.

    Raises:
        InputError: there are no such files, or one is damaged.
    """
    paths = sorted(folder.glob("*_keypoints.json"))
    if not paths:
        raise InputError(f"{folder}: no *_keypoints.json in it")
    frames = []
    for path in paths:
        try:
            people = json.loads(path.read_text(encoding="utf-8"))["people"]
            row = people[0]["pose_keypoints_2d"] if people else [0.0] * (3 * len(JOINTS))
            frames.append(np.array(row, dtype=np.float64).reshape(len(JOINTS), 3)[:, :2])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f'expected 75 numbers at ["people"][0]["pose_keypoints_2d"] ({error})'
            raise InputError(f"{path}: {reason}") from error
    return fill_missing(np.array(frames))


def fill_missing(keypoints: Array) -> Array:
    """Key points (T, 25, 2) with those that are missing, x = y = 0 or −1, taken from near frames, as in the original.

    The mean of the nearest valid one before and the nearest after, each at most :data:`REACH` frames away, or the
    one of the two that there is. Where there is neither, the point stays as it is.
    """
    missing = (keypoints == 0.0).all(axis=-1) | (keypoints == -1.0).all(axis=-1)
    filled = keypoints.copy()
    for frame, joint in zip(*np.nonzero(missing), strict=True):
        valid = np.flatnonzero(~missing[max(frame - REACH, 0) : frame + REACH + 1, joint]) + max(frame - REACH, 0)
        nearest = [*valid[valid < frame][-1:], *valid[valid > frame][:1]]
        if nearest:
            filled[frame, joint] = keypoints[nearest, joint].mean(axis=0)
    return filled
