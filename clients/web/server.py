"""Serves the page that shows the dance and the page that controls it, from a thread of its own.

The show hands over poses and never waits: for each viewer, only the newest few poses of each dancer wait until its
connection takes them, so a slow viewer loses frames and nobody else notices.

What may connect is narrow. Beyond this machine, every address begins with a random token. A WebSocket must come from
the page itself (its ``Origin`` is checked, against pages of other sites), and the ``Host`` must be a number or this
machine's name (against DNS rebinding). Connections, message sizes and message rates are bounded; only the files of the
page and the one avatar that was named are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import http
import io
import ipaddress
import json
import logging
import math
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import segno
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from dancerev.errors import InputError, quoted, reason
from dancerev.model.features import BeatState
from dancerev.model.hands_and_face import FACE, FINGER_OFFSETS, FINGERS, finger_parent
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES, PARENTS, REST_OFFSETS

from ..avatar import AvatarRig
from ..sink import PoseSink
from ..udp import resolve
from . import WEB_PORT
from .frames import pack_music, pack_pose

MAX_CONNECTIONS = 64  # open at once, of whatever kind
_MAX_AVATARS = 8  # different ones that all viewers together may show
_MAX_MESSAGE = 65536  # bytes that a page may send at once: the joints of eight avatars
_MAX_RATE = 60.0  # messages a second that a page may send for long
_HANDSHAKE = 5.0  # seconds in which a connection must have said what it wants
_WRITE_LIMIT = 16384  # bytes that wait for a slow viewer, apart from what the system buffers
_SEND_BUFFER = 65536
STALLED = 10.0  # seconds after which a viewer that takes nothing is sent away
_MAX_NOTICES = 64
_WAITING = 15  # poses of a dancer that wait for a viewer: half a second, for which a busy computer may hold it up

_COLLECTED = 100  # connections after whose end the cycles that they leave behind are collected

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "control": ("control.html", "text/html; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "control.js": ("control.js", "text/javascript; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
}
_AVATAR = "avatar.vrm"

# What websockets logs of connections that fail is the visitors' doing, and any of them could fill the terminal.
_SILENT = logging.Logger("dancerev.web", logging.CRITICAL + 1)


class ControlTable(Protocol):
    """The controls of the show, as ``dancerev.realtime.performance`` offers them."""

    def table(self) -> list[dict[str, object]]:
        """One row for each control, with its present value."""

    def request(self, name: str, value: object = None, surface: str = "") -> None:
        """Ask for a change; never blocks and never raises."""

    def subscribe(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Call ``callback`` with every change (name, value, accepted, message); undone by the result."""


