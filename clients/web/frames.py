"""The binary messages that carry poses and music to the page. Little-endian; ``src/stream.js`` reads them."""

from __future__ import annotations

import math

import numpy as np

from dancerev.model import rotation
from dancerev.model.features import BeatState
from dancerev.model.hands_and_face import FACE, FINGERS
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES

_HEAD = [("kind", "<u4"), ("dancer", "<u4"), ("sent", "<f8"), ("time", "<f8")]

POSE = np.dtype(
    [
        *_HEAD,
        ("contacts", "<f4", 2),
        ("root", "<f4", 3),
        ("rotations", "<f4", (len(BONES), 4)),
        ("fingers", "<f4", (len(FINGERS), 4)),
        ("face", "<f4", len(FACE)),
    ]
)
"""A pose: ``kind`` 1, the dancer from 0, wall-clock time of sending in ms, seconds of audio, then the pose."""

MUSIC = np.dtype([*_HEAD, *((name, "<f4") for name in ("beats", "period", "beats_per_bar", "onset", "energy"))])
"""The music: ``kind`` 2. ``beats`` since the downbeat and ``period`` in seconds are 0 while no beat is known."""

_REST = np.tile(rotation.IDENTITY, (len(FINGERS), 1))


def pack_pose(pose: Pose, sent: float) -> bytes | None:
    """Return the message of ``pose``, sent at ``sent`` ms of the wall clock; None if a number in it is not finite."""
    if not (pose.is_finite() and math.isfinite(pose.time)):
        return None
    frame = np.zeros((), dtype=POSE)
    frame["kind"], frame["dancer"], frame["sent"], frame["time"] = 1, pose.dancer, sent, pose.time
    frame["contacts"], frame["root"], frame["rotations"] = pose.contacts, pose.root, pose.rotations
    frame["fingers"] = _REST if pose.fingers is None else pose.fingers
    frame["face"] = 0.0 if pose.face is None else pose.face
    return frame.tobytes()


def pack_music(beat: BeatState | None, onset: float, energy: float, sent: float) -> bytes | None:
    """Return the message of what the music does now; None if a number in it is not finite."""
    frame = np.zeros((), dtype=MUSIC)
    frame["kind"], frame["sent"], frame["onset"], frame["energy"] = 2, sent, onset, energy
    if beat is not None:
        frame["time"], frame["beats"], frame["period"] = beat.time, beat.beat_in_bar + beat.phase, beat.period
        frame["beats_per_bar"] = beat.beats_per_bar
    numbers = (onset, energy, *(() if beat is None else (beat.phase, beat.period)))
    return frame.tobytes() if all(map(math.isfinite, numbers)) else None
