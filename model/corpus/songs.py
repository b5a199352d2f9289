"""The corpus's music: songs with known beats from folders, and pieces rendered from grooves, heard once and kept."""

from __future__ import annotations

import hashlib
import os
import wave
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError
from dancerev.realtime.audio.clock import SAMPLE_RATE

from ..beats_file import SUFFIX, Annotation, beats_path, read_beats, write_beats
from .parallel import in_parallel
from .song import Song, decode, extract_features, load_song, save_song

Array = npt.NDArray[Any]

_TEMPI = (70.0, 175.0)
_PIECE_SECONDS = (35.0, 60.0)
_ONE_IN = 8  # grooves and songs of which one is kept for the test split
_FADE = 8.0  # seconds
_LARGEST_MEMBER = 512 * 2**20  # bytes
_FEWEST_BEATS = 4  # to which a dancer can be set


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
    return "test" if zlib.crc32(os.fsencode(source)) % _ONE_IN == 0 else "train"


def digest(*facts: object) -> str:
    """Twelve digits that change with the facts, a path standing for what is in its file.

    They are part of the names of files that are kept, so that what was made of something else is not used again.
    """
    total = hashlib.sha256()
    for fact in facts:
        if isinstance(fact, Path):
            with fact.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        else:
            total.update(repr(fact).encode() + b"\n")
    return total.hexdigest()[:12]


def read_member(archive: Path, member: str) -> bytes:
    """One file of a zip.

    Raises:
        OSError: there is no such archive.
        CorpusError: it is damaged, encrypted or packed in a way that is not known.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            size = file.getinfo(member).file_size
            if size > _LARGEST_MEMBER:
                raise CorpusError(f"{archive}/{member}: unpacks to {size // 2**20} MiB, more than such a file has")
            return file.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OverflowError) as error:
        raise CorpusError(f"{archive}/{member}: cannot be unpacked ({error})") from None


def find_songs(folder: Path) -> list[Piece]:
    """Return the songs of a folder that have a ``.beats.json`` beside them.

    Raises:
        OSError: there is no such folder.
        CorpusError: no such song in it, or a beats file is damaged.
    """
    if not folder.is_dir():
        raise OSError(f"{folder}: there is no such folder")
    files = [file for file in sorted(folder.iterdir()) if file.suffix != ".json" and beats_path(file).exists()]
    if not files:
        raise CorpusError(f"{folder}: no song with a .beats.json beside it")
    return [Piece(file.stem, split_of(read_beats(beats_path(file)).source), folder.name, file=file) for file in files]


def plan_clips(grooves: Grooves) -> list[Piece]:
    """Tempi spread evenly over 70 … 175 BPM, each with a groove that was played within a third of it.

    Raises:
        OSError: there is no such archive or soundfont.
        CorpusError: it holds no grooves.
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
        raise CorpusError(f"{grooves.archive}: not a zip file") from None
    if not members:
        raise CorpusError(f"{grooves.archive}: no grooves (…_beat_4-4.mid) in it")
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
    """Return the groove's path inside the data set, the same as in the ``source`` of a rendered song's beats."""
    return "/".join(Path(member).parts[1:])


def check_songs(pieces: list[Piece], held_out: Path | None) -> None:
    """Refuses music that would be lost: two songs of one name, or one over which the test split would be written.

    Raises:
        CorpusError: so it is; the message names the files.
    """
    seen: dict[str, Piece] = {}
    for piece in pieces:
        other = seen.setdefault(piece.name, piece)
        if other is not piece:
            places = " and ".join(str(p.file or p.origin) for p in (other, piece))
            raise CorpusError(f"{places}: two songs of one name, {piece.name}; rename one")
        if held_out is not None and piece.file is not None and piece.file.parent.resolve() == held_out.resolve():
            raise CorpusError(f"{held_out}: holds music to dance to; name another folder with --held-out-music")


