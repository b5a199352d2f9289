"""BODY_25 key points as a picture: coloured limbs on black, as OpenPose draws them and as vid2vid takes them."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dancerev.model.body25 import HEIGHT, JOINTS, WIDTH

if TYPE_CHECKING:
    import pygame

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

Array = npt.NDArray[Any]

_BRIGHTNESS = 0.6
_THICKNESS = 6  # pixels of a picture of HEIGHT

# Two joints and the hue of the limb between them, degrees.
_LIMBS: tuple[tuple[str, str, int], ...] = (
    ("REar", "REye", 300),
    ("REye", "Nose", 320),
    ("Nose", "LEye", 280),
    ("LEye", "LEar", 260),
    ("Nose", "Neck", 340),
    ("Neck", "MidHip", 0),
    ("Neck", "RShoulder", 20),
    ("RShoulder", "RElbow", 40),
    ("RElbow", "RWrist", 60),
    ("Neck", "LShoulder", 80),
    ("LShoulder", "LElbow", 100),
    ("LElbow", "LWrist", 120),
    ("MidHip", "RHip", 140),
    ("RHip", "RKnee", 160),
    ("RKnee", "RAnkle", 180),
    ("RAnkle", "RHeel", 180),
    ("RAnkle", "RBigToe", 180),
    ("RBigToe", "RSmallToe", 180),
    ("MidHip", "LHip", 200),
    ("LHip", "LKnee", 220),
    ("LKnee", "LAnkle", 240),
    ("LAnkle", "LHeel", 240),
    ("LAnkle", "LBigToe", 240),
    ("LBigToe", "LSmallToe", 240),
)


def draw(surface: pygame.Surface, keypoints: Array) -> None:
    """Draw one person on black.

    Args:
        surface: the picture; the key points are scaled to its size.
        keypoints: (25, 2) pixels of a picture of WIDTH × HEIGHT. A limb is left out where one of its joints is missing:
            (0, 0), as OpenPose writes it, or not finite.
    """
    import pygame

    surface.fill((0, 0, 0))
    scale = np.array(surface.get_size()) / (WIDTH, HEIGHT)
    thickness = max(1, round(_THICKNESS * float(scale.min())))
    there = np.isfinite(keypoints).all(axis=-1) & (np.asarray(keypoints) != 0.0).any(axis=-1)
    # What lies far outside is cut, since SDL counts pixels in 16 bits.
    points = np.clip(np.nan_to_num(keypoints) * scale, -8192.0, 8192.0)
    for first, second, hue in _LIMBS:
        a, b = JOINTS.index(first), JOINTS.index(second)
        if there[a] and there[b]:
            red, green, blue = colorsys.hsv_to_rgb(hue / 360.0, 1.0, _BRIGHTNESS)
            colour = round(255 * red), round(255 * green), round(255 * blue)
            pygame.draw.line(surface, colour, points[a], points[b], thickness)
            for end in (points[a], points[b]):
                pygame.draw.circle(surface, colour, end, thickness)


def pictures(keypoints: Array, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Iterator[npt.NDArray[np.uint8]]:
    """Draw each of the key points (T, 25, 2) as a picture (height, width, 3) uint8 RGB."""
    import pygame

    surface = pygame.Surface(size)
    for points in keypoints:
        draw(surface, points)
        yield np.frombuffer(pygame.image.tobytes(surface, "RGB"), dtype=np.uint8).reshape(size[1], size[0], 3)
