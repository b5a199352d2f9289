"""Dance recorded with its music: folders of BVH and songs, and AIST++.

Nothing is re-timed. What the dancer did at a moment is paired with what the live extractor hears at it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError, DancerevError

from .. import pose, rotation
from ..beats_file import check_tempo
from ..bvh import Bvh, read_bvh
from ..dance_file import frame_rate
from ..json_file import read_json
from ..pose import FRAME_RATE
from . import aist
from .clean import clean_in_time
from .compose import Body
from .dances import vigour
from .kept_file import Arrays, read_kept
from .motion import Motion
from .parallel import in_parallel, note
from .retarget import calibrate, retarget
from .shards import DanceSequence
from .song import Song, decode, extract_features, find_grid, load_song, save_song
from .songs import digest, split_of
from .takes import Take, bvh_files, note_if_empty, pack, save, unpack

Array = npt.NDArray[Any]

_AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".aac")
_SHORTEST = 4.0  # seconds
_LATEST = 24 * 3600.0  # seconds of the music at which a motion may begin


@dataclass(frozen=True)
class Pair:
    """A take and its song.

    Attributes:
        style, split, origin: as of a take; the split is empty until it is known.
        motion: the dance's file.
        fps: its true rate, where the file's is wrong.
        song: the music's file.
        bpm: its tempo, where it is known and constant; otherwise the beats are those that the live tracker hears.
        offset: seconds of the music at which the motion begins.
        choreography: what it has in common with takes of the same dance, where that is known.
        motion_content, song_content: change with what is in the files (:func:`~dancerev.model.corpus.songs.digest`).
    """

    style: str
    split: str
    origin: str
    motion: Path
    fps: float | None
    song: Path
    bpm: float | None = None
    offset: float = 0.0
    choreography: str = ""
    motion_content: str = ""
    song_content: str = ""

    @property
    def name(self) -> str:
        """Of the take, unique in its folder."""
        return self.motion.stem

    @property
    def take_file(self) -> str:
        """Name of the file in which the cleaned motion is kept: another one when the motion or its rate has changed."""
        return f"pair_{self.origin}_{self.name}_{digest(self.motion_content, self.fps)}.npz"

    @property
    def song_file(self) -> str:
        """Name of the file in which the heard music is kept: another one when the song or its tempo has changed."""
        return f"pair_{self.origin}_{self.song.stem}_{digest(self.song_content, self.bpm)}.npz"

    def read(self) -> Bvh:
        """Return the motion."""
        return aist.read_motion(self.motion) if self.motion.suffix == ".pkl" else read_bvh(self.motion)


def find_pairs(*arguments: str) -> list[Pair]:
    """Return the pairs of every ``[STYLE=]FOLDER``.

    AIST++ is recognised by its ``motions/*.pkl``. In any other folder, ``manifest.json`` lists the pairs, ::

        {"pairs": [{"motion": "a.bvh", "music": "song.wav", "style": "waltz", "split": "train", "fps": 60,
                    "bpm": 90, "offset": 0.0}]}

    of which only ``motion`` and ``music`` must be there; without it, files of one name belong together. Where no split
    is given, those that share a song or a dance are in one split.

    Raises:
        OSError: there is no such folder, or a listed file is not there.
        CorpusError: no pairs in it, two motions of one name, or the manifest is damaged.
    """
    found = [pair for argument in arguments for pair in _find(argument)]
    motions: dict[tuple[str, str], Path] = {}
    for pair in found:
        other = motions.setdefault((pair.origin, pair.name), pair.motion)
        if other != pair.motion:
            raise CorpusError(f"{other} and {pair.motion}: two dances of one name; rename one")
    contents = {path: digest(path) for path in {path for pair in found for path in (pair.motion, pair.song)}}
    return _split([replace(p, motion_content=contents[p.motion], song_content=contents[p.song]) for p in found])


def _split(pairs: list[Pair]) -> list[Pair]:
    """Return the pairs with a split each: the given one, or one for all that hang together by songs and dances."""
    keys = [{f"song {p.song_content}", f"dance {p.choreography or p.motion_content}"} for p in pairs]
    groups: list[set[str]] = []
    for shared in keys:
        joined = [group for group in groups if group & shared]
        groups = [group for group in groups if not group & shared] + [shared.union(*joined)]
    splits: dict[str, str] = {}
    for group in groups:
        members = [pair for pair, shared in zip(pairs, keys, strict=True) if shared <= group]
        given = {pair.split for pair in members} - {""}
        chosen = given or {split_of(min(pair.song.stem for pair in members))}
        splits |= dict.fromkeys(group, "train" if "train" in chosen else "test")
    return [
        pair if pair.split else replace(pair, split=splits[min(shared)])
        for pair, shared in zip(pairs, keys, strict=True)
    ]


def _find(argument: str) -> list[Pair]:
    """Return the pairs of one ``[STYLE=]FOLDER``; their splits are empty where none are given."""
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
        audio = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in _AUDIO]
        motions = bvh_files(folder)
        pairs = [
            Pair(style or folder.name, "", folder.name, motion, None, song)
            for motion in motions
            for song in audio
            if song.stem == motion.stem
        ]
        for one, other in pairwise(pairs):
            if one.motion == other.motion:
                raise CorpusError(f"{one.song} and {other.song}: two songs of one name; rename one, or list the pairs")
    if not pairs:
        raise CorpusError(f"{folder}: no pairs of motion and music in it")
    return pairs


def _read_manifest(folder: Path, style: str) -> list[Pair]:
    path = folder / "manifest.json"
    try:
        pairs = [_listed(path, entry, style) for entry in read_json(path)["pairs"]]
    except DancerevError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorpusError(f"{path}: damaged ({error})") from None
    for pair in pairs:
        for file in (pair.motion, pair.song):
            if not file.is_file():
                raise OSError(f"{path}: there is no file {file}")
    return pairs


def _listed(path: Path, entry: dict[str, Any], style: str) -> Pair:
    """Return the pair of an entry of the manifest ``path``."""
    folder = path.parent
    motion, song = folder / entry["motion"], folder / entry["music"]
    split = entry.get("split") or ""
    if split not in ("", "train", "test"):
        raise CorpusError(f"{path}: damaged (split must be train or test, not {split})")
    fps, bpm = (float(entry[key]) if key in entry else None for key in ("fps", "bpm"))
    offset = float(entry.get("offset", 0.0))
    if fps is not None:
        frame_rate(path, np.array(fps))
    if bpm is not None:
        check_tempo(path, bpm)
    if not abs(offset) <= _LATEST:
        raise CorpusError(f"{path}: an offset of {offset:g} s is not one within {_LATEST:g} s")
    return Pair(str(entry.get("style", style)), split, folder.name, motion, fps, song, bpm, offset)


def _find_aist(folder: Path) -> list[Pair]:
    songs = {file.stem: file for file in sorted(folder.rglob("*.wav"))}
    listed = {
        split: set((folder / "splits" / f"crossmodal_{split}.txt").read_text(encoding="utf-8").split())
        for split in ("train", "val", "test")
        if (folder / "splits" / f"crossmodal_{split}.txt").exists()
    }
    pairs = []
    ignored = aist.read_ignored(folder)
    files = [file for file in sorted((folder / "motions").glob("*.pkl")) if file.stem not in ignored]
    if ignored:
        count = len(list((folder / "motions").glob("*.pkl"))) - len(files)
        note(f"{folder}: {count} takes are left out, as its ignore_list.txt says")
    for file in files:
        genre, music, bpm = aist.describe(file.stem)
        if music not in songs:
            raise OSError(f"{folder}: there is no {music}.wav for {file.name}")
        split = ""
        if listed:
            # The cross-modal split lists choreographies so that neither music nor dance is shared.
            split = next((name for name, names in listed.items() if file.stem in names), "")
            if split == "":
                continue
            split = "train" if split == "train" else "test"
        dance = aist.dance_of(file.stem)
        pairs.append(Pair(genre, split, f"aist_{folder.name}", file, aist.FPS, songs[music], bpm, choreography=dance))
    return pairs


def prepare_pairs(
    pairs: list[Pair], styles: list[str], folder: Path, workers: int
) -> tuple[list[Take], list[Song], list[tuple[str, DanceSequence]]]:
    """Clean the takes, extract the songs' features, and align both, as danced and mirrored.

    Args:
        pairs: of any folders.
        styles: of the corpus.
        folder: where takes and songs are kept (``takes`` and ``songs`` below it).
        workers: processes.

    Returns:
        takes, songs, and sequences, each with its split.
    """
    songs_missing = {p.song_file: p for p in pairs if not (folder / "songs" / p.song_file).exists()}
    for _ in in_parallel(
        partial(_hear_song, folder / "songs"), list(songs_missing.values()), workers, "songs of pairs"
    ):
        pass
    origins = sorted({pair.origin for pair in pairs if not (folder / "takes" / pair.take_file).exists()})
    groups = [list({p.take_file: p for p in pairs if p.origin == origin}.values()) for origin in origins]
    for _ in in_parallel(partial(_clean_group, folder / "takes"), groups, workers, "motion of pairs"):
        pass
    takes, songs, sequences = [], {}, []
    for pair in pairs:
        song = load_song(folder / "songs" / pair.song_file)
        starts, segments, report = read_kept(folder / "takes" / pair.take_file, _take)
        takes.append(Take(pair.name, pair.style, pair.origin, pair.split, segments, report, pair.take_file))
        note_if_empty(str(pair.motion), takes[-1])
        songs[pair.song_file] = replace(song, split=pair.split)
        for start, segment in zip(starts, segments, strict=True):
            for mirrored in (False, True):
                motion = segment.mirrored() if mirrored else segment
                sequence = lay(motion, start + pair.offset, song)
                if sequence is not None:
                    sequences.append((pair, mirrored, sequence))
    finished = [
        (pair.split, DanceSequence(**sequence, style=styles.index(pair.style), take=pair.name, mirrored=mirrored))
        for pair, mirrored, sequence in sequences
    ]
    return takes, list(songs.values()), finished


def _hear_song(folder: Path, pair: Pair) -> None:
    audio = decode(pair.song)
    features, heard, period = extract_features(audio)
    beats = heard if pair.bpm is None else find_grid(audio, pair.bpm)
    bpm = pair.bpm or (60.0 / float(np.median(period)) if len(period) else 120.0)
    silences = np.zeros((0, 2))
    save_song(
        folder / pair.song_file,
        Song(pair.song.stem, pair.split, pair.origin, bpm, beats, silences, features),
    )


def _clean_group(folder: Path, pairs: list[Pair]) -> None:
    """Take of one folder, where they are not kept yet: those of one rig are calibrated together."""
    rigs: dict[tuple[str, ...], list[tuple[Pair, Bvh]]] = {}
    for pair in pairs:
        bvh = pair.read()
        rigs.setdefault(bvh.names, []).append((pair, bvh))
    for members in rigs.values():
        try:
            constants = calibrate([bvh for _, bvh in members])
        except ValueError as error:
            raise CorpusError(f"{members[0][0].origin}: {error}") from None
        for pair, bvh in members:
            if (folder / pair.take_file).exists():
                continue
            try:
                timed, report = clean_in_time(retarget(bvh, pair.fps, constants))
            except ValueError as error:
                raise CorpusError(f"{pair.motion}: {error}") from None
            facts = {"starts": np.array([start for start, _ in timed]), "report": json.dumps(asdict(report))}
            save(folder / pair.take_file, {**facts, **pack([segment for _, segment in timed])})


def _take(arrays: Arrays) -> tuple[list[float], list[Motion], dict[str, Any]]:
    """Return starts, segments and report of a take that is kept."""
    starts = arrays["starts"].tolist()
    segments = unpack(arrays, len(starts))
    return starts, segments, json.loads(str(arrays["report"]))


def lay(motion: Motion, start: float, song: Song) -> dict[str, Any] | None:
    """Return the fields of the :class:`~.shards.DanceSequence` of a motion that begins at ``start`` of a song.

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
    speed = vigour(Body(motion.rotations, motion.root, motion.contacts), [])
    first = float(times[rows[0]])
    inside = (song.beats >= first) & (song.beats < times[rows[-1]])
    return {
        "features": song.features[rows],
        "pose": pose.encode(rotations, root, contacts),
        "place": root[:, [0, 2]].astype(np.float32),
        "heading": rotation.yaw_of(rotations[:, 0]).astype(np.float32),
        "speed": np.interp(times[rows] - start, np.arange(len(speed)) / motion.fps, speed).astype(np.float32),
        "phrase": 0.0,
        "tempo": song.bpm,
        "beats": (song.beats[inside] - first).astype(np.float32),
    }
