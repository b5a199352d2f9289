"""Where a dance is sent to: receivers named by host and port, and datagrams that never hold up the sender."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from typing import Any

from dancerev.errors import ReceiverError, quoted, reason

VMC_PORT = 39539
"""The port on which receivers of the VMC protocol listen."""

_DIGITS = 20  # of a port, zeros before it among them: Python refuses to read numbers of thousands
_FULL = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS}
"""What the systems say of a full buffer."""


def parse_target(text: str, default_port: int = VMC_PORT) -> tuple[str, int]:
    """Host and port of ``HOST``, ``HOST:PORT``, ``[IPV6]`` or ``[IPV6]:PORT``; a bare IPv6 address is a host.

    Raises:
        ReceiverError: no host, or a port that is not a number from 1 to 65535.
    """
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ReceiverError(f"receiver {quoted(text)}: expected [ADDRESS]:PORT")
        port = rest[1:] if rest else str(default_port)
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        host, port = text, str(default_port)
    if not host or host.isdigit():  # a port alone would be taken for an IPv4 address in one number
        raise ReceiverError(f"receiver {quoted(text)}: no host; expected HOST:PORT, such as 127.0.0.1:{default_port}")
    if not (port.isascii() and port.isdigit()):
        raise ReceiverError(f"receiver {quoted(text)}: port {quoted(port)} is not a number")
    if len(port) > _DIGITS:
        raise ReceiverError(f"receiver {quoted(text)}: port {quoted(port)} is out of range: 1 to 65535")
    check_port(int(port))
    return host, int(port)


def check_port(port: int) -> None:
    """Raise :class:`ReceiverError` unless ``port`` is one that a datagram can be sent to."""
    if not 1 <= port <= 65535:
        raise ReceiverError(f"port {port} is out of range: 1 to 65535")


def resolve(host: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> tuple[socket.AddressFamily, Any]:
    """Family and address of a port, of UDP unless told. A name that has both gets IPv4, which more programs speak.

    Raises:
        OSError: the host has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except ValueError:  # such as the UnicodeError of a name with nothing between two dots
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


class UdpTarget:
    """One socket, kept for the whole show (some receivers bind themselves anew to every source port).

    Args:
        host: name or address, resolved once (:func:`resolve`). A broadcast address reaches everyone on that network.
        port: 1 to 65535.

    Attributes:
        name: ``HOST:PORT``, as given.
        error: why the system last took nothing, None while it does. A full buffer is no error, it passes.

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(self, host: str, port: int) -> None:
        """Resolve the host and open the socket."""
        check_port(port)
        self.name = f"{host}:{port}"
        self.error: str | None = None
        try:
            family, self._address = resolve(host, port)
        except OSError as error:
            raise ReceiverError(f"receiver {quoted(host)}, port {port}: {reason(error)}") from None
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def send(self, datagrams: Iterable[bytes | memoryview]) -> bool:
        """Hand the datagrams to the system without waiting; whether it took them all.

        Nobody listening, a network that is down and a full buffer are no errors: the next pose is 33 ms away.
        """
        try:
            for datagram in datagrams:
                self._socket.sendto(datagram, self._address)
        except OSError as error:
            if error.errno not in _FULL:
                self.error = error.strerror or str(error)
            return False
        self.error = None
        return True

    def close(self) -> None:
        """Give the socket back; further sends do nothing."""
        self._socket.close()
