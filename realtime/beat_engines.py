"""The beat trackers by name, for the commands that offer ``--beat-engine`` and ``--bpm-range``."""

from __future__ import annotations

import argparse

from dancerev.realtime.beat import MAX_BPM, MIN_BPM, BarPointerTracker, BeatTracker

BEAT_ENGINES = ("own", "aubio")


def make_tracker(engine: str = "own", bpm_range: tuple[float, float] = (MIN_BPM, MAX_BPM)) -> BeatTracker:
    """The tracker of that name, for tempi within ``bpm_range``.

    Raises:
        InputError: the engine is not installed.
        ValueError: there is no such engine, or it cannot follow such a range.
    """
    if engine == "own":
        return BarPointerTracker(*bpm_range)
    if engine == "aubio":
        from dancerev.realtime.beat_aubio import AubioTracker

        return AubioTracker(*bpm_range)
    raise ValueError(f"no beat engine {engine}; there are {', '.join(BEAT_ENGINES)}")


def bpm_range(text: str) -> tuple[float, float]:
    """``MIN-MAX`` as an argument of a command."""
    try:
        low, high = (float(part) for part in text.split("-"))
        BarPointerTracker.check_range(low, high)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give MIN-MAX in BPM, 20 to 400, such as 90-180") from error
    return low, high
