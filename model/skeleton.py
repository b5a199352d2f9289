"""The humanoid that dances: 22 bones, their rest offsets, and forward kinematics.

Bones carry Unity's HumanBodyBones names (the same as VRM's), without fingers, eyes and jaw. The space is
right-handed with Y up, in metres; the rest pose is a T-pose that faces +Z, so the left side is +X.
A bone's rotation is the difference from that T-pose, in its parent's frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import rotation

Array = npt.NDArray[Any]

# name, parent, offset from the parent's joint in the T-pose (metres); a dancer of 1.70 m.
_BONES: tuple[tuple[str, str | None, tuple[float, float, float]], ...] = (
    ("Hips", None, (0.0, 0.92, 0.0)),
    ("Spine", "Hips", (0.0, 0.09, -0.01)),
    ("Chest", "Spine", (0.0, 0.12, 0.0)),
    ("UpperChest", "Chest", (0.0, 0.12, 0.0)),
    ("Neck", "UpperChest", (0.0, 0.15, -0.01)),
    ("Head", "Neck", (0.0, 0.09, 0.02)),
    ("LeftShoulder", "UpperChest", (0.03, 0.11, -0.01)),
    ("LeftUpperArm", "LeftShoulder", (0.12, 0.0, 0.0)),
    ("LeftLowerArm", "LeftUpperArm", (0.27, 0.0, 0.0)),
    ("LeftHand", "LeftLowerArm", (0.25, 0.0, 0.0)),
    ("RightShoulder", "UpperChest", (-0.03, 0.11, -0.01)),
    ("RightUpperArm", "RightShoulder", (-0.12, 0.0, 0.0)),
    ("RightLowerArm", "RightUpperArm", (-0.27, 0.0, 0.0)),
    ("RightHand", "RightLowerArm", (-0.25, 0.0, 0.0)),
    ("LeftUpperLeg", "Hips", (0.09, -0.03, 0.0)),
    ("LeftLowerLeg", "LeftUpperLeg", (0.0, -0.41, 0.0)),
    ("LeftFoot", "LeftLowerLeg", (0.0, -0.41, -0.01)),
    ("LeftToes", "LeftFoot", (0.0, -0.055, 0.13)),
    ("RightUpperLeg", "Hips", (-0.09, -0.03, 0.0)),
    ("RightLowerLeg", "RightUpperLeg", (0.0, -0.41, 0.0)),
    ("RightFoot", "RightLowerLeg", (0.0, -0.41, -0.01)),
    ("RightToes", "RightFoot", (0.0, -0.055, 0.13)),
)

BONES: tuple[str, ...] = tuple(name for name, _, _ in _BONES)
"""Bone names; parents stand before their children and ``Hips`` is first."""

INDEX: dict[str, int] = {name: i for i, name in enumerate(BONES)}

PARENTS: tuple[int, ...] = tuple(-1 if parent is None else INDEX[parent] for _, parent, _ in _BONES)
"""Parent index of each bone, -1 for ``Hips``."""

REST_OFFSETS: npt.NDArray[np.float32] = np.array([offset for _, _, offset in _BONES], dtype=np.float32)
"""(22, 3) metres: each joint relative to its parent's in the T-pose; for ``Hips``, its height above the floor."""

ANKLE_HEIGHT, TOE_HEIGHT = 0.07, 0.015
"""Metres above the floor of the ankle and toe joints when the foot stands flat."""

FEET: tuple[tuple[int, int], ...] = (
    (INDEX["LeftFoot"], INDEX["LeftToes"]),
    (INDEX["RightFoot"], INDEX["RightToes"]),
)
"""(ankle, toe) joints of the left and the right foot."""

MIRROR: tuple[int, ...] = tuple(
    INDEX[name.replace("Left", "Right") if name.startswith("Left") else name.replace("Right", "Left")] for name in BONES
)
"""For each bone, the index of the bone on the other side (itself when central)."""


def _ancestor_rounds() -> list[tuple[list[int], list[int]]]:
    """(bones, ancestors) of each round of pointer jumping: three rounds reach the hips from anywhere."""
    ancestors, rounds = list(PARENTS), []
    while any(ancestor >= 0 for ancestor in ancestors):
        bones = [bone for bone, ancestor in enumerate(ancestors) if ancestor >= 0]
        rounds.append((bones, [ancestors[bone] for bone in bones]))
        ancestors = [ancestors[ancestor] if ancestor >= 0 else -1 for ancestor in ancestors]
    return rounds


def _chain() -> npt.NDArray[np.float32]:
    """(22, 22): row i is 1 at bone i and its ancestors, but for the hips."""
    chain = np.zeros((len(BONES), len(BONES)), dtype=np.float32)
    for bone in range(len(BONES)):
        ancestor = bone
        while ancestor > 0:
            chain[bone, ancestor] = 1.0
            ancestor = PARENTS[ancestor]
    return chain


ANCESTOR_ROUNDS = _ancestor_rounds()
"""Rounds of pointer jumping for forward kinematics."""

CHAIN = _chain()
"""(22, 22): row i is 1 at bone i and its ancestors, but for the hips."""


def forward_kinematics(rotations: Array, root: Array, offsets: Array = REST_OFFSETS) -> tuple[Array, Array]:
    """Joint positions and global rotations of a pose.

    By pointer jumping rather than bone by bone: each round composes every bone's rotation with that of the ancestor
    reached so far, which makes a few array operations out of one for every bone.

    Args:
        rotations: (..., 22, 4) local unit quaternions xyzw.
        root: (..., 3) world position of the hips, metres.
        offsets: (22, 3) metres, each joint relative to its parent's in the T-pose; that of the hips is not used.

    Returns:
        positions (..., 22, 3) in world metres and global rotations (..., 22, 4) xyzw.
    """
    globals_ = rotations.copy()
    for bones, ancestors in ANCESTOR_ROUNDS:
        globals_[..., bones, :] = rotation.multiply(globals_[..., ancestors, :], globals_[..., bones, :])
    steps = np.zeros((*rotations.shape[:-1], 3), dtype=rotations.dtype)
    steps[..., 1:, :] = rotation.rotate(globals_[..., list(PARENTS[1:]), :], offsets[1:])
    return root[..., None, :] + CHAIN @ steps, globals_


def mirror(rotations: Array, root: Array) -> tuple[Array, Array]:
    """Return the pose (rotations (..., 22, 4), root (..., 3)) reflected in the plane x = 0."""
    flipped = rotations[..., list(MIRROR), :] * np.array([1.0, -1.0, -1.0, 1.0], dtype=rotations.dtype)
    return flipped, root * np.array([-1.0, 1.0, 1.0], dtype=root.dtype)
