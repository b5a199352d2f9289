"""Cutting, mirroring, placing and re-timing a motion keep what they should keep."""

import numpy as np

from dancerev.model import rotation
from dancerev.model.corpus.motion import Motion
from dancerev.model.skeleton import MIRROR


def walk(dancing):
    rotations, root = dancing.dance(np.arange(0.0, 12.0, 0.6), 6.0)
    contacts = np.stack([np.arange(len(root)) % 60 < 30, np.arange(len(root)) % 60 >= 30], axis=1).astype(float)
    return Motion(rotations, root, contacts, 60.0)


def test_resampling_down_takes_every_second_frame_and_up_comes_back(dancing):
    motion = walk(dancing)
    half = motion.resampled(30.0)
    np.testing.assert_allclose(half.root, motion.root[::2], atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(half.rotations * motion.rotations[::2], axis=-1)), 1.0, atol=1e-12)
    np.testing.assert_allclose(half.resampled(60.0).positions(), motion.positions()[: 2 * len(half) - 1], atol=1e-2)


def test_times_outside_are_held_at_the_ends(dancing):
    motion = walk(dancing)
    _, root, _ = motion.at(np.array([-1.0, 99.0]))
    np.testing.assert_allclose(root, motion.root[[0, -1]])


def test_mirroring_twice_changes_nothing_and_once_exchanges_the_feet(dancing):
    motion = walk(dancing)
    mirrored = motion.mirrored()
    np.testing.assert_allclose(mirrored.contacts, motion.contacts[:, ::-1])
    np.testing.assert_allclose(mirrored.positions()[:, list(MIRROR)], motion.positions() * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(mirrored.mirrored().positions(), motion.positions(), atol=1e-9)


def test_placing_turns_about_the_centre_and_moves_it_home(dancing):
    motion = walk(dancing)
    placed = motion.placed(0.7, motion.root[10, [0, 2]])
    np.testing.assert_allclose(placed.root[10, [0, 2]], 0.0, atol=1e-12)
    turned = rotation.yaw_of(placed.rotations[:, 0]) - rotation.yaw_of(motion.rotations[:, 0])
    np.testing.assert_allclose(np.angle(np.exp(1j * turned)), 0.7, atol=1e-6)
    distance = np.linalg.norm(motion.positions() - motion.root[10] * [1, 0, 1], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(placed.positions(), axis=-1), distance, atol=1e-9)
