"""From takes and songs to the shards of the corpus: which dances are made, and how well they fit."""

from __future__ import annotations

import functools
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError

from .. import pose
from ..features import BAR_COS, BAR_SIN, FASTEST_STEP, FEATURE_SIZE
from ..kinematic_beats import alignment, joint_speed, kinematic_beats, smooth
from ..pose import FRAME_RATE, POSE_SIZE
from ..rotation import yaw_of
from ..skeleton import forward_kinematics
from .compose import FPS, Body, Repertoire, compose
from .motion import runs
from .parallel import in_parallel
from .shards import DanceSequence, save_shard
from .song import Song, followed, with_middles
from .takes import RATES, Take, load_pulses

Array = npt.NDArray[Any]

_WAKING = 1.0  # seconds after a silence in which the dance comes back
_SLOWEST_STEP = 85.0  # below this tempo, half of the dances move twice a beat
_SHORTEST_SEQUENCE = 12.0  # seconds
_LOST = 4.0  # seconds for which the tracker may be lost without the dance being left out
_SHARD = 24  # sequences
_STRICT = 0.5  # share of the dances whose phrases come again
_VIGOUR_SECONDS = 1.0  # standard deviation of the Gaussian over which vigour is measured
_CALMEST = 0.1  # m/s, below which vigour is not measured


TEST_SHARE = 0.1
"""Hours of the test split for each hour of the training split."""


@dataclass(frozen=True)
class Job:
    """One dance to be made: song, style, and the seed of its choices."""

    song: str
    style: str
    seed: int


