"""A body that floats comes down; one that jumps flies as it would."""

import numpy as np
import pytest

from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import REST_OFFSETS
from dancerev.realtime.body.gravity import Gravity
from dancerev.realtime.body.scalar_kinematics import Body

STANDING = float(REST_OFFSETS[0, 1])


def heights(given, fps=15):
    """Heights of the hips that come of those ``given``, in metres above standing."""
    gravity, shown = Gravity(), []
    rotations = [tuple(q) for q in rest_pose().rotations.astype(float).tolist()]
    for height in given:
        body = Body(rotations, (0.0, STANDING + height, 0.0))
        gravity.process(body, 1.0 / fps)
        shown.append(body.positions[0][1] - STANDING)
    return np.array(shown)


def test_a_body_on_the_floor_is_left_alone():
    given = 0.01 * np.sin(np.arange(60.0)) - 0.01
    np.testing.assert_array_equal(heights(given), heights(given * 1.0))
    np.testing.assert_allclose(heights(given), given, atol=1e-12)


@pytest.mark.parametrize("fps", [15, 30])
def test_a_body_that_hangs_in_the_air_comes_down_and_stays_down(fps):
    given = np.concatenate([np.zeros(fps), 0.08 * np.minimum(np.arange(2 * fps) / (0.3 * fps), 1.0)])
    shown = heights(given, fps)
    assert shown[round(1.6 * fps) :].max() < 0.02
    assert np.abs(np.diff(shown)).max() < 0.08


def test_a_jump_keeps_its_height():
    time = np.arange(60) / 15.0
    flight = np.clip(2.4 * (time - 2.0) - 0.5 * 9.81 * (time - 2.0) ** 2, 0.0, None)
    shown = heights(flight)
    assert shown.max() > 0.75 * flight.max()
    assert (shown <= flight + 1e-9).all()
