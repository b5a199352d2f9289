"""Motion capture made fit to learn from: faults mended or cut, the floor found, planted feet held still.

The order matters: :func:`mend` before anything measures speeds, :func:`level_floor` before contacts are
looked for and :func:`land` after it, :func:`hold_feet` last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from .. import rotation
from ..curves import smoothsteps
from ..skeleton import BONES, FEET
from .ik import place_ankles
from .motion import Motion, runs
from .retarget import sole_heights

Array = npt.NDArray[Any]

FPS = 60
"""Frames per second of cleaned motion."""

_FAST_BONES = ("Hand", "Foot", "Toes")
_ANGULAR_LIMIT, _FAST_ANGULAR_LIMIT = 28.0, 40.0  # rad/s; strikes and kicks in the martial takes reach 25
_MENDED_SPEED = 10.0  # rad/s at which a mended jump is bridged
_LONGEST_MEND = 0.4  # seconds
_SPEED_LIMIT = 15.0  # m/s: no joint of a dancer moves faster
_ROOT_SPEED_LIMIT = 6.0  # m/s
_SETTLING = 0.25  # seconds in which takes may still come out of an added T-pose
_SHORTEST = 2.5  # seconds of a segment worth keeping

_STILL_SPEED = 0.1  # m/s of the mean joint speed; below it nobody is dancing
_PAUSE_MARGIN = 0.25  # seconds of stillness that stay on either side
_PAUSE_RATE = 4.0

_FLOATING = 0.03  # metres above the floor from which on a sole is in the air
_GRAVITY = 9.81  # m/s²

_CONTACT_HEIGHT = 0.045  # metres of the lower end of the sole
_CONTACT_SPEED = 0.3  # m/s of its slower end
_CONTACT_SECONDS = 0.1
_CONTACT_DRIFT = 0.12  # metres within one plant, after which it counts as two


@dataclass
class Report:
    """What was done to one take.

    Attributes:
        seconds: length before cleaning.
        mended: bone-frames that were interpolated, by bone.
        cut: stretches (start, stop) in seconds that were dropped.
        paused: seconds by which pauses were shortened.
        floor_tilt: degrees taken out.
        floated: seconds in which no foot was on the floor though the body was not in flight.
        kept: seconds after cleaning.
    """

    seconds: float
    mended: dict[str, int] = field(default_factory=dict)
    cut: list[tuple[float, float]] = field(default_factory=list)
    paused: float = 0.0
    floor_tilt: float = 0.0
    floated: float = 0.0
    kept: float = 0.0


def clean(motion: Motion) -> tuple[list[Motion], Report]:
    """Return the usable segments of a retargeted take at :data:`FPS`, with contacts, and what was done."""
    report = Report(motion.seconds)
    segments = []
    for _, segment in _repaired(motion, report):
        segments.append(without_pauses(segment))
        report.paused += segment.seconds - segments[-1].seconds
    segments = [segment for segment in segments if segment.seconds >= _SHORTEST / 2]
    return _on_floor(segments, report), report


def clean_in_time(motion: Motion) -> tuple[list[tuple[float, Motion]], Report]:
    """As :func:`clean`, for a take with its own music: pauses stay, and each segment has its start in seconds."""
    report = Report(motion.seconds)
    repaired = _repaired(motion, report)
    segments = _on_floor([segment for _, segment in repaired], report)
    return list(zip([start for start, _ in repaired], segments, strict=True)), report


def _repaired(motion: Motion, report: Report) -> list[tuple[float, Motion]]:
    """Start in seconds and motion at :data:`FPS` of the segments between what cannot be mended."""
    motion, broken = mend(motion, report)
    report.cut = [(round(a / motion.fps, 2), round(b / motion.fps, 2)) for a, b in runs(broken)]
    return [
        (start / motion.fps, smoothed(motion.cut(start, stop).resampled(FPS)))
        for start, stop in runs(~broken)
        if (stop - start) / motion.fps >= _SHORTEST
    ]


def _on_floor(segments: list[Motion], report: Report) -> list[Motion]:
    if segments:
        segments, report.floor_tilt = level_floor(segments)
    report.kept = sum(segment.seconds for segment in segments)
    landed = [land(segment) for segment in segments]
    report.floated = sum(seconds for _, seconds in landed)
    return [hold_feet(segment) for segment, _ in landed]


def mend(motion: Motion, report: Report) -> tuple[Motion, Array]:
    """Bridges flips and spikes bone by bone.

    Returns:
        the mended motion, and (T,) bool: frames that could not be mended and are to be cut.
    """
    rotations, root = motion.rotations.copy(), motion.root.copy()
    broken = np.zeros(len(root), dtype=bool)
    start = _end_of_start(motion)
    broken[:start] = True
    for bone, name in enumerate(BONES):
        limit = _FAST_ANGULAR_LIMIT if name.endswith(_FAST_BONES) else _ANGULAR_LIMIT
        steps = _angle(rotations[1:, bone], rotations[:-1, bone])
        for first, last in _groups(np.flatnonzero(steps * motion.fps > limit), round(0.1 * motion.fps)):
            if last < start:
                continue
            a, b = max(first - 1, start), min(last + 2, len(root) - 1)
            # A lasting jump is given the time that it would take at a human speed.
            wide = _angle(rotations[a, bone], rotations[b, bone]) / _MENDED_SPEED * motion.fps
            widen = max(0, int(np.ceil((wide - (b - a)) / 2)))
            a, b = max(a - widen, start), min(b + widen, len(root) - 1)
            if (b - a) / motion.fps > _LONGEST_MEND:
                broken[a : b + 1] = True
                continue
            t = np.linspace(0.0, 1.0, b - a + 1)
            rotations[a : b + 1, bone] = rotation.slerp(
                rotations[a, bone][None], rotations[b, bone][None], smoothsteps(t)
            )
            report.mended[name] = report.mended.get(name, 0) + b - a - 1
    jumps = np.linalg.norm(np.diff(root, axis=0), axis=-1) * motion.fps > _ROOT_SPEED_LIMIT
    for first, last in _groups(np.flatnonzero(jumps), round(0.1 * motion.fps)):
        a, b = max(first - 1, start), min(last + 2, len(root) - 1)
        if b <= a:
            continue
        if (b - a) / motion.fps > _LONGEST_MEND:
            broken[a : b + 1] = True
            continue
        root[a : b + 1] = root[a] + np.linspace(0.0, 1.0, b - a + 1)[:, None] * (root[b] - root[a])
        report.mended["root"] = report.mended.get("root", 0) + b - a - 1
    mended = replace(motion, rotations=rotations, root=root)
    speed = np.linalg.norm(np.diff(mended.positions(), axis=0), axis=-1).max(axis=1) * motion.fps
    margin = round(0.1 * motion.fps)
    for frame in np.flatnonzero(speed > _SPEED_LIMIT):
        broken[max(frame - margin, 0) : frame + margin + 2] = True
    return mended, broken


def _end_of_start(motion: Motion) -> int:
    """First frame after the added T-pose and what leads out of it: the takes begin with up to five such frames."""
    look = round(_SETTLING * motion.fps)
    speed = np.linalg.norm(np.diff(motion.positions()[: look + 1], axis=0), axis=-1).max(axis=1) * motion.fps
    fast = np.flatnonzero(speed > 8.0)
    return int(fast[-1]) + 4 if len(fast) else 1


def _angle(a: Array, b: Array) -> Array:
    return np.asarray(2.0 * np.arccos(np.clip(np.abs(np.sum(a * b, axis=-1)), 0.0, 1.0)))


def _groups(indices: Array, gap: int) -> list[tuple[int, int]]:
    """(first, last) of the groups of rising ``indices`` that lie no further apart than ``gap``."""
    groups: list[tuple[int, int]] = []
    for index in indices.tolist():
        if groups and index - groups[-1][1] <= gap:
            groups[-1] = (groups[-1][0], index)
        else:
            groups.append((index, index))
    return groups


def smoothed(motion: Motion, seconds: float = 0.02) -> Motion:
    """Return the motion without the markers' jitter: a Gaussian of that many seconds over rotations and root."""
    signs = np.where(np.sum(motion.rotations[1:] * motion.rotations[:-1], axis=-1) < 0.0, -1.0, 1.0)
    signs = np.concatenate([np.ones((1, len(BONES))), np.cumprod(signs, axis=0)])
    sigma = seconds * motion.fps
    rotations = gaussian_filter1d(motion.rotations * signs[..., None], sigma, axis=0, mode="nearest")
    root = gaussian_filter1d(motion.root, sigma, axis=0, mode="nearest")
    return replace(motion, rotations=rotation.normalize(rotations), root=root)


