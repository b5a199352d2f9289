"""The performer's hand on the show: keys in the terminal, and OSC messages from a controller or a VJ's program."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

from dancerev.clients import osc
from dancerev.clients.udp import resolve
from dancerev.errors import ReceiverError

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

KEYS = {"t": "tap", " ": "tap", "1": "one", "h": "half", "d": "double", "q": "quit"}
"""Key → command."""

ADDRESSES = {f"/dancerev/{command}": command for command in ("tap", "one", "half", "double", "quit")}
"""OSC address → command. A message whose argument is 0 is a button let go and does nothing."""

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)  # what arrow and function keys send (ECMA-48)
_PATIENCE = 0.2  # seconds between looks at whether the show is over


class Controls:
    """Collects commands with the moment they came, in a thread of its own; the show takes them when it has time."""

    def __init__(self, host: str | None = None, port: int | None = None) -> None:
        """Listen to the keys of the terminal, if there is one, and to OSC on ``host``:``port``, if given.

        Raises:
            ReceiverError: there is no listening at that address.
        """
        self._commands: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._socket: socket.socket | None = None
        if host is not None and port is not None:
            try:
                family, address = resolve(host, port)
                self._socket = socket.socket(family, socket.SOCK_DGRAM)
                self._socket.bind(address)
            except (OSError, UnicodeError) as error:
                reason = getattr(error, "strerror", None) or "not a host name"
                raise ReceiverError(f"cannot listen on {host}:{port}: {reason}") from None
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def take(self) -> Iterator[tuple[str, float]]:
        """The commands since the last call, each with its ``time.perf_counter()``."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._commands.get_nowait()

    def close(self) -> None:
        """Stop listening and give the terminal back."""
        self._open = False
        self._thread.join(2 * _PATIENCE)
        if self._socket is not None:
            self._socket.close()

    def _listen(self) -> None:
        with _Keyboard() as keyboard:
            while self._open and (keyboard.there or self._socket):
                listened = [x for x in (keyboard.listen(), self._socket) if x is not None]
                ready, _, _ = select.select(listened, [], [], _PATIENCE)
                now = time.perf_counter()
                for one in ready:
                    commands = keyboard.read() if isinstance(one, int) else _read_osc(one)
                    for command in commands:
                        self._commands.put((command, now))


class _Keyboard:
    """The terminal, giving keys as they are pressed while the program is in its foreground; none on Windows.

    A program in the background is stopped by the system if it reads from the terminal or changes its mode.
    """

    def __init__(self) -> None:
        self.there = bool(termios and sys.stdin and sys.stdin.isatty())
        self._descriptor = sys.stdin.fileno() if self.there else -1
        self._before: list[Any] | None = None  # the terminal's mode before it was ours
        self._ours = False

    def __enter__(self) -> Self:
        return self

    def listen(self) -> int | None:
        """The terminal's file descriptor if keys can be read from it now."""
        in_front, self._ours = self._ours, self._in_foreground()
        if not self._ours:
            return None
        if self._before is None:
            self._before = termios.tcgetattr(self._descriptor)
        if not in_front:
            tty.setcbreak(self._descriptor)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        if self._before is not None and self._in_foreground():
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def read(self) -> list[str]:
        """The commands of the keys that were pressed."""
        try:
            pressed = os.read(self._descriptor, 64)
        except OSError:
            pressed = b""
        self.there = bool(pressed)  # a terminal that was closed has no more to say
        keys = _ESCAPE.sub("", pressed.decode(errors="replace"))
        return [KEYS[key] for key in keys.lower() if key in KEYS]

    def _in_foreground(self) -> bool:
        try:
            return self.there and os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # it is a terminal, but not the one by which a shell controls us
            return True


def _read_osc(listener: socket.socket) -> list[str]:
    try:
        datagram = listener.recv(4096)
    except OSError:
        return []
    return [
        ADDRESSES[address]
        for address, arguments in osc.decode(datagram)
        if address in ADDRESSES and (not arguments or arguments[0] not in (0, False))
    ]
