"""Biovision Hierarchy (BVH) motion files, read and written.

A BVH file is a tree of joints with offsets, then one row of channel values per frame. Any channel order and
any rig is read; positions of joints other than the root are ignored, as they repeat the offsets in practice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from . import rotation
from .skeleton import BONES, PARENTS, REST_OFFSETS

Array = npt.NDArray[Any]

_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class Bvh:
    """A skeleton and its motion, in the file's own units and axes.

    Attributes:
        names: joint names, parents before children; an end site is called its joint's name + ``"_End"``.
        parents: index of each joint's parent, -1 for the root.
        offsets: (J, 3) float64, each joint relative to its parent without any rotation.
        rotations: (T, J, 4) float64 local unit quaternions xyzw.
        positions: (T, 3) float64 of the root.
        frame_time: seconds from frame to frame, as the file says.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    rotations: Array
    positions: Array
    frame_time: float

    def forward_kinematics(self, frames: slice = slice(None)) -> tuple[Array, Array]:
        """Global positions (T, J, 3) and rotations (T, J, 4) of the joints in ``frames``."""
        return _forward(self.parents, self.offsets, self.rotations[frames], self.positions[frames])

    def offset_pose(self) -> tuple[Array, Array]:
        """Global positions (J, 3) and rotations (J, 4) with every rotation zero."""
        still = np.tile(rotation.IDENTITY.astype(float), (1, len(self.names), 1))
        positions, rotations = _forward(self.parents, self.offsets, still, np.zeros((1, 3)))
        return positions[0], rotations[0]


def _forward(parents: tuple[int, ...], offsets: Array, rotations: Array, root: Array) -> tuple[Array, Array]:
    positions = np.empty((*rotations.shape[:-1], 3))
    globals_ = np.empty_like(rotations)
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], globals_[:, joint] = root, rotations[:, joint]
        else:
            positions[:, joint] = positions[:, parent] + rotation.rotate(globals_[:, parent], offsets[joint])
            globals_[:, joint] = rotation.multiply(globals_[:, parent], rotations[:, joint])
    return positions, globals_


