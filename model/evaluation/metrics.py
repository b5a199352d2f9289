"""How good a dance is, in numbers: beat alignment, distance to real dance, diversity, physics of the feet.

All functions take joint positions (T, J, 3) in world metres with Y up, at ``fps`` frames a second; J is our 22 bones
unless said otherwise. Numbers depend on the frame rate, the joints and the window: compare only numbers of one
run of this implementation, with both sides brought to the same frame rate before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .. import rotation
from ..curves import catmull_rom
from ..kinematic_beats import (
    beat_alignment,
    chance_alignment,
    dance_levels,
    joint_speed,
    kinematic_beats,
    motion_to_music_alignment,
    smooth,
)
from ..skeleton import ANKLE_HEIGHT, FEET, INDEX, TOE_HEIGHT

Array = npt.NDArray[Any]

RESTART = 2.0
"""Seconds after a silence in which a dancer may still be at rest."""

CLIP_SECONDS, CLIP_HOP = 5.0, 2.5
"""Length and distance in seconds of the clips whose features are compared."""


# --- one dance -----------------------------------------------------------------------------------------------------


def music_plays(seconds: Array, silences: Array | None) -> Array:
    """(N,) bool: which of ``seconds`` (N,) are in none of the ``silences`` (S, 2), nor within RESTART after one."""
    plays = np.ones(len(seconds), dtype=bool)
    for begin, end in [] if silences is None else silences:
        plays &= (seconds < begin) | (seconds >= end + RESTART)
    return plays


def freezing(positions: Array, fps: float, silences: Array | None = None) -> float:
    """Share of the 1 s windows (one from every frame on) in which the mean joint speed is below 0.05 m/s.

    Only windows in which music plays count: none that touches one of the ``silences`` (S, 2), start and stop in
    seconds, or the :data:`RESTART` after it. NaN when no window is left.
    """
    speed = joint_speed(positions, fps).mean(axis=1)
    width = min(max(round(fps), 1), len(speed))
    total = np.cumsum(np.concatenate([[0.0], speed]))
    frozen = (total[width:] - total[:-width]) / width < 0.05
    start = np.arange(len(frozen)) / fps
    for begin, end in [] if silences is None else silences:
        outside = (start + width / fps <= begin) | (start >= end + RESTART)
        frozen, start = frozen[outside], start[outside]
    return float(np.mean(frozen)) if len(frozen) else float("nan")


def foot_skating(positions: Array, fps: float) -> float:
    """Share of the frames with a foot on the floor in which it slides (Lodge, CVPR 2024); 0 when none ever is.

    At 30 fps: a foot is on the floor while its ankle is at most 0.08 m and its toe joint at most 0.05 m high; it
    slides when the middle between the two moves more than 0.01 m horizontally in a frame.
    """
    positions = resample(positions, fps, 30.0)
    grounded = slides = 0
    for ankle, toe in FEET:
        down = (positions[1:, ankle, 1] <= 0.08) & (positions[1:, toe, 1] <= 0.05)
        middle = 0.5 * (positions[:, ankle] + positions[:, toe])[:, [0, 2]]
        grounded += int(down.sum())
        slides += int(np.sum(down & (np.linalg.norm(np.diff(middle, axis=0), axis=-1) > 0.01)))
    return slides / grounded if grounded else 0.0


def physical_foot_contact(positions: Array, fps: float) -> float:
    """PFC (EDGE, CVPR 2023), at 30 fps: the body should accelerate only while a foot stands.

    10⁴ × mean over frames of the slower end's horizontal displacement of the left foot × that of the right × the
    root's acceleration (downward part taken out) over its maximum.
    """
    positions = resample(positions, fps, 30.0)
    acceleration = np.diff(positions[:, 0], n=2, axis=0) * 30.0**2
    acceleration[:, 1] = np.maximum(acceleration[:, 1], 0.0)
    push = np.linalg.norm(acceleration, axis=-1)
    if len(push) == 0 or push.max() == 0.0:
        return 0.0
    moved = np.linalg.norm(np.diff(positions[1:], axis=0)[..., [0, 2]], axis=-1)
    left, right = (moved[:, list(foot)].min(axis=1) for foot in FEET)
    return float(1e4 * np.mean(left * right * push / push.max()))


def turned_away(positions: Array, fps: float) -> tuple[float, float]:
    """How long the dancer turns its back to the audience, which is towards +Z.

    Returns:
        share of the frames in which the shoulders are turned more than 110° from the audience, and the seconds of the
        longest such stretch.
    """
    across = positions[:, INDEX["LeftUpperArm"]] - positions[:, INDEX["RightUpperArm"]]
    away = np.abs(np.arctan2(-across[:, 2], across[:, 0])) > np.deg2rad(110.0)
    return float(away.mean()), _longest(away) / fps


def levitation(positions: Array, fps: float) -> float:
    """Share of the frames in which the body hangs in the air.

    At 30 fps: both soles are more than 3 cm above the floor, while over a tenth of a second the hips do not accelerate
    downwards by at least half of what a body in flight does.
    """
    positions = resample(positions, fps, 30.0)
    if len(positions) < 5:
        return 0.0
    fall = np.diff(smooth(positions[:, 0, 1], 1.0), n=2) * 30.0**2
    soles = np.minimum(
        positions[:, [foot[0] for foot in FEET], 1] - ANKLE_HEIGHT,
        positions[:, [foot[1] for foot in FEET], 1] - TOE_HEIGHT,
    )
    floats = (soles.min(axis=1)[1:-1] > 0.03) & (fall > -9.81 / 2.0)
    return float(floats.mean())


def contact_slip(positions: Array, contacts: Array, fps: float) -> float:
    """Share of the frames flagged as contact, (T, 2) from 0.5, whose toe moves faster than 0.3 m/s; 0 without any."""
    toes = positions[:, [foot[1] for foot in FEET]][..., [0, 2]]
    speed = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * fps
    planted = (contacts[1:] >= 0.5) & (contacts[:-1] >= 0.5)
    return float((speed[planted] > 0.3).mean()) if planted.any() else 0.0


def _longest(mask: Array) -> int:
    """Frames of the longest stretch in which ``mask`` (T,) holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def stage_radius(positions: Array) -> float:
    """Metres: farthest horizontal distance of the hips from the origin."""
    return float(np.linalg.norm(positions[:, 0][:, [0, 2]], axis=-1).max())


