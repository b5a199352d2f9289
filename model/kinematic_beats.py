"""The beat in a movement: kinematic beats, and how well they fall on the beats of music. NumPy only.

A kinematic beat is a local minimum of the mean joint speed after Gaussian smoothing: the moment between two movements
(Li et al., ICCV 2021; Siyao et al., "Bailando", CVPR 2022). The corpus and the evaluation both use this definition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .features import FASTEST_STEP

Array = npt.NDArray[Any]

SMOOTHING = 1.0 / 12.0
"""Seconds: standard deviation of the Gaussian over the joint speed, 5 frames at 60 fps."""

BEAT_WIDTH = 0.05
"""Seconds: σ of the beat alignment score, 3 frames at 60 fps."""

_TIE = 1e-9  # m/s: two samples of a dip that differ by less are equal, whichever way a processor rounds


def joint_speed(positions: Array, fps: float) -> Array:
    """Speed (T - 1, J) in m/s of each joint of positions (T, J, 3) from frame to frame."""
    return np.linalg.norm(np.diff(np.asarray(positions, dtype=np.float64), axis=0), axis=-1) * fps


def smooth(signal: Array, sigma: float) -> Array:
    """Smooth a signal (T,) with a Gaussian of ``sigma`` samples; the ends are mirrored."""
    reach = min(int(np.ceil(4.0 * sigma)), max(len(signal) - 1, 0))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(signal, reach, mode="symmetric"), kernel / kernel.sum(), mode="valid")


def kinematic_beats(positions: Array, fps: float, smoothing: float = SMOOTHING) -> Array:
    """Find the kinematic beats of a movement.

    Args:
        positions: (T, J, 3) metres.
        fps: frames per second.
        smoothing: seconds, of the Gaussian.

    Returns:
        (N,) rising seconds. A parabola through the neighbours refines each minimum, so that it means the same at 15 as
        at 60 fps; speed i belongs to the middle between frames i and i + 1.
    """
    return dips(joint_speed(positions, fps).mean(axis=1), fps, smoothing)[0]


def dips(speed: Array, fps: float, smoothing: float = SMOOTHING) -> tuple[Array, Array]:
    """Find the local minima of a speed (T - 1,) in m/s between frames.

    Returns:
        (N,) rising seconds, and (N,) how pronounced each is, 0 … 1: fully when the speed rises by its mean to the
        nearer side's maximum.
    """
    speed = smooth(speed, smoothing * fps)
    if len(speed) < 3:
        return np.zeros(0), np.zeros(0)
    slope = _slopes(speed)
    at = np.flatnonzero((slope[:-1] < 0) & (slope[1:] > 0)) + 1
    peaks = np.flatnonzero((slope[:-1] > 0) & (slope[1:] < 0)) + 1
    edges = np.concatenate([[0], peaks, [len(speed) - 1]])
    side = np.clip(np.searchsorted(edges, at), 1, len(edges) - 1)
    depth = np.minimum(speed[edges[side - 1]], speed[edges[side]]) - speed[at]
    left, middle, right = speed[at - 1], speed[at], speed[at + 1]
    bend = np.maximum(left - 2.0 * middle + right, 1e-12)
    times = (at + 0.5 + np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) / fps
    return times, np.clip(depth / max(float(speed.mean()), 1e-3), 0.0, 1.0)


def _slopes(signal: Array) -> Array:
    """Sign (T - 1,) of the change from each sample of (T,) to the next; equal samples go as the next change does."""
    slope = np.diff(signal)
    slope = np.where(np.abs(slope) < _TIE, 0.0, np.sign(slope))
    index = np.where(slope != 0.0, np.arange(len(slope)), len(slope))
    following = np.minimum.accumulate(index[::-1])[::-1]
    return np.append(slope, -1.0)[following]


def alignment(beats: Array, to: Array) -> float:
    """Mean over ``beats`` (N,) of exp(-d²/2σ²), d the distance to the nearest of ``to`` (M,), both rising seconds.

    NaN without beats, 0 where ``to`` is empty.
    """
    if len(beats) == 0:
        return float("nan")
    if len(to) == 0:
        return 0.0
    after = np.searchsorted(to, beats)
    distance = np.minimum(
        np.abs(beats - to[np.maximum(after - 1, 0)]), np.abs(beats - to[np.minimum(after, len(to) - 1)])
    )
    return float(np.mean(np.exp(-0.5 * (distance / BEAT_WIDTH) ** 2)))


def dance_levels(beats: Array) -> list[Array]:
    """Return the beats (N,) that a dancer may step on: all, or above :data:`FASTEST_STEP` the odd and the even ones."""
    beats = np.asarray(beats, dtype=np.float64)
    if len(beats) > 2 and 60.0 / np.median(np.diff(beats)) > FASTEST_STEP:
        return [beats[0::2], beats[1::2]]
    return [beats]


def beat_alignment(motion_beats: Array, music_beats: Array) -> float:
    """Beat alignment score, music to motion (Bailando, EDGE), at the metrical level a dancer steps at; 0 … 1.

    Args:
        motion_beats: (M,) seconds, rising, of :func:`kinematic_beats`.
        music_beats: (N,) seconds, rising; of fast music the better of the two halves counts. NaN when there is none.
    """
    return max(alignment(level, motion_beats) for level in dance_levels(music_beats))


def motion_to_music_alignment(motion_beats: Array, music_beats: Array) -> float:
    """Beat alignment the other way round: mean over the motion's beats (FACT, AIST++; ICCV 2021)."""
    return max(alignment(motion_beats, level) for level in dance_levels(music_beats))


def chance_alignment(motion_beats: Array, music_beats: Array, seconds: float, draws: int = 100) -> float:
    """:func:`beat_alignment` when the music is shifted, round and round, by a random part of its ``seconds``.

    The mean over ``draws`` shifts, always the same ones.
    """
    shifts = np.random.default_rng(0).uniform(0.0, seconds, draws)
    scores = [
        max(alignment(np.sort((level + shift) % seconds), motion_beats) for level in dance_levels(music_beats))
        for shift in shifts
    ]
    return float(np.mean(scores))
