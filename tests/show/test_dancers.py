"""Several dancers from one song: one step for all, each with its own draws, style, place and receiver."""

import json
import re

import numpy as np
import pytest
import torch
from receiver import Receiver, assert_accounted_for, frames, live, messages

from dancerev.export.export import export_step
from dancerev.model.network.config import DanceConfig
from dancerev.model.network.dance_network import DanceNetwork
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import SPACING, Dancer, side_by_side
from dancerev.realtime.stream import DanceStream

N = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a small network that has learned nothing, and moves."""
    torch.manual_seed(0)
    network = DanceNetwork(DanceConfig(styles=("one", "two"), width=16, heads=2, feed_forward=32, hidden=24))
    network.pose_std.fill_(0.05)
    with torch.no_grad():
        network.output_known.weight.mul_(30.0)
    path = tmp_path_factory.mktemp("dancers") / "small.onnx"
    export_step(network, path)
    return str(path)


def clicks(seconds=6.0):
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE % 0.5
    return (np.sin(2 * np.pi * 220.0 * t) * np.exp(-t * 40.0)).astype(np.float32)


def dance(dancers, samples, chunk=1600):
    stream = DanceStream(dancers)
    poses = stream.begin()
    for start in range(0, len(samples), chunk):
        poses += stream.push(samples[start : start + chunk])[0]
    return poses


@pytest.mark.slow
def test_poses_come_in_order_of_time_and_of_dancers(model):
    poses = dance(side_by_side(DanceModel(model, dancers=N), ["any"]), clicks())
    assert [pose.dancer for pose in poses] == list(range(N)) * (len(poses) // N)
    times = np.array([pose.time for pose in poses]).reshape(-1, N)
    np.testing.assert_array_equal(times, times[:, :1].repeat(N, axis=1))
    np.testing.assert_allclose(times[:, 0], np.arange(len(times)) / 30, atol=1e-9)


def test_each_dances_as_it_would_alone(model):
    together = dance(side_by_side(DanceModel(model, dancers=N), ["one", "two"], seed=5), clicks())
    for k in range(N):
        alone = Dancer(DanceModel(model), ("one", "two", "one")[k], 5 + k, radius=SPACING / 2)
        for mine, theirs in zip(together[k::N], dance(alone, clicks()), strict=True):
            np.testing.assert_allclose(mine.rotations, theirs.rotations, atol=1e-4)
            np.testing.assert_allclose(mine.root - theirs.root, [(k - 1) * SPACING, 0.0, 0.0], atol=1e-4)
    apart = [np.abs(a.rotations - b.rotations).max() for a, b in zip(together[::N], together[2::N], strict=True)]
    assert max(apart) > 0.05  # the same style, another seed


def test_they_keep_out_of_each_others_way(model):
    dancers = side_by_side(DanceModel(model, dancers=N), ["any"])
    for dancer in dancers:  # all want to go to the left, for ever
        correct = dancer.bounds.correct

        def leave(vector, *where, correct=correct):
            vector = vector.copy()
            vector[1:3] = 0.1, 0.0
            return correct(vector, *where)

        dancer.bounds.correct = leave
    roots = np.array([pose.root for pose in dance(dancers, clicks(20.0))]).reshape(-1, N, 3)
    assert np.abs(roots[:, 0, 0] + SPACING).max() > 0.5  # and they did go
    assert np.diff(roots[..., 0], axis=1).min() > 0.0


def fastest_turn(poses):
    """Radians: how far a bone of the third dancer turns from pose to pose, at most."""
    rotations = np.array([pose.rotations for pose in poses[2::N]])
    return 2 * np.arccos(np.clip(np.abs(np.sum(rotations[1:] * rotations[:-1], axis=-1)), 0, 1)).max()


def test_one_broken_dancer_breaks_no_other(model):
    network = DanceModel(model, dancers=N)
    unbroken = fastest_turn(dance(side_by_side(network, ["any"]), clicks()))
    network.reset()
    honest, step = network.step, iter(range(10**6))
    bad = np.array([[1.0], [np.nan], [1.0]], dtype=np.float32)
    network.step = lambda *given: honest(*given) * (bad if next(step) == 30 else 1.0)
    poses = dance(side_by_side(network, ["any"]), clicks())
    assert all(pose.is_finite() for pose in poses)
    assert fastest_turn(poses) < unbroken + 0.5  # it does not jump either


def free_ports():
    """Receivers on N ports in a row."""
    while True:
        first = Receiver()
        receivers = [first]
        try:
            receivers += [Receiver(first.port + k) for k in range(1, N)]
            return receivers
        except (OSError, OverflowError):
            for receiver in receivers:
                receiver.close()


@pytest.mark.slow
def test_a_show_of_several_avatars(model, tmp_path):
    receivers = free_ports()
    stats = tmp_path / "s.json"
    process = live(
        *("--input", "demo", "--no-preview", "--mute", "--duration", 4, "--stats", stats, "--model", model),
        *("--osc", f"127.0.0.1:{receivers[0].port}", "--dancers", N, "--style", "one,two", "--style", "any"),
    )
    _, err = process.communicate(timeout=60)
    for receiver in receivers:
        receiver.close()
    assert process.returncode == 0, err
    shown = [frames(receiver.datagrams) for receiver in receivers]
    assert {len(each) for each in shown} == {len(shown[0])}  # what a busy machine leaves out is that of all dancers
    assert_accounted_for(N * len(shown[0]), json.loads(stats.read_text()), 4.0, N)
    hips = np.array(
        [[next(a[1:] for _, a in f["/VMC/Ext/Bone/Pos"] if a[0] == "Hips") for _, f in each] for each in shown]
    )
    # Unity's X points the other way.
    np.testing.assert_allclose(hips[:, 0, 0], [SPACING, 0.0, -SPACING], atol=1e-4)
    assert len({each.tobytes() for each in hips[:, :, 3:]}) == N


@pytest.mark.slow
def test_flat_numbers_name_the_dancer(model, tmp_path):
    receiver, stats = Receiver(), tmp_path / "s.json"
    process = live(
        *("--input", "demo", "--no-preview", "--mute", "--duration", 2, "--model", model, "--dancers", N),
        *("--osc", f"127.0.0.1:{receiver.port}", "--protocol", "flat", "--stats", stats),
    )
    _, err = process.communicate(timeout=60)
    receiver.close()
    assert process.returncode == 0, err
    hips, phases = [], 0
    for _, data in receiver.datagrams:
        for address, _, _ in messages(data):
            phases += address == "/dancerev/phase"
            if found := re.fullmatch(r"/dancerev/(\d)/Hips/pos", address):
                hips.append(int(found[1]))
    assert hips == [1, 2, 3] * (len(hips) // N)
    assert_accounted_for(len(hips), json.loads(stats.read_text()), 2.0, N)
    assert phases <= len(hips) // N  # the music once for all


@pytest.mark.slow
def test_as_many_dancers_as_are_allowed_share_what_the_computer_can_do(model, tmp_path):
    """Sixty-four lose poses together where it is too slow; none is left out, and the show ends in time."""
    receiver, stats = Receiver(), tmp_path / "s.json"
    process = live(
        *("--input", "demo", "--no-preview", "--mute", "--duration", 4, "--model", model, "--dancers", 64),
        *("--osc", f"127.0.0.1:{receiver.port}", "--protocol", "flat", "--stats", stats),
    )
    _, err = process.communicate(timeout=60)
    receiver.close()
    assert process.returncode == 0, err
    sent = json.loads(stats.read_text())["poses_sent"]
    assert sent % 64 == 0
    assert sent >= 64 * 10
    seen = {
        int(found[1])
        for _, data in receiver.datagrams
        for address, _, _ in messages(data)
        if (found := re.fullmatch(r"/dancerev/(\d+)/Hips/pos", address))
    }
    assert seen == set(range(1, 65))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--dancers", "0"), "--dancers: '0' is not a whole number from 1 to 64"),
        (("--dancers", "many"), "--dancers: 'many' is not a whole number"),
        (("--dancers", "2", "--osc", "127.0.0.1:65535"), "port 65536 is out of range"),
        (("--dancers", "2", "--style", "one,polka"), "unknown style 'polka'"),
    ],
)
def test_bad_input_is_answered_in_one_line(model, arguments, complaint):
    process = live("--input", "demo", "--no-preview", "--mute", "--model", model, *arguments)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2, err
    assert complaint in err
    assert err.count("\n") == 1
    assert out == ""
