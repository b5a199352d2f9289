"""``dancerev-prepare``: from motion capture and music to the shards a training reads."""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import pose
from .bvh import Bvh, parse_bvh
from .clean import clean
from .corpus import MANIFEST, DanceSequence, save_shard
from .features import FEATURE_SIZE, FEATURE_VERSION
from .motion import Motion
from .motion_beats import Pulse, alignment, fit_pulse, joint_speed, kinematic_beats
from .music import Song, followed, hear, load_song, read_beats, save_song
from .pairing import FPS, Repertoire, compose
from .pose import FRAME_RATE, POSE_SIZE
from .retarget import calibrate, retarget
from .rotation import yaw_of
from .skeleton import forward_kinematics

Array = npt.NDArray[Any]
T = TypeVar("T")

STYLES = ("salsa", "indian", "modern", "martial")
RATES = tuple(float(64.0 * 2 ** (step / 8)) for step in range(9))
"""Dance beats a minute for which every take's pulse is fitted; between them it is played a little faster or slower."""

PROVENANCE = {
    "cmu": {
        "source": "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu",
        "licence": "free for research and commercial use; the data itself may not be resold",
        "acknowledgement": "The data used in this project was obtained from mocap.cs.cmu.edu. "
        "The database was created with funding from NSF EIA-0196217.",
    },
    "groove": {
        "source": "Groove MIDI Dataset, Google LLC, magenta.tensorflow.org/datasets/groove; rendered with FluidR3 GM",
        "licence": "CC BY 4.0",
        "acknowledgement": "Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, and David Bamman. "
        "Learning to Groove with Inverse Sequence Transformations. ICML 2019.",
    },
    "aist": {
        "source": "AIST++ Dance Motion Dataset, google.github.io/aistplusplus_dataset; AIST Dance Video Database",
        "licence": "annotations CC BY 4.0; the music under the terms of the AIST Dance Video Database",
        "acknowledgement": "Ruilong Li, Shan Yang, David A. Ross, Angjoo Kanazawa. "
        "AI Choreographer: Music Conditioned 3D Dance Generation with AIST++. ICCV 2021.",
    },
}
"""What is known of public collections, by the word with which the name of a file or folder of theirs begins."""

_STRETCHES = 2.0 ** np.linspace(-0.6, 0.6, 9)
_FASTEST_STEP = 130.0  # above this tempo, one movement takes two beats
_SLOWEST_STEP = 85.0  # below this tempo, half of the dances move twice a beat
_SHORTEST_SEQUENCE = 12.0  # seconds
_LOST = 4.0  # seconds for which the tracker may be lost without the dance being left out
_SHARD = 24  # sequences
_TEMPI = (70.0, 175.0)


