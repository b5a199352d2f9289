"""A dance made by hand, with feet that stand exactly still while they are planted."""

import numpy as np

from dancerev.model import rotation
from dancerev.model.corpus.ik import place_ankles
from dancerev.model.pose import Pose
from dancerev.model.skeleton import ANKLE_HEIGHT, BONES, INDEX, REST_OFFSETS


def walk(seconds=4.0, fps=30):
    """Poses of a dancer who walks in a curve, sways, turns the trunk and swings the arms."""
    times = np.arange(round(seconds * fps)) / fps
    period = 1.0  # a step with each foot
    place = np.stack([0.5 * np.sin(0.4 * times), 0.35 * times], axis=1)
    phase = times[:, None] / period + np.array([0.0, 0.5])
    planted = phase % 1.0 < 0.6
    ankles = np.empty((len(times), 2, 3))
    for side, x in enumerate((0.1, -0.1)):
        start = np.floor(phase[:, side])
        swing = np.clip((phase[:, side] % 1.0 - 0.6) / 0.4, 0.0, 1.0)
        smooth = swing * swing * (3 - 2 * swing)
        here, there = ((start + offset - 0.5 * side + 0.3) * period for offset in (0.0, 1.0))
        at = (1 - smooth) * here + smooth * there
        ankles[:, side, 0] = 0.5 * np.sin(0.4 * at) + x
        ankles[:, side, 1] = ANKLE_HEIGHT + 0.12 * np.sin(np.pi * swing)
        ankles[:, side, 2] = 0.35 * at
    rotations = np.tile(rotation.IDENTITY, (len(times), 22, 1))
    sway = 0.12 * np.sin(2 * np.pi * times)
    for bone, axis, angle in (
        ("Hips", (0.0, 0.0, 1.0), sway),
        ("Chest", (0.0, 1.0, 0.0), 2 * sway),
        ("UpperChest", (1.0, 0.0, 0.0), 0.1 + 0.5 * sway),
        ("LeftUpperArm", (0.0, 0.0, 1.0), -1.2 + sway),
        ("RightUpperArm", (0.0, 0.0, 1.0), 1.2 + sway),
        ("LeftLowerArm", (0.0, 1.0, 0.0), -0.8 + 2 * sway),
        ("Head", (0.0, 1.0, 0.0), -2 * sway),
    ):
        rotations[:, INDEX[bone]] = rotation.from_axis_angle(np.array(axis), angle)
    root = np.stack([place[:, 0], 0.87 + 0.02 * np.sin(4 * np.pi * times), place[:, 1]], axis=1)
    flat = np.tile(rotation.IDENTITY, (len(times), 2, 1))
    rotations = place_ankles(rotations, root, ankles, flat).astype(np.float32)
    assert rotations.shape[1:] == (len(BONES), 4)
    assert REST_OFFSETS.shape == (len(BONES), 3)
    return [
        Pose(float(t), q, r.astype(np.float32), c.astype(np.float32))
        for t, q, r, c in zip(times, rotations, root, planted, strict=True)
    ]
