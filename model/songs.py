"""The corpus's music: songs with known beats from folders, and pieces rendered from grooves, heard once and kept."""

from __future__ import annotations

import json
import wave
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .music import SAMPLE_RATE, Song, decode, hear, load_song, read_beats, save_song
from .parallel import in_parallel

Array = npt.NDArray[Any]

_TEMPI = (70.0, 175.0)
_PIECE_SECONDS = (35.0, 60.0)
_ONE_IN = 8  # grooves and songs of which one is kept for the test split


@dataclass(frozen=True)
class Piece:
    """Music to be heard: a file with beats beside it, or a groove to be rendered at ``bpm``."""

    name: str
    split: str
    origin: str
    file: Path | None = None
    groove: str = ""
    bpm: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Grooves:
    """What is rendered: the Groove MIDI Dataset's ``archive``, with a ``soundfont``, into so many ``clips``."""

    archive: Path
    soundfont: Path
    clips: int
    seed: int


def split_of(source: str) -> str:
    """``test`` for one source in eight, by its name, whatever is made of it; else ``train``."""
    return "test" if zlib.crc32(source.encode()) % _ONE_IN == 0 else "train"


def find_songs(folder: Path) -> list[Piece]:
    """The songs of a folder that have a ``.beats.json`` beside them.

    Raises:
        OSError: there is no such folder.
        ValueError: no such song in it, or a beats file is damaged.
    """
    if not folder.is_dir():
        raise OSError(f"{folder}: there is no such folder")
    files = [
        file for file in sorted(folder.iterdir()) if file.suffix != ".json" and file.with_suffix(".beats.json").exists()
    ]
    if not files:
        raise ValueError(f"{folder}: no song with a .beats.json beside it")
    return [
        Piece(file.stem, split_of(read_beats(file.with_suffix(".beats.json"))[2]), folder.name, file=file)
        for file in files
    ]


def plan_clips(grooves: Grooves) -> list[Piece]:
    """Tempi spread evenly over 70 … 175 BPM, each with a groove that was played within a third of it.

    Raises:
        OSError: there is no such archive or soundfont.
        ValueError: it holds no grooves.
    """
    if not grooves.soundfont.is_file():
        raise OSError(f"{grooves.soundfont}: there is no such soundfont; name one with --soundfont")
    try:
        with zipfile.ZipFile(grooves.archive) as archive:
            members = [
                name
                for name in archive.namelist()
                if name.endswith("_beat_4-4.mid") and archive.getinfo(name).file_size > 700
            ]
    except zipfile.BadZipFile:
        raise ValueError(f"{grooves.archive}: not a zip file") from None
    if not members:
        raise ValueError(f"{grooves.archive}: no grooves (…_beat_4-4.mid) in it")
    played = {name: float(Path(name).stem.split("_")[-3]) for name in members}
    rng = np.random.default_rng(grooves.seed)
    pieces = []
    for index in range(grooves.clips):
        bpm = float(_TEMPI[0] * (_TEMPI[1] / _TEMPI[0]) ** ((index + rng.random()) / grooves.clips))
        split = "test" if index % _ONE_IN == _ONE_IN // 2 else "train"
        fitting = [
            name for name in members if abs(np.log2(bpm / played[name])) < 0.4 and split_of(_source(name)) == split
        ]
        if fitting:
            groove = fitting[int(rng.integers(len(fitting)))]
            seed = grooves.seed * 10_000 + index
            pieces.append(
                Piece(f"clip{index:03d}_{round(bpm)}", split, grooves.archive.name, groove=groove, bpm=bpm, seed=seed)
            )
    return pieces


def _source(member: str) -> str:
    """The groove's path inside the data set, the same as in the ``source`` of a rendered song's beats."""
    return "/".join(Path(member).parts[1:])


def prepare_songs(
    pieces: list[Piece], grooves: Grooves | None, folder: Path, held_out: Path | None, workers: int
) -> list[Song]:
    """Renders and hears the music that is not in ``folder`` yet; the test split's audio is written to ``held_out``."""
    missing = [piece for piece in pieces if not (folder / f"{piece.name}.npz").exists()]
    for _ in in_parallel(partial(_prepare_song, folder, grooves, held_out), missing, workers, "music"):
        pass
    return [load_song(folder / f"{piece.name}.npz") for piece in pieces]


def _prepare_song(folder: Path, grooves: Grooves | None, held_out: Path | None, piece: Piece) -> None:
    silences: list[tuple[float, float]] = []
    if piece.file is not None:
        audio = decode(piece.file)
        bpm, beats, _ = read_beats(piece.file.with_suffix(".beats.json"))
    else:
        from .music_render import read_groove, render

        assert grooves is not None
        with zipfile.ZipFile(grooves.archive) as archive:
            groove = read_groove(archive.read(piece.groove))
        seconds = float(np.random.default_rng(piece.seed).uniform(*_PIECE_SECONDS))
        # Every second piece begins in silence and pauses once.
        clip = render(groove, piece.bpm, seconds, grooves.soundfont, piece.seed, silences=piece.seed % 2 == 0)
        audio, bpm, beats, silences = clip.audio, piece.bpm, clip.beats, clip.breaks
    beats = beats[beats < len(audio) / SAMPLE_RATE]
    if piece.split == "test" and held_out is not None:
        _write_audio(held_out, piece.name, audio, {"bpm": bpm, "beats": beats, "silences": silences})
    quiet = np.array(silences, dtype=np.float64).reshape(-1, 2)
    features, _, _ = hear(audio)
    save_song(folder / f"{piece.name}.npz", Song(piece.name, piece.split, piece.origin, bpm, beats, quiet, features))


def _write_audio(folder: Path, name: str, audio: Array, facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    content = {key: np.round(value, 4).tolist() for key, value in facts.items()}
    (folder / f"{name}.beats.json").write_text(json.dumps(content), encoding="utf-8")
