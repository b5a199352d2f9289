"""The journal of a recording: records of one size, appended, so that memory stays bounded and a kill loses nothing.

A journal begins with 16 bytes: a mark and the frames per second. It is read back as a memory map.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError
from dancerev.model.dance_file import Dance
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES

RECORD = np.dtype(
    [
        ("rotations", "<f4", (len(BONES), 4)),
        ("root", "<f4", 3),
        ("contacts", "?", 2),
        ("beat", "<f8"),  # seconds, NaN where none was announced
        ("bpm", "<f4"),
    ]
)
_HEADER = struct.Struct("<8sd")
_MARK = b"dancerev"


def record(pose: Pose, beat: float = np.nan, bpm: float = 0.0) -> npt.NDArray[np.void]:
    """Return the record () of one pose, and of the beat that was announced with it."""
    row = np.zeros((), RECORD)
    row["rotations"], row["root"], row["contacts"] = pose.rotations, pose.root, pose.contacts > 0.5
    row["beat"], row["bpm"] = beat, bpm
    return row


class Journal:
    """A journal that is being written. A context manager."""

    def __init__(self, path: Path, fps: float) -> None:
        """Begin a new file.

        Raises:
            OSError: it cannot be written.
        """
        self.path, self.fps = path, fps
        self._file = path.open("w+b", buffering=0)
        self._file.write(_HEADER.pack(_MARK, fps))
        self.count = 0

    def append(self, records: Sequence[npt.NDArray[np.void]]) -> None:
        """Append records.

        Raises:
            OSError: the disk is full, or gone; what was appended before stays whole.
        """
        if records:
            data = b"".join(row.tobytes() for row in records)
            written = self._file.write(data)
            if written != len(data):
                raise OSError(28, "No space left on device", str(self.path))
            self.count += len(records)

    def dance(self, marks: Sequence[tuple[float, str]] = ()) -> Dance:
        """Return what was appended so far; its arrays are maps of the file."""
        return _dance(self.path, self.fps, self.count, tuple(marks))

    def close(self, delete: bool = True) -> None:
        """Close the file, and delete it where what it holds is in another one."""
        self._file.close()
        if delete:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the journal, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and delete the file."""
        self.close()


def read_journal(path: Path) -> Dance:
    """Read a journal that a killed recording has left.

    Raises:
        InputError: it is none.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MARK):
        raise InputError(f"{path}: not the journal of a recording")
    fps = _HEADER.unpack(head)[1]
    count = (path.stat().st_size - _HEADER.size) // RECORD.itemsize
    if not 0.0 < fps < 1e4 or count < 1:
        raise InputError(f"{path}: the recording has no pose")
    return _dance(path, fps, count, ())


def _dance(path: Path, fps: float, count: int, marks: tuple[tuple[float, str], ...]) -> Dance:
    rows = np.memmap(path, RECORD, "r", _HEADER.size, (count,)) if count else np.zeros(0, RECORD)
    announced = ~np.isnan(rows["beat"])
    bpm = float(np.median(rows["bpm"][announced])) if announced.any() else 0.0
    beats = np.array(rows["beat"][announced])
    return Dance(fps, rows["rotations"], rows["root"], rows["contacts"], beats, bpm, marks)
