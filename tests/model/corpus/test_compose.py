"""Composed dances are on the beat, whole, on the floor, on the stage, at rest in silence, and repeatable."""

import numpy as np
import pytest

from dancerev.model import rotation
from dancerev.model.corpus.clean import clean
from dancerev.model.corpus.compose import FPS, Repertoire, compose
from dancerev.model.corpus.motion import Motion
from dancerev.model.corpus.motion_beats import fit_pulse
from dancerev.model.corpus.retarget import sole_heights
from dancerev.model.kinematic_beats import alignment, joint_speed, kinematic_beats
from dancerev.model.skeleton import FEET, forward_kinematics

PERIOD = 60.0 / 105.0
SILENCES = [(0.0, 2.5), (17.0, 21.0)]
SECONDS = 36.0
BEATS = np.concatenate([np.arange(2.5, 17.0, PERIOD), np.arange(21.0, SECONDS, PERIOD)])


@pytest.fixture(scope="module")
def repertoire(dancing):
    pulses = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        beats = np.concatenate([[0.0], np.cumsum(0.6 * rng.uniform(0.9, 1.1, size=40))])
        rotations, root = dancing.dance(beats, 16.0, seed=seed)
        segments, _ = clean(Motion(rotations, root, np.zeros((len(root), 2)), 60.0))
        pulses.append(fit_pulse(segments[0], 1.0 / PERIOD, np.array([0.9, 1.0, 1.1])))
    return Repertoire(["a", "b", "c"], pulses)


@pytest.fixture(scope="module")
def composed(repertoire):
    return compose(repertoire, BEATS, SILENCES, SECONDS, np.random.default_rng(0))


def positions_of(body):
    return forward_kinematics(body.rotations, body.root)[0]


def test_it_lasts_as_long_as_the_music_and_is_whole(composed):
    body, used = composed
    assert len(body) == round(SECONDS * FPS) + 1
    assert np.isfinite(body.rotations).all()
    assert np.isfinite(body.root).all()
    np.testing.assert_allclose(np.linalg.norm(body.rotations, axis=-1), 1.0, atol=1e-6)
    assert len(used) >= 2


def test_it_is_on_the_beat(composed):
    found = kinematic_beats(positions_of(composed[0]), FPS)
    inside = BEATS[(np.abs(BEATS - 2.5) > 1.2) & (np.abs(BEATS - 21.0) > 1.2)]
    assert alignment(inside, found) > 0.8
    assert alignment(inside + PERIOD / 2, found) < 0.3


def test_nothing_jumps_where_stretches_are_joined(composed):
    positions = positions_of(composed[0])
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * FPS
    assert speed.max() < 9.0
    acceleration = np.linalg.norm(np.diff(positions, n=2, axis=0), axis=-1) * FPS**2
    assert acceleration.max() < 300.0


def test_feet_stay_on_the_floor_and_planted_feet_stand(composed):
    body, _ = composed
    positions = positions_of(body)
    assert sole_heights(positions).min() > -0.02
    ankles = positions[:, [pair[0] for pair in FEET]]
    speed = np.linalg.norm(np.diff(ankles[..., [0, 2]], axis=0), axis=-1) * FPS
    planted = (body.contacts[1:] > 0.5) & (body.contacts[:-1] > 0.5)
    assert np.percentile(speed[planted], 95) < 0.3


def test_it_rests_in_silence_and_stands_upright(composed):
    speed = joint_speed(positions_of(composed[0]), FPS).mean(axis=1)
    for start, stop in ((0.0, 2.5), (18.5, 21.0)):
        assert speed[round(start * FPS) + 1 : round(stop * FPS)].max() < 0.15
    assert speed[round(5.0 * FPS) : round(16.0 * FPS)].mean() > 0.3
    body = composed[0]
    hips = rotation.rotate(body.rotations[round(20 * FPS), 0], np.array([0.0, 1.0, 0.0]))
    assert hips[1] > 0.97


def test_it_keeps_to_the_stage(composed):
    assert np.linalg.norm(composed[0].root[:, [0, 2]], axis=1).max() < 2.5


def test_one_seed_makes_one_dance_and_another_another(repertoire, composed):
    again, _ = compose(repertoire, BEATS, SILENCES, SECONDS, np.random.default_rng(0))
    np.testing.assert_array_equal(again.rotations, composed[0].rotations)
    other, _ = compose(repertoire, BEATS, SILENCES, SECONDS, np.random.default_rng(1))
    assert np.abs(other.root - composed[0].root).max() > 0.1


def test_beats_of_the_beginning_alone_are_counted_on_evenly(repertoire):
    beats = 0.6 * np.arange(8)
    body, _ = compose(repertoire, beats, [], 30.0, np.random.default_rng(0))
    assert len(body.root) == int(np.ceil(30.0 * FPS)) + 1
    assert np.isfinite(body.root).all()