def floor_penetration(positions: Array) -> float:
    """Metres below the floor of the lowest joint, 99th percentile over frames; 0 when above."""
    return max(0.0, -float(np.percentile(positions[..., 1].min(axis=1), 1.0)))


def self_similarity(positions: Array, fps: float, longest: float = 30.0) -> tuple[Array, Array]:
    """How much the dance at one time is like the dance some time later.

    Returns:
        lags (L,) in seconds, up to ``longest`` or half the dance, and the correlation (L,) of the joint positions,
        taken in the facing frame, with themselves that much later: 1 for an exact loop, about 0 for unlike poses.
    """
    local = _facing_frame(np.asarray(positions, dtype=np.float64)).reshape(len(positions), -1)
    local = local - local.mean(axis=0)
    frames = len(local)
    count = min(int(longest * fps), frames // 2) + 1
    spectrum = np.fft.rfft(local, 2 * frames, axis=0)
    products = np.fft.irfft(np.sum(np.abs(spectrum) ** 2, axis=1))[:count]
    squares = np.concatenate([[0.0], np.cumsum(np.sum(local**2, axis=1))])
    lag = np.arange(count)
    energy = np.sqrt(squares[frames - lag] * (squares[frames] - squares[lag]))
    return lag / fps, products / np.maximum(energy, 1e-12)


def shortest_loop(positions: Array, fps: float, longest: float = 30.0, likeness: float = 0.95) -> float | None:
    """Seconds after which the dance repeats itself, or None when it does not within ``longest``.

    The first lag of at least 1 s at which :func:`self_similarity` peaks above ``likeness``.
    """
    lags, similar = self_similarity(positions, fps, longest)
    for i in range(max(int(fps), 1), len(lags) - 1):
        if similar[i] >= likeness and similar[i] >= similar[i - 1] and similar[i] >= similar[i + 1]:
            return float(lags[i])
    return None


def _facing_frame(positions: Array) -> Array:
    """Positions relative to the hips, turned so that the line of the hip joints lies along X."""
    across = positions[:, INDEX["LeftUpperLeg"]] - positions[:, INDEX["RightUpperLeg"]]
    length = np.maximum(np.hypot(across[:, 0], across[:, 2]), 1e-9)
    cosine, sine = (across[:, 0] / length)[:, None], (across[:, 2] / length)[:, None]
    local = positions - positions[:, :1]
    x, z = rotation.turn_floor(local[..., 0], local[..., 2], sine, cosine)
    return np.stack([x, local[..., 1], z], axis=-1)


def evaluate_dance(
    positions: Array,
    fps: float,
    beats: Array | None = None,
    silences: Array | None = None,
    contacts: Array | None = None,
) -> dict[str, float]:
    """Every metric of one dance on its own.

    Args:
        positions: (T, 22, 3) world metres, T ≥ 2; frame i at i / ``fps`` seconds.
        fps: frames per second.
        beats: (N,) seconds, the music's true beats on the same clock; without them no beat metric.
        silences: (S, 2) start and stop in seconds of where no music plays; see :func:`music_plays`.
        contacts: (T, 2) left and right foot planted, where it is known.

    Returns:
        name → value: with ``beats``, ``bas`` (music to motion), ``bas_chance``, ``bas_motion`` (motion to music), all
        0 … 1 and NaN where no beat falls into the dance, and ``repeats_8``, ``repeats_16`` and ``repeats_32``, the
        :func:`self_similarity` at as many dance beats (NaN where the dance is shorter than twice that); with
        ``contacts``, ``contact_slip``; always ``motion_beats`` per second; ``mean_speed`` (while music plays) and
        ``max_speed`` of the joints, m/s; ``freezing``, ``foot_skating`` (shares), ``pfc``; ``away``, ``longest_away``
        (s) and ``levitation``; ``stage_radius`` and ``floor_penetration``, metres; ``repetition``, the highest
        :func:`self_similarity` at lags from 2 to 30 s.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 3 or len(positions) < 2:
        raise ValueError(f"a dance needs at least two frames of joint positions, not an array of {positions.shape}")
    seconds = (len(positions) - 1) / fps
    steps = kinematic_beats(positions, fps)
    speed = joint_speed(positions, fps)
    dancing = speed[music_plays((np.arange(len(speed)) + 0.5) / fps, silences)]
    result: dict[str, float] = {}
    lags, similar = self_similarity(positions, fps)
    if beats is not None:
        result |= _beat_metrics(steps, np.asarray(beats, dtype=np.float64), seconds, lags, similar)
    if contacts is not None:
        result["contact_slip"] = contact_slip(positions, np.asarray(contacts), fps)
    away, longest_away = turned_away(positions, fps)
    result |= {
        "motion_beats": len(steps) / seconds,
        "mean_speed": float(dancing.mean()) if len(dancing) else float("nan"),
        "max_speed": float(speed.max()),
        "freezing": freezing(positions, fps, silences),
        "foot_skating": foot_skating(positions, fps),
        "pfc": physical_foot_contact(positions, fps),
        "away": away,
        "longest_away": longest_away,
        "levitation": levitation(positions, fps),
        "stage_radius": stage_radius(positions),
        "floor_penetration": floor_penetration(positions),
        "repetition": float(similar[lags >= 2.0].max(initial=-1.0)),
    }
    return result


def _beat_metrics(steps: Array, beats: Array, seconds: float, lags: Array, similar: Array) -> dict[str, float]:
    """Compare the kinematic beats ``steps`` of a dance of ``seconds`` with the music's, and the dance with itself."""
    inside = beats[(beats >= 0.0) & (beats <= seconds)]
    result = {
        "bas": beat_alignment(steps, inside),
        "bas_chance": chance_alignment(steps, inside, seconds),
        "bas_motion": motion_to_music_alignment(steps, inside),
    }
    if len(inside) > 1:
        period = float(np.median(np.diff(dance_levels(inside)[0])))
        for count in (8, 16, 32):
            known = count * period <= lags[-1]
            result[f"repeats_{count}"] = float(np.interp(count * period, lags, similar)) if known else float("nan")
    return result


# --- many dances -----------------------------------------------------------------------------------------------------

_SMPL: dict[str, str] = {
    "root": "Hips",
    "lhip": "LeftUpperLeg",
    "rhip": "RightUpperLeg",
    "belly": "Spine",
    "lknee": "LeftLowerLeg",
    "rknee": "RightLowerLeg",
    "spine": "Chest",
    "lankle": "LeftFoot",
    "rankle": "RightFoot",
    "chest": "UpperChest",
    "ltoes": "LeftToes",
    "rtoes": "RightToes",
    "neck": "Neck",
    "linshoulder": "LeftShoulder",
    "rinshoulder": "RightShoulder",
    "head": "Head",
    "lshoulder": "LeftUpperArm",
    "rshoulder": "RightUpperArm",
    "lelbow": "LeftLowerArm",
    "relbow": "RightLowerArm",
    "lwrist": "LeftHand",
    "rwrist": "RightHand",
}
_SMPL_INDEX = {name: i for i, name in enumerate([*_SMPL, "lhand", "rhand"])}
_HAND = 0.08  # metres from the wrist to SMPL's hand joint


def smpl_joints(positions: Array) -> Array:
    """Return the 24 joints of SMPL (T, 24, 3) from our 22; the hands lie on beyond the wrists, along the forearms."""
    positions = np.asarray(positions, dtype=np.float64)
    hands = []
    for side in ("Left", "Right"):
        elbow, wrist = positions[:, INDEX[side + "LowerArm"]], positions[:, INDEX[side + "Hand"]]
        forearm = wrist - elbow
        hands.append(wrist + _HAND * forearm / np.maximum(np.linalg.norm(forearm, axis=-1, keepdims=True), 1e-9))
    return np.concatenate([positions[:, [INDEX[bone] for bone in _SMPL.values()]], np.stack(hands, axis=1)], axis=1)


def resample(positions: Array, fps: float, to: float) -> Array:
    """Return the positions (T, J, 3) at ``to`` frames a second, along Catmull-Rom splines; as they are at that rate."""
    positions = np.asarray(positions, dtype=np.float64)
    if fps == to or len(positions) < 2:
        return positions
    last = len(positions) - 1
    place = np.arange(int(np.floor(last * to / fps + 1e-6)) + 1) * fps / to
    first = np.clip(place.astype(int), 0, last - 1)
    return catmull_rom(positions, first, place - first)


def kinetic_features(joints: Array, fps: float = 60.0) -> Array:
    """Return the (3J,) kinetic features of a clip (Onuma et al., Eurographics 2008, as in fairmotion and AIST++).

    For each joint: mean square horizontal and vertical velocity and mean acceleration, each velocity and
    acceleration averaged over a window of five frames.

    Args:
        joints: (T, J, 3) metres; 24 SMPL joints give the field's 72 features.
        fps: its frame rate; the field's is 60.
    """
    velocity = np.diff(np.asarray(joints, dtype=np.float64), axis=0) * fps
    acceleration = np.diff(velocity, axis=0) * fps
    mean_velocity, mean_acceleration = _window_mean(velocity), _window_mean(acceleration)
    horizontal = np.mean(np.sum(mean_velocity[..., [0, 2]] ** 2, axis=-1), axis=0)
    vertical = np.mean(mean_velocity[..., 1] ** 2, axis=0)
    energy = np.mean(np.linalg.norm(mean_acceleration, axis=-1), axis=0)
    return np.stack([horizontal, vertical, energy], axis=-1).reshape(-1)


def _window_mean(values: Array, reach: int = 2) -> Array:
    """Mean over the frames up to ``reach`` before and after each, as many as there are."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    frame = np.arange(len(values))
    start, stop = np.maximum(frame - reach, 0), np.minimum(frame + reach + 1, len(values))
    return (total[stop] - total[start]) / (stop - start).reshape(-1, *[1] * (values.ndim - 1))


# Lengths in metres of SMPL's mean body by which the geometric features are scaled.
_UPPER_ARM, _SHOULDERS, _HIPS = 0.25684, 0.39085, 0.11925
_FEATURE_RATE = 120.0  # the rate by which published code turns displacements into velocities, whatever the true one

# The geometric features: kind, four joints (or points), and the threshold, or range of degrees.
#   move   velocity of the third relative to the first along first → second
#   nmove  velocity of the fourth relative to the first along the normal of the plane of the first three
#   plane  distance of the fourth from the plane through the first three
#   nplane distance of the fourth from the plane through the third whose normal is first → second
#   angle  angle between first → second and third → fourth
#   fast   speed of the first
_GEOMETRIC: tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...] = (
    ("nmove", ("neck", "rhip", "lhip", "rwrist"), (1.8 * _UPPER_ARM,)),
    ("nmove", ("neck", "lhip", "rhip", "lwrist"), (1.8 * _UPPER_ARM,)),
    ("nplane", ("chest", "neck", "neck", "rwrist"), (0.2 * _UPPER_ARM,)),
    ("nplane", ("chest", "neck", "neck", "lwrist"), (0.2 * _UPPER_ARM,)),
    # Published with a wrist as the fourth joint, right and left, which a move does not read: both are the same.
    ("move", ("belly", "chest", "chest"), (1.8 * _UPPER_ARM,)),
    ("move", ("belly", "chest", "chest"), (1.8 * _UPPER_ARM,)),
    ("angle", ("relbow", "rshoulder", "relbow", "rwrist"), (0.0, 110.0)),
    ("angle", ("lelbow", "lshoulder", "lelbow", "lwrist"), (0.0, 110.0)),
    ("nplane", ("lshoulder", "rshoulder", "lwrist", "rwrist"), (2.5 * _SHOULDERS,)),
    ("move", ("lwrist", "rwrist", "rwrist"), (1.4 * _UPPER_ARM,)),
    ("move", ("rwrist", "root", "lwrist"), (1.4 * _UPPER_ARM,)),
    ("move", ("lwrist", "root", "rwrist"), (1.4 * _UPPER_ARM,)),
    ("fast", ("rwrist",), (2.5 * _UPPER_ARM,)),
    ("fast", ("lwrist",), (2.5 * _UPPER_ARM,)),
    ("plane", ("root", "lhip", "ltoes", "rankle"), (0.38 * _UPPER_ARM,)),
    ("plane", ("root", "rhip", "rtoes", "lankle"), (0.38 * _UPPER_ARM,)),
    ("nplane", ("zero", "up", "lowest", "rankle"), (1.2 * _UPPER_ARM,)),
    ("nplane", ("zero", "up", "lowest", "lankle"), (1.2 * _UPPER_ARM,)),
    ("nplane", ("lhip", "rhip", "lankle", "rankle"), (2.1 * _HIPS,)),
    ("angle", ("rknee", "rhip", "rknee", "rankle"), (0.0, 110.0)),
    ("angle", ("lknee", "lhip", "lknee", "lankle"), (0.0, 110.0)),
    ("fast", ("rankle",), (2.5 * _UPPER_ARM,)),
    ("fast", ("lankle",), (2.5 * _UPPER_ARM,)),
    ("angle", ("neck", "root", "rshoulder", "relbow"), (25.0, 180.0)),
    ("angle", ("neck", "root", "lshoulder", "lelbow"), (25.0, 180.0)),
    ("angle", ("neck", "root", "rhip", "rknee"), (50.0, 180.0)),
    ("angle", ("neck", "root", "lhip", "lknee"), (50.0, 180.0)),
    ("plane", ("rankle", "neck", "lankle", "root"), (0.5 * _UPPER_ARM,)),
    ("angle", ("neck", "root", "zero", "up"), (70.0, 110.0)),
    ("nplane", ("zero", "down", "lowest", "rwrist"), (-1.2 * _UPPER_ARM,)),
    ("nplane", ("zero", "down", "lowest", "lwrist"), (-1.2 * _UPPER_ARM,)),
    ("fast", ("root",), (2.3 * _UPPER_ARM,)),
)


def geometric_features(joints: Array) -> Array:
    """Return the (32,) geometric features of a clip: how often each of 32 relations between joints holds.

    The relations are those of Müller, Röder and Clausen (SIGGRAPH 2005) as chosen in fairmotion and AIST++
    ("manual" features), with the thresholds used there. Velocities are reckoned as if there were 120 frames a
    second, as published figures do, though the clips have 60.

    Args:
        joints: (T, 24, 3) metres, the joints of SMPL at 60 fps.
    """
    joints = np.asarray(joints, dtype=np.float64)
    lowest = np.zeros((len(joints), 3))
    lowest[:, 1] = joints[..., 1].min(axis=1)
    points = {name: joints[:, i] for name, i in _SMPL_INDEX.items()}
    points |= {"zero": np.zeros_like(lowest), "lowest": lowest}
    points |= {name: np.tile([0.0, y, 0.0], (len(joints), 1)) for name, y in (("up", 1.0), ("down", -1.0))}
    with np.errstate(invalid="ignore", divide="ignore"):  # a relation without a direction does not hold
        return np.array(
            [np.mean(_holds(kind, [points[name] for name in names], limits)[1:]) for kind, names, limits in _GEOMETRIC]
        )


def _holds(kind: str, points: list[Array], limits: tuple[float, ...]) -> Array:
    """(T,) whether the relation holds; of the first frame, which has no velocity, unspecified."""
    if kind == "fast":
        return np.linalg.norm(_velocity(points[0]), axis=-1) > limits[0]
    a, b, c = points[:3]
    if kind == "move":
        return _along(_velocity(c - a), b - a) > limits[0]
    d = points[3]
    if kind == "nmove":
        return _along(_velocity(d - a), np.cross(c - a, b - a)) > limits[0]
    if kind == "plane":
        return _along(d - a, np.cross(c - a, b - a)) > limits[0]
    if kind == "nplane":
        return _along(d - c, b - a) > limits[0]
    angle = np.degrees(np.arccos(_along(d - c, b - a) / np.linalg.norm(d - c, axis=-1)))
    return (angle > limits[0]) & (angle < limits[1])


def _velocity(points: Array) -> Array:
    return np.diff(points, axis=0, prepend=points[:1]) * _FEATURE_RATE


def _along(vector: Array, direction: Array) -> Array:
    return np.sum(vector * direction, axis=-1) / np.linalg.norm(direction, axis=-1)


def clip_features(positions: Array, fps: float) -> tuple[Array, Array]:
    """Kinetic (N, 72) and geometric (N, 32) features of the clips of one dance (T, 22, 3).

    The dance is brought to 60 fps and cut into clips of :data:`CLIP_SECONDS`, one every :data:`CLIP_HOP`; each begins
    with the root at the origin. A dance shorter than a clip is one clip.
    """
    joints = smpl_joints(resample(positions, fps, 60.0))
    length, hop = int(60 * CLIP_SECONDS), int(60 * CLIP_HOP)
    starts = range(0, max(len(joints) - length, 0) + 1, hop)
    clips = [joints[start : start + length] - joints[start, 0] for start in starts]
    return np.stack([kinetic_features(clip) for clip in clips]), np.stack([geometric_features(clip) for clip in clips])


def frechet_distance(a: Array, b: Array, eps: float = 1e-5) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features (N, D) and (M, D), N and M ≥ 2.

    ``eps`` is added to the variances, for sets smaller than their dimension (Heusel et al., NeurIPS 2017).
    """
    mean = np.mean(a, axis=0) - np.mean(b, axis=0)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) + eps * np.eye(x.shape[1]) for x in (a, b))
    # The trace of the root of the product, by the symmetric matrix similar to it: its eigenvalues are real.
    values, vectors = np.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance_b @ root), 0.0)).sum()
    return float(mean @ mean + np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * shared)


