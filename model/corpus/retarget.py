"""Motion of any humanoid rig onto our 22 bones.

Each of our bones follows one joint of the source. What the two skeletons call "no rotation" differs, so
:func:`calibrate` finds for each bone the constant turn between them; from there on, the bone turns in the world
as its joint does. So the directions of the limbs in the world agree with the source, whatever its rest pose and
bone axes are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError

from .. import rotation
from ..bvh import Bvh
from ..skeleton import ANKLE_HEIGHT, BONES, FEET, INDEX, PARENTS, REST_OFFSETS, TOE_HEIGHT, forward_kinematics
from .motion import Motion

Array = npt.NDArray[Any]

_PREFIXES = r"^(mixamorig\d*|ccbase|bip0*1?|j_?bip|j_?sec|valvebiped|character\d*|def|org|b(?=[lrc]_))[:_ ]*(c_)?"

# Part of the body → the names it goes by, best first; sides are taken off before.
_CENTRE_NAMES: dict[str, tuple[str, ...]] = {
    "Hips": ("pelvis", "hips", "hip", "root", "spine"),
    "Neck": ("neck", "neck1", "neck01", "necktwist01", "lowerneck", "necklower", "spine004"),
    "Head": ("head", "spine006"),
}
_SIDE_NAMES: dict[str, tuple[str, ...]] = {
    "Shoulder": ("clavicle", "collar", "clav", "collarbone", "shoulder"),
    "UpperArm": ("upperarm", "uparm", "arm", "shldr", "shldrbend", "humerus", "shoulder"),
    "LowerArm": ("lowerarm", "forearm", "forearmbend", "loarm", "elbow", "radius"),
    "Hand": ("wrist", "hand"),
    "UpperLeg": ("upperleg", "upleg", "thigh", "thighbend", "femur", "hip"),
    "LowerLeg": ("lowerleg", "loleg", "leg", "calf", "shin", "knee", "tibia"),
    "Foot": ("ankle", "foot"),
    "Toes": ("toebase", "toes", "toe", "toe0", "ball", "foot"),
}
_FINGER_NAMES = ("middle1", "mid1", "handmiddle1", "middleproximal", "middle01", "fingermid1")
_THUMB_NAMES = ("thumb1", "handthumb1", "thumbproximal", "thumb01")
_LIMBS = (
    ("UpperArm", "LowerArm"),
    ("LowerArm", "Hand"),
    ("Hand", "Hand"),
    ("UpperLeg", "LowerLeg"),
    ("LowerLeg", "Foot"),
)
"""Bones whose direction is followed, and the bone whose rest offset points along them."""

_REFERENCE_ERROR = 1.5  # radians over the whole body: a pose that the rest pose can be read off

_REQUIRED = ("Hips", "Neck") + tuple(
    side + part
    for side in ("Left", "Right")
    for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
)

LEG_LENGTH = float(sum(np.linalg.norm(REST_OFFSETS[INDEX[bone]]) for bone in ("LeftLowerLeg", "LeftFoot")))
"""Metres from hip joint to ankle of our skeleton."""


@dataclass(frozen=True)
class Rig:
    """How a source skeleton maps onto ours.

    Attributes:
        joints: our bone → index of the source joint.
        spine: source joints from above the hips to below the neck, upwards.
        tips: source joints that only give a direction: ``LeftHand`` → a finger, ``LeftThumb``, ``LeftToes``.
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
    known = {alias for aliases in _SIDE_NAMES.values() for alias in aliases} | set(_FINGER_NAMES) | set(_THUMB_NAMES)
    if bare[:1] in "lr" and bare[1:] in known and bare not in known:
        return {"l": "Left", "r": "Right"}[bare[0]], bare[1:]
    return "", bare


