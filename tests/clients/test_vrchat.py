"""VRChat's trackers: addresses, space and angles as its documentation says."""

import socket

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle

from dancerev.clients.vrchat import TRACKERS, VrchatSender, euler_zxy
from dancerev.model import rotation
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import INDEX


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(2.0)
        yield listening


def received(listening):
    return {m.address: np.array(m.params) for m in OscBundle(listening.recv(65536))}


def random_pose(seed):
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    return Pose(0.0, rotations, np.array([0.3, 1.0, -0.4], dtype=np.float32), np.ones(2, dtype=np.float32))


def axis_turn(axis, degrees):
    """Rotation matrix of a turn about one axis, written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def test_angles_applied_z_x_y_are_the_rotation():
    for quaternion in [*rotation.normalize(np.random.default_rng(0).normal(size=(200, 4))), *straight_up_and_down()]:
        x, y, z = euler_zxy(quaternion)
        matrix = axis_turn(1, y) @ axis_turn(0, x) @ axis_turn(2, z)
        np.testing.assert_allclose(matrix, rotation.to_matrix(quaternion), atol=1e-5)


def straight_up_and_down():
    half = np.array([1.0, 0.0, 0.0])
    return [
        rotation.multiply(rotation.from_yaw(0.3), rotation.from_axis_angle(half, sign * np.pi / 2)) for sign in (1, -1)
    ]


def test_all_trackers_are_sent_in_one_datagram_in_real_metres(receiver):
    pose = random_pose(1)
    sender = VrchatSender("127.0.0.1", receiver.getsockname()[1], height=1.87)
    sender.send(pose)
    values = received(receiver)
    assert len(values) == 18
    for name, joint, _ in TRACKERS:
        expected = pose.positions()[INDEX[joint]] * [-1, 1, 1] * 1.87 / 1.7
        np.testing.assert_allclose(values[f"/tracking/trackers/{name}/position"], expected, atol=1e-5)
    assert {name for name, _, _ in TRACKERS} == {*"12345678", "head"}
    sender.close()


def test_a_dancer_at_rest_stands_upright_and_faces_ahead(receiver):
    VrchatSender("127.0.0.1", receiver.getsockname()[1]).send(rest_pose())
    values = received(receiver)
    for name in ("1", "2", "3", "4", "5", "6", "head"):
        np.testing.assert_allclose(values[f"/tracking/trackers/{name}/rotation"], 0.0, atol=1e-4)
    assert values["/tracking/trackers/head/position"][1] > 1.4
    assert values["/tracking/trackers/3/position"][0] < 0 < values["/tracking/trackers/4/position"][0]


def test_a_broken_pose_is_not_sent(receiver):
    sender = VrchatSender("127.0.0.1", receiver.getsockname()[1])
    pose = random_pose(2)
    pose.rotations[3] = np.nan
    sender.send(pose)
    assert (sender.sent, sender.skipped) == (0, 1)