def without_pauses(motion: Motion) -> Motion:
    """Return the motion without pauses at its start and end; those within are played four times as fast."""
    speed = np.linalg.norm(np.gradient(motion.positions(), axis=0), axis=-1).mean(axis=1) * motion.fps
    still = gaussian_filter1d(speed, 0.1 * motion.fps, mode="nearest") < _STILL_SPEED
    margin = round(_PAUSE_MARGIN * motion.fps)
    rate = np.ones(len(motion))
    first, last = 0, len(motion)
    for start, stop in runs(still):
        if start == 0:
            first = max(stop - margin, 0)
        elif stop == len(motion):
            last = min(start + margin, len(motion))
        elif stop - start > 2 * margin:
            rate[start + margin : stop - margin] = _PAUSE_RATE
    if last - first < 2:
        return motion.cut(0, 1)
    rate = gaussian_filter1d(rate, 0.08 * motion.fps, mode="nearest")[first:last]
    played = np.concatenate([[0.0], np.cumsum(1.0 / rate[:-1])])
    frames = np.interp(np.arange(int(played[-1]) + 1), played, np.arange(first, last))
    return Motion(*motion.at(frames / motion.fps), motion.fps)


def level_floor(segments: list[Motion]) -> tuple[list[Motion], float]:
    """Put the floor under the planted feet of a take at height 0, tilt included; also returns the tilt in degrees."""
    points, heights = [], []
    for segment in segments:
        positions = segment.positions()
        soles = sole_heights(positions)
        lower = soles.argmin(axis=1)
        ankles = positions[:, [pair[0] for pair in FEET]]
        speed = np.linalg.norm(np.gradient(ankles, axis=0), axis=-1) * segment.fps
        frames = np.arange(len(segment))
        still = speed[frames, lower] < 0.3
        points.append(ankles[frames, lower][still][:, [0, 2]])
        heights.append(soles[frames, lower][still])
    place, height = np.concatenate(points), np.concatenate(heights)
    if len(height) < 20:
        return segments, 0.0
    plane = _fit_plane(place, height)
    levelled = []
    for segment in segments:
        root = segment.root.copy()
        root[:, 1] -= plane[0] + root[:, [0, 2]] @ plane[1:]
        levelled.append(replace(segment, root=root))
    return levelled, float(np.rad2deg(np.arctan(np.hypot(plane[1], plane[2]))))


