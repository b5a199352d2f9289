"""Dance Revolution's own data, for ``dancerev-prepare --format dancerevolution``.

Either as it is collected, ``audio/STYLE/NAME.m4a`` with ``json/STYLE/NAME/*_keypoints.json`` at 30 frames per second,
or as its own preparation leaves it, ``train_1min/*.json`` and ``test_1min/*.json``. Every song becomes two sequences of
15 frames per second, its even and its odd frames, both in one split.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError, InputError, reason
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.audio.decode import decode

from ..body25 import JOINTS, to_vectors
from ..features import FEATURE_SIZE
from ..network import original_features
from ..openpose import follow, read_openpose
from .flat_corpus import FlatSequence, save_flat
from .song import extract_features

Array = npt.NDArray[Any]

TEST_SHARE = 0.1
"""Of the songs of each style."""

_SHORTEST = 30  # frames of 1/15 s


@dataclass(frozen=True)
class Material:
    """What was found, and what happened to it.

    Attributes:
        sequences: all of them.
        splits: song → ``train`` or ``test``, where the data has a split.
        mended: song → what was mended.
        left_out: what has no partner or cannot be read, with the reason.
    """

    sequences: list[FlatSequence]
    splits: dict[str, str]
    mended: dict[str, str]
    left_out: list[str]


def prepare(
    data: Path, out: Path, definition: str = "2020", size: tuple[int, int] | None = None, seed: int = 0
) -> list[str]:
    """Prepare a folder of data for ``dancerev-train --preset dance-revolution``.

    Args:
        data: a folder of one of the two forms.
        out: where the corpus goes.
        definition: of the features (:data:`~dancerev.model.network.original_features.DEFINITIONS`); those of prepared
            files stay as they are.
        size: of the films' pictures; see :func:`~dancerev.model.openpose.read_openpose`.
        seed: of the split, where the data has none.

    Returns:
        Lines of a report.

    Raises:
        CorpusError: it has neither form, or nothing in it can be used.
    """
    material = _read_prepared(data) or _read_collected(data, definition, size)
    if material is None:
        raise CorpusError(f"{data}: neither audio/STYLE with json/STYLE, nor train_1min with *.json")
    if not material.sequences:
        reasons = "; ".join(material.left_out[:3])
        raise CorpusError(f"{data}: nothing in it can be used{': ' if reasons else ''}{reasons}")
    return write(material, out, definition, seed)


def write(material: Material, out: Path, definition: str, seed: int) -> list[str]:
    """Split material by songs and write the corpus; returns the lines of a report."""
    splits = material.splits or split_songs(material.sequences, seed)
    parts = {part: [s for s in material.sequences if splits[s.song] == part] for part in ("train", "test")}
    manifest = {
        "features": definition,
        "seed": seed,
        "songs": dict(sorted(splits.items())),
        "mended": material.mended,
        "left_out": material.left_out,
    }
    save_flat(out, parts, manifest)
    lines = [f"{song} ({splits[song]}): {text}" for song, text in sorted(material.mended.items())]
    lines += [f"left out: {reason}" for reason in material.left_out]
    for part, sequences in parts.items():
        minutes = sum(len(s.pose) for s in sequences) / 15 / 60
        lines.append(
            f"{part}: {len(sequences)} sequences of {len({s.song for s in sequences})} songs, {minutes:.1f} min"
        )
    return lines


def split_songs(sequences: list[FlatSequence], seed: int) -> dict[str, str]:
    """Song → split: of each style TEST_SHARE of its songs are held out, at least one of two or more."""
    rng = np.random.default_rng(seed)
    splits: dict[str, str] = {}
    for style in sorted({s.style for s in sequences}):
        songs = sorted({s.song for s in sequences if s.style == style})
        count = max(round(TEST_SHARE * len(songs)), min(1, len(songs) - 1))
        held_out = set(rng.permutation(songs)[:count].tolist())
        splits |= {song: "test" if song in held_out else "train" for song in songs}
    return splits


def halves(song: str, style: str, music: Path, keypoints: Array, definition: str) -> list[FlatSequence]:
    """Make the two sequences of one song.

    Args:
        song: its name.
        style: of the dance.
        music: a file with its sound.
        keypoints: (T, 25, 2) pixels at 30 frames per second; what is longer than the music is cut.
        definition: of the features.

    Raises:
        InputError: the music cannot be read, or is too short.
    """
    features = original_features.extract(_decode(music, original_features.SAMPLE_RATE), definition)
    samples = _decode(music, SAMPLE_RATE)
    count = min(len(features), len(keypoints)) // 2 * 2
    if count < 2 * _SHORTEST:
        raise InputError(f"shorter than {_SHORTEST / 15:.0f} s")
    pose = to_vectors(keypoints[:count]).astype(np.float32)
    features = features[:count].astype(np.float32)
    return [
        FlatSequence(
            song, style, features[half::2], pose[half::2], _live(samples[half * SAMPLE_RATE // 30 :], count // 2)
        )
        for half in (0, 1)
    ]


def _live(samples: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """(count, FEATURE_SIZE): in row t what the live extractor has when the pose for (t + 1) / 15 s is due.

    The first frame has no features yet; it gets those of the second.
    """
    features = extract_features(samples)[0].astype(np.float32)
    return features[np.clip(np.arange(count) - 1, 0, len(features) - 1)]


def _read_collected(data: Path, definition: str, size: tuple[int, int] | None) -> Material | None:
    """Return data as it is collected; None where there are no such folders."""
    if not (data / "audio").is_dir() or not (data / "json").is_dir():
        return None
    material = Material([], {}, {}, [])
    styles = sorted({path.name for kind in ("audio", "json") for path in (data / kind).iterdir() if path.is_dir()})
    for style in styles:
        songs, left_out = _by_stem(data / "audio" / style)
        films = {path.name: path for path in _children(data / "json" / style) if path.is_dir()}
        material.left_out.extend(left_out)
        for name in sorted(songs.keys() ^ films.keys()):
            missing = "key points" if name in songs else "music"
            material.left_out.append(f"{style}/{name} has no {missing} of the same name")
        for name in sorted(songs.keys() & films.keys()):
            song = f"{style}/{name}"
            try:
                film = read_openpose(films[name], size)
                made = halves(song, _style_name(style), songs[name], film.points, definition)
            except InputError as error:
                material.left_out.append(f"{song}: {error}")
                continue
            material.sequences.extend(made)
            difference = abs(2 * len(made[0].pose) - len(film.points)) / 30
            cut = f"; {difference:.1f} s of film beyond the music cut" if difference > 0.5 else ""
            material.mended[song] = f"{film.mended}{cut}"
    return material


def _children(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Files by their names without the ending, and those of which there are two."""
    found: dict[str, Path] = {}
    double = []
    for path in sorted(_children(folder)):
        if path.is_file():
            if path.stem in found:
                double.append(f"{path}: {found[path.stem].name} has the same name and is taken")
            found.setdefault(path.stem, path)
    return found, double


