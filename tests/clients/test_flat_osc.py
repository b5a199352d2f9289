"""The flat protocol: numbers only, one address to a value, world space."""

import re
import socket

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage

from dancerev.clients.flat_osc import FlatSender
from dancerev.errors import ReceiverError
from dancerev.model import rotation
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import BONES


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        yield listening


def sender_to(receiver, **options):
    return FlatSender("127.0.0.1", receiver.getsockname()[1], **options)


def received(listening):
    """Everything that has arrived: [(bytes of the datagram, its messages)]."""
    packets = []
    while True:
        try:
            data = listening.recv(65536)
        except BlockingIOError:
            return packets
        packets.append((data, list(OscBundle(data)) if OscBundle.dgram_is_bundle(data) else [OscMessage(data)]))


def values(packets):
    return {m.address: m.params for _, messages in packets for m in messages}


def random_pose(seed=0):
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    return Pose(0.0, rotations, np.array([0.3, 1.0, -0.4], dtype=np.float32), np.ones(2, dtype=np.float32))


def test_every_joint_has_its_place_and_turn_in_the_world(receiver):
    pose = random_pose()
    sender_to(receiver, dancer=3).send(pose)
    packets = received(receiver)
    assert all(len(data) <= 1200 for data, _ in packets)
    got = values(packets)
    assert len(got) == 2 * len(BONES)
    np.testing.assert_allclose(
        [got[f"/dancerev/3/{bone}/pos"] for bone in BONES], pose.positions() * [-1, 1, 1], atol=1e-5
    )
    turns = np.array([got[f"/dancerev/3/{bone}/rot"] for bone in BONES])
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1.0, atol=1e-6)
    # Turning the T-pose's offset by the hand's parent must lead to the hand: an independent use of the rotations.
    elbow, hand = BONES.index("LeftLowerArm"), BONES.index("LeftHand")
    reach = rotation.rotate(turns[elbow], np.array([-0.25, 0.0, 0.0]))
    place = np.array(got["/dancerev/3/LeftLowerArm/pos"]) + reach
    np.testing.assert_allclose(place, got[f"/dancerev/3/{BONES[hand]}/pos"], atol=1e-5)


def test_no_strings_and_nothing_but_floats(receiver):
    sender_to(receiver).send(rest_pose())
    tags = {re.search(rb"\0(,[a-z]*)\0", m.dgram)[1] for _, messages in received(receiver) for m in messages}
    assert tags == {b",fff", b",ffff"}


def test_without_bundles_the_values_are_the_same(receiver):
    pose = random_pose(1)
    sender_to(receiver).send(pose)
    bundled = values(received(receiver))
    sender_to(receiver, bundles=False).send(pose)
    single = received(receiver)
    assert values(single) == bundled
    assert all(len(messages) == 1 for _, messages in single)
    assert not any(OscBundle.dgram_is_bundle(data) for data, _ in single)


def test_a_broken_pose_is_not_sent(receiver):
    sender = sender_to(receiver)
    pose = random_pose(2)
    for value in (np.nan, np.inf, 0.0):
        rotations = pose.rotations.copy()
        rotations[9] = value
        sender.send(Pose(0.0, rotations, pose.root, pose.contacts))
    assert sender.skipped == 3
    assert received(receiver) == []


def test_music_without_a_beat_has_levels_only(receiver):
    sender_to(receiver).send_music(None, 0.25, 0.5)
    assert values(received(receiver)) == {"/dancerev/onset": [0.25], "/dancerev/energy": [0.5]}


def test_each_beat_is_told_once_with_its_place_in_the_bar(receiver):
    sender = sender_to(receiver)
    period, told = 0.5, []
    for frame in range(15 * 8):
        time = frame / 15
        beats = time / period
        # A phase that wavers about the true one, as a tracker's does.
        beats += 0.03 * np.sin(frame)
        whole = int(np.floor(beats))
        sender.send_music(BeatState(time, beats - whole, period, 1.0, whole % 4), 0.0, 0.5)
        packets = received(receiver)
        assert values(packets)["/dancerev/bpm"] == [120.0]
        assert values(packets)["/dancerev/confidence"] == [1.0]
        told += [m.params[0] for _, messages in packets for m in messages if m.address == "/dancerev/beat"]
    assert len(told) == 15
    assert told == [1 + (1 + i) % 4 for i in range(15)]


def test_a_non_finite_level_is_not_sent(receiver):
    sender_to(receiver).send_music(None, float("nan"), 0.5)
    assert received(receiver) == []


def test_a_receiver_that_cannot_exist_is_refused():
    with pytest.raises(ReceiverError, match="out of range"):
        FlatSender("127.0.0.1", 70000)


def test_music_with_a_beat_says_what_the_bar_is(receiver):
    beat = BeatState(1.0, 0.25, 0.5, 0.75, beat_in_bar=1, beats_per_bar=3, bar_confidence=0.5)
    sender_to(receiver).send_music(beat, 0.25, 0.5)
    sent = values(received(receiver))
    expected = {"phase": 0.25, "bpm": 120.0, "confidence": 0.75, "bar_confidence": 0.5, "bar_length": 3.0}
    assert {name: sent[f"/dancerev/{name}"] for name in expected} == {name: [value] for name, value in expected.items()}
