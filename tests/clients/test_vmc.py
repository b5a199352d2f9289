"""What leaves is what VMC receivers take, as other people's OSC programs and an independent derivation see it."""

import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle
from vrm_file import write_vrm
from walking import walk

from dancerev.clients.avatar import read_vrm
from dancerev.clients.receivers import GROUPS, RECEIVERS, bone_mask, preset
from dancerev.clients.udp import UdpTarget
from dancerev.clients.vmc import VmcSender, parse_target, to_unity
from dancerev.errors import InputError, ReceiverError
from dancerev.model import rotation
from dancerev.model.hands_and_face import FINGER_OFFSETS, FINGERS
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS, forward_kinematics


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(2.0)
        yield listening


def port_of(listening):
    return listening.getsockname()[1]


def random_pose(seed=0):
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    root = rng.uniform(-2.0, 2.0, size=3).astype(np.float32)
    return Pose(seed / 30, rotations, root, np.ones(2, dtype=np.float32))


def receive_frame(listening):
    """The datagrams up to the one that ends in Apply, and their messages as python-osc reads them."""
    datagrams, messages = [], []
    while not messages or messages[-1].address != "/VMC/Ext/Blend/Apply":
        datagrams.append(listening.recv(65536))
        messages += list(OscBundle(datagrams[-1]))
    return datagrams, messages


def type_tags(message):
    """As they stand on the wire: python-osc does not give them away."""
    return re.search(rb"\0(,[a-z]*)\0", message.dgram)[1].decode()


def bones_of(messages):
    return {m.params[0]: np.array(m.params[1:]) for m in messages if m.address == "/VMC/Ext/Bone/Pos"}


def test_a_frame_is_complete_typed_and_small(receiver):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    sender.send(replace(random_pose(3), time=0.1))
    datagrams, messages = receive_frame(receiver)
    assert all(len(datagram) <= 1200 for datagram in datagrams)
    assert [m.address for m in messages[:3]] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Root/Pos"]
    assert [type_tags(m) for m in messages] == [",i", ",f", *[",sfffffff"] * 23, ","]
    assert messages[0].params == [1]
    assert messages[1].params == [pytest.approx(0.1)]
    assert [m.params[0] for m in messages[2:-1]] == ["root", *BONES]
    sender.close()


def test_whole_numbers_and_doubles_leave_as_floats(receiver):
    pose = rest_pose()
    pose = Pose(0.0, np.round(pose.rotations.astype(np.float64)), pose.root.astype(np.float64), pose.contacts)
    VmcSender("127.0.0.1", port_of(receiver)).send(replace(pose, time=1))
    _, messages = receive_frame(receiver)
    assert [type_tags(m) for m in messages] == [",i", ",f", *[",sfffffff"] * 23, ","]


