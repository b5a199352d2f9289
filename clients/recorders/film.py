"""Films of a dance: H.264 in MP4, with its music, drawn as in the preview."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from dancerev.model.dance_file import Dance
from dancerev.model.skeleton import BONES, forward_kinematics

from ..vmc import to_unity

if TYPE_CHECKING:
    import av

Array = npt.NDArray[Any]

SOUND_RATE = 44_100
"""Hz of the music in a film."""

_SIZE = (720, 720)
_POSE = struct.Struct(f"<{len(BONES) * 4 + 3}f")  # as the show hands poses to the program of a recording


class FilmWriter:
    """Draws poses one by one into a file. A context manager.

    The file is in fragments of a second, so that one whose writer was killed can be played up to there.
    """

    def __init__(self, path: Path, fps: float, sound: Iterator[Array] | None = None) -> None:
        """Open the file.

        Args:
            path: of the film, whatever its suffix.
            fps: frames per second.
            sound: blocks (n, 2) of float32 at :data:`SOUND_RATE`, from the time of the first pose on.

        Raises:
            OSError: the file cannot be written; av's own errors are of this kind.
        """
        import av
        import pygame

        from ..preview.render import Camera

        self._sound, self._sounded = sound, 0
        self._fps, self._frames = fps, 0
        self._surface = pygame.Surface(_SIZE)
        self._camera = Camera(distance=4.2)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._file = av.open(f"file:{path}", "w", format="mp4", options=options)
        picture = self._file.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
        picture.width, picture.height = _SIZE
        picture.pix_fmt = "yuv420p"
        picture.options = {"crf": "20", "preset": "veryfast", "g": str(max(round(fps), 1)), "tune": "zerolatency"}
        self._picture = picture
        self._track: av.AudioStream | None = None
        if sound is not None:
            self._track = self._file.add_stream("aac", rate=SOUND_RATE, layout="stereo")

    def add(self, rotations: Array, root: Array) -> None:
        """Draw the next pose: local quaternions (22, 4) and the hips' place (3,)."""
        import av
        import pygame

        from ..preview.render import draw
        from ..preview.vmc_receiver import Body

        positions, turned = forward_kinematics(np.asarray(rotations, np.float64), np.asarray(root, np.float64))
        turned, positions = to_unity(turned, positions)
        self._camera.follow(positions[0], 1.0 / self._fps)
        draw(self._surface, Body(positions, turned), self._camera)
        pixels = np.frombuffer(pygame.image.tobytes(self._surface, "RGB"), np.uint8).reshape(_SIZE[1], _SIZE[0], 3)
        self._add_sound(self._frames / self._fps)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = self._frames, 1 / Fraction(self._fps).limit_denominator(1001)
        self._file.mux(self._picture.encode(frame))
        self._frames += 1

    def _add_sound(self, until: float) -> None:
        """Mux the music up to ``until`` seconds."""
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
        """Finish the file."""
        self._file.mux(self._picture.encode(None))
        if self._track is not None:
            self._file.mux(self._track.encode(None))
        self._file.close()

    def __enter__(self) -> Self:
        """Return the writer, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def write_film(
    path: Path, dance: Dance, sound: Iterator[Array] | None = None, progress: Callable[[int], None] | None = None
) -> None:
    """Write the film of a finished dance.

    Args:
        path: of the film.
        dance: to draw.
        sound: as for :class:`FilmWriter`; what is longer than the dance is left out.
        progress: called with the number of frames that are drawn.

    Raises:
        OSError: the file cannot be written.
    """
    with FilmWriter(path, dance.fps, sound) as film:
        for index in range(len(dance)):
            film.add(dance.rotations[index], dance.root[index])
            if progress:
                progress(index + 1)


def main() -> int:
    """Film the poses that come on stdin until it ends: ``python -m dancerev.clients.recorders.film OUT FPS``.

    A show records through this program, for drawing takes more time than a show has, and if the show is killed, its
    end of the pipe closes and the film is finished.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the show, which closes the pipe
    with FilmWriter(Path(sys.argv[1]), float(sys.argv[2])) as film:
        while len(data := sys.stdin.buffer.read(_POSE.size)) == _POSE.size:
            values = np.frombuffer(data, "<f4")
            film.add(values[:-3].reshape(len(BONES), 4), values[-3:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
