"""Annotated mel spectra, what the beat network is trained on: one ``.npz`` file for each piece of music.

They come through the front end of the live feature extractor, so that training and the show see the same numbers.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError
from dancerev.realtime.beat.beat_network import MEL_COMPRESSION
from dancerev.realtime.spectrum import FRAME_SAMPLES, LAG, MELS, Spectrum

from ..corpus.songs import split_of as song_split
from ..whole_file import write_npz

Array = npt.NDArray[Any]

GROUPS = ("real", "tunes", "grooves", "midi")
SPLITS = ("train", "validation", "test")
SCALE = 40.0
"""Stored units per unit of compressed level: 255 of them are 25 dB above the loud level of the music."""


@dataclass(frozen=True)
class Piece:
    """One piece of music.

    Attributes:
        group: the kind of source, one of GROUPS.
        mel: (T, MELS) uint8, compressed level at HOP_RATE in units of 1 / SCALE.
        beats: (N,) seconds, rising, N ≥ 4.
        downbeats: (N,) bool, which beats begin a bar; all False where the bars are not known.
    """

    group: str
    mel: npt.NDArray[np.uint8]
    beats: Array
    downbeats: npt.NDArray[np.bool_]


def split_of(key: str) -> str:
    """Return the split of everything made by one composer or from one piece: a hash of its name decides.

    A groove that the dancer's corpus holds out for testing is held out here too.
    """
    if song_split(key) == "test":
        return "test"
    return "validation" if zlib.crc32(os.fsencode(f"validation {key}")) % 7 == 0 else "train"


def mel_levels(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return (T, MELS) uint8: the compressed mel spectrum of (n,) samples at 24 kHz, in units of 1 / SCALE."""
    spectrum = Spectrum()
    blocks = [
        np.log1p(MEL_COMPRESSION * spectrum.process(samples[start : start + FRAME_SAMPLES]).mel[LAG:])
        for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES)
    ]
    levels = np.concatenate(blocks) if blocks else np.zeros((0, MELS))
    return np.clip(np.round(SCALE * 0.5 * levels), 0, 255).astype(np.uint8)


def save_piece(path: Path, piece: Piece) -> None:
    """Write a piece, complete or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_npz(path, vars(piece))


def load_pieces(folder: Path, split: str) -> list[Piece]:
    """Read all pieces of one of SPLITS.

    Raises:
        CorpusError: there are none, or a file is damaged.
    """
    pieces = []
    for path in sorted((folder / split).glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as data:
                pieces.append(Piece(str(data["group"]), data["mel"], data["beats"], data["downbeats"]))
        except (ValueError, KeyError, OSError, EOFError):
            raise CorpusError(f"{path}: damaged, expected a piece that dancerev.model.beats.prepare wrote") from None
    if not pieces:
        raise CorpusError(f"{folder / split}: no pieces; run python -m dancerev.model.beats.prepare first")
    return pieces
