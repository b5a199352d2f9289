"""MIDI notes and knobs as a surface. Which of them is which control can be learnt, and is kept in the settings file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .performance import Change, Performance
from .table import CONTROLS

SURFACE = "midi"
FIRST_NOTE, FIRST_KNOB = 36, 20
"""Of the default map: the lowest pad of most drum pads; control changes that MIDI 1.0 leaves undefined."""


class MidiPort(Protocol):
    """Where messages come from and answers go, such as a :class:`~dancerev.realtime.beat.midi_input.MidiInput`."""

    def poll(self) -> Iterable[tuple[Any, float]]:
        """Return mido's messages since the last call, each with its ``time.perf_counter()``."""

    def close(self) -> None:
        """No more are wanted."""


def default_map() -> dict[str, str]:
    """Triggers, switches and choices on notes, numbers on knobs, in the order of the table."""
    pads = [row.name for row in CONTROLS.values() if row.kind in ("trigger", "switch", "choice")]
    knobs = [row.name for row in CONTROLS.values() if row.kind == "number"]
    pad_map = {f"note {FIRST_NOTE + index}": name for index, name in enumerate(pads) if name != "quit"}
    return pad_map | {f"cc {FIRST_KNOB + index}": name for index, name in enumerate(knobs)}


class MidiControl:
    """Turns notes and control changes of one port, on any channel, into requests.

    Attributes:
        map: "note 36" or "cc 20" → control.
    """

    def __init__(
        self,
        performance: Performance,
        port: MidiPort,
        mapping: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
        answer: Callable[[Any], None] | None = None,
    ) -> None:
        """Listen to an open port, which :meth:`close` closes.

        Args:
            performance: takes the requests.
            port: the port.
            mapping: what differs from :func:`default_map`.
            say: shows one line to the performer.
            answer: sends a mido message back, which lights a pad or moves a fader.
        """
        self._answer = answer
        self.map = default_map() | dict(mapping or {})
        self._performance, self._port, self._say = performance, port, say
        self._learning = ""
        self._unsubscribe = performance.subscribe(self._changed)

    def poll(self) -> None:
        """Ask for what came since the last call."""
        for message, _ in self._port.poll():
            self._take(message)

    def close(self) -> None:
        """Stop listening."""
        self._unsubscribe()
        self._port.close()

    def _take(self, message: Any) -> None:
        if message.type == "note_on":
            source, level = f"note {message.note}", message.velocity
        elif message.type == "control_change":
            source, level = f"cc {message.control}", message.value
        else:
            return
        if self._learning and level:
            self.map = {key: name for key, name in self.map.items() if name != self._learning}
            self.map[source] = self._learning
            self._say(f"{source} is {self._learning} from now on")
            self._learning = ""
            return
        name = self.map.get(source)
        if name is None:
            return
        control = CONTROLS[name]
        if control.kind in ("number", "integer") or (source.startswith("cc") and control.kind == "choice"):
            self._performance.request(name, control.scaled(level / 127.0), SURFACE)
        elif source.startswith("cc") and control.kind == "switch":
            self._performance.request(name, level >= 64, SURFACE)
        elif level >= (64 if source.startswith("cc") else 1):  # a pad, or a button that sends a control change
            self._performance.request(name, None, SURFACE)

    def _show(self, change: Change) -> None:
        """Send the value of a control to its pad or knob."""
        import mido

        control = CONTROLS[change.name]
        level = round(127 * min(max(control.share(change.value), 0.0), 1.0))
        for source, name in self.map.items():
            kind, number = source.split()
            if name == change.name and kind == "note" and control.kind == "switch":
                self._answer_with(mido.Message("note_on", note=int(number), velocity=level))
            elif name == change.name and kind == "cc":
                self._answer_with(mido.Message("control_change", control=int(number), value=level))

    def _answer_with(self, message: Any) -> None:
        if self._answer is not None:
            with contextlib.suppress(OSError, ValueError):  # it was pulled out
                self._answer(message)

    def _changed(self, change: Change) -> None:
        settled = change.accepted and not change.message and change.name in CONTROLS
        if self._answer is not None and settled and change.surface != SURFACE and change.value is not None:
            self._show(change)
        if change.name == "learn" and change.accepted:
            self._learning = str(change.value)
            self._say(f"move the knob or press the pad that is to be {self._learning}")
