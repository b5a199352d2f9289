"""The whole stream, from samples to poses, with the bundled network: chunk-invariant, causal, deterministic."""

import numpy as np
import pytest

from dancerev.model.skeleton import INDEX
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.dance_model import DanceModel, model_path
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.stream import DanceStream

SECONDS = 10


def song(seconds=SECONDS, bpm=120.0, seed=0):
    """A kick on every beat, a noisy hat between, a bass note: mono float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    beat = t * bpm / 60.0 % 1.0
    since = beat * 60.0 / bpm
    hat = (beat + 0.5) % 1.0 * 60.0 / bpm
    kick = np.sin(2 * np.pi * 55.0 * since) * np.exp(-since * 18.0)
    noise = rng.normal(size=len(t)) * np.exp(-hat * 60.0) * 0.2
    return (0.5 * kick + noise + 0.1 * np.sin(2 * np.pi * 110.0 * t)).astype(np.float32)


def dance(samples, chunk=4096, seed=3, fps=30, style="any", model="default"):
    stream = DanceStream(Dancer(DanceModel(model), style, seed), fps)
    poses, beats = stream.begin(), []
    for start in range(0, len(samples), chunk):
        made, announced = stream.push(samples[start : start + chunk])
        poses += made
        beats += announced
    return poses, beats


def assert_same(one, other):
    assert [p.time for p in one] == [p.time for p in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)
        np.testing.assert_array_equal(a.contacts, b.contacts)


@pytest.fixture(scope="module")
def whole():
    return dance(song())


@pytest.mark.parametrize("chunk", [64, 480, 512, 1601])
def test_any_chunking_gives_the_same_dance(whole, chunk):
    poses, beats = dance(song(), chunk)
    assert beats == whole[1]
    assert_same(poses, whole[0])


def test_the_future_changes_nothing(whole):
    cut = 6 * SAMPLE_RATE
    changed = song()
    changed[cut:] = np.random.default_rng(1).normal(size=len(changed) - cut)
    for samples in (song()[:cut], changed):
        poses, _ = dance(samples)
        before = [p for p in poses if p.time <= 6.0 + 1 / 15 + 1e-9]
        assert len(before) == len([p for p in whole[0] if p.time <= before[-1].time])
        assert_same(before, whole[0][: len(before)])


def test_same_seed_same_dance_other_seed_other_dance(whole):
    assert_same(dance(song())[0], whole[0])
    other, _ = dance(song(), seed=4)
    apart = [np.abs(a.positions() - b.positions()).max() for a, b in zip(whole[0], other, strict=True)]
    assert max(apart) > 0.2


def test_another_style_is_another_dance():
    salsa, _ = dance(song(), style="salsa")
    martial, _ = dance(song(), style="martial")
    assert max(np.abs(a.positions() - b.positions()).max() for a, b in zip(salsa, martial, strict=True)) > 0.2


def speeds(poses):
    """(T − 1,) m/s at 30 poses a second, mean of all joints."""
    positions = np.array([pose.positions() for pose in poses])
    return np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(axis=1) * 30


@pytest.mark.parametrize("style", ["any", "salsa", "indian", "modern", "martial"])
def test_in_silence_it_rests_and_with_the_music_it_starts_again(style):
    silence = np.zeros(8 * SAMPLE_RATE, dtype=np.float32)
    poses, _ = dance(np.concatenate([song(), silence, song()]), style=style)
    moving = speeds(poses)
    assert moving[4 * 30 : 10 * 30].mean() > 0.2
    assert moving[14 * 30 : 18 * 30].max() < 0.1  # a foot that stood wide has stepped home by then
    assert moving[20 * 30 :].mean() > 0.2
    resting = poses[16 * 30].positions()
    assert resting[0, 1] > 0.8  # it stands
    assert resting[[INDEX["LeftHand"], INDEX["RightHand"]], 1].max() < resting[INDEX["Head"], 1]


@pytest.mark.slow
def test_in_long_silence_it_stays_where_it_stands():
    minute = 60 * SAMPLE_RATE
    poses, _ = dance(np.concatenate([song(), np.zeros(3 * minute, dtype=np.float32)]), chunk=SAMPLE_RATE)
    hips = np.array([pose.root[[0, 2]] for pose in poses])
    begun, ended = hips[20 * 30 : 80 * 30].mean(axis=0), hips[-60 * 30 :].mean(axis=0)
    assert np.linalg.norm(ended - begun) < 0.06
    assert np.ptp(hips[20 * 30 :], axis=0).max() < 0.3


@pytest.mark.parametrize("decibels", [-40, -20])
def test_the_level_changes_nothing(decibels):
    """In 32 bits: rounding to 8 may turn the last digit of a feature into centimetres."""
    exact = str(model_path("default"))
    poses, _ = dance(song(), model=exact)
    softer, _ = dance((song() * 10 ** (decibels / 20)).astype(np.float32), model=exact)
    apart = [np.abs(a.positions() - b.positions()).max() for a, b in zip(poses, softer, strict=True)]
    assert max(apart) < 0.001


@pytest.mark.parametrize("fps", [30, 60])
def test_poses_are_on_the_grid_one_frame_ahead_and_valid(fps):
    poses, _ = dance(song(4), fps=fps)
    np.testing.assert_allclose([p.time for p in poses], np.arange(len(poses)) / fps, atol=1e-9)
    assert poses[-1].time == pytest.approx(4.0 + 1 / 15)
    rotations = np.array([p.rotations for p in poses])
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1.0, atol=1e-5)
    assert min(p.positions()[:, 1].min() for p in poses) > -0.02


def test_the_network_speaks(whole):
    """What leaves is the network's: other music, another dance."""
    silent, _ = dance(np.zeros(SECONDS * SAMPLE_RATE, dtype=np.float32))
    apart = [np.abs(a.positions() - b.positions()).max() for a, b in zip(whole[0], silent, strict=True)]
    assert max(apart) > 0.2


@pytest.mark.parametrize("bpm", [100.0, 120.0, 128.0])
def test_beats_are_announced_before_they_fall_and_near_the_kicks(bpm):
    """Of a soft kick with a louder hat between: nobody dances to the hats."""
    samples, period = song(20, bpm), 60.0 / bpm
    stream = DanceStream(Dancer(DanceModel()))
    announced = []
    for start in range(0, len(samples), 1600):
        _, beats = stream.push(samples[start : start + 1600])
        assert all(beat >= stream.last.time for beat in beats)
        announced += beats
    late = np.array([b for b in announced if b > 5.0])
    assert len(late) == pytest.approx(15.0 / period, abs=1.5)
    np.testing.assert_allclose((late / period + 0.5) % 1.0, 0.5, atol=0.1)


def test_a_broken_network_never_sends_a_broken_pose():
    model = DanceModel()
    dancer = Dancer(model)
    stream = DanceStream(dancer)
    samples = song(6)
    honest = model.step
    model.step = lambda *inputs: honest(*inputs) * (np.nan if 30 < stream.frames < 40 else 1.0)
    poses = stream.begin()
    for start in range(0, len(samples), 1600):
        made, _ = stream.push(samples[start : start + 1600])
        poses += made
    assert len(poses) == 6 * 30 + 3
    assert all(p.is_finite() for p in poses)
    rotations = np.array([p.rotations for p in poses])
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1.0, atol=1e-5)
    angle = 2 * np.arccos(np.clip(np.abs(np.sum(rotations[1:] * rotations[:-1], -1)), 0, 1))
    assert angle.max() < np.pi / 2  # and it does not jump
