"""Cue lists: what to do at a time, at a bar or at a marker, from a TOML file.

::

    [[cue]]
    at = 12.5          # seconds of sound since the start; or bar = 17, or marker = "drop"
    style = "salsa"
    vigour = 1.2
    when = "bar"       # wait for the next bar; now, beat or bar

Bars are counted from the first one that the show knows. Every other name in a cue is a control.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dancerev.errors import DancerevError, InputError

from .performance import Change, Performance
from .table import CONTROLS, Value

SURFACE = "cues"
_PLACES = ("at", "bar", "marker")


@dataclass(frozen=True)
class Cue:
    """One cue: exactly one of ``at`` (seconds), ``bar`` (from 1) and ``marker`` is set."""

    controls: tuple[tuple[str, object], ...]
    at: float | None = None
    bar: int | None = None
    marker: str | None = None
    when: str = "now"


def read_cues(path: Path, check: Callable[[str, Value], None] = lambda name, value: None) -> list[Cue]:
    """Return the cues of a file.

    Args:
        path: of the file.
        check: raises a ``DancerevError`` for a value of a control that the table allows and the show does not.

    Raises:
        InputError: it is no TOML, or no list of cues, or a value cannot be taken; the message names the cue.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (ValueError, RecursionError) as error:  # of the syntax, the encoding, or a number of too many digits
        raise InputError(f"{path}: no TOML ({error})") from None
    entries = content.pop("cue", None)
    if content or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: a cue list holds [[cue]] tables and nothing else")
    return [_cue(entry, f"{path}: cue {number}", check) for number, entry in enumerate(entries, 1)]


def _cue(entry: dict[str, Any], place: str, check: Callable[[str, Value], None]) -> Cue:
    places = [name for name in _PLACES if name in entry]
    if len(places) != 1:
        raise InputError(f"{place}: give one of at, bar and marker")
    at, bar, marker, when = (entry.get(name) for name in (*_PLACES, "when"))
    if at is not None and not (isinstance(at, int | float) and 0.0 <= at < math.inf):
        raise InputError(f"{place}: at is a number of seconds from 0, not {at!r}")
    if bar is not None and not (isinstance(bar, int) and bar >= 1):
        raise InputError(f"{place}: bar is a whole number from 1, not {bar!r}")
    if marker is not None and not isinstance(marker, str):
        raise InputError(f"{place}: marker is a text, not {marker!r}")
    if when is not None and when not in CONTROLS["quantise"].choices:
        raise InputError(f"{place}: when is now, beat or bar, not {when!r}")
    controls = tuple((name, value) for name, value in entry.items() if name not in (*_PLACES, "when"))
    for name, value in controls:
        if name not in CONTROLS:
            raise InputError(f"{place}: there is no control {name!r}")
        try:
            check(name, CONTROLS[name].parse(value, CONTROLS[name].default))
        except DancerevError as error:
            raise InputError(f"{place}: {error}") from None
    return Cue(controls, at, bar, marker, when or "now")


class CueList:
    """Asks for the controls of each cue when it is due, each once; those of a marker whenever it is set."""

    def __init__(self, performance: Performance, cues: Sequence[Cue], clock: Callable[[], float]) -> None:
        """Make a surface of cues.

        Args:
            performance: takes the requests.
            cues: in any order.
            clock: time of the next pose to be made, seconds.
        """
        self._performance, self._clock = performance, clock
        self._waiting = [cue for cue in cues if cue.marker is None]
        self._marked = [cue for cue in cues if cue.marker is not None]
        self._unsubscribe = performance.subscribe(self._changed)

    def poll(self) -> None:
        """Ask for what is due."""
        now, bars = self._clock(), self._performance.bars
        due = [
            cue
            for cue in self._waiting
            if (cue.at is not None and now >= cue.at) or (cue.bar is not None and bars >= cue.bar)
        ]
        for cue in due:
            self._waiting.remove(cue)
            self._do(cue)

    def close(self) -> None:
        """Stop listening for markers."""
        self._unsubscribe()

    def _do(self, cue: Cue) -> None:
        for name, value in cue.controls:
            self._performance.request(name, value, SURFACE, cue.when)

    def _changed(self, change: Change) -> None:
        if change.name == "marker" and change.accepted:
            for cue in self._marked:
                if cue.marker == change.value:
                    self._do(cue)
