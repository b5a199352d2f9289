"""Motion of any humanoid rig onto our 22 bones.

Each of our bones follows one joint of the source. What the two skeletons call "no rotation" differs, so they
are first laid into one and the same reference pose (a T-pose, an A-pose, or arms hanging, found in the file);
from there on, each bone turns in the world as its joint does. So the directions of the limbs in the world
agree with the source whatever its rest pose and bone axes are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import rotation
from .bvh import Bvh
from .motion import Motion
from .skeleton import ANKLE_HEIGHT, BONES, FEET, INDEX, PARENTS, REST_OFFSETS, TOE_HEIGHT, forward_kinematics

Array = npt.NDArray[Any]

_PREFIXES = r"^(mixamorig\d*|ccbase|bip0*1?|jbip|valvebiped|character\d*|def|b(?=[lrc]_))[:_ ]*"

# Part of the body → the names it goes by, best first; sides are taken off before.
_CENTRE_NAMES: dict[str, tuple[str, ...]] = {
    "Hips": ("pelvis", "hips", "hip", "root"),
    "Neck": ("neck", "neck1", "necktwist01", "lowerneck", "necklower"),
    "Head": ("head",),
}
_SIDE_NAMES: dict[str, tuple[str, ...]] = {
    "Shoulder": ("clavicle", "collar", "clav", "collarbone", "shoulder"),
    "UpperArm": ("upperarm", "uparm", "arm", "shldr", "humerus", "shoulder"),
    "LowerArm": ("lowerarm", "forearm", "loarm", "elbow", "radius"),
    "Hand": ("wrist", "hand"),
    "UpperLeg": ("upperleg", "upleg", "thigh", "femur", "hip"),
    "LowerLeg": ("lowerleg", "loleg", "leg", "calf", "shin", "knee", "tibia"),
    "Foot": ("ankle", "foot"),
    "Toes": ("toebase", "toes", "toe", "ball", "foot"),
}
_FINGER_NAMES = ("middle1", "mid1", "handmiddle1", "middleproximal", "middle01", "fingermid1")
_REQUIRED = ("Hips", "Neck") + tuple(
    side + part
    for side in ("Left", "Right")
    for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
)

LEG_LENGTH = float(-REST_OFFSETS[INDEX["LeftLowerLeg"], 1] - REST_OFFSETS[INDEX["LeftFoot"], 1])
"""Metres from hip joint to ankle of our skeleton."""


@dataclass(frozen=True)
class Rig:
    """How a source skeleton maps onto ours.

    Attributes:
        joints: our bone → index of the source joint.
        spine: source joints from above the hips to below the neck, upwards.
        tips: source joints that only give a direction: ``LeftHand`` → a finger, ``LeftToes`` → the toe.
    """

    joints: dict[str, int]
    spine: tuple[int, ...]
    tips: dict[str, int]


def _part(name: str) -> tuple[str, str]:
    """(side, part) of a joint's name: side ``Left``, ``Right`` or empty, part in lower case without separators."""
    plain = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    plain = re.sub(r"[\s.:\-]+", "_", plain).lower()
    joined = plain.replace("_base_", "base_")
    joined = re.sub(_PREFIXES, "", joined)
    for side, pattern in (
        ("Left", r"^(left_?|l_+)(?=.)|(_left|_l)$"),
        ("Right", r"^(right_?|r_+)(?=.)|(_right|_r)$"),
    ):
        bare = re.sub(pattern, "", joined)
        if bare != joined:
            return side, bare.replace("_", "")
    bare = joined.replace("_", "")
    known = {alias for aliases in _SIDE_NAMES.values() for alias in aliases} | set(_FINGER_NAMES)
    if bare[:1] in "lr" and bare[1:] in known and bare not in known:
        return {"l": "Left", "r": "Right"}[bare[0]], bare[1:]
    return "", bare


