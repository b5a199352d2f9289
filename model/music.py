"""Songs as the dancer hears them: features through the live extractor, beside the beats that are really there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .features import FEATURE_SIZE, network_input
from .pose import FRAME_RATE

Array = npt.NDArray[Any]

SAMPLE_RATE = 24_000
"""Samples per second of the audio that is heard: the feature extractor's."""

FASTEST_STEP = 130.0
"""Beats per minute above which one movement takes two beats."""

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
        heard_beats: (M,) seconds, as the live tracker announces them.
        heard_period: (T,) seconds per beat, as the tracker believes at each frame.
    """

    name: str
    split: str
    origin: str
    bpm: float
    beats: Array
    silences: Array
    features: Array
    heard_beats: Array
    heard_period: Array

    @property
    def seconds(self) -> float:
        """Length of what is heard."""
        return len(self.features) / FRAME_RATE


def decode(path: Path) -> npt.NDArray[np.float32]:
    """(samples,) float32 mono at :data:`SAMPLE_RATE` of a music file of any common format.

    Raises:
        ValueError: the file cannot be decoded.
    """
    from dancerev.realtime.decode import decode as blocks

    return np.concatenate(list(blocks(path, SAMPLE_RATE)))


def hear(samples: npt.NDArray[np.float32]) -> tuple[Array, Array, Array]:
    """Features (T, FEATURE_SIZE) float16, announced beats (M,) and believed period (T,) of mono audio at 24 kHz.

    Args:
        samples: (samples,) float32 at :data:`SAMPLE_RATE`.
    """
    from dancerev.realtime.beat import BeatClock
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
    """Writes a song, complete or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **vars(song))
    partial.replace(path)


def load_song(path: Path) -> Song:
    """Reads what :func:`save_song` wrote."""
    with np.load(path, allow_pickle=False) as data:
        values: dict[str, Any] = {name: data[name] for name in data.files}
    for name, kind in (("name", str), ("split", str), ("origin", str), ("bpm", float)):
        values[name] = kind(values[name])
    return Song(**values)


def read_beats(path: Path) -> tuple[float, Array, str]:
    """Tempo, beats and source of a ``.beats.json`` file: ``{"bpm": …, "beats": […], "source": …}``.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        beats = np.array(content["beats"], dtype=np.float64)
        bpm = float(content.get("bpm") or 60.0 / np.median(np.diff(beats)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f'{path}: expected JSON with "beats" in seconds') from None
    if beats.ndim != 1 or len(beats) < 4 or (np.diff(beats) <= 0).any():
        raise ValueError(f"{path}: beats must be at least four rising numbers of seconds")
    return bpm, beats, str(content.get("source", path.stem))


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
    phases = np.arange(0.0, period, 0.005)
    sums = [np.interp(np.arange(phase, times[-1], period), times, rise).mean() for phase in phases]
    return np.arange(phases[int(np.argmax(sums))], len(samples) / SAMPLE_RATE, period)


def followed(song: Song) -> tuple[Array, float]:
    """Where the tracker follows the music.

    Returns:
        (T,) bool: at that frame it hears the true beats, every second one of them or twice as many; and how many
        beats it mostly hears per true beat there: 0.5, 1 or 2.
    """
    times = (np.arange(len(song.features)) + 1) / FRAME_RATE
    period = float(np.median(np.diff(song.beats)))
    ratio = period / song.heard_period
    good = np.zeros(len(times), dtype=bool)
    levels = np.zeros(len(times))
    for level in (0.5, 1.0, 2.0):
        few, many = (song.heard_beats, song.beats) if level <= 1.0 else (song.beats, song.heard_beats)
        near = np.abs(np.log2(ratio / level)) < 0.12
        if len(few) < 2 or len(many) < 2:
            continue
        hit = np.abs(few[:, None] - many[None, :]).min(axis=1) < TOLERANCE
        place = np.clip(np.searchsorted(few, times), 1, len(few) - 1)
        here = near & hit[place] & hit[place - 1]
        good |= here
        levels[here] = level
    for start, stop in song.silences:
        good |= (times >= start) & (times < stop + 0.2)
    heard = levels[levels > 0]
    level = float(np.median(heard)) if len(heard) else 1.0
    # Half of fast beats could be either half; which one is danced must not change within a song.
    either_half = (levels == 0.5) & (level != 0.5) & (song.bpm > FASTEST_STEP)
    return good & ~either_half, level
