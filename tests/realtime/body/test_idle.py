"""In silence the dancer is alive, stays where it is, and never does the same twice; with music nothing is added."""

import numpy as np

from dancerev.model.pose import FRAME_RATE, rest_pose
from dancerev.model.skeleton import INDEX
from dancerev.realtime.body.idle import Idle
from dancerev.realtime.body.post_process import PostProcessor


def idling(seconds, seed=0, activity=0.0):
    """(T, 22, 3) metres of a dancer who is told to stand."""
    idle, body = Idle(np.random.default_rng(seed)), PostProcessor()
    poses = [idle.apply(rest_pose(k / FRAME_RATE), activity, 0.0) for k in range(round(seconds * FRAME_RATE))]
    return np.array([body.process(pose).positions() for pose in poses])


def test_with_music_nothing_is_added():
    pose = rest_pose(1.0)
    assert Idle(np.random.default_rng(0)).apply(pose, 1.0, 0.0) is pose


def test_it_stands_alive_and_stays():
    positions = idling(150.0)[::5]
    moved = np.linalg.norm(np.diff(positions[:, INDEX["Head"]], axis=0), axis=-1) * FRAME_RATE / 5
    assert 0.005 < moved.mean() < 0.15  # m/s
    hips = positions[:, 0, [0, 2]]
    assert 0.03 < np.ptp(hips[:, 0]) < 0.25  # the weight shifts
    assert np.abs(hips).max() < 0.15
    assert np.abs(hips[-60:].mean(axis=0)).max() < 0.1  # and has not crept away
    feet = positions[:, [INDEX["LeftFoot"], INDEX["RightFoot"]]][..., [0, 2]]
    assert np.abs(feet - feet[:1]).max() < 0.12


def test_no_half_minute_is_like_another_and_a_seed_decides():
    one = idling(60.0)
    first, second = one[: 30 * FRAME_RATE], one[30 * FRAME_RATE :]
    assert np.abs(first[150:] - second[150:]).max() > 0.05
    np.testing.assert_array_equal(one[:300], idling(20.0))
    assert np.abs(one[:300] - idling(20.0, seed=1)).max() > 0.02


def test_it_comes_and_goes_without_a_jump():
    idle = Idle(np.random.default_rng(3))
    activity = np.concatenate([np.ones(30), np.zeros(300), np.ones(60)])
    poses = [idle.apply(rest_pose(k / FRAME_RATE), a, 0.0).positions() for k, a in enumerate(activity)]
    speed = np.linalg.norm(np.diff(np.array(poses), axis=0), axis=-1).max(axis=1) * FRAME_RATE
    assert speed.max() < 1.5
    np.testing.assert_allclose(poses[-1], rest_pose().positions(), atol=1e-3)
