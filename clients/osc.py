"""Open Sound Control 1.0, as bytes: encoding, datagrams refilled in place, and a decoder that trusts nobody.

A show sends the same few messages thirty times a second; only their floats differ. So :class:`Template` lays out
the datagrams once and a frame costs one array assignment: OSC keeps everything on 4-byte boundaries, so a
datagram is also an array of big-endian floats.
"""

from __future__ import annotations

import itertools
import re
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
MAX_WILDCARDS, MAX_PATTERN = 4, 64

_NUMBERS = {"f": (">f", 4), "i": (">i", 4), "d": (">d", 8), "h": (">q", 8)}
_CONSTANTS = {"T": True, "F": False, "N": None, "I": True}
_SKIPPED = {"c": 4, "r": 4, "m": 4, "t": 8}
"""Bytes of the arguments that nothing here uses: character, colour, MIDI message, time tag."""


def encode(address: str, *arguments: Argument) -> bytes:
    """One OSC message."""
    return _encode(address, arguments)[0]


def _encode(address: str, arguments: Sequence[Argument]) -> tuple[bytes, list[int]]:
    """Return the bytes of a message, and the byte offset in them of each float."""
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
        """Lay out the datagrams."""
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
    """Return the messages of a datagram, bundles unpacked: (address, arguments).

    Whatever is malformed or truncated is left out; nothing is raised for it. An argument of a type that nothing here
    uses is None. Of a message without type tags the argument is guessed.
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
    if packet[at : at + 1] != b",":  # a sender of before OSC 1.0 leaves the type tags out
        return address, _untyped(packet[at:])
    types, at = _read_string(packet, at)
    arguments: list[Any] = []
    for tag in types[1:]:
        if tag in _NUMBERS:
            code, size = _NUMBERS[tag]
            arguments += struct.unpack_from(code, packet, at)
            at += size
        elif tag in "sS":
            text, at = _read_string(packet, at)
            arguments.append(text)
        elif tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        elif tag in _SKIPPED:
            at += _SKIPPED[tag]
            arguments.append(None)
        elif tag == "b":
            (size,) = struct.unpack_from(">i", packet, at)
            if not 0 <= size <= len(packet) - at - 4:
                raise ValueError(f"a blob of {size} bytes")
            at += 4 + (size + 3 & ~3)
            arguments.append(None)
        elif tag not in "[]":  # of unknown length: what follows cannot be read
            break
    return address, arguments


def _untyped(rest: bytes) -> list[Any]:
    """Return the argument of a message without type tags: a whole number or a float in four bytes, or else a text."""
    if not rest:
        return []
    if len(rest) == 4:
        (whole,) = struct.unpack(">i", rest)
        (number,) = struct.unpack(">f", rest)
        return [whole if abs(whole) < 1 << 20 else number]
    return [_read_string(rest, 0)[0]] if b"\0" in rest else []


def matches(pattern: str, address: str) -> bool:
    """Whether an OSC 1.0 address pattern (``? * [a-z] [!a] {one,two}``) matches an address.

    Patterns that would be slow to match, with more than :data:`MAX_WILDCARDS` wildcards or
    :data:`MAX_PATTERN` characters, match nothing.
    """
    if pattern == address:
        return True
    if len(pattern) > MAX_PATTERN:
        return False
    if sum(map(pattern.count, "*{")) > MAX_WILDCARDS or not any(map(pattern.count, "*?[{")):
        return False
    regex = "".join(_wildcard(part) for part in re.findall(r"\[[^\]]*\]|\{[^}]*\}|.", pattern, re.DOTALL))
    try:
        return re.fullmatch(regex, address) is not None
    except re.error:
        return False


def _wildcard(part: str) -> str:
    """One part of an address pattern as a regular expression."""
    if part == "*":
        return "[^/]*"
    if part == "?":
        return "[^/]"
    if len(part) > 1 and part[0] == "[":
        inside = re.sub(r"([\\\[^&~|])", r"\\\1", part[1:-1].removeprefix("!"))
        return f"[{'^/' if part[1] == '!' else ''}{inside}]"
    if len(part) > 1:
        return f"(?:{'|'.join(map(re.escape, part[1:-1].split(',')))})"
    return re.escape(part)


def _read_string(packet: bytes, at: int) -> tuple[str, int]:
    end = packet.index(b"\0", at)
    return packet[at:end].decode(), (end + 4) & ~3
