"""The preview's window: the loop that receives, draws and listens to keys and mouse."""

from __future__ import annotations

import math
import time
from collections import deque
from functools import lru_cache
from pathlib import Path

import pygame

from dancerev.model.picture import write_picture

from .render import Camera, draw
from .vmc_receiver import Body, VmcReceiver

HELP = (
    "Arrows or drag   turn",
    "Wheel or + / −   nearer, farther",
    "Space   freeze",
    "M   mirror",
    "R   reset the camera",
    "F   full screen",
    "H   this help",
    "Esc or Q   quit",
)

_TURN_SPEED = 1.6  # radians a second while an arrow key is held
_TRAIL = 0.35  # seconds that a hand's trail reaches back
_TEXT = (214, 216, 232)
_DIM = (120, 124, 150)
_GOOD, _BAD = (92, 230, 160), (255, 110, 110)


class Window:
    """Shows what a receiver gets. Needs an initialised ``pygame.display``.

    Args:
        receiver: where the poses come from.
        size: width and height in pixels.
        show_fps: show how fast pictures are drawn.
    """

    def __init__(self, receiver: VmcReceiver, size: tuple[int, int], *, show_fps: bool = False) -> None:
        pygame.font.init()
        self._surface = pygame.display.set_mode(size, pygame.RESIZABLE)
        pygame.display.set_caption(f"dancerev preview – port {receiver.port}")
        pygame.key.set_repeat()
        self._receiver = receiver
        self._show_fps = show_fps
        self._camera = Camera()
        self._frozen: Body | None = None
        self._trail: deque[tuple[float, Body]] = deque()
        self._help = False
        self._open = True

    def run(self, fps: int, duration: float = math.inf) -> None:
        """Draw up to ``fps`` pictures a second until closed, or for ``duration`` seconds."""
        clock = pygame.time.Clock()
        end = time.monotonic() + duration
        while self._open and time.monotonic() < end:
            seconds = min(clock.tick(fps) / 1000.0, 0.1)
            for event in pygame.event.get():
                self.handle(event)
            self._turn_by_keys(seconds)
            self._receiver.poll()
            self.show(seconds, clock.get_fps())
            pygame.display.flip()

    def handle(self, event: pygame.event.Event) -> None:
        """Answer one event of the window, the keyboard or the mouse."""
        if event.type == pygame.QUIT:
            self._open = False
        elif event.type == pygame.KEYDOWN:
            self._handle_key(event.key)
        elif event.type == pygame.MOUSEMOTION and event.buttons[0]:
            across, down = event.rel
            self._camera.orbit((1 if self._camera.mirror else -1) * -0.008 * across, 0.006 * down)
        elif event.type == pygame.MOUSEWHEEL:
            self._camera.zoom(0.9**event.y)
        elif event.type == pygame.VIDEORESIZE:
            self._surface = pygame.display.get_surface() or self._surface

    def _handle_key(self, key: int) -> None:
        if key in (pygame.K_ESCAPE, pygame.K_q):
            self._open = False
        elif key == pygame.K_SPACE:
            self._frozen = self._receiver.smooth_body() if self._frozen is None else None
        elif key == pygame.K_r:
            self._camera = Camera()
        elif key == pygame.K_m:
            self._camera.mirror = not self._camera.mirror
        elif key == pygame.K_f:
            pygame.display.toggle_fullscreen()
        elif key == pygame.K_h:
            self._help = not self._help
        elif key in (pygame.K_PLUS, pygame.K_EQUALS, pygame.K_KP_PLUS):
            self._camera.zoom(0.9)
        elif key in (pygame.K_MINUS, pygame.K_KP_MINUS):
            self._camera.zoom(1.0 / 0.9)

    def _turn_by_keys(self, seconds: float) -> None:
        held = pygame.key.get_pressed()
        yaw = int(held[pygame.K_RIGHT]) - int(held[pygame.K_LEFT])
        pitch = int(held[pygame.K_UP]) - int(held[pygame.K_DOWN])
        if yaw or pitch:
            side = -1 if self._camera.mirror else 1
            self._camera.orbit(side * yaw * _TURN_SPEED * seconds, pitch * _TURN_SPEED * seconds)

    def show(self, seconds: float, fps: float) -> None:
        """Draw one picture, ``seconds`` after the last."""
        body = self._frozen or self._receiver.smooth_body()
        if body is not None:
            self._camera.follow(body.positions[0], seconds)
        draw(self._surface, body, self._camera, pulse=self._pulse(), trail=self._trail_behind(body))
        self._draw_overlay(fps)

    def _trail_behind(self, body: Body | None) -> list[Body]:
        """Where the dancer was in the last moments, oldest first; nothing while the dancer stands still in time."""
        now = time.monotonic()
        if body is None or self._frozen is not None or not self._receiver.receiving():
            self._trail.clear()
            return []
        while self._trail and now - self._trail[0][0] > _TRAIL:
            self._trail.popleft()
        before = [past for _, past in self._trail]
        self._trail.append((now, body))
        return before

    def _pulse(self) -> float:
        phase = self._receiver.beat_phase()
        return 0.0 if phase is None else math.exp(-5.0 * phase)

    def _draw_overlay(self, fps: float) -> None:
        width, height = self._surface.get_size()
        receiving = self._receiver.receiving()
        colour = _GOOD if receiving else _BAD
        pygame.draw.aacircle(self._surface, colour, (21, 20), 5)
        if receiving:
            self._write(f"{self._receiver.rate():.0f} poses/s", (34, 14), colour)
        else:
            self._write(f"no signal on port {self._receiver.port}", (34, 14), colour)
        line = 36
        if receiving and self._receiver.beat_phase() is not None:
            self._write(f"{self._receiver.music.bpm:.0f} BPM", (16, line), _TEXT)
            line += 22
        if self._show_fps:
            self._write(f"{fps:.0f} fps", (16, line), _DIM)
        states = [name for name, on in (("frozen", self._frozen is not None), ("mirrored", self._camera.mirror)) if on]
        if states:
            self._write("  ".join(states), (width - 16, 14), _TEXT, right=True)
        if self._help:
            for i, text in enumerate(reversed(HELP)):
                self._write(text, (16, height - 34 - 22 * i), _TEXT)
        else:
            self._write("H  help", (16, height - 34), _DIM)
        if self._receiver.body is None:
            self._write("Waiting for a dancer", (width // 2, int(height * 0.42)), _TEXT, middle=True)

    def _write(
        self,
        text: str,
        place: tuple[int, int],
        colour: tuple[int, int, int],
        *,
        right: bool = False,
        middle: bool = False,
    ) -> None:
        picture = _written(text, colour)
        x = place[0] - (picture.get_width() if right else picture.get_width() // 2 if middle else 0)
        self._surface.blit(picture, (x, place[1]))

    def screenshot(self, path: Path) -> None:
        """Save the last picture; the suffix says in which format."""
        write_picture(path, self._surface)


@lru_cache(maxsize=1)
def _font() -> pygame.font.Font:
    return pygame.font.Font(None, 22)


@lru_cache(maxsize=128)
def _written(text: str, colour: tuple[int, int, int]) -> pygame.Surface:
    return _font().render(text, True, colour)
