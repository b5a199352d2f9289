"""MikuMikuDance motion (``.vmd``): 30 frames a second for models with the standard bones.

Such a model stands in an A-pose, faces −Z in a left-handed space and measures 8 cm a unit; all its bones have the axes
of the world at rest. Two bones move the trunk from one joint in the waist: 下半身 carries the legs and 上半身 the rest.
The legs are turned directly, so the file switches the legs' inverse kinematics off.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError
from dancerev.model import rotation
from dancerev.model.dance_file import FARTHEST, Dance, check_length
from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS

Array = npt.NDArray[Any]

FPS = 30
METRES = 0.08
"""Of one unit."""

ARM_ANGLE = np.deg2rad(35.0)
"""Radians by which the arms of a standard model point below the horizontal."""

IK_BONES = ("左足ＩＫ", "右足ＩＫ", "左つま先ＩＫ", "右つま先ＩＫ")

CENTRE, LOWER, UPPER, UPPER2 = "センター", "下半身", "上半身", "上半身2"
_DIRECT = {"首": "Neck", "頭": "Head"} | {
    f"{side}{name}": f"{english}{bone}"
    for side, english in (("左", "Left"), ("右", "Right"))
    for name, bone in {
        "肩": "Shoulder", "腕": "UpperArm", "ひじ": "LowerArm", "手首": "Hand",
        "足": "UpperLeg", "ひざ": "LowerLeg", "足首": "Foot", "足先EX": "Toes",
    }.items()
}  # fmt: skip
"""Bones that turn as one of ours does; the trunk's are computed."""

_RECORD = np.dtype(
    [("name", "S15"), ("frame", "<u4"), ("position", "<f4", 3), ("rotation", "<f4", 4), ("curves", "u1", 64)]
)
_MAGIC = b"Vocaloid Motion Data 0002"
_MIRROR = np.array([-1.0, -1.0, 1.0, 1.0])  # of a quaternion, in the plane z = 0
_ORIGIN = np.array(REST_OFFSETS[0] + REST_OFFSETS[1], dtype=np.float64)  # our Spine's joint, where their trunk turns


def _linear_curves() -> Array:
    """(64,) the bytes that mean linear interpolation, as MikuMikuDance writes them."""
    row = np.array([20] * 8 + [107] * 8, dtype=np.uint8)
    return np.concatenate([row, np.append(row[1:], 1), np.append(row[2:], [1, 0]), np.append(row[3:], [1, 0, 0])])


def _arm(bone: str) -> Array:
    """Quaternion (4,) from the T-pose to the A-pose of one of our bones, the identity but for the arms."""
    if not any(part in bone for part in ("UpperArm", "LowerArm", "Hand")):
        return rotation.IDENTITY.astype(float)
    down = -ARM_ANGLE if bone.startswith("Left") else ARM_ANGLE
    return rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), down)


def write_vmd(path: Path, dance: Dance) -> None:
    """Write a dance; one that is not at 30 frames a second is resampled to the nearest frames.

    Raises:
        OSError: the file cannot be written.
    """
    count = max(int((len(dance) - 1) * FPS / dance.fps + 1e-3) + 1, 1)
    chosen = np.minimum(np.round(np.arange(count) * dance.fps / FPS).astype(int), len(dance) - 1)
    turns, moved = _to_model(dance.rotations[chosen].astype(np.float64), dance.root[chosen].astype(np.float64))
    frames = np.zeros((len(turns), count), dtype=_RECORD)
    frames["frame"] = np.arange(count)
    frames["curves"] = _linear_curves()
    for row, (name, turn) in zip(frames, turns.items(), strict=True):
        row["name"] = name.encode("cp932")
        row["rotation"] = turn * _MIRROR
        if name == CENTRE:
            row["position"] = moved * (1.0, 1.0, -1.0) / METRES
    ik = struct.pack("<IBI", 0, 1, len(IK_BONES)) + b"".join(
        struct.pack("<20sB", name.encode("cp932"), 0) for name in IK_BONES
    )
    with path.open("wb") as file:
        file.write(struct.pack("<30s20sI", _MAGIC, b"dancerev", frames.size))
        file.write(frames.tobytes())
        file.write(struct.pack("<4I", 0, 0, 0, 0))  # morphs, cameras, lights, shadows
        file.write(struct.pack("<I", 1) + ik)


