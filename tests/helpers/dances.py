"""Synthetic dances: motion with known beats."""

import numpy as np

from dancerev.model import pose, rotation
from dancerev.model.bvh import write_bvh
from dancerev.model.skeleton import INDEX


def dance(beats, seconds, fps=60.0, seed=0):
    """Rotations (T, 22, 4) and root (T, 3): arms and trunk swing between beats and rest on them; the dancer walks."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    count = np.interp(time, beats, np.arange(len(beats)))
    swing = count - np.sin(2 * np.pi * count) / (2 * np.pi)
    angle = rng.uniform(0.6, 1.0) * np.cos(np.pi * swing)
    rotations = np.tile(pose.rest_pose().rotations.astype(float), (len(time), 1, 1))
    for bone in ("LeftUpperArm", "RightUpperArm", "Spine"):
        turn = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), angle)
        rotations[:, INDEX[bone]] = rotation.multiply(turn, rotations[:, INDEX[bone]])
    heading = 0.5 * np.sin(0.3 * time)
    rotations[:, 0] = rotation.multiply(rotation.from_yaw(heading), rotations[:, 0])
    root = np.tile(pose.rest_pose().root.astype(float), (len(time), 1))
    root[:, 0] += 0.3 * np.sin(0.4 * time)
    return rotations, root


def write_dance(path, seconds=20.0, period=0.6, seed=0):
    """Write a BVH file of such a dance whose beats come about every ``period`` seconds."""
    rng = np.random.default_rng(seed)
    beats = np.concatenate([[0.0], np.cumsum(period * rng.uniform(0.92, 1.08, size=int(seconds / period) + 4))])
    write_bvh(path, *dance(beats, seconds, seed=seed), 60.0)
