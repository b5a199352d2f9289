"""Make the pictures of the README from real runs: ``python docs/make_pictures.py``.

``dance.webp`` is the dance to the bundled demo track as the preview draws it, ``styles.webp`` the same in each style;
``web.png`` and ``control.png`` are the pages of ``dancerev-live --web`` in Chromium. Nothing in them is drawn by hand.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests" / "helpers"))

import av  # noqa: E402
import numpy as np  # noqa: E402
import pygame  # noqa: E402
from chromium import Chromium  # noqa: E402

from dancerev.clients.preview.render import Camera, draw  # noqa: E402
from dancerev.clients.preview.vmc_receiver import Body, VmcReceiver  # noqa: E402
from dancerev.clients.vmc import VmcSender  # noqa: E402
from dancerev.model.styles import STYLES  # noqa: E402
from dancerev.realtime.audio.decode import decode  # noqa: E402
from dancerev.realtime.audio.sources import demo_path  # noqa: E402
from dancerev.realtime.body.hands_and_face import HandsAndFace  # noqa: E402
from dancerev.realtime.dance_model import DanceModel  # noqa: E402
from dancerev.realtime.dancer import Dancer  # noqa: E402
from dancerev.realtime.stream import DanceStream  # noqa: E402

BEGIN, RATE = 24.0, 15  # of the films: seconds of the song, and pictures a second
SIZE, SMALL = (480, 270), (240, 200)


def bodies(style: str, seconds: float) -> list[Body]:
    """The dance to the demo as the preview receives it, 30 a second."""
    model = DanceModel()
    stream = DanceStream(Dancer(model, style, seed=7), 30, hands_and_faces=[HandsAndFace(7, model.styles)])
    poses = stream.begin()
    for block in decode(demo_path()):
        poses += stream.push(block)[0]
        if poses[-1].time > BEGIN + seconds:
            break
    received = []
    receiver = VmcReceiver(0)
    with VmcSender("127.0.0.1", receiver.port) as sender:
        for pose in poses:
            sender.send(pose)
            receiver.poll()
            received.append(receiver.body)
    receiver.close()
    return [body for body in received if body is not None]


def pictures(style: str, seconds: float, size: tuple[int, int], distance: float) -> list[pygame.Surface]:
    """Draw the dance, RATE pictures a second from BEGIN on."""
    camera, trail, drawn = Camera(distance=distance), list[Body](), []
    for n, body in enumerate(bodies(style, seconds)):
        camera.follow(body.positions[0], 1.0 / 30.0)
        trail = [*trail[-10:], body]
        if 30 * BEGIN <= n < 30 * (BEGIN + seconds) and n % (30 // RATE) == 0:
            drawn.append(pygame.Surface(size))
            draw(drawn[-1], body, camera, trail=trail[:-1])
    return drawn


def film(path: Path, frames: list[pygame.Surface], quality: int = 60) -> None:
    """Write an animated picture."""
    size = frames[0].get_size()
    with av.open(str(path), "w", format="webp", options={"loop": "0"}) as file:
        stream = file.add_stream("libwebp_anim", rate=RATE, options={"quality": str(quality)})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for n, surface in enumerate(frames):
            pixels = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(size[1], size[0], 3)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def all_styles(seconds: float) -> list[pygame.Surface]:
    """Draw the dances in every style side by side, each with its name."""
    pygame.font.init()
    font = pygame.font.Font(None, 22)
    grid = []
    panels = {style: pictures(style, seconds, SMALL, 4.2) for style in STYLES}
    for row in zip(*panels.values(), strict=True):
        grid.append(pygame.Surface((3 * SMALL[0], 2 * SMALL[1])))
        for index, (style, surface) in enumerate(zip(panels, row, strict=True)):
            surface.blit(font.render(style, True, "white"), (8, 8))
            grid[-1].blit(surface, (index % 3 * SMALL[0], index // 3 * SMALL[1]))
    return grid


def pages(web: Path, control: Path) -> None:
    """Write pictures of the pages of a running show."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dancerev.realtime.live", "--input", "demo", "--mute", "--no-preview"]
    show = subprocess.Popen([*command, "--web", f"127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True)
    try:
        assert show.stderr is not None
        address = next(found[0] for line in show.stderr if (found := re.search(r"http://[^ ,]+", line)))
        with tempfile.TemporaryDirectory() as folder, Chromium(folder, (960, 540)) as browser:
            page = browser.open(f"{address}?camera=left")
            page.until("window.dancerev && dancerev.stats().applied[0] > 300")
            page.run("document.querySelector('nav').remove()")
            time.sleep(1.0)
            web.write_bytes(page.screenshot())
        with tempfile.TemporaryDirectory() as folder, Chromium(folder, (360, 640)) as browser:
            page = browser.open(f"{address}control")
            page.until("document.querySelectorAll('[data-control]').length && document.querySelector('#beats .on')")
            control.write_bytes(page.screenshot())
    finally:
        show.terminate()
        show.wait()


if __name__ == "__main__":
    film(DOCS / "dance.webp", pictures("", 4.0, SIZE, 3.6))
    film(DOCS / "styles.webp", all_styles(8.0), quality=40)
    pages(DOCS / "web.png", DOCS / "control.png")
