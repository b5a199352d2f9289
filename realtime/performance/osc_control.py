"""OSC as a surface: ``/dancerev/NAME`` sets a control, and every change is sent back to who controls.

The arguments of a message are the value and, optionally, when: "now", "beat" or "bar". Addresses may be patterns,
messages may come in bundles; time tags are ignored. A sender gets the value of every control that changes, refusals as
``/dancerev/error s``, and all values when it sends ``/dancerev/refresh``. A flood of datagrams is cut to what leaves
the show its time.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from dancerev.clients import osc
from dancerev.clients.udp import resolve
from dancerev.errors import ReceiverError, quoted, reason

from .performance import Change, Performance
from .table import CONTROLS, Value

PREFIX = "/dancerev/"
MOST_DATAGRAMS, PER_SECONDS = 100, 0.05
"""So many datagrams are read in so many seconds; the system drops what does not fit its buffer."""
MOST_MESSAGES = 200  # of one datagram
MOST_SENDERS = 8  # that get answers; the one who was silent longest is forgotten
FORGET_SECONDS = 600.0
_WHEN = ("now", "beat", "bar")
_PATIENCE = 0.2  # seconds between looks at whether the show is over
_NAMES = {f"{PREFIX}{name}": name for name in CONTROLS}


class OscControl:
    """Listens on a port, in a thread of its own.

    Attributes:
        name: ``HOST:PORT``.
        ignored: datagrams and messages that were no use.
    """

    def __init__(self, performance: Performance, host: str, port: int, reply_port: int | None = None) -> None:
        """Listen.

        Args:
            performance: takes the requests.
            host: name or address to listen on.
            port: 1 to 65535.
            reply_port: where senders listen for answers; None: the port that they send from.

        Raises:
            ReceiverError: there is no listening at that address.
        """
        self.name = f"{host}:{port}"
        try:
            family, address = resolve(host, port)
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.bind(address)
        except OSError as error:
            raise ReceiverError(f"cannot listen on {quoted(host)}, port {port}: {reason(error)}") from None
        self._socket.settimeout(PER_SECONDS)
        self._performance = performance
        self._reply_port = reply_port
        self._senders: dict[Any, float] = {}  # address for answers → when it last sent
        self._refreshes: set[Any] = set()  # addresses that want all values
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._unsubscribe: Callable[[], None] = performance.subscribe(self._changes.put)
        self.ignored = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="OSC control", daemon=True)
        self._thread.start()

    def poll(self) -> None:
        """Do nothing: the thread asks for itself."""

    def close(self) -> None:
        """Stop listening."""
        self._unsubscribe()
        self._closing.set()
        self._thread.join(2 * _PATIENCE)
        self._socket.close()

    def _run(self) -> None:
        count, until = 0, 0.0
        while not self._closing.is_set():
            now = time.perf_counter()
            if now >= until:
                count, until = 0, now + PER_SECONDS
            try:
                datagram, sender = self._socket.recvfrom(65536)
            except OSError:  # nothing came, or Windows says that an answer found nobody
                self._answer()
                continue
            self._take(datagram, sender)
            count += 1
            if count == MOST_DATAGRAMS:
                time.sleep(max(until - time.perf_counter(), 0.0))
            if count in (1, MOST_DATAGRAMS):
                self._answer()

    def _take(self, datagram: bytes, sender: Any) -> None:
        surface = f"osc {sender[0]}:{sender[1]}"
        useful = False
        for count, (pattern, arguments) in enumerate(osc.decode(datagram)):
            if count >= MOST_MESSAGES:
                break
            if pattern == f"{PREFIX}refresh":
                useful = True
                if len(self._refreshes) < MOST_SENDERS:
                    self._refreshes.add(self._answer_address(sender))
                continue
            names = [_NAMES[pattern]] if pattern in _NAMES else []
            names = names or [name for address, name in _NAMES.items() if osc.matches(pattern, address)]
            useful = useful or bool(names)
            when = ""
            if len(arguments) > 1 and arguments[-1] in _WHEN:
                *arguments, when = arguments
            for name in names:
                self._performance.request(name, arguments[0] if arguments else None, surface, when)
        if useful:
            self._remember(sender)
        else:
            self.ignored += 1

    def _answer_address(self, sender: Any) -> Any:
        return sender if self._reply_port is None else (sender[0], self._reply_port, *sender[2:])

    def _remember(self, sender: Any) -> None:
        now = time.perf_counter()
        self._senders.pop(self._answer_address(sender), None)
        self._senders[self._answer_address(sender)] = now
        self._senders = {who: when for who, when in self._senders.items() if now - when < FORGET_SECONDS}
        while len(self._senders) > MOST_SENDERS:
            self._senders.pop(next(iter(self._senders)))

    def _answer(self) -> None:
        self._refresh()
        self._send_changes()

    def _refresh(self) -> None:
        """Send all values to those who asked since the last call, however often they did."""
        for name, value in self._performance.values.items() if self._refreshes else ():
            self._send(_message(name, value), list(self._refreshes))
        self._refreshes.clear()

    def _send_changes(self) -> None:
        """Tell every sender what changed; of a control that changed often, the last value."""
        messages: dict[str, bytes] = {}
        errors: dict[str, bytes] = {}
        while not self._changes.empty():
            change = self._changes.get()
            if change.accepted and change.name in CONTROLS and not change.message:
                messages[change.name] = _message(change.name, change.value)
            elif not change.accepted:
                errors[change.name] = osc.encode(f"{PREFIX}error", change.message)
        for message in (*messages.values(), *errors.values()):
            self._send(message, list(self._senders))

    def _send(self, message: bytes | None, addresses: list[Any]) -> None:
        for address in addresses if message else []:
            try:
                self._socket.sendto(message or b"", address)
            except OSError:
                continue  # nobody listens there any more


def _message(name: str, value: Value) -> bytes:
    """Return the OSC message with a value: switches are 1 or 0, triggers 1."""
    if value is None:
        return osc.encode(PREFIX + name, 1)
    if isinstance(value, bool):
        return osc.encode(PREFIX + name, int(value))
    return osc.encode(PREFIX + name, value)
