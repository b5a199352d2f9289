"""Draws the dancer on a stage: perspective, shaded limbs, soft shadow, all on the CPU.

Limbs are tapered capsules. Each pixel of a limb looks its colour up in a small picture of a lit sphere by the
direction in which the surface faces there (a "lit sphere", Sloan et al., Graphics Interface 2001), and a depth
per pixel settles what covers what. Space is Unity's, as received: left-handed, Y up, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pygame
from pygame import gfxdraw

from dancerev.model import rotation
from dancerev.model.skeleton import INDEX, REST_OFFSETS

from .vmc_receiver import Body

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]

STAGE_RADIUS = 3.0
BACKGROUND: Colour = (11, 12, 20)
_HORIZON: Colour = (30, 31, 50)
_GRID: Colour = (92, 98, 150)
_CYAN: Colour = (64, 220, 255)
_PINK: Colour = (255, 84, 170)
_NEAR = 0.1  # metres before the camera at which lines are cut
_GRID_REACH = 6  # metres
_GRID_PIECE = 2.0

_SPHERE = 64  # texels across the lit sphere
_SPHERE_MARGIN = 1.06  # how far beyond its rim it is defined, for pixels that a limb covers in part
_BLEND = 0.035  # metres
_LIGHT = np.array([0.3, 1.0, 0.4])  # towards the lamp, per metre of height


@dataclass(slots=True)
class Camera:
    """A perspective camera that looks at ``target`` from ``distance`` metres.

    Attributes:
        yaw: radians about the dancer; 0 looks at the front of the stage.
        pitch: radians above the horizontal.
        mirror: show the dancer as in a mirror.
    """

    yaw: float = 0.35
    pitch: float = 0.16
    distance: float = 4.6
    target: Array = field(default_factory=lambda: np.array([0.0, 0.92, 0.0]))
    mirror: bool = False

    def orbit(self, yaw: float, pitch: float) -> None:
        """Turn about the dancer by radians; the camera stays above the floor and short of the zenith."""
        self.yaw = math.remainder(self.yaw + yaw, 2.0 * math.pi)
        self.pitch = min(max(self.pitch + pitch, 0.02), 1.4)

    def zoom(self, factor: float) -> None:
        """Multiply the distance, within 2 to 15 metres."""
        self.distance = min(max(self.distance * factor, 2.0), 15.0)

    def follow(self, place: Array, seconds: float) -> None:
        """Drift after the dancer at ``place`` (x, y, z), so that small steps do not shake the picture."""
        share = 1.0 - math.exp(-seconds / 0.8)
        self.target[[0, 2]] += share * (place[[0, 2]] - self.target[[0, 2]])

    def view(self, size: tuple[int, int]) -> View:
        """Return the projection onto a picture of ``size`` pixels."""
        cosine = math.cos(self.pitch)
        away = np.array([math.sin(self.yaw) * cosine, math.sin(self.pitch), math.cos(self.yaw) * cosine])
        right = np.cross([0.0, 1.0, 0.0], -away)
        right /= np.linalg.norm(right)
        up = np.cross(-away, right)
        if self.mirror:
            right = -right
        return View(
            eye=self.target + self.distance * away,
            axes=np.stack([right, up, -away]),
            focal=1.75 * min(size[1], size[0] * 0.75),
            centre=(size[0] / 2.0, size[1] * 0.5),
        )


@dataclass(frozen=True, slots=True)
class View:
    """Where a camera stands, its axes (right, up, forward) and its focal length in pixels."""

    eye: Array
    axes: Array
    focal: float
    centre: tuple[float, float]

    def to_camera(self, points: Array) -> Array:
        """World points (..., 3) in metres right, up and forward of the eye."""
        return (points - self.eye) @ self.axes.T

    def project(self, points: Array) -> Array:
        """Camera-space points (..., 3) before the eye → pixels (..., 2)."""
        scale = self.focal / points[..., 2]
        return np.stack([self.centre[0] + points[..., 0] * scale, self.centre[1] - points[..., 1] * scale], axis=-1)


def draw(
    surface: pygame.Surface, body: Body | None, camera: Camera, *, pulse: float = 0.0, trail: Sequence[Body] = ()
) -> None:
    """One picture: the stage, and the dancer on it if there is one.

    Args:
        surface: to draw on.
        body: the dancer, or None for an empty stage.
        camera: that looks at the stage.
        pulse: 0 … 1, how brightly the rim of the stage glows (the beat).
        trail: where the dancer was of late, oldest first; the hands leave ribbons of light along it.
    """
    view = camera.view(surface.get_size())
    surface.blit(_backdrop(surface.get_size()), (0, 0))
    _draw_pool(surface, view, camera)
    _draw_grid(surface, view)
    _draw_rim(surface, view, pulse)
    if body is not None and np.isfinite(body.positions).all():
        limbs = limbs_of(body)
        _draw_shadow(surface, view, limbs)
        _draw_contacts(surface, view, body)
        _draw_trails(surface, view, [*trail, body])
        _draw_limbs(surface, view, limbs)


# --- The stage -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _backdrop(size: tuple[int, int]) -> pygame.Surface:
    """Return a dark hall, a little lighter where floor and wall meet, darker towards the corners."""
    width, height = size
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[:, None]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[None, :]
    glow = np.exp(-(((y + 0.1) / 0.55) ** 2)) * np.exp(-((x / 0.95) ** 2))
    # A little noise hides the steps between neighbouring dark shades. (No shade is so dark that it falls below 0.)
    noise = np.random.default_rng(0).random(size=(width, height), dtype=np.float32)
    picture = pygame.Surface(size)
    shades = pygame.surfarray.pixels3d(picture)
    for channel, (dark, light) in enumerate(zip(BACKGROUND, _HORIZON, strict=True)):
        shades[:, :, channel] = dark + glow * (light - dark) + noise
    del shades  # it locks the picture
    return picture.convert() if pygame.display.get_surface() else picture


@lru_cache(maxsize=1)
def _pool_of_light() -> pygame.Surface:
    size = 128
    axis = np.linspace(-1.0, 1.0, size)
    fall = np.clip(1.0 - np.hypot(axis[:, None], axis[None, :]), 0.0, 1.0) ** 1.5
    return pygame.surfarray.make_surface((fall[..., None] * np.array([96, 96, 158])).astype(np.uint8))


def _draw_pool(surface: pygame.Surface, view: View, camera: Camera) -> None:
    """Light from above on the floor about the dancer."""
    middle = camera.target * [1.0, 0.0, 1.0]
    ring = view.to_camera(np.concatenate([middle[None], middle + _circle(1.5, 32)]))
    if ring[:, 2].min() < _NEAR:
        return
    pixels = view.project(ring)
    size = np.ptp(pixels, axis=0)
    if size.min() >= 2.0 and size.max() <= 4096.0:
        pool = pygame.transform.smoothscale(_pool_of_light(), size.astype(int).tolist())
        surface.blit(pool, (pixels[0] - size / 2.0).tolist(), special_flags=pygame.BLEND_RGB_ADD)


def _circle(radius: float, count: int) -> Array:
    """(count, 3) points about the origin on the floor."""
    angle = np.arange(count) * (2.0 * np.pi / count)
    return np.stack([radius * np.cos(angle), np.zeros(count), radius * np.sin(angle)], axis=-1)


@lru_cache(maxsize=1)
def _grid_lines() -> tuple[Array, Array]:
    """Return the ends (N, 2, 3) of short pieces of the floor's grid of metres, and how brightly (N,) each shows."""
    pieces = []
    for line in range(-_GRID_REACH, _GRID_REACH + 1):
        for start in np.arange(-_GRID_REACH, _GRID_REACH, _GRID_PIECE):
            end = start + _GRID_PIECE
            pieces += [((line, 0, start), (line, 0, end)), ((start, 0, line), (end, 0, line))]
    ends = np.array(pieces, dtype=np.float64)
    distance = np.linalg.norm(ends.mean(axis=1), axis=-1)
    brightness = np.clip(1.0 - distance / _GRID_REACH, 0.0, 1.0) ** 1.3
    seen = brightness > 0.06
    return ends[seen], brightness[seen]