class WebServer(PoseSink):
    """A sink for poses that browsers show.

    Attributes:
        name: the address of the page, as it is to be opened.
        port: where it listens.
        lost: frames that viewers were too slow to take, of all of them together, and poses that the server's own
            thread was too slow to hand to them.
        token: what every path begins with; empty where only this machine can connect.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = WEB_PORT,
        *,
        dancers: int = 1,
        avatar: Path | None = None,
        controls: ControlTable | None = None,
    ) -> None:
        """Listen on ``host``:``port`` (0 for any free port) and serve until :meth:`close`.

        Args:
            host: name or address; beyond loopback, the address of the page has a token.
            port: 0 to 65535.
            dancers: how many there are on stage.
            avatar: VRM file that the page shows.
            controls: what the page ``/control`` shows and changes; without it, there is no such page.

        Raises:
            InputError: the address cannot be listened on, or the avatar's file cannot be read.
        """
        self._files = {path: (_read(_PAGE / file), kind) for path, (file, kind) in _FILES.items()}
        if avatar is not None:
            self._files[_AVATAR] = (_read(avatar), "model/gltf-binary")
        self._dancers, self._controls = dancers, controls
        self._viewers: set[_Viewer] = set()
        self._open = self._ended = 0
        # What the show hands over: without a bound, it would grow for ever where there is too much to compute.
        self._handed: deque[Callable[[], None]] = deque(maxlen=_WAITING * (dancers + 1))
        self._arrived = asyncio.Event()
        self._woken = False
        own_name = socket.gethostname().lower()
        self._names = {"localhost", own_name, f"{own_name}.local"}
        self._loop = asyncio.new_event_loop()
        try:
            self._socket = _listen(host, port)
        except (OSError, OverflowError) as error:
            self._loop.close()
            raise InputError(f"web page at {quoted(host)}, port {port}: {reason(error)}") from None
        address, self.port = self._socket.getsockname()[:2]
        self.token = "" if ipaddress.ip_address(address).is_loopback else secrets.token_urlsafe(16)
        self.name = f"http://{_reachable(address)}:{self.port}/" + (f"{self.token}/" if self.token else "")
        self._unsubscribe = controls.subscribe(self._tell_change) if controls is not None else lambda: None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="dancerev web", daemon=True)
        self._thread.start()
        started.wait()

    def send(self, pose: Pose) -> None:
        """Hand ``pose`` to the viewers; never waits."""
        if self._viewers:
            self._hand_over(partial(self._publish_pose, pose, time.time() * 1000.0))

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Hand what the music does now to the viewers; never waits."""
        if self._viewers:
            self._hand_over(partial(self._publish_music, pack_music(beat, onset, energy, time.time() * 1000.0)))

    @property
    def viewers(self) -> int:
        """How many pages are connected."""
        return len(self._viewers)

    def close(self) -> None:
        """Send the viewers away and give the port back; harmless when repeated."""
        unsubscribe, self._unsubscribe = self._unsubscribe, lambda: None
        unsubscribe()
        if self._thread.is_alive():
            self._call(self._stopping.set)
            self._thread.join(5.0)

    def _hand_over(self, publish: Callable[[], None]) -> None:
        """Let the server's thread call ``publish``; of too many that wait, the oldest is lost."""
        self.lost += len(self._handed) == self._handed.maxlen
        self._handed.append(publish)
        if not self._woken:
            self._woken = True
            self._call(self._arrived.set)

    # --- In the thread of the server ------------------------------------------------------------------------------

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._stopping = asyncio.Event()
        self._loop.call_soon(started.set)
        with contextlib.closing(self._loop), self._socket:
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = self

        class Connection(ServerConnection):
            """One of a bounded number of connections; one too many is dropped before it has said anything."""

            counted = False

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.counted = server._open < MAX_CONNECTIONS
                server._open += self.counted
                if not self.counted and isinstance(transport, asyncio.Transport):
                    transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                server._open -= self.counted
                super().connection_lost(exc)
                server._ended += 1
                if server._ended % _COLLECTED == 0:
                    gc.collect(0)  # a show collects no garbage, and each connection leaves a cycle

        async with serve(
            self._attend,
            sock=self._socket,
            process_request=self._answer,
            create_connection=Connection,
            compression=None,
            max_size=_MAX_MESSAGE,
            max_queue=4,
            write_limit=_WRITE_LIMIT,
            open_timeout=_HANDSHAKE,
            close_timeout=1.0,
            server_header=None,
            logger=_SILENT,
        ):
            publishing = asyncio.ensure_future(self._publish_handed())
            await self._stopping.wait()
            publishing.cancel()

    async def _publish_handed(self) -> None:
        """Publish what the show hands over, one at a time, so that connections are served in between."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._woken = False  # before looking: what is handed over from now on wakes us again
            while self._handed:
                self._loop.call_soon(self._handed.popleft())
                await asyncio.sleep(0.0)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the show ends
            self._loop.call_soon_threadsafe(function, *arguments)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the file that ``request`` asks for, an error, or None for a page that may open its WebSocket."""
        host = request.headers.get("Host", "")
        if not self._is_this_machine(host):
            return _error(http.HTTPStatus.MISDIRECTED_REQUEST)
        path = request.path.split("?", 1)[0].removeprefix("/")
        if self.token:
            token, slash, path = path.partition("/")
            if not slash or not hmac.compare_digest(token.encode(), self.token.encode()):
                return _error(http.HTTPStatus.FORBIDDEN)
        if path == "socket":
            if request.headers.get("Origin") != f"http://{host}":
                return _error(http.HTTPStatus.FORBIDDEN)
            return None
        if path not in self._files or (path == "control" and self._controls is None):
            return _error(http.HTTPStatus.NOT_FOUND)
        body, kind = self._files[path]
        return _file(body, kind, host)

    def _is_this_machine(self, host: str) -> bool:
        """Whether a ``Host`` header names an address, or this machine, at our port."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    async def _attend(self, connection: ServerConnection) -> None:
        """Serve one page until it leaves."""
        viewer = _Viewer(connection)
        self._viewers.add(viewer)
        writing = asyncio.ensure_future(viewer.write())
        try:
            viewer.notify(self._greeting())
            async for message in connection:
                if not viewer.may_speak():
                    break
                self._take(viewer, message)
        except ConnectionClosed:
            pass
        finally:
            self._viewers.discard(viewer)
            writing.cancel()

    def _greeting(self) -> dict[str, Any]:
        """Return what a page needs to know before the first pose."""
        return {
            "type": "hello",
            "dancers": self._dancers,
            "bones": BONES,
            "parents": PARENTS,
            "offsets": REST_OFFSETS.tolist(),
            "fingers": FINGERS,
            "fingerParents": [finger_parent(finger) for finger in range(len(FINGERS))],
            "fingerOffsets": FINGER_OFFSETS.tolist(),
            "face": FACE,
            "avatar": _AVATAR if _AVATAR in self._files else None,
            "controls": [] if self._controls is None else self._controls.table(),
        }

    def _take(self, viewer: _Viewer, message: str | bytes) -> None:
        """Do what a page asks for; whatever is malformed is left out."""
        try:
            asked = json.loads(message)
            if asked["type"] == "avatars":
                viewer.rigs = self._rigs([_rig(joints) for joints in asked["avatars"][:_MAX_AVATARS]], viewer)
            elif asked["type"] == "control" and self._controls is not None:
                value = asked.get("value")
                if value is None or isinstance(value, bool | int | float | str):
                    self._controls.request(str(asked["name"])[:64], value, "web")
        except InputError as error:
            viewer.notify({"type": "note", "text": str(error)})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass

    def _rigs(self, wanted: list[AvatarRig], viewer: _Viewer) -> list[AvatarRig]:
        """Return the rigs to fit poses to, those of other viewers where they are the same: fitting costs time.

        Raises:
            InputError: there are too many different ones.
        """
        known = [rig for other in self._viewers if other is not viewer for rig in other.rigs]
        shared = [next((rig for rig in known if rig.equals(one)), one) for one in wanted]
        if len({id(rig) for rig in (*known, *shared)}) > _MAX_AVATARS:
            raise InputError(f"no more than {_MAX_AVATARS} different avatars can be shown at once")
        return shared

    def _tell_change(self, change: Any) -> None:
        """Of the controls' subscription; in the thread of the show."""
        notice = {name: getattr(change, name) for name in ("name", "value", "accepted", "message")}
        self._call(self._publish_notice, notice | {"type": "change"})

    def _publish_notice(self, notice: dict[str, Any]) -> None:
        for viewer in self._viewers:
            viewer.notify(notice)

    def _publish_pose(self, pose: Pose, sent: float) -> None:
        if not pose.is_finite():
            return
        frames: dict[AvatarRig | None, bytes | None] = {}
        for viewer in self._viewers:
            rig = viewer.rig_of(pose.dancer)
            if rig not in frames:
                frames[rig] = pack_pose(pose if rig is None else rig.fit(pose), sent)
            if (frame := frames[rig]) is not None:
                self.lost += viewer.show(pose.dancer, frame)

    def _publish_music(self, frame: bytes | None) -> None:
        if frame is not None:
            for viewer in self._viewers:
                viewer.show(-1, frame)


