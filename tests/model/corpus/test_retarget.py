"""A motion written onto other rigs comes back: other names, units, axes, bone axes and rest poses."""

import numpy as np
import pytest

from dancerev.model import pose, rotation
from dancerev.model.bvh import Bvh
from dancerev.model.corpus.ik import place_ankles
from dancerev.model.corpus.retarget import calibrate, map_rig, retarget, source_directions
from dancerev.model.skeleton import BONES, FEET, INDEX, PARENTS, REST_OFFSETS, forward_kinematics

CHILD = {"UpperArm": "LowerArm", "LowerArm": "Hand", "UpperLeg": "LowerLeg", "LowerLeg": "Foot", "Neck": "Head"}
MIXAMO = {
    "Hips": "Hips", "Spine": "Spine", "Chest": "Spine1", "UpperChest": "Spine2", "Neck": "Neck", "Head": "Head",
    "Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
    "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase",
}  # fmt: skip
SMPL = {
    "Hips": "Pelvis", "Spine": "Spine1", "Chest": "Spine2", "UpperChest": "Spine3", "Neck": "Neck", "Head": "Head",
    "Shoulder": "Collar", "UpperArm": "Shoulder", "LowerArm": "Elbow", "Hand": "Wrist",
    "UpperLeg": "Hip", "LowerLeg": "Knee", "Foot": "Ankle", "Toes": "Foot",
}  # fmt: skip


def renamed(style):
    names = []
    for bone in BONES:
        side = "Left" if bone.startswith("Left") else "Right" if bone.startswith("Right") else ""
        part = bone.removeprefix(side)
        names.append(
            {
                "vrm": bone,
                "mixamo": f"mixamorig:{side}{MIXAMO[part]}",
                "smpl": f"{side[:1]}_{SMPL[part]}" if side else SMPL[part],
                "unreal": f"{ {'UpperArm': 'upperarm', 'LowerArm': 'lowerarm', 'Hand': 'hand', 'Shoulder': 'clavicle', 'UpperLeg': 'thigh', 'LowerLeg': 'calf', 'Foot': 'foot', 'Toes': 'ball'}.get(part, part.lower()) }{'_' + side[0].lower() if side else ''}",  # noqa: E501
            }[style]
        )
    return tuple(names)


def dance(frames=240, seed=0):
    """(T, 22, 4), (T, 3): standing, bending knees and elbows, swinging arms, turning."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 60.0
    rotations = np.tile(pose.rest_pose().rotations.astype(float), (frames, 1, 1))

    def turn(bone, axis, angle):
        rotations[:, INDEX[bone]] = rotation.multiply(
            rotations[:, INDEX[bone]], rotation.from_axis_angle(np.eye(3)[axis], angle)
        )

    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        phase = rng.uniform(0, 6)
        bend = 0.5 + 0.4 * np.sin(5 * time + phase)
        turn(f"{side}UpperLeg", 0, -bend)
        turn(f"{side}LowerLeg", 0, 2 * bend)
        turn(f"{side}Foot", 0, -bend)
        turn(f"{side}UpperArm", 0, 0.6 * np.sin(3 * time + phase))
        turn(f"{side}LowerArm", 1, -sign * (0.9 + 0.5 * np.sin(4 * time + phase)))
    turn("Chest", 1, 0.3 * np.sin(2 * time))
    turn("Hips", 1, 0.8 * np.sin(time))
    root = np.stack([0.3 * np.sin(time), np.full(frames, 0.8), 0.2 * np.cos(time)], axis=1)
    return rotations, root


def as_bvh(rotations, root, names, scale=1.0, axes=None, rest=None):
    """A rig of those names whose joints' own axes are turned by ``axes`` (22, 4), or in the rest pose ``rest``."""
    _, world = forward_kinematics(rotations, root)
    turns = np.tile(rotation.IDENTITY.astype(float), (len(BONES), 1)) if axes is None else axes
    if rest is not None:
        turns = rotation.conjugate(forward_kinematics(rest, np.zeros(3))[1])
    joint_world = rotation.multiply(world, turns)
    local = joint_world.copy()
    offsets = np.zeros((len(BONES), 3))
    for bone in range(1, len(BONES)):
        parent = PARENTS[bone]
        local[:, bone] = rotation.multiply(rotation.conjugate(joint_world[:, parent]), joint_world[:, bone])
        offsets[bone] = rotation.rotate(rotation.conjugate(turns[parent]), REST_OFFSETS[bone].astype(float))
    return Bvh(names, PARENTS, offsets * scale, local, root * scale, 1 / 60)


def direction_error(bvh, motion):
    """Largest angle in degrees between a limb of the source and ours."""
    positions = motion.positions()
    worst = 0.0
    for bone, wanted in source_directions(bvh).items():
        side = bone[: -len(bone.removeprefix("Left").removeprefix("Right"))]
        child = side + CHILD[bone.removeprefix(side)]
        own = positions[:, INDEX[child]] - positions[:, INDEX[bone]]
        own /= np.linalg.norm(own, axis=-1, keepdims=True)
        angle = np.arccos(np.clip(np.sum(own * wanted, axis=-1), -1, 1))
        worst = max(worst, float(np.rad2deg(angle.max())) if bone != "Neck" else 0.0)
    return worst


