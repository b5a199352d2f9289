"""A pulse that was put into a movement is found, and laid on another tempo it stays on the beat."""

import numpy as np
import pytest

from dancerev.model import pose, rotation
from dancerev.model.corpus.motion import Motion
from dancerev.model.corpus.motion_beats import fit_pulse
from dancerev.model.kinematic_beats import alignment, dips, joint_speed, kinematic_beats
from dancerev.model.skeleton import INDEX


def moving_on(beats, seconds, fps=60.0):
    """Arms that swing from one side to the other between beats and rest on them."""
    time = np.arange(round(seconds * fps)) / fps
    count = np.interp(time, beats, np.arange(len(beats)))
    phase = count % 1.0
    swing = np.floor(count) + phase - np.sin(2 * np.pi * phase) / (2 * np.pi)
    angle = 0.9 * np.cos(np.pi * swing)
    rotations = np.tile(pose.rest_pose().rotations.astype(float), (len(time), 1, 1))
    for bone in ("LeftUpperArm", "RightUpperArm", "Spine"):
        turn = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), angle)
        rotations[:, INDEX[bone]] = rotation.multiply(turn, rotations[:, INDEX[bone]])
    root = np.tile(pose.rest_pose().root.astype(float), (len(time), 1))
    return Motion(rotations, root, np.ones((len(time), 2)), fps)


def unsteady_beats(period, count, seed=0):
    return np.cumsum(np.random.default_rng(seed).uniform(0.85, 1.15, size=count) * period)


def test_kinematic_beats_are_where_the_movement_rests():
    beats = unsteady_beats(0.6, 30)
    motion = moving_on(np.concatenate([[0.0], beats]), 17.0)
    found, depth = dips(joint_speed(motion.positions(), 60.0).mean(axis=1), 60.0)
    inside = beats[beats < 16.5]
    assert alignment(inside, found) > 0.95
    assert np.median(depth) > 0.5


def test_alignment_is_one_on_the_beat_and_falls_off_it():
    beats = np.arange(1.0, 10.0, 0.5)
    assert alignment(beats, beats) == pytest.approx(1.0)
    assert alignment(beats, beats + 0.05) == pytest.approx(np.exp(-0.5))
    assert alignment(beats, beats[:0]) == 0.0


@pytest.mark.parametrize("bpm", [75.0, 100.0, 125.0])
def test_an_unsteady_dance_lands_on_a_steady_beat(bpm):
    motion = moving_on(np.concatenate([[0.0], unsteady_beats(0.6, 50)]), 28.0)
    rate = bpm / 60.0
    pulse = fit_pulse(motion, rate, 2.0 ** np.linspace(-0.6, 0.6, 9))
    assert pulse is not None
    assert pulse.score > 0.8
    assert 0.65 < pulse.stretch < 1.55
    count = len(pulse.beats)
    times = np.arange(int((count - 1) / rate * 60.0)) / 60.0
    seconds = pulse.seconds_at(times * rate)
    assert (np.diff(seconds) > 0).all()
    played = Motion(*motion.at(seconds), 60.0)
    found = kinematic_beats(played.positions(), 60.0)
    own = alignment(np.arange(1, count - 1) / rate, found)
    off = alignment((np.arange(1, count - 1) + 0.5) / rate, found)
    assert own > 0.8 > off + 0.4


def test_too_short_a_motion_has_no_pulse():
    assert fit_pulse(moving_on(np.arange(0.0, 3.0, 0.5), 0.4), 1.5, np.array([1.0])) is None
