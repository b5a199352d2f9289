"""Avatars: joints read from VRM files, and dances fitted to them."""

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from vrm_file import OPTIONAL, joints_of, write_vrm
from walking import walk

from dancerev.clients.avatar import AvatarRig, read_vrm
from dancerev.errors import InputError
from dancerev.model import rotation
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import BONES, FEET, INDEX, REST_OFFSETS, forward_kinematics


def random_pose(seed):
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(22, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    rotations = rotation.from_axis_angle(axes, rng.uniform(-0.6, 0.6, 22)).astype(np.float32)
    return Pose(0.0, rotations, np.array([0.4, 1.1, -0.3], dtype=np.float32), np.zeros(2, dtype=np.float32))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("missing", [(), OPTIONAL, ("LeftIndexDistal", "Neck", "RightThumbProximal")])
def test_the_joints_of_a_file_are_read(tmp_path, version, missing):
    expected = write_vrm(tmp_path / "a.vrm", version, 1.5, seed=3, missing=missing)
    rig = read_vrm(tmp_path / "a.vrm")
    assert rig.version == version
    assert set(rig.joints) == set(expected)
    for name, place in expected.items():
        np.testing.assert_allclose(rig.joints[name], place, atol=1e-5)


def test_the_width_of_the_trunk_is_read(tmp_path):
    write_vrm(tmp_path / "a.vrm", waist=0.27)
    half_width, half_depth = read_vrm(tmp_path / "a.vrm").torso
    assert half_width == pytest.approx(0.27, abs=0.01)
    assert half_depth == pytest.approx(0.6 * 0.27, abs=0.03)


def test_on_an_avatar_of_the_dancers_own_size_nothing_changes():
    rig = AvatarRig(joints_of())
    for seed in range(20):
        pose = random_pose(seed)
        fitted = rig.fit(pose)
        difference = np.linalg.norm(rig.positions(fitted) - pose.positions(), axis=1)
        knees = [INDEX["LeftLowerLeg"], INDEX["RightLowerLeg"]]
        assert difference[knees].max() < 0.03  # of a nearly straight leg, the thigh's own front decides
        assert np.delete(difference, knees).max() < 0.002


def test_all_bones_of_every_avatar_turn_as_the_dancers_do_but_for_the_legs():
    rig = AvatarRig(joints_of(2.1, seed=5))
    pose = random_pose(1)
    expected = forward_kinematics(pose.rotations, pose.root)[1]
    shown = forward_kinematics(rig.fit(pose).rotations, pose.root)[1]
    for bone, name in enumerate(BONES):
        if "Leg" not in name:
            assert abs(expected[bone] @ shown[bone]) == pytest.approx(1.0, abs=1e-5)


def test_bones_that_are_missing_are_folded_into_those_that_are_there():
    rig = AvatarRig(joints_of(missing=OPTIONAL))
    pose = random_pose(2)
    expected = forward_kinematics(pose.rotations, pose.root)[1]
    fitted = rig.fit(pose)
    shown = forward_kinematics(fitted.rotations, fitted.root)[1]
    for name, source in (("Spine", "UpperChest"), ("LeftUpperArm",) * 2, ("Head",) * 2, ("RightFoot",) * 2):
        assert abs(expected[INDEX[source]] @ shown[INDEX[name]]) == pytest.approx(1.0, abs=1e-5)
    for name in OPTIONAL:
        np.testing.assert_allclose(np.abs(fitted.rotations[INDEX[name]]), [0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("height", [0.9, 1.6, 2.2])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("missing", [(), OPTIONAL])
def test_planted_feet_stand_still_on_the_floor(height, seed, missing):
    rig = AvatarRig(joints_of(height, seed, missing))
    dance = walk(seconds=5)
    places = np.array([rig.positions(rig.fit(pose))[[ankle for ankle, _ in FEET]] for pose in dance])
    planted = np.array([pose.contacts for pose in dance]) > 0.5
    ankle = np.mean([rig.joints[BONES[ankle]][1] for ankle, _ in FEET])
    for side in range(2):
        steps = np.split(places[:, side], np.flatnonzero(np.diff(planted[:, side])) + 1)
        stood = np.split(planted[:, side], np.flatnonzero(np.diff(planted[:, side])) + 1)
        for step, is_planted in zip(steps, stood, strict=True):
            if is_planted[0]:
                assert np.linalg.norm(np.ptp(step[:, [0, 2]], axis=0)) <= 0.005
                np.testing.assert_allclose(step[:, 1], ankle, atol=0.005)
    assert places[..., 1].min() >= ankle - 0.005


def test_arms_stay_outside_a_wide_body():
    rig = AvatarRig(joints_of(), torso=(0.3, 0.2))
    slim = AvatarRig(joints_of())
    hand, elbow, chest = INDEX["LeftHand"], INDEX["LeftLowerArm"], INDEX["UpperChest"]
    places = rig.positions(rig.fit(rest_pose()))
    assert slim.positions(slim.fit(rest_pose()))[hand, 0] < 0.32
    for joint in (hand, elbow):
        x, _, z = places[joint] - places[0]
        assert (x / 0.3) ** 2 + (z / 0.2) ** 2 >= 0.98
    np.testing.assert_allclose(places[chest], slim.positions(slim.fit(rest_pose()))[chest], atol=1e-6)


def test_raised_arms_of_a_wide_body_are_left_alone():
    pose = Pose(0.0, np.tile(rotation.IDENTITY, (22, 1)), REST_OFFSETS[0].copy(), np.ones(2, dtype=np.float32))
    wide, slim = AvatarRig(joints_of(), torso=(0.3, 0.2)), AvatarRig(joints_of())
    np.testing.assert_allclose(wide.fit(pose).rotations, slim.fit(pose).rotations, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"glTF", "damaged"),
        (b"PK\3\4" + b"\0" * 60, "damaged, or not a VRM file"),
        (struct.pack("<4sIIII", b"glTF", 2, 24, 4, 0x4E4F534A) + b"[1] ", "damaged"),
        (struct.pack("<4sIIII", b"glTF", 2, 24, 4, 0x4E4F534A) + b"{}  ", "no VRM extension"),
    ],
)
def test_a_file_that_is_no_avatar_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.vrm"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_vrm(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused():
    with pytest.raises(InputError, match="No such file"):
        read_vrm(Path("/nowhere/a.vrm"))


def rewrite(path, change):
    """Let ``change`` change the JSON document of a file."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    path.write_bytes(data[:12] + struct.pack("<I", len(text)) + data[16:20] + text + data[20 + size :])


@pytest.mark.parametrize("bone", ["hips", "leftUpperLeg"])
def test_an_avatar_without_a_required_bone_is_refused(tmp_path, bone):
    path = tmp_path / "a.vrm"
    write_vrm(path, 1)
    rewrite(path, lambda document: document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"].pop(bone))
    with pytest.raises(InputError, match="not a humanoid"):
        read_vrm(path)


@pytest.mark.parametrize(("what", "count"), [("translation", 3), ("rotation", 4), ("scale", 3)])
def test_numbers_beyond_float_are_damage(tmp_path, what, count):
    path = tmp_path / "a.vrm"
    write_vrm(path, 1)
    rewrite(path, lambda document: document["nodes"][0].update({what: [10**400] * count}))
    with pytest.raises(InputError, match="damaged"):
        read_vrm(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("place", [1e300, 1e30, 100.0])
def test_an_avatar_far_from_its_origin_is_refused(tmp_path, place):
    path = tmp_path / "a.vrm"
    write_vrm(path, 1)
    rewrite(path, lambda document: document["nodes"][0].update({"translation": [place] * 3}))
    with pytest.raises(InputError, match="nowhere near its origin"):
        read_vrm(path)


def test_damage_anywhere_in_a_file_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.vrm"
    write_vrm(path, 1)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 40):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(1, len(data) + 1)])
        with contextlib.suppress(InputError):
            read_vrm(path)
