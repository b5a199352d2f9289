"""A show recorded while it is danced, as a sink that never waits for the disk.

A thread of the recorder's own writes. Whenever the program is killed, the file can be read, and at most a second of
the dance is lost, or one hundredth of it where that is longer: what is whole is written again every second at first
and then ever more rarely, so that the disk has the same work throughout. BVH is appended to, and a film is drawn by a
program of its own, which finishes the file when the show has gone. Beside the file stands its journal, which holds
every pose, until the recording ends. VRM animations and VMD are written at the end alone, as each writing needs the
whole dance in memory: of a killed show they leave the journal, which ``dancerev-convert`` reads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from dancerev.errors import reason
from dancerev.model.bvh import bvh_header, bvh_rows
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose
from dancerev.model.whole_file import begin_file, beside, write_whole

from ..sink import PerDancer, PoseSink
from .formats import FILM, WRITERS, check_output
from .journal import Journal, note_beat, record

_log = logging.getLogger(__name__)

Record = npt.NDArray[np.void]

_TURN = 0.25  # seconds in which what was danced goes to the disk
_WAITING = 1800  # poses that may wait for a disk that hangs: a minute of 30 a second
_AT_THE_END = (".vrma", ".vmd")  # formats that are made in memory
_PATIENCE = 60.0  # seconds that the film's program has for what it is given
_FILM_NICENESS = 10  # of the film's program: drawing must not take the processor from the show


class _Output(Protocol):
    """What a recorder writes with, in its thread. Every method may raise ``OSError``."""

    def append(self, rows: list[Record]) -> None:
        """Write what was danced since the last time."""

    def publish(self, marks: list[tuple[float, str]]) -> None:
        """Make a readable file of all that was appended."""

    def close(self) -> None:
        """Let go of everything, after the last :meth:`publish`."""


class _Whole:
    """A format that is written as a whole, from the journal."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._journal = Journal(beside(path, ".journal"), fps)
        self._published = False

    def append(self, rows: list[Record]) -> None:
        self._journal.append(rows)

    def publish(self, marks: list[tuple[float, str]]) -> None:
        if self._journal.count:
            dance = self._journal.dance(marks)
            write_whole(self._path, lambda partial: WRITERS[self._path.suffix.lower()](partial, dance))
            self._published = True

    def close(self) -> None:
        self._journal.close(delete=self._published or not self._journal.count)


