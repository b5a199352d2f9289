"""Songs as the dancer hears them: features through the live extractor, beside the beats that are really there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.realtime.audio.clock import SAMPLE_RATE

from ..features import FEATURE_SIZE, STEP_COS, STEP_SIN, TEMPO, network_input
from ..pose import FRAME_RATE
from ..whole_file import write_npz
from .kept_file import Arrays, read_kept

Array = npt.NDArray[Any]

TOLERANCE = 0.07
"""Seconds within which a heard beat counts as a true one."""


@dataclass(frozen=True)
class Song:
    """A piece of music at :data:`~dancerev.model.pose.FRAME_RATE`.

    Attributes:
        name: unique in the corpus.
        split: ``train`` or ``test``.
        origin: the folder or file that it came from.
        bpm: the true tempo.
        beats: (N,) true beats, seconds.
        silences: (S, 2) start and stop in seconds.
        features: (T, FEATURE_SIZE) float16; row k is what the network hears for the pose at (k + 2) / FRAME_RATE.
    """

    name: str
    split: str
    origin: str
    bpm: float
    beats: Array
    silences: Array
    features: Array

    @property
    def seconds(self) -> float:
        """Length of what is heard."""
        return len(self.features) / FRAME_RATE


def decode(path: Path) -> npt.NDArray[np.float32]:
    """Return (samples,) float32 mono at :data:`SAMPLE_RATE` of a music file of any common format.

    Raises:
        CorpusError: the file cannot be decoded.
    """
    from dancerev.realtime.audio.decode import decode as blocks

    return np.concatenate(list(blocks(path, SAMPLE_RATE)))


def extract_features(samples: npt.NDArray[np.float32]) -> tuple[Array, Array, Array]:
    """Features (T, FEATURE_SIZE) float16, announced beats (M,) and believed period (T,) of mono audio at 24 kHz.

    Args:
        samples: (samples,) float32 at :data:`SAMPLE_RATE`.
    """
    from dancerev.realtime.beat.tracker import BeatClock
    from dancerev.realtime.features import FeatureExtractor

    extractor, clock = FeatureExtractor(), BeatClock()
    rows, beats, periods = [], [], []
    step = 1.0 / FRAME_RATE
    for frame in extractor.push(samples):
        rows.append(network_input(frame, frame.time + step))
        beats += clock.announce(frame.beat, frame.time + step)
        periods.append(frame.beat.period)
    features = np.array(rows, dtype=np.float16).reshape(len(rows), FEATURE_SIZE)
    return features, np.array(beats), np.array(periods)


def save_song(path: Path, song: Song) -> None:
    """Write a song, complete or not at all."""
    write_npz(path, vars(song))


def load_song(path: Path) -> Song:
    """Read what :func:`save_song` wrote.

    Raises:
        CorpusError: the file is damaged.
    """
    return read_kept(path, _song)


def _song(arrays: Arrays) -> Song:
    values: dict[str, Any] = dict(arrays)
    for name, kind in (("name", str), ("split", str), ("origin", str), ("bpm", float)):
        values[name] = kind(values[name])
    return Song(**values)


def find_grid(samples: npt.NDArray[np.float32], bpm: float) -> Array:
    """(N,) seconds of the beats of music whose tempo is known and constant: the phase with the strongest onsets.

    Args:
        samples: (samples,) mono at :data:`SAMPLE_RATE`.
        bpm: beats per minute.
    """
    hop = SAMPLE_RATE // 200
    count = len(samples) // hop
    power = np.square(samples[: count * hop].astype(np.float64)).reshape(count, hop).mean(axis=1)
    rise = np.maximum(np.diff(0.5 * np.log(power + 1e-7), prepend=0.0), 0.0)
    rise[0] = 0.0
    period = 60.0 / bpm
    times = np.arange(count) * hop / SAMPLE_RATE
    phases = np.arange(0.0, min(period, times[-1]), 0.005)  # music may be shorter than a beat
    sums = [np.interp(np.arange(phase, times[-1], period), times, rise).mean() for phase in phases]
    return np.arange(phases[int(np.argmax(sums))], len(samples) / SAMPLE_RATE, period)


def with_middles(song: Song) -> Array:
    """(2 N − 1 or fewer,) the beats and, outside the silences, the middles between them, seconds."""
    between = (song.beats[1:] + song.beats[:-1]) / 2.0
    silent = np.zeros(len(between), dtype=bool)
    for start, stop in song.silences:
        silent |= (song.beats[:-1] < stop - 1e-6) & (song.beats[1:] > start + 1e-6)
    return np.sort(np.concatenate([song.beats, between[~silent]]))


def followed(song: Song) -> tuple[Array, Array]:
    """Where the steps that are heard, as the features have them, are on the true beats.

    Returns:
        (T,) bool: at that frame they are; and (N,) seconds of the true beats on which they mostly are: all, every
        second one, or those between as well.
    """
    times = (np.arange(len(song.features)) + 2) / FRAME_RATE
    heard = song.features.astype(np.float64)
    turn = np.unwrap(np.arctan2(heard[:, STEP_SIN], heard[:, STEP_COS]))

    def agreement(steps: Array) -> float:
        on, between = (np.cos(np.interp(at, times, turn)) for at in (steps, (steps[1:] + steps[:-1]) / 2.0))
        return float(on.mean() - between.mean())

    steps = max((song.beats, song.beats[0::2], song.beats[1::2], with_middles(song)), key=agreement)
    index = np.interp(times, steps, np.arange(len(steps)))
    off = (turn / (2.0 * np.pi) - index + 0.5) % 1.0 - 0.5
    period = float(np.median(np.diff(steps)))
    tempo = np.log2(60.0 / period / 120.0)
    good = (np.abs(off) * period < TOLERANCE) & (np.abs(heard[:, TEMPO] - tempo) < 0.12)
    for start, stop in song.silences:
        good |= (times >= start) & (times < stop + 0.2)
    return good, steps