def _fit_plane(place: Array, height: Array) -> Array:
    """(3,) constant and slopes of the floor; points far off it (a foot held still in the air) have no say."""
    centre = place.mean(axis=0)
    spread = place.std(axis=0)
    # Slopes only where the feet went far enough to show them.
    design = np.concatenate([np.ones((len(place), 1)), (place - centre) * (spread > 0.25)], axis=1)
    keep = np.abs(height - np.median(height)) < 0.06
    plane = np.array([np.median(height), 0.0, 0.0])
    for _ in range(5):
        if keep.sum() < 20:
            break
        plane = np.linalg.lstsq(design[keep], height[keep], rcond=None)[0]
        plane[1:] = np.clip(plane[1:], -0.05, 0.05)
        off = height - design @ plane
        keep = np.abs(off) < max(0.015, 2.0 * np.median(np.abs(off)))
    return np.array([plane[0] - plane[1:] @ centre, *plane[1:]])


def land(motion: Motion) -> tuple[Motion, float]:
    """Bring the lower foot to the floor wherever the body is not in flight; also return the seconds that it floated.

    A leg that was longer in the source than its joints say (a foot on its toes, a stretched ankle) leaves the standing
    foot of a kick above the floor. A body in flight falls at about 9.8 m/s²; one that floats does not.
    """
    height = sole_heights(motion.positions()).min(axis=1)
    fall = gaussian_filter1d(motion.root[:, 1], 0.05 * motion.fps, order=2, mode="nearest") * motion.fps**2
    lower = np.maximum(height, 0.0)
    floated = 0
    for start, stop in runs(height > _FLOATING):
        if np.median(fall[start:stop]) < -_GRAVITY / 2.0:
            lower[start:stop] = 0.0
        else:
            floated += stop - start
    root = motion.root.copy()
    root[:, 1] -= gaussian_filter1d(lower, 0.05 * motion.fps, mode="nearest")
    return replace(motion, root=root), floated / motion.fps


