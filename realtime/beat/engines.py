"""The beat trackers by name, for the commands that offer ``--beat-engine`` and ``--bpm-range``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from dancerev.errors import InputError

from .bar_pointer import FASTEST_BPM, SLOWEST_BPM
from .bar_pointer_tracker import BarPointerTracker
from .link import LinkTracker
from .midi_clock import MidiTracker
from .midi_input import MidiInput
from .tracker import MAX_BPM, MIN_BPM, BeatTracker

BEAT_ENGINES = ("own", "aubio")
"""Those that find the beat in the sound."""


def _aubio(low: float, high: float) -> BeatTracker:
    from .aubio import AubioTracker

    return AubioTracker(low, high)


_ENGINES: dict[str, Callable[[float, float], BeatTracker]] = {
    "own": BarPointerTracker,
    "aubio": _aubio,
    "link": LinkTracker,
}
"""Name → tracker for a range of tempi."""

LIVE_ENGINES = (*_ENGINES, "midi")
"""Those of a show, which can follow a clock too."""


def make_tracker(
    engine: str = "own", bpm_range: tuple[float, float] = (MIN_BPM, MAX_BPM), midi_port: str | None = None
) -> BeatTracker:
    """Return the tracker of that name for tempi within ``bpm_range``; ``midi_port`` names the port of "midi".

    Raises:
        InputError: the engine is not installed, or there is no such port, or no use for one.
        ValueError: there is no such engine, or it cannot follow such a range.
    """
    if midi_port is not None and engine != "midi":
        raise InputError("a MIDI port is for --beat-engine midi")
    if engine == "midi":
        return MidiTracker(*bpm_range, MidiInput(midi_port))
    if engine not in _ENGINES:
        raise ValueError(f"no beat engine {engine}; there are {', '.join(LIVE_ENGINES)}")
    return _ENGINES[engine](*bpm_range)


def bpm_range(text: str) -> tuple[float, float]:
    """``MIN-MAX`` as an argument of a command."""
    try:
        low, high = (float(part) for part in text.split("-"))
        BarPointerTracker.check_range(low, high)
    except ValueError as error:
        allowed = f"{SLOWEST_BPM:g} to {FASTEST_BPM:g}"
        raise argparse.ArgumentTypeError(f"{text}: give MIN-MAX in BPM, {allowed}, such as 90-180") from error
    return low, high
