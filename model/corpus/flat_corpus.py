"""Two-dimensional dances with their music on disk: what the original network is trained on.

A folder holds ``manifest.json``, ``flat_train.npz`` and ``flat_test.npz``, each with its sequences one after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError, InputError, reason

from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..json_file import read_json
from ..whole_file import write_npz, write_text
from .shards import MANIFEST

Array = npt.NDArray[np.float32]

FORMAT = "dance-revolution 1"
"""Of the manifest."""

_WANTED = "make it with dancerev-prepare --format dancerevolution or --video"

FRAME_RATE = 15


@dataclass(frozen=True)
class FlatSequence:
    """One dance to one song, 15 frames per second.

    Attributes:
        song: whose music it is; both sequences of a song have the same.
        style: of the dance.
        features: (T, 438) of the music, as the original has them.
        pose: (T, 50) vectors of :func:`~dancerev.model.body25.to_vectors`, of the same frames.
        live: (T, FEATURE_SIZE) of the live feature extractor, as it has them when frame t + 1 is due; or no rows, where
            the music itself is not known.
    """

    song: str
    style: str
    features: Array
    pose: Array
    live: Array


@dataclass(frozen=True)
class FlatCorpus:
    """All sequences of one split.

    Attributes:
        sequences: of the split.
        manifest: styles, definition of the features, and what was mended in each film.
    """

    sequences: list[FlatSequence]
    manifest: dict[str, Any]


def save_flat(folder: Path, splits: dict[str, list[FlatSequence]], manifest: dict[str, Any]) -> None:
    """Write a corpus; the manifest, which makes it one, comes last.

    Args:
        folder: made where it is not there.
        splits: ``train`` and ``test``; a split may be empty.
        manifest: more for the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for split, sequences in splits.items():
        path = folder / f"flat_{split}.npz"
        arrays = {
            "features": np.concatenate([s.features for s in sequences] or [np.zeros((0, 438), np.float32)]),
            "pose": np.concatenate([s.pose for s in sequences] or [np.zeros((0, 50), np.float32)]),
            "live": np.concatenate([s.live for s in sequences] or [np.zeros((0, FEATURE_SIZE), np.float32)]),
            "live_lengths": np.array([len(s.live) for s in sequences], dtype=np.int64),
            "lengths": np.array([len(s.pose) for s in sequences], dtype=np.int64),
            "song": np.array([s.song for s in sequences], dtype=str),
            "style": np.array([s.style for s in sequences], dtype=str),
        }
        write_npz(path, arrays)
    styles = sorted({s.style for sequences in splits.values() for s in sequences})
    content = {
        "format": FORMAT,
        "frame_rate": FRAME_RATE,
        "feature_version": FEATURE_VERSION,
        "styles": styles,
        **manifest,
    }
    write_text(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def read_flat_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a corpus of two-dimensional dances.

    Raises:
        CorpusError: there is none, it is damaged, or of another kind of corpus.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, InputError):
        raise CorpusError(f"{folder}: no {MANIFEST} that can be read; {_WANTED}") from None
    if manifest.get("format") != FORMAT:
        raise CorpusError(f"{folder}: not a corpus of two-dimensional dances; {_WANTED}")
    return manifest


def load_flat(folder: Path, split: str) -> FlatCorpus:
    """Read the split ``train`` or ``test``.

    Raises:
        CorpusError: it is no such folder, or damaged.
    """
    manifest = read_flat_manifest(folder)
    path = folder / f"flat_{split}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        at = np.cumsum(data["lengths"])[:-1]
        live = np.split(data["live"], np.cumsum(data["live_lengths"])[:-1])
        parts = np.split(data["features"], at), np.split(data["pose"], at), live
        rows = zip(data["song"], data["style"], *parts, strict=True) if len(data["lengths"]) else ()
        sequences = [FlatSequence(str(song), str(style), *arrays) for song, style, *arrays in rows]
    except Exception as error:  # a damaged zip raises nearly anything
        raise CorpusError(f"{path}: damaged, or not a split of a corpus ({reason(error)}); {_WANTED}") from error
    if any(s.features.shape[1:] != (438,) or s.pose.shape != (len(s.features), 50) for s in sequences):
        raise CorpusError(f"{path}: features and poses are not of sizes 438 and 50")
    return FlatCorpus(sequences, manifest)