def _draw_grid(surface: pygame.Surface, view: View) -> None:
    ends, brightness = _grid_lines()
    points = view.to_camera(ends)
    before = (points[..., 2] > _NEAR).all(axis=1)
    pixels, brightness = view.project(points[before]), brightness[before]
    width, height = surface.get_size()
    on_screen = ((pixels[..., 0].max(1) > 0) & (pixels[..., 0].min(1) < width) & (pixels[..., 1].max(1) > 0)) & (
        pixels[..., 1].min(1) < height
    )
    colours = _mix(BACKGROUND, _GRID, 0.15 + 0.5 * brightness)
    for (start, end), colour in zip(pixels[on_screen].tolist(), colours[on_screen].tolist(), strict=True):
        pygame.draw.aaline(surface, colour, start, end)


def _mix(a: Colour, b: Colour, amount: Array) -> Array:
    """(N, 3) colours between ``a`` and ``b``."""
    return (np.array(a) + np.asarray(amount)[..., None] * (np.array(b) - a)).astype(int)


def _draw_rim(surface: pygame.Surface, view: View, pulse: float) -> None:
    """Draw the edge of the stage, which answers the beat."""
    colour = tuple(_mix(_GRID, _CYAN, np.array(0.35 + 0.65 * min(max(pulse, 0.0), 1.0))).tolist())
    for radius in (STAGE_RADIUS, STAGE_RADIUS + 0.02):
        ring = view.to_camera(_circle(radius, 72))
        before = np.roll(ring, -1 - int(np.argmin(ring[:, 2])), axis=0)
        before = before[before[:, 2] > _NEAR]
        if len(before) > 1:
            pygame.draw.aalines(surface, colour, len(before) == len(ring), view.project(before).tolist())