def _decode(path: Path, rate: int) -> npt.NDArray[np.float32]:
    """(N,) mono samples of a file."""
    return np.concatenate(list(decode(path, rate)))


def _style_name(folder: str) -> str:
    """``hiphop`` of ``hiphop_1min``."""
    return folder.removesuffix("_1min")


def _read_prepared(data: Path) -> Material | None:
    """Files that the original's own preparation wrote; None where there are none."""
    folders = {"train": data / "train_1min", "test": data / "test_1min"}
    if not folders["train"].is_dir():
        folders = {"": data} if any(data.glob("*_[01].json")) else {}
    if not folders:
        return None
    material = Material([], {}, {}, [])
    for split, folder in folders.items():
        for path in sorted(folder.glob("*.json")):
            try:
                sequence, mended = _prepared(path)
            except InputError as error:
                material.left_out.append(str(error))
                continue
            material.sequences.append(sequence)
            before = material.mended.get(sequence.song)
            material.mended[sequence.song] = mended if before is None else f"{before}; other half: {mended}"
            if material.splits.setdefault(sequence.song, split) != split:
                raise CorpusError(f"{path}: the other half of this song is in the other split")
    kept = [s for s in material.sequences if len(s.pose) >= _SHORTEST]
    short = sorted({s.song for s in material.sequences} - {s.song for s in kept})
    material.left_out.extend(f"{song}: shorter than {_SHORTEST / 15:.0f} s" for song in short)
    splits = material.splits if set(material.splits.values()) == {"train", "test"} else {}
    return replace(material, sequences=kept, splits=splits)


def _prepared(path: Path) -> tuple[FlatSequence, str]:
    """One prepared file: half of a song."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        identity = str(content["id"])
        features = np.array(content["music_array"], dtype=np.float32)
        dance = np.array(content["dance_array"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{path}: not id, music_array and dance_array ({type(error).__name__}: {reason(error)})"
        ) from None
    if features.ndim != 2 or dance.ndim != 2 or features.shape[1] != 438 or dance.shape[1] < 50:
        raise InputError(f"{path}: arrays are not of 438 and of 50 or more numbers a frame")
    if not (np.isfinite(features).all() and np.isfinite(dance).all()):
        raise InputError(f"{path}: not all numbers are finite")
    points = dance[:, :50].reshape(len(dance), len(JOINTS), 2)
    film = follow([np.concatenate([p, np.ones((len(JOINTS), 1))], axis=-1)[None] for p in points], str(path))
    count = min(len(features), len(dance))
    pose = to_vectors(film.points[:count]).astype(np.float32)
    song = re.sub(r"_[01]$", "", path.stem)
    style = path.stem.removesuffix(identity).rstrip("_")
    live = np.zeros((0, FEATURE_SIZE), dtype=np.float32)
    return FlatSequence(song, _style_name(style) or "any", features[:count], pose, live), str(film.mended)