@dataclass(frozen=True)
class Source:
    """A motion file on the command line: its style, its name, its true rate if given, and how to read it."""

    style: str
    name: str
    fps: float | None
    origin: str
    read: Callable[[], str]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="dancerev-prepare", description="Pairs motion capture with music whose beats are known."
    )
    parser.add_argument(
        "motion", nargs="+", metavar="[STYLE=]PATH[@FPS]", help="BVH file, folder or zip; FPS where the files lie"
    )
    parser.add_argument("--music", nargs="*", type=Path, default=[], metavar="FOLDER", help="songs with .beats.json")
    parser.add_argument("--grooves", type=Path, metavar="ZIP", help="Groove MIDI Dataset, to render more music from")
    parser.add_argument("--clips", type=int, default=96, help="pieces to render (default 96)")
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), metavar="SF2")
    parser.add_argument("--held-out", nargs="*", default=[], metavar="TEXT", help="takes for the test split, by name")
    parser.add_argument("--held-out-music", type=Path, metavar="DIR", help="where to write the test split's music")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--hours", type=float, default=4.0, help="of paired motion in all (default 4)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        prepare(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        print(f"dancerev-prepare: {error}", file=sys.stderr)
        sys.exit(2)


def prepare(options: argparse.Namespace) -> None:
    """The whole way; what an earlier run has left in the folder is not made again."""
    out: Path = options.out
    for folder in ("takes", "songs", "pulses"):
        (out / "work" / folder).mkdir(parents=True, exist_ok=True)
    sources = [source for argument in options.motion for source in find_motion(argument)]
    takes = prepare_takes(sources, out / "work" / "takes", options)
    songs = prepare_songs(out / "work" / "songs", options)
    prepare_pulses(takes, out / "work" / "pulses", options)
    write_real(takes, out)
    write_dances(takes, songs, out, options)


def provenance(origin: str) -> dict[str, str]:
    """Source, licence and acknowledgement of a file or folder of motion or music."""
    known = next((PROVENANCE[key] for key in PROVENANCE if origin.lower().startswith(key)), None)
    return known or {"source": origin, "licence": "unknown: weights trained on it may not be shipped"}


def _progress(jobs: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track

    return iter(track(jobs, total=total, description=label, console=Console(stderr=True)))


def _in_parallel(function: Callable[[T], Any], jobs: list[T], workers: int, label: str) -> list[Any]:
    if workers <= 1 or len(jobs) < 2:
        return list(_progress(map(function, jobs), len(jobs), label))
    with ProcessPoolExecutor(workers) as pool:
        return list(_progress(pool.map(function, jobs), len(jobs), label))


# Motion ------------------------------------------------------------------------------------------------------------


def find_motion(argument: str) -> list[Source]:
    """The BVH files that one ``[STYLE=]PATH[@FPS]`` names; without STYLE, the first style in the path's name.

    Raises:
        OSError: there is no such path.
        ValueError: it holds no BVH file, its rate is not a number or its style is unknown.
    """
    style, found, rest = argument.partition("=")
    if not found or style not in STYLES:
        style, rest = "", argument
    text, at, rate = rest.rpartition("@")
    if not at or Path(rest).exists():
        text, rate = rest, ""
    try:
        fps = float(rate) if rate else None
    except ValueError:
        raise ValueError(f"{argument}: '{rate}' is not a number of frames per second") from None
    path = Path(text)
    if not path.exists():
        raise OSError(f"{path}: there is no such file or folder")
    style = style or next((name for name in STYLES if name in path.stem), "")
    if not style:
        raise ValueError(f"{path}: style unknown; write STYLE={path} with one of {', '.join(STYLES)}")
    sources = []
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = sorted(name for name in archive.namelist() if name.lower().endswith(".bvh"))
        sources = [Source(style, Path(m).stem, fps, path.name, partial(_read_member, path, m)) for m in members]
    else:
        files = sorted(path.rglob("*.bvh")) if path.is_dir() else [path]
        sources = [Source(style, f.stem, fps, path.name, partial(_read_text, f)) for f in files]
    if not sources:
        raise ValueError(f"{path}: no BVH file in it")
    return sources


def _read_member(path: Path, member: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(member).decode("utf-8", errors="replace")


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Take:
    """A cleaned take: segments at 60 fps, of one style and split, and what its cleaning did."""

    name: str
    style: str
    split: str
    origin: str
    segments: list[Motion]
    report: dict[str, Any]


def prepare_takes(sources: list[Source], folder: Path, options: argparse.Namespace) -> list[Take]:
    """Retargets and cleans the takes that are not in ``folder`` yet."""
    missing = [source for source in sources if not (folder / f"{source.style}_{source.name}.npz").exists()]
    if missing:
        origins = sorted({source.origin for source in missing})
        groups = [[source for source in sources if source.origin == origin] for origin in origins]
        rigs = _in_parallel(_calibrate, groups, options.workers, "rigs")
        calibrations = dict(zip(origins, rigs, strict=True))
        _in_parallel(partial(_prepare_take, folder, calibrations), missing, options.workers, "motion")
    takes = []
    for source in sources:
        with np.load(folder / f"{source.style}_{source.name}.npz", allow_pickle=False) as data:
            count = int(data["count"])
            segments = [
                Motion(*(data[f"{name}_{i}"].astype(float) for name in ("rotations", "root", "contacts")), FPS)
                for i in range(count)
            ]
            report = json.loads(str(data["report"]))
        split = "test" if any(text in source.name for text in options.held_out) else "train"
        takes.append(Take(source.name, source.style, split, source.origin, segments, report))
    for style in {take.style for take in takes}:
        for split in ("train", "test"):
            if not any(take.segments for take in takes if take.style == style and take.split == split):
                raise ValueError(f"no usable take of style {style} in the {split} split; see --held-out")
    return takes


Rigs = dict[tuple[str, ...], dict[str, Array]]
"""Calibrations by the names of a rig's joints."""


def _calibrate(sources: list[Source]) -> Rigs:
    """The calibration of every rig among the takes of one origin, each from all its takes."""
    rigs: dict[tuple[str, ...], list[Bvh]] = {}
    for source in sources:
        bvh = _read(source)
        rigs.setdefault(bvh.names, []).append(bvh)
    try:
        return {names: calibrate(bvhs) for names, bvhs in rigs.items()}
    except ValueError as error:
        raise ValueError(f"{sources[0].origin}: {error}") from None


def _read(source: Source) -> Bvh:
    try:
        return parse_bvh(source.read())
    except ValueError as error:
        raise ValueError(f"{source.origin}/{source.name}: {error}") from None


def _prepare_take(folder: Path, calibrations: dict[str, Rigs], source: Source) -> None:
    bvh = _read(source)
    segments, report = clean(retarget(bvh, source.fps, calibrations[source.origin][bvh.names]))
    arrays = {}
    for i, segment in enumerate(segments):
        arrays[f"rotations_{i}"] = segment.rotations.astype(np.float32)
        arrays[f"root_{i}"] = segment.root.astype(np.float32)
        arrays[f"contacts_{i}"] = segment.contacts.astype(np.float32)
    _save(
        folder / f"{source.style}_{source.name}.npz", count=len(segments), report=json.dumps(asdict(report)), **arrays
    )


def _save(path: Path, **arrays: Any) -> None:
    partial_path = path.with_suffix(".partial")
    with partial_path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial_path.replace(path)


def write_real(takes: list[Take], out: Path) -> None:
    """The takes as they were danced, ``real_SPLIT.npz``, for evaluation against real dance."""
    for split in ("train", "test"):
        chosen = [(take, segment) for take in takes if take.split == split for segment in take.segments]
        _save(
            out / f"real_{split}.npz",
            rotations=np.concatenate([s.rotations for _, s in chosen]).astype(np.float32),
            root=np.concatenate([s.root for _, s in chosen]).astype(np.float32),
            contacts=np.concatenate([s.contacts for _, s in chosen]).astype(np.float32),
            lengths=np.array([len(s) for _, s in chosen]),
            take=np.array([take.name for take, _ in chosen]),
            style=np.array([STYLES.index(take.style) for take, _ in chosen]),
            fps=FPS,
        )


# Music -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Music to be heard: a file with beats, or a groove to be rendered."""

    name: str
    split: str
    origin: str
    file: Path | None = None
    groove: str = ""
    bpm: float = 0.0
    seed: int = 0


def _split_of(source: str) -> str:
    """One groove in eight, by its name, is kept for the test split, whatever is made of it."""
    return "test" if zlib.crc32(source.encode()) % 8 == 0 else "train"


def find_music(options: argparse.Namespace) -> list[Piece]:
    """The songs of the folders, and the pieces to be rendered."""
    pieces = []
    for folder in options.music:
        if not folder.is_dir():
            raise OSError(f"{folder}: there is no such folder")
        files = [file for file in sorted(folder.iterdir()) if file.with_suffix(".beats.json").exists()]
        files = [file for file in files if not file.name.endswith(".json")]
        if not files:
            raise ValueError(f"{folder}: no song with a .beats.json beside it")
        for file in files:
            _, _, source = read_beats(file.with_suffix(".beats.json"))
            pieces.append(Piece(file.stem, _split_of(source), folder.name, file=file))
    if options.grooves is not None:
        pieces += _plan_clips(options)
    if not pieces:
        raise ValueError("no music: give --music or --grooves")
    return pieces


def _plan_clips(options: argparse.Namespace) -> list[Piece]:
    """Grooves and tempi: the tempi spread evenly, each groove within a third of its own."""
    try:
        with zipfile.ZipFile(options.grooves) as archive:
            names = [
                n for n in archive.namelist() if n.endswith("_beat_4-4.mid") and archive.getinfo(n).file_size > 700
            ]
    except zipfile.BadZipFile:
        raise ValueError(f"{options.grooves}: not a zip file") from None
    if not names:
        raise ValueError(f"{options.grooves}: no grooves (…_beat_4-4.mid) in it")
    tempo = {name: float(Path(name).stem.split("_")[-3]) for name in names}
    rng = np.random.default_rng(options.seed)
    pieces = []
    for index in range(options.clips):
        bpm = _TEMPI[0] * (_TEMPI[1] / _TEMPI[0]) ** ((index + rng.random()) / options.clips)
        split = "test" if index % 8 == 4 else "train"
        fitting = [n for n in names if abs(np.log2(bpm / tempo[n])) < 0.4 and _split_of(_source(n)) == split]
        if fitting:
            groove = fitting[int(rng.integers(len(fitting)))]
            name = f"clip{index:03d}_{round(bpm)}"
            pieces.append(
                Piece(
                    name, split, options.grooves.name, groove=groove, bpm=float(bpm), seed=options.seed * 10_000 + index
                )
            )
    return pieces


def _source(member: str) -> str:
    return "/".join(Path(member).parts[1:])


def prepare_songs(folder: Path, options: argparse.Namespace) -> list[Song]:
    """Renders and hears the music that is not in ``folder`` yet."""
    pieces = find_music(options)
    missing = [piece for piece in pieces if not (folder / f"{piece.name}.npz").exists()]
    _in_parallel(partial(_prepare_song, folder, options), missing, options.workers, "music")
    return [load_song(folder / f"{piece.name}.npz") for piece in pieces]


def _prepare_song(folder: Path, options: argparse.Namespace, piece: Piece) -> None:
    if piece.file is not None:
        from dancerev.realtime.decode import decode

        audio = np.concatenate(list(decode(piece.file)))
        bpm, beats, _ = read_beats(piece.file.with_suffix(".beats.json"))
        silences: list[tuple[float, float]] = []
    else:
        from .music_render import read_groove, render

        with zipfile.ZipFile(options.grooves) as archive:
            groove = read_groove(archive.read(piece.groove))
        seconds = float(np.random.default_rng(piece.seed).uniform(35.0, 60.0))
        clip = render(groove, piece.bpm, seconds, options.soundfont, piece.seed, silences=piece.seed % 2 == 0)
        audio, bpm, beats, silences = clip.audio, piece.bpm, clip.beats, clip.breaks
    beats = beats[beats < len(audio) / 24_000]
    features, heard_beats, heard_period = hear(audio.astype(np.float32))
    if piece.split == "test" and options.held_out_music is not None:
        _write_held_out(options.held_out_music, piece.name, audio, bpm, beats, silences)
    song = Song(
        piece.name,
        piece.split,
        piece.origin,
        bpm,
        beats,
        np.array(silences).reshape(-1, 2),
        features,
        heard_beats,
        heard_period,
    )
    save_song(folder / f"{piece.name}.npz", song)


def _write_held_out(
    folder: Path, name: str, audio: Array, bpm: float, beats: Array, silences: list[tuple[float, float]]
) -> None:
    import wave

    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
    content = {"bpm": bpm, "beats": np.round(beats, 4).tolist(), "silences": np.round(silences, 3).tolist()}
    (folder / f"{name}.beats.json").write_text(json.dumps(content))


# Pairing -----------------------------------------------------------------------------------------------------------


def prepare_pulses(takes: list[Take], folder: Path, options: argparse.Namespace) -> None:
    """Fits the pulse of every segment at every rate, where ``folder`` does not hold it yet."""
    missing = [take for take in takes if not (folder / f"{take.style}_{take.name}.npz").exists()]
    _in_parallel(partial(_fit_take, folder), missing, options.workers, "beats of the takes")


def _fit_take(folder: Path, take: Take) -> None:
    arrays: dict[str, Array] = {}
    for i, segment in enumerate(take.segments):
        for r, rate in enumerate(RATES):
            pulse = fit_pulse(segment, rate / 60.0, _STRETCHES)
            if pulse is not None and len(pulse.beats) >= 6:
                arrays[f"beats_{i}_{r}"] = pulse.beats
                arrays[f"fit_{i}_{r}"] = np.array([pulse.stretch, pulse.score, pulse.accent])
    _save(folder / f"{take.style}_{take.name}.npz", **arrays)


def load_pulses(take: Take, folder: Path, rate: int) -> list[Pulse]:
    """The pulses of a take's segments at ``RATES[rate]``."""
    with np.load(folder / f"{take.style}_{take.name}.npz", allow_pickle=False) as data:
        return [
            Pulse(segment, data[f"beats_{i}_{rate}"], *(float(v) for v in data[f"fit_{i}_{rate}"]))
            for i, segment in enumerate(take.segments)
            if f"beats_{i}_{rate}" in data
        ]


@dataclass(frozen=True)
class Job:
    """One dance to make: song, style, and the seed of its choices."""

    song: str
    style: str
    seed: int


def write_dances(takes: list[Take], songs: list[Song], out: Path, options: argparse.Namespace) -> None:
    """Composes the dances, and writes shards and manifest."""
    styles = [style for style in STYLES if any(take.style == style for take in takes)]
    fresh = out / "work" / "shards"
    fresh.mkdir(exist_ok=True)
    for left in fresh.iterdir():
        left.unlink()
    seconds = {"train": 0.0, "test": 0.0}
    counts = {"train": 0, "test": 0}
    results: list[dict[str, Any]] = []
    sums = _Statistics()
    for split in ("train", "test"):
        of_split = [song for song in songs if song.split == split]
        if not of_split:
            raise ValueError(f"no music in the {split} split")
        budget = options.hours * 3600.0 * (1.0 if split == "train" else 0.1)
        rounds = int(np.ceil(budget / (sum(song.seconds for song in of_split) * len(styles))))
        jobs = [
            Job(song.name, style, zlib.crc32(f"{song.name} {style} {turn} {options.seed}".encode()))
            for turn in range(rounds)
            for song in of_split
            for style in styles
        ]
        order = np.random.default_rng(options.seed).permutation(len(jobs))
        jobs = [jobs[i] for i in order[: max(len(styles), round(budget / np.mean([s.seconds for s in of_split])))]]
        shard: list[DanceSequence] = []
        number = 0
        with ProcessPoolExecutor(
            options.workers, initializer=_start_worker, initargs=([t for t in takes if t.split == split], of_split, out)
        ) as pool:
            for sequences, result in _progress(pool.map(_make_dance, jobs), len(jobs), f"{split} dances"):
                results.append(result | {"split": split})
                for sequence in sequences:
                    seconds[split] += len(sequence.pose) / FRAME_RATE
                    counts[split] += 1
                    if split == "train":
                        sums.add(sequence)
                    shard.append(sequence)
                if len(shard) >= _SHARD:
                    save_shard(fresh / f"{split}_{number:03d}.npz", shard)
                    shard, number = [], number + 1
        if shard:
            save_shard(fresh / f"{split}_{number:03d}.npz", shard)
    manifest = {
        "feature_version": FEATURE_VERSION,
        "frame_rate": FRAME_RATE,
        "styles": styles,
        "statistics": sums.result(),
        "takes": [
            {"name": t.name, "style": t.style, "split": t.split, "origin": t.origin, "cleaning": t.report}
            for t in takes
        ],
        "songs": [{"name": s.name, "split": s.split, "bpm": round(s.bpm, 2)} for s in songs],
        "sequences": counts,
        "hours": {split: round(total / 3600.0, 3) for split, total in seconds.items()},
        "alignment": _summary(results),
    }
    for old in [*out.glob("train_*.npz"), *out.glob("test_*.npz")]:
        old.unlink()
    for shard_file in sorted(fresh.iterdir()):
        shard_file.replace(out / shard_file.name)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in manifest["alignment"]:
        print(
            f"{row['split']:5} {row['style']:8} {row['tempo']:>7} BPM: {row['minutes']:6.1f} min"
            f"  BAS {row['bas']:.2f} (chance {row['chance']:.2f})  left out {row['left_out']:.0%}"
        )
    print(f"{counts} sequences, {manifest['hours']} hours")


class _Statistics:
    """Mean and standard deviation over all rows of the training split."""

    def __init__(self) -> None:
        self.count = 0
        self.features = np.zeros((2, FEATURE_SIZE))
        self.pose = np.zeros((2, POSE_SIZE))

    def add(self, sequence: DanceSequence) -> None:
        self.count += len(sequence.pose)
        for total, values in ((self.features, sequence.features), (self.pose, sequence.pose)):
            wide = values.astype(np.float64)
            total += np.stack([wide.sum(axis=0), (wide**2).sum(axis=0)])

    def result(self) -> dict[str, list[float]]:
        statistics = {}
        for name, total in (("feature", self.features), ("pose", self.pose)):
            mean = total[0] / max(self.count, 1)
            std = np.sqrt(np.maximum(total[1] / max(self.count, 1) - mean**2, 0.0))
            statistics[f"{name}_mean"] = np.round(mean, 6).tolist()
            statistics[f"{name}_std"] = np.round(std, 6).tolist()
        return statistics


def _summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alignment by split, style and tempo, weighted by length."""
    rows = []
    for split in ("train", "test"):
        for style in STYLES:
            for low, high in ((0, 90), (90, 110), (110, 130), (130, 150), (150, 999)):
                chosen = [
                    r for r in results if r["split"] == split and r["style"] == style and low <= r["tempo"] < high
                ]
                heard = [r for r in chosen if r["seconds"] > 0]
                if not heard:
                    continue
                weight = [r["seconds"] for r in heard]
                rows.append(
                    {
                        "split": split,
                        "style": style,
                        "tempo": f"{low}-{high}" if high < 999 else f">{low}",
                        "minutes": round(sum(weight) / 60.0, 1),
                        "bas": round(float(np.average([r["bas"] for r in heard], weights=weight)), 3),
                        "chance": round(float(np.average([r["chance"] for r in heard], weights=weight)), 3),
                        "left_out": round(1.0 - sum(weight) / sum(r["heard"] for r in chosen), 3),
                    }
                )
    return rows


_takes: list[Take] = []
_songs: dict[str, Song] = {}
_pulses = Path()
_repertoires: dict[tuple[str, int, bool], Repertoire] = {}


def _start_worker(takes: list[Take], songs: list[Song], out: Path) -> None:
    global _takes, _songs, _pulses
    _takes, _songs, _pulses = takes, {song.name: song for song in songs}, out / "work" / "pulses"
    _repertoires.clear()


def _repertoire(style: str, rate: int, mirrored: bool) -> Repertoire:
    key = (style, rate, mirrored)
    if key not in _repertoires:
        names, pulses = [], []
        for take in _takes:
            if take.style == style:
                for pulse in load_pulses(take, _pulses, rate):
                    names.append(take.name)
                    motion = pulse.motion.mirrored() if mirrored else pulse.motion
                    pulses.append(replace(pulse, motion=motion))
        if not pulses:
            raise ValueError(
                f"no take of style {style} is long enough to be danced at {RATES[rate]:.0f} beats a minute"
            )
        _repertoires[key] = Repertoire(names, pulses)
    return _repertoires[key]


def dance_beats(song: Song, level: float, rng: np.random.Generator) -> Array:
    """The beats to step on: all, every second one where they are fast, twice as many at times where they are slow."""
    silences = song.silences
    index = np.arange(len(song.beats))
    if song.bpm > _FASTEST_STEP:
        parity = 0
        if level == 0.5:  # the tracker hears one of the two
            hits = [np.abs(song.beats[k::2, None] - song.heard_beats[None, :]).min(axis=1) < 0.07 for k in (0, 1)]
            parity = int(hits[1].mean() > hits[0].mean())
        return song.beats[index % 2 == parity]
    if song.bpm < RATES[0] or (song.bpm < _SLOWEST_STEP and rng.random() < 0.5):
        between = (song.beats[1:] + song.beats[:-1]) / 2.0
        inside = np.zeros(len(between), dtype=bool)
        for start, stop in silences:
            inside |= (song.beats[:-1] < stop - 1e-6) & (song.beats[1:] > start + 1e-6)
        return np.sort(np.concatenate([song.beats, between[~inside]]))
    return song.beats


def _make_dance(job: Job) -> tuple[list[DanceSequence], dict[str, Any]]:
    song = _songs[job.song]
    rng = np.random.default_rng(job.seed)
    mirrored = bool(rng.random() < 0.5)
    good, level = followed(song)
    beats = dance_beats(song, level, rng)
    rate = 60.0 / float(np.median(np.diff(beats)))
    nearest = int(np.argmin(np.abs(np.log2(np.array(RATES) / rate))))
    silences = [(float(a), float(b)) for a, b in song.silences]
    count = len(song.features)
    body, used = compose(_repertoire(job.style, nearest, mirrored), beats, silences, (count + 1) / FRAME_RATE, rng)
    step = FPS // FRAME_RATE
    rows = slice(2 * step, (count + 2) * step, step)
    rotations, root, contacts = body.rotations[rows], body.root[rows], body.contacts[rows]
    vectors = pose.encode(rotations, root, contacts)
    headings = yaw_of(rotations[:, 0])
    vectors = vectors[:count]
    sequences = []
    heard = 0.0
    for start, stop in _usable(good[: len(vectors)]):
        heard += (stop - start) / FRAME_RATE
        inside = (song.beats >= (start + 2) / FRAME_RATE) & (song.beats < (stop + 2) / FRAME_RATE)
        sequences.append(
            DanceSequence(
                song.features[start:stop],
                vectors[start:stop],
                root[start:stop][:, [0, 2]].astype(np.float32),
                headings[start:stop].astype(np.float32),
                STYLES.index(job.style),
                "+".join(used),
                mirrored,
                song.bpm,
                (song.beats[inside] - (start + 2) / FRAME_RATE).astype(np.float32),
            )
        )
    bas, chance = _alignment(body, song, rng)
    result = {"style": job.style, "tempo": song.bpm, "bas": bas, "chance": chance, "seconds": heard}
    return sequences, result | {"heard": count / FRAME_RATE}


def _usable(good: Array) -> list[tuple[int, int]]:
    """(start, stop) of the stretches in which the tracker follows, or is lost for a moment only."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], good.astype(int), [1]])))
    usable = good.copy()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start <= _LOST * FRAME_RATE:
            usable[start:stop] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], usable.astype(int), [0]])))
    return [
        (int(a), int(b))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if b - a >= _SHORTEST_SEQUENCE * FRAME_RATE
    ]


def _alignment(body: Any, song: Song, rng: np.random.Generator) -> tuple[float, float]:
    """Beat alignment of a dance, and of the same dance to the music shifted at random."""
    positions, _ = forward_kinematics(body.rotations, body.root)
    frames, _ = kinematic_beats(joint_speed(positions, FPS), FPS)
    found = frames / FPS
    half = song.bpm > _FASTEST_STEP
    options = [song.beats[k::2] for k in (0, 1)] if half else [song.beats]
    own = max(alignment(beats, found) for beats in options)
    shifts = rng.uniform(0.0, 60.0 / song.bpm * (2 if half else 1), size=20)
    chance = [max(alignment(beats + shift, found) for beats in options) for shift in shifts]
    return own, float(np.mean(chance))