# --- The dancer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limbs:
    """Tapered capsules: ends (N, 2, 3) in metres, radii (N, 2) in metres, and which material (N,) each is of."""

    ends: Array
    radii: Array
    materials: Array


_SKIN, _DARK, _LEFT, _RIGHT = range(4)

# A point of the body: a bone, and an offset in metres in that bone's own frame (Unity's: left is −x).
_Point = tuple[str, tuple[float, float, float]]


def _both_sides(
    limbs: list[tuple[_Point, float, _Point, float, int]],
) -> list[tuple[_Point, float, _Point, float, int]]:
    """Return the limbs given for the left side, and their reflections on the right."""

    def other(point: _Point) -> _Point:
        bone, (x, y, z) = point
        return bone.replace("Left", "Right"), (-x, y, z)

    return limbs + [
        (other(a), ra, other(b), rb, _RIGHT if material == _LEFT else material) for a, ra, b, rb, material in limbs
    ]


_AT = (0.0, 0.0, 0.0)
_SHAPE: list[tuple[_Point, float, _Point, float, int]] = [
    (("Hips", (0.0, -0.03, 0.005)), 0.112, ("Spine", (0.0, 0.04, 0.012)), 0.098, _SKIN),
    (("Spine", (0.0, 0.04, 0.012)), 0.098, ("UpperChest", (0.0, 0.04, 0.012)), 0.112, _SKIN),
    (("UpperChest", (0.0, 0.06, 0.0)), 0.06, ("Neck", _AT), 0.05, _SKIN),
    (("Neck", (0.0, -0.02, 0.0)), 0.052, ("Head", (0.0, 0.03, 0.0)), 0.05, _SKIN),
    (("Head", (0.0, 0.075, 0.035)), 0.078, ("Head", (0.0, 0.135, 0.01)), 0.098, _SKIN),
    # A visor, so that the face can be distinguished from the back of the head.
    (("Head", (-0.042, 0.112, 0.079)), 0.038, ("Head", (0.042, 0.112, 0.079)), 0.038, _DARK),
    *_both_sides(
        [
            # The flanks, the hips and the shoulders.
            (("Hips", (-0.04, -0.03, 0.0)), 0.1, ("LeftUpperLeg", (0.0, -0.02, 0.0)), 0.09, _SKIN),
            (("Hips", (-0.07, -0.035, 0.0)), 0.105, ("Spine", (-0.05, 0.03, 0.005)), 0.09, _SKIN),
            (("Spine", (-0.05, 0.03, 0.005)), 0.09, ("UpperChest", (-0.075, 0.03, 0.0)), 0.1, _SKIN),
            (("UpperChest", (-0.075, 0.03, 0.0)), 0.1, ("LeftUpperArm", (0.015, -0.015, 0.0)), 0.06, _SKIN),
            (("UpperChest", (-0.02, 0.11, 0.0)), 0.062, ("LeftUpperArm", _AT), 0.06, _SKIN),
            # Limbs.
            (("LeftUpperArm", _AT), 0.058, ("LeftLowerArm", _AT), 0.041, _SKIN),
            (("LeftLowerArm", _AT), 0.042, ("LeftHand", _AT), 0.029, _SKIN),
            (("LeftHand", (-0.02, 0.0, 0.0)), 0.034, ("LeftHand", (-0.1, 0.0, 0.0)), 0.026, _LEFT),
            (("LeftUpperLeg", (0.0, -0.02, 0.0)), 0.093, ("LeftLowerLeg", _AT), 0.057, _SKIN),
            (("LeftLowerLeg", _AT), 0.058, ("LeftFoot", (0.0, 0.02, 0.0)), 0.038, _SKIN),
            (("LeftFoot", (0.0, -0.025, -0.03)), 0.042, ("LeftToes", (0.0, 0.02, 0.0)), 0.036, _LEFT),
            (("LeftToes", (0.0, 0.02, 0.0)), 0.036, ("LeftToes", (0.004, 0.014, 0.055)), 0.029, _LEFT),
        ]
    ),
]
_HAND_PIECES = tuple(i for i, (a, _, b, _, _) in enumerate(_SHAPE) if a[0] == b[0] and a[0].endswith("Hand"))
_PALM = 0.6  # of the length of a closed hand, where the fingers are drawn
_FINGER_RADII = np.repeat([0.0105, 0.009, 0.009, 0.0088, 0.0078], 3)  # metres, from thumb to little finger
_SHAPE_BONES = np.array([[INDEX[a[0]], INDEX[b[0]]] for a, _, b, _, _ in _SHAPE])
_SHAPE_OFFSETS = np.array([[a[1], b[1]] for a, _, b, _, _ in _SHAPE])
_SHAPE_RADII = np.array([[ra, rb] for _, ra, _, rb, _ in _SHAPE])
_SHAPE_MATERIALS = np.array([material for *_, material in _SHAPE])