def map_rig(bvh: Bvh) -> Rig:
    """Finds our bones among the joints of a rig by their names.

    Raises:
        ValueError: a required bone has no counterpart; the message lists all of them.
    """
    by_part: dict[tuple[str, str], int] = {}
    for index, name in enumerate(bvh.names):
        if not name.endswith("_End"):
            by_part.setdefault(_part(name), index)
    joints: dict[str, int] = {}
    tips: dict[str, int] = {}
    for bone, aliases in _CENTRE_NAMES.items():
        for alias in aliases:
            if ("", alias) in by_part:
                joints.setdefault(bone, by_part["", alias])
    for side in ("Left", "Right"):
        taken: set[int] = set()
        # "Shoulder" is the upper arm where there is a collar, "foot" the toes where there is an ankle.
        for part in ("Foot", "Toes", "Hand", "LowerArm", "UpperLeg", "LowerLeg", "Shoulder", "UpperArm"):
            for alias in _SIDE_NAMES[part]:
                index = by_part.get((side, alias), -1)
                if index >= 0 and index not in taken:
                    joints[side + part] = index
                    taken.add(index)
                    break
        if side + "UpperArm" not in joints and side + "Shoulder" in joints:
            joints[side + "UpperArm"] = joints.pop(side + "Shoulder")
        for finger in _FINGER_NAMES:
            if (side, finger) in by_part:
                tips.setdefault(side + "Hand", by_part[side, finger])
        if side + "Toes" in joints:
            tips[side + "Toes"] = joints[side + "Toes"]
        elif side + "Foot" in joints:
            ends = [i for i, parent in enumerate(bvh.parents) if parent == joints[side + "Foot"]]
            if ends:
                tips[side + "Toes"] = ends[0]
    missing = [bone for bone in _REQUIRED if bone not in joints]
    if missing:
        raise ValueError(f"no joint found for {', '.join(missing)}; the file's joints: {', '.join(bvh.names)}")
    above_hips = set(_ancestors(bvh.parents, joints["Hips"])) | {joints["Hips"]}
    spine = [joint for joint in _ancestors(bvh.parents, joints["Neck"]) if joint not in above_hips]
    return Rig(joints, tuple(reversed(spine)), tips)


def _ancestors(parents: tuple[int, ...], joint: int) -> list[int]:
    above = []
    while parents[joint] >= 0:
        joint = parents[joint]
        above.append(joint)
    return above


def _unit(vector: Array) -> Array:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _facing(positions: Array, rig: Rig) -> Array:
    """(...) heading in radians of the pelvis, from its hip joints; Y is up."""
    lateral = positions[..., rig.joints["LeftUpperLeg"], :] - positions[..., rig.joints["RightUpperLeg"], :]
    return np.asarray(np.arctan2(-lateral[..., 2], lateral[..., 0]))


def _reference_error(positions: Array, rig: Rig) -> Array:
    """(...) how far poses are from standing upright with straight limbs, radians summed over the limbs."""
    lateral = _unit(positions[..., rig.joints["LeftUpperLeg"], :] - positions[..., rig.joints["RightUpperLeg"], :])
    up = np.array([0.0, 1.0, 0.0])
    error = _angle(positions[..., rig.joints["Neck"], :] - positions[..., rig.joints["Hips"], :], up)
    error = error + np.abs(np.arcsin(np.clip(lateral[..., 1], -1, 1)))
    forward = np.cross(lateral, up)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        arm, elbow, hand, hip, knee, ankle = (
            positions[..., rig.joints[side + part], :]
            for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
        )
        error = error + _angle(knee - hip, -up) + _angle(ankle - knee, -up) + _angle(hand - elbow, elbow - arm)
        # Arms anywhere between sideways and down.
        error = error + np.abs(np.arcsin(np.clip(np.sum(_unit(elbow - arm) * forward, axis=-1), -1, 1)))
        error = error + np.maximum(0.0, -np.sum(_unit(elbow - arm) * sign * lateral, axis=-1))
        error = error + np.maximum(0.0, np.sum(_unit(elbow - arm) * up, axis=-1))
    return np.asarray(error)


