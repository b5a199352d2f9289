"""The receiving end of VMC: datagrams in, a body in world space out. Any VMC performer may be the sender."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.model import rotation
from dancerev.model.hands_and_face import FINGERS
from dancerev.model.skeleton import BONES, INDEX, PARENTS

from .. import osc
from ..udp import resolve

Array = npt.NDArray[Any]

NO_SIGNAL_AFTER = 0.5
"""Seconds without a pose after which the sender counts as gone."""

_FINGER_INDEX = {name: i for i, name in enumerate(FINGERS)}
_HANDS = np.array([INDEX["LeftHand"]] * 5 + [INDEX["RightHand"]] * 5)
_RECEIVE_BUFFER = 65536
_DATAGRAM_COST = 128  # bytes that take as long as the datagram itself does, so that empty ones count
_APPLY_WITHIN = 0.1  # seconds in which a sender who ends its frames with Apply has done so
_RATE_OVER = 45  # bodies
_MAX_PER_POLL = 1 << 16  # bytes, about ten bodies; a flood must not stop the drawing


@dataclass(frozen=True, slots=True)
class Body:
    """Joints in Unity's world space (left-handed, Y up, facing +Z).

    Attributes:
        positions: (22, 3) metres, in the order of ``skeleton.BONES``.
        rotations: (22, 4) global unit quaternions xyzw.
        fingers: (30, 3) metres, in the order of ``hands_and_face.FINGERS``, or None.
        fingertips: (10, 3) metres, the ends of the outermost finger bones, or None.
    """

    positions: Array
    rotations: Array
    fingers: Array | None = None
    fingertips: Array | None = None

    def towards(self, other: Body, amount: float) -> Body:
        """Return the body ``amount`` (0 … 1) of the way to ``other``; for bodies a frame apart."""
        sign = np.where(np.sum(self.rotations * other.rotations, axis=-1, keepdims=True) < 0.0, -1.0, 1.0)
        rotations = rotation.normalize((1.0 - amount) * self.rotations + amount * sign * other.rotations)
        positions = self.positions + amount * (other.positions - self.positions)
        if self.fingers is None or other.fingers is None or self.fingertips is None or other.fingertips is None:
            return Body(positions, rotations, other.fingers, other.fingertips)
        fingers = self.fingers + amount * (other.fingers - self.fingers)
        return Body(positions, rotations, fingers, self.fingertips + amount * (other.fingertips - self.fingertips))


@dataclass(slots=True)
class Music:
    """What the sender tells of the music (``dancerev.clients.flat_osc``); None until told."""

    bpm: float | None = None
    phase: float | None = None
    phase_told: float = -math.inf
    """When, by the receiver's clock."""


def body_from_local(offsets: Array, rotations: Array, root: Array, turn: Array) -> Body:
    """Forward kinematics with the sender's own bone lengths.

    Args:
        offsets: (22, 3) local positions, metres. A bone the sender lacks stays at its parent (zeros).
        rotations: (22, 4) local unit quaternions xyzw.
        root: (3,) position of the avatar in the world.
        turn: (4,) rotation of the avatar in the world.
    """
    globals_ = np.empty_like(rotations)
    for bone, parent in enumerate(PARENTS):
        globals_[bone] = rotation.multiply(turn if parent < 0 else globals_[parent], rotations[bone])
    above = np.concatenate([turn[None], globals_[list(PARENTS[1:])]])
    positions = rotation.rotate(above, offsets)
    positions[0] += root
    for bone, parent in enumerate(PARENTS[1:], start=1):
        positions[bone] += positions[parent]
    return Body(positions, globals_)


def with_hands(body: Body, offsets: Array, rotations: Array) -> Body:
    """Return ``body`` with fingers.

    Args:
        body: whose hands they are.
        offsets: (30, 3) local positions of the finger bones, metres.
        rotations: (30, 4) their local unit quaternions.
    """
    places, turns = np.empty((10, 4, 3)), body.rotations[_HANDS]  # knuckle, joint, joint, tip of each digit
    places[:, 0] = body.positions[_HANDS] + rotation.rotate(turns, offsets[::3])
    for segment in range(3):
        turns = rotation.multiply(turns, rotations[segment::3])
        # A fingertip is as far on as the joint before it, nearly.
        reach = 0.9 * offsets[2::3] if segment == 2 else offsets[segment + 1 :: 3]
        places[:, segment + 1] = places[:, segment] + rotation.rotate(turns, reach)
    return Body(body.positions, body.rotations, places[:, :3].reshape(30, 3), places[:, 3])