class _Viewer:
    """One page that is connected: what it is to get next, and its avatars.

    Attributes:
        rigs: the avatars that it shows; dancer k wears number k, counted round. Empty for the built-in figure.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.rigs: list[AvatarRig] = []
        self._connection = connection
        self._frames: dict[int, deque[bytes]] = {}  # the newest few of each dancer, and of the music (-1)
        self._notices: list[str] = []
        self._waiting = asyncio.Event()
        self._allowance, self._spoke = _MAX_RATE, time.monotonic()
        if (transport := connection.transport) is not None:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def show(self, dancer: int, frame: bytes) -> int:
        """Send ``frame`` of ``dancer``; of too many that were not yet sent, the oldest is lost. How many were."""
        waiting = self._frames.setdefault(dancer, deque(maxlen=_WAITING))
        lost = len(waiting) == _WAITING
        waiting.append(frame)
        self._waiting.set()
        return int(lost)

    def notify(self, notice: Mapping[str, Any]) -> None:
        """Send ``notice`` as text, unless too many wait."""
        if len(self._notices) < _MAX_NOTICES:
            self._notices.append(json.dumps(_finite(notice)))
            self._waiting.set()

    def rig_of(self, dancer: int) -> AvatarRig | None:
        """Return the avatar that a dancer wears, None for the built-in figure."""
        return self.rigs[dancer % len(self.rigs)] if self.rigs else None

    def may_speak(self) -> bool:
        """Whether one more message is within the rate that a page may send at (a token bucket of one second)."""
        now = time.monotonic()
        self._allowance = min(_MAX_RATE, self._allowance + (now - self._spoke) * _MAX_RATE) - 1.0
        self._spoke = now
        return self._allowance >= 0.0

    async def write(self) -> None:
        """Send what there is to send as fast as the connection takes it, for as long as it is open."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._waiting.wait()
                self._waiting.clear()
                notices, self._notices = self._notices, []
                frames, self._frames = self._frames, {}
                try:
                    async with asyncio.timeout(STALLED):
                        for notice in notices:
                            await self._connection.send(notice)
                        for frame in chain.from_iterable(frames.values()):
                            await self._connection.send(frame)
                except TimeoutError:
                    if (transport := self._connection.transport) is not None:
                        transport.abort()
                    return


