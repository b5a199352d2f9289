"""Whatever comes in by UDP, the receiver holds a sound body or none."""

import socket
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import NO_BONES, bone

from dancerev.clients import osc
from dancerev.clients.flat_osc import FlatSender
from dancerev.clients.preview.vmc_receiver import Body, VmcReceiver
from dancerev.clients.vmc import VmcSender
from dancerev.model import rotation
from dancerev.model.features import BeatState
from dancerev.model.hands_and_face import FINGER_OFFSETS, FINGERS, finger_parent
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import BONES, INDEX, forward_kinematics


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def receiver(clock):
    receiver = VmcReceiver(0, clock=clock)
    yield receiver
    receiver.close()


@pytest.fixture
def throw(receiver):
    """Throws raw bytes at the receiver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        yield lambda data: thrower.sendto(data, ("127.0.0.1", receiver.port))


def random_pose(seed=0):
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    return Pose(0.0, rotations, np.array([0.5, 1.1, -0.7], dtype=np.float32), np.ones(2, dtype=np.float32))


@pytest.mark.parametrize("travel", ["hips", "root"])
def test_the_body_received_is_the_body_sent(receiver, travel):
    pose = random_pose()
    VmcSender("127.0.0.1", receiver.port, travel=travel).send(pose)
    receiver.poll()
    positions, globals_ = forward_kinematics(pose.rotations, pose.root)
    np.testing.assert_allclose(receiver.body.positions, positions * [-1, 1, 1], atol=1e-5)
    same = np.abs(np.sum(receiver.body.rotations * globals_ * [1, -1, -1, 1], axis=-1))
    np.testing.assert_allclose(same, 1.0, atol=1e-5)


def test_a_skeleton_without_upper_chest_is_as_tall(receiver):
    VmcSender("127.0.0.1", receiver.port, upper_chest=False).send(rest_pose())
    receiver.poll()
    np.testing.assert_allclose(
        receiver.body.positions[INDEX["Head"]], rest_pose().positions()[INDEX["Head"]] * [-1, 1, 1], atol=1e-6
    )


def test_a_root_that_turns_carries_the_whole_body(receiver, throw):
    half = float(np.sqrt(0.5))
    throw(osc.encode("/VMC/Ext/Root/Pos", "root", 1.0, 0.0, 0.0, 0.0, half, 0.0, half))
    throw(bone("Hips", 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0))
    throw(osc.encode("/VMC/Ext/Blend/Apply"))
    receiver.poll()
    # A quarter turn about Y takes +Z to +X.
    np.testing.assert_allclose(receiver.body.positions[0], [3.0, 1.0, 0.0], atol=1e-6)


def test_senders_without_apply_are_understood(receiver, throw, clock):
    for _ in range(5):
        throw(bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0))
        receiver.poll()
        clock.now += 1 / 30
    np.testing.assert_allclose(receiver.body.positions[0], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(receiver.body.rotations[0], [0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "packet",
    NO_BONES,
)
def test_what_is_no_bone_changes_nothing(receiver, throw, packet):
    throw(packet)
    receiver.poll()
    assert receiver.body is None
    VmcSender("127.0.0.1", receiver.port).send(rest_pose())
    throw(packet)
    throw(osc.encode("/VMC/Ext/Blend/Apply"))
    receiver.poll()
    np.testing.assert_allclose(receiver.body.positions, rest_pose().positions() * [-1, 1, 1], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_frames_never_give_a_broken_body(data):
    receiver = VmcReceiver(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        nothing = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        template = osc.Template([("/VMC/Ext/Bone/Pos", (name, *nothing)) for name in BONES[:10]])
        packet = bytearray(template.datagrams[0])
        for _ in range(data.draw(st.integers(1, 20))):
            packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
        thrower.sendto(packet[: data.draw(st.integers(0, len(packet)))], ("127.0.0.1", receiver.port))
        receiver.poll()
    receiver.close()
    if receiver.body is not None:
        assert np.isfinite(receiver.body.positions).all()
        np.testing.assert_allclose(np.linalg.norm(receiver.body.rotations, axis=-1), 1.0, atol=1e-6)


def test_the_signal_is_missed_after_half_a_second_and_found_again(receiver, clock):
    sender = VmcSender("127.0.0.1", receiver.port)
    assert not receiver.receiving()
    for frame in range(60):
        clock.now = 100.0 + frame / 30
        sender.send(rest_pose(frame / 30))
        receiver.poll()
    assert receiver.receiving()
    assert receiver.rate() == pytest.approx(30.0, rel=0.01)
    clock.now += 0.49
    assert receiver.receiving()
    clock.now += 0.02
    assert not receiver.receiving()
    assert receiver.body is not None  # the last one stays in view
    sender.send(replace(random_pose(), time=3.0))
    receiver.poll()
    assert receiver.receiving()
    np.testing.assert_allclose(receiver.smooth_body().positions, receiver.body.positions)


def test_a_frame_is_shown_whole(receiver):
    """A poll may fall between the two datagrams of a frame, also of the first."""
    half, rest = osc.Template([("/VMC/Ext/Bone/Pos", (name, *range(7))) for name in BONES]), rest_pose()
    assert len(half.datagrams) == 2
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        thrower.sendto(half.datagrams[0], ("127.0.0.1", receiver.port))
        receiver.poll()
        assert receiver.body is None
    VmcSender("127.0.0.1", receiver.port).send(rest)
    receiver.poll()
    np.testing.assert_allclose(receiver.body.positions, rest.positions() * [-1, 1, 1], atol=1e-6)


def bundle_of(size):
    """A bundle of messages that mean nothing here, about as long as ``size`` bytes."""
    message = osc.encode("/VMC/Ext/OK", 1)
    element = len(message).to_bytes(4, "big") + message
    return b"#bundle\0" + bytes(8) + element * (size // len(element))


@pytest.mark.parametrize("size", [1400, 60_000])
def test_a_flood_is_taken_in_a_little_at_a_time(receiver, throw, monkeypatch, size):
    decode, lengths = osc.decode, []
    monkeypatch.setattr(osc, "decode", lambda datagram: lengths.append(len(datagram)) or decode(datagram))
    for _ in range(1000):
        throw(bundle_of(size))
    polls = 0
    while polls == 0 or lengths:
        lengths.clear()
        receiver.poll()
        polls += 1
        assert sum(lengths) < 130_000
        assert len(lengths) <= 512
    assert polls > 2  # the system kept more than was taken at once
    VmcSender("127.0.0.1", receiver.port).send(rest_pose())
    receiver.poll()
    assert receiver.body is not None


def test_of_an_earlier_sender_nothing_stays(receiver, throw, clock):
    height = rest_pose().positions()[INDEX["Head"], 1]
    for options in ({"travel": "root"}, {"upper_chest": False}, {}):
        pose = random_pose()
        pose.rotations[:] = rest_pose().rotations
        VmcSender("127.0.0.1", receiver.port, **options).send(pose)
        receiver.poll()
        clock.now += 10.0
        assert receiver.body.positions[INDEX["Head"], 1] - receiver.body.positions[0, 1] == pytest.approx(
            height - rest_pose().root[1], abs=1e-5
        )
        np.testing.assert_allclose(receiver.body.positions[0], pose.root * [-1, 1, 1], atol=1e-6)
    for _ in range(5):  # one who sends no Apply
        throw(bone("Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        receiver.poll()
        clock.now += 1 / 30
    np.testing.assert_allclose(receiver.body.positions, np.tile([0.0, 1.0, 0.0], (22, 1)))


def test_between_two_poses_the_body_is_on_its_way(receiver, clock):
    sender = VmcSender("127.0.0.1", receiver.port)
    start = rest_pose()
    moved = Pose(0.0, -start.rotations, start.root + np.float32([0.1, 0.0, 0.0]), start.contacts)
    sender.send(start)
    receiver.poll()
    clock.now += 1 / 30
    sender.send(replace(moved, time=1 / 30))
    receiver.poll()
    places = []
    for step in (0.0, 0.5, 1.0, 2.0):
        clock.now = 100.0 + (1 + step) / 30
        body = receiver.smooth_body()
        places.append(body.positions[0, 0])
        np.testing.assert_allclose(np.linalg.norm(body.rotations, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(places, [0.0, -0.05, -0.1, -0.1], atol=1e-5)


def test_the_shorter_way_is_taken_between_rotations():
    identity = np.tile(rotation.IDENTITY.astype(float), (22, 1))
    middle = Body(np.zeros((22, 3)), identity).towards(Body(np.zeros((22, 3)), -identity), 0.5)
    np.testing.assert_allclose(middle.rotations, identity)


def test_the_beat_goes_on_between_messages(receiver, clock):
    assert receiver.beat_phase() is None
    sender = FlatSender("127.0.0.1", receiver.port)
    sender.send_music(BeatState(0.0, 0.75, 0.5, 1.0), 0.0, 0.5)
    receiver.poll()
    assert receiver.music.bpm == pytest.approx(120.0)
    assert receiver.beat_phase() == pytest.approx(0.75)
    clock.now += 0.2
    assert receiver.beat_phase() == pytest.approx(0.15)
    clock.now += 1.0
    assert receiver.beat_phase() is None


def test_a_port_that_is_taken_is_an_error(receiver):
    with pytest.raises(OSError, match="in use"):
        VmcReceiver(receiver.port)


def test_fingers_are_where_the_sender_has_them(receiver):
    """Against forward kinematics, bone by bone, of the pose that was sent."""
    rng = np.random.default_rng(3)
    fingers = rotation.normalize(rng.normal(size=(30, 4))).astype(np.float32)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    pose = Pose(0.0, rotations, np.array([0.1, 1.0, 0.2], dtype=np.float32), np.ones(2, dtype=np.float32), 0, fingers)
    with VmcSender("127.0.0.1", receiver.port) as sender:
        sender.send(pose)
    receiver.poll()
    positions, turns = forward_kinematics(pose.rotations, pose.root)
    places, turned = {}, {}
    for finger, name in enumerate(FINGERS):
        parent = finger_parent(finger)
        hand = parent in INDEX
        above = turns[INDEX[parent]] if hand else turned[parent]
        start = positions[INDEX[parent]] if hand else places[parent]
        places[name] = start + rotation.rotate(above, FINGER_OFFSETS[finger])
        turned[name] = rotation.multiply(above, fingers[finger])
    np.testing.assert_allclose(receiver.body.fingers, [places[name] * [-1, 1, 1] for name in FINGERS], atol=1e-5)
    tips = np.linalg.norm(receiver.body.fingertips - receiver.body.fingers[2::3], axis=1)
    np.testing.assert_allclose(tips, 0.9 * np.linalg.norm(FINGER_OFFSETS[2::3], axis=1), atol=1e-6)