def _angle(a: Array, b: Array) -> Array:
    return np.asarray(np.arccos(np.clip(np.sum(_unit(a) * _unit(b), axis=-1), -1.0, 1.0)))


def _reference_pose(bvh: Bvh, rig: Rig, upright: Array) -> tuple[Array, Array]:
    """Global positions (J, 3) and rotations (J, 4) of a pose in which our skeleton's rotations are known."""
    positions, rotations = bvh.offset_pose()
    if _reference_error(rotation.rotate(upright, positions), rig) < 1.5:
        return rotation.rotate(upright, positions), rotation.multiply(upright, rotations)
    positions, rotations = bvh.forward_kinematics()
    positions = rotation.rotate(upright, positions)
    error = _reference_error(positions, rig)
    best = 0 if error[0] < 1.5 else int(np.argmin(error))
    return positions[best], rotation.multiply(upright, rotations[best])


def _upright(positions: Array, rig: Rig) -> Array:
    """Quaternion that turns the file's own up axis onto +Y."""
    feet = (positions[:, rig.joints["LeftFoot"]] + positions[:, rig.joints["RightFoot"]]) / 2
    up = _unit(positions[:, rig.joints["Neck"]] - feet).mean(axis=0)
    axis = np.zeros(3)
    axis[np.argmax(np.abs(up))] = np.sign(up[np.argmax(np.abs(up))])
    return rotation.between(axis, np.array([0.0, 1.0, 0.0]))


def source_directions(bvh: Bvh) -> dict[str, Array]:
    """Directions (T, 3) in the world, Y up, of the limbs that both skeletons have, by our bone's name."""
    rig = map_rig(bvh)
    positions, _ = bvh.forward_kinematics()
    positions = rotation.rotate(_upright(positions, rig), positions)
    pairs = [("Neck", "Head")] + [
        (side + a, side + b)
        for side in ("Left", "Right")
        for a, b in (("UpperArm", "LowerArm"), ("LowerArm", "Hand"), ("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"))
    ]
    return {
        a: _unit(positions[:, rig.joints[b]] - positions[:, rig.joints[a]])
        for a, b in pairs
        if a in rig.joints and b in rig.joints
    }