def map_rig(bvh: Bvh) -> Rig:
    """Find our bones among the joints of a rig by their names.

    Raises:
        CorpusError: a required bone has no counterpart; the message lists all of them.
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
        for thumb in _THUMB_NAMES:
            if (side, thumb) in by_part:
                tips.setdefault(side + "Thumb", by_part[side, thumb])
        if side + "Toes" in joints:
            tips[side + "Toes"] = joints[side + "Toes"]
        elif side + "Foot" in joints:
            ends = [i for i, parent in enumerate(bvh.parents) if parent == joints[side + "Foot"]]
            if ends:
                tips[side + "Toes"] = ends[0]
    missing = [bone for bone in _REQUIRED if bone not in joints]
    if missing:
        raise CorpusError(f"no joint found for {', '.join(missing)}; the file's joints: {', '.join(bvh.names)}")
    above_hips = set(_ancestors(bvh.parents, joints["Hips"])) | {joints["Hips"]}
    spine = [joint for joint in _ancestors(bvh.parents, joints["Neck"]) if joint not in above_hips]
    return Rig(joints, tuple(reversed(spine)), tips)


def _ancestors(parents: tuple[int, ...], joint: int) -> list[int]:
    above = []
    while parents[joint] >= 0:
        joint = parents[joint]
        above.append(joint)
    return above


def _facing(positions: Array, rig: Rig) -> Array:
    """(...) heading in radians of the pelvis, from its hip joints; Y is up."""
    lateral = positions[..., rig.joints["LeftUpperLeg"], :] - positions[..., rig.joints["RightUpperLeg"], :]
    return np.asarray(np.arctan2(-lateral[..., 2], lateral[..., 0]))


def _reference_error(positions: Array, rig: Rig) -> Array:
    """(...) how far poses are from standing upright with straight limbs, radians summed over the limbs."""
    lateral = rotation.unit(
        positions[..., rig.joints["LeftUpperLeg"], :] - positions[..., rig.joints["RightUpperLeg"], :]
    )
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
        error = error + np.abs(np.arcsin(np.clip(np.sum(rotation.unit(elbow - arm) * forward, axis=-1), -1, 1)))
        error = error + np.maximum(0.0, -np.sum(rotation.unit(elbow - arm) * sign * lateral, axis=-1))
        error = error + np.maximum(0.0, np.sum(rotation.unit(elbow - arm) * up, axis=-1))
    return np.asarray(error)


def _angle(a: Array, b: Array) -> Array:
    return np.asarray(np.arccos(np.clip(np.sum(rotation.unit(a) * rotation.unit(b), axis=-1), -1.0, 1.0)))


def _upright(positions: Array, rig: Rig) -> Array:
    """Quaternion that turns the file's own up axis onto +Y."""
    feet = (positions[:, rig.joints["LeftFoot"]] + positions[:, rig.joints["RightFoot"]]) / 2
    up = rotation.unit(positions[:, rig.joints["Neck"]] - feet).mean(axis=0)
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
        a: rotation.unit(positions[:, rig.joints[b]] - positions[:, rig.joints[a]])
        for a, b in pairs
        if a in rig.joints and b in rig.joints
    }


def calibrate(bvhs: list[Bvh]) -> dict[str, Array]:
    """How our bones sit on the joints of a rig, found from takes of it.

    A bone's rotation in the world is its joint's times the constant quaternion (4,) given here. Where the rig
    is in a T-pose, an A-pose or has its arms hanging when all rotations are zero, or in the first frame of a
    take, the constants are read off that pose. Otherwise they are learned from the movement: limbs from their
    direction and the axis in which elbow and knee bend, hands from fingers and thumb, feet from standing flat,
    the trunk from standing upright on average.

    Args:
        bvhs: takes of one and the same rig.

    Returns:
        constants by the name of our bone; those of the source's spine as ``spine_0``, ``spine_1``, ….

    Raises:
        CorpusError: a bone has no counterpart in the rig, or the takes never stand upright.
    """
    first = bvhs[0]
    rig = map_rig(first)
    upright = _upright(first.forward_kinematics()[0], rig)
    poses = [first.offset_pose()] + [(p[0], g[0]) for p, g in (b.forward_kinematics(slice(0, 1)) for b in bvhs)]
    for positions, globals_ in poses:
        positions, globals_ = rotation.rotate(upright, positions), rotation.multiply(upright, globals_)
        if _reference_error(positions, rig) < _REFERENCE_ERROR:
            return _read_off(rig, positions, globals_)
    motions = [b.forward_kinematics() for b in bvhs]
    positions = rotation.rotate(upright, np.concatenate([p for p, _ in motions]))
    globals_ = rotation.multiply(upright, np.concatenate([g for _, g in motions]))
    return _learn(rig, positions, globals_)


def _read_off(rig: Rig, positions: Array, globals_: Array) -> dict[str, Array]:
    """Return the constants from a pose (J, 3), (J, 4) in which the trunk is upright and the feet are flat."""
    facing = rotation.from_yaw(_facing(positions, rig))
    poses = dict.fromkeys((*_CENTRE_NAMES, "LeftShoulder", "RightShoulder"), facing)
    for side in ("Left", "Right"):
        for bone, child in _LIMBS:
            start = positions[rig.joints[side + bone]]
            if bone != "Hand":
                direction = positions[rig.joints[side + child]] - start
            elif side + "Hand" in rig.tips:
                direction = positions[rig.tips[side + "Hand"]] - start
            else:
                direction = start - positions[rig.joints[side + "LowerArm"]]
            rest = rotation.unit(REST_OFFSETS[INDEX[side + child]].astype(float))
            aligned = rotation.between(rotation.rotate(facing, rest), rotation.unit(direction))
            poses[side + bone] = rotation.multiply(aligned, facing)
        pointing = facing
        if side + "Toes" in rig.tips:
            # The foot is flat in the reference; only where it points is taken from it.
            toe = positions[rig.tips[side + "Toes"]] - positions[rig.joints[side + "Foot"]]
            pointing = rotation.from_yaw(np.arctan2(toe[0], toe[2]))
        poses[side + "Foot"] = poses[side + "Toes"] = pointing
    constants = {
        bone: rotation.multiply(rotation.conjugate(globals_[joint]), poses[bone]) for bone, joint in rig.joints.items()
    }
    for step, joint in enumerate(rig.spine):
        constants[f"spine_{step}"] = rotation.multiply(rotation.conjugate(globals_[joint]), facing)
    return constants


