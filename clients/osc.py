"""Open Sound Control 1.0, as bytes: encoding, datagrams refilled in place, and a decoder that trusts nobody.

A show sends the same few messages thirty times a second; only their floats differ. So :class:`Template` lays out
the datagrams once and a frame costs one array assignment: OSC keeps everything on 4-byte boundaries, so a
datagram is also an array of big-endian floats.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Argument = int | float | str
Message = tuple[str, tuple[Argument, ...]]
"""Address and arguments; an ``int`` is sent as ``i``, a ``float`` as ``f``, a ``str`` as ``s``."""

MAX_DATAGRAM = 1200
"""Bytes of payload that cross every usual network unfragmented: IPv6 guarantees 1280, of which headers take some."""

_BUNDLE_HEAD = b"#bundle\0" + struct.pack(">Q", 1)  # time tag 1: immediately
_MAX_NESTING = 8


def encode(address: str, *arguments: Argument) -> bytes:
    """One OSC message."""
    return _encode(address, arguments)[0]


def _encode(address: str, arguments: Sequence[Argument]) -> tuple[bytes, list[int]]:
    """The bytes of a message, and the byte offset in them of each float."""
    types = "".join("s" if isinstance(a, str) else "f" if isinstance(a, float) else "i" for a in arguments)
    packet = _padded(address) + _padded("," + types)
    floats = []
    for argument in arguments:
        if isinstance(argument, str):
            packet += _padded(argument)
        elif isinstance(argument, float):
            floats.append(len(packet))
            packet += struct.pack(">f", argument)
        else:
            packet += struct.pack(">i", argument)
    return packet, floats


def _padded(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


class Template:
    """Datagrams of fixed shape whose floats are written anew for each frame.

    Args:
        messages: in the order in which they shall be received. The float arguments are the slots to fill.
        bundles: pack as many messages into each datagram as fit; otherwise one message is one datagram.

    Attributes:
        datagrams: views of the bytes to send; :meth:`fill` changes what they show.
        size: the number of slots.
    """

    def __init__(self, messages: Sequence[Message], *, bundles: bool = True) -> None:
        packed: list[bytearray] = []
        slots: list[tuple[int, int]] = []  # (datagram, byte offset)
        for address, arguments in messages:
            packet, floats = _encode(address, arguments)
            element = struct.pack(">i", len(packet)) + packet if bundles else packet
            if not bundles:
                packed.append(bytearray())
            elif not packed or len(packed[-1]) + len(element) > MAX_DATAGRAM:
                packed.append(bytearray(_BUNDLE_HEAD))
            start = len(packed[-1]) + len(element) - len(packet)
            slots += [(len(packed) - 1, start + offset) for offset in floats]
            packed[-1] += element
        buffer = bytearray(b"".join(packed))
        starts = [0]
        for datagram in packed:
            starts.append(starts[-1] + len(datagram))
        whole = memoryview(buffer)
        self.datagrams: list[memoryview] = [whole[a:b] for a, b in itertools.pairwise(starts)]
        self.size = len(slots)
        self._words = np.frombuffer(buffer, dtype=">f4")
        self._slots = np.array([(starts[datagram] + offset) // 4 for datagram, offset in slots], dtype=np.intp)

    def fill(self, values: npt.NDArray[Any]) -> None:
        """Write ``values`` (size,) into the slots, in the order of the messages and their arguments."""
        self._words[self._slots] = values


def decode(datagram: bytes) -> Iterator[tuple[str, list[Any]]]:
    """The messages of a datagram, bundles unpacked: (address, arguments).

    Whatever is malformed, truncated or of an unknown type is left out; nothing is raised for it.
    """
    yield from _decode(datagram, 0)


def _decode(packet: bytes, depth: int) -> Iterator[tuple[str, list[Any]]]:
    if packet.startswith(b"#bundle\0"):
        start = len(_BUNDLE_HEAD)
        while depth < _MAX_NESTING and start + 4 <= len(packet):
            (size,) = struct.unpack_from(">i", packet, start)
            if size <= 0 or start + 4 + size > len(packet):
                return
            yield from _decode(packet[start + 4 : start + 4 + size], depth + 1)
            start += 4 + size
    elif packet.startswith(b"/"):
        try:
            message = _decode_message(packet)
        except (ValueError, struct.error):
            return
        yield message


def _decode_message(packet: bytes) -> tuple[str, list[Any]]:
    address, at = _read_string(packet, 0)
    types, at = _read_string(packet, at)
    if not types.startswith(","):
        raise ValueError("no type tags")
    arguments: list[Any] = []
    for tag in types[1:]:
        if tag in "fidh":
            code = {"f": ">f", "i": ">i", "d": ">d", "h": ">q"}[tag]
            arguments += struct.unpack_from(code, packet, at)
            at += struct.calcsize(code)
        elif tag == "s":
            text, at = _read_string(packet, at)
            arguments.append(text)
        elif tag in "TFN":
            arguments.append({"T": True, "F": False, "N": None}[tag])
        else:
            raise ValueError(f"type tag {tag!r}")
    return address, arguments


def _read_string(packet: bytes, at: int) -> tuple[str, int]:
    end = packet.index(b"\0", at)
    return packet[at:end].decode(), (end + 4) & ~3
