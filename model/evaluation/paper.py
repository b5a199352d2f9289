"""The evaluation of Dance Revolution's paper, on two-dimensional dances.

Huang et al., ICLR 2021, section 4, after Lee et al., "Dancing to Music", NeurIPS 2019. Dances are folders of OpenPose's
files, or ``.npz`` of ours, which are projected. All are brought to 15 frames per second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from dancerev.errors import InputError

from ..beats_file import read_beats
from ..body25 import JOINTS, MID_HIP, project, to_vectors
from ..dance_file import read_dance
from ..kinematic_beats import kinematic_beats
from ..openpose import read_openpose
from .metrics import frechet_distance, resample
from .style_classifier import CLIP, Judge, clips_of
from .table import print_table

Array = npt.NDArray[Any]

FRAME_RATE = 15.0

TOLERANCE = 0.1
"""Seconds within which a kinematic beat is on a beat of the music. The paper leaves its own open."""

_DRAWS = 50

COLUMNS = (
    ("fid", "FID", 2),
    ("accuracy", "ACC", 3),
    ("coverage", "coverage", 2),
    ("hit_rate", f"hits ±{TOLERANCE * 1000:.0f} ms", 3),
    ("hit_chance", "chance", 3),
    ("diversity", "diversity", 2),
    ("multimodality", "multimod.", 2),
)


@dataclass(frozen=True)
class FlatDance:
    """One dance.

    Attributes:
        name: of its file or folder, SONG[__STYLE][__seedN].
        keypoints: (T, 25, 2) pixels at FRAME_RATE.
        beats: (N,) seconds of the music, or None.
    """

    name: str
    keypoints: Array
    beats: Array | None = None

    @property
    def song(self) -> str:
        """The piece that it was danced to."""
        return re.sub(r"__seed\d+$", "", self.name).partition("__")[0]

    @property
    def style(self) -> str | None:
        """The style in its name."""
        return re.sub(r"__seed\d+$", "", self.name).partition("__")[2] or None


def read_group(folder: Path, fps: float, music: Path | None = None) -> list[FlatDance]:
    """Read all dances of a folder.

    Args:
        folder: of folders of key points, or of ``.npz`` dances.
        fps: frames per second of the key points, whose files do not have it.
        music: folder with ``SONG.beats.json``.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".npz" or any(path.glob("*_keypoints.json")))
    if not paths:
        raise InputError(f"{folder}: neither folders of key points nor .npz dances in it")
    dances = []
    for path in paths:
        if path.suffix == ".npz":
            dance = read_dance(path)
            points, rate = project(dance.rotations, dance.root), dance.fps
        else:
            points, rate = read_openpose(path).points, fps
        name = path.stem if path.suffix == ".npz" else path.name
        made = FlatDance(name, resample(points, rate, FRAME_RATE))
        beats = None if music is None else read_beats(music / f"{made.song}.beats.json").beats
        dances.append(FlatDance(name, made.keypoints, beats))
    return dances


def motion_beats(keypoints: Array) -> Array:
    """Kinematic beats, seconds, of key points (T, 25, 2): of the body about its hips, in body heights."""
    height = np.median(np.ptp(keypoints[..., 1], axis=1))
    relative = np.delete(keypoints - keypoints[:, MID_HIP : MID_HIP + 1], MID_HIP, axis=1)
    return kinematic_beats(relative / max(float(height), 1.0), FRAME_RATE)


def hits(beats: Array, music: Array) -> float:
    """Share of motion ``beats`` within TOLERANCE of a beat of the ``music``; NaN without any."""
    if not len(beats):
        return float("nan")
    if not len(music):
        return 0.0
    return float((np.abs(beats[:, None] - music[None, :]).min(axis=1) <= TOLERANCE).mean())


def on_the_beat(dance: FlatDance) -> dict[str, float]:
    """Beat coverage and hit rate of a dance whose music's beats are known.

    Returns:
        ``coverage``: kinematic beats per beat of the music; ``hit_rate``, and ``hit_chance``: its mean when the music
        is shifted round and round by a random part of its length.
    """
    if dance.beats is None:
        return {}
    seconds = len(dance.keypoints) / FRAME_RATE
    music, beats = dance.beats[dance.beats < seconds], motion_beats(dance.keypoints)
    if not len(music):
        return {}
    shifts = np.random.default_rng(0).uniform(0.0, seconds, _DRAWS)
    chance = np.mean([hits(beats, (music + shift) % seconds) for shift in shifts])
    return {"coverage": len(beats) / len(music), "hit_rate": hits(beats, music), "hit_chance": float(chance)}


def evaluate(dances: list[FlatDance], judge: Judge) -> dict[str, float]:
    """All metrics of a group; NaN where a group cannot have one.

    Returns:
        ``fid`` of the classifier's features against held-out real dance; ``accuracy``: share of the clips that the
        classifier gives the music's style; means of :func:`on_the_beat`; ``diversity``: mean distance of the features
        of dances to different music; ``multimodality``: of dances to the same music.
    """
    vectors = [to_vectors(dance.keypoints) for dance in dances]
    clips = [clips_of(v) for v in vectors]
    if not any(map(len, clips)):
        raise InputError(f"no dance has the {CLIP / FRAME_RATE:.1f} s of a clip")
    features, styles = zip(*(judge.features(c) for c in clips), strict=True)
    made = np.concatenate(features)
    wanted = [dance.style or judge.songs.get(dance.song) for dance in dances]
    right = [
        found == judge.styles.index(style)
        for each, style in zip(styles, wanted, strict=True)
        if style in judge.styles
        for found in each
    ]
    beats = [on_the_beat(dance) for dance in dances]
    return {
        "fid": frechet_distance(made, judge.real) if min(len(made), len(judge.real)) > 1 else float("nan"),
        "accuracy": float(np.mean(right)) if right else float("nan"),
        **{name: _mean([row[name] for row in beats if name in row]) for name in ("coverage", "hit_rate", "hit_chance")},
        **_spread([(d.song, f.mean(axis=0)) for d, f in zip(dances, features, strict=True) if len(f)]),
    }


def _mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _spread(dances: list[tuple[str, Array]]) -> dict[str, float]:
    """Mean distances of the features of dances, each with its song, to different and to the same music."""
    distances: dict[bool, list[float]] = {True: [], False: []}
    for i, (song, features) in enumerate(dances):
        for other_song, others in dances[:i]:
            distances[song == other_song].append(float(np.linalg.norm(features - others)))
    return {"diversity": _mean(distances[False]), "multimodality": _mean(distances[True])}


def print_groups(groups: dict[str, dict[str, float]], judge: Judge, console: Console) -> None:
    """Print a row for each group, and how good the judge is."""
    rows = {
        name: [f"{row[key]:.{digits}f}" if np.isfinite(row[key]) else "–" for key, _, digits in COLUMNS]
        for name, row in groups.items()
    }
    print_table(console, "group", [title for _, title, _ in COLUMNS], rows)
    console.print(
        f"The classifier finds the style of {judge.accuracy:.1%} of {len(judge.real)} held-out clips of real dance "
        f"({', '.join(judge.styles)}); FID is against these, on {len(JOINTS)} joints.",
        markup=False,
    )