@pytest.mark.parametrize("seed", range(5))
def test_unity_sees_our_dancer_in_the_mirror_of_x(receiver, seed):
    """Forward kinematics with matrices, from the received bones alone, gives (−x, y, z) of our own joints."""
    pose = random_pose(seed)
    VmcSender("127.0.0.1", port_of(receiver)).send(pose)
    _, messages = receive_frame(receiver)
    bones = bones_of(messages)
    world = {}
    for name, parent in zip(BONES, PARENTS, strict=True):
        x, y, z, w = bones[name][3:]
        local = np.eye(4)
        local[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        local[:3, 3] = bones[name][:3]
        world[name] = local if parent < 0 else world[BONES[parent]] @ local
    ours = forward_kinematics(pose.rotations.astype(np.float64), pose.root.astype(np.float64))[0]
    np.testing.assert_allclose([world[name][:3, 3] for name in BONES], ours * [-1, 1, 1], atol=1e-5)


def test_to_unity_is_its_own_inverse():
    pose = random_pose(1)
    rotations, root = to_unity(*to_unity(pose.rotations, pose.root))
    np.testing.assert_array_equal(rotations, pose.rotations)
    np.testing.assert_array_equal(root, pose.root)


def test_travel_in_the_root_puts_the_hips_in_the_same_place(receiver):
    pose = random_pose(2)
    places = []
    for travel in ("hips", "root"):
        VmcSender("127.0.0.1", port_of(receiver), travel=travel).send(pose)
        _, messages = receive_frame(receiver)
        places.append((np.array(messages[2].params[1:4]), bones_of(messages)["Hips"][:3]))
    (still, moving), (root, hips) = places
    np.testing.assert_allclose(still + moving, root + hips, atol=1e-6)
    assert not still.any()
    assert root[1] == hips[0] == hips[2] == 0.0


def test_a_folded_upper_chest_turns_neck_and_shoulders_alike(receiver):
    pose = random_pose(4)
    VmcSender("127.0.0.1", port_of(receiver), upper_chest=False).send(pose)
    _, messages = receive_frame(receiver)
    bones = bones_of(messages)
    assert list(bones) == [name for name in BONES if name != "UpperChest"]
    rotations = pose.rotations.copy()
    rotations[INDEX["Chest"]] = rotation.multiply(rotations[INDEX["Chest"]], rotations[INDEX["UpperChest"]])
    rotations[INDEX["UpperChest"]] = rotation.IDENTITY
    expected, offsets = to_unity(rotations, REST_OFFSETS)
    np.testing.assert_allclose(bones["Chest"][3:], expected[INDEX["Chest"]], atol=1e-6)
    np.testing.assert_allclose(bones["Neck"][:3], offsets[INDEX["UpperChest"]] + offsets[INDEX["Neck"]], atol=1e-6)
    np.testing.assert_allclose(bones["Head"][:3], offsets[INDEX["Head"]], atol=1e-6)


def test_quaternions_leave_at_unit_length(receiver):
    pose = random_pose(5)
    scale = np.linspace(0.01, 50.0, 22, dtype=np.float32)[:, None]
    VmcSender("127.0.0.1", port_of(receiver)).send(Pose(0.0, pose.rotations * scale, pose.root, pose.contacts))
    _, messages = receive_frame(receiver)
    sent = np.array([bone[3:] for bone in bones_of(messages).values()])
    np.testing.assert_allclose(np.linalg.norm(sent, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(sent, to_unity(pose.rotations, pose.root)[0], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_pose_is_not_sent(receiver, value):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    good = random_pose(6)
    for bone, part in ((0, 3), (21, 0)):
        rotations = good.rotations.copy()
        rotations[bone, part] = value
        sender.send(Pose(0.0, rotations, good.root, good.contacts))
    for part in range(3):
        root = good.root.copy()
        root[part] = value
        sender.send(Pose(0.0, good.rotations, root, good.contacts))
    sender.send(replace(good, time=float(value)))
    none = good.rotations.copy()
    none[7] = 0.0
    sender.send(Pose(0.0, none, good.root, good.contacts))
    assert (sender.sent, sender.skipped) == (0, 7)
    sender.send(replace(good, time=42.0))
    _, messages = receive_frame(receiver)
    assert messages[1].params == [42.0]
    assert sender.sent == 1


def test_time_rises_over_a_day_at_60_fps(receiver):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    stamps = []
    for start in (0.0, 3600.0, 24 * 3600.0):
        for frame in range(20):
            sender.send(rest_pose(start + frame / 60))
            _, messages = receive_frame(receiver)
            stamps += messages[1].params
    assert (np.diff(stamps) > 0).all()


def test_nobody_listening_is_no_error_and_a_late_receiver_gets_its_poses():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = port_of(probe)
    sender = VmcSender("127.0.0.1", port)
    for frame in range(50):
        sender.send(rest_pose(frame / 30))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", port))
        late.settimeout(2.0)
        sender.send(rest_pose(2.0))
        _, messages = receive_frame(late)
    assert messages[1].params == [2.0]
    sender.close()
    sender.send(rest_pose(2.1))
    assert sender.lost == 1


def test_one_source_port_for_the_whole_show(receiver):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    sources = set()
    for frame in range(10):
        sender.send(rest_pose(frame / 30))
        sources |= {receiver.recvfrom(65536)[1] for _ in range(2)}
    assert len(sources) == 1


def test_a_pose_costs_little():
    sender = VmcSender("127.0.0.1", 39999)
    pose = rest_pose()
    costs = []
    for frame in range(2000):
        start = time.perf_counter()
        sender.send(replace(pose, time=frame / 30))
        costs.append(time.perf_counter() - start)
    # 12 µs of encoding and two system calls; the bound leaves room for a busy machine.
    assert np.percentile(costs, 10) < 200e-6


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:39540", ("127.0.0.1", 39540)),
        ("avatar.local", ("avatar.local", 39539)),
        ("[::1]:7000", ("::1", 7000)),
        ("[::1]", ("::1", 39539)),
        ("::1", ("::1", 39539)),
        (" localhost:1 ", ("localhost", 1)),
    ],
)
def test_targets_are_understood(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no host"),
        (":39539", "no host"),
        ("39539", "no host"),
        ("0:39539", "no host"),
        ("localhost:", "not a number"),
        ("localhost:vmc", "not a number"),
        ("localhost:-1", "not a number"),
        ("localhost:0", "out of range"),
        ("localhost:65536", "out of range"),
        ("[::1]39539", "expected"),
        ("[::1", "expected"),
        ("localhost:" + "9" * 5000, "out of range"),
        ("x" * 5000 + ":", "not a number"),
    ],
)
def test_wrong_targets_are_told_in_one_line(text, reason):
    with pytest.raises(ValueError, match=reason) as error:
        parse_target(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("no-such-host.invalid", 39539),
        ("127.0.0.1", 0),
        ("127.0.0.1", 65536),
        ("a" * 70, 1),
        ("a..b", 9),
        ("..", 9),
        ("a\nb", 9),
        ("a\0b", 9),
        ("\udcff", 9),
    ],
)
def test_a_receiver_that_cannot_exist_is_refused(host, port):
    with pytest.raises(ReceiverError) as error:
        VmcSender(host, port)
    assert "\n" not in str(error.value)
    assert f"port {port}" in str(error.value)