def read_bvh(path: Path | str) -> Bvh:
    """Reads a BVH file.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not a whole BVH file; the message says what is missing.
    """
    try:
        return parse_bvh(Path(path).read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def parse_bvh(text: str) -> Bvh:
    """The motion in the text of a BVH file.

    Raises:
        InputError: it is not a whole BVH file; the message says what is missing.
    """
    head, found, motion = text.removeprefix("\ufeff").partition("MOTION")
    if not found or "HIERARCHY" not in head:
        raise InputError("not a BVH file (no HIERARCHY or no MOTION section)")
    names, parents, offsets, channels = _read_hierarchy(head)
    header = re.match(r"\s*Frames:\s*(\d+)\s+Frame Time:\s*(\S+)\s*", motion)
    if header is None:
        raise InputError("no 'Frames:' and 'Frame Time:' after MOTION")
    frames, frame_time = int(header[1]), _number(header[2])
    if frame_time <= 0.0:
        raise InputError(f"frame time must be above 0, not {frame_time}")
    try:
        values = np.array(motion[header.end() :].split(), dtype=np.float64)
    except ValueError as error:
        raise InputError(f"a motion value is not a number ({error})") from None
    if frames == 0 or values.size != frames * len(channels):
        raise InputError(f"{values.size} motion values, expected {frames} frames × {len(channels)} channels")
    if not np.isfinite(values).all():
        raise InputError("a motion value is not finite")
    values = values.reshape(frames, len(channels))
    rotations = np.tile(rotation.IDENTITY.astype(np.float64), (frames, len(names), 1))
    positions = np.tile(offsets[0], (frames, 1))
    for column, (joint, channel) in enumerate(channels):
        axis = _AXES[channel[0]]
        if channel.endswith("rotation"):
            turn = rotation.from_axis_angle(np.eye(3)[axis], np.deg2rad(values[:, column]))
            rotations[:, joint] = rotation.multiply(rotations[:, joint], turn)
        elif joint == 0:
            positions[:, axis] = values[:, column]
    return Bvh(tuple(names), tuple(parents), offsets, rotation.normalize(rotations), positions, frame_time)


def _read_hierarchy(head: str) -> tuple[list[str], list[int], Array, list[tuple[int, str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[int, str]] = []
    open_joints: list[int] = []
    for line in head.splitlines():
        words = line.split()
        if not words or words[0] in ("HIERARCHY", "{"):
            continue
        if words[0] in ("ROOT", "JOINT", "End"):
            if words[0] == "ROOT" and names:
                raise InputError("more than one ROOT")
            parent = open_joints[-1] if open_joints else -1
            names.append(f"{names[parent]}_End" if words[0] == "End" else " ".join(words[1:]) or "unnamed")
            parents.append(parent)
            offsets.append([0.0, 0.0, 0.0])
            open_joints.append(len(names) - 1)
        elif not open_joints:
            raise InputError(f"unexpected '{line.strip()}' in HIERARCHY")
        elif words[0] == "OFFSET" and len(words) == 4:
            offsets[open_joints[-1]] = [_number(word) for word in words[1:]]
        elif words[0] == "CHANNELS":
            for word in words[2:]:
                if word[0] not in _AXES or word[1:] not in ("rotation", "position"):
                    raise InputError(f"unknown channel '{word}'")
                channels.append((open_joints[-1], word))
        elif words[0] == "}":
            open_joints.pop()
        else:
            raise InputError(f"unexpected '{line.strip()}' in HIERARCHY")
    if not names or open_joints:
        raise InputError("HIERARCHY is incomplete")
    return names, parents, np.array(offsets), channels


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"'{word}' is not a finite number")
    return number


def write_bvh(path: Path | str, rotations: Array, root: Array, fps: float) -> None:
    """Writes a motion of our skeleton as BVH: centimetres, ZXY Euler angles in degrees.

    Args:
        path: file to write.
        rotations: (T, 22, 4) local unit quaternions xyzw.
        root: (T, 3) world position of the hips, metres.
        fps: frames per second.
    """
    lines = ["HIERARCHY"]

    def joint(bone: int, indent: str) -> None:
        children = [child for child, parent in enumerate(PARENTS) if parent == bone]
        offset = " ".join(f"{100.0 * value:.4f}" for value in (REST_OFFSETS[bone] if bone else np.zeros(3)))
        lines.append(f"{indent}{'JOINT' if bone else 'ROOT'} {BONES[bone]}")
        lines.append(f"{indent}{{")
        lines.append(f"{indent}\tOFFSET {offset}")
        position = "6 Xposition Yposition Zposition" if bone == 0 else "3"
        lines.append(f"{indent}\tCHANNELS {position} Zrotation Xrotation Yrotation")
        order.append(bone)
        for child in children:
            joint(child, indent + "\t")
        if not children:
            tip = 100.0 * _END_SITES[BONES[bone]]
            lines.append(f"{indent}\tEnd Site\n{indent}\t{{")
            lines.append(f"{indent}\t\tOFFSET {tip[0]:.4f} {tip[1]:.4f} {tip[2]:.4f}\n{indent}\t}}")
        lines.append(f"{indent}}}")

    order: list[int] = []
    joint(0, "")
    angles = _euler_zxy(np.asarray(rotations, dtype=np.float64)[:, order])
    rows = np.concatenate([100.0 * np.asarray(root), angles.reshape(len(angles), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1.0 / fps:.8f}"]
    lines += [" ".join(f"{value:.5f}" for value in row) for row in rows]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


_END_SITES = {
    "Head": np.array([0.0, 0.2, 0.0]),
    "LeftHand": np.array([0.17, 0.0, 0.0]),
    "RightHand": np.array([-0.17, 0.0, 0.0]),
    "LeftToes": np.array([0.0, 0.0, 0.06]),
    "RightToes": np.array([0.0, 0.0, 0.06]),
}


def _euler_zxy(quaternion: Array) -> Array:
    """(..., 3) degrees: the turns about Z, X and Y whose product Z·X·Y is the rotation (..., 4)."""
    matrix = rotation.to_matrix(quaternion)
    x = np.arcsin(np.clip(matrix[..., 2, 1], -1.0, 1.0))
    locked = np.abs(matrix[..., 2, 1]) > 1.0 - 1e-9
    z = np.arctan2(-matrix[..., 0, 1], matrix[..., 1, 1])
    y = np.arctan2(-matrix[..., 2, 0], matrix[..., 2, 2])
    # With X at ±90° only one combination of Z and Y counts: put all of it into Z.
    z = np.where(locked, np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0]), z)
    return np.rad2deg(np.stack([z, x, np.where(locked, 0.0, y)], axis=-1))
