"""The dance and the music as plain numbers, for TouchDesigner, Max, Pure Data, Resolume's OSC input and the like.

Such tools turn each OSC address into a channel and take no strings, so every value has an address of its own::

    /dancerev/<dancer>/<bone>/pos   fff    joint, metres
    /dancerev/<dancer>/<bone>/rot   ffff   quaternion xyzw
    /dancerev/phase                 f      position in the beat, 0 … 1
    /dancerev/bpm                   f      beats per minute
    /dancerev/confidence            f      in the beat, 0 … 1
    /dancerev/bar_confidence        f      in the bar, 0 … 1
    /dancerev/bar_length            f      beats per bar: 2, 3, 4 or 6
    /dancerev/onset                 f      onset strength, 0 … 1
    /dancerev/energy                f      loudness, 0 … 1
    /dancerev/beat                  i      on each beat, its place in the bar; 1 is the downbeat

Joints are in world space, so that a particle or a light follows a hand without knowledge of the skeleton:
Unity's frame, left-handed, Y up, the audience on +Z; rotations are differences from the T-pose.
"""

from __future__ import annotations

import math

import numpy as np

from dancerev.model.features import BeatState
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES

from . import osc
from .udp_sender import UdpSender, world_joints
from .vmc import to_unity

RHYTHM = ("phase", "bpm", "confidence", "bar_confidence", "bar_length")
"""Addresses of what concerns the beat, in the order of :meth:`FlatSender.send_music`."""


class FlatSender(UdpSender):
    """Sends poses and music to one receiver. Never blocks; a receiver that is not there is no error.

    Args:
        host: name or address, resolved once.
        port: 1 to 65535.
        dancer: the number in the addresses.
        bundles: several messages to a datagram; switch off for receivers that take no bundles.

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(self, host: str, port: int, *, dancer: int = 1, bundles: bool = True) -> None:
        """Open a socket for one receiver."""
        super().__init__(host, port)
        body: list[osc.Message] = []
        for bone in BONES:
            body.append((f"/dancerev/{dancer}/{bone}/pos", (0.0, 0.0, 0.0)))
            body.append((f"/dancerev/{dancer}/{bone}/rot", (0.0, 0.0, 0.0, 1.0)))
        self._body = osc.Template(body, bundles=bundles)
        self._values = np.zeros((len(BONES), 7), dtype=np.float32)
        levels: list[osc.Message] = [("/dancerev/onset", (0.0,)), ("/dancerev/energy", (0.0,))]
        rhythm: list[osc.Message] = [(f"/dancerev/{name}", (0.0,)) for name in RHYTHM]
        self._levels = osc.Template(levels, bundles=bundles)
        self._music = osc.Template(rhythm + levels, bundles=bundles)
        self._beat: BeatState | None = None
        self._announced = -math.inf

    def send(self, pose: Pose) -> None:
        """Send ``pose``; one that is not finite is skipped."""
        joints = world_joints(pose)
        if joints is None:
            self.skipped += 1
            return
        positions, rotations = joints
        self._values[:, 3:], self._values[:, :3] = to_unity(rotations, positions)
        self._body.fill(self._values.ravel())
        self.send_datagrams(self._body.datagrams)

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Send what is heard now, but nothing that is not finite; what concerns the beat only if ``beat`` is known."""
        numbers = [onset, energy]
        if beat is not None:
            numbers = [beat.phase, beat.bpm, beat.confidence, beat.bar_confidence, beat.beats_per_bar, *numbers]
        if not all(map(math.isfinite, numbers)):
            return
        template = self._levels if beat is None else self._music
        template.fill(np.array(numbers))
        self.target.send(template.datagrams)
        if beat is not None and self._is_on_beat(beat):
            self._announced = beat.time
            self.target.send([osc.encode("/dancerev/beat", int(beat.beat_in_bar) + 1)])
        self._beat = beat

    def _is_on_beat(self, beat: BeatState) -> bool:
        """Whether the phase has passed 0 since the last call; one that hovers about 0 counts once."""
        passed = self._beat is not None and beat.phase < self._beat.phase - 0.5
        return passed and beat.time - self._announced > 0.5 * beat.period