_LEG_CHAIN = [INDEX[name] for name in ("LeftUpperLeg", "LeftLowerLeg", "LeftFoot")]
_TRUNK_CHAIN = [INDEX[name] for name in ("Hips", "Spine", "Chest", "UpperChest", "Neck")]
_LOWER = ("Leg", "Foot", "Toes")
_SHAPE_OF_LEGS = np.array([a[0].endswith(_LOWER) for a, *_ in _SHAPE])[:, None]


def _size(body: Body, chain: list[int]) -> float:
    """How long a chain of bones is, in lengths of the dancer's own."""
    own = np.linalg.norm(REST_OFFSETS[chain[1:]], axis=1).sum()
    length = np.linalg.norm(np.diff(body.positions[chain], axis=0), axis=1).sum()
    return float(min(max(length / own, 0.2), 3.0))


def limbs_of(body: Body) -> Limbs:
    """Return the solid body about the joints, in proportion to the sender's own legs and trunk."""
    size = _size(body, _TRUNK_CHAIN)
    sizes = np.where(_SHAPE_OF_LEGS, _size(body, _LEG_CHAIN), size)
    offsets = rotation.rotate(body.rotations[_SHAPE_BONES], sizes[..., None] * _SHAPE_OFFSETS)
    ends = body.positions[_SHAPE_BONES] + offsets
    if body.fingers is None or body.fingertips is None:
        return Limbs(ends, sizes * _SHAPE_RADII, _SHAPE_MATERIALS)
    for piece in _HAND_PIECES:
        ends[piece, 1] = ends[piece, 0] + _PALM * (ends[piece, 1] - ends[piece, 0])
    joints = np.concatenate([body.fingers.reshape(10, 3, 3), body.fingertips[:, None]], axis=1)
    fingers = np.stack([joints[:, :-1], joints[:, 1:]], axis=2).reshape(30, 2, 3)
    radii = size * np.tile(_FINGER_RADII, 2)[:, None] * [1.0, 0.9]
    return Limbs(
        np.concatenate([ends, fingers]),
        np.concatenate([sizes * _SHAPE_RADII, radii]),
        np.concatenate([_SHAPE_MATERIALS, np.repeat([_LEFT, _RIGHT], 15)]),
    )