@pytest.mark.parametrize("style", ["vrm", "mixamo", "smpl", "unreal"])
def test_every_bone_is_found_by_its_name(style):
    rig = map_rig(as_bvh(*dance(2), renamed(style)))
    for bone in set(BONES) - {"Spine", "Chest", "UpperChest"}:
        assert rig.joints[bone] == INDEX[bone]
    assert rig.spine == (INDEX["Spine"], INDEX["Chest"], INDEX["UpperChest"])


@pytest.mark.parametrize("scale", [1.0, 100.0, 39.37])
def test_a_t_posed_rig_of_any_size_gives_the_motion_back(scale):
    rotations, root = dance()
    motion = retarget(as_bvh(rotations, root, renamed("mixamo"), scale))
    assert motion.fps == pytest.approx(60.0)
    np.testing.assert_allclose(np.abs(np.sum(motion.rotations * rotations, axis=-1)), 1.0, atol=1e-9)
    np.testing.assert_allclose(np.diff(motion.root, axis=0), np.diff(root, axis=0), atol=1e-9)


def test_a_rig_in_an_a_pose_gives_the_motion_back():
    rotations, root = dance()
    rest = np.tile(rotation.IDENTITY.astype(float), (len(BONES), 1))
    rest[INDEX["LeftUpperArm"]] = rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), -0.7)
    rest[INDEX["RightUpperArm"]] = rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), 0.7)
    motion = retarget(as_bvh(rotations, root, renamed("unreal"), rest=rest))
    np.testing.assert_allclose(np.abs(np.sum(motion.rotations * rotations, axis=-1)), 1.0, atol=1e-9)


def test_a_rig_whose_joints_have_axes_of_their_own_is_learned_from_its_movement():
    axes = rotation.normalize(np.random.default_rng(1).normal(size=(len(BONES), 4)))
    takes = [as_bvh(*dance(seed=seed), renamed("smpl"), 100.0, axes) for seed in range(3)]
    constants = calibrate(takes)
    for seed, bvh in enumerate(takes):
        motion = retarget(bvh, calibration=constants)
        assert direction_error(bvh, motion) < 0.5
        # Also twists come back, as far as bends of elbow and knee show them.
        limbs = [INDEX[s + b] for s in ("Left", "Right") for b in ("UpperArm", "UpperLeg", "LowerLeg")]
        _, own = forward_kinematics(motion.rotations, motion.root)
        _, wanted = forward_kinematics(*dance(seed=seed))
        angle = 2 * np.arccos(np.clip(np.abs(np.sum(own * wanted, axis=-1)), 0, 1))
        assert np.rad2deg(angle[:, limbs]).max() < 15.0


def test_z_up_is_turned_upright():
    rotations, root = dance()
    tipped = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2)
    turned = rotations.copy()
    turned[:, 0] = rotation.multiply(tipped, rotations[:, 0])
    motion = retarget(as_bvh(turned, rotation.rotate(tipped, root), renamed("vrm")))
    height = motion.positions()[:, INDEX["Head"], 1]
    assert height.min() > 1.2


def test_what_cannot_be_mapped_is_listed():
    names = tuple("Elbow?" if name in ("LeftLowerArm", "RightFoot") else name for name in renamed("vrm"))
    with pytest.raises(ValueError, match="no joint found for LeftLowerArm, RightFoot"):
        map_rig(as_bvh(*dance(2), names))


def test_ankles_go_where_they_are_asked_and_knees_bend_forward():
    rotations, root = dance()
    positions, world = forward_kinematics(rotations, root)
    ankles = positions[:, [pair[0] for pair in FEET]] + np.array([0.03, 0.05, -0.04])
    bent = place_ankles(rotations, root, ankles)
    moved, turned = forward_kinematics(bent, root)
    np.testing.assert_allclose(moved[:, [pair[0] for pair in FEET]], ankles, atol=1e-6)
    feet = [pair[0] for pair in FEET]
    np.testing.assert_allclose(np.abs(np.sum(turned[:, feet] * world[:, feet], axis=-1)), 1.0, atol=1e-9)
    for side in ("Left", "Right"):
        hip, knee, ankle = (moved[:, INDEX[f"{side}{part}"]] for part in ("UpperLeg", "LowerLeg", "Foot"))
        facing = rotation.rotate(turned[:, 0], np.array([0.0, 0.0, 1.0]))
        assert (np.sum((knee - (hip + ankle) / 2) * facing, axis=-1) > 0).all()


def test_an_ankle_beyond_reach_stretches_the_leg_without_breaking_it():
    rotations, root = dance(3)
    bent = place_ankles(rotations, root, np.full((3, 2, 3), 5.0))
    assert np.isfinite(bent).all()
    positions, _ = forward_kinematics(bent, root)
    leg = np.linalg.norm(positions[:, INDEX["LeftFoot"]] - positions[:, INDEX["LeftUpperLeg"]], axis=-1)
    assert (leg > 0.81).all()


