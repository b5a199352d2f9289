"""The prepared corpus on disk: shards of paired music and motion, and what a training reads of them.

A folder holds ``manifest.json`` (feature version, styles, statistics, licences and provenance) and shards
``train_000.npz``, ``test_000.npz``, … A shard concatenates its sequences; ``lengths`` tells them apart.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError, InputError, reason

from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..json_file import read_json
from ..pose import POSE_SIZE
from ..whole_file import write_npz

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class DanceSequence:
    """One dance to one piece of music, at 15 frames a second.

    Attributes:
        features: (T, FEATURE_SIZE) float16; row t is what the network hears when it makes row t of ``pose``.
        pose: (T, POSE_SIZE) float32 pose vectors, for one frame later than the music's.
        place: (T, 2) float32 x and z of the hips on the stage whose centre is (0, 0), metres.
        heading: (T,) float32 radians, of the hips; the audience is towards 0.
        speed: (T,) float32 mean joint speed over the second or two about each frame, m/s.
        phrase: 1 where phrases of eight dance beats come again, 0 where not.
        style: index into the corpus's styles.
        take: name of the motion take.
        mirrored: whether left and right are exchanged.
        tempo: of the music, beats per minute.
        beats: (N,) float32, true times of the music's beats, in seconds of ``pose`` time: row t is for t / 15.
    """

    features: npt.NDArray[np.float16]
    pose: npt.NDArray[np.float32]
    place: npt.NDArray[np.float32]
    heading: npt.NDArray[np.float32]
    speed: npt.NDArray[np.float32]
    phrase: float
    style: int
    take: str
    mirrored: bool
    tempo: float
    beats: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Corpus:
    """All sequences of one split, and the statistics of the training split.

    Attributes:
        styles: names.
        sequences: of the split.
        feature_mean, feature_std: (FEATURE_SIZE,).
        pose_mean, pose_std: (POSE_SIZE,).
        style_speed: (styles,) m/s, the mean joint speed of each style.
        manifest: all else that is known.
    """

    styles: tuple[str, ...]
    sequences: list[DanceSequence]
    feature_mean: npt.NDArray[np.float32]
    feature_std: npt.NDArray[np.float32]
    pose_mean: npt.NDArray[np.float32]
    pose_std: npt.NDArray[np.float32]
    style_speed: npt.NDArray[np.float32]
    manifest: dict[str, Any]


def save_shard(path: Path, sequences: list[DanceSequence]) -> None:
    """Write one shard, complete or not at all."""
    arrays = {
        "features": np.concatenate([s.features for s in sequences]).astype(np.float16),
        "pose": np.concatenate([s.pose for s in sequences]).astype(np.float32),
        "place": np.concatenate([s.place for s in sequences]).astype(np.float32),
        "heading": np.concatenate([s.heading for s in sequences]).astype(np.float32),
        "speed": np.concatenate([s.speed for s in sequences]).astype(np.float32),
        "phrase": np.array([s.phrase for s in sequences], dtype=np.float32),
        "beats": np.concatenate([s.beats for s in sequences]).astype(np.float32),
        "lengths": np.array([len(s.pose) for s in sequences]),
        "beat_counts": np.array([len(s.beats) for s in sequences]),
        "style": np.array([s.style for s in sequences]),
        "take": np.array([s.take for s in sequences]),
        "mirrored": np.array([s.mirrored for s in sequences]),
        "tempo": np.array([s.tempo for s in sequences]),
    }
    write_npz(path, arrays)


def load_shard(path: Path) -> list[DanceSequence]:
    """Return the sequences of one shard.

    Raises:
        CorpusError: it is damaged, of another kind, or a number in it is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as shard:
            data = {name: shard[name] for name in shard.files}
        at = np.cumsum(data["lengths"])[:-1]
        beats = np.split(data["beats"], np.cumsum(data["beat_counts"])[:-1])
        rows = zip(
            *(np.split(data[name], at) for name in ("features", "pose", "place", "heading", "speed")),
            *(data[name].tolist() for name in ("phrase", "style", "take", "mirrored", "tempo")),
            beats,
            strict=True,
        )
        sequences = [DanceSequence(*row) for row in rows]
        for sequence in sequences:
            _check_shapes(sequence)
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error) as error:
        raise CorpusError(
            f"{path}: damaged, or no shard of a corpus ({reason(error)}); make the folder again with dancerev-prepare"
        ) from error
    for sequence in sequences:
        arrays = (sequence.features, sequence.pose, sequence.place, sequence.heading, sequence.speed, sequence.beats)
        if not all(np.isfinite(array).all() for array in (*arrays, sequence.phrase, sequence.tempo)):
            raise CorpusError(f"{path}: {sequence.take} has numbers that are not finite; prepare the corpus again")
    return sequences


