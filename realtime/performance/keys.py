"""Keys in the terminal as a surface: POSIX terminals and the Windows console."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .performance import Performance
from .table import CONTROLS, Value

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # anywhere else
    msvcrt = None  # type: ignore[assignment]

KEYS: dict[str, tuple[str, Value]] = {key: (row.name, value) for row in CONTROLS.values() for key, value in row.key}
"""Key → control and the argument that it sends."""

SURFACE = "keys"
QUIT_SECONDS = 3.0
"""Within which ``q`` has to be pressed twice."""

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)  # what arrow and function keys send (ECMA-48)
_PATIENCE = 0.2  # seconds between looks at whether the show is over


def key_help() -> list[str]:
    """Return what each key does, a line for each control, for ``?``."""
    lines = []
    for row in CONTROLS.values():
        if row.key:
            keys = " ".join("space" if key == " " else key for key, _ in row.key)
            lines.append(f"{keys:8} {row.name}: {row.help}")
    return [*lines, f"{'?':8} this list"]


class Keys:
    """Reads keys in a thread of its own; :meth:`poll` hands them to the performance."""

    def __init__(self, performance: Performance, say: Callable[[str], None]) -> None:
        """Listen to the terminal, if there is one.

        Args:
            performance: takes the requests.
            say: shows one line to the performer.
        """
        self._performance, self._say = performance, say
        self._pressed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._quit_asked = -QUIT_SECONDS
        self._closing = threading.Event()
        read = _read_console if msvcrt is not None else _read_terminal
        self._thread = threading.Thread(target=read, args=(self._pressed, self._closing), name="keys", daemon=True)
        self._thread.start()

    def poll(self) -> None:
        """Ask for what was pressed since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                for key in self._pressed.get_nowait().lower():
                    self._press(key)

    def close(self) -> None:
        """Stop listening and give the terminal back."""
        self._closing.set()
        self._thread.join(2 * _PATIENCE)

    def _press(self, key: str) -> None:
        if key == "?":
            for line in key_help():
                self._say(line)
        elif key == "q":
            now = time.perf_counter()
            if now - self._quit_asked < QUIT_SECONDS:
                self._performance.request("quit", None, SURFACE)
            else:
                self._say("press q once more to quit")
            self._quit_asked = now
        elif key in KEYS:
            name, value = KEYS[key]
            self._performance.request(name, value, SURFACE)


def _read_console(pressed: queue.SimpleQueue[str], closing: threading.Event) -> None:
    """Put the keys of the Windows console into ``pressed`` until ``closing``."""
    while not closing.wait(0.02):
        while msvcrt.kbhit():  # type: ignore[attr-defined, unused-ignore]
            key = msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
            if key in ("\0", "\xe0"):  # an arrow or a function key: the second half follows
                msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
            else:
                pressed.put(key)


def _read_terminal(pressed: queue.SimpleQueue[str], closing: threading.Event) -> None:
    """Put the keys of the terminal into ``pressed`` until ``closing``, or until it is closed."""
    terminal = _Terminal()
    try:
        while terminal.there and not closing.is_set():
            descriptor = terminal.descriptor()
            if descriptor is None:
                closing.wait(_PATIENCE)
            elif select.select([descriptor], [], [], _PATIENCE)[0]:
                pressed.put(terminal.read())
    finally:
        terminal.restore()


class _Terminal:
    """The terminal, giving keys as they are pressed while the program is in its foreground.

    A program in the background is stopped by the system if it reads from the terminal or changes its mode.
    """

    def __init__(self) -> None:
        try:
            self.there = bool(termios and sys.stdin and sys.stdin.isatty())
            self._descriptor = sys.stdin.fileno() if self.there else -1
        except (OSError, ValueError):  # stdin is closed
            self.there, self._descriptor = False, -1
        self._before: list[Any] | None = None  # the terminal's mode before it was ours
        self._ours = False

    def descriptor(self) -> int | None:
        """Return the terminal's file descriptor if keys can be read from it now."""
        in_front, self._ours = self._ours, self._in_foreground()
        if not self._ours:
            return None
        try:
            if self._before is None:
                self._before = termios.tcgetattr(self._descriptor)
            if not in_front:
                tty.setcbreak(self._descriptor)
        except (OSError, termios.error):  # it was closed
            self.there = False
            return None
        return self._descriptor

    def restore(self) -> None:
        """Give the terminal its mode back."""
        if self._before is not None and self._in_foreground():
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

    def read(self) -> str:
        """Return the keys that were pressed, without those that send escape sequences."""
        try:
            pressed = os.read(self._descriptor, 64)
        except OSError:
            pressed = b""
        self.there = bool(pressed)  # a terminal that was closed has no more to say
        return _ESCAPE.sub("", pressed.decode(errors="replace"))

    def _in_foreground(self) -> bool:
        try:
            return self.there and os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # it is a terminal, but not the one by which a shell controls us
            return True
