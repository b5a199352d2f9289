"""The dance as VRChat's OSC trackers: eight trackers and the head, which VRChat's own inverse kinematics follows.

From VRChat's documentation (https://docs.vrchat.com/docs/osc-trackers): ``/tracking/trackers/<1-8>/position`` and
``…/rotation`` take three floats each, in Unity's left-handed space, metres and degrees; Euler angles are applied in the
order z, x, y. ``/tracking/trackers/head/…`` aligns the sender's space with VRChat's. One is 1 m in the real world, so
the dancer is scaled to the height that the user entered in VRChat.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dancerev.model import rotation
from dancerev.model.pose import Pose
from dancerev.model.skeleton import INDEX

from . import osc
from .udp_sender import UdpSender, world_joints
from .vmc import to_unity

VRCHAT_PORT = 9000
"""The port on which VRChat listens."""

DANCER_HEIGHT = 1.7
"""Metres: the height of the dancer whose proportions ``model.skeleton`` has."""

TRACKERS: tuple[tuple[str, str, str], ...] = (
    ("1", "Hips", "Hips"),
    ("2", "UpperChest", "UpperChest"),
    ("3", "LeftFoot", "LeftFoot"),
    ("4", "RightFoot", "RightFoot"),
    ("5", "LeftLowerLeg", "LeftUpperLeg"),
    ("6", "RightLowerLeg", "RightUpperLeg"),
    ("7", "LeftLowerArm", "LeftUpperArm"),
    ("8", "RightLowerArm", "RightUpperArm"),
    ("head", "Head", "Head"),
)
"""Name, the joint where the tracker is, and the bone with which it turns."""

_JOINTS = np.array([INDEX[joint] for _, joint, _ in TRACKERS])
_BONES = np.array([INDEX[bone] for _, _, bone in TRACKERS])


class VrchatSender(UdpSender):
    """Sends poses to one VRChat. Never blocks; a VRChat that is not there is no error.

    Args:
        host: name or address, resolved once.
        port: 1 to 65535.
        height: metres, the user's real height in VRChat's settings.

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(self, host: str, port: int = VRCHAT_PORT, *, height: float = DANCER_HEIGHT) -> None:
        super().__init__(host, port)
        self._scale = height / DANCER_HEIGHT
        messages: list[osc.Message] = [
            (f"/tracking/trackers/{name}/{what}", (0.0, 0.0, 0.0))
            for name, _, _ in TRACKERS
            for what in ("position", "rotation")
        ]
        self._template = osc.Template(messages)
        self._values = np.zeros((len(TRACKERS), 2, 3), dtype=np.float32)

    def send(self, pose: Pose) -> None:
        """Send ``pose``; one with a number that is not finite, or with a quaternion of no length, is skipped."""
        joints = world_joints(pose)
        if joints is None:
            self.skipped += 1
            return
        places, turns = joints
        turns, places = to_unity(turns[_BONES], self._scale * places[_JOINTS])
        self._values[:, 0] = places
        self._values[:, 1] = euler_zxy(turns)
        self._template.fill(self._values.ravel())
        self.send_datagrams(self._template.datagrams)


def euler_zxy(quaternions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Angles (..., 3) in degrees about x, y and z of rotations (..., 4), applied about z first, then x, then y."""
    matrix = rotation.to_matrix(quaternions.astype(np.float64))
    x = np.arcsin(np.clip(-matrix[..., 1, 2], -1.0, 1.0))
    y = np.arctan2(matrix[..., 0, 2], matrix[..., 2, 2])
    z = np.arctan2(matrix[..., 1, 0], matrix[..., 1, 1])
    # Straight up or down, only the sum of the turns about y and z is known.
    locked = np.abs(matrix[..., 1, 2]) > 1.0 - 1e-7
    y = np.where(locked, np.arctan2(-matrix[..., 2, 0], matrix[..., 0, 0]), y)
    z = np.where(locked, 0.0, z)
    return np.degrees(np.stack([x, y, z], axis=-1)).astype(np.float32)