def test_a_broadcast_address_reaches_who_listens_on_every_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("0.0.0.0", 0))
        listening.settimeout(2.0)
        target = UdpTarget("127.255.255.255", port_of(listening))
        assert target.send([b"to all"])
        assert listening.recv(100) == b"to all"


def test_why_nothing_is_taken_is_told_until_something_is(receiver):
    target = UdpTarget("127.0.0.1", port_of(receiver))
    assert target.error is None
    assert not target.send([bytes(70_000)])
    assert target.error == "Message too long"
    assert target.send([b"short"])
    assert target.error is None


def test_localhost_means_ipv4(receiver):
    VmcSender("localhost", port_of(receiver)).send(rest_pose())
    receive_frame(receiver)


def test_ipv6_receivers_are_reached():
    try:
        listening = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        listening.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with listening:
        listening.settimeout(2.0)
        VmcSender("::1", port_of(listening)).send(rest_pose())
        receive_frame(listening)


@pytest.mark.skipif(
    not shutil.which("oscdump") and "CI" not in os.environ, reason="oscdump (liblo-tools) is not installed"
)
def test_liblo_prints_what_was_sent(receiver):
    port = port_of(receiver)
    receiver.close()
    pose = random_pose(8)
    sender = VmcSender("127.0.0.1", port)
    with subprocess.Popen(
        ["oscdump", "-L", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as dump:
        lines = []
        deadline = time.monotonic() + 5.0
        os.set_blocking(dump.stdout.fileno(), False)
        while not any("/VMC/Ext/Blend/Apply" in line for line in lines) and time.monotonic() < deadline:
            sender.send(replace(pose, time=1.5))
            time.sleep(0.05)
            lines += dump.stdout.readlines()
        dump.kill()
    lines = [line.split(maxsplit=1)[1].strip() if not line.startswith("/") else line.strip() for line in lines]
    assert "/VMC/Ext/OK i 1" in lines
    assert "/VMC/Ext/T f 1.500000" in lines
    assert any(re.fullmatch(r"/VMC/Ext/Blend/Apply ?", line) for line in lines)
    rotations, _ = to_unity(pose.rotations, pose.root)
    for name in BONES:
        line = next(line for line in lines if f'"{name}"' in line)
        address, types, _, *numbers = line.split()
        assert (address, types) == ("/VMC/Ext/Bone/Pos", "sfffffff")
        np.testing.assert_allclose([float(n) for n in numbers[3:]], rotations[INDEX[name]], atol=1e-5)


# --- Hands, a face, and avatars ----------------------------------------------------------------------------------


def lively_pose(seed=0):
    """A pose with fingers and a face."""
    rng = np.random.default_rng(seed + 100)
    fingers = rotation.normalize(rng.normal(size=(30, 4))).astype(np.float32)
    return replace(random_pose(seed), fingers=fingers, face=np.array([0.25, 0.5, 0.75, 0.2, -0.1], dtype=np.float32))


def blends_of(messages):
    return {m.params[0]: m.params[1] for m in messages if m.address == "/VMC/Ext/Blend/Val"}


def test_fingers_and_expressions_are_sent_with_both_versions_names(receiver):
    pose = lively_pose()
    VmcSender("127.0.0.1", port_of(receiver)).send(pose)
    datagrams, messages = receive_frame(receiver)
    assert all(len(datagram) <= 1200 for datagram in datagrams)
    bones = bones_of(messages)
    assert list(bones) == [*BONES, *FINGERS]
    for finger, name in enumerate(FINGERS):
        np.testing.assert_allclose(bones[name][3:], pose.fingers[finger] * [1, -1, -1, 1], atol=1e-6)
        np.testing.assert_allclose(bones[name][:3], FINGER_OFFSETS[finger] * [-1, 1, 1], atol=1e-6)
    blends = blends_of(messages)
    for blink, joy, mouth in (("Blink", "Joy", "A"), ("blink", "happy", "aa")):
        assert (blends[blink], blends[joy], blends[mouth]) == (0.25, 0.5, 0.75)
    assert blends["LookLeft"] == blends["lookLeft"] > 0.0
    assert blends["LookRight"] == blends["LookUp"] == 0.0
    assert blends["LookDown"] > 0.0
    assert {type_tags(m) for m in messages if m.address == "/VMC/Ext/Blend/Val"} == {",sf"}
    assert messages[-1].address == "/VMC/Ext/Blend/Apply"


def test_a_pose_without_hands_after_one_with_them_sends_none(receiver):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    sender.send(lively_pose())
    receive_frame(receiver)
    sender.send(random_pose())
    _, messages = receive_frame(receiver)
    assert list(bones_of(messages)) == list(BONES)
    assert blends_of(messages) == {}


def test_a_broken_finger_or_face_is_not_sent(receiver):
    sender = VmcSender("127.0.0.1", port_of(receiver))
    for part in ("fingers", "face"):
        pose = lively_pose()
        getattr(pose, part)[2] = np.nan
        sender.send(pose)
    assert (sender.sent, sender.skipped) == (0, 2)


@pytest.mark.parametrize("version", [0, 1])
def test_with_an_avatar_its_own_bones_offsets_and_names_are_sent(receiver, tmp_path, version):
    """Forward kinematics over what was received stands where the fitted pose stands, feet on the floor."""
    missing = ("UpperChest", "LeftToes", "RightToes", "LeftLittleDistal")
    write_vrm(tmp_path / "a.vrm", version, 1.2, seed=4, missing=missing)
    rig = read_vrm(tmp_path / "a.vrm")
    pose = replace(walk(1.0)[7], fingers=lively_pose().fingers, face=lively_pose().face)
    VmcSender("127.0.0.1", port_of(receiver), avatar=rig).send(pose)
    _, messages = receive_frame(receiver)
    bones = bones_of(messages)
    assert set(bones) == {*BONES, *FINGERS} - set(missing)
    assert set(blends_of(messages)) & {"Blink", "blink"} == {"Blink" if version == 0 else "blink"}
    expected = rig.positions(rig.fit(pose))
    places, turns = {}, {}
    for name in BONES:
        if name not in bones:
            continue
        parent = BONES[PARENTS[INDEX[name]]] if name != "Hips" else None
        while parent is not None and parent not in bones:
            parent = BONES[PARENTS[INDEX[parent]]]
        above = turns[parent] if parent else rotation.IDENTITY
        places[name] = rotation.rotate(above, bones[name][:3]) + (places[parent] if parent else 0.0)
        turns[name] = rotation.multiply(above, bones[name][3:])
        np.testing.assert_allclose(places[name], expected[INDEX[name]] * [-1, 1, 1], atol=1e-5)


def test_masks_leave_bones_to_another_tracker(receiver):
    mask = bone_mask("head,face,LeftHand", None)
    VmcSender("127.0.0.1", port_of(receiver), bones=mask).send(lively_pose())
    _, messages = receive_frame(receiver)
    assert list(bones_of(messages)) == ["Neck", "Head", "LeftHand"]
    assert "Blink" in blends_of(messages)
    VmcSender("127.0.0.1", port_of(receiver), bones=bone_mask(None, "head,face,hands,trunk")).send(lively_pose())
    _, messages = receive_frame(receiver)
    assert set(bones_of(messages)) == {*GROUPS["arms"], *GROUPS["legs"]}
    assert blends_of(messages) == {}


@pytest.mark.parametrize(
    ("only", "without", "message"),
    [("heads", None, "--only heads: neither"), (None, "x", "--except x"), ("head", "head", "leave nothing")],
)
def test_masks_that_name_nothing_are_refused(only, without, message):
    with pytest.raises(InputError, match=message):
        bone_mask(only, without)


def test_a_turned_dance_faces_the_other_way(receiver):
    pose = random_pose(3)
    VmcSender("127.0.0.1", port_of(receiver), turned=True).send(pose)
    _, messages = receive_frame(receiver)
    plain = to_unity(*(part[None] for part in (pose.rotations[0], pose.root)))
    hips = bones_of(messages)["Hips"]
    np.testing.assert_allclose(hips[:3], plain[1][0] * [-1, 1, -1], atol=1e-6)
    ahead = rotation.rotate(hips[3:], np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(ahead, rotation.rotate(plain[0][0], np.array([0.0, 0.0, 1.0])) * [-1, 1, -1], atol=1e-6)


def test_every_preset_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "receivers.md").read_text()
    for name, preset_ in RECEIVERS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert preset_.title in row
        assert "https://" in row or name == "unity"
    with pytest.raises(InputError, match="not one of unity, evmc4u"):
        preset("unknown")
