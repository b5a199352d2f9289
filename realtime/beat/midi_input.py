"""MIDI input: messages with the moment they came, and answers, by a port that may be pulled out and plugged in again.

mido and python-rtmidi do it, which only the extra ``dancerev[midi]`` brings.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from dancerev.errors import InputError, reason

from ..audio.devices import quiet_libraries

MISSING = "MIDI input is not installed; it comes with: pip install 'dancerev[midi]'"
WAITING = 4096  # messages that wait to be taken, at most; a clock sends a hundred a second
QUIET = 1.0  # seconds without a message after which the port is looked for
LOOK = 0.5  # seconds from look to look


class MidiInput:
    """Listens to a port on a thread of MIDI's own.

    A port that vanishes is waited for, and opened again by its name.

    Attributes:
        name: the port's full name, as the system gives it now.
    """

    def __init__(self, wanted: str | None = None, answers: bool = False) -> None:
        """Listen to the port whose name has ``wanted`` in it, or to the first.

        Args:
            wanted: part of the name; None for the first.
            answers: open the output of the same device too, where there is one, for :meth:`send`.

        Raises:
            InputError: MIDI is not installed or does not work here, or there is no such port.
        """
        self.name = find_port(wanted)
        self._messages: deque[tuple[Any, float]] = deque(maxlen=WAITING)
        self._last = time.perf_counter()
        self._closing = threading.Event()
        self._answers = answers
        self._output: Any | None = None
        try:
            self._port = self._open()
        except OSError as error:
            raise InputError(f"cannot open the MIDI input {self.name!r}: {reason(error)}") from error
        self._watcher = threading.Thread(target=self._watch, name="MIDI watcher", daemon=True)
        self._watcher.start()

    def poll(self) -> Iterator[tuple[Any, float]]:
        """Return mido's messages since the last call, each with its ``time.perf_counter()``."""
        while self._messages:
            yield self._messages.popleft()

    def send(self, message: Any) -> None:
        """Send mido's ``message`` to the device; do nothing while it has no output.

        Raises:
            OSError, ValueError: it was pulled out just now.
        """
        output = self._output
        if output is not None:
            output.send(message)

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._watcher.join(2.0)

    def _open(self) -> Any:
        port = _mido().open_input(self.name, callback=self._hear)
        self._output = _open_output(self.name) if self._answers else None
        return port

    def _hear(self, message: Any) -> None:
        self._last = time.perf_counter()
        self._messages.append((message, self._last))

    def _watch(self) -> None:
        """No system tells when a port goes, but a port that came back must be opened again.

        It may have gone and come between two looks; so, once it falls quiet, it is opened anew in any case, once.
        """
        opened = time.perf_counter()
        while not self._closing.wait(LOOK):
            if self._port is not None and time.perf_counter() - self._last < QUIET:
                continue
            try:
                there = [name for name in _mido().get_input_names() if _lasting(name) == _lasting(self.name)]
                if self._port is not None and (self.name not in there or self._last > opened):
                    self._release()
                if self._port is None and there:
                    self.name = self.name if self.name in there else there[0]
                    opened, self._port = time.perf_counter(), self._open()
            except (OSError, ValueError):  # MIDI may be out of order while things are plugged in: the next look will do
                continue
        self._release()

    def _release(self) -> None:
        ports = self._port, self._output
        self._port = self._output = None
        for port in ports:
            if port is not None:
                port.close()


def port_names() -> list[str]:
    """Return the MIDI inputs there are.

    Raises:
        InputError: MIDI is not installed, or does not work here.
    """
    try:
        with quiet_libraries():
            return list(_mido().get_input_names())
    except ImportError as error:
        raise InputError(MISSING) from error
    except OSError as error:
        raise InputError(f"MIDI does not work here: {reason(error)}") from error


def find_port(wanted: str | None = None) -> str:
    """Return the MIDI input that has ``wanted`` in its name; the first for None, but Linux's own through port last.

    Raises:
        InputError: there is none such; the message names those there are. Or MIDI does not work here.
    """
    names = port_names()
    if not names:
        raise InputError("there is no MIDI input")
    if wanted is None:
        return next((name for name in names if not name.startswith("Midi Through")), names[0])
    matches = [name for name in names if wanted.strip().lower() in name.lower()]
    if not matches:
        raise InputError(f"there is no MIDI input {wanted!r}; there are {', '.join(map(repr, names))}")
    return matches[0]


def _open_output(name: str) -> Any | None:
    """Open the MIDI output of the same device as the input ``name``; None where there is none.

    Returns:
        mido's port.
    """
    try:
        mido = _mido()
        same = [output for output in mido.get_output_names() if _lasting(output) == _lasting(name)]
        return mido.open_output(same[0]) if same else None
    except (InputError, OSError, ValueError):
        return None


def list_ports() -> list[str]:
    """Return the MIDI inputs for people to read, each a line; none where there is no MIDI."""
    try:
        return [f"MIDI input: {name}" for name in port_names()]
    except InputError:
        return []


def _mido() -> ModuleType:
    try:
        import mido
    except ImportError as error:
        raise InputError(MISSING) from error
    return mido


def _lasting(name: str) -> str:
    """Return the name without the number that ALSA or Windows appends, which changes with each plugging in."""
    return re.sub(r" \d+$" if sys.platform == "win32" else r" \d+:\d+$", "", name)
