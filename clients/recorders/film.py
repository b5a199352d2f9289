"""Films of a dance: H.264 in MP4, with its music, drawn as in the preview."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from dancerev.model.dance_file import Dance
from dancerev.model.skeleton import BONES, REST_OFFSETS, forward_kinematics

from ..vmc import to_unity

if TYPE_CHECKING:
    import av

Array = npt.NDArray[Any]

SOUND_RATE = 44_100
"""Hz of the music in a film."""

SIZE = (720, 720)
"""Width and height of a picture of the dancer."""

POSE = struct.Struct(f"<{len(BONES) * 4 + 3}f")  # as the show hands poses to the program of a recording


class _File(FileIO):
    """A file that remembers why it could not be written: av passes over the errors of its last writes."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            if (written := super().write(data)) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.error = error
            raise
        return written


class Film:
    """A film that is written picture by picture. A context manager.

    The file is in fragments of a second, so that one whose writer was killed can be played up to there.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], sound: Iterator[Array] | None = None) -> None:
        """Open the file.

        Args:
            path: of the film, whatever its suffix.
            fps: pictures per second.
            size: width and height of a picture, even numbers of pixels.
            sound: blocks (n, 2) of float32 at :data:`SOUND_RATE`, from the first picture on; what lasts longer than
                the pictures is left out.

        Raises:
            OSError: the file cannot be written; av's own errors are of this kind.
        """
        import av

        rate = Fraction(fps).limit_denominator(1001)
        self._sound, self._sounded = sound, 0
        self._pictures, self._time_base = 0, 1 / rate
        options = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "flush_packets": "1"}
        self._bytes = _File(path, "w+")
        self._file = av.open(self._bytes, "w", format="mp4", options=options)
        self._stream = self._file.add_stream("h264", rate=rate)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast", "g": str(max(round(fps), 1)), "tune": "zerolatency"}
        self._track: av.AudioStream | None = None
        if sound is not None:
            self._track = self._file.add_stream("aac", rate=SOUND_RATE, layout="stereo")

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        """Add the next picture (height, width, 3), RGB."""
        import av

        self._add_sound(float(self._pictures * self._time_base))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._pictures, self._time_base
        self._file.mux(self._stream.encode(frame))
        self._pictures += 1

    def _add_sound(self, until: float) -> None:
        """Add the music up to ``until`` seconds."""
        import av

        while self._sound is not None and self._track is not None and self._sounded < until * SOUND_RATE:
            block = next(self._sound, None)
            if block is None:
                self._sound = None
            elif len(block):
                samples = np.ascontiguousarray(np.clip(block, -1.0, 1.0).T.astype(np.float32))
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
                frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
                frame.pts = self._sounded
                self._sounded += len(block)
                self._file.mux(self._track.encode(frame))

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: something of it could not be written.
        """
        with self._bytes:
            self._file.mux(self._stream.encode(None))
            if self._track is not None:
                self._file.mux(self._track.encode(None))
            self._file.close()
        if self._bytes.error:
            raise self._bytes.error

    def __enter__(self) -> Self:
        """Return the film, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the film."""
        self.close()


class Painter:
    """Draws the dancer pose by pose, followed by a camera."""

    def __init__(self, fps: float) -> None:
        """Make a painter of so many pictures a second."""
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        from ..preview.render import Camera

        self._seconds = 1.0 / fps
        self._surface = pygame.Surface(SIZE)
        self._camera = Camera(distance=4.2)

    def paint(self, rotations: Array, root: Array, offsets: Array = REST_OFFSETS) -> npt.NDArray[np.uint8]:
        """Return the picture (height, width, 3) of local quaternions (22, 4) and the hips' place (3,)."""
        import pygame

        from ..preview.render import draw
        from ..preview.vmc_receiver import Body

        positions, turned = forward_kinematics(
            np.asarray(rotations, np.float64), np.asarray(root, np.float64), np.asarray(offsets, np.float64)
        )
        turned, positions = to_unity(turned, positions)
        self._camera.follow(positions[0], self._seconds)
        draw(self._surface, Body(positions, turned), self._camera)
        pixels = np.frombuffer(pygame.image.tobytes(self._surface, "RGB"), np.uint8)
        return pixels.reshape(SIZE[1], SIZE[0], 3)


def write_film(
    path: Path, dance: Dance, sound: Iterator[Array] | None = None, progress: Callable[[int], None] | None = None
) -> None:
    """Write the film of a finished dance.

    Args:
        path: of the film.
        dance: to draw.
        sound: as for :class:`Film`.
        progress: called with the number of pictures that are drawn.

    Raises:
        OSError: the file cannot be written.
    """
    painter = Painter(dance.fps)
    with Film(path, dance.fps, SIZE, sound) as film:
        for index in range(len(dance)):
            film.add(painter.paint(dance.rotations[index], dance.root[index], dance.offsets))
            if progress:
                progress(index + 1)


def main() -> int:
    """Film the poses that come on stdin until it ends: ``python -m dancerev.clients.recorders.film OUT FPS``.

    A show records through this program, for drawing takes more time than a show has, and if the show is killed, its
    end of the pipe closes and the film is finished. Returns 0, the number of the system's error, or 1 for another one.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the show, which closes the pipe
    fps = float(sys.argv[2])
    painter = Painter(fps)
    try:
        with Film(Path(sys.argv[1]), fps, SIZE) as film:
            while len(data := sys.stdin.buffer.read(POSE.size)) == POSE.size:
                values = np.frombuffer(data, "<f4")
                film.add(painter.paint(values[:-3].reshape(len(BONES), 4), values[-3:]))
    except OSError as error:
        return error.errno if error.errno is not None and error.errno in errno.errorcode else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
