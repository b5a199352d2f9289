"""The body in two dimensions: where its joints are in the picture, and that vector and files bring it back."""

import numpy as np
import pytest

from dancerev.model import body25, rotation
from dancerev.model.body25 import JOINTS, MID_HIP
from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import INDEX

REST = rest_pose()

# The first pose of the original: y of nose, hips and ankles in the picture, −1 above and 1 below.
ORIGINAL_NOSE, ORIGINAL_HIPS, ORIGINAL_ANKLE = -0.487, 0.053, 0.908


def picture(turn=0.0, bones=None, place=(0.0, 0.0)):
    """Name → (x, y) of the body at rest, turned about +Y, with more rotations for some bones."""
    rotations = REST.rotations.astype(np.float64)
    for bone, more in (bones or {}).items():
        rotations[INDEX[bone]] = rotation.multiply(more, rotations[INDEX[bone]])
    rotations[0] = rotation.multiply(rotation.from_yaw(turn), rotations[0])
    root = REST.root + [place[0], 0.0, place[1]]
    return dict(zip(JOINTS, body25.project(rotations[None], root[None])[0], strict=True))


@pytest.fixture
def keypoints(dancing):
    """Some dance as key points (60, 25, 2)."""
    return body25.project(*dancing.dance(np.arange(0.0, 4.0, 0.6), 2.0, 30.0))


def test_every_joint_has_its_place():
    assert len(JOINTS) == 25
    assert set(body25.BONES_OF) | set(body25.OFFSETS_OF) == set(JOINTS)
    assert not set(body25.BONES_OF) & set(body25.OFFSETS_OF)
    assert JOINTS.index("MidHip") == 8
    assert [JOINTS.index(name) for name in ("LBigToe", "LHeel", "RBigToe", "RHeel")] == [19, 21, 22, 24]


def test_a_dancer_who_faces_us_has_the_left_side_on_the_right():
    front, back = picture(), picture(turn=np.pi)
    for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Eye", "Ear", "BigToe", "SmallToe"):
        left, right = front["L" + joint], front["R" + joint]
        assert left[0] > 640 > right[0]
        assert left[0] - 640 == pytest.approx(640 - right[0])
        assert left[1] == pytest.approx(right[1])
        assert back["L" + joint][0] < back["R" + joint][0]


def test_a_body_stands_upright_in_the_picture():
    body = picture()
    order = ["LEye", "Nose", "Neck", "LElbow", "MidHip", "LKnee", "LAnkle", "LHeel"]
    heights = [body[name][1] for name in order]
    assert heights == sorted(heights)
    assert heights[0] > 0
    assert body25.FLOOR - 10 < heights[-1] <= body25.FLOOR
    # Toes are outside the ankle, the small one farther; the big one turns with the foot.
    assert body["LSmallToe"][0] > body["LBigToe"][0]
    raised = picture(bones={"LeftFoot": rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), -0.5)})
    assert raised["LBigToe"][1] < body["LBigToe"][1] - 10
    assert raised["LHeel"][1] > body["LHeel"][1]
    np.testing.assert_allclose(raised["LAnkle"], body["LAnkle"])


def test_the_head_turns_the_face():
    left = picture(bones={"Head": rotation.from_yaw(np.pi / 3)})
    ahead = picture()
    assert left["Nose"][0] > ahead["Nose"][0] + 20
    np.testing.assert_allclose(left["Neck"], ahead["Neck"])


def test_our_dancer_is_as_large_as_the_original():
    vector = body25.to_vectors(np.array([[*picture().values()]])).reshape(25, 2)
    hips = vector[MID_HIP, 1]
    assert hips == pytest.approx(ORIGINAL_HIPS, abs=0.05)
    assert hips + vector[JOINTS.index("Nose"), 1] == pytest.approx(ORIGINAL_NOSE, abs=0.1)
    assert hips + vector[JOINTS.index("LAnkle"), 1] == pytest.approx(ORIGINAL_ANKLE, abs=0.1)


def test_nearer_is_not_larger_and_walking_is_seen():
    here, near, aside = picture(), picture(place=(0.0, 1.0)), picture(place=(0.5, 0.0))
    for name in JOINTS:
        np.testing.assert_allclose(near[name], here[name])
        np.testing.assert_allclose(aside[name] - here[name], [0.5 * body25.PIXELS_PER_METRE, 0.0], atol=1e-6)


def test_vectors_are_relative_to_hips_that_stay_absolute(keypoints):
    vectors = body25.to_vectors(keypoints)
    assert vectors.shape == (60, 50)
    np.testing.assert_allclose(body25.from_vectors(vectors), keypoints)
    moved = keypoints + [64.0, 36.0]
    change = (body25.to_vectors(moved) - vectors).reshape(60, 25, 2)
    np.testing.assert_allclose(change[:, MID_HIP], 0.1)
    np.testing.assert_allclose(np.delete(change, MID_HIP, axis=1), 0.0, atol=1e-12)
    corner = body25.to_vectors(np.tile([[[0.0, 720.0]]], (1, 25, 1))).reshape(25, 2)
    np.testing.assert_allclose(corner[MID_HIP], [-1.0, 1.0])
