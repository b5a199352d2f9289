"""Measure beat tracking: ``python -m dancerev.model.evaluation.beats FOLDER`` on music whose beats are known.

Beside each piece ``song.ogg`` lies ``song.beats.json`` with its ``beats`` in seconds, and ``downbeats`` where they are
known. A beat is detected when it was predicted, no later than it fell, within 70 ms of a true one (F-measure of
mir_eval; the first 5 s are left out). Each piece is tracked clean, with noise, through a room, and at −40 dB; with
``--dj`` all pieces are joined to one set instead, by cuts and 6 s crossfades in turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import InputError
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.audio.sources import decode
from dancerev.realtime.beat.engines import BEAT_ENGINES, make_tracker
from dancerev.realtime.beat.tracker import BeatClock, BeatTracker
from dancerev.realtime.features import FeatureExtractor

from ..beats_file import beats_path, read_beats
from ..features import AcousticFrame
from ..pose import FRAME_RATE

Samples = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]

PART, FADE = 30.0, 6.0  # seconds of each piece in a DJ set, and of a crossfade
TRIM = 5.0  # seconds at the start that mir_eval leaves out, for a listener too must find the beat
WITHIN = 0.07  # seconds
LOCKED_FOR = 2.0  # seconds of beats right on end, from the first of which on the tracker is locked


@dataclass(frozen=True)
class Result:
    """How well one piece was tracked.

    Attributes:
        f: F-measure, 0 … 1.
        best: the same at the best metrical level: every beat, every second one, and twice as many.
        octave: share of the time (after TRIM) at half or double the true tempo.
        offbeat: whether the predicted beats agree better with the middles between the true beats.
        downbeat: F-measure of the downbeats; None where they are not known.
        confidence: (T,) of each frame between the first and the last true beat.
        right: (T,) bool, whether tempo (within 7 %) and phase (within WITHIN, and a quarter beat) were right there.
        lock: seconds until the tracker was locked; None if it never was.
        ahead: seconds, median error of the next beat as told a beat ahead, over the beats that were hit.
        cost: seconds of processor time per frame, features and beat together.
    """

    f: float
    best: float
    octave: float
    offbeat: bool
    downbeat: float | None
    confidence: Seconds
    right: npt.NDArray[np.bool_]
    lock: float | None
    ahead: float | None
    cost: float


def noise(samples: Samples) -> Samples:
    """White noise 15 dB under the music."""
    rng = np.random.default_rng(0)
    level = float(np.sqrt(np.mean(samples**2))) * 10.0 ** (-15.0 / 20.0)
    return samples + rng.normal(scale=level, size=len(samples)).astype(np.float32)


def room(samples: Samples) -> Samples:
    """As much reverberation as direct sound, decaying by 60 dB in 0.55 s."""
    rng = np.random.default_rng(0)
    time = np.arange(int(0.6 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.normal(size=len(time)) * np.exp(-time * 6.91 / 0.55)
    tail /= np.sqrt(np.sum(tail**2))
    size = len(samples) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return ((samples + wet) / np.sqrt(2.0)).astype(np.float32)


CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "clean": lambda samples: samples,
    "noise": noise,
    "room": room,
    "-40 dB": lambda samples: samples * np.float32(0.01),
}


@dataclass(frozen=True)
class Track:
    """What the tracker said of one piece.

    Attributes:
        frames: one each 1 / FRAME_RATE seconds.
        beats: (N,) seconds, as predicted.
        downbeats: (N,) bool, which of them begin a bar.
        cost: seconds of processor time per frame, features and beat together.
    """

    frames: list[AcousticFrame]
    beats: Seconds
    downbeats: npt.NDArray[np.bool_]
    cost: float


def track(samples: Samples, tracker: BeatTracker) -> Track:
    """Run the tracker over a piece.

    Args:
        samples: (n,) float32, mono at SAMPLE_RATE.
        tracker: a new one.
    """
    extractor, clock = FeatureExtractor(tracker), BeatClock()
    frames: list[AcousticFrame] = []
    beats: list[float] = []
    downbeats: list[bool] = []
    begun = time.process_time()
    for start in range(0, len(samples), 512):
        for frame in extractor.push(samples[start : start + 512]):
            frames.append(frame)
            predicted = clock.announce(frame.beat, frame.time + 1.0 / FRAME_RATE)
            beats += predicted
            downbeats += [round(frame.beat.beats_at(beat)) % frame.beat.beats_per_bar == 0 for beat in predicted]
    cost = (time.process_time() - begun) / max(len(frames), 1)
    return Track(frames, np.array(beats), np.array(downbeats, dtype=bool), cost)


def _levels(beats: Seconds) -> list[Seconds]:
    """Every beat, every second one from the first or from the second, and twice as many."""
    middles = 0.5 * (beats[1:] + beats[:-1])
    return [beats, beats[::2], beats[1::2], np.sort(np.concatenate([beats, middles]))]


def judge(tracked: Track, true: Seconds, downbeats: Seconds) -> Result:
    """Compare a track with the ``true`` beats and ``downbeats`` (seconds; empty where they are not known)."""
    from mir_eval.beat import f_measure

    frames = tracked.frames

    def score(reference: Seconds, estimated: Seconds) -> float:
        return float(f_measure(reference[reference >= TRIM], estimated[estimated >= TRIM], WITHIN))

    true = true[true < frames[-1].time]
    downbeats = downbeats[downbeats < frames[-1].time]
    f = score(true, tracked.beats)
    period = float(np.median(np.diff(true)))
    tempo = np.log2([frame.beat.period / period for frame in frames if frame.time >= TRIM])
    confidence, right = _reliability(frames, true)
    return Result(
        f=f,
        best=max(score(level, tracked.beats) for level in _levels(true)),
        octave=float(np.mean(np.abs(np.abs(tempo) - 1.0) < 0.1)),
        offbeat=score(0.5 * (true[1:] + true[:-1]), tracked.beats) > f,
        downbeat=score(downbeats, tracked.beats[tracked.downbeats]) if len(downbeats) else None,
        confidence=confidence,
        right=right,
        lock=_lock_time(tracked.beats, true),
        ahead=_error_ahead(frames, true),
        cost=tracked.cost,
    )


def _reliability(frames: list[AcousticFrame], true: Seconds) -> tuple[Seconds, npt.NDArray[np.bool_]]:
    """(T,) confidence and (T,) whether the beat was right, of each frame between the first and last true beat."""
    beats = [frame.beat for frame in frames if true[0] <= frame.time <= true[-1]]
    now = np.array([beat.time for beat in beats])
    index = np.clip(np.searchsorted(true, now, side="right") - 1, 0, len(true) - 2)
    period = np.diff(true)[index]
    phase = np.array([beat.phase for beat in beats]) - (now - true[index]) / period
    late = np.abs((phase + 0.5) % 1.0 - 0.5) * period
    tempo = np.abs(np.log2(np.array([beat.period for beat in beats]) / period))
    return np.array([beat.confidence for beat in beats]), (late <= np.minimum(WITHIN, 0.25 * period)) & (tempo < 0.1)


def calibration_error(results: list[Result], bins: int = 10) -> float:
    """Compute the expected calibration error: mean of abs(confidence − share that is right) over bins of confidence."""
    confidence = np.concatenate([result.confidence for result in results])
    right = np.concatenate([result.right for result in results])
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            np.mean(place == each) * abs(confidence[place == each].mean() - right[place == each].mean())
            for each in np.unique(place)
        )
    )


def _lock_time(predicted: Seconds, true: Seconds) -> float | None:
    """Seconds from the first true beat to the first of a row of LOCKED_FOR seconds of true beats that were all hit."""
    if len(predicted) == 0:
        return None
    hit = np.min(np.abs(true[:, None] - predicted), axis=1) <= WITHIN
    row = max(2, round(LOCKED_FOR / float(np.median(np.diff(true)))))
    for start in range(len(true) - row + 1):
        if hit[start : start + row].all():
            return float(true[start] - true[0])
    return None


def _error_ahead(frames: list[AcousticFrame], true: Seconds) -> float | None:
    """Median error of ``next_beat`` as told just after the beat before, where it fell within WITHIN of a true beat."""
    told = [now.beat.next_beat for last, now in pairwise(frames) if now.beat.phase < last.beat.phase]
    error = np.array([np.min(np.abs(true - beat)) for beat in told if TRIM <= beat <= true[-1]])
    error = error[error <= WITHIN]
    return float(np.median(error)) if len(error) else None


def _median(values: list[float | None], unit: float = 1.0) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known) * unit:.1f}" if known else "-"


def _table(engine: str, results: dict[str, list[Result]]) -> Table:
    table = Table(title=f"beats tracked by: {engine}")
    columns = [
        "music",
        "pieces",
        "F",
        "best",
        "off-beat",
        "octave%",
        "downbeat",
        "calibration",
        "lock",
        "never",
        "ahead",
        "core%",
    ]
    for column in columns:
        table.add_column(column, justify="left" if column == "music" else "right")
    for condition, tracked in results.items():
        bars = [result.downbeat for result in tracked if result.downbeat is not None]
        table.add_row(
            condition,
            str(len(tracked)),
            f"{np.mean([result.f for result in tracked]):.3f}",
            f"{np.mean([result.best for result in tracked]):.3f}",
            str(sum(result.offbeat for result in tracked)),
            f"{100 * np.mean([result.octave for result in tracked]):.0f}",
            f"{np.mean(bars):.3f}" if bars else "-",
            f"{calibration_error(tracked):.3f}",
            _median([result.lock for result in tracked]),
            str(sum(result.lock is None for result in tracked)),
            _median([result.ahead for result in tracked], 1e3),
            f"{100 * FRAME_RATE * np.mean([result.cost for result in tracked]):.2f}",
        )
    return table


@dataclass(frozen=True)
class DjSet:
    """Pieces joined: (n,) ``samples``, their ``beats`` and the ``changes`` from one to the next, in seconds."""

    samples: Samples
    beats: Seconds
    changes: Seconds


def join(songs: list[tuple[Samples, Seconds]]) -> DjSet:
    """Join the middle PART seconds of each piece at equal loudness, by cuts and crossfades of FADE seconds in turn."""
    fade = np.sqrt(np.linspace(0.0, 1.0, int(FADE * SAMPLE_RATE), dtype=np.float32))
    samples, beats = np.zeros(0, dtype=np.float32), np.zeros(0)
    changes: list[float] = []
    for index, (song, true) in enumerate(songs):
        begin = max(0, (len(song) - int(PART * SAMPLE_RATE)) // 2)
        part = song[begin : begin + int(PART * SAMPLE_RATE)].copy()
        part *= np.float32(0.15) / np.float32(np.sqrt(np.mean(part**2)) + 1e-9)
        start = len(samples)
        if index and index % 2 == 0 and len(part) > len(fade):
            start -= len(fade)
            part[: len(fade)] *= fade
            part[: len(fade)] += samples[start:] * fade[::-1]
        change = (start + len(samples)) / 2.0 / SAMPLE_RATE
        true = true - (begin - start) / SAMPLE_RATE
        samples = np.concatenate([samples[:start], part])
        beats = np.concatenate([beats[beats < change], true[(true >= change) & (true < len(samples) / SAMPLE_RATE)]])
        changes += [change] if index else []
    return DjSet(np.clip(samples, -1.0, 1.0), beats, np.array(changes))


def relocks(dj_set: DjSet, predicted: Seconds) -> list[float]:
    """Seconds from each change until the tracker is locked; to the next change where it never is."""
    edges = np.append(dj_set.changes, len(dj_set.samples) / SAMPLE_RATE)
    times = []
    for begin, end in pairwise(edges):
        true = dj_set.beats[(dj_set.beats >= begin) & (dj_set.beats < end)]
        lock = _lock_time(predicted, true)
        times.append(float(end - begin if lock is None else lock + true[0] - begin))
    return times


def _track_set(engine: str, songs: list[Path]) -> None:
    """Join the songs, track them and print how soon the tracker follows each change."""
    dj_set = join([(np.concatenate(list(decode(song))), read_beats(beats_path(song)).beats) for song in songs])
    tracked = track(dj_set.samples, make_tracker(engine))
    result = judge(tracked, dj_set.beats, np.zeros(0))
    times = relocks(dj_set, tracked.beats)
    Console().print(_table(engine, {"DJ set": [result]}))
    print(f"{len(times)} changes: locked after {np.median(times):.1f} s in the median, {max(times):.1f} s at most")


def pieces(folder: Path) -> list[Path]:
    """List the pieces in and under ``folder`` beside which a ``.beats.json`` lies."""
    found = sorted(folder.rglob("*.beats.json"))
    songs = [song for beats in found for song in _songs_of(beats)]
    if not songs:
        raise InputError(f"{folder}: no music with a .beats.json beside it")
    return songs


def _songs_of(beats: Path) -> list[Path]:
    stem = beats.name.removesuffix(".beats.json")
    return [path for path in sorted(beats.parent.glob("*")) if path.stem == stem and path.suffix != ".json"]


@command("dancerev.model.evaluation.beats")
def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ArgumentParser(prog="dancerev.model.evaluation.beats", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="music with .beats.json files")
    parser.add_argument("--engine", choices=BEAT_ENGINES, default="own", help="which tracker (default own)")
    parser.add_argument(
        "--conditions", nargs="+", choices=tuple(CONDITIONS), default=tuple(CONDITIONS), help="default all"
    )
    parser.add_argument("--dj", action="store_true", help="join all pieces to one set")
    parser.add_argument("--each", action="store_true", help="a line for every piece too")
    arguments = parser.parse_args(argv)
    songs = pieces(arguments.folder)
    if arguments.dj:
        _track_set(arguments.engine, songs)
        return 0
    console = Console()
    results: dict[str, list[Result]] = {condition: [] for condition in arguments.conditions}
    for song in songs:
        annotation = read_beats(beats_path(song))
        samples = np.concatenate(list(decode(song)))
        for condition in arguments.conditions:
            tracked = track(CONDITIONS[condition](samples), make_tracker(arguments.engine))
            result = judge(tracked, annotation.beats, annotation.downbeats)
            results[condition].append(result)
            if arguments.each:
                print(
                    f"{song.stem[:48]:48s} {condition:6s} F {result.f:.2f} best {result.best:.2f} "
                    f"octave {result.octave:.2f} off-beat {int(result.offbeat)}"
                )
    console.print(_table(arguments.engine, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
