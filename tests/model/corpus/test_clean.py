"""Cleaning takes out faults that were put in, leaves a sound motion alone, finds the floor and holds the feet."""

import numpy as np
import pytest

from dancerev.model import pose, rotation
from dancerev.model.corpus.clean import FPS, clean, find_contacts, hold_feet, level_floor, without_pauses
from dancerev.model.corpus.motion import Motion
from dancerev.model.corpus.retarget import sole_heights
from dancerev.model.skeleton import FEET, INDEX


def swaying(seconds=8.0, fps=60.0):
    """On the spot: arms and trunk swing, feet stand."""
    time = np.arange(round(seconds * fps)) / fps
    rotations = np.tile(pose.rest_pose().rotations.astype(float), (len(time), 1, 1))
    for bone, axis, size in (("LeftUpperArm", 0, 0.9), ("RightUpperArm", 0, -0.9), ("Chest", 1, 0.5)):
        turn = rotation.from_axis_angle(np.eye(3)[axis], size * np.sin(2 * np.pi * time))
        rotations[:, INDEX[bone]] = rotation.multiply(turn, rotations[:, INDEX[bone]])
    root = np.tile(pose.rest_pose().root.astype(float), (len(time), 1))
    return Motion(rotations, root, np.zeros((len(time), 2)), fps)


def fastest(motion):
    return np.linalg.norm(np.diff(motion.positions(), axis=0), axis=-1).max() * motion.fps


def test_a_sound_motion_is_left_as_it_is():
    motion = swaying()
    segments, report = clean(motion)
    assert len(segments) == 1
    assert not report.mended
    assert report.kept == pytest.approx(motion.seconds, abs=0.1)
    own = segments[0].positions()
    # Smoothing has nothing to lean on at the very ends.
    np.testing.assert_allclose(own[5:-5], motion.positions()[1 : 1 + len(own)][5:-5], atol=0.02)


def test_single_frame_flips_are_mended():
    motion = swaying()
    clean_positions = motion.positions().copy()
    for frame in (100, 200, 201):
        motion.rotations[frame, INDEX["RightUpperLeg"]] = rotation.from_axis_angle(np.array([1.0, 0, 0]), 2.9)
    assert fastest(motion) > 20
    segments, report = clean(motion)
    assert set(report.mended) == {"RightUpperLeg"}
    assert len(segments) == 1
    assert fastest(segments[0]) < 6
    np.testing.assert_allclose(segments[0].positions(), clean_positions[1 : 1 + len(segments[0])], atol=0.03)


def test_a_long_disturbance_is_cut_and_reported():
    motion = swaying(12.0)
    rng = np.random.default_rng(0)
    motion.rotations[300:400] = rotation.normalize(rng.normal(size=(100, 22, 4)))
    segments, report = clean(motion)
    assert len(segments) == 2
    assert fastest(segments[0]) < 15
    assert any(start <= 5.2 and stop >= 6.5 for start, stop in report.cut)


def test_an_added_t_pose_at_the_start_goes():
    motion = swaying()
    motion.rotations[0] = rotation.IDENTITY
    segments, report = clean(motion)
    assert report.cut[0][0] == 0.0
    left = INDEX["LeftHand"]
    assert segments[0].positions()[0, left, 1] < 1.3


def test_pauses_are_shortened_and_standing_about_is_left_out():
    moving = swaying(3.0)
    still = Motion(
        *(np.repeat(getattr(moving, name)[-1:], 240, axis=0) for name in ("rotations", "root", "contacts")), 60.0
    )
    parts = [still, moving, still, moving, still]
    joined = Motion(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("rotations", "root", "contacts")), 60.0
    )
    short = without_pauses(joined)
    # Two times three seconds of movement, and of the pause between them a good second at most.
    assert 6.0 < short.seconds < 8.5


def test_a_tilted_floor_is_levelled():
    motion = swaying(20.0)
    walk = 1.5 * np.sin(np.arange(len(motion)) / len(motion) * 2 * np.pi)
    root = motion.root + np.stack([walk, 0.10 + 0.02 * walk, 0 * walk], axis=1)
    (levelled,), tilt = level_floor([Motion(motion.rotations, root, motion.contacts, 60.0)])
    assert tilt == pytest.approx(np.rad2deg(np.arctan(0.02)), abs=0.1)
    assert np.abs(sole_heights(levelled.positions())).max() < 0.01


def test_planted_feet_stand_still_and_above_the_floor():
    motion = swaying(10.0)
    time = np.arange(len(motion)) / 60
    sliding = motion.root + np.stack(
        [0.02 * np.sin(3 * time), -0.02 + 0.005 * np.sin(7 * time), 0.02 * np.cos(2 * time)], axis=1
    )
    slid = Motion(motion.rotations, sliding, motion.contacts, 60.0)
    held = hold_feet(slid)
    assert held.contacts.mean() > 0.95
    ankles = [pair[0] for pair in FEET]
    before, after = (np.abs(np.diff(m.positions()[:, ankles], axis=0)).mean() for m in (slid, held))
    assert after < 0.2 * before
    assert sole_heights(held.positions()).min() > -0.005
    assert find_contacts(held).all(axis=1).mean() > 0.95


def test_a_rate_of_120_comes_out_at_60():
    segments, _ = clean(swaying(6.0, 120.0))
    assert segments[0].fps == FPS
    assert segments[0].seconds == pytest.approx(6.0, abs=0.1)
