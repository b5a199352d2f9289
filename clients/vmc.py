"""The dance as a VMC performer: what Unity (EVMC4U), VSeeFace, Warudo, Unreal, Godot and Blender receive.

VMC (Virtual Motion Capture protocol, version 3.1) is OSC over UDP. Bones are local to their parents, in Unity's
left-handed space, as differences from the T-pose. Receivers differ; what is sent here is what all of them take:

- real rest offsets with every bone, as several receivers apply positions and zeros would crush the avatar;
- every frame ends with ``/VMC/Ext/Blend/Apply``, on which some receivers show it;
- travel is in the hips, as some receivers ignore the root.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dancerev.errors import ReceiverError
from dancerev.model import rotation
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS

from . import osc
from .sink import PoseSink
from .udp import VMC_PORT, UdpTarget, parse_target

__all__ = ["VMC_PORT", "ReceiverError", "VmcSender", "parse_target", "to_unity"]

Array = npt.NDArray[Any]

_FLIP_ROTATION = np.array([1.0, -1.0, -1.0, 1.0], dtype=np.float32)
_FLIP_POSITION = np.array([-1.0, 1.0, 1.0], dtype=np.float32)


def to_unity(rotations: Array, positions: Array) -> tuple[Array, Array]:
    """Quaternions (..., 4) and positions (..., 3) in Unity's left-handed space: Y up, facing +Z, left is −X.

    Local and global ones convert alike. The map is its own inverse.
    """
    return rotations * _FLIP_ROTATION, positions * _FLIP_POSITION


class VmcSender(PoseSink):
    """Sends poses to one VMC receiver. Never blocks; a receiver that is not there is no error.

    Args:
        host: name or address, resolved once.
        port: 1 to 65535; receivers listen on 39539 unless told otherwise.
        travel: which transform carries the dancer over the stage. ``"hips"`` shows in every receiver; with
            ``"root"`` the hips keep to the avatar's vertical axis, for receivers that ignore hip positions.
        upper_chest: send UpperChest; otherwise its rotation is folded into Chest, for receivers without it.

    Attributes:
        target: where they go.
        sent: poses handed to the system.
        skipped: poses not sent because a number in them was not finite or a quaternion had no direction.
        lost: poses that the system did not take (no network, no room).

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(
        self, host: str, port: int = VMC_PORT, *, travel: Literal["hips", "root"] = "hips", upper_chest: bool = True
    ) -> None:
        self.target = UdpTarget(host, port)
        self.name = self.target.name
        self._travel = travel
        self._upper_chest = upper_chest
        bones = [name for name in BONES if upper_chest or name != "UpperChest"]
        self._sent_bones = np.array([INDEX[name] for name in bones])
        nothing, identity = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        messages: list[osc.Message] = [
            ("/VMC/Ext/OK", (1,)),
            ("/VMC/Ext/T", (0.0,)),
            ("/VMC/Ext/Root/Pos", ("root", *nothing, *identity)),
            *(("/VMC/Ext/Bone/Pos", (name, *nothing, *identity)) for name in bones),
            ("/VMC/Ext/Blend/Apply", ()),
        ]
        self._template = osc.Template(messages)
        # The slots, and views of them by meaning.
        self._values = np.zeros(self._template.size, dtype=np.float32)
        self._root = self._values[1:8]
        self._root[:] = (*nothing, *identity)
        self._bones = self._values[8:].reshape(len(bones), 7)
        self._bones[:, :3] = self._rest_offsets()
        self.sent = self.skipped = self.lost = 0

    def _rest_offsets(self) -> Array:
        offsets = REST_OFFSETS.copy()
        if not self._upper_chest:
            folded = INDEX["UpperChest"]
            for child in (i for i, parent in enumerate(PARENTS) if parent == folded):
                offsets[child] += offsets[folded]
        return (offsets * _FLIP_POSITION)[self._sent_bones]

    def send(self, pose: Pose) -> None:
        """Send ``pose`` with its time as the stamp (seconds, float32 on the wire).

        Quaternions are brought to unit length; a pose that cannot be mended is skipped.
        """
        rotations, root = to_unity(pose.rotations, pose.root)
        squares = np.einsum("ij,ij->i", rotations, rotations)
        x, y, z = root.tolist()
        # Sums of plain floats: the cheapest test for a NaN or an infinity in any of them.
        lengths = squares.tolist()
        if not (min(lengths) > 1e-12 and math.isfinite(sum(lengths)) and math.isfinite(x + y + z + pose.time)):
            self.skipped += 1
            return
        rotations /= np.sqrt(squares)[:, None]
        if not self._upper_chest:
            chest, upper = INDEX["Chest"], INDEX["UpperChest"]
            rotations[chest] = rotation.multiply(rotations[chest], rotations[upper])
            rotations = rotations[self._sent_bones]
        self._values[0] = pose.time
        self._bones[:, 3:] = rotations
        if self._travel == "root":
            self._root[0], self._root[2] = x, z
            self._bones[0, 1] = y
        else:
            self._bones[0, :3] = root
        self._template.fill(self._values)
        if self.target.send(self._template.datagrams):
            self.sent += 1
        else:
            self.lost += 1
        self.trouble = self.target.trouble

    def close(self) -> None:
        """Give the socket back."""
        self.target.close()
