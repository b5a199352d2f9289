"""The dance as a VMC performer: what Unity (EVMC4U), VSeeFace, Warudo, Unreal, Godot and Blender receive.

VMC (Virtual Motion Capture protocol, version 3.1) is OSC over UDP. Bones are local to their parents, in Unity's
left-handed space, as differences from the T-pose. Receivers differ; what is sent here is what all of them take:

- real rest offsets with every bone, as several receivers apply positions and zeros would crush the avatar; with an
  :class:`~dancerev.clients.avatar.AvatarRig`, that avatar's own, and poses fitted to it;
- every frame ends with ``/VMC/Ext/Blend/Apply``, on which some receivers show it;
- travel is in the hips, as some receivers ignore the root;
- of a pose with hands and a face, finger bones and blend shapes too, with the names of VRM 0 and VRM 1 where the avatar
  is not known (a receiver leaves out names that its avatar does not have).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dancerev.errors import ReceiverError
from dancerev.model import rotation
from dancerev.model.hands_and_face import BLINK, FINGER_OFFSETS, FINGERS, GAZE_PITCH, GAZE_YAW, JOY, MOUTH
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS

from . import osc
from .avatar import AvatarRig
from .udp import VMC_PORT, parse_target
from .udp_sender import UdpSender

__all__ = ["VMC_PORT", "ReceiverError", "VmcSender", "parse_target", "to_unity"]

Array = npt.NDArray[Any]

_FLIP_ROTATION = np.array([1.0, -1.0, -1.0, 1.0], dtype=np.float32)
_FLIP_POSITION = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
_HALF_TURN = np.array([0.0, 1.0, 0.0, 0.0], dtype=np.float32)  # about +Y


def to_unity(rotations: Array, positions: Array) -> tuple[Array, Array]:
    """Quaternions (..., 4) and positions (..., 3) in Unity's left-handed space: Y up, facing +Z, left is −X.

    Local and global ones convert alike. The map is its own inverse.
    """
    return rotations * _FLIP_ROTATION, positions * _FLIP_POSITION


_EXPRESSIONS: dict[int, tuple[str, ...]] = {0: ("Blink", "Joy", "A"), 1: ("blink", "happy", "aa")}
"""Names of blink, joy and mouth, by version of VRM."""

_GAZES: dict[int, tuple[str, ...]] = {
    0: ("LookLeft", "LookRight", "LookUp", "LookDown"),
    1: ("lookLeft", "lookRight", "lookUp", "lookDown"),
}
_FULL_GAZE = math.radians(35.0)  # the turn of the eyes at which a gaze blend shape is at 1
_EYES = ("LeftEye", "RightEye")

FACE = "Face"
"""The name under which masks know the expressions and the eyes."""


class VmcSender(UdpSender):
    """Sends poses to one VMC receiver. Never blocks; a receiver that is not there is no error.

    Args:
        host: name or address, resolved once.
        port: 1 to 65535; receivers listen on 39539 by default.
        travel: which transform carries the dancer over the stage. ``"hips"`` shows in every receiver; with
            ``"root"`` the hips keep to the avatar's vertical axis, for receivers that ignore hip positions.
        upper_chest: send UpperChest; otherwise its rotation is folded into Chest, for receivers without it.
        avatar: whose proportions the poses get; otherwise they are those of a dancer of 1.70 m.
        bones: what to send, as names of bones and :data:`FACE`; otherwise all.
        turned: turn the dance by half a turn, for receivers whose avatars face the other way.

    Raises:
        ReceiverError: the host cannot be resolved, or the port is out of range.
    """

    def __init__(
        self,
        host: str,
        port: int = VMC_PORT,
        *,
        travel: Literal["hips", "root"] = "hips",
        upper_chest: bool = True,
        avatar: AvatarRig | None = None,
        bones: Collection[str] | None = None,
        turned: bool = False,
    ) -> None:
        """Open a socket for one receiver."""
        super().__init__(host, port)
        self._travel = travel
        self._upper_chest = upper_chest
        self._avatar = avatar
        self._mask = bones
        self._turned = turned
        self._frame = _Frame(self, fingers=False, face=False)

    def send(self, pose: Pose) -> None:
        """Send ``pose`` with its time as the stamp (seconds, float32 on the wire).

        Quaternions are brought to unit length; a pose that cannot be mended is skipped.
        """
        if not _is_sound(pose):
            self.skipped += 1
            return
        if self._avatar is not None:
            pose = self._avatar.fit(pose)
        if self._turned:
            rotations = pose.rotations.copy()
            rotations[0] = rotation.multiply(_HALF_TURN, rotations[0])
            pose = replace(pose, rotations=rotations, root=pose.root * (-1.0, 1.0, -1.0))
        frame = self._frame
        if frame.fingers != (pose.fingers is not None) or frame.face != (pose.face is not None):
            frame = self._frame = _Frame(self, fingers=pose.fingers is not None, face=pose.face is not None)
        frame.fill(pose)
        self.send_datagrams(frame.template.datagrams)

    def sends(self, bone: str) -> bool:
        """Whether ``bone``, or :data:`FACE`, is among what is sent."""
        if self._mask is not None and bone not in self._mask:
            return False
        if self._avatar is None:
            return bone not in _EYES and (bone != "UpperChest" or self._upper_chest)
        if bone == FACE or bone in self._avatar.joints:
            return bone != "UpperChest" or self._upper_chest
        return False


class _Frame:
    """The datagrams of one pose, and where in them its numbers go."""

    def __init__(self, sender: VmcSender, *, fingers: bool, face: bool) -> None:
        """Lay out what ``sender`` sends of a pose with or without ``fingers`` and ``face``."""
        self.fingers, self.face = fingers, face
        rig = sender._avatar
        self._in_root = sender._travel == "root"
        self._folded = not sender._upper_chest
        body = [bone for bone in BONES if sender.sends(bone)]
        hand = [finger for finger in FINGERS if fingers and sender.sends(finger)]
        shown = face and sender.sends(FACE)
        eyes = [eye for eye in _EYES if shown and rig is not None and eye in rig.joints]
        self._versions = () if not shown else (0, 1) if rig is None else (rig.version,)
        names = [name for version in self._versions for name in _EXPRESSIONS[version]]
        gazes = [name for version in self._versions for name in _GAZES[version] if not eyes]
        nothing, identity = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        messages: list[osc.Message] = [
            ("/VMC/Ext/OK", (1,)),
            ("/VMC/Ext/T", (0.0,)),
            ("/VMC/Ext/Root/Pos", ("root", *nothing, *identity)),
            *(("/VMC/Ext/Bone/Pos", (name, *nothing, *identity)) for name in (*body, *hand, *eyes)),
            *(("/VMC/Ext/Blend/Val", (name, 0.0)) for name in (*names, *gazes)),
            ("/VMC/Ext/Blend/Apply", ()),
        ]
        self.template = osc.Template(messages)
        # The slots, and views of them by meaning.
        self._values = np.zeros(self.template.size, dtype=np.float32)
        self._root = self._values[1:8]
        self._root[:] = (*nothing, *identity)
        end = 8 + 7 * len((*body, *hand, *eyes))
        bones = self._values[8:end].reshape(-1, 7)
        self._body, self._hand, self._eyes = np.split(bones, [len(body), len(body) + len(hand)])
        self._blends = self._values[end:]
        self._sent_bones = np.array([INDEX[name] for name in body], dtype=np.intp)
        self._sent_fingers = np.array([FINGERS.index(name) for name in hand], dtype=np.intp)
        self._has_hips = bool(body) and body[0] == "Hips"
        self._body[:, :3] = (_offsets(rig, folded=self._folded) * _FLIP_POSITION)[self._sent_bones]
        offsets = FINGER_OFFSETS if rig is None else rig.finger_offsets
        self._hand[:, :3] = (offsets * _FLIP_POSITION)[self._sent_fingers]
        if rig is not None:
            for row, eye in zip(self._eyes, eyes, strict=True):
                row[:3] = (rig.joints[eye] - rig.joints["Head"]) * _FLIP_POSITION

    def fill(self, pose: Pose) -> None:
        """Write a sound pose into the datagrams."""
        rotations, root = to_unity(_unit(pose.rotations), pose.root)
        if self._folded:
            chest, upper = INDEX["Chest"], INDEX["UpperChest"]
            rotations[chest] = rotation.multiply(rotations[chest], rotations[upper])
        self._values[0] = pose.time
        self._body[:, 3:] = rotations[self._sent_bones]
        if self._has_hips and self._in_root:
            self._root[0], self._root[2] = root[0], root[2]
            self._body[0, 1] = root[1]
        elif self._has_hips:
            self._body[0, :3] = root
        if pose.fingers is not None:
            self._hand[:, 3:] = (_unit(pose.fingers) * _FLIP_ROTATION)[self._sent_fingers]
        if pose.face is not None and self._versions:
            self._fill_face(pose.face.tolist())
        self.template.fill(self._values)

    def _fill_face(self, face: list[float]) -> None:
        yaw, pitch = face[GAZE_YAW], face[GAZE_PITCH]
        values = [face[BLINK], face[JOY], face[MOUTH]] * len(self._versions)
        if len(self._eyes):
            turn = rotation.multiply(
                rotation.from_yaw(yaw), rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), -pitch)
            )
            self._eyes[:, 3:] = turn * _FLIP_ROTATION
        else:
            gaze = [yaw, -yaw, pitch, -pitch]
            values += [min(max(angle / _FULL_GAZE, 0.0), 1.0) for angle in gaze] * len(self._versions)
        self._blends[:] = values


def _offsets(rig: AvatarRig | None, *, folded: bool) -> Array:
    """(22, 3) rest offsets, those of UpperChest's children from Chest if it is ``folded``."""
    offsets = (REST_OFFSETS if rig is None else rig.offsets).copy()
    if folded:
        upper = INDEX["UpperChest"]
        for child in (i for i, parent in enumerate(PARENTS) if parent == upper):
            offsets[child] += offsets[upper]
    return offsets


def _is_sound(pose: Pose) -> bool:
    """Whether all numbers are finite and every quaternion has a direction.

    Sums of plain floats are the cheapest test for a NaN or an infinity in any of them.
    """
    lengths = np.einsum("ij,ij->i", pose.rotations, pose.rotations).tolist()
    total = sum(lengths) + sum(pose.root.tolist()) + pose.time
    if pose.fingers is not None:
        fingers = np.einsum("ij,ij->i", pose.fingers, pose.fingers).tolist()
        lengths += fingers
        total += sum(fingers)
    if pose.face is not None:
        total += sum(pose.face.tolist())
    return min(lengths) > 1e-12 and math.isfinite(total)


def _unit(quaternions: Array) -> Array:
    return quaternions / np.sqrt(np.einsum("ij,ij->i", quaternions, quaternions))[:, None]