def find_contacts(motion: Motion) -> Array:
    """(T, 2) bool: the left and the right foot is planted."""
    positions = motion.positions()
    low = sole_heights(positions) < _CONTACT_HEIGHT
    speeds = np.stack([_speed(positions[:, [pair[end] for pair in FEET]], motion.fps) for end in (0, 1)])
    planted = low & (speeds.min(axis=0) < _CONTACT_SPEED)
    for foot in range(2):
        for start, stop in runs(~planted[:, foot]):
            if stop - start <= 0.05 * motion.fps and start > 0 and stop < len(motion) and low[start:stop, foot].all():
                planted[start:stop, foot] = True
        for start, stop in runs(planted[:, foot]):
            if stop - start < _CONTACT_SECONDS * motion.fps:
                planted[start:stop, foot] = False
    return np.asarray(planted)


def _speed(points: Array, fps: float) -> Array:
    """(T, ...) horizontal speed in m/s of points (T, ..., 3), smoothed over 25 ms."""
    velocity = np.gradient(gaussian_filter1d(points[..., [0, 2]], 0.025 * fps, axis=0, mode="nearest"), axis=0) * fps
    return np.asarray(np.linalg.norm(velocity, axis=-1))


def hold_feet(motion: Motion) -> Motion:
    """Mark contacts, pin each planted foot to one spot on the floor and lifts soles out of it."""
    contacts = find_contacts(motion)
    positions = motion.positions()
    correction = np.zeros((len(motion), 2, 3))
    soles = sole_heights(positions)
    for foot, pair in enumerate(FEET):
        anchors: list[tuple[int, int, Array]] = []
        for start, stop in _plants(positions[:, list(pair)], contacts[:, foot]):
            ends = positions[start:stop][:, list(pair)]
            # The foot turns about its stiller end: the ball in a pivot, the heel when the toes tap.
            travel = np.linalg.norm(np.diff(ends[..., [0, 2]], axis=0), axis=-1).sum(axis=0)
            pinned = ends[:, int(np.argmin(travel))]
            shift = np.median(pinned, axis=0) - pinned
            shift[:, 1] = -soles[start:stop, foot]
            anchors.append((start, stop, shift))
        correction[:, foot] = _blend_corrections(anchors, len(motion), round(0.2 * motion.fps))
    lifted = correction[..., 1] + soles
    correction[..., 1] += np.maximum(0.0, -lifted)
    correction = gaussian_filter1d(correction, 0.02 * motion.fps, axis=0, mode="nearest")
    ankles = positions[:, [pair[0] for pair in FEET]] + correction
    rotations = place_ankles(motion.rotations, motion.root, ankles)
    return replace(motion, rotations=rotations, contacts=contacts.astype(np.float64))


def _plants(ends: Array, planted: Array) -> list[tuple[int, int]]:
    """(start, stop) of plants, split where both ends (T, 2, 3) of the foot have drifted away from where it began."""
    plants = []
    for start, stop in runs(planted):
        begin = start
        for frame in range(start, stop):
            drift = np.linalg.norm(ends[frame][:, [0, 2]] - ends[begin][:, [0, 2]], axis=-1).min()
            if drift > _CONTACT_DRIFT:
                plants.append((begin, frame))
                begin = frame
        plants.append((begin, stop))
    return plants


def _blend_corrections(anchors: list[tuple[int, int, Array]], frames: int, blend: int) -> Array:
    """(T, 3): the corrections of the plants, faded out and in over ``blend`` frames between them."""
    result = np.zeros((frames, 3))
    weight = np.zeros(frames)
    for start, stop, shift in anchors:
        result[start:stop], weight[start:stop] = shift, 1.0
    for start, stop in runs(weight == 0.0):
        before = result[start - 1] if start > 0 else np.zeros(3)
        after = result[stop] if stop < frames else np.zeros(3)
        place = np.arange(1, stop - start + 1)
        length = min(blend, stop - start + 1)
        fade_out = smoothsteps(1.0 - place / length)
        fade_in = smoothsteps(1.0 - (stop - start + 1 - place) / length)
        result[start:stop] = fade_out[:, None] * before + fade_in[:, None] * after
    return result
