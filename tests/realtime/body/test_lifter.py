"""The bundled lifter on dances that it has not seen, projected as a camera would."""

import numpy as np
import pytest
from dances import dance as synthetic

from dancerev.model import body25, rotation
from dancerev.model.skeleton import INDEX, forward_kinematics
from dancerev.realtime.body.lifter import lift


@pytest.fixture(scope="module")
def dance():
    return synthetic(np.arange(0.0, 10.0, 0.5), 6.0, 30.0)


def error(poses, rotations, root):
    """Mean distance of the joints relative to the hips, metres, from the second second on."""
    made = np.array([pose.positions() for pose in poses])[30:]
    real = forward_kinematics(rotations.astype(np.float64), root.astype(np.float64))[0][30:]
    return float(np.linalg.norm(made - made[:, :1] - real + real[:, :1], axis=-1).mean())


@pytest.mark.parametrize("yaw", [0.8, -1.57])
def test_joints_are_near_where_they_are(dance, yaw):
    rotations, root = dance[0].astype(np.float64).copy(), dance[1].astype(np.float64)
    rotations[:, 0] = rotation.multiply(rotation.from_yaw(np.full(len(rotations), yaw)), rotations[:, 0])
    keypoints = body25.project(rotations, root)
    keypoints += np.random.default_rng(0).normal(0.0, 2.0, keypoints.shape)
    still = np.tile(rotations[:1], (len(rotations), 1, 1)), np.tile(root[:1], (len(root), 1))
    poses = lift(keypoints)
    assert error(poses, rotations, root) < 0.09
    assert error(poses, rotations, root) < error(lift(body25.project(*still)), rotations, root)


def test_walks_to_the_side_stays_on_the_floor_and_has_left_on_the_left(dance):
    rotations, root = dance
    walk = np.linspace(0.0, 1.0, len(root))[:, None] * [1.0, 0.0, 0.0]
    poses = lift(body25.project(rotations, root + walk))
    moved = poses[-1].root - poses[0].root
    assert moved[0] == pytest.approx(1.0 + root[-1, 0] - root[0, 0], abs=0.15)
    assert moved[2] == 0.0
    positions = np.array([pose.positions() for pose in poses])
    assert positions[..., 1].min() > -0.01
    assert (positions[30:, INDEX["LeftUpperArm"], 0] > positions[30:, INDEX["RightUpperArm"], 0]).mean() > 0.9


def test_films_of_other_rates_take_as_long(dance):
    keypoints = body25.project(*dance)
    slow = lift(keypoints[::2], 15.0)
    assert len(slow) == len(keypoints) - 1
    assert slow[-1].time == pytest.approx((len(keypoints) - 2) / 30.0)