@lru_cache(maxsize=1)
def _materials() -> Array:
    """(materials · _SPHERE², 4) float32 RGB of lit spheres, row by row from the top, and an alpha of 255."""
    axis = np.linspace(-_SPHERE_MARGIN, _SPHERE_MARGIN, _SPHERE)
    x, y = np.meshgrid(axis, -axis)
    beyond = np.maximum(np.hypot(x, y), 1.0)
    x, y = x / beyond, y / beyond
    z = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.0))

    def lit(direction: tuple[float, float, float], sharpness: float) -> Array:
        unit = np.array(direction) / np.linalg.norm(direction)
        return np.clip(x * unit[0] + y * unit[1] + z * unit[2], 0.0, 1.0)[..., None] ** sharpness

    edge = (1.0 - z)[..., None]

    def sphere(base: Colour, gloss: float) -> Array:
        key = np.array([255, 244, 232]) / 255.0
        shade = np.array(base) * (0.13 + 0.12 * lit((0, 1, 0.2), 1.0) + 0.92 * lit((-0.45, 0.68, 0.62), 1.35) * key)
        shade += 255 * gloss * lit((-0.3, 0.62, 0.72), 28.0)
        shade += 1.1 * np.array(_PINK) * edge**1.8 * lit((-1.0, 0.1, 0.15), 1.3)
        shade += 1.1 * np.array(_CYAN) * edge**1.8 * lit((1.0, 0.25, 0.15), 1.3)
        return np.clip(shade, 0.0, 255.0)

    spheres = [
        sphere((226, 222, 238), 0.3),
        sphere((26, 28, 42), 0.9),
        sphere((255, 120, 190), 0.25),
        sphere((96, 205, 255), 0.25),
    ]
    rgb = np.stack(spheres).reshape(-1, 3)
    return np.concatenate([rgb, np.full((len(rgb), 1), 255.0)], axis=-1).astype(np.float32)


def _draw_limbs(surface: pygame.Surface, view: View, limbs: Limbs) -> None:
    ends = view.to_camera(limbs.ends)
    if ends[..., 2].min() < 0.3:
        return
    pixels = view.project(ends)
    radii = limbs.radii * view.focal / ends[..., 2]
    margin = radii.max(axis=1, keepdims=True) + 1.0
    size = surface.get_size()
    low = np.clip(np.floor(pixels.min(axis=1) - margin), 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=1) + margin), 0, size).astype(int)
    seen = (high > low).all(axis=1)
    if not seen.any():
        return
    order = np.argsort(-ends[..., 2].mean(axis=1))
    order = order[seen[order]]
    origin = low[order].min(axis=0)
    boxes = np.concatenate([low, high], axis=1)[order] - np.tile(origin, 2)
    capsules = np.concatenate(
        [pixels - origin, radii[..., None], ends[..., 2:], limbs.radii[..., None]], axis=-1, dtype=np.float64
    )[order]
    relief = _Relief(*boxes[:, 2:].max(axis=0).tolist())
    for capsule, box, material in zip(capsules.tolist(), boxes.tolist(), limbs.materials[order].tolist(), strict=True):
        relief.add(capsule, box, material)
    surface.blit(relief.lit(), origin.tolist(), special_flags=pygame.BLEND_PREMULTIPLIED)