def _learn(rig: Rig, positions: Array, globals_: Array) -> dict[str, Array]:
    """Return the constants from movement: positions (T, J, 3) and rotations (T, J, 4) of the joints, Y up."""
    up = np.array([0.0, 1.0, 0.0])
    hips, neck = positions[:, rig.joints["Hips"]], positions[:, rig.joints["Neck"]]
    feet = [positions[:, rig.joints[side + "Foot"]] for side in ("Left", "Right")]
    height = hips[:, 1] - np.minimum(feet[0][:, 1], feet[1][:, 1])
    standing = (_angle(neck - hips, up) < np.deg2rad(25.0)) & (height > 0.9 * np.percentile(height, 90))
    if standing.sum() < 10:
        raise CorpusError("no T-pose in the file, and the dancer never stands upright to learn the rig from")
    facing = rotation.from_yaw(_facing(positions[standing], rig))
    constants: dict[str, Array] = {}

    def upright_on_average(joint: int) -> Array:
        return _mean(rotation.multiply(rotation.conjugate(globals_[standing, joint]), facing))

    for bone in _CENTRE_NAMES:
        if bone in rig.joints:
            constants[bone] = upright_on_average(rig.joints[bone])
    for step, joint in enumerate(rig.spine):
        constants[f"spine_{step}"] = upright_on_average(joint)
    chest = rig.spine[-1] if rig.spine else rig.joints["Hips"]
    chest_world = rotation.multiply(globals_[:, chest], constants.get(f"spine_{len(rig.spine) - 1}", constants["Hips"]))
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        if side + "Shoulder" in rig.joints:
            joint = rig.joints[side + "Shoulder"]
            constants[side + "Shoulder"] = _mean(rotation.multiply(rotation.conjugate(globals_[:, joint]), chest_world))
        for upper, lower, end, axis in (
            ("UpperArm", "LowerArm", "Hand", -sign * up),
            ("UpperLeg", "LowerLeg", "Foot", np.array([1.0, 0.0, 0.0])),
        ):
            start, middle, last = (positions[:, rig.joints[side + bone]] for bone in (upper, lower, end))
            hinge = np.cross(rotation.unit(middle - start), rotation.unit(last - middle))
            for bone, child, direction in ((upper, lower, middle - start), (lower, end, last - middle)):
                back = rotation.conjugate(globals_[:, rig.joints[side + bone]])
                constants[side + bone] = _frame_to_frame(
                    REST_OFFSETS[INDEX[side + child]].astype(float),
                    axis,
                    rotation.rotate(back, direction).mean(axis=0),
                    rotation.rotate(back, hinge).mean(axis=0),
                )
        constants |= _learn_hand(rig, side, positions, globals_, constants)
        constants |= _learn_foot(rig, side, positions, globals_)
    return constants


def _learn_hand(
    rig: Rig, side: str, positions: Array, globals_: Array, constants: dict[str, Array]
) -> dict[str, Array]:
    hand = rig.joints[side + "Hand"]
    back = rotation.conjugate(globals_[:, hand])
    if side + "Hand" in rig.tips and side + "Thumb" in rig.tips:
        finger, thumb = (
            rotation.rotate(back, positions[:, rig.tips[side + tip]] - positions[:, hand]).mean(axis=0)
            for tip in ("Hand", "Thumb")
        )
        along = REST_OFFSETS[INDEX[side + "Hand"]].astype(float)
        return {side + "Hand": _frame_to_frame(along, np.array([0.0, 0.0, 1.0]), finger, thumb)}
    forearm = rotation.multiply(globals_[:, rig.joints[side + "LowerArm"]], constants[side + "LowerArm"])
    return {side + "Hand": _mean(rotation.multiply(back, forearm))}


