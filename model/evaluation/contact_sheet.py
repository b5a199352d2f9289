"""Dances to look at: a contact sheet of poses as PNG. Left is blue, right is red."""

from __future__ import annotations

import colorsys
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..picture import write_picture
from ..skeleton import BONES, INDEX, PARENTS

if TYPE_CHECKING:
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
    """Draw the path of the hips (T, 3) from above, from green to red, the audience below; rings are 1 m apart."""
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
    positions: Array, path: Path, fps: float = 30.0, count: int = 15, columns: int = 8, title: str = ""
) -> None:
    """Write a PNG of poses at even distances in time, from the front, and of the path from above.

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
        sheet.blit(pygame.font.Font(None, 22).render(title.encode(errors="replace").decode(), True, _INK), (6, 5))
    for i in range(len(shown) + 1):
        row, column = divmod(i, columns)
        place = pygame.Rect(column * _CELL_WIDTH, row * _CELL_HEIGHT + top, _CELL_WIDTH, _CELL_HEIGHT)
        cell = sheet.subsurface(place)
        if i < len(shown):
            _draw_cell(cell, np.asarray(positions[shown[i]], dtype=np.float64), shown[i] / fps)
        else:
            _draw_path(cell, np.asarray(positions[:, 0], dtype=np.float64))
    write_picture(path, sheet)