class _Bvh:
    """BVH: rows are appended, and the count of frames in the header is kept up to date."""

    def __init__(self, path: Path, fps: float) -> None:
        self._fps, self._count = fps, 0
        self._file = begin_file(path, bvh_header(0, fps).encode())

    def append(self, rows: list[Record]) -> None:
        text = bvh_rows(np.array([row["rotations"] for row in rows]), np.array([row["root"] for row in rows]))
        self._file.write(text.encode())
        self._file.flush()
        self._count += len(rows)

    def publish(self, marks: list[tuple[float, str]]) -> None:
        self._file.seek(0)
        self._file.write(bvh_header(self._count, self._fps).encode())
        self._file.seek(0, os.SEEK_END)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _FilmProgram:
    """A film: the poses go through a pipe to a program that draws them, and that is killed if it hangs."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        command = [sys.executable, "-m", "dancerev.clients.recorders.film", str(path), str(fps)]
        self._program = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what the terminal sends to the show, or its end, does not end the film
        )
        with contextlib.suppress(AttributeError, OSError):  # the show's own priority may have been raised
            os.setpriority(os.PRIO_PROCESS, self._program.pid, _FILM_NICENESS)
        assert self._program.stdin is not None
        self._pipe: IO[bytes] = self._program.stdin

    def append(self, rows: list[Record]) -> None:
        try:
            with self._killed_if_it_hangs():
                for row in rows:
                    self._pipe.write(row["rotations"].tobytes() + row["root"].tobytes())
                self._pipe.flush()
        except BrokenPipeError:
            self.close()  # says why
            raise

    def publish(self, marks: list[tuple[float, str]]) -> None:
        pass

    def close(self) -> None:
        with self._killed_if_it_hangs():
            with contextlib.suppress(BrokenPipeError):
                self._pipe.close()
            code = self._program.wait()
        if code:
            if self._path.exists() and not self._path.stat().st_size:
                self._path.unlink()
            if code > 1:  # the system's error
                raise OSError(code, os.strerror(code))
            raise OSError("the film could not be written")

    @contextlib.contextmanager
    def _killed_if_it_hangs(self) -> Iterator[None]:
        """End the program if the body, which waits for it, takes longer than ``_PATIENCE``."""
        timer = threading.Timer(_PATIENCE, self._program.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def free_path(path: Path) -> Path:
    """Return ``path``, or where a file is there already, the first of ``NAME-2``, ``NAME-3`` … that is free."""
    number, free = 2, path
    while free.exists() or beside(free, ".journal").exists():
        free = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return free


def open_recorder(text: str, fps: float, dancers: int = 1) -> Recorder | Recorders:
    """Begin the recording that the control ``record`` asks for: a file for each dancer.

    Args:
        text: path of the file, or ``start`` for ``dance.npz``.
        fps: poses a second of each dancer.
        dancers: how many; the files of several have their numbers in their names.

    Raises:
        InputError, OSError: as :class:`Recorder`.
    """
    path = Path("dance.npz" if text == "start" else text)
    if dancers == 1:
        return Recorder(path, fps)
    with contextlib.ExitStack() as opened:  # one that fails to open ends the others
        recorders = []
        for k in range(dancers):
            recorders.append(Recorder(path.with_stem(f"{path.stem}-dancer{1 + k}"), fps))
            opened.callback(recorders[-1].close)
        opened.pop_all()
    return Recorders(recorders)


class Recorder(PoseSink):
    """Records one dancer into a file of any format.

    Attributes:
        path: of the file: the one that was asked for, or a numbered one beside it, as nothing is overwritten.
        error: why the recording has stopped, one line, or None.
        lost: poses that were not recorded.
    """

    def __init__(self, path: Path, fps: float = 30.0) -> None:
        """Begin a recording.

        Args:
            path: its suffix says the format.
            fps: poses a second that will be sent.

        Raises:
            InputError: the suffix is of no format, or there is no such folder.
            OSError: the file cannot be written.
        """
        check_output(path)
        self.path = free_path(path)
        self.name = str(self.path)
        self._rows: deque[Record] = deque()
        self._marks: list[tuple[float, str]] = []
        self._beat: BeatState | None = None
        self._announced = -1.0
        self._start: float | None = None
        self._count = 0
        suffix = path.suffix.lower()
        kind = _Bvh if suffix == ".bvh" else _FilmProgram if suffix == FILM else _Whole
        self._output: _Output = kind(self.path, fps)
        self._at_the_end = suffix in _AT_THE_END
        self._fps = fps
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="recorder")
        self._thread.start()

    def send(self, pose: Pose) -> None:
        """Take one pose."""
        if self.error or self._closing.is_set() or len(self._rows) >= _WAITING:
            self.lost += 1
            return
        if self._start is None:
            self._start = pose.time
        # Poses that the show has left out are held, so that the file keeps step with the music; so they are when the
        # show goes over to more or fewer poses a second than the file has.
        missing = min(int((pose.time - self._start) * self._fps + 0.25) + 1 - self._count, _WAITING)
        row = record(pose)
        self._rows.extend(row.copy() for _ in range(missing))
        self._count += max(missing, 0)

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Note the beats, for the pose that was sent last."""
        if beat is not None and self._beat is not None and self._rows:
            passed = beat.phase < self._beat.phase - 0.5 and beat.time - self._announced > 0.5 * beat.period
            if passed:
                self._announced = beat.time
                with contextlib.suppress(IndexError):  # the writer may just have taken it
                    note_beat(self._rows[-1], beat, beat.time - beat.phase * beat.period - (self._start or 0.0))
        self._beat = beat

    def mark(self, time: float, text: str) -> None:
        """Keep a marker; formats without markers leave it out."""
        self._marks.append((time - (self._start or 0.0), text))

    def close(self) -> None:
        """End the recording. The file is finished meanwhile; the program does not end before it is whole."""
        self._closing.set()

    def wait(self) -> None:
        """Wait until the file is whole, after :meth:`close`."""
        self._thread.join()

    def __exit__(self, *_: object) -> None:
        """End the recording and wait until the file is whole."""
        self.close()
        self.wait()

    def _write(self) -> None:
        """Write until the recording ends or fails."""
        count, due = 0, 0.0
        began = time.monotonic()
        try:
            while not self._closing.is_set() and threading.main_thread().is_alive():
                self._closing.wait(_TURN)
                count += self._append()
                passed = time.monotonic() - began
                if passed >= due and count and not self._at_the_end:
                    self._output.publish(list(self._marks))
                    due = passed + max(1.0 - _TURN, passed / 100.0)
            self._append()
            self._output.publish(list(self._marks))
        except Exception as error:  # of the disk, of a library, or for want of memory: the show must learn of it
            self.error = f"{self.path}: the recording has stopped ({reason(error)})"
            _log.warning("%s", self.error)
        try:
            self._output.close()
        except Exception as error:
            if self.error is None:
                self.error = f"{self.path}: {reason(error)}"
                _log.warning("%s", self.error)

    def _append(self) -> int:
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if rows:
            self._output.append(rows)
        return len(rows)


class Recorders(PerDancer):
    """A recorder for each of several dancers."""

    def __init__(self, recorders: list[Recorder]) -> None:
        """Make one of ``recorders``."""
        super().__init__(recorders)
        self.name = f"{recorders[0].name} to {recorders[-1].path.name}"
        self._recorders = recorders

    def wait(self) -> None:
        """Wait until the files are whole, after :meth:`close`."""
        for recorder in self._recorders:
            recorder.wait()