def retarget(bvh: Bvh, fps: float | None = None) -> Motion:
    """The motion of a BVH file on our skeleton, scaled to our legs; where the floor is, is not yet known.

    Args:
        bvh: the source.
        fps: its true rate, where the file's own frame time is wrong.

    Returns:
        a motion whose lowest planted foot stands near height 0; contacts are all zero.

    Raises:
        ValueError: a bone has no counterpart in the rig.
    """
    rig = map_rig(bvh)
    positions, globals_ = bvh.forward_kinematics()
    upright = _upright(positions, rig)
    positions, globals_ = rotation.rotate(upright, positions), rotation.multiply(upright, globals_)
    reference, reference_globals = _reference_pose(bvh, rig, upright)
    facing = rotation.from_yaw(_facing(reference, rig))

    def follow(joint: int, pose: Array) -> Array:
        """World rotations (T, 4) of a bone that stands in ``pose`` when its joint stands in the reference."""
        return rotation.multiply(
            globals_[:, joint], rotation.multiply(rotation.conjugate(reference_globals[joint]), pose)
        )

    world = np.empty((len(positions), len(BONES), 4))
    world[:, 0] = follow(rig.joints["Hips"], facing)
    _follow_spine(world, [world[:, 0]] + [follow(joint, facing) for joint in rig.spine])
    for bone in ("Neck", "Head"):
        joint = rig.joints.get(bone)
        world[:, INDEX[bone]] = world[:, PARENTS[INDEX[bone]]] if joint is None else follow(joint, facing)
    for side in ("Left", "Right"):
        shoulder = rig.joints.get(side + "Shoulder")
        world[:, INDEX[side + "Shoulder"]] = (
            world[:, INDEX["UpperChest"]] if shoulder is None else follow(shoulder, facing)
        )
        for bone, end in (
            ("UpperArm", rig.joints[side + "LowerArm"]),
            ("LowerArm", rig.joints[side + "Hand"]),
            ("Hand", rig.tips.get(side + "Hand")),
            ("UpperLeg", rig.joints[side + "LowerLeg"]),
            ("LowerLeg", rig.joints[side + "Foot"]),
        ):
            joint = rig.joints[side + bone]
            rest = REST_OFFSETS[
                INDEX[
                    side
                    + {
                        "UpperArm": "LowerArm",
                        "LowerArm": "Hand",
                        "Hand": "Hand",
                        "UpperLeg": "LowerLeg",
                        "LowerLeg": "Foot",
                    }[bone]
                ]
            ].astype(float)
            direction = (
                reference[end] - reference[joint]
                if end is not None
                else reference[joint] - reference[rig.joints[side + "LowerArm"]]
            )
            aligned = rotation.between(rotation.rotate(facing, _unit(rest)), _unit(direction))
            world[:, INDEX[side + bone]] = follow(joint, rotation.multiply(aligned, facing))
        foot = rig.joints[side + "Foot"]
        # The foot is flat in the reference; only where it points is taken from it.
        pointing = facing
        if side + "Toes" in rig.tips:
            toe = reference[rig.tips[side + "Toes"]] - reference[foot]
            pointing = rotation.from_yaw(np.arctan2(toe[0], toe[2]))
        world[:, INDEX[side + "Foot"]] = follow(foot, pointing)
        toes = rig.joints.get(side + "Toes")
        world[:, INDEX[side + "Toes"]] = world[:, INDEX[side + "Foot"]] if toes is None else follow(toes, pointing)

    local = world.copy()
    for bone in range(1, len(BONES)):
        local[:, bone] = rotation.multiply(rotation.conjugate(world[:, PARENTS[bone]]), world[:, bone])
    local = rotation.normalize(local)
    root = _place_root(local, positions, reference, rig)
    rate = fps if fps is not None else 1.0 / bvh.frame_time
    return Motion(local, root, np.zeros((len(root), 2)), rate)


def _follow_spine(world: Array, chain: list[Array]) -> None:
    """Spreads the source's spine, hips first, over Spine, Chest and UpperChest."""
    for step, bone in enumerate(("Spine", "Chest", "UpperChest"), start=1):
        place = step / 3.0 * (len(chain) - 1)
        below = min(int(place), max(len(chain) - 2, 0))
        above = min(below + 1, len(chain) - 1)
        world[:, INDEX[bone]] = rotation.slerp(chain[below], chain[above], place - below)


def _place_root(local: Array, positions: Array, reference: Array, rig: Rig) -> Array:
    """(T, 3) the hips, so that the middle between the hip joints moves as in the source, scaled by leg length."""
    leg = 0.0
    for side in ("Left", "Right"):
        hip, knee, ankle = (reference[rig.joints[side + part]] for part in ("UpperLeg", "LowerLeg", "Foot"))
        leg += (np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)) / 2.0
    middle = (positions[:, rig.joints["LeftUpperLeg"]] + positions[:, rig.joints["RightUpperLeg"]]) / 2.0
    own, _ = forward_kinematics(local, np.zeros((len(local), 3)))
    own_middle = (own[:, INDEX["LeftUpperLeg"]] + own[:, INDEX["RightUpperLeg"]]) / 2.0
    root = middle * (LEG_LENGTH / leg) - own_middle
    heights = sole_heights(forward_kinematics(local, root)[0])
    root[:, 1] -= np.percentile(heights.min(axis=1), 5)
    return np.asarray(root)


def sole_heights(positions: Array) -> Array:
    """(..., 2) metres from the floor to the lower end, heel or toe, of the left and right sole."""
    ankles, toes = ([pair[i] for pair in FEET] for i in (0, 1))
    return np.minimum(positions[..., ankles, 1] - ANKLE_HEIGHT, positions[..., toes, 1] - TOE_HEIGHT)