def _check_shapes(sequence: DanceSequence) -> None:
    """Raise ``ValueError`` for arrays that are not of their shapes, or no numbers."""
    frames = len(sequence.pose)
    shapes = {
        "features": (frames, FEATURE_SIZE),
        "pose": (frames, POSE_SIZE),
        "place": (frames, 2),
        "heading": (frames,),
        "speed": (frames,),
        "beats": (len(sequence.beats),),
    }
    for name, shape in shapes.items():
        array = getattr(sequence, name)
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"{name} of {sequence.take} are no numbers of shape {shape}")
    if not isinstance(sequence.style, int) or not all(isinstance(x, float) for x in (sequence.phrase, sequence.tempo)):
        raise ValueError(f"style, phrase and tempo of {sequence.take} are no numbers")


def read_manifest(folder: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """Return the manifest of a corpus, and its statistics by their names in :class:`Corpus`.

    Raises:
        CorpusError: nothing there, it is damaged, or was made for another definition of features or poses.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except OSError:
        raise CorpusError(f"{folder}: no {MANIFEST}; make the folder with dancerev-prepare") from None
    except InputError as error:
        raise CorpusError(f"{error}; make the folder again with dancerev-prepare") from None
    if manifest.get("feature_version") != FEATURE_VERSION:
        raise CorpusError(
            f"{folder}: features of version {manifest.get('feature_version')}, this program has {FEATURE_VERSION};"
            " make the folder again with dancerev-prepare"
        )
    names = ("feature_mean", "feature_std", "pose_mean", "pose_std", "style_speed")
    try:
        statistics = {name: np.array(manifest["statistics"][name], dtype=np.float32) for name in names}
        styles = [str(style) for style in manifest["styles"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CorpusError(
            f"{folder / MANIFEST}: no statistics of styles and vectors; make the folder again with dancerev-prepare"
        ) from None
    for name, size in (("feature", FEATURE_SIZE), ("pose", POSE_SIZE)):
        if statistics[f"{name}_mean"].shape != (size,) or statistics[f"{name}_std"].shape != (size,):
            raise CorpusError(f"{folder}: {name} vectors are not of size {size}")
    if not styles or statistics["style_speed"].shape != (len(styles),):
        raise CorpusError(f"{folder / MANIFEST}: not one speed for each style; prepare the corpus again")
    if not all(np.isfinite(statistic).all() for statistic in statistics.values()):
        raise CorpusError(f"{folder / MANIFEST}: a statistic is not finite; prepare the corpus again")
    return manifest, statistics


def load_corpus(folder: Path, split: str) -> Corpus:
    """Read the split ``train`` or ``test``.

    Raises:
        CorpusError: a shard is damaged, or see :func:`read_manifest`.
    """
    manifest, statistics = read_manifest(folder)
    sequences = []
    for path in sorted(folder.glob(f"{split}_*.npz")):
        sequences += load_shard(path)
        if not all(0 <= sequence.style < len(manifest["styles"]) for sequence in sequences):
            raise CorpusError(f"{path}: of a style that {MANIFEST} does not name; prepare the corpus again")
    return Corpus(styles=tuple(manifest["styles"]), sequences=sequences, manifest=manifest, **statistics)