class _Relief:
    """Which way the surface faces, how far it is and of what it is, for each pixel of a picture of capsules.

    Where capsules meet, depth and direction blend smoothly, so that they look like one skin.
    """

    _FAR = 1e3

    def __init__(self, width: int, height: int) -> None:
        # Direction to the right and down, and cover. Directions are stored times cover, so that edges blend as
        # premultiplied colours do.
        self._facing = np.zeros((3, height, width), dtype=np.float32)
        self._depth = np.full((height, width), self._FAR, dtype=np.float32)
        self._material = np.zeros((height, width), dtype=np.uint8)
        self._x = np.arange(0.5, width, dtype=np.float32)[None, :]
        self._y = np.arange(0.5, height, dtype=np.float32)[:, None]

    def add(self, capsule: list[list[float]], box: list[int], material: int) -> None:
        """Put a capsule in.

        Args:
            capsule: for each of its two ends x, y and radius in pixels, distance from the eye and radius in metres.
            box: left, top, right, bottom of the pixels that it may cover.
            material: row of :func:`_materials`.
        """
        (ax, ay, ar, az, thickness), (bx, by, br, bz, _) = capsule
        left, top, right, bottom = box
        dx, dy = bx - ax, by - ay
        length2 = max(dx * dx + dy * dy, 1e-6)
        x = self._x[:, left:right] - ax
        y = self._y[top:bottom] - ay
        along = x * (dx / length2) + y * (dy / length2)
        np.minimum(np.maximum(along, 0.0, out=along), 1.0, out=along)
        x = x - along * dx
        y = y - along * dy
        radius = along * (br - ar)
        radius += ar
        square = x * x
        square += y * y
        weight = radius - np.sqrt(square)
        weight += 0.5
        np.minimum(np.maximum(weight, 0.0, out=weight), 1.0, out=weight)
        solid = weight > 0.5
        # The surface stands nearer than the axis by √(radius² − distance²), here in pixels.
        np.subtract(radius * radius, square, out=square)
        np.sqrt(np.maximum(square, 0.0, out=square), out=square)
        square *= thickness / ar
        along *= bz - az
        along += az
        depth = np.subtract(along, square, out=along)

        window = (slice(top, bottom), slice(left, right))
        there = self._depth[window]
        # Polynomial smooth minimum (Quilez): blending over so many metres on either side.
        blend = _BLEND if material == _SKIN else 0.1 * _BLEND
        gap = there - depth
        nearer = gap * (0.5 / blend)
        nearer += 0.5
        np.minimum(np.maximum(nearer, 0.0, out=nearer), 1.0, out=nearer)
        weight *= nearer
        gap -= blend * nearer
        gap *= 1.0 - nearer
        depth += gap
        np.copyto(there, depth, where=solid)
        np.copyto(self._material[window], np.uint8(material), where=weight > 0.5)
        facing = self._facing[:, top:bottom, left:right]
        facing *= 1.0 - weight
        facing[2] += weight
        weight /= radius
        x *= weight
        y *= weight
        facing[0] += x
        facing[1] += y

    def lit(self) -> pygame.Surface:
        """Return the picture under the lights, with premultiplied alpha."""
        height, width = self._depth.shape
        right, down, cover = self._facing.reshape(3, -1)
        drawn = np.flatnonzero(cover > 1.0 / 255.0)
        cover = cover[drawn]
        scale = (_SPHERE - 1) / (2.0 * _SPHERE_MARGIN) / cover
        column = (right[drawn] * scale + 0.5 * _SPHERE).astype(np.intp)
        row = (down[drawn] * scale + 0.5 * _SPHERE).astype(np.intp)
        material = self._material.ravel()[drawn].astype(np.intp)
        depth = self._depth.ravel()[drawn]
        solid = depth < self._FAR
        nearest = float(depth.min(initial=self._FAR))
        shade = np.where(solid, 1.0 - 0.3 * np.minimum(depth - nearest, 1.0), 0.8)
        colours = _materials().take((material * _SPHERE + row) * _SPHERE + column, axis=0, mode="clip")
        colours[:, :3] *= shade[:, None]
        colours *= cover[:, None]
        pixels = np.zeros((height * width, 4), dtype=np.uint8)
        pixels[drawn] = colours
        return pygame.image.frombuffer(pixels.data, (width, height), "RGBA")


