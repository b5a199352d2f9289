"""What all senders of poses over UDP share: one receiver, and what became of the poses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.model.pose import Pose
from dancerev.model.skeleton import forward_kinematics

from .sink import PoseSink
from .udp import UdpTarget

Array = npt.NDArray[Any]


class UdpSender(PoseSink):
    """Sends poses to one receiver. Never blocks; a receiver that is not there is no error.

    Args:
        host: name or address, resolved once.
        port: 1 to 65535.

    Attributes:
        target: where they go.
        sent: poses handed to the system.
        skipped: poses not sent because a number in them was not finite or a quaternion had no direction.
        lost: poses that the system did not take (no network, no room).

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(self, host: str, port: int) -> None:
        """Open a socket for one receiver."""
        self.target = UdpTarget(host, port)
        self.name = self.target.name
        self.sent = self.skipped = self.lost = 0

    def send_datagrams(self, datagrams: Iterable[bytes | memoryview]) -> None:
        """Send the datagrams of one pose; count it as sent, or as lost where the system refuses."""
        if self.target.send(datagrams):
            self.sent += 1
        else:
            self.lost += 1
        self.error = self.target.error

    def close(self) -> None:
        """Give the socket back."""
        self.target.close()


def world_joints(pose: Pose) -> tuple[Array, Array] | None:
    """Return world positions (22, 3) in metres and rotations (22, 4), or None where the pose cannot be mended.

    Quaternions are brought to unit length; one without a direction, or a number that is not finite, cannot be mended.
    """
    lengths = np.linalg.norm(pose.rotations, axis=-1, keepdims=True)
    if not (np.isfinite(lengths).all() and lengths.min() > 1e-6 and np.isfinite(pose.root).all()):
        return None
    return forward_kinematics(pose.rotations / lengths, pose.root)
