"""The preview as a sink of its own: it starts the window's process, sends it the dance, and ends it."""

from __future__ import annotations

import contextlib
import socket
import subprocess

from dancerev.model.features import BeatState
from dancerev.model.pose import Pose

from ..avatar import AvatarRig
from ..flat_osc import FlatSender
from ..sink import PoseSink
from ..vmc import VmcSender
from .preview import launch_preview


class PreviewSink(PoseSink):
    """A window that shows one dancer and the music."""

    def __init__(self, avatar: AvatarRig | None = None) -> None:
        """Start the window, which shows the proportions of ``avatar``; without a display it ends by itself."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.name = "preview"
        self._process = launch_preview(port)
        self._poses, self._music = VmcSender("127.0.0.1", port, avatar=avatar), FlatSender("127.0.0.1", port)

    def send(self, pose: Pose) -> None:
        """Show one pose."""
        self._poses.send(pose)

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Show the music."""
        self._music.send_music(beat, onset, energy)

    def close(self) -> None:
        """Close the window."""
        self._poses.close()
        self._music.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