def _learn_foot(rig: Rig, side: str, positions: Array, globals_: Array) -> dict[str, Array]:
    """Return the foot's constant from the frames in which it stands: low and slow."""
    up = np.array([0.0, 1.0, 0.0])
    foot = rig.joints[side + "Foot"]
    place = positions[:, foot]
    speed = np.linalg.norm(np.gradient(place, axis=0), axis=-1)
    low = place[:, 1] < np.percentile(place[:, 1], 40)
    still = low & (speed <= np.percentile(speed[low], 50))
    constants = {}
    for bone in ("Foot", "Toes"):
        if side + bone not in rig.joints:
            continue
        back = rotation.conjugate(globals_[still, rig.joints[side + bone]])
        sole_up = rotation.rotate(back, up).mean(axis=0)
        toe = positions[still, rig.tips[side + "Toes"]] - place[still] if side + "Toes" in rig.tips else None
        if toe is None:
            shin = place[still] - positions[still, rig.joints[side + "LowerLeg"]]
            toe = np.cross(np.cross(shin, up), up) * -1.0
        ahead = rotation.rotate(back, rotation.unit(toe)).mean(axis=0)
        constants[side + bone] = _frame_to_frame(up, np.array([0.0, 0.0, 1.0]), sole_up, ahead)
    return constants


def _mean(quaternions: Array) -> Array:
    """(4,) the average rotation of (N, 4): the first eigenvector of Markley et al., 2007."""
    _, vectors = np.linalg.eigh(quaternions.T @ quaternions)
    return np.asarray(vectors[:, -1])


def _frame_to_frame(first: Array, second: Array, new_first: Array, new_second: Array) -> Array:
    """Quaternion (4,) that turns ``first`` onto ``new_first`` and ``second`` as near to ``new_second`` as it can."""

    def frame(a: Array, b: Array) -> Array:
        a = rotation.unit(a)
        b = rotation.unit(b - np.dot(a, b) * a)
        return np.stack([a, b, np.cross(a, b)], axis=1)

    return rotation.from_matrix(frame(new_first, new_second) @ frame(first, second).T)


def retarget(bvh: Bvh, fps: float | None = None, calibration: dict[str, Array] | None = None) -> Motion:
    """Return the motion of a BVH file on our skeleton, scaled to our legs; where the floor is, is not yet known.

    Args:
        bvh: the source.
        fps: its true rate, where the file's own frame time is wrong.
        calibration: from :func:`calibrate` over takes of the same rig; from this take alone when not given.

    Returns:
        a motion whose lower foot mostly stands near height 0; contacts are all zero.

    Raises:
        CorpusError: a bone has no counterpart in the rig.
    """
    rig = map_rig(bvh)
    constants = calibrate([bvh]) if calibration is None else calibration
    positions, globals_ = bvh.forward_kinematics()
    upright = _upright(positions, rig)
    positions, globals_ = rotation.rotate(upright, positions), rotation.multiply(upright, globals_)
    world = np.empty((len(positions), len(BONES), 4))
    spine = [rotation.multiply(globals_[:, joint], constants[f"spine_{i}"]) for i, joint in enumerate(rig.spine)]
    for index, bone in enumerate(BONES):
        if bone in ("Spine", "Chest", "UpperChest"):
            world[:, index] = _spine(bone, [world[:, 0], *spine])
        elif bone in rig.joints:
            world[:, index] = rotation.multiply(globals_[:, rig.joints[bone]], constants[bone])
        else:
            world[:, index] = world[:, PARENTS[index]]
    local = world.copy()
    for index in range(1, len(BONES)):
        local[:, index] = rotation.multiply(rotation.conjugate(world[:, PARENTS[index]]), world[:, index])
    local = rotation.normalize(local)
    root = _place_root(local, positions, rig)
    return Motion(local, root, np.zeros((len(root), 2)), fps if fps is not None else 1.0 / bvh.frame_time)


def _spine(bone: str, chain: list[Array]) -> Array:
    """Rotation (T, 4) in the world of one of our three, of the source's spine, hips first, spread over them."""
    place = ("Spine", "Chest", "UpperChest").index(bone) / 3.0 + 1.0 / 3.0
    place *= len(chain) - 1
    below = min(int(place + 1e-9), max(len(chain) - 2, 0))
    return rotation.slerp(chain[below], chain[min(below + 1, len(chain) - 1)], place - below)


def _place_root(local: Array, positions: Array, rig: Rig) -> Array:
    """(T, 3) the hips, so that the middle between the hip joints moves as in the source, scaled by leg length."""
    leg = 0.0
    for side in ("Left", "Right"):
        hip, knee, ankle = (positions[0, rig.joints[side + part]] for part in ("UpperLeg", "LowerLeg", "Foot"))
        leg += float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)) / 2.0
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
