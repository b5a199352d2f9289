"""Reads what VRM avatars and VRM animations need of binary glTF 2.0: the JSON document and uncompressed numbers.

``pygltflib`` writes such files here. Reading is done apart, as a file from anywhere must end in one line when it is
damaged, and only a few of its numbers are wanted (glTF 2.0 specification, sections 3.6 and 4.4).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DAMAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, RecursionError, OverflowError)
"""What reading a damaged file, and looking into its document, may raise."""

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_LARGEST = 2**31  # bytes of a file


def read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the document and the binary chunk of a file.

    Raises:
        OSError: it cannot be read.
        DAMAGE: it is not a binary glTF 2.0.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError("larger than 2 GiB")
    data = path.read_bytes()
    magic, version, _ = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or version != 2:
        raise ValueError("not a binary glTF 2.0")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        size, kind = struct.unpack_from("<I4s", data, at)
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    return json.loads(chunks[b"JSON"]), chunks.get(b"BIN\0", b"")


def read_accessor(document: dict[str, Any], binary: bytes, index: int) -> npt.NDArray[np.float64]:
    """(count, width) numbers of accessor ``index``, as they are stored, without sparse parts.

    Raises:
        DAMAGE: there is no such accessor, or its numbers are beyond the end of the file.
    """
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    kind, width, count = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]], accessor["count"]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", kind.itemsize * width)
    if start < 0 or count < 0 or stride < kind.itemsize * width:
        raise ValueError("numbers before the start of the file, or one inside another")
    numbers: npt.NDArray[Any] = np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize))
    return numbers.astype(np.float64)
