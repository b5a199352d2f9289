"""Folders of OpenPose's JSON: one file per frame, BODY_25 key points of everybody in it. One person is followed.

Cao et al., "OpenPose", TPAMI 2019; the files are those of its output format 1.2. Coordinates are pixels, in [0, 1]
(``--keypoint_scale 3``) or in [−1, 1] (``--keypoint_scale 4``, as in Dance Revolution's data). The reader recognises
them, and brings them into the picture of :mod:`~dancerev.model.body25`.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError, reason

from .body25 import HEIGHT, JOINTS, WIDTH
from .dance_file import FARTHEST
from .whole_file import beside_alone, check_name

Array = npt.NDArray[Any]

SCORE = 0.8
"""Confidence that is written for every key point, as in the original."""

LEAST_SCORE = 0.05
"""Confidence below which a key point counts as missing: OpenPose's own rendering threshold."""

SIZES = ((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (7680, 4320))
"""Pictures that are tried, from the smallest, where the size is not given; upright ones too."""

_LEAST_JOINTS = 4  # seen, of somebody who can be followed
_MEMORY = 30  # frames over which somebody is followed without being seen
# Costs: of moving by a body height from frame to frame, of a frame that is left out, of following somebody else from
# here on; and what being large and surely seen is worth. Dancers move by up to 0.06 heights in 1/30 s.
_MOVED, _SKIPPED, _RESTART, _VISIBLE = 20.0, 0.05, 4.0, 0.1

# The joint that stands in for one that is never seen, nearer to the hips.
_TOWARDS_HIPS = {
    "Neck": "MidHip",
    "Nose": "Neck",
    **{f"{s}{a}": b for s in "LR" for a, b in (("Shoulder", "Neck"), ("Eye", "Nose"), ("Hip", "MidHip"))},
    **{
        f"{s}{a}": f"{s}{b}"
        for s in "LR"
        for a, b in (
            ("Elbow", "Shoulder"),
            ("Wrist", "Elbow"),
            ("Knee", "Hip"),
            ("Ankle", "Knee"),
            ("Ear", "Eye"),
            ("Heel", "Ankle"),
            ("BigToe", "Ankle"),
            ("SmallToe", "BigToe"),
        )
    },
}


@dataclass(frozen=True)
class Mended:
    """What was found in a folder, and what was mended.

    Attributes:
        frames: of the film.
        unit: of the coordinates: ``pixels``, ``[0, 1]`` or ``[-1, 1]``.
        size: of the picture in pixels, given or guessed; None where the coordinates are no pixels.
        people: the most in one frame.
        absent: frames in which the person who is followed is not seen.
        missing: share of the key points that was not seen and is interpolated.
        longest: the longest gap of one joint, frames.
        unseen: joints that are never seen; each stands at the next one towards the hips.
    """

    frames: int
    unit: str
    size: tuple[int, int] | None
    people: int
    absent: int
    missing: float
    longest: int
    unseen: tuple[str, ...]

    def __str__(self) -> str:
        size = f" of {self.size[0]}x{self.size[1]}" if self.size else ""
        parts = [f"{self.frames} frames in {self.unit}{size}"]
        if self.people > 1:
            parts.append(f"one of {self.people} people followed")
        if self.absent:
            parts.append(f"{self.absent} frames without the person")
        if self.missing:
            parts.append(f"{self.missing:.1%} of the key points interpolated, over {self.longest} frames at most")
        if self.unseen:
            parts.append(f"never seen: {', '.join(self.unseen)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Keypoints:
    """One person through a film.

    Attributes:
        points: (T, 25, 2) pixels of a picture of WIDTH × HEIGHT, nothing missing.
        scores: (T, 25) in [0, 1], 0 where a point is interpolated.
        mended: what was done.
    """

    points: Array
    scores: Array
    mended: Mended


def read_openpose(folder: Path, size: tuple[int, int] | None = None) -> Keypoints:
    """Read a folder of ``*_keypoints.json``, in the order of the frame numbers in their names.

    Frames without the person, or whose file is missing, keep their place, so that the dance stays in step with its
    music. Missing points are interpolated over gaps of any length and held at the ends.

    Args:
        folder: of the files.
        size: of the film's picture in pixels; None guesses 1280 × 720 or the next common size that holds all points.

    Raises:
        InputError: there are no such files, one is damaged, or nobody is in any of them.
    """
    return follow(_frames(folder), str(folder), size)


def follow(frames: list[Array], name: str, size: tuple[int, int] | None = None) -> Keypoints:
    """Follow one person through a film, wherever its key points come from.

    Args:
        frames: the people (P, 25, 3) of every frame: x, y, score.
        name: what messages call the film.
        size: as of :func:`read_openpose`.

    Raises:
        InputError: nobody is in any of the frames.
    """
    everybody = np.concatenate([people for people in frames if len(people)] or [np.zeros((0, len(JOINTS), 3))])
    seen = everybody[_seen(everybody)][:, :2]
    if not len(seen):
        raise InputError(f"{name}: nobody is in any of the {len(frames)} frames")
    unit = _unit(seen)
    size = (size or _picture_size(seen)) if unit == "pixels" else None
    chosen = _follow([_in_picture(people, unit, size) for people in frames])
    if chosen is None:
        raise InputError(f"{name}: nobody is seen with {_LEAST_JOINTS} joints in any of the {len(frames)} frames")
    points, scores, report = _filled(chosen)
    return Keypoints(points, scores, Mended(len(frames), unit, size, max(map(len, frames)), **report))


def _frames(folder: Path) -> list[Array]:
    """Return the people (P, 25, 3) of every frame: x, y, score."""
    paths = sorted(folder.glob("*_keypoints.json"))
    if not paths:
        raise InputError(f"{folder}: no *_keypoints.json in it")
    numbers = [re.search(r"(\d+)_keypoints\.json$", path.name) for path in paths]
    indices = [int(n[1]) for n in numbers if n]
    first, span = min(indices, default=0), max(indices, default=0) - min(indices, default=0) + 1
    nobody = np.zeros((0, len(JOINTS), 3))
    if len(set(indices)) != len(paths) or span > 2 * len(paths):  # no numbers, or not of the frames of one film
        return [_people(path) for path in paths]
    frames = [nobody] * span
    for index, path in zip(indices, paths, strict=True):
        frames[index - first] = _people(path)
    return frames


def _people(path: Path) -> Array:
    """Return the people (P, 25, 3) of one file."""
    try:
        people = json.loads(path.read_text(encoding="utf-8"))["people"]
        rows = [np.array(person["pose_keypoints_2d"], dtype=np.float64) for person in people]
        found = np.array([row.reshape(len(JOINTS), 3) for row in rows]).reshape(-1, len(JOINTS), 3)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        expected = f'expected {3 * len(JOINTS)} numbers at each ["people"][i]["pose_keypoints_2d"]'
        raise InputError(f"{path}: {expected} ({type(error).__name__}: {reason(error)})") from error
    if not (np.abs(found) <= FARTHEST).all():
        raise InputError(f"{path}: key points are not all finite, or exceed {FARTHEST:g}")
    return found


def _seen(people: Array) -> Array:
    """(..., 25) bool, of (..., 25, 3): which joints are seen.

    x = y = 0 is OpenPose's mark of a missing joint, which ``--keypoint_scale 4`` brings to −1.
    """
    place = people[..., :2]
    return (people[..., 2] > LEAST_SCORE) & ~(place == 0.0).all(axis=-1) & ~(place == -1.0).all(axis=-1)


def _unit(seen: Array) -> str:
    """Return the unit of points (N, 2). Joints may lie somewhat outside the picture."""
    if np.percentile(np.abs(seen), 99) > 4.0:
        return "pixels"
    return "[-1, 1]" if np.percentile(seen, 1) < -0.1 else "[0, 1]"


def _picture_size(seen: Array) -> tuple[int, int]:
    """Return the smallest common picture that holds points (N, 2) in pixels."""
    width, height = np.percentile(seen, 99.5, axis=0)
    for across, down in SIZES:
        if width <= across and height <= down:
            return across, down
        if width <= down and height <= across:
            return down, across
    return SIZES[-1]


def _in_picture(people: Array, unit: str, size: tuple[int, int] | None) -> Array:
    """People (P, 25, 3) in pixels of WIDTH × HEIGHT; what is missing has score 0. Pictures of other shapes keep it."""
    place = people[..., :2]
    if size is not None:
        scale = min(WIDTH / size[0], HEIGHT / size[1])
        margin = (np.array([WIDTH, HEIGHT]) - scale * np.array(size)) / 2.0
        placed = scale * place + margin
    else:
        placed = (place if unit == "[0, 1]" else (place + 1.0) / 2.0) * (WIDTH, HEIGHT)
    return np.concatenate([placed, (people[..., 2] * _seen(people))[..., None]], axis=-1)


def _follow(frames: list[Array]) -> Array | None:
    """Return the person (T, 25, 3) who is seen best through the film, score 0 in frames without him; None if nobody is.

    The cheapest way from person to person through all frames: it costs what the joints move in body heights, and frames
    that are left out; being large and surely seen is worth something (Viterbi's algorithm).
    """
    nodes = [(t, p) for t, people in enumerate(frames) for p in people if (p[:, 2] > 0.0).sum() >= _LEAST_JOINTS]
    if not nodes:
        return None
    heights = np.array([_height(person) for _, person in nodes])
    worth = _VISIBLE * heights / np.median(heights) * [person[:, 2].mean() for _, person in nodes]
    points = np.array([person[:, :2] for _, person in nodes])
    seen = np.array([person[:, 2] > 0.0 for _, person in nodes])
    times = np.array([t for t, _ in nodes])
    costs, before = np.zeros(len(nodes)), np.full(len(nodes), -1)
    best = -1  # the cheapest end more than _MEMORY frames ago
    first = 0
    for i, (t, _) in enumerate(nodes):
        while nodes[first][0] < t - _MEMORY:
            best = first if best < 0 or costs[first] < costs[best] else best
            first += 1
        cost, before[i] = (_SKIPPED * t, -1) if best < 0 else (costs[best] + _RESTART, best)
        last = np.searchsorted(times, t)  # of the earlier frames
        if first < last:
            earlier = slice(first, last)
            gaps = t - times[earlier]
            distances = _distances(points[earlier], seen[earlier], heights[earlier], points[i], seen[i])
            moved = distances / (0.5 * (heights[earlier] + heights[i]))
            ways = costs[earlier] + _MOVED * moved**2 / np.minimum(gaps, 3) + _SKIPPED * (gaps - 1)
            if ways.min() < cost:
                cost, before[i] = ways.min(), first + ways.argmin()
        costs[i] = cost - worth[i]
    chosen = np.zeros((len(frames), len(JOINTS), 3))
    node = int(np.argmin(costs))
    while node >= 0:
        chosen[nodes[node][0]] = nodes[node][1]
        node = int(before[node])
    return chosen


def _height(person: Array) -> float:
    """Return the extent of the joints that are seen, pixels."""
    return float(max(np.ptp(person[person[:, 2] > 0.0, :2], axis=0).max(), 1.0))


def _distances(points: Array, seen: Array, heights: Array, person: Array, seen_of_person: Array) -> Array:
    """Return from each of some people (N, 25, 2) how far a ``person`` (25, 2) is, pixels.

    The mean over the joints that are seen in both; where there is none, the height of a whole body.
    """
    both = seen & seen_of_person
    count = both.sum(axis=1)
    total = np.where(both, np.linalg.norm(points - person, axis=-1), 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), heights)


def _filled(person: Array) -> tuple[Array, Array, dict[str, Any]]:
    """Points (T, 25, 2) without gaps, scores (T, 25), and what was mended."""
    points, scores = person[..., :2].copy(), person[..., 2]
    seen = scores > 0.0
    frames = np.arange(len(points))
    unseen = [name for j, name in enumerate(JOINTS) if not seen[:, j].any()]
    longest = 0
    for j, name in enumerate(JOINTS):
        if name not in unseen:
            there = frames[seen[:, j]]
            gaps = np.diff(np.concatenate([[-1], there, [len(points)]])) - 1
            longest = max(longest, int(gaps.max()))
            for axis in range(2):
                points[:, j, axis] = np.interp(frames, there, points[there, j, axis])
    for name in unseen:
        stand_in = name
        while stand_in in unseen and stand_in in _TOWARDS_HIPS:
            stand_in = _TOWARDS_HIPS[stand_in]
        if stand_in in unseen:  # the hips
            stand_in = next(other for other in JOINTS if other not in unseen)
        points[:, JOINTS.index(name)] = points[:, JOINTS.index(stand_in)]
    known = [j for j, name in enumerate(JOINTS) if name not in unseen]
    report = {
        "absent": int((~seen.any(axis=1)).sum()),
        "missing": float((~seen[:, known]).mean()),
        "longest": longest,
        "unseen": tuple(unseen),
    }
    return points, scores, report


def check_free(folder: Path) -> None:
    """Refuse a folder whose key points :func:`write_openpose` would mix with its own.

    Raises:
        InputError: key points are in it, or it is a file.
        OSError: the system has no such names.
    """
    check_name(folder)
    if folder.is_dir() and any(folder.glob("*_keypoints.json")):
        raise InputError(f"{folder}: holds the key points of another dance; remove them, or give another folder")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, and key points need a folder")


def write_openpose(folder: Path, keypoints: Array) -> None:
    """Write ``frame000000_keypoints.json`` and on, all of them or none.

    Face and hands, which are not known, are zeros: OpenPose's mark of what it has not seen.

    Args:
        folder: made where it is not there.
        keypoints: (T, 25, 2) pixels.

    Raises:
        InputError: see :func:`check_free`.
    """
    check_free(folder)
    unseen = {
        "face_keypoints_2d": [0.0] * (70 * 3),
        "hand_left_keypoints_2d": [0.0] * (21 * 3),
        "hand_right_keypoints_2d": [0.0] * (21 * 3),
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }
    rows = np.concatenate([keypoints, np.full((*np.shape(keypoints)[:2], 1), SCORE)], axis=-1).round(3)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = beside_alone(folder)
    partial.mkdir()
    try:
        for i, row in enumerate(rows):
            content = {"version": 1.2, "people": [{"pose_keypoints_2d": row.reshape(-1).tolist(), **unseen}]}
            (partial / f"frame{i:06d}_keypoints.json").write_text(json.dumps(content), encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for path in partial.iterdir():
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