def plan(songs: list[Song], styles: list[str], hours: float, seed: int) -> list[Job]:
    """Every song for every style, over and over with other choices, until there are so many ``hours``; shuffled."""
    mean = float(np.mean([song.seconds for song in songs]))
    count = max(len(styles), round(hours * 3600.0 / mean))
    rounds = -(-count // (len(songs) * len(styles)))
    jobs = [
        Job(song.name, style, zlib.crc32(os.fsencode(f"{song.name} {style} {turn} {seed}")))
        for turn in range(rounds)
        for song in songs
        for style in styles
    ]
    order = np.random.default_rng(seed).permutation(len(jobs))
    return [jobs[i] for i in order[:count]]


@dataclass(frozen=True)
class Fit:
    """How a dance fits its song: alignment, its chance level, and how much of it the tracker could follow."""

    style: str
    tempo: float
    bas: float
    chance: float
    kept: float
    seconds: float


class _Stage:
    """What a worker makes dances of."""

    def __init__(self, takes: list[Take], songs: list[Song], styles: list[str], pulses: Path) -> None:
        self.takes, self.styles, self.pulses = takes, styles, pulses
        self.songs = {song.name: song for song in songs}
        self._repertoires: dict[tuple[str, int, bool], Repertoire] = {}

    def repertoire(self, style: str, rate: int, mirrored: bool) -> Repertoire:
        key = (style, rate, mirrored)
        if key not in self._repertoires:
            names, pulses = [], []
            for take in self.takes:
                if take.style == style:
                    for pulse in load_pulses(take, self.pulses, rate):
                        names.append(take.name)
                        pulses.append(replace(pulse, motion=pulse.motion.mirrored()) if mirrored else pulse)
            if not pulses:
                raise CorpusError(f"no take of style {style} is long enough to be danced on a beat")
            self._repertoires[key] = Repertoire(names, pulses)
        return self._repertoires[key]

    def make(self, job: Job) -> tuple[list[DanceSequence], Fit]:
        song = self.songs[job.song]
        rng = np.random.default_rng(job.seed)
        mirrored = bool(rng.random() < 0.5)
        good, steps = followed(song)
        beats = dance_beats(song, steps, rng)
        rate = 60.0 / float(np.median(np.diff(beats)))
        repertoire = self.repertoire(job.style, int(np.argmin(np.abs(np.log2(np.array(RATES) / rate)))), mirrored)
        silences = [(float(start), float(stop)) for start, stop in song.silences]
        count = len(song.features)
        strict = bool(rng.random() < _STRICT)
        body, used = compose(
            repertoire, beats, silences, (count + 1) / FRAME_RATE, rng, partial(first_of_phrase, song), strict
        )
        speed = vigour(body, silences)
        step = FPS // FRAME_RATE
        rows = slice(2 * step, (count + 2) * step, step)
        rotations, root, contacts = body.rotations[rows], body.root[rows], body.contacts[rows]
        speeds = speed[rows]
        vectors, headings = pose.encode(rotations, root, contacts), yaw_of(rotations[:, 0])
        sequences = []
        for start, stop in usable(good[: len(vectors)]):
            first = (start + 2) / FRAME_RATE
            inside = (song.beats >= first) & (song.beats < (stop + 1) / FRAME_RATE)
            sequences.append(
                DanceSequence(
                    features=song.features[start:stop],
                    pose=vectors[start:stop],
                    place=root[start:stop][:, [0, 2]].astype(np.float32),
                    heading=headings[start:stop].astype(np.float32),
                    speed=speeds[start:stop].astype(np.float32),
                    phrase=float(strict),
                    style=self.styles.index(job.style),
                    take="+".join(used),
                    mirrored=mirrored,
                    tempo=song.bpm,
                    beats=(song.beats[inside] - first).astype(np.float32),
                )
            )
        bas, chance = fit(body, song, rng)
        kept = sum(len(sequence.pose) for sequence in sequences) / FRAME_RATE
        return sequences, Fit(job.style, song.bpm, bas, chance, kept, song.seconds)


def dance_beats(song: Song, steps: Array, rng: np.random.Generator) -> Array:
    """Return the beats to move on: the steps, or where all the beats are steps and slow ones, twice as many at times.

    Args:
        song: the music.
        steps: (N,) seconds, of :func:`~dancerev.model.corpus.song.followed`.
        rng: chooses for slow songs.
    """
    slow = song.bpm < RATES[0] or (song.bpm < _SLOWEST_STEP and rng.random() < 0.5)
    return with_middles(song) if slow and len(steps) == len(song.beats) else steps


def first_of_phrase(song: Song, beats: Array) -> int:
    """Which of the first dance beats (N,), seconds, begins a bar as the features have it; 0 where they do not know."""
    times = (np.arange(len(song.features)) + 2) / FRAME_RATE
    heard = song.features[:, BAR_COS].astype(np.float64) + 1j * song.features[:, BAR_SIN].astype(np.float64)
    at = np.interp(beats, times, heard.real) + 1j * np.interp(beats, times, heard.imag)
    # A quarter of a bar for each beat of the music; a dance beat is half of one, one or two.
    step = np.pi / 2.0 * float(np.median(np.diff(beats))) * song.bpm / 60.0
    phase = float(np.angle(np.sum(at * np.exp(-1j * step * np.arange(len(beats))))))
    return round((-phase % (2.0 * np.pi)) / step) % max(round(2.0 * np.pi / step), 1)


def vigour(body: Body, silences: list[tuple[float, float]]) -> Array:
    """(T,) m/s: mean joint speed about each frame, over a second or two; in silences as it is before and after them."""
    speed = joint_speed(forward_kinematics(body.rotations, body.root)[0], FPS).mean(axis=1)
    speed = np.append(speed, speed[-1:])
    dances = np.ones(len(speed))
    for start, stop in silences:
        dances[int(start * FPS) : int((stop + _WAKING) * FPS)] = 0.0
    if not dances.any():
        return np.full(len(speed), _CALMEST)
    width = _VIGOUR_SECONDS * FPS
    weight = smooth(dances, width)
    mean = smooth(speed * dances, width) / np.maximum(weight, 1e-6)
    known = np.flatnonzero(weight > 0.05)
    return np.maximum(np.interp(np.arange(len(speed)), known, mean[known]), _CALMEST)


def usable(good: Array) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of frames in which the tracker follows, or is lost for a moment only."""
    kept = good.copy()
    for start, stop in runs(~good):
        if stop - start <= _LOST * FRAME_RATE:
            kept[start:stop] = True
    return [(start, stop) for start, stop in runs(kept) if stop - start >= _SHORTEST_SEQUENCE * FRAME_RATE]


def fit(body: Body, song: Song, rng: np.random.Generator) -> tuple[float, float]:
    """Beat alignment, music to motion, of a dance; and of the same dance to the music shifted at random.

    Of beats faster than ``FASTEST_STEP`` every second one is taken, the better half, also for the chance level.
    """
    positions, _ = forward_kinematics(body.rotations, body.root)
    found = kinematic_beats(positions, FPS)
    stride = 2 if song.bpm > FASTEST_STEP else 1
    choices = [song.beats[k::stride] for k in range(stride)]
    shifts = rng.uniform(0.0, stride * 60.0 / song.bpm, size=20)
    own, *others = (max(alignment(beats + shift, found) for beats in choices) for shift in [0.0, *shifts])
    return own, float(np.mean(others))


@functools.lru_cache(maxsize=2)
def _stage_in(path: Path) -> _Stage:
    """Return what :func:`make_dances` left in a file; read once in every process, for it is large."""
    stage: _Stage = joblib.load(path)
    return stage


def _make_dance(stage: Path, job: Job) -> tuple[list[DanceSequence], Fit]:
    return _stage_in(stage).make(job)


def make_dances(
    takes: list[Take], songs: list[Song], styles: list[str], pulses: Path, hours: float, seed: int, workers: int
) -> Iterator[tuple[list[DanceSequence], Fit]]:
    """Return the dances of one split.

    Args:
        takes: of the split; styles without any are left out.
        songs: of the split.
        styles: of the whole corpus.
        pulses: folder of the takes' pulses.
        hours: of dance in all, before parts that the tracker cannot follow are left out.
        seed: of all choices.
        workers: processes.
    """
    danced = [style for style in styles if any(take.style == style and take.segments for take in takes)]
    if not danced or not songs:
        return
    # Through a file: what is made of is too large to be sent with every job, and other machines see the folder too.
    with tempfile.TemporaryDirectory(prefix=".stage-", dir=pulses) as folder:
        stage = Path(folder) / "stage.joblib"
        joblib.dump(_Stage(takes, songs, styles, pulses), stage)
        yield from in_parallel(partial(_make_dance, stage), plan(songs, danced, hours, seed), workers, "dances")


class ShardWriter:
    """Writes sequences of one split in shards, and keeps count."""

    def __init__(self, folder: Path, split: str) -> None:
        self.seconds, self.count = 0.0, 0
        self._folder, self._split = folder, split
        self._waiting: list[DanceSequence] = []
        self._shards = 0

    def add(self, sequence: DanceSequence) -> None:
        """Take one sequence."""
        self.seconds += len(sequence.pose) / FRAME_RATE
        self.count += 1
        self._waiting.append(sequence)
        if len(self._waiting) == _SHARD:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            save_shard(self._folder / f"{self._split}_{self._shards:03d}.npz", self._waiting)
            self._waiting, self._shards = [], self._shards + 1


class Statistics:
    """Mean and standard deviation over all rows of the training split."""

    def __init__(self) -> None:
        self.count = 0
        self._features = np.zeros((2, FEATURE_SIZE))
        self._pose = np.zeros((2, POSE_SIZE))

    def add(self, sequence: DanceSequence) -> None:
        """Take the rows of one sequence."""
        self.count += len(sequence.pose)
        for total, values in ((self._features, sequence.features), (self._pose, sequence.pose)):
            wide = values.astype(np.float64)
            total += np.stack([wide.sum(axis=0), np.square(wide).sum(axis=0)])

    def result(self) -> dict[str, list[float]]:
        """``feature_mean``, ``feature_std``, ``pose_mean`` and ``pose_std``."""
        statistics = {}
        for name, total in (("feature", self._features), ("pose", self._pose)):
            mean = total[0] / max(self.count, 1)
            std = np.sqrt(np.maximum(total[1] / max(self.count, 1) - mean**2, 0.0))
            statistics[f"{name}_mean"] = np.round(mean, 6).tolist()
            statistics[f"{name}_std"] = np.round(std, 6).tolist()
        return statistics


def summary(fits: list[Fit], styles: list[str]) -> list[dict[str, Any]]:
    """Alignment by style and tempo, weighted by length."""
    rows = []
    for style in styles:
        for low, high in ((0, 90), (90, 110), (110, 130), (130, 150), (150, 999)):
            chosen = [f for f in fits if f.style == style and low <= f.tempo < high]
            weights = [f.kept for f in chosen]
            if sum(weights) > 0.0:
                rows.append(
                    {
                        "style": style,
                        "tempo": f"{low}-{high}" if high < 999 else f"{low}-",
                        "minutes": round(sum(weights) / 60.0, 1),
                        "bas": round(float(np.average([f.bas for f in chosen], weights=weights)), 3),
                        "chance": round(float(np.average([f.chance for f in chosen], weights=weights)), 3),
                        "left_out": round(1.0 - sum(weights) / sum(f.seconds for f in chosen), 3),
                    }
                )
    return rows
