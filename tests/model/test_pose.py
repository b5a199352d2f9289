"""The pose vector round-trips, whatever the pose; rotations and kinematics keep their algebra."""

import numpy as np
import pytest

from dancerev.model import pose, rotation, skeleton


def random_rotations(rng, *shape):
    return rotation.normalize(rng.normal(size=(*shape, 4)))


def gentle_motion(rng, frames):
    """(T, 22, 4), (T, 3): small random turns about the rest pose, a wandering root that turns all the way round."""
    rotations = np.tile(pose.rest_pose().rotations.astype(np.float64), (frames, 1, 1))
    wobble = rng.normal(scale=0.3, size=(frames, 22, 3))
    angle = np.linalg.norm(wobble, axis=-1)
    rotations = rotation.multiply(rotations, rotation.from_axis_angle(wobble / angle[..., None], angle))
    heading = np.linspace(0.0, 9.0, frames)
    rotations[:, 0] = rotation.multiply(rotation.from_yaw(heading), rotations[:, 0])
    root = np.cumsum(rng.normal(scale=0.02, size=(frames, 3)), axis=0) + [0.0, 0.9, 0.0]
    return rotations, root


def test_matrix_and_6d_round_trip():
    quaternion = random_rotations(np.random.default_rng(0), 1000)
    for back in (
        rotation.from_matrix(rotation.to_matrix(quaternion)),
        rotation.from_6d(rotation.to_6d(quaternion)),
    ):
        assert np.abs(np.sum(back * quaternion, axis=-1)).min() > 1 - 1e-12


def test_rotate_agrees_with_matrix_and_composition():
    rng = np.random.default_rng(1)
    a, b, v = random_rotations(rng, 50), random_rotations(rng, 50), rng.normal(size=(50, 3))
    np.testing.assert_allclose(rotation.rotate(a, v), np.einsum("nij,nj->ni", rotation.to_matrix(a), v), atol=1e-12)
    np.testing.assert_allclose(
        rotation.rotate(rotation.multiply(a, b), v), rotation.rotate(a, rotation.rotate(b, v)), atol=1e-12
    )


def test_between_turns_one_vector_onto_the_other():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 100, 3))
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    b[0] = -a[0]
    np.testing.assert_allclose(rotation.rotate(rotation.between(a, b), a), b, atol=1e-6)


def test_slerp_keeps_unit_length_and_takes_the_shorter_arc():
    rng = np.random.default_rng(3)
    a, b = random_rotations(rng, 100), random_rotations(rng, 100)
    middle = rotation.slerp(a, b, 0.5)
    np.testing.assert_allclose(np.linalg.norm(middle, axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(a * middle, axis=-1)), np.abs(np.sum(b * middle, axis=-1)), atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(rotation.slerp(a, -a, 0.3) * a, axis=-1)), 1.0, atol=1e-9)


def test_yaw_survives_any_tilt_that_has_no_yaw():
    yaw = np.linspace(-3.0, 3.0, 13)
    tilt = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), 0.4)
    np.testing.assert_allclose(rotation.yaw_of(rotation.multiply(rotation.from_yaw(yaw), tilt)), yaw, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_pose_vector_round_trip(seed):
    rng = np.random.default_rng(seed)
    rotations, root = gentle_motion(rng, 200)
    contacts = rng.integers(0, 2, size=(200, 2)).astype(np.float32)
    vectors = pose.encode(rotations, root, contacts)
    decoder = pose.PoseDecoder((root[0, 0], root[0, 2]), float(rotation.yaw_of(rotations[0, 0])))
    poses = [decoder.decode(vector) for vector in vectors]
    np.testing.assert_allclose([p.root for p in poses], root, atol=1e-4)
    np.testing.assert_allclose([p.contacts for p in poses], contacts)
    dots = np.abs(np.sum(np.array([p.rotations for p in poses]) * rotations, axis=-1))
    assert dots.min() > 1 - 1e-5


def test_pose_vector_does_not_know_where_the_dancer_stands():
    rng = np.random.default_rng(4)
    rotations, root = gentle_motion(rng, 50)
    turned = rotations.copy()
    turn = rotation.from_yaw(1.1)
    turned[:, 0] = rotation.multiply(turn, rotations[:, 0])
    moved = rotation.rotate(turn, root) + [3.0, 0.0, -2.0]
    contacts = np.zeros((50, 2))
    np.testing.assert_allclose(pose.encode(turned, moved, contacts), pose.encode(rotations, root, contacts), atol=1e-5)


def test_to_centre_points_home():
    decoder = pose.PoseDecoder((1.0, 0.0), heading=0.0)
    np.testing.assert_allclose(decoder.to_centre(), [-1.0, 0.0], atol=1e-7)
    decoder.heading = np.pi / 2  # facing +X: the centre is straight behind
    np.testing.assert_allclose(decoder.to_centre(), [0.0, -1.0], atol=1e-7)


def test_rest_pose_stands_on_the_floor():
    positions = pose.rest_pose().positions()
    for ankle, toe in skeleton.FEET:
        assert positions[ankle, 1] == pytest.approx(skeleton.ANKLE_HEIGHT, abs=1e-6)
        assert positions[toe, 1] == pytest.approx(skeleton.TOE_HEIGHT, abs=1e-6)
    left, right = skeleton.INDEX["LeftHand"], skeleton.INDEX["RightHand"]
    assert positions[left, 0] > 0.1 > -0.1 > positions[right, 0]
    assert positions[left, 1] < 1.1


def test_forward_kinematics_follows_every_bone():
    rng = np.random.default_rng(6)
    rotations, root = gentle_motion(rng, 5)
    positions, turned = skeleton.forward_kinematics(rotations, root)
    for bone, parent in enumerate(skeleton.PARENTS):
        if parent < 0:
            np.testing.assert_array_equal(positions[:, bone], root)
            continue
        step = rotation.rotate(turned[:, parent], skeleton.REST_OFFSETS[bone])
        np.testing.assert_allclose(positions[:, bone], positions[:, parent] + step, atol=1e-6)
        np.testing.assert_allclose(
            turned[:, bone], rotation.multiply(turned[:, parent], rotations[:, bone]), atol=1e-12
        )


def test_mirror_reflects_every_joint():
    rng = np.random.default_rng(5)
    rotations, root = gentle_motion(rng, 20)
    positions, _ = skeleton.forward_kinematics(rotations, root)
    mirrored, _ = skeleton.forward_kinematics(*skeleton.mirror(rotations, root))
    np.testing.assert_allclose(mirrored[:, list(skeleton.MIRROR)], positions * [-1, 1, 1], atol=1e-6)