def qr_code(address: str) -> str:
    """Return the QR code of ``address``, as text for a terminal with light letters on a dark ground."""
    text = io.StringIO()
    segno.make_qr(address, error="l").terminal(out=text, border=1, compact=True)
    return text.getvalue()


def _rig(joints: Mapping[str, Any]) -> AvatarRig:
    """Return the rig of joints that a page sent: bone names and places."""
    known = {*BONES, *FINGERS}
    torso = joints.get("torso", (0.0, 0.0))
    places = {name: np.array(place, dtype=np.float32) for name, place in joints["joints"].items() if name in known}
    half_width, half_depth = (min(max(float(extent), 0.0), 1.0) for extent in torso)
    return AvatarRig(places, (half_width, half_depth))


def _finite(value: Any) -> Any:
    """``value`` with None for each number that is not finite, which JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host``:``port``."""
    family, address = resolve(host, port, socket.SOCK_STREAM)
    return socket.create_server(address[:2], family=family)


def _reachable(address: str) -> str:
    """Return what to open ``address`` as from another machine: of all addresses, the one towards the default route."""
    if ipaddress.ip_address(address).is_unspecified:
        address = "127.0.0.1"
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737); nothing is sent
            address = probe.getsockname()[0]
    return f"[{address}]" if ":" in address else address


def _file(body: bytes, kind: str, host: str) -> Response:
    """Return a file of the page, under a policy that lets it load nothing from elsewhere."""
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self' blob: data: ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    return Response(http.HTTPStatus.OK, "OK", Headers(headers), body)


def _error(status: http.HTTPStatus) -> Response:
    body = f"{status.phrase}\n".encode()
    headers = {"Content-Type": "text/plain", "Content-Length": str(len(body)), "Connection": "close"}
    return Response(status, status.phrase, Headers(headers), body)
