"""Annotated music: ``SONG.beats.json`` beside a song says where its beats are.

``{"beats": [seconds, …], "bpm": …, "source": …, "silences": [[start, stop], …], "downbeats": [seconds, …]}``, of which
only the beats must be there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .json_file import read_json
from .whole_file import write_text

Array = npt.NDArray[Any]

SUFFIX = ".beats.json"

SLOWEST_TEMPO, FASTEST_TEMPO = 20.0, 400.0
"""Beats per minute that music may have."""

_NEAREST, _FARTHEST = 0.1, 60.0  # seconds from beat to beat
_LONGEST = 24 * 3600.0  # seconds of a piece


@dataclass(frozen=True)
class Annotation:
    """What is known of a piece of music; all times in seconds.

    Attributes:
        beats: (N,) rising, N from 4 on.
        bpm: beats per minute.
        source: what it was made from, the same for all that was made from it; by default the name of the file.
        silences: (S, 2) start and stop, rising.
        downbeats: (D,) rising; empty where they are not known.
    """

    beats: Array
    bpm: float
    source: str
    silences: Array = field(default_factory=lambda: np.zeros((0, 2)))
    downbeats: Array = field(default_factory=lambda: np.zeros(0))


def check_tempo(path: Path, bpm: float) -> None:
    """Raise ``InputError`` where the beats per minute that a file states, or implies, are not those of music."""
    if not SLOWEST_TEMPO <= bpm <= FASTEST_TEMPO:
        raise InputError(f"{path}: a tempo of {bpm:g} BPM is not one from {SLOWEST_TEMPO:g} to {FASTEST_TEMPO:g}")


def beats_path(song: Path) -> Path:
    """Return the path of a song's annotation."""
    return song.with_suffix(SUFFIX)


def read_beats(path: Path) -> Annotation:
    """Read an annotation.

    Raises:
        OSError: the file cannot be read.
        InputError: it is none; one line that says why.
    """
    content = read_json(path)
    try:
        beats = _times(content["beats"])
        downbeats = _times(content.get("downbeats") or [])
        silences = np.array(content.get("silences") or np.zeros((0, 2)), dtype=np.float64)
        stated = float(content.get("bpm") or 0.0)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InputError(f'{path}: expected JSON with "beats" in seconds') from None
    if len(beats) < 4:
        raise InputError(f"{path}: beats must be at least four rising numbers of seconds")
    for name, times in (("beats", beats), ("downbeats", downbeats)):
        if not np.isfinite(times).all() or (np.diff(times) <= 0.0).any():
            raise InputError(f"{path}: {name} must be at least four rising numbers of seconds")
        if len(times) and not (times[0] >= 0.0 and times[-1] <= _LONGEST):
            raise InputError(f"{path}: {name} must be from 0 to {_LONGEST:.0f} seconds")
    if not (np.diff(beats).min() >= _NEAREST and np.diff(beats).max() <= _FARTHEST):
        raise InputError(f"{path}: beats must be {_NEAREST} to {_FARTHEST:.0f} seconds apart")
    if silences.ndim != 2 or silences.shape[1] != 2 or not np.isfinite(silences).all():
        raise InputError(f"{path}: silences must be pairs of seconds, start and stop")
    if (silences[:, 1] <= silences[:, 0]).any() or (silences[1:, 0] < silences[:-1, 1]).any():
        raise InputError(f"{path}: silences must follow one another, each with its start before its stop")
    implied = 60.0 / float(np.median(np.diff(beats)))
    for bpm in (implied, stated or implied):
        check_tempo(path, bpm)
    return Annotation(beats, stated or implied, str(content.get("source") or path.stem), silences, downbeats)


def _times(values: Any) -> Array:
    times = np.array(values, dtype=np.float64)
    if times.ndim != 1:
        raise ValueError("not a list of numbers")
    return times


def write_beats(path: Path, annotation: Annotation) -> None:
    """Write an annotation, times to a tenth of a millisecond.

    Raises:
        OSError: the file cannot be written.
    """
    content: dict[str, Any] = {"source": annotation.source, "bpm": round(annotation.bpm, 4)}
    for name in ("beats", "silences", "downbeats"):
        times = np.round(getattr(annotation, name), 4).tolist()
        if times or name != "downbeats":
            content[name] = times
    write_text(path, json.dumps(content))
