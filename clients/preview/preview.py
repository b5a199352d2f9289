"""``dancerev-preview``: a window on the dance. Receives VMC like any avatar does, in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from dancerev.command_line import ArgumentParser, command, whole_number
from dancerev.errors import InputError, ReceiverError, quoted, reason
from dancerev.model.whole_file import check_writable

from ..udp import VMC_PORT

NO_DISPLAY = "no display: set DISPLAY or WAYLAND_DISPLAY, or send the dance to another machine's receiver"


def display_available() -> bool:
    """Whether a window could be opened here."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def launch_preview(port: int) -> subprocess.Popen[bytes]:
    """Start a preview that listens on ``port`` of 127.0.0.1; it ends with ``terminate()``, or when the caller does."""
    return subprocess.Popen(
        [sys.executable, "-m", "dancerev.clients.preview.preview", "--port", str(port), "--until-input-ends"],
        stdin=subprocess.PIPE,  # which the system closes however the caller ends
        # Ctrl-C is for the show, which then ends the preview.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


@command("dancerev-preview")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    if options.screenshot:
        check_writable(options.screenshot)
    if not display_available():
        raise InputError(NO_DISPLAY)
    if hasattr(os, "nice"):
        os.nice(5)  # the dance has the right of way over the view of it
    with contextlib.suppress(KeyboardInterrupt):
        _show(options)
    return 0


def _show(options: argparse.Namespace) -> None:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    from .vmc_receiver import VmcReceiver
    from .window import Window

    try:
        receiver = VmcReceiver(options.port, options.listen)
    except OSError as error:
        advice = "; try another --port" if error.errno == errno.EADDRINUSE else ""
        raise ReceiverError(
            f"cannot listen on {quoted(options.listen)}, port {options.port}: {reason(error)}{advice}"
        ) from None
    try:
        pygame.display.init()
        # SDL draws for nobody where the display that is named does not answer.
        if pygame.display.get_driver() in ("offscreen", "dummy") and "SDL_VIDEODRIVER" not in os.environ:
            raise InputError(NO_DISPLAY)
        window = Window(receiver, options.size, show_fps=options.show_fps)
        if options.until_input_ends:
            threading.Thread(target=_quit_at_end_of_input, daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            window.run(options.fps, options.duration)
        if options.screenshot:
            window.screenshot(options.screenshot)
    except pygame.error as error:
        raise InputError(reason(error)) from None
    finally:
        receiver.close()
        pygame.quit()


def _quit_at_end_of_input() -> None:
    import pygame

    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin.read, whose lock would be missed at exit
        pass
    with contextlib.suppress(pygame.error):  # closed already
        pygame.event.post(pygame.event.Event(pygame.QUIT))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="dancerev-preview",
        description="Show the dancer that arrives as VMC on a UDP port. Press H in the window for its keys.",
    )
    parser.add_argument(
        "--port", type=whole_number(1, 65535), default=VMC_PORT, help="UDP port to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="0.0.0.0 to receive from other machines (default %(default)s)",
    )
    parser.add_argument("--size", type=_size, default=(960, 540), metavar="WxH", help="window size (default 960x540)")
    parser.add_argument(
        "--fps", type=whole_number(1, 240), default=60, help="pictures a second at most (default %(default)s)"
    )
    parser.add_argument("--show-fps", action="store_true", help="show how many are drawn")
    parser.add_argument("--duration", type=_seconds, default=math.inf, metavar="S", help="close after S seconds")
    parser.add_argument(
        "--screenshot", type=_picture, metavar="PATH", help="save the last picture (.png, .jpg) on leaving"
    )
    parser.add_argument("--until-input-ends", action="store_true", help=argparse.SUPPRESS)
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    return whole_number(160, 7680)(width), whole_number(120, 4320)(height)


def _picture(text: str) -> Path:
    if Path(text).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .png nor in .jpg")
    return Path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