def _draw_shadow(surface: pygame.Surface, view: View, limbs: Limbs) -> None:
    """Return what the light leaves dark: the capsules thrown on the floor, drawn small and blurred."""
    thrown = limbs.ends - limbs.ends[..., 1:2] * _LIGHT
    ends = view.to_camera(thrown)
    if ends[..., 2].min() < 0.3:
        return
    pixels = view.project(ends)
    radii = 1.1 * limbs.radii * view.focal / ends[..., 2]
    margin = float(radii.max()) + 16.0
    low, high = pixels.min(axis=(0, 1)) - margin, pixels.max(axis=(0, 1)) + margin
    coarse = 4
    size = [int(n) // coarse + 1 for n in high - low]
    if max(size) * coarse > 4096:
        return
    small = pygame.Surface(size, pygame.SRCALPHA)
    squash = max(abs(float(view.axes[2, 1])), 0.12)  # circles on the floor, seen at this angle
    for (a, b), (ra, rb), height in zip(
        ((pixels - low) / coarse).tolist(),
        (radii / coarse).tolist(),
        limbs.ends[..., 1].mean(axis=1).tolist(),
        strict=True,
    ):
        alpha = int(215 - 70 * min(max(height, 0.0), 1.5))
        for t in (0.0, 0.25, 0.5, 0.75, 1.0):
            r = ra + t * (rb - ra)
            gfxdraw.filled_ellipse(
                small,
                int(a[0] + t * (b[0] - a[0])),
                int(a[1] + t * (b[1] - a[1])),
                max(1, int(r + 0.5)),
                max(1, int(r * squash + 0.5)),
                (4, 4, 10, alpha),
            )
    soft = pygame.transform.gaussian_blur(small, 2)
    surface.blit(pygame.transform.smoothscale(soft, (size[0] * coarse, size[1] * coarse)), low.tolist())


def _draw_trails(surface: pygame.Surface, view: View, bodies: Sequence[Body]) -> None:
    """Ribbons behind the hands, that narrow and fade towards the past."""
    if len(bodies) < 3:
        return
    age = np.linspace(0.0, 1.0, len(bodies))[:, None]  # 1 is now
    for bone, colour in (("LeftHand", _PINK), ("RightHand", _CYAN)):
        points = view.to_camera(np.array([body.positions[INDEX[bone]] for body in bodies]))
        if points[:, 2].min() < 0.3:
            continue
        pixels = view.project(points)
        along = np.gradient(pixels, axis=0)
        length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        across = along[:, ::-1] * [-1.0, 1.0] / length * age * (0.022 * view.focal / points[:, 2:])
        if np.abs(pixels).max() > 8192.0:
            continue
        one, other = (pixels + across).tolist(), (pixels - across).tolist()
        for i in range(len(bodies) - 1):
            shade = (*colour, int(130 * float(age[i, 0]) ** 1.5))
            gfxdraw.filled_polygon(surface, (one[i], one[i + 1], other[i + 1], other[i]), shade)


def _draw_contacts(surface: pygame.Surface, view: View, body: Body) -> None:
    """Draw a ring of light about each foot that stands on the floor."""
    for side, colour in (("Left", _PINK), ("Right", _CYAN)):
        ankle, toe = body.positions[INDEX[f"{side}Foot"]], body.positions[INDEX[f"{side}Toes"]]
        height = min(float(ankle[1]) - 0.07, float(toe[1]) - 0.015)
        strength = 1.0 - min(max(height / 0.04, 0.0), 1.0)
        if strength <= 0.05:
            continue
        ring = view.to_camera((0.5 * (ankle + toe)) * [1.0, 0.0, 1.0] + _circle(0.17, 40))
        if ring[:, 2].min() < _NEAR:
            continue
        points = view.project(ring).tolist()
        if all(abs(x) < 8192 and abs(y) < 8192 for x, y in points):
            gfxdraw.filled_polygon(surface, points, (*colour, int(46 * strength)))
            gfxdraw.aapolygon(surface, points, (*colour, int(150 * strength)))
