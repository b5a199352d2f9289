"""Interpolation keeps the poses it is given, adds no delay, moves evenly, and knows nothing of the future."""

import itertools

import numpy as np
import pytest

from dancerev.model import rotation, skeleton
from dancerev.model.pose import Pose, rest_pose
from dancerev.realtime.body.interpolate import PoseInterpolator


def wild_poses(seed, count, start=0):
    """Unrelated random poses at 15 Hz."""
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(count, 22, 4))).astype(np.float32)
    roots = rng.normal(size=(count, 3)).astype(np.float32)
    contacts = rng.uniform(size=(count, 2)).astype(np.float32)
    return [Pose((start + k) / 15, rotations[k], roots[k], contacts[k]) for k in range(count)]


def swinging(time):
    """A pose of a smooth motion, known at any time."""
    rest = rest_pose(time)
    phase = 2.0 * np.pi * time * 0.7 + np.arange(22)
    axis = rotation.normalize(np.random.default_rng(1).normal(size=(22, 4)))[:, :3]
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    swing = rotation.from_axis_angle(axis, 0.8 * np.sin(phase))
    root = rest.root + np.array([0.3 * np.sin(3.0 * time), 0.05 * np.cos(6.0 * time), 0.4 * time], dtype=np.float32)
    return Pose(time, rotation.multiply(rest.rotations, swing).astype(np.float32), root, rest.contacts)


def push_all(poses, fps):
    interpolator = PoseInterpolator(fps)
    return [pose for pushed in poses for pose in interpolator.push(pushed)]