def limbs(pattern, shoulder, upper_arm, lower_arm, hand, upper_leg, lower_leg, foot, toes):
    """Names of both sides' limbs in the order of BONES; ``pattern`` has ``{side}`` and ``{part}``."""
    parts = {"arm": (shoulder, upper_arm, lower_arm, hand), "leg": (upper_leg, lower_leg, foot, toes)}
    return {(side, limb): [pattern(side, part) for part in parts[limb]] for side in ("left", "right") for limb in parts}


RIGS = {
    "VRoid": (
        [f"J_Bip_C_{n}" for n in ("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head")],
        limbs(lambda s, p: f"J_Bip_{s[0].upper()}_{p}", "Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg",
              "LowerLeg", "Foot", "ToeBase"),
    ),
    "Mixamo": (
        [f"mixamorig:{n}" for n in ("Hips", "Spine", "Spine1", "Spine2", "Neck", "Head")],
        limbs(lambda s, p: f"mixamorig:{s.title()}{p}", "Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot",
              "ToeBase"),
    ),
    "CMU": (
        ["hip", "abdomen", "chest", "chest2", "neck", "head"],
        limbs(lambda s, p: f"{s[0]}{p}", "Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot", "Toe"),
    ),
    "Character Creator": (
        [f"CC_Base_{n}" for n in ("Hip", "Waist", "Spine01", "Spine02", "NeckTwist01", "Head")],
        limbs(lambda s, p: f"CC_Base_{s[0].upper()}_{p}", "Clavicle", "Upperarm", "Forearm", "Hand", "Thigh", "Calf",
              "Foot", "ToeBase"),
    ),
    "Unreal": (
        ["pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head"],
        limbs(lambda s, p: f"{p}_{s[0]}", "clavicle", "upperarm", "lowerarm", "hand", "thigh", "calf", "foot", "ball"),
    ),
    "Rokoko": (
        ["Hips", "Spine1", "Spine2", "Spine3", "Neck", "Head"],
        limbs(lambda s, p: f"{s.title()}{p}", "Shoulder", "Arm", "ForeArm", "Hand", "Thigh", "Shin", "Foot", "Toe"),
    ),
    "MVN": (
        ["Pelvis", "L5", "L3", "T8", "Neck", "Head"],
        limbs(lambda s, p: f"{s.title()}{p}", "Shoulder", "UpperArm", "ForeArm", "Hand", "UpperLeg", "LowerLeg", "Foot",
              "Toe"),
    ),
    "MVN, BVH": (
        ["Hips", "Chest", "Chest2", "Chest3", "Neck", "Head"],
        limbs(lambda s, p: f"{s.title()}{p}", "Collar", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Toe"),
    ),
    "Perception Neuron": (
        ["Hips", "Spine", "Spine1", "Spine2", "Neck", "Head"],
        limbs(lambda s, p: f"{s.title()}{p}", "Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "ToeBase"),
    ),
    "SMPL": (
        ["Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head"],
        limbs(lambda s, p: f"{s[0].upper()}_{p}", "Collar", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle",
              "Foot"),
    ),
    "Rigify": (
        ["spine", "spine.001", "spine.002", "spine.003", "spine.004", "spine.006"],
        limbs(lambda s, p: f"{p}.{s[0].upper()}", "shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot",
              "toe"),
    ),
    "Rigify, deforming": (
        [f"DEF-{n}" for n in ("spine", "spine.001", "spine.002", "spine.003", "spine.004", "spine.006")],
        limbs(lambda s, p: f"DEF-{p}.{s[0].upper()}", "shoulder", "upper_arm", "forearm", "hand", "thigh", "shin",
              "foot", "toe"),
    ),
    "3ds Max Biped": (
        [f"Bip01 {n}" for n in ("Pelvis", "Spine", "Spine1", "Spine2", "Neck", "Head")],
        limbs(lambda s, p: f"Bip01 {s[0].upper()} {p}", "Clavicle", "UpperArm", "Forearm", "Hand", "Thigh", "Calf",
              "Foot", "Toe0"),
    ),
    "Daz": (
        ["hip", "abdomenLower", "chestLower", "chestUpper", "neckLower", "head"],
        limbs(lambda s, p: f"{s[0]}{p}", "Collar", "ShldrBend", "ForearmBend", "Hand", "ThighBend", "Shin", "Foot",
              "Toe"),
    ),
}  # fmt: skip
"""Names of the trunk from hips to head, and of the limbs, as programs call them."""


@pytest.mark.parametrize("rig", RIGS)
def test_the_rigs_of_many_programs_are_found_by_their_names(rig):
    trunk, sides = RIGS[rig]
    names = [*trunk, *sides["left", "arm"], *sides["right", "arm"], *sides["left", "leg"], *sides["right", "leg"]]
    found = map_rig(as_bvh(*dance(2), tuple(names))).joints
    assert {bone: names[index] for bone, index in found.items()} == {
        bone: names[INDEX[bone]] for bone in BONES if bone not in ("Spine", "Chest", "UpperChest")
    }