def _to_model(rotations: Array, root: Array) -> tuple[dict[str, Array], Array]:
    """Local rotations (T, 4) by the model's bones, still in our space, and the centre's way (T, 3) in metres."""
    hips, spine, chest, upper_chest = (rotations[:, INDEX[b]] for b in ("Hips", "Spine", "Chest", "UpperChest"))
    upper = rotation.multiply(hips, spine)
    # Where the model has one bone for two of ours, it turns half of the upper one's way, and then so far that a point
    # between neck and shoulders is where it should be: they are within 5 mm for bends as in dances, to 20°.
    half = rotation.multiply(chest, rotation.slerp(np.broadcast_to(rotation.IDENTITY, chest.shape), upper_chest, 0.5))
    to_upper, to_neck, to_shoulder = (
        REST_OFFSETS[INDEX[bone]].astype(float) for bone in ("UpperChest", "Neck", "LeftShoulder")
    )
    point = 0.5 * to_neck + 0.5 * to_shoulder * (0.0, 1.0, 1.0)
    true = rotation.rotate(chest, to_upper + rotation.rotate(upper_chest, point))
    upper2 = rotation.multiply(
        rotation.between(rotation.unit(rotation.rotate(half, to_upper + point)), rotation.unit(true)), half
    )
    rest = rotation.multiply(rotation.conjugate(upper2), rotation.multiply(chest, upper_chest))
    turns = {CENTRE: np.tile(rotation.IDENTITY.astype(float), (len(root), 1))}
    turns |= {LOWER: hips, UPPER: upper, UPPER2: upper2}
    for name, bone in _DIRECT.items():
        turn = rotations[:, INDEX[bone]]
        if BONES[PARENTS[INDEX[bone]]] == "UpperChest":
            turn = rotation.multiply(rest, turn)
        above = _arm(BONES[PARENTS[INDEX[bone]]])
        turns[name] = rotation.multiply(rotation.multiply(above, turn), rotation.conjugate(_arm(bone)))
    waist = root + rotation.rotate(hips, REST_OFFSETS[1].astype(float))
    return turns, waist - _ORIGIN


def read_vmd(path: Path) -> Dance:
    """Read the body's motion of a VMD file for a standard model. Motion of its inverse kinematics is not followed.

    Raises:
        InputError: it is not such a file.
    """
    try:
        frames = _read_frames(path)
    except (ValueError, struct.error) as error:
        raise InputError(f"{path}: not a VMD motion that can be read ({error})") from None
    names = {name: frames[frames["name"] == name.encode("cp932")] for name in (CENTRE, LOWER, UPPER, UPPER2, *_DIRECT)}
    if not any(len(rows) for name, rows in names.items() if name != CENTRE):
        raise InputError(f"{path}: holds no motion of a body")
    count = 1 + max(int(rows["frame"].max()) for rows in names.values() if len(rows))
    try:
        check_length(count, max(map(len, names.values())))
    except ValueError as error:
        raise InputError(f"{path}: not a VMD motion that can be read ({error})") from None
    tracks = {name: _turns(rows, count) for name, rows in names.items()}
    rotations = np.tile(rotation.IDENTITY.astype(float), (count, len(BONES), 1))
    hips, upper, upper2 = tracks[LOWER], tracks[UPPER], tracks[UPPER2]
    rotations[:, 0] = hips
    rotations[:, INDEX["Spine"]] = rotation.multiply(rotation.conjugate(hips), upper)
    rotations[:, INDEX["Chest"]] = upper2
    for name, bone in _DIRECT.items():
        above = rotation.conjugate(_arm(BONES[PARENTS[INDEX[bone]]]))
        rotations[:, INDEX[bone]] = rotation.multiply(rotation.multiply(above, tracks[name]), _arm(bone))
    waist = _ORIGIN + _places(names[CENTRE], count)
    root = waist - rotation.rotate(hips, REST_OFFSETS[1].astype(float))
    contacts = np.zeros((count, 2), dtype=bool)
    return Dance(FPS, rotation.normalize(rotations).astype(np.float32), root.astype(np.float32), contacts)


def _read_frames(path: Path) -> Array:
    """Return the records of bones, sorted by time."""
    with path.open("rb") as file:
        magic, _, count = struct.unpack("<30s20sI", file.read(54))
        if not magic.startswith(b"Vocaloid Motion Data 0002"):
            raise ValueError("its first bytes are of another kind")
        if count * _RECORD.itemsize > path.stat().st_size:
            raise ValueError(f"{count} records are more than it holds")
        frames = np.frombuffer(file.read(count * _RECORD.itemsize), _RECORD, count)
    if not ((np.abs(frames["position"]) < FARTHEST).all() and np.isfinite(frames["rotation"]).all()):
        raise ValueError("a value is not finite, or far too large")
    return frames[np.argsort(frames["frame"], kind="stable")]


def _turns(rows: Array, count: int) -> Array:
    """(count, 4) rotations in our space, interpolated between the records."""
    if not len(rows):
        return np.tile(rotation.IDENTITY.astype(float), (count, 1))
    values = rows["rotation"].astype(np.float64) * _MIRROR
    values = np.where(np.linalg.norm(values, axis=1, keepdims=True) < 1e-6, rotation.IDENTITY, values)
    values = rotation.normalize(values)
    times = rows["frame"].astype(np.int64)
    grid = np.arange(count)
    index = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 1)
    following = np.minimum(index + 1, len(times) - 1)
    share = np.clip((grid - times[index]) / np.maximum(times[following] - times[index], 1), 0.0, 1.0)
    return rotation.slerp(values[index], values[following], share)


def _places(rows: Array, count: int) -> Array:
    """(count, 3) metres in our space, interpolated between the records of the centre."""
    if not len(rows):
        return np.zeros((count, 3))
    values = rows["position"].astype(np.float64) * (1.0, 1.0, -1.0) * METRES
    return np.stack([np.interp(np.arange(count), rows["frame"], values[:, axis]) for axis in range(3)], axis=1)