def diversity(features: Array) -> float:
    """Mean distance between two of the feature vectors (N, D), N ≥ 2."""
    squares = np.sum(features**2, axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * features @ features.T, 0.0))
    np.fill_diagonal(distance, 0.0)
    return float(distance.sum() / (len(features) * (len(features) - 1)))


def compare_dances(made: list[tuple[Array, float]], real: list[tuple[Array, float]]) -> dict[str, float]:
    """FID_k, FID_g, Div_k, Div_g of a set of dances against a set of real ones.

    Args:
        made: dances to judge, each positions (T, 22, 3) and fps; together at least two clips.
        real: the dances to compare with.

    Returns:
        ``fid_k``, ``fid_g``, ``div_k``, ``div_g``, and ``div_k_real``, ``div_g_real`` of the real dances.
        Both sets are z-scored by the mean and the standard deviation + 1e-10 of the real one. A feature that is the
        same in all real clips has no scale and is left out, else the 1e-10 would rule the result.
    """
    result = {}
    features = [[clip_features(*dance) for dance in dances] for dances in (made, real)]
    if min(sum(len(kinetic) for kinetic, _ in dances) for dances in features) < 2:  # there may be none at all
        raise InputError(f"too little dance to compare: at least {CLIP_SECONDS + CLIP_HOP:g} s on both sides")
    for kind, name in enumerate("kg"):
        ours, theirs = (np.concatenate([feature[kind] for feature in one]) for one in features)
        varied = theirs.std(axis=0) > 1e-9
        ours, theirs = ours[:, varied], theirs[:, varied]
        mean, scale = theirs.mean(axis=0), theirs.std(axis=0) + 1e-10
        ours, theirs = (ours - mean) / scale, (theirs - mean) / scale
        result[f"fid_{name}"] = frechet_distance(ours, theirs)
        result[f"div_{name}"] = diversity(ours)
        result[f"div_{name}_real"] = diversity(theirs)
    return result
