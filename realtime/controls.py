"""The performer's hand on the show: keys in the terminal, and OSC messages from a controller or a VJ's program."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator

from dancerev.clients import osc
from dancerev.clients.udp import ReceiverError

KEYS = {"t": "tap", " ": "tap", "1": "one", "h": "half", "d": "double", "q": "quit"}
"""Key → command."""

ADDRESSES = {f"/dancerev/{command}": command for command in ("tap", "one", "half", "double", "quit")}
"""OSC address → command. A message whose argument is 0 is a button let go and does nothing."""

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
                family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
                self._socket = socket.socket(family, kind)
                self._socket.bind(address)
            except OSError as error:
                raise ReceiverError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def take(self) -> Iterator[tuple[str, float]]:
        """The commands since the last call, each with its ``time.monotonic()``."""
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
        with _keys() as keyboard:
            listened: list[int | socket.socket] = [x for x in (keyboard, self._socket) if x is not None]
            while self._open and listened:
                ready, _, _ = select.select(listened, [], [], _PATIENCE)
                now = time.monotonic()
                for one in ready:
                    commands = _read_keys(one) if isinstance(one, int) else _read_osc(one)
                    for command in commands:
                        self._commands.put((command, now))


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """The terminal's file descriptor, giving keys as they are pressed; None where there is none (or on Windows)."""
    try:
        import termios
        import tty
    except ImportError:
        yield None
        return
    if not sys.stdin or not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_keys(descriptor: int) -> list[str]:
    return [KEYS[key] for key in os.read(descriptor, 64).decode(errors="replace").lower() if key in KEYS]


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
