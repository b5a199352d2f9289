"""Biovision Hierarchy (BVH) motion files, read and written.

A BVH file is a tree of joints with offsets, then one row of channel values per frame. Any channel order and any rig is
read. A joint with position channels has its place from them, in its parent's frame, instead of its offset, as Blender
reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from . import rotation
from .skeleton import BONES, PARENTS, REST_OFFSETS

Array = npt.NDArray[Any]

_AXES = {"X": 0, "Y": 1, "Z": 2}
_LARGEST = 2**30  # bytes of a file: a day of motion
_JOINTS = 2_000  # of a rig
_SLOWEST, _FASTEST = 1.0, 1e-3  # seconds from frame to frame
_MOTION = re.compile(r"(?<![^}\r\n])[ \t]*MOTION(?!\S)")  # begins a line; a joint may have such a name
_BRACE = re.compile(r"(?<!\S)[{}](?!\S)|\{(?=[ \t]*[\r\n])")  # stands alone or ends a line; a name may hold others
_BLOCK = 1_000  # frames that are read or written at once
_LARGEST_NUMBER = 1e9  # degrees, centimetres or millimetres


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
        translations: (T, 3) float64 by joint, of those that move against their parents: in place of their offsets.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    rotations: Array
    positions: Array
    frame_time: float
    translations: Mapping[int, Array] = field(default_factory=dict)

    def forward_kinematics(self, frames: slice = slice(None)) -> tuple[Array, Array]:
        """Return global positions (T, J, 3) and rotations (T, J, 4) of the joints in ``frames``."""
        moving = {joint: places[frames] for joint, places in self.translations.items()}
        return _forward(self.parents, self.offsets, self.rotations[frames], self.positions[frames], moving)

    def offset_pose(self) -> tuple[Array, Array]:
        """Return global positions (J, 3) and rotations (J, 4) with every rotation zero."""
        still = np.tile(rotation.IDENTITY.astype(float), (1, len(self.names), 1))
        positions, rotations = _forward(self.parents, self.offsets, still, np.zeros((1, 3)), {})
        return positions[0], rotations[0]


def _forward(
    parents: tuple[int, ...], offsets: Array, rotations: Array, root: Array, translations: Mapping[int, Array]
) -> tuple[Array, Array]:
    positions = np.empty((*rotations.shape[:-1], 3))
    globals_ = np.empty_like(rotations)
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], globals_[:, joint] = root, rotations[:, joint]
        else:
            offset = translations.get(joint, offsets[joint])
            positions[:, joint] = positions[:, parent] + rotation.rotate(globals_[:, parent], offset)
            globals_[:, joint] = rotation.multiply(globals_[:, parent], rotations[:, joint])
    return positions, globals_


def read_bvh(path: Path | str) -> Bvh:
    """Read a BVH file.

    Raises:
        OSError: the file cannot be read.
        InputError: it is not a whole BVH file; the message says what is missing.
    """
    if Path(path).stat().st_size > _LARGEST:
        raise InputError(f"{path}: larger than {_LARGEST // 2**20} MiB")
    try:
        return parse_bvh(Path(path).read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def parse_bvh(text: str) -> Bvh:
    """Read the motion in the text of a BVH file. Rows beyond the stated number of frames are left out.

    Raises:
        InputError: it is not a whole BVH file; the message says what is missing.
    """
    found = _MOTION.search(text)
    if found is None or "HIERARCHY" not in text[: found.start()]:
        raise InputError("not a BVH file (no HIERARCHY or no MOTION section)")
    head, motion = text[: found.start()].removeprefix("\ufeff"), text[found.end() :]
    names, parents, offsets, channels = _read_hierarchy(head)
    header = re.match(r"\s*Frames:\s*(\d{1,12})\s+Frame Time:\s*(\S+)\s*", motion)
    if header is None:
        raise InputError("no 'Frames:' and 'Frame Time:' after MOTION")
    frames, frame_time = int(header[1]), _frame_time(header[2])
    if not channels:
        raise InputError("no joint has a channel")
    # A joint takes 32 bytes a frame in memory, a value at least 2 in the file.
    if frames * len(names) > 16 * len(motion) + 1_000_000:
        raise InputError(f"{frames} frames of {len(names)} joints are more than the file can hold")
    values = _read_values(motion[header.end() :], frames, len(channels))
    rotations = np.tile(rotation.IDENTITY.astype(np.float64), (frames, len(names), 1))
    places = {joint: np.tile(offsets[joint], (frames, 1)) for joint, name in channels if name.endswith("position")}
    for column, (joint, channel) in enumerate(channels):
        axis = _AXES[channel[0]]
        if channel.endswith("rotation"):
            turn = rotation.from_axis_angle(np.eye(3)[axis], np.deg2rad(values[:, column]))
            rotations[:, joint] = rotation.multiply(rotations[:, joint], turn)
        else:
            places[joint][:, axis] = values[:, column]
    positions = places.pop(0, np.tile(offsets[0], (frames, 1)))
    # Positions that repeat the offset are none; and a joint without an offset has its first place for one.
    moving = {joint: place for joint, place in places.items() if np.abs(place - offsets[joint]).max() > 1e-6}
    for joint, place in moving.items():
        if not offsets[joint].any():
            offsets[joint] = place[0]
    return Bvh(tuple(names), tuple(parents), offsets, rotation.normalize(rotations), positions, frame_time, moving)


def _frame_time(word: str) -> float:
    """Seconds from frame to frame; a value that can only be milliseconds is taken for that."""
    frame_time = _number(word)
    if frame_time <= 0.0:
        raise InputError(f"frame time must be above 0, not {frame_time}")
    if 2.0 <= frame_time <= 1000.0 * _SLOWEST:
        frame_time /= 1000.0
    if not _FASTEST <= frame_time <= _SLOWEST:
        raise InputError(f"a frame time of {frame_time:g} s is not one of motion capture")
    return frame_time


def _read_values(text: str, frames: int, channels: int) -> Array:
    """(frames, channels) float64, read in blocks, as words take ten times the memory of numbers."""
    words = (match[0] for match in re.finditer(r"\S+", text))
    blocks = []
    try:
        while block := list(islice(words, _BLOCK * channels)):
            blocks.append(np.array(block, dtype=np.float64))
    except ValueError as error:
        raise InputError(f"a motion value is not a number ({error})") from None
    values = np.concatenate(blocks) if blocks else np.zeros(0)
    if frames == 0 or values.size < frames * channels:
        raise InputError(f"{values.size} motion values, expected {frames} frames × {channels} channels")
    values = values[: frames * channels].reshape(frames, channels)
    if not (np.abs(values) < _LARGEST_NUMBER).all():  # so is what is not finite
        raise InputError(f"a motion value is not finite, or larger than {_LARGEST_NUMBER:g}")
    return values


def _read_hierarchy(head: str) -> tuple[list[str], list[int], Array, list[tuple[int, str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[int, str]] = []
    open_joints: list[int] = []
    for line in _BRACE.sub(r"\n\g<0>\n", head).splitlines():
        words = line.split()
        if not words or words[0] in ("HIERARCHY", "{"):
            continue
        if words[0] in ("ROOT", "JOINT", "End"):
            if words[0] == "ROOT" and names:
                raise InputError("more than one ROOT")
            if not open_joints and words[0] != "ROOT":
                raise InputError(f"'{line.strip()}' outside of any joint")
            if len(names) >= _JOINTS:
                raise InputError(f"more than {_JOINTS} joints")
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
    if not abs(number) < _LARGEST_NUMBER:  # so is what is not finite
        raise InputError(f"'{word}' is not a finite number up to {_LARGEST_NUMBER:g}")
    return number


def write_bvh(path: Path | str, rotations: Array, root: Array, fps: float, offsets: Array = REST_OFFSETS) -> None:
    """Write a motion of our skeleton as BVH: centimetres, ZXY Euler angles in degrees.

    Args:
        path: file to write.
        rotations: (T, 22, 4) local unit quaternions xyzw; a memory map is read block by block.
        root: (T, 3) world position of the hips, metres.
        fps: frames per second.
        offsets: (22, 3) metres, each joint relative to its parent's in the T-pose.
    """
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.write(bvh_header(len(root), fps, offsets))
        for first in range(0, len(root), _BLOCK):
            part = slice(first, first + _BLOCK)
            file.write(bvh_rows(rotations[part], root[part]))


def bvh_header(frames: int, fps: float, offsets: Array = REST_OFFSETS) -> str:
    """Return all of a BVH file of our skeleton that stands before its rows. Its length is the same for any count."""
    lines = ["HIERARCHY"]

    def joint(bone: int, indent: str) -> None:
        children = [child for child, parent in enumerate(PARENTS) if parent == bone]
        offset = " ".join(f"{100.0 * value:.4f}" for value in (offsets[bone] if bone else np.zeros(3)))
        lines.append(f"{indent}{'JOINT' if bone else 'ROOT'} {BONES[bone]}")
        lines.append(f"{indent}{{")
        lines.append(f"{indent}\tOFFSET {offset}")
        position = "6 Xposition Yposition Zposition" if bone == 0 else "3"
        lines.append(f"{indent}\tCHANNELS {position} Zrotation Xrotation Yrotation")
        for child in children:
            joint(child, indent + "\t")
        if not children:
            tip = 100.0 * _END_SITES[BONES[bone]]
            lines.append(f"{indent}\tEnd Site\n{indent}\t{{")
            lines.append(f"{indent}\t\tOFFSET {tip[0]:.4f} {tip[1]:.4f} {tip[2]:.4f}\n{indent}\t}}")
        lines.append(f"{indent}}}")

    joint(0, "")
    lines += ["MOTION", f"Frames: {frames:010d}", f"Frame Time: {1.0 / fps:.8f}"]
    return "\n".join(lines) + "\n"


def bvh_rows(rotations: Array, root: Array) -> str:
    """Return the rows of poses: rotations (T, 22, 4) and root (T, 3)."""
    angles = _euler_zxy(np.asarray(rotations, dtype=np.float64)[:, _depth_first(0)])
    rows = np.concatenate([100.0 * np.asarray(root), angles.reshape(len(angles), -1)], axis=1)
    line = " ".join(["%.5f"] * rows.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in rows.tolist())


def _depth_first(bone: int) -> list[int]:
    """Return the bones from ``bone`` on in the order in which the file has them."""
    children = [child for child, parent in enumerate(PARENTS) if parent == bone]
    return [bone, *(later for child in children for later in _depth_first(child))]


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