def prepare_songs(
    pieces: list[Piece], grooves: Grooves | None, folder: Path, held_out: Path | None, workers: int
) -> list[Song]:
    """Render the music that is not in ``folder`` yet and extract its features; write test audio to ``held_out``.

    Raises:
        OSError: a file cannot be read or written, or FluidSynth fails.
        CorpusError: a file is damaged; the message names it.
    """
    soundfont = "" if grooves is None else digest(grooves.soundfont)
    paths = {piece.name: folder / f"{piece.name}_{_made_of(piece, grooves, soundfont)}.npz" for piece in pieces}
    # Audio for the test split is written every time: what lies there may be of another run.
    jobs = [
        (piece, paths[piece.name], held_out if piece.split == "test" else None)
        for piece in pieces
        if not paths[piece.name].exists() or (piece.split == "test" and held_out is not None)
    ]
    for _ in in_parallel(partial(_prepare_song, grooves), jobs, workers, "music"):
        pass
    return [load_song(paths[piece.name]) for piece in pieces]


def _made_of(piece: Piece, grooves: Grooves | None, soundfont: str) -> str:
    """Change with all that a heard song depends on."""
    if piece.file is not None:
        return digest(piece.split, piece.origin, piece.file, beats_path(piece.file))
    assert grooves is not None
    with zipfile.ZipFile(grooves.archive) as archive:
        groove = archive.getinfo(piece.groove)
    return digest(piece, groove.CRC, groove.file_size, soundfont)


def _prepare_song(grooves: Grooves | None, job: tuple[Piece, Path, Path | None]) -> None:
    piece, path, held_out = job
    if piece.file is not None:
        audio = decode(piece.file)
        known = read_beats(beats_path(piece.file))
        bpm, beats, source, quiet = known.bpm, known.beats, known.source, known.silences
        audio = audio[: round(_annotated_seconds(known) * SAMPLE_RATE)]
    else:
        from .render_music import read_groove, render

        assert grooves is not None
        groove = read_groove(read_member(grooves.archive, piece.groove))
        seconds = float(np.random.default_rng(piece.seed).uniform(*_PIECE_SECONDS))
        # Every second piece begins in silence and pauses once.
        clip = render(groove, piece.bpm, seconds, grooves.soundfont, piece.seed, silences=piece.seed % 2 == 0)
        audio, bpm, beats, source = clip.audio, piece.bpm, clip.beats, _source(piece.groove)
        quiet = np.array(clip.breaks, dtype=np.float64).reshape(-1, 2)
    beats = beats[beats < len(audio) / SAMPLE_RATE]
    for start, stop in quiet:
        beats = beats[(beats < start) | (beats >= stop)]
    rests = rests_of(quiet, beats, len(audio) / SAMPLE_RATE)
    danced = beats
    for start, stop in rests:
        danced = danced[(danced < start) | (danced >= stop)]
    if len(danced) < _FEWEST_BEATS:
        raise CorpusError(f"{piece.file or piece.name}: fewer than {_FEWEST_BEATS} beats in a row while music plays")
    if held_out is not None:
        _write_audio(held_out, piece.name, audio)
        write_beats(held_out / f"{piece.name}{SUFFIX}", Annotation(beats, bpm, source, quiet))
    if not path.exists():
        features, _, _ = extract_features(audio)
        save_song(path, Song(piece.name, piece.split, piece.origin, bpm, danced, rests, features))


def _annotated_seconds(known: Annotation) -> float:
    """Seconds up to which an annotation goes: music may fade out after its last beat, but not play on for long."""
    return float(max(known.beats[-1], *known.silences[:, 1], 0.0)) + _FADE


def rests_of(silences: Array, beats: Array, seconds: float) -> Array:
    """(R, 2) seconds in which the dancer rests: the silences, and what lies between them where it is too short.

    Args:
        silences: (S, 2) start and stop, one after the other.
        beats: (N,) of the music, none of them in the silences.
        seconds: length of the music.
    """
    rests: list[tuple[float, float]] = []
    for start, stop in [*silences.tolist(), (seconds, seconds)]:
        before = rests[-1][1] if rests else 0.0
        if len(silences) and ((beats >= before) & (beats < start)).sum() < _FEWEST_BEATS:
            start = rests.pop()[0] if rests else 0.0
        if stop > start and start < seconds - 1.0:
            rests.append((start, min(stop, seconds)))
    return np.array(rests, dtype=np.float64).reshape(-1, 2)


def _write_audio(folder: Path, name: str, audio: Array) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
