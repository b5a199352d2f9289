"""``dancerev-listen``: level, onsets and beat, live in the terminal, to check the sound before a show."""

from __future__ import annotations

import contextlib
import math
import sys
import time

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dancerev.command_line import ArgumentParser, command, seconds
from dancerev.model.features import AUDIO_FEATURES, BANDS, ENERGY, ONSETS, AcousticFrame

from .audio.clock import SAMPLE_RATE
from .audio.devices import list_devices, quiet_libraries
from .audio.sources import AudioSource, open_source
from .beat.engines import LIVE_ENGINES, bpm_range, make_tracker
from .beat.midi_input import list_ports
from .beat.tracker import FORGET_BELOW, MAX_BPM, MIN_BPM
from .features import FeatureExtractor

BAR = 30  # characters
RATE = 15  # pictures per second
PEAK_FALL_DB = 20.0  # per second
ACTIVITY = AUDIO_FEATURES.index("activity")


_COMMON = "input device list_devices mute bpm_range beat_engine duration"
"""Options that ``--help`` shows; ``--help-all`` shows the others too."""


class Meter:
    """Input level, acoustic features, beat and bar as lines of text."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._peak_db = -math.inf
        self._clipped = 0
        self._frame: AcousticFrame | None = None

    def push(self, samples: np.ndarray, frames: list[AcousticFrame]) -> None:
        """Take (n,) float32 samples as they came in, and the frames that they completed."""
        if len(samples):
            level = float(np.abs(np.nan_to_num(samples)).max())
            fallen = self._peak_db - PEAK_FALL_DB * len(samples) / SAMPLE_RATE
            self._peak_db = max(20.0 * math.log10(level + 1e-9), fallen)
            self._clipped += int(level >= 0.999)
        if frames:
            self._frame = frames[-1]

    def picture(self, note: str | None = None) -> Group:
        """Return the lines to show now, and a ``note`` under them."""
        level = Text(f"level   {_bar(1.0 + self._peak_db / 60.0)} {max(self._peak_db, -120.0):5.0f} dBFS")
        if self._clipped:
            level.append(f"  clipped {self._clipped} times: turn the input down", style="bold red")
        if self._frame is None:
            return Group(level, Text(note or "waiting for sound"))
        audio, beat = self._frame.audio, self._frame.beat
        lines = [level]
        lines += [Text(f"onset {band + 1} {_bar(float(audio[ONSETS][band]))}") for band in range(BANDS)]
        lines.append(Text(f"energy  {_bar(float(audio[ENERGY]))}"))
        if not _beat_is_known(self._frame):
            lines.append(Text("beat    none (silence)", style="dim"))
            return Group(*lines, *([Text(f"note: {note}", style="bold red")] if note else []))
        on_beat = beat.phase < 0.15
        dots = " ".join("●" if on_beat and index == beat.beat_in_bar else "○" for index in range(beat.beats_per_bar))
        style = "bold green" if beat.confidence > 0.5 else "dim"
        lines.append(Text(f"beat    {dots}   {beat.bpm:6.1f} BPM", style=style))
        sure = f"{100 * beat.confidence:3.0f} % sure of the beat, {100 * beat.bar_confidence:3.0f} % of the bar"
        lines.append(Text(f"        {sure}" + ("" if audio[ACTIVITY] > 0.0 else "   (silence)")))
        if note:
            lines.append(Text(f"note: {note}", style="bold red"))
        return Group(*lines)


def _beat_is_known(frame: AcousticFrame) -> bool:
    """Whether there is music, or was a moment ago."""
    return bool(frame.audio[ACTIVITY] > 0.0 or frame.beat.confidence >= FORGET_BELOW)


def _bar(value: float) -> str:
    filled = round(BAR * min(max(value, 0.0), 1.0))
    return "█" * filled + "·" * (BAR - filled)


def listen(source: AudioSource, extractor: FeatureExtractor, console: Console) -> AcousticFrame | None:
    """Show the sound until the source ends, and return the last frame. KeyboardInterrupt stops it."""
    meter = Meter()
    last: AcousticFrame | None = None
    shown = 0.0
    source.start()
    extractor.tracker.attach(lambda time: source.clock.heard_at(time))  # which has another clock from now on
    with Live(meter.picture(), console=console, auto_refresh=False, transient=True) as live:
        while not source.ended:
            samples = source.read(0.05)
            frames = extractor.push(samples)
            meter.push(samples, frames)
            last = frames[-1] if frames else last
            if time.perf_counter() - shown >= 1.0 / RATE:
                shown = time.perf_counter()
                live.update(meter.picture(source.note), refresh=True)
    return last


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-listen", __doc__, common=_COMMON.split())
    parser.add_argument(
        "--input",
        metavar="mic|system|demo|PATH",
        default="mic",
        help="a microphone, what the computer plays, a song (default mic)",
    )
    parser.add_argument("--device", metavar="NAME|INDEX", help="sound device, by number or part of its name")
    parser.add_argument("--list-devices", action="store_true", help="list sound devices and MIDI inputs, and exit")
    parser.add_argument("--mute", action="store_true", help="do not play the file aloud")
    tempi = f"tempi (default {MIN_BPM:g}-{MAX_BPM:g})"
    parser.add_argument("--bpm-range", type=bpm_range, default=(MIN_BPM, MAX_BPM), metavar="MIN-MAX", help=tempi)
    parser.add_argument("--beat-engine", choices=LIVE_ENGINES, default="own", help="beat tracker (default own)")
    parser.add_argument("--midi-port", metavar="NAME", help="MIDI clock for --beat-engine midi, by part of its name")
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after so many seconds")
    return parser


@command("dancerev-listen")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.input in ("mic", "system"):
        parser.refuse(arguments, "--mute", f"with --input {arguments.input}, which plays nothing")
    if arguments.mute:
        parser.refuse(arguments, "--device", "with --mute")
    console = Console()
    if arguments.list_devices:
        print(list_devices(), *list_ports(), sep="\n")
        return 0
    tracker = make_tracker(arguments.beat_engine, arguments.bpm_range, arguments.midi_port)
    with quiet_libraries(), contextlib.ExitStack() as stack:
        source = open_source(arguments.input, arguments.device, arguments.mute, arguments.duration)
        stack.callback(source.close)
        stack.callback(tracker.close)
        if source.note:
            console.print(f"note: {source.note}", soft_wrap=True, markup=False)
        last = listen(source, FeatureExtractor(tracker), console)
    if last is not None:
        beat = last.beat
        found = f"{beat.bpm:.1f} BPM, {100 * beat.confidence:.0f} % sure" if _beat_is_known(last) else "no beat"
        print(f"{last.time:.1f} s of sound: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