class VmcReceiver:
    """Listens on a UDP port of this machine and keeps the last two bodies that came.

    Args:
        port: 1 to 65535, or 0 for any free one.
        host: address to listen on.
        clock: seconds, monotonic.

    Attributes:
        port: the port in use.
        body: the newest body, None before the first.
        music: what was told of the music.

    Raises:
        OSError: the port is taken or not allowed.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        family, address = resolve(host, port)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.body: Body | None = None
        self.music = Music()
        self._before: Body | None = None
        self._arrivals: deque[float] = deque(maxlen=_RATE_OVER)
        self._begin_anew()
        self._begun = self._told = -math.inf  # when the sender began, and when it last told of a bone

    def _begin_anew(self) -> None:
        self._offsets = np.zeros((len(BONES), 3))
        self._rotations = np.tile(rotation.IDENTITY.astype(np.float64), (len(BONES), 1))
        self._finger_offsets = np.zeros((len(FINGERS), 3))
        self._finger_rotations = np.tile(rotation.IDENTITY.astype(np.float64), (len(FINGERS), 1))
        self._has_fingers = False
        self._root = np.zeros(3)
        self._turn = rotation.IDENTITY.astype(np.float64)
        self._changed = False
        self._sends_apply = False

    def poll(self) -> None:
        """Take in what has arrived; never waits and never fails for what it finds in a datagram."""
        with contextlib.suppress(OSError):  # nothing more to read, or a port-unreachable report (Windows)
            left = _MAX_PER_POLL
            while left > 0:
                datagram = self._socket.recv(_RECEIVE_BUFFER)
                left -= len(datagram) + _DATAGRAM_COST
                for address, arguments in osc.decode(datagram):
                    self._take(address, arguments)
        if self._changed and not self._sends_apply and self._told - self._begun > _APPLY_WITHIN:
            self._finish()

    def receiving(self) -> bool:
        """Whether a body came within the last half second."""
        return bool(self._arrivals) and self._clock() - self._arrivals[-1] < NO_SIGNAL_AFTER

    def rate(self) -> float:
        """Bodies per second of late; 0 until two came."""
        if len(self._arrivals) < 2 or self._arrivals[-1] <= self._arrivals[0]:
            return 0.0
        return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    def smooth_body(self) -> Body | None:
        """Return the body to draw now: on its way from the last but one to the newest, so that 30 Hz look like 60."""
        if self.body is None or self._before is None:
            return self.body
        return self._before.towards(self.body, min(1.0, (self._clock() - self._arrivals[-1]) * self.rate()))

    def beat_phase(self) -> float | None:
        """Position in the beat now, [0, 1); None if nothing was told of it in the last half second."""
        since = self._clock() - self.music.phase_told
        if self.music.phase is None or self.music.bpm is None or since > NO_SIGNAL_AFTER:
            return None
        return (self.music.phase + since * self.music.bpm / 60.0) % 1.0

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def _take(self, address: str, arguments: list[Any]) -> None:
        if address == "/VMC/Ext/Blend/Apply":
            self._sends_apply = True
            if self._changed:
                self._finish()
        elif address in ("/VMC/Ext/Bone/Pos", "/VMC/Ext/Root/Pos"):
            transform = _transform(arguments)
            if transform is None:
                return
            before, self._told = self._told, self._clock()
            if self._told - before > NO_SIGNAL_AFTER:  # maybe another sender, with other bones and other ways
                self._begin_anew()
                self._begun = self._told
            name, position, turn = transform
            if address == "/VMC/Ext/Root/Pos":
                self._root, self._turn = position, turn
            elif name in INDEX:
                self._offsets[INDEX[name]], self._rotations[INDEX[name]] = position, turn
                self._changed = True
            elif name in _FINGER_INDEX:
                finger = _FINGER_INDEX[name]
                self._finger_offsets[finger], self._finger_rotations[finger] = position, turn
                self._has_fingers = True
        elif address == "/dancerev/bpm" and _are_numbers(arguments, 1):
            self.music.bpm = float(arguments[0])
        elif address == "/dancerev/phase" and _are_numbers(arguments, 1):
            self.music.phase, self.music.phase_told = float(arguments[0]), self._clock()

    def _finish(self) -> None:
        if not self.receiving():
            self._arrivals.clear()  # after a pause there is nothing to be on the way from
            self.body = None
        self._before = self.body
        self.body = body_from_local(self._offsets, self._rotations, self._root, self._turn)
        if self._has_fingers:
            self.body = with_hands(self.body, self._finger_offsets, self._finger_rotations)
        self._arrivals.append(self._clock())
        self._changed = False


def _are_numbers(arguments: list[Any], count: int) -> bool:
    """Exactly ``count`` finite numbers, none so large that its square overflows."""
    return len(arguments) == count and all(
        isinstance(a, int | float) and not isinstance(a, bool) and abs(a) < 1e6 for a in arguments
    )


def _transform(arguments: list[Any]) -> tuple[str, Array, Array] | None:
    """Name, position (3,) and unit quaternion (4,) of a transform's arguments, None if they are not such."""
    if not (len(arguments) >= 8 and isinstance(arguments[0], str) and _are_numbers(arguments[1:8], 7)):
        return None
    turn = np.array(arguments[4:8], dtype=np.float64)
    length = math.hypot(*turn.tolist())
    if length < 1e-6:
        return None
    return arguments[0], np.array(arguments[1:4], dtype=np.float64), turn / length