@pytest.mark.parametrize("fps", [15, 30, 60, 24, 50])
@pytest.mark.parametrize("start", [0, 7, 1_000_000])
def test_poses_lie_on_the_whole_grid_and_nothing_else(fps, start):
    poses = push_all(wild_poses(0, 40, start), fps)
    first = poses[0].time if fps % 15 else start / 15
    times = np.array([pose.time for pose in poses])
    grid = np.arange(np.floor(first * fps + 1e-4) + 1, np.floor((start + 39) / 15 * fps + 1e-4) + 1) / fps
    np.testing.assert_allclose(times, np.concatenate([[start / 15], grid]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fps", [30, 60])
def test_passes_through_the_poses_given(fps):
    poses = wild_poses(1, 50)
    shown = {round(pose.time * fps): pose for pose in push_all(poses, fps)}
    for pose in poses:
        same = shown[round(pose.time * fps)]
        np.testing.assert_array_equal(same.rotations, pose.rotations)
        np.testing.assert_array_equal(same.root, pose.root)
        np.testing.assert_array_equal(same.contacts, pose.contacts)


def test_no_delay_and_each_push_gives_up_to_its_own_time():
    interpolator = PoseInterpolator(30)
    poses = wild_poses(2, 5)
    assert [pose.time for pose in interpolator.push(poses[0])] == [0.0]
    for k, pose in enumerate(poses[1:], start=1):
        np.testing.assert_allclose([p.time for p in interpolator.push(pose)], [(k - 0.5) / 15, k / 15])


def test_unit_quaternions_finite_and_float32_even_for_wild_poses():
    for pose in push_all(wild_poses(3, 100), 60):
        assert pose.rotations.dtype == pose.root.dtype == pose.contacts.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(pose.rotations, axis=-1), 1.0, atol=1e-5)
        assert pose.is_finite()
        assert pose.contacts.min() >= 0.0
        assert pose.contacts.max() <= 1.0


def test_sign_of_a_quaternion_does_not_matter():
    poses = wild_poses(4, 30)
    flip = np.where(np.random.default_rng(0).uniform(size=(30, 22, 1)) < 0.5, -1, 1).astype(np.float32)
    flipped = [Pose(p.time, p.rotations * s, p.root, p.contacts) for p, s in zip(poses, flip, strict=True)]
    for a, b in zip(push_all(poses, 30), push_all(flipped, 30), strict=True):
        np.testing.assert_allclose(np.abs(np.sum(a.rotations * b.rotations, axis=-1)), 1.0, atol=1e-5)


def test_later_poses_change_nothing():
    poses = wild_poses(5, 20)
    other = poses[:12] + wild_poses(6, 8, start=12)
    for a, b in zip(push_all(poses, 30)[:23], push_all(other, 30)[:23], strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)


def test_a_body_at_rest_stays_at_rest():
    rest = rest_pose()
    for pose in push_all([Pose(k / 15, rest.rotations, rest.root, rest.contacts) for k in range(10)], 60):
        np.testing.assert_allclose(pose.rotations, rest.rotations, atol=1e-6)
        np.testing.assert_array_equal(pose.root, rest.root)


def test_constant_turning_and_constant_acceleration_are_exact_at_the_middle():
    """From the third pose on: the first interval has no velocity to start with."""
    axis = np.array([0.6, 0.0, 0.8])
    poses = []
    for k in range(10):
        rotations = np.tile(rotation.from_axis_angle(axis, 0.4 * k), (22, 1)).astype(np.float32)
        root = np.array([0.01 * k * k, 1.0, 0.1 * k], dtype=np.float32)
        poses.append(Pose(k / 15, rotations, root, np.zeros(2, dtype=np.float32)))
    for pose in push_all(poses, 30)[3:]:
        k = pose.time * 15
        expected = rotation.from_axis_angle(axis, 0.4 * k)
        np.testing.assert_allclose(np.abs(pose.rotations @ expected), 1.0, atol=1e-6)
        np.testing.assert_allclose(pose.root, [0.01 * k * k, 1.0, 0.1 * k], atol=1e-6)


def test_smoother_than_slerp_and_nearer_to_the_motion():
    """On a smooth motion sampled at 15 Hz, the 60 Hz curve has less jerk and less error than slerp and lines."""
    given = [swinging(k / 15) for k in range(60)]
    curve = push_all(given, 60)
    slerped = [given[0]]
    for a, b in itertools.pairwise(given):
        for t in (0.25, 0.5, 0.75, 1.0):
            rotations = rotation.slerp(a.rotations, b.rotations, t)
            slerped.append(Pose(0.0, rotations, (1 - t) * a.root + t * b.root, a.contacts))

    def positions(poses):
        rotations, root = np.array([p.rotations for p in poses]), np.array([p.root for p in poses])
        return skeleton.forward_kinematics(rotations.astype(np.float64), root.astype(np.float64))[0][8:]

    truth = positions([swinging(n / 60) for n in range(len(curve))])
    error = [np.abs(positions(poses) - truth).mean() for poses in (curve, slerped)]
    jerk = [np.linalg.norm(np.diff(positions(poses), 3, axis=0), axis=-1).mean() for poses in (curve, slerped)]
    assert error[0] < 0.7 * error[1]
    assert jerk[0] < 0.8 * jerk[1]


def test_a_sudden_stop_is_not_overshot():
    rest = rest_pose()
    poses = []
    for k in range(8):
        root = rest.root + np.array([0.1 * min(k, 4), 0.0, 0.0], dtype=np.float32)
        poses.append(Pose(k / 15, rest.rotations, root, rest.contacts))
    x = np.array([pose.root[0] for pose in push_all(poses, 60)])
    assert x.max() <= 0.4 + 1e-6
    assert np.diff(x).min() >= -1e-6


def test_poses_out_of_order_and_bad_rates_are_refused():
    interpolator = PoseInterpolator(30)
    interpolator.push(rest_pose(1.0))
    with pytest.raises(ValueError, match="order of time"):
        interpolator.push(rest_pose(1.0))
    for fps in (0, -30, float("nan")):
        with pytest.raises(ValueError, match="frame rate"):
            PoseInterpolator(fps)
