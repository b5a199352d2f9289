"""Prepare music for the beat network: ``python -m dancerev.model.beats.prepare --real DIR --abc DIR … -o SPECTRA``.

Four kinds of source, any of which may be left out: recorded songs with a ``.beats.json`` each, tunes in ABC notation,
MIDI files, and the grooves of the Groove MIDI Dataset. What is written is read by ``dancerev.model.beats.train``: mel
spectra with beats and downbeats, split into training, validation and test set by composer, tune, file or groove.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import CorpusError, InputError
from dancerev.realtime.audio.clock import SAMPLE_RATE

from ..beats_file import SUFFIX, read_beats
from ..corpus.parallel import in_parallel
from ..corpus.render_music import play_midi
from ..corpus.song import decode
from .music import LabelledMusic, Source, compose, master, read_source
from .spectra import SPLITS, Piece, mel_levels, save_piece, split_of
from .tunes import SHARES, Tune, render_tune, tunes_of

Array = npt.NDArray[Any]

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
TUNE_SECONDS, GROOVE_SECONDS, MIDI_SECONDS = 40.0, 42.0, 60.0
HELD_OUT = 6  # so many times fewer pieces are rendered for validation, and for test, than for training
SAME = 0.01  # seconds within which a beat and a downbeat are the same
FASTEST_COUNTED = 220.0  # BPM of a MIDI file, above which every second beat is counted and the bar is not known


@dataclass(frozen=True)
class Job:
    """One piece to prepare: its ``split``, ``group`` and unique ``name``, and what makes its music."""

    split: str
    group: str
    name: str
    make: Callable[[], LabelledMusic]


def recorded(folder: Path) -> list[Job]:
    """Return the songs in and under ``folder`` with a ``.beats.json``, split by composer.

    Raises:
        CorpusError: there are none.
        InputError: index.tsv names no songs.
    """
    composers = read_composers(folder / "index.tsv")
    jobs = []
    for beats in sorted(folder.rglob(f"*{SUFFIX}")):
        stem = beats.name.removesuffix(SUFFIX)
        songs = [path for path in sorted(beats.parent.iterdir()) if path.stem == stem and path.suffix != ".json"]
        composer = composers.get(stem) or stem.split("__")[0]
        name = "__".join(beats.relative_to(folder).with_name(stem).parts)
        jobs += [Job(split_of(composer), "real", name, partial(load_song, song, beats)) for song in songs[:1]]
    if not jobs:
        raise CorpusError(f"{folder}: no music with a {SUFFIX} beside it")
    return jobs


def read_composers(index: Path) -> dict[str, str]:
    """Return the composer of each song of an ``index.tsv`` with columns ``name`` and ``composer``; {} without them.

    Raises:
        InputError: the file has no column ``name``.
    """
    if not index.exists():
        return {}
    with index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if rows and "name" not in rows[0]:
        raise InputError(f"{index}: expected a column named name")
    return {row["name"]: row["composer"] for row in rows if row.get("composer")}


def load_song(song: Path, beats: Path) -> LabelledMusic:
    """Read a recorded song and its annotation.

    Raises:
        OSError: a file cannot be read.
        InputError: the annotation is none.
        CorpusError: the song cannot be decoded.
    """
    known = read_beats(beats)
    downbeats = np.zeros(len(known.beats), dtype=bool)
    if len(known.downbeats):
        downbeats = np.abs(known.beats[:, None] - known.downbeats).min(axis=1) < SAME
    return LabelledMusic(decode(song), known.beats, downbeats)


def tunes(folder: Path, clips: int, soundfont: Path, seed: int) -> list[Job]:
    """Return renderings of the ABC tunes in and under ``folder``, split by title.

    Raises:
        CorpusError: there are none.
        OSError: abc2midi is not installed.
    """
    found = [
        tune
        for path in sorted(folder.rglob("*.abc"))
        for tune in tunes_of(path.read_text(encoding="utf-8", errors="replace"))
    ]
    if not found:
        raise CorpusError(f"{folder}: no tunes (.abc) with a known metre and eight regular bars")
    jobs = []
    for split in SPLITS:
        rng = np.random.default_rng(_seed("tunes", split, seed))
        groups: dict[str, list[Tune]] = {}
        for tune in found:
            if split_of(tune.title) == split:
                groups.setdefault(tune.signature, []).append(tune)
        signatures = [signature for signature in SHARES if signature in groups]
        share = np.array([SHARES[signature] for signature in signatures])
        for index in range(_count(split, clips) if signatures else 0):
            choices = groups[str(rng.choice(signatures, p=share / share.sum()))]
            tune = choices[int(rng.integers(len(choices)))]
            make = partial(render_tune, tune, TUNE_SECONDS, soundfont, _seed("tunes", split, seed, index))
            jobs.append(Job(split, "tunes", f"{index:05d}", make))
    return jobs


def grooves(archive: Path, clips: int, soundfont: Path, seed: int, without: frozenset[str]) -> list[Job]:
    """Return pieces composed of the grooves in ``archive`` and of programmed rhythms, split by groove.

    Raises:
        OSError: a file is missing.
        CorpusError: there are no grooves in a split.
    """
    jobs = []
    for split in SPLITS:
        source, count = read_source(archive, soundfont, split, without), _count(split, clips)
        for index in range(count):
            make = partial(_compose, source, _seed("grooves", split, seed, index), (index + 0.5) / count)
            jobs.append(Job(split, "grooves", f"{index:05d}", make))
    return jobs


def _compose(source: Source, seed: int, place: float) -> LabelledMusic:
    return compose(source, GROOVE_SECONDS, seed, place)


def midi_files(folder: Path, soundfont: Path, seed: int) -> list[Job]:
    """Return a stretch of each MIDI file in and under ``folder`` with one tempo and at most one metre, split by file.

    Raises:
        CorpusError: there are none.
    """
    jobs = []
    for path in sorted(folder.rglob("*.mid")):
        grid = midi_grid(path)
        if grid:
            make = partial(render_midi, path, *grid, soundfont, _seed("midi", path.stem, seed))
            jobs.append(
                Job(split_of(path.stem), "midi", "__".join(path.relative_to(folder).with_suffix("").parts), make)
            )
    if not jobs:
        raise CorpusError(f"{folder}: no MIDI file (.mid) of one tempo, in 4/4 or 3/4")
    return jobs


def midi_grid(path: Path) -> tuple[float, int] | None:
    """Return BPM and beats per bar (0 where not known) of a MIDI file; None if either changes, or it is damaged."""
    try:
        midi = mido.MidiFile(str(path), clip=True)
        events = [event for track in midi.tracks for event in track]
        seconds = midi.length
    except (OSError, EOFError, ValueError, LookupError, TypeError):
        return None
    tempi = {event.tempo for event in events if event.type == "set_tempo"}
    metres = {(event.numerator, event.denominator) for event in events if event.type == "time_signature"}
    if len(tempi) != 1 or len(metres) > 1 or not metres <= {(4, 4), (3, 4)} or seconds < 20.0:
        return None
    bpm = 6e7 / tempi.pop()
    if bpm > FASTEST_COUNTED:
        return bpm / 2.0, 0
    return bpm, metres.pop()[0] if metres else 0


def render_midi(path: Path, bpm: float, per_bar: int, soundfont: Path, seed: int) -> LabelledMusic:
    """Render MIDI_SECONDS of a MIDI file from the beginning of a random bar.

    Raises:
        OSError: FluidSynth is not installed or fails.
    """
    rng = np.random.default_rng(seed)
    audio = play_midi(path, soundfont)
    bar = 60.0 / bpm * (per_bar or 4)
    start = bar * int(rng.integers(0, max(1, int((len(audio) / SAMPLE_RATE - MIDI_SECONDS) / bar))))
    audio = audio[round(start * SAMPLE_RATE) :][: int(MIDI_SECONDS * SAMPLE_RATE)]
    beats = np.arange(0.0, len(audio) / SAMPLE_RATE - 60.0 / bpm, 60.0 / bpm)
    index = np.arange(len(beats))
    return LabelledMusic(master(audio, rng), beats, (index % per_bar == 0) if per_bar else np.zeros(len(beats), bool))


def _count(split: str, clips: int) -> int:
    return clips if split == "train" else -(-clips // HELD_OUT)


def _seed(*facts: object) -> int:
    return zlib.crc32(os.fsencode(" ".join(map(str, facts))))


def prepare(jobs: list[Job], folder: Path, workers: int) -> None:
    """Write ``folder/SPLIT/GROUP__NAME.npz`` for each job.

    Raises:
        InputError: the folder holds pieces already.
        OSError: a program is not installed, or a file cannot be written.
        CorpusError: a song cannot be decoded.
    """
    if any(folder.glob("*/*.npz")):
        raise InputError(f"{folder}: holds pieces already; name a new folder")
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
    for _ in in_parallel(partial(_prepare_piece, folder), jobs, workers, "music"):
        pass


def _prepare_piece(folder: Path, job: Job) -> None:
    music = job.make()
    mel = mel_levels(music.audio)
    save_piece(folder / job.split / f"{job.group}__{job.name}.npz", Piece(job.group, mel, music.beats, music.downbeats))


def grooves_of(folder: Path) -> frozenset[str]:
    """Return the grooves, by their paths inside the data set, of which the music in and under ``folder`` was made.

    Music that is no groove may lie among it and names no source.

    Raises:
        CorpusError: none of the music names its source, or a file is damaged.
    """
    files = sorted(folder.rglob("*.beats.json"))
    if not files:
        raise CorpusError(f"{folder}: no .beats.json in it")
    grooves = set()
    for file in files:
        try:
            source = json.loads(file.read_text(encoding="utf-8")).get("source")
        except (ValueError, AttributeError):
            raise CorpusError(f"{file}: damaged, expected JSON with the source of the music") from None
        if source:
            grooves.add(str(source))
    if not grooves:
        raise CorpusError(f"{folder}: none of its .beats.json names a source, so there is nothing to leave out")
    return frozenset(grooves)


@command("dancerev.model.beats.prepare")
def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ArgumentParser(prog="dancerev.model.beats.prepare", description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, help="folder of recorded songs, each with a .beats.json beside it")
    parser.add_argument("--abc", type=Path, help="folder of tunes in ABC notation; needs abc2midi")
    parser.add_argument("--midi", type=Path, help="folder of MIDI files")
    parser.add_argument("--grooves", type=Path, help="the Groove MIDI Dataset (zip, MIDI only)")
    parser.add_argument("--without", type=Path, help="leave out the grooves of the .beats.json files in this folder")
    parser.add_argument(
        "--clips", type=int, default=300, help="tunes, and as many of grooves, to train on (default 300)"
    )
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT, help=f"default {SOUNDFONT}")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SPECTRA", help="new folder to write")
    arguments = parser.parse_args(argv)
    rendered = arguments.abc or arguments.midi or arguments.grooves
    if not (arguments.real or rendered):
        raise InputError("name a source of music: --real, --abc, --midi or --grooves")
    for folder in (arguments.real, arguments.abc, arguments.midi):
        if folder and not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder")
    if rendered and not arguments.soundfont.is_file():
        raise InputError(f"{arguments.soundfont}: there is no such soundfont; name one with --soundfont")
    without = grooves_of(arguments.without) if arguments.without else frozenset()
    jobs = recorded(arguments.real) if arguments.real else []
    clips, soundfont, seed = arguments.clips, arguments.soundfont, arguments.seed
    jobs += tunes(arguments.abc, clips, soundfont, seed) if arguments.abc else []
    jobs += midi_files(arguments.midi, soundfont, seed) if arguments.midi else []
    jobs += grooves(arguments.grooves, clips, soundfont, seed, without) if arguments.grooves else []
    prepare(jobs, arguments.output, arguments.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
