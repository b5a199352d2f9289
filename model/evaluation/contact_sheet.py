"""Dances to look at: a contact sheet of poses as PNG, a stick-figure film as MP4. Left is blue, right is red."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from ..skeleton import BONES, INDEX, PARENTS

if TYPE_CHECKING:
    import av
    import pygame

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]

_PAPER: Colour = (250, 250, 247)
_LINE: Colour = (205, 205, 200)
_INK: Colour = (60, 60, 66)
_LEFT: Colour = (45, 110, 205)
_RIGHT: Colour = (215, 75, 60)
_SHADOW: Colour = (225, 224, 218)
_HEAD = 0.11  # metres: radius

_CELL_WIDTH, _CELL_HEIGHT, _TALLEST = 150, 210, 2.1  # pixels, pixels, and the metres that are that high
_CAMERA_DISTANCE, _CAMERA_HEIGHT = 5.0, 1.5  # metres
_FOLLOWING = 1.0  # seconds in which the camera comes after the dancer


def _colour(bone: int) -> Colour:
    return _LEFT if BONES[bone].startswith("Left") else _RIGHT if BONES[bone].startswith("Right") else _INK


def _draw_body(surface: pygame.Surface, points: Array, scale: float, depth: Array) -> None:
    """Draws the limbs between ``points`` (22, 2) pixels, the farthest first; ``scale`` is pixels a metre."""
    import pygame

    for bone in sorted(range(1, len(BONES)), key=lambda bone: float(depth[bone])):
        a, b = points[PARENTS[bone]], points[bone]
        colour, width = _colour(bone), max(2, round(0.045 * scale))
        pygame.draw.line(surface, colour, a, b, width)
        pygame.draw.circle(surface, colour, b, width / 2)
    head = points[INDEX["Head"]]
    up = head - points[INDEX["Neck"]]
    centre = head + up / max(float(np.linalg.norm(up)), 1e-6) * 0.6 * _HEAD * scale
    pygame.draw.circle(surface, _INK, centre, _HEAD * scale, max(2, round(0.03 * scale)))


def _draw_cell(surface: pygame.Surface, pose: Array, seconds: float) -> None:
    """One pose (22, 3) from the front, the hips in the middle; a dancer who faces +Z looks at us."""
    import pygame

    width, height = surface.get_size()
    scale = height / _TALLEST
    floor = height - 0.1 * scale
    pygame.draw.line(surface, _LINE, (0, floor), (width, floor))
    points = np.stack([width / 2 + (pose[:, 0] - pose[0, 0]) * scale, floor - pose[:, 1] * scale], axis=-1)
    _draw_body(surface, points, scale, pose[:, 2])
    text = pygame.font.Font(None, 18).render(f"{seconds:.2f} s", True, _INK)
    surface.blit(text, (4, 4))


def _draw_path(surface: pygame.Surface, root: Array) -> None:
    """The way of the hips (T, 3) from above, the audience below; it begins green and ends red. Rings are 1 m apart."""
    import pygame

    width, height = surface.get_size()
    reach = max(1.0, float(np.ceil(np.abs(root[:, [0, 2]]).max() + 0.1)))
    scale = (min(width, height) / 2 - 8) / reach
    centre = np.array([width / 2, height / 2])
    for ring in range(1, int(reach) + 1):
        pygame.draw.circle(surface, _LINE, centre, ring * scale, 1)
    points = centre + root[:, [0, 2]] * scale
    for i in range(1, len(points)):
        red, green, blue = colorsys.hsv_to_rgb((1 - i / len(points)) / 3, 0.8, 0.75)
        colour = int(255 * red), int(255 * green), int(255 * blue)
        pygame.draw.line(surface, colour, points[i - 1], points[i], 2)
    surface.blit(pygame.font.Font(None, 18).render(f"from above, {reach:.0f} m", True, _INK), (4, 4))


def contact_sheet(
    positions: Array, path: Path | str, fps: float = 30.0, count: int = 15, columns: int = 8, title: str = ""
) -> None:
    """Writes a PNG of poses at even distances in time, from the front, and of the path from above.

    Args:
        positions: (T, 22, 3) world metres.
        path: of the picture; its folder must be there.
        fps: frames per second, for the times written beside the poses.
        count: of poses, at most T.
        columns: of pictures, the path being the last picture.
        title: written above them.

    Raises:
        OSError: the picture cannot be written.
    """
    import pygame

    pygame.font.init()
    shown = np.unique(np.linspace(0, len(positions) - 1, count).round().astype(int))
    columns = min(columns, len(shown) + 1)
    rows = -(-(len(shown) + 1) // columns)
    top = 24 if title else 0
    sheet = pygame.Surface((columns * _CELL_WIDTH, rows * _CELL_HEIGHT + top))
    sheet.fill(_PAPER)
    if title:
        sheet.blit(pygame.font.Font(None, 22).render(title, True, _INK), (6, 5))
    for i in range(len(shown) + 1):
        row, column = divmod(i, columns)
        place = pygame.Rect(column * _CELL_WIDTH, row * _CELL_HEIGHT + top, _CELL_WIDTH, _CELL_HEIGHT)
        cell = sheet.subsurface(place)
        if i < len(shown):
            _draw_cell(cell, np.asarray(positions[shown[i]], dtype=np.float64), shown[i] / fps)
        else:
            _draw_path(cell, np.asarray(positions[:, 0], dtype=np.float64))
    try:
        pygame.image.save(sheet, str(path))
    except pygame.error as error:
        raise OSError(f"{path}: cannot write the picture ({error})") from error


def _frames(positions: Array, fps: float, size: tuple[int, int]) -> Iterator[Array]:
    """The pictures (height, width, 3) uint8 of a dance, seen by a camera that comes after the dancer."""
    import pygame

    surface = pygame.Surface(size)
    width, height = size
    focal = 1.8 * height
    camera = np.array(positions[0, 0], dtype=np.float64)
    follow = 1.0 - np.exp(-1.0 / (fps * _FOLLOWING))

    def project(points: Array) -> tuple[Array, Array]:
        """Pixels (..., 2) and distances (...) of points (..., 3)."""
        away = _CAMERA_DISTANCE - (points[..., 2] - camera[2])
        across, up = points[..., 0] - camera[0], points[..., 1] - _CAMERA_HEIGHT
        shift = 0.36 * height  # looks a little down, without tilting
        safe = np.maximum(away, 0.5)
        return np.stack([width / 2 + focal * across / safe, shift - focal * up / safe], axis=-1), away

    for pose in np.asarray(positions, dtype=np.float64):
        camera += follow * (pose[0] - camera)
        surface.fill(_PAPER)
        _draw_floor(surface, camera, project)
        ground = pose * [1.0, 0.0, 1.0]
        shadow, _ = project(ground)
        for bone in range(1, len(BONES)):
            pygame.draw.line(surface, _SHADOW, shadow[PARENTS[bone]], shadow[bone], max(2, height // 60))
        points, away = project(pose)
        _draw_body(surface, points, focal / max(float(away[0]), 0.5), -away)
        yield np.frombuffer(pygame.image.tobytes(surface, "RGB"), dtype=np.uint8).reshape(height, width, 3)


def _draw_floor(surface: pygame.Surface, camera: Array, project: Any) -> None:
    """Lines half a metre apart, for 3 m about the dancer."""
    import pygame

    middle = np.round(camera * 2.0) / 2.0
    for offset in np.arange(-3.0, 3.01, 0.5):
        for start, end in (((offset, -3.0), (offset, 3.0)), ((-3.0, offset), (3.0, offset))):
            line = np.array([[middle[0] + x, 0.0, middle[2] + z] for x, z in (start, end)])
            points, _ = project(line)
            pygame.draw.aaline(surface, _LINE, points[0], points[1])


def render_video(
    positions: Array, fps: float, path: Path | str, audio: Path | str | None = None, size: tuple[int, int] = (720, 720)
) -> None:
    """Writes a film of a dance, H.264 in MP4, with the song where it is given.

    Args:
        positions: (T, 22, 3) world metres; frame i at i / ``fps`` seconds of the song.
        fps: frames per second.
        path: of the film; its ending says what kind, .mp4 being the one to expect.
        audio: any file with sound; it ends where the dance ends.
        size: even numbers of pixels.

    Raises:
        OSError: a file cannot be read or written; av's own errors are of this kind.
        InputError: ``audio`` has no sound.
    """
    write_film(_frames(positions, fps, size), size, len(positions), fps, path, audio)


def write_film(
    pictures: Iterable[Array],
    size: tuple[int, int],
    count: int,
    fps: float,
    path: Path | str,
    audio: Path | str | None = None,
) -> None:
    """Write pictures as a film, H.264 in MP4, with the song where it is given.

    Args:
        pictures: each (height, width, 3) uint8 RGB; picture i at i / ``fps`` seconds of the song.
        size: width and height, even numbers of pixels.
        count: of pictures.
        fps: pictures per second.
        path: of the film; its ending says what kind, .mp4 being the one to expect.
        audio: any file with sound; it ends where the pictures end.

    Raises:
        OSError: a file cannot be read or written; av's own errors are of this kind.
        InputError: ``audio`` has no sound.
    """
    import av

    with av.open(str(path), "w") as film:
        stream = film.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        sound = None if audio is None else _sound(film, audio, count / fps)
        sounded = 0.0
        for i, pixels in enumerate(pictures):
            while sound is not None and sounded <= i / fps:
                sounded = next(sound, float("inf"))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))
        for _ in sound or ():
            pass


def _sound(film: av.container.OutputContainer, audio: Path | str, seconds: float) -> Iterator[float]:
    """Puts the first ``seconds`` of a sound file into ``film`` bit by bit; gives the time that is reached."""
    import av

    with av.open(str(audio)) as source:
        if not source.streams.audio:
            raise InputError(f"{audio}: there is no sound in this file")
        track = film.add_stream("aac", rate=44_100)
        for frame in source.decode(audio=0):
            if frame.time is not None and frame.time >= seconds:
                break
            film.mux(track.encode(frame))
            yield frame.time or 0.0
        film.mux(track.encode(None))
