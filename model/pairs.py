"""Dance recorded with its music: folders of BVH and songs, and AIST++.

Nothing is re-timed. What the dancer did at a moment is paired with what the live extractor hears at it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import aist, pose, rotation
from .bvh import Bvh, read_bvh
from .clean import clean_in_time
from .corpus import DanceSequence
from .motion import Motion
from .music import Song, decode, find_grid, hear, load_song, save_song
from .parallel import in_parallel
from .pose import FRAME_RATE
from .retarget import calibrate, retarget
from .songs import split_of
from .takes import Take, pack, save, unpack

Array = npt.NDArray[Any]

_AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".aac")
_SHORTEST = 4.0  # seconds


@dataclass(frozen=True)
class Pair:
    """A take and its song.

    Attributes:
        name: unique in its folder.
        style, split, origin: as of a take.
        read: gives the motion.
        fps: its true rate, where the file's is wrong.
        song: the music's file.
        bpm: its tempo, where it is known and constant; otherwise the beats are those that the live tracker hears.
        offset: seconds of the music at which the motion begins.
    """

    name: str
    style: str
    split: str
    origin: str
    read: Callable[[], Bvh]
    fps: float | None
    song: Path
    bpm: float | None = None
    offset: float = 0.0

    @property
    def take_file(self) -> str:
        """Name of the file in which the cleaned motion is kept."""
        return f"pair_{self.origin}_{self.name}.npz"

    @property
    def song_file(self) -> str:
        """Name of the file in which the heard music is kept."""
        return f"pair_{self.origin}_{self.song.stem}.npz"


def find_pairs(argument: str) -> list[Pair]:
    """The pairs of ``[STYLE=]FOLDER``.

    AIST++ is recognised by its ``motions/*.pkl``. In any other folder, ``manifest.json`` lists the pairs, ::

        {"pairs": [{"motion": "a.bvh", "music": "song.wav", "style": "waltz", "split": "train", "fps": 60,
                    "bpm": 90, "offset": 0.0}]}

    of which only ``motion`` and ``music`` must be there; without it, files of one name belong together.

    Raises:
        OSError: there is no such folder, or a listed file is not there.
        ValueError: no pairs in it, or the manifest is damaged.
    """
    style, found, rest = argument.partition("=")
    if not found or Path(argument).exists():
        style, rest = "", argument
    folder = Path(rest)
    if not folder.is_dir():
        raise OSError(f"{folder}: there is no such folder")
    if any((folder / "motions").glob("*.pkl")):
        pairs = _find_aist(folder)
    elif (folder / "manifest.json").exists():
        pairs = _read_manifest(folder, style or folder.name)
    else:
        songs = {file.stem: file for file in sorted(folder.rglob("*")) if file.suffix.lower() in _AUDIO}
        pairs = [
            Pair(m.stem, style or folder.name, split_of(m.stem), folder.name, partial(read_bvh, m), None, songs[m.stem])
            for m in sorted(folder.rglob("*.bvh"))
            if m.stem in songs
        ]
    if not pairs:
        raise ValueError(f"{folder}: no pairs of motion and music in it")
    return pairs


def _read_manifest(folder: Path, style: str) -> list[Pair]:
    path = folder / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["pairs"]
        pairs = []
        for entry in entries:
            motion, song = folder / entry["motion"], folder / entry["music"]
            split = entry.get("split") or split_of(motion.stem)
            if split not in ("train", "test"):
                raise ValueError(f"split must be train or test, not {split}")
            fps, bpm = (float(entry[key]) if key in entry else None for key in ("fps", "bpm"))
            pairs.append(
                Pair(
                    motion.stem, str(entry.get("style", style)), split, folder.name, partial(read_bvh, motion), fps,
                    song, bpm, float(entry.get("offset", 0.0)),
                )
            )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error})") from None
    for entry in entries:
        for key in ("motion", "music"):
            if not (folder / entry[key]).is_file():
                raise OSError(f"{path}: there is no file {entry[key]}")
    return pairs


def _find_aist(folder: Path) -> list[Pair]:
    songs = {file.stem: file for file in sorted(folder.rglob("*.wav"))}
    listed = {
        split: set((folder / "splits" / f"crossmodal_{split}.txt").read_text(encoding="utf-8").split())
        for split in ("train", "val", "test")
        if (folder / "splits" / f"crossmodal_{split}.txt").exists()
    }
    pairs = []
    for file in sorted((folder / "motions").glob("*.pkl")):
        genre, music, bpm = aist.describe(file.stem)
        if music not in songs:
            raise OSError(f"{folder}: there is no {music}.wav for {file.name}")
        split = split_of(aist.dance_of(file.stem))
        if listed:
            # The cross-modal split lists choreographies so that neither music nor dance is shared.
            split = next((name for name, names in listed.items() if file.stem in names), "")
            if split == "":
                continue
            split = "train" if split == "train" else "test"
        pairs.append(
            Pair(
                file.stem, genre, split, f"aist_{folder.name}", partial(aist.read_motion, file), aist.FPS,
                songs[music], bpm,
            )
        )  # fmt: skip
    return pairs


def prepare_pairs(
    pairs: list[Pair], styles: list[str], folder: Path, workers: int
) -> tuple[list[Take], list[Song], list[DanceSequence]]:
    """Cleans the takes, hears the songs, and lays them side by side, as danced and mirrored.

    Args:
        pairs: of any folders.
        styles: of the corpus.
        folder: where takes and songs are kept (``takes`` and ``songs`` below it).
        workers: processes.
    """
    songs_missing = {p.song_file: p for p in pairs if not (folder / "songs" / p.song_file).exists()}
    for _ in in_parallel(
        partial(_hear_song, folder / "songs"), list(songs_missing.values()), workers, "songs of pairs"
    ):
        pass
    missing = [pair for pair in pairs if not (folder / "takes" / pair.take_file).exists()]
    groups = [[p for p in missing if p.origin == origin] for origin in sorted({p.origin for p in missing})]
    for _ in in_parallel(partial(_clean_group, folder / "takes"), groups, workers, "motion of pairs"):
        pass
    takes, songs, sequences = [], {}, []
    for pair in pairs:
        song = load_song(folder / "songs" / pair.song_file)
        starts, segments, report = _load_take(folder / "takes" / pair.take_file)
        takes.append(Take(pair.name, pair.style, pair.origin, pair.split, segments, report))
        songs[pair.song_file] = song
        for start, segment in zip(starts, segments, strict=True):
            for mirrored in (False, True):
                motion = segment.mirrored() if mirrored else segment
                sequence = lay(motion, start + pair.offset, song)
                if sequence is not None:
                    sequences.append((pair, mirrored, sequence))
    finished = [
        DanceSequence(**sequence, style=styles.index(pair.style), take=pair.name, mirrored=mirrored)
        for pair, mirrored, sequence in sequences
    ]
    return takes, list(songs.values()), finished


def _hear_song(folder: Path, pair: Pair) -> None:
    audio = decode(pair.song)
    features, heard, period = hear(audio)
    beats = heard if pair.bpm is None else find_grid(audio, pair.bpm)
    bpm = pair.bpm or (60.0 / float(np.median(period)) if len(period) else 120.0)
    silences = np.zeros((0, 2))
    save_song(
        folder / pair.song_file,
        Song(pair.song.stem, pair.split, pair.origin, bpm, beats, silences, features),
    )


def _clean_group(folder: Path, pairs: list[Pair]) -> None:
    """Takes of one folder: those of one rig are calibrated together."""
    rigs: dict[tuple[str, ...], list[tuple[Pair, Bvh]]] = {}
    for pair in pairs:
        bvh = pair.read()
        rigs.setdefault(bvh.names, []).append((pair, bvh))
    for members in rigs.values():
        try:
            constants = calibrate([bvh for _, bvh in members])
        except ValueError as error:
            raise ValueError(f"{members[0][0].origin}: {error}") from None
        for pair, bvh in members:
            timed, report = clean_in_time(retarget(bvh, pair.fps, constants))
            facts = {"starts": np.array([start for start, _ in timed]), "report": json.dumps(asdict(report))}
            save(folder / pair.take_file, {**facts, **pack([segment for _, segment in timed])})


def _load_take(path: Path) -> tuple[list[float], list[Motion], dict[str, Any]]:
    with np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    starts = arrays["starts"].tolist()
    segments = unpack(arrays, len(starts))
    return starts, segments, json.loads(str(arrays["report"]))


def lay(motion: Motion, start: float, song: Song) -> dict[str, Any] | None:
    """What a :class:`~dancerev.model.corpus.DanceSequence` says of a motion that begins at ``start`` of a song.

    The stage centre is the middle of the dancer's way, and the way the dancer mostly faces is +Z.

    Returns:
        None where motion and song share less than four seconds.
    """
    times = (np.arange(len(song.features)) + 2.0) / FRAME_RATE
    rows = np.flatnonzero((times >= start) & (times <= start + motion.seconds))
    if len(rows) < _SHORTEST * FRAME_RATE:
        return None
    heading = rotation.yaw_of(motion.rotations[:, 0])
    facing = float(np.arctan2(np.sin(heading).mean(), np.cos(heading).mean()))
    motion = motion.placed(-facing, motion.root[:, [0, 2]].mean(axis=0))
    rotations, root, contacts = motion.at(times[rows] - start)
    first = float(times[rows[0]])
    inside = (song.beats >= first) & (song.beats < times[rows[-1]])
    return {
        "features": song.features[rows],
        "pose": pose.encode(rotations, root, contacts),
        "place": root[:, [0, 2]].astype(np.float32),
        "heading": rotation.yaw_of(rotations[:, 0]).astype(np.float32),
        "tempo": song.bpm,
        "beats": (song.beats[inside] - first).astype(np.float32),
    }
