"""The evaluation of AIST++ dances as Bailando (Siyao et al., CVPR 2022) published it, for numbers that can be compared.

It differs from :mod:`~dancerev.model.evaluation.metrics`: one feature vector for the first 20 s of each dance instead
of 5 s clips, no feature left out, kinematic beats and the music's beats at whole frames of 60 fps, and every beat of
fast music counted. FACT, EDGE, Lodge and later papers report FID, diversity and beat alignment in this way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console

from dancerev.errors import InputError

from ..kinematic_beats import smooth
from .metrics import (
    diversity,
    frechet_distance,
    geometric_features,
    kinetic_features,
    physical_foot_contact,
    resample,
    smpl_joints,
)
from .table import print_table

Array = npt.NDArray[np.float64]

RATE = 60.0
"""Frames per second of AIST++ and of all that is compared with it."""
FRAMES = 1200
"""Frames of each dance whose features count."""
SMOOTHING, BEAT_WIDTH = 5.0, 3.0
"""Frames: standard deviation of the Gaussian over the joint speed, and σ of the beat alignment score."""

COLUMNS = ("fid_k", "fid_g", "div_k", "div_g", "bas", "pfc")


@dataclass(frozen=True)
class Movement:
    """One dance.

    Attributes:
        positions: (T, 22, 3) metres.
        fps: frames per second.
        beats: (N,) seconds, of its music; without them it has no beat alignment.
    """

    positions: Array
    fps: float
    beats: Array | None = None


def evaluate(made: list[Movement], real: list[Movement]) -> dict[str, float]:
    """Compare a set of dances with a set of real ones.

    Args:
        made: at least two.
        real: at least two; in the published numbers all of AIST++.

    Returns:
        ``fid_k``, ``fid_g``, ``div_k``, ``div_g``, ``bas`` and ``pfc`` of the dances made, and ``div_k_real``,
        ``div_g_real``, ``bas_real`` and ``pfc_real``. PFC is EDGE's (CVPR 2023). NaN where no dance has beats.

    Raises:
        InputError: there are fewer than two dances on a side.
    """
    if min(len(made), len(real)) < 2:
        raise InputError("the protocol compares at least two dances with at least two real ones")
    result: dict[str, float] = {}
    features = [[features_of(dance) for dance in dances] for dances in (made, real)]
    for kind, name in enumerate("kg"):
        ours, theirs = (np.stack([feature[kind] for feature in one]) for one in features)
        mean, scale = theirs.mean(axis=0), theirs.std(axis=0) + 1e-10
        ours, theirs = (ours - mean) / scale, (theirs - mean) / scale
        result[f"fid_{name}"] = frechet_distance(ours, theirs, eps=0.0)
        result[f"div_{name}"], result[f"div_{name}_real"] = diversity(ours), diversity(theirs)
    for suffix, dances in (("", made), ("_real", real)):
        scores = np.array([beat_alignment(dance) for dance in dances if dance.beats is not None])
        scores = scores[np.isfinite(scores)]
        result[f"bas{suffix}"] = float(scores.mean()) if len(scores) else float("nan")
        result[f"pfc{suffix}"] = float(np.mean([physical_foot_contact(dance.positions, dance.fps) for dance in dances]))
    return result


def features_of(dance: Movement) -> tuple[Array, Array]:
    """Kinetic (72,) and geometric (32,) features of the first FRAMES frames, relative to where the root begins."""
    joints = smpl_joints(resample(dance.positions, dance.fps, RATE))[:FRAMES]
    joints = joints - joints[0, 0]
    return kinetic_features(joints, RATE), geometric_features(joints)


def beat_alignment(dance: Movement) -> float:
    """Compute the beat alignment score, music to motion, of a dance with beats; NaN where none falls into it.

    Mean over the music's beats of exp(−d² / 2σ²), d in frames to the nearest kinematic beat.
    """
    assert dance.beats is not None
    joints = smpl_joints(resample(dance.positions, dance.fps, RATE))
    speed = smooth(np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(axis=1), SMOOTHING)
    motion = np.flatnonzero((speed[1:-1] < speed[:-2]) & (speed[1:-1] < speed[2:])) + 1
    music = np.unique(np.round(dance.beats * RATE).astype(int))
    music = music[(music >= 0) & (music < len(speed))]
    if not len(music):
        return float("nan")
    if not len(motion):
        return 0.0
    distance = np.abs(music[:, None] - motion).min(axis=1)
    return float(np.mean(np.exp(-0.5 * (distance / BEAT_WIDTH) ** 2)))


def print_groups(groups: dict[str, dict[str, float]], console: Console) -> None:
    """Print what :func:`evaluate` gives for each group, real dance below."""
    rows = {name: [_cell(values[column]) for column in COLUMNS] for name, values in groups.items()}
    real = next(iter(groups.values()))
    rows["real dance"] = [_cell(real.get(f"{column}_real", float("nan"))) for column in COLUMNS]
    print_table(console, "Bailando's protocol", ("FID_k", "FID_g", "Div_k", "Div_g", "BAS", "PFC"), rows)


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}" if abs(value) < 1.0 else f"{value:.2f}"
