"""How well the beat is heard: ``python -m dancerev.model.evaluation.beats FOLDER`` on music whose beats are known.

Beside each piece ``song.ogg`` lies ``song.beats.json`` with its ``beats`` in seconds. A beat counts as heard when it
was announced, no later than it fell, within 70 ms of a true one (F-measure of mir_eval; the first 5 s are left out).
Each piece is heard clean, and as a stage hears it: with noise, through a room, and at −40 dB.
"""

from __future__ import annotations

import hashlib
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

TRIM = 5.0  # seconds at the start that mir_eval leaves out, for a listener too must find the beat
WITHIN = 0.07  # seconds
LOCKED_FOR = 2.0  # seconds of beats right on end, from the first of which on the tracker is locked


@dataclass(frozen=True)
class Hearing:
    """How one piece was heard.

    Attributes:
        f: F-measure, 0 … 1.
        octave: share of the time (after TRIM) at half or double the true tempo.
        offbeat: whether the announced beats agree better with the middles between the true beats.
        lock: seconds until the tracker was locked; None if it never was.
        ahead: seconds, median error of the next beat as told a beat ahead, over the beats that were hit.
        cost: seconds of processor time per frame, features and beat together.
    """

    f: float
    octave: float
    offbeat: bool
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


def hear(samples: Samples, tracker: BeatTracker) -> tuple[list[AcousticFrame], Seconds, float]:
    """Return the frames, the announced beats (seconds), and the processor seconds per frame."""
    ear, clock = FeatureExtractor(tracker), BeatClock()
    frames: list[AcousticFrame] = []
    beats: list[float] = []
    begun = time.process_time()
    for start in range(0, len(samples), 512):
        for frame in ear.push(samples[start : start + 512]):
            frames.append(frame)
            beats += clock.announce(frame.beat, frame.time + 1.0 / FRAME_RATE)
    cost = (time.process_time() - begun) / max(len(frames), 1)
    return frames, np.array(beats), cost


def judge(frames: list[AcousticFrame], announced: Seconds, true: Seconds, cost: float) -> Hearing:
    """Compare what was heard with the ``true`` beats (seconds)."""
    from mir_eval.beat import f_measure

    true = true[true < frames[-1].time]
    middles = 0.5 * (true[1:] + true[:-1])
    heard = announced[announced >= TRIM]
    f = f_measure(true[true >= TRIM], heard, WITHIN)
    offbeat = f_measure(middles[middles >= TRIM], heard, WITHIN) > f
    period = float(np.median(np.diff(true)))
    tempo = np.log2([frame.beat.period / period for frame in frames if frame.time >= TRIM])
    return Hearing(
        f=f,
        octave=float(np.mean(np.abs(np.abs(tempo) - 1.0) < 0.1)),
        offbeat=offbeat,
        lock=_lock_time(announced, true),
        ahead=_error_ahead(frames, true),
        cost=cost,
    )


def _lock_time(announced: Seconds, true: Seconds) -> float | None:
    """Seconds from the first true beat to the first of a row of LOCKED_FOR seconds of true beats that were all hit."""
    if len(announced) == 0:
        return None
    hit = np.min(np.abs(true[:, None] - announced), axis=1) <= WITHIN
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


def _table(engine: str, results: dict[str, list[Hearing]]) -> Table:
    table = Table(title=f"beats heard by: {engine}")
    for column in ("heard", "pieces", "F", "octave %", "off-beat", "lock s", "never", "ahead ms", "core %"):
        table.add_column(column, justify="left" if column == "heard" else "right")
    for condition, hearings in results.items():
        table.add_row(
            condition,
            str(len(hearings)),
            f"{np.mean([hearing.f for hearing in hearings]):.3f}",
            f"{100 * np.mean([hearing.octave for hearing in hearings]):.0f}",
            str(sum(hearing.offbeat for hearing in hearings)),
            _median([hearing.lock for hearing in hearings]),
            str(sum(hearing.lock is None for hearing in hearings)),
            _median([hearing.ahead for hearing in hearings], 1e3),
            f"{100 * FRAME_RATE * np.mean([hearing.cost for hearing in hearings]):.2f}",
        )
    return table


def half_of(name: str) -> str:
    """Which half a piece belongs to, by its file name alone: "tune" or "report"."""
    return "report" if hashlib.sha256(name.encode()).digest()[0] % 2 else "tune"


def pieces(folder: Path, half: str | None) -> list[Path]:
    """Return the pieces in and under ``folder`` beside which a ``.beats.json`` lies."""
    found = sorted(folder.rglob("*.beats.json"))
    songs = [song for beats in found for song in _songs_of(beats) if half is None or half_of(song.name) == half]
    if not songs:
        raise InputError(f"{folder}: no music with a .beats.json beside it")
    return songs


def _songs_of(beats: Path) -> list[Path]:
    stem = beats.name.removesuffix(".beats.json")
    return [path for path in sorted(beats.parent.glob("*")) if path.stem == stem and path.suffix != ".json"]


@command("dancerev.model.evaluation.beats")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ArgumentParser(prog="dancerev.model.evaluation.beats", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="music with .beats.json files")
    parser.add_argument("--engine", choices=BEAT_ENGINES, default="own", help="which tracker (default own)")
    parser.add_argument(
        "--half", choices=("tune", "report"), help="only half of the pieces, by the hash of their names"
    )
    parser.add_argument(
        "--conditions", nargs="+", choices=tuple(CONDITIONS), default=tuple(CONDITIONS), help="default all"
    )
    parser.add_argument("--each", action="store_true", help="a line for every piece too")
    arguments = parser.parse_args(argv)
    console = Console()
    results: dict[str, list[Hearing]] = {condition: [] for condition in arguments.conditions}
    for song in pieces(arguments.folder, arguments.half):
        true = read_beats(beats_path(song)).beats
        samples = np.concatenate(list(decode(song)))
        for condition in arguments.conditions:
            tracker = make_tracker(arguments.engine)
            frames, announced, cost = hear(CONDITIONS[condition](samples), tracker)
            hearing = judge(frames, announced, true, cost)
            results[condition].append(hearing)
            if arguments.each:
                print(
                    f"{song.stem[:48]:48s} {condition:6s} F {hearing.f:.2f} "
                    f"octave {hearing.octave:.2f} off-beat {int(hearing.offbeat)}"
                )
    console.print(_table(arguments.engine, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
