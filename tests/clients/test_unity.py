"""The Unity package without Unity: its core is compiled and fed real packets, the rest is compiled against a stub."""

import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packets import NO_BONES, bone

from dancerev.clients import osc
from dancerev.clients.preview.vmc_receiver import VmcReceiver
from dancerev.clients.vmc import VmcSender, to_unity
from dancerev.model import rotation
from dancerev.model.hands_and_face import FINGER_OFFSETS, FINGERS, finger_parent
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import BONES, INDEX, MIRROR, PARENTS, REST_OFFSETS, forward_kinematics

PACKAGE = Path(__file__).parents[2] / "clients" / "unity"
SOURCES = Path(__file__).parent / "unity_core"
SAMPLE = np.dtype(
    [
        ("time", "<f8"),
        ("receiving", "<i4"),
        ("rate", "<f4"),
        ("positions", "<f4", (52, 3)),
        ("rotations", "<f4", (52, 4)),
        ("faces", "<f4", 3),
        ("has", "<i4"),  # 1 fingers, 2 a face
    ]
)
FRAME = 1 / 30
CORE = "Dancerev.Receiver.Core.dll"


def compile_(output, sources, *references, kind="exe"):
    """Compile C# with all warnings as errors, as far as Unity 2021.3 and mcs both know the language."""
    done = subprocess.run(
        ["mcs", "-langversion:7.2", "-warn:4", "-warnaserror", f"-target:{kind}", f"-out:{output}"]
        + [
            "-r:System.Core.dll",
            "-r:System.Numerics.dll",
            *(f"-r:{reference}" for reference in references),
            *map(str, sources),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Folder of the compiled core and stub; without the compiler the test is skipped, and in CI it fails."""
    if missing := [program for program in ("mcs", "mono") if not shutil.which(program)]:
        message = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("unity")
    compile_(folder / CORE, sorted(PACKAGE.glob("Runtime/Core/*.cs")), kind="library")
    return folder


def friend(build, name):
    """Where to compile a program called like one of the package's assemblies, which may use what is internal."""
    folder = build / name
    folder.mkdir()
    shutil.copy(build / CORE, folder)
    return folder / {"receiver": "Dancerev.Receiver.exe"}.get(name, "Dancerev.Receiver.Core.Tests.exe")


@pytest.fixture(scope="module")
def probe(build):
    return compile_(friend(build, "probe"), [SOURCES / "Probe.cs"], build / CORE)


@pytest.fixture
def capture():
    """The datagrams that a VmcSender really sends for a pose; keyword arguments are the sender's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1.0)
        senders = {}

        def send(pose, stamp, **options):
            key = tuple(options.items())
            if key not in senders:
                senders[key] = VmcSender("127.0.0.1", receiver.getsockname()[1], **options)
            senders[key].send(replace(pose, time=stamp))
            datagrams = []
            while not datagrams or b"/VMC/Ext/Blend/Apply" not in datagrams[-1]:
                datagrams.append(receiver.recv(65536))
            return datagrams

        yield send
        for sender in senders.values():
            sender.close()


@pytest.fixture
def replay(probe, tmp_path):
    """Plays (time, datagram) and, for a datagram of None, takes samples; an array of SAMPLE."""

    def play(records, delay=0.0, mirror=False):
        packed = [struct.pack("<di", at, -1 if data is None else len(data)) + (data or b"") for at, data in records]
        (tmp_path / "records").write_bytes(b"".join(packed))
        done = subprocess.run(
            ["mono", probe, "replay", tmp_path / "records", str(delay), "mirror" if mirror else "plain"],
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, dtype=SAMPLE)

    return play


def random_pose(seed):
    rng = np.random.default_rng(seed)
    rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
    return Pose(0.0, rotations, np.array([0.5, 1.1, -0.7], dtype=np.float32), np.ones(2, dtype=np.float32))


def dancing_pose(at):
    """A smooth dance: every bone swings by up to 0.4 rad, and the dancer walks about."""
    phases = np.arange(22) * 0.7
    axes = np.stack([np.cos(phases), np.sin(phases), np.cos(2 * phases)], axis=1)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    rotations = rotation.from_axis_angle(axes, 0.4 * np.sin(5.0 * at + phases))
    root = np.array([np.sin(at), 0.92 + 0.05 * np.sin(6.0 * at), 0.5 * np.cos(at)])
    return Pose(at, rotations.astype(np.float32), root.astype(np.float32), np.ones(2, dtype=np.float32))


def in_unity(pose):
    """World positions and global rotations, as a receiver shall have them."""
    positions, globals_ = forward_kinematics(pose.rotations.astype(np.float64), pose.root.astype(np.float64))
    rotations, positions = to_unity(globals_, positions)
    return positions, rotations


def assert_is(sample, pose, tolerance=1e-4):
    positions, rotations = in_unity(pose)
    assert sample["receiving"] == 1
    np.testing.assert_allclose(sample["positions"][:22], positions, atol=tolerance)
    np.testing.assert_allclose(np.abs(np.sum(sample["rotations"][:22] * rotations, axis=-1)), 1.0, atol=tolerance)


def frames(capture, count, begin=0.0, **options):
    """``count`` frames of the dance as (stamp, datagrams)."""
    return [(begin + i * FRAME, capture(dancing_pose(i * FRAME), begin + i * FRAME, **options)) for i in range(count)]


def test_the_package_compiles_against_the_stub_of_unity(build):
    stub = compile_(build / "UnityStub.dll", [SOURCES / "UnityStub.cs"], kind="library")
    references = [stub, build / CORE]
    for output, pattern in (
        ("Dancerev.Receiver", "Runtime/*.cs"),
        ("Dancerev.Receiver.Editor", "Editor/*.cs"),
        ("Sample", "Samples~/*/*.cs"),
    ):
        sources = sorted(PACKAGE.glob(pattern))
        assert sources
        references.append(compile_(build / f"{output}.dll", sources, *references, kind="library"))


def test_a_script_of_a_user_sees_components_only(build, tmp_path):
    """The classes of the core are internal."""
    for name, known in (
        ("DancerevReceiver", True),
        ("DancerevGroup", True),
        ("VmcStream", False),
        ("OscReader", False),
    ):
        script = tmp_path / "Script.cs"
        script.write_text(f"public class Script {{ private readonly System.Type t = typeof(Dancerev.{name}); }}")
        done = subprocess.run(
            ["mcs", "-target:library", f"-out:{tmp_path / 'Script.dll'}", str(script)]
            + [f"-r:{build / name}.dll" for name in ("UnityStub", "Dancerev.Receiver")]
            + [f"-r:{build / CORE}"],
            capture_output=True,
        )
        assert (done.returncode == 0) == known, name


@pytest.fixture(scope="module")
def stage(build):
    program = friend(build, "receiver")
    stub = compile_(program.parent / "Stub.dll", [SOURCES / "UnityStub.cs"], kind="library")
    sources = [*sorted(PACKAGE.glob("Runtime/*.cs")), SOURCES / "Stage.cs"]
    return compile_(program, sources, stub, build / CORE)


def test_avatars_whose_bones_are_turned_at_rest_dance_alike(stage):
    """Against the stub's simple model of Unity's muscles."""
    assert subprocess.run(["mono", stage, "retargeter"], capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.slow
def test_the_component_lives_and_dies_cleanly(stage, capture, tmp_path):
    datagrams = [struct.pack("<di", 0.0, len(d)) + d for d in capture(random_pose(6), 0.0)]
    (tmp_path / "datagrams").write_bytes(b"".join(datagrams))
    done = subprocess.run(["mono", stage, "life", tmp_path / "datagrams"], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_the_edit_mode_tests_pass(build):
    tests = [*sorted(PACKAGE.glob("Tests/Editor/*.cs")), SOURCES / "NUnitStub.cs"]
    program = compile_(friend(build, "tests"), tests, build / CORE)
    done = subprocess.run(["mono", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_skeleton_is_the_dancers(probe):
    lines = subprocess.run(["mono", probe, "skeleton"], capture_output=True, text=True, check=True).stdout.split("\n")
    rows = [line.split() for line in lines if line]
    names = (*BONES, *FINGERS)
    assert tuple(row[0] for row in rows) == names
    assert tuple(int(row[1]) for row in rows[:22]) == PARENTS
    assert [names[int(row[1])] for row in rows[22:]] == [finger_parent(finger) for finger in range(len(FINGERS))]
    assert tuple(int(row[2]) for row in rows[:22]) == MIRROR
    other = str.maketrans({"L": "R", "R": "L"})
    for row in rows[22:]:
        assert names[int(row[2])][0] == row[0][0].translate(other)
        assert names[int(row[2])].replace("Left", "").replace("Right", "") == row[0].replace("Left", "").replace(
            "Right", ""
        )
    offsets = np.concatenate([REST_OFFSETS, FINGER_OFFSETS]) * [-1, 1, 1]
    np.testing.assert_allclose([[float(x) for x in row[3:]] for row in rows], offsets, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"travel": "root"}])
def test_the_body_received_is_the_body_sent(capture, replay, options):
    poses = [random_pose(seed) for seed in range(20)]
    records = []
    for i, pose in enumerate(poses):
        datagrams = capture(pose, i * FRAME, **options)
        assert len(datagrams) == 2  # what is to be put together
        records += [(i * FRAME, datagram) for datagram in datagrams] + [(i * FRAME, None)]
    for sample, pose in zip(replay(records), poses, strict=True):
        assert_is(sample, pose)


def test_fingers_and_face_are_received(capture, replay):
    rng = np.random.default_rng(9)
    fingers = rotation.normalize(rng.normal(size=(30, 4))).astype(np.float32)
    face = np.array([0.25, 0.5, 0.75, 0.1, 0.0], dtype=np.float32)
    records = []
    for i in range(4):
        pose = replace(random_pose(i), fingers=fingers, face=face) if i < 3 else random_pose(i)
        datagrams = capture(pose, i * FRAME)
        assert len(datagrams) == (5 if i < 3 else 2)
        # The third frame loses a datagram in its middle.
        records += [(i * FRAME, d) for k, d in enumerate(datagrams) if (i, k) != (2, 2)] + [(i * FRAME, None)]
    samples = replay(records)
    for sample, i in zip(samples, (0, 1, 1, 1), strict=True):
        assert_is(sample, random_pose(i))
        assert sample["has"] == 3
        np.testing.assert_allclose(sample["faces"], face[:3], atol=1e-6)
        hand = in_unity(random_pose(i))[1][INDEX["LeftHand"]]
        turned = rotation.multiply(hand, to_unity(fingers[0], np.zeros(3))[0])
        assert abs(turned @ sample["rotations"][22]) == pytest.approx(1.0, abs=1e-5)


def test_a_sender_that_stops_sending_fingers_is_followed(capture, replay):
    fingers = np.tile(rotation.IDENTITY, (30, 1))
    records = []
    for i in range(8):
        pose = replace(random_pose(i), fingers=fingers) if i < 3 else random_pose(i)
        records += [(i * FRAME, d) for d in capture(pose, i * FRAME)] + [(i * FRAME, None)]
    assert_is(replay(records)[-1], random_pose(7))


def test_a_skeleton_without_upper_chest_is_as_tall(capture, replay):
    (sample,) = replay([*((0.0, d) for d in capture(rest_pose(), 0.0, upper_chest=False)), (0.0, None)])
    expected = in_unity(rest_pose())[0]
    np.testing.assert_allclose(sample["positions"][INDEX["Head"]], expected[INDEX["Head"]], atol=1e-6)


def test_it_agrees_with_the_python_receiver(capture, replay):
    half = float(np.sqrt(0.5))
    datagrams = [
        osc.encode("/VMC/Ext/T", 1.0),
        osc.encode("/VMC/Ext/Root/Pos", "root", 1.0, 0.0, 0.0, 0.0, half, 0.0, half),
        bone("Hips", 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 2.0),
        bone("Spine", 0.0, 1, 0.0, 0.1, 0.0, 0.0, 1.0),
        bone("LeftEye", 0.0, 1.0, 0.0, 0.1, 0.0, 0.0, 1.0),
        osc.encode("/VMC/Ext/Blend/Apply"),
    ]
    receiver = VmcReceiver(0, clock=lambda: 100.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        for datagram in datagrams:
            thrower.sendto(datagram, ("127.0.0.1", receiver.port))
    receiver.poll()
    receiver.close()
    (sample,) = replay([*((0.0, d) for d in datagrams), (0.0, None)])
    np.testing.assert_allclose(sample["positions"][:22], receiver.body.positions, atol=1e-6)
    np.testing.assert_allclose(sample["rotations"][:22], receiver.body.rotations, atol=1e-6)


def test_a_mirrored_dancer_is_the_dancers_mirror_image(capture, replay):
    pose = random_pose(1)
    (sample,) = replay([*((0.0, d) for d in capture(pose, 0.0)), (0.0, None)], mirror=True)
    positions, _ = in_unity(pose)
    np.testing.assert_allclose(sample["positions"][:22], positions[list(MIRROR)] * [-1, 1, 1], atol=1e-4)


def test_a_frame_that_lost_a_datagram_is_left_out(capture, replay):
    records = []
    for i, (stamp, datagrams) in enumerate(frames(capture, 5)):
        kept = {1: datagrams[:1], 3: datagrams[1:]}.get(i, datagrams)
        records += [(stamp, d) for d in kept] + [(stamp, None)]
    samples = replay(records)
    for sample, shown in zip(samples, (0, 0, 2, 2, 4), strict=True):
        assert_is(sample, dancing_pose(shown * FRAME))


@pytest.mark.parametrize("with_time", [True, False])
def test_senders_without_apply_are_understood(replay, with_time):
    records = []
    for i in range(20):
        stamp = [osc.encode("/VMC/Ext/T", i * FRAME)] if with_time else []
        for datagram in [*stamp, bone("Hips", i / 10, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0), bone("Spine", *[0.0] * 6, 1.0)]:
            records.append((i * FRAME, datagram))
        records.append((i * FRAME, None))
    samples = replay(records)
    assert samples["receiving"][:3].tolist() == [0, 0, 0]
    assert samples["receiving"][6:].all()
    np.testing.assert_allclose(samples["positions"][-1, 0], [1.8, 1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("begin", [0.0, 36000.0])
def test_jitter_and_reordering_become_even_motion(capture, replay, begin):
    delay, jitter, network = 0.1, 0.06, 0.02
    rng = np.random.default_rng(2)
    # Frames overtake each other, as the jitter is longer than a frame.
    arrivals = [(stamp - begin + network + jitter * rng.random(), d) for stamp, d in frames(capture, 300, begin)]
    overtaken = sum(a[0] > b[0] for a, b in itertools.pairwise(arrivals))
    assert overtaken > 20
    records = [(at, datagram) for at, datagrams in arrivals for datagram in datagrams]
    records += [(i / 60 + 1e-4, None) for i in range(6, 590)]
    samples = replay(sorted(records, key=lambda record: record[0]), delay)
    assert samples["receiving"].all()

    settled = samples[samples["time"] > 2.0]
    truth = [in_unity(dancing_pose(at - network - delay))[0] for at in settled["time"]]
    error = np.linalg.norm(settled["positions"][:, :22] - truth, axis=-1).max()
    assert error < 0.02  # metres, at hands that move at up to 5 m/s

    # Smooth: no step is much longer than the dance's own, and none goes back.
    steps = np.linalg.norm(np.diff(settled["positions"][:, :22], axis=0), axis=-1)
    own = np.linalg.norm(np.diff(truth, axis=0), axis=-1)
    assert (steps < own * 1.25 + 0.001).all()
    towards = np.sum(np.diff(settled["positions"][:, :22], axis=0) * np.diff(truth, axis=0), axis=-1)
    assert (towards[own > 0.01] > 0).all()


def test_without_a_buffer_the_same_arrivals_stutter(capture, replay):
    """That the test above would see a fault: with no delay, steps are uneven."""
    rng = np.random.default_rng(2)
    records = [(stamp + 0.045 * rng.random(), d) for stamp, datagrams in frames(capture, 150) for d in [datagrams]]
    flat = [(at, d) for at, datagrams in records for d in datagrams] + [(i / 60, None) for i in range(12, 290)]
    samples = replay(sorted(flat, key=lambda record: record[0]), 0.0)
    steps = np.linalg.norm(np.diff(samples["positions"][:, 0], axis=0), axis=-1)
    own = [np.linalg.norm(dancing_pose(at).root - dancing_pose(at - 1 / 60).root) for at in samples["time"][1:]]
    assert (steps > np.array(own) * 1.25 + 0.001).any()


def test_clocks_too_coarse_to_order_frames_are_ignored(capture, replay):
    """A float32 of seconds knows 16 ms after a day and a half."""
    begin = 200000.0
    records = []
    for stamp, datagrams in frames(capture, 60, begin):
        records += [(stamp - begin, d) for d in datagrams] + [(stamp - begin, None)]
    samples = replay(records, 0.0)
    for i in range(1, 60):  # the first frame could have begun before anyone listened
        assert_is(samples[i], dancing_pose(i * FRAME))


def test_a_lost_sender_is_reported_and_comes_back(capture, replay):
    sent = frames(capture, 30) + frames(capture, 30, 3.0)
    records = [(stamp, d) for stamp, datagrams in sent for d in datagrams]
    records += [(at, None) for at in (0.99, 1.45, 1.48, 2.99, 3.01, 3.98, 4.48)]
    samples = replay(sorted(records, key=lambda record: record[0]))
    assert samples["receiving"].tolist() == [1, 1, 0, 0, 1, 1, 0]
    assert (samples["rate"] > 0).tolist() == [True, True, False, False, False, True, False]
    assert samples["rate"][5] == pytest.approx(30.0, abs=0.1)
    assert_is(samples[4], dancing_pose(0.0))
    assert_is(samples[5], dancing_pose(29 * FRAME))


def test_another_sender_with_other_bones_and_ways_begins_anew(capture, replay):
    records = [(stamp, d) for stamp, datagrams in frames(capture, 30) for d in datagrams]
    for i in range(20):  # only hips, no time, no Apply
        records += [(3.0 + i * FRAME, bone("Hips", i / 10, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)), (3.0 + i * FRAME, None)]
    last = replay(records)[-1]
    assert last["receiving"] == 1
    np.testing.assert_allclose(last["positions"], np.tile([1.8, 1.0, 0.0], (52, 1)), atol=1e-6)


def test_what_is_no_bone_changes_nothing(capture, replay):
    first, second = capture(rest_pose(), 0.0), capture(random_pose(3), FRAME)
    amid = [
        d for d in NO_BONES if b"/Apply" not in d and b"/Ext/T" not in d
    ]  # what may come between the two of a frame
    records = [*((0.0, d) for d in NO_BONES), (0.0, None), *((0.1, d) for d in first)]
    for datagram in second:
        records += [(0.1 + FRAME, d) for d in [*amid, datagram]]
    samples = replay([*records, (0.1 + FRAME, None)])
    assert samples["receiving"].tolist() == [0, 1]
    assert_is(samples[1], random_pose(3))


def test_random_and_mutated_datagrams_never_break_it(capture, replay):
    rng = np.random.default_rng(4)
    good = [d for _, datagrams in frames(capture, 30) for d in datagrams]
    records = []
    for i in range(20000):
        at = i / 600
        data = bytearray(good[i % len(good)])
        kind = i % 4
        if kind == 0:
            data = bytearray(rng.bytes(int(rng.integers(0, 200))))
        elif kind == 1:
            data = data[: int(rng.integers(0, len(data)))]
        elif kind == 2:
            for _ in range(int(rng.integers(1, 20))):
                data[int(rng.integers(0, len(data)))] = int(rng.choice([0, 1, 44, 47, 127, 128, 255]))
        records.append((at, bytes(data)))
        if i % 10 == 0:
            records.append((at, None))
    samples = replay(records, 0.05)
    received = samples[samples["receiving"] == 1]
    assert len(received) > 1500
    assert np.isfinite(received["positions"]).all()
    np.testing.assert_allclose(np.linalg.norm(received["rotations"], axis=-1), 1.0, atol=1e-4)

    # And then the dance is as whole as if nothing had been.
    begin = records[-1][0] + 1.0
    last = [(begin + stamp, d) for stamp, datagrams in frames(capture, 10) for d in datagrams]
    samples = replay([*records, *last, (begin + 9 * FRAME, None)])
    assert_is(samples[-1], dancing_pose(9 * FRAME))


@pytest.mark.parametrize(("old", "new"), [(500.0, 0.0), (0.0, 500.0), (40.0, 39.0)])
def test_a_restarted_sender_is_taken_at_once(capture, replay, old, new):
    records = [(s - old, d) for s, datagrams in frames(capture, 60, old) for d in datagrams]
    gone = 60 * FRAME + 0.2
    again = [(gone + s - new, datagrams) for s, datagrams in frames(capture, 60, new)]
    records += [(at, d) for at, datagrams in again for d in datagrams]
    records += [(i / 60, None) for i in range(1, 250)]
    samples = replay(sorted(records, key=lambda record: record[0]), 0.05)
    after = samples[(samples["time"] > gone + 1.0) & (samples["time"] < gone + 60 * FRAME)]
    for sample in after:
        assert_is(sample, dancing_pose(sample["time"] - gone - 0.05), tolerance=0.02)


def test_ten_thousand_frames_allocate_nothing(capture, probe, tmp_path):
    packed = [struct.pack("<di", s, len(d)) + d for s, datagrams in frames(capture, 300) for d in datagrams]
    (tmp_path / "datagrams").write_bytes(b"".join(packed))
    done = subprocess.run(
        ["mono", probe, "allocate", tmp_path / "datagrams", "10000"], capture_output=True, text=True, check=True
    )
    allocated, grown = map(int, done.stdout.split())
    assert allocated == 0
    assert grown < 100_000  # bytes, less than ten a frame: what the runtime itself takes is counted too


@pytest.mark.slow
def test_a_real_port_is_listened_to_and_given_back(probe):
    program = subprocess.Popen(
        ["mono", probe, "listen", "0", "0.0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:

        def ask():
            program.stdin.write("?\n")
            numbers = [float(word) for word in program.stdout.readline().split()]
            return numbers[0], numbers[1], numbers[2], np.reshape(numbers[3:], (52, 3))[:22]

        port = int(program.stdout.readline())
        assert ask()[0] == 0
        for wait in (0.0, 0.6):  # the second sender comes after the first has gone
            time.sleep(wait)
            assert ask()[0] == 0
            sender, start = VmcSender("127.0.0.1", port), time.monotonic()
            while (now := time.monotonic() - start) < 0.8:
                sender.send(replace(random_pose(5), time=now))
                time.sleep(FRAME)
            sender.close()
            receiving, rate, datagrams, positions = ask()
            assert receiving == 1
            assert 3 < rate < 35
            assert datagrams >= 2 * sender.sent - 2
            np.testing.assert_allclose(positions, in_unity(random_pose(5))[0], atol=1e-4)
        program.stdin.close()
        assert program.wait(10) == 0
    finally:
        program.kill()


def test_unity_finds_a_guid_for_every_asset():
    def hidden(path):
        return any(part.endswith("~") or part.startswith(".") for part in path.relative_to(PACKAGE).parts)

    paths = {path for path in PACKAGE.rglob("*") if not hidden(path)}
    metas = {path for path in paths if path.suffix == ".meta"}
    assert {Path(f"{path}.meta") for path in paths - metas} == metas
    guids = [re.search(r"^guid: ([0-9a-f]{32})$", meta.read_text(), re.MULTILINE)[1] for meta in metas]
    assert len(set(guids)) == len(guids)


def test_the_manifest_is_what_unity_takes():
    manifest = json.loads((PACKAGE / "package.json").read_text())
    assert (manifest["name"], manifest["unity"]) == ("com.dancerev.receiver", "2021.3")
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert all((PACKAGE / sample["path"]).is_dir() for sample in manifest["samples"])
    assemblies = {}
    for path in PACKAGE.rglob("*.asmdef"):
        assembly = json.loads(path.read_text())
        assert path.stem == assembly["name"]
        assemblies[assembly["name"]] = assembly
    assert assemblies["Dancerev.Receiver.Core"]["noEngineReferences"] is True
    for assembly in assemblies.values():
        for reference in assembly["references"]:
            assert reference in assemblies or reference.endswith(".TestRunner")
