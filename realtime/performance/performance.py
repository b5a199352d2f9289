"""The state of the controls: requests come in from any thread, and take effect in the show's thread, when due."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PureWindowsPath
from typing import Protocol

from dancerev.errors import DancerevError, InputError
from dancerev.model.features import BeatState

from .table import CONTROLS, Control, Value, is_on

_log = logging.getLogger(__name__)

MOST_TAPS = 4
"""Taps, nudges and markers taken in one turn of the show; of every other control one request is, the last."""
_LONGEST_WAIT = 10.0  # seconds, for a beat or a bar that does not come
_NETWORK = ("osc", "web")  # how the names of surfaces begin that anyone on the network may reach

Action = Callable[[Value, float], Value]
"""Makes a value take effect and returns the one that holds now; the second argument is the ``time.perf_counter()`` of
the request. It raises a DancerevError or an OSError to refuse."""

BeatClock = Callable[[], tuple[BeatState, float] | None]
"""The beat, and the time (seconds of audio) of the next pose to be made; None while no beat is known."""


@dataclass(frozen=True)
class Change:
    """An answer to a request, for every surface.

    Attributes:
        name: of the control.
        value: that it has now.
        accepted: whether the request is, or will be, done.
        message: why not, or what it waits for; else empty.
        surface: who asked.
    """

    name: str
    value: Value
    accepted: bool
    message: str
    surface: str


@dataclass(frozen=True)
class _Request:
    name: str
    raw: object
    surface: str
    when: str
    moment: float


@dataclass(frozen=True)
class _Waiting:
    request: _Request
    value: Value
    per_bar: bool
    until: float  # perf_counter


class Surface(Protocol):
    """A way to reach the controls, such as keys."""

    def poll(self) -> None:
        """Ask for what came since the last call; called once per turn of the show, and quick."""

    def close(self) -> None:
        """Let go of ports and threads."""


class Performance:
    """Takes requests, parses them by the table, waits for the beat or bar where asked to, and acts.

    A control without an action keeps its value for others to read. A surface or listener that raises is logged once,
    and harms none of the others.

    Attributes:
        surfaces: polled in every turn, and closed with the performance.
        bars: bars begun so far.
        refused: requests that were refused.
        dropped: requests that later ones replaced before they were taken.
    """

    def __init__(
        self,
        actions: Mapping[str, Action] | None = None,
        beat: BeatClock = lambda: None,
        values: Mapping[str, Value] | None = None,
    ) -> None:
        """Make a performance.

        Args:
            actions: name of a control → what makes it take effect.
            beat: where the beat is.
            values: those at the start, where they differ from the table's defaults; ``panic`` brings them back.
        """
        self._actions = dict(actions or {})
        self._beat = beat
        self._start = {name: control.default for name, control in CONTROLS.items()} | dict(values or {})
        self._values = dict(self._start)
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, int], _Request] = {}
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._choices: dict[str, tuple[str, ...]] = {}
        self._last_pose = -math.inf
        self._failed: set[str] = set()
        self.surfaces: list[Surface] = []
        self.bars = 0
        self.refused = self.dropped = 0

    @property
    def values(self) -> dict[str, Value]:
        """A copy of all values, by name; from any thread."""
        with self._lock:
            return dict(self._values)

    def suggest(self, name: str, choices: tuple[str, ...]) -> None:
        """Give a text control the values that surfaces may offer."""
        self._choices[name] = choices

    def table(self) -> list[dict[str, object]]:
        """Return the rows as plain data for JSON, each with its present ``value``; from any thread."""
        values = self.values
        return [
            asdict(control) | {"value": values[name], "choices": self._choices.get(name, control.choices)}
            for name, control in CONTROLS.items()
        ]

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``listener`` for every answer, in the show's thread; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def request(self, name: str, value: object = None, surface: str = "", when: str = "") -> None:
        """Ask for a control; from any thread. Never waits and never raises.

        Args:
            name: of the control.
            value: what came from the surface; the table parses it.
            surface: who asks.
            when: "now", "beat" or "bar"; empty for what the control ``quantise`` says.
        """
        request = _Request(name, value, surface, when, time.perf_counter())
        with self._lock:
            count = 0
            if name in ("tap", "nudge", "marker"):
                count = self._counts.get(name, 0)
                self._counts[name] = count + 1
                if count >= MOST_TAPS:
                    self.dropped += 1
                    return
            key = (name if name in CONTROLS else "", count)  # of unknown names too the last one is answered
            self.dropped += self._requests.pop(key, None) is not None
            self._requests[key] = request

    def tick(self) -> None:
        """Take the requests since the last call, and do what is due; in the show's thread."""
        falls = self._falls()
        for surface in self.surfaces:
            self._isolated(surface.poll)
        with self._lock:
            requests = list(self._requests.values())
            self._requests.clear()
            self._counts.clear()
        for request in requests:
            self._take(request)
        self._do_what_waited(*falls)

    def close(self) -> None:
        """Close the surfaces."""
        for surface in self.surfaces:
            self._isolated(surface.close)

    def _take(self, request: _Request) -> None:
        try:
            control, value = self._parsed(request)
        except DancerevError as error:
            self.refused += 1
            self._answer(Change(request.name, self._values.get(request.name), False, str(error), request.surface))
            return
        if control is None:
            return
        when = request.when or str(self._values["quantise"])
        if control.quantisable and when != "now" and self._beat() is not None:
            until = time.perf_counter() + _LONGEST_WAIT
            self._waiting[control.name] = _Waiting(request, value, when == "bar", until)
            now = self._values[control.name]
            self._answer(Change(control.name, now, True, f"waits for the {when}", request.surface))
            return
        self._waiting.pop(control.name, None)  # the later request replaces the one that waits
        self._do(control, value, request)

    def _parsed(self, request: _Request) -> tuple[Control | None, Value]:
        """Return the control and its value; None for a button let go."""
        if request.name not in CONTROLS:
            raise InputError(f"there is no control {request.name[:40]!r}")
        if request.when not in ("", *CONTROLS["quantise"].choices):
            raise InputError(f"{request.name}: {request.when[:40]!r} is none of now, beat, bar")
        control = CONTROLS[request.name]
        if control.kind == "trigger" and not is_on(control.name, request.raw):
            return None, None
        raw = request.raw
        if control.kind == "number" and raw in ("+", "-"):  # a step of a tenth of the range
            now = self._values[control.name]
            step = (control.high - control.low) / (15.0 if raw == "+" else -15.0)
            raw = min(max(float(now or 0.0) + step, control.low), control.high)
        value = control.parse(raw, self._values[control.name])
        remote = request.surface.startswith(_NETWORK)
        if control.name == "record" and remote and PureWindowsPath(str(value)).name != value:  # knows / and \ and C:
            raise InputError("record: over the network a bare file name, without a folder")
        return control, value

    def _do(self, control: Control, value: Value, request: _Request) -> None:
        try:
            if control.name == "panic":
                self._panic(request)
            action = self._actions.get(control.name)
            value = action(value, request.moment) if action is not None else value
        except (DancerevError, OSError) as error:
            self.refused += 1
            reason = f"{control.name}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
            self._answer(Change(control.name, self._values[control.name], False, reason, request.surface))
            return
        with self._lock:
            self._values[control.name] = control.default if control.momentary else value
        self._answer(Change(control.name, value, True, "", request.surface))

    def _panic(self, request: _Request) -> None:
        self._waiting.clear()
        for name, value in self._start.items():
            if value is not None and self._values[name] != value and name != "record":
                self._do(CONTROLS[name], value, request)

    def _do_what_waited(self, beat_falls: bool, bar_begins: bool) -> None:
        if not self._waiting:
            return
        now = time.perf_counter()
        for name, waiting in list(self._waiting.items()):
            if (bar_begins if waiting.per_bar else beat_falls) or now > waiting.until:
                del self._waiting[name]
                self._do(CONTROLS[name], waiting.value, waiting.request)

    def _falls(self) -> tuple[bool, bool]:
        """Whether a beat falls, and a bar begins, between the last pose made and the next; both without a beat."""
        clock = self._beat()
        if clock is None:
            return True, True
        beat, next_pose = clock
        last, self._last_pose = self._last_pose, next_pose
        if not next_pose - 1.0 < last < next_pose:
            return False, False
        before, after = beat.beats_at(last), beat.beats_at(next_pose)
        per_bar = beat.beats_per_bar
        bar_begins = math.floor(after / per_bar) > math.floor(before / per_bar)
        self.bars += bar_begins
        return math.floor(after) > math.floor(before), bar_begins

    def _answer(self, change: Change) -> None:
        for listener in list(self._listeners):
            self._isolated(listener, change)

    def _isolated(self, call: Callable[..., object], *arguments: object) -> None:
        """Call what may fail without harm to the show; log the first failure of each."""
        try:
            call(*arguments)
        except Exception as error:
            name = getattr(call, "__qualname__", type(call).__name__)
            if name not in self._failed:
                _log.warning("%s failed: %s", name, error)
            self._failed.add(name)
