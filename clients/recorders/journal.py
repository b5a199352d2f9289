"""The journal of a recording: records of one size, appended, so that memory stays bounded and a kill loses nothing.

A journal begins with 16 bytes: a mark and the frames per second. It is read back as a memory map.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError
from dancerev.model.dance_file import HIGHEST_RATE, LOWEST_RATE, Dance, check_poses
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES
from dancerev.model.whole_file import begin_file

RECORD = np.dtype(
    [
        ("rotations", "<f4", (len(BONES), 4)),
        ("root", "<f4", 3),
        ("contacts", "?", 2),
        ("beat", "<f8"),  # seconds, NaN where none was announced
        ("bpm", "<f4"),
        ("beat_in_bar", "i1"),
        ("beats_per_bar", "i1"),
        ("bar_confidence", "<f4"),
    ]
)
_HEADER = struct.Struct("<8sd")
_MARK = b"dancerv2"


def record(pose: Pose, beat: BeatState | None = None) -> npt.NDArray[np.void]:
    """Return the record () of one pose, and of the beat that was announced with it."""
    row = np.zeros((), RECORD)
    row["rotations"], row["root"], row["contacts"] = pose.rotations, pose.root, pose.contacts > 0.5
    row["beat"] = np.nan
    if beat is not None:
        note_beat(row, beat, beat.time)
    return row


def note_beat(row: npt.NDArray[np.void], beat: BeatState, seconds: float) -> None:
    """Note in a record that the beat which ``beat`` is on was announced, for so many ``seconds`` of the recording."""
    row["beat"], row["bpm"] = seconds, beat.bpm
    row["beat_in_bar"], row["beats_per_bar"] = beat.beat_in_bar, beat.beats_per_bar
    row["bar_confidence"] = beat.bar_confidence


def beats_of(rows: npt.NDArray[np.void]) -> dict[str, Any]:
    """Return the fields of a :class:`~dancerev.model.dance_file.Dance` about the beats announced in (T,) records."""
    announced = rows[~np.isnan(rows["beat"])]
    names = ("beat_in_bar", "beats_per_bar", "bar_confidence")
    bpm = float(np.median(announced["bpm"])) if len(announced) else 0.0
    return {"beats": np.array(announced["beat"]), "bpm": bpm, **{name: np.array(announced[name]) for name in names}}


class Journal:
    """A journal that is being written. A context manager."""

    def __init__(self, path: Path, fps: float) -> None:
        """Begin a new file.

        Raises:
            OSError: it cannot be written.
        """
        self.path, self.fps = path, fps
        self._file = begin_file(path, _HEADER.pack(_MARK, fps), buffering=0)
        self.count = 0

    def append(self, records: Sequence[npt.NDArray[np.void]]) -> None:
        """Append records.

        Raises:
            OSError: the disk is full, or gone; what was appended before stays whole.
        """
        if records:
            data = b"".join(row.tobytes() for row in records)
            try:
                if self._file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                error.filename = str(self.path)
                raise
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
        InputError: it is none, or damaged.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MARK):
        raise InputError(f"{path}: not the journal of a recording")
    fps = _HEADER.unpack(head)[1]
    count = (path.stat().st_size - _HEADER.size) // RECORD.itemsize
    if not LOWEST_RATE <= fps <= HIGHEST_RATE or count < 1:
        raise InputError(f"{path}: the recording has no pose")
    dance = _dance(path, fps, count, ())
    check_poses(path, dance.rotations, dance.root)
    return dance


def _dance(path: Path, fps: float, count: int, marks: tuple[tuple[float, str], ...]) -> Dance:
    rows = np.memmap(path, RECORD, "r", _HEADER.size, (count,)) if count else np.zeros(0, RECORD)
    return Dance(fps, rows["rotations"], rows["root"], rows["contacts"], **beats_of(rows), marks=marks)
