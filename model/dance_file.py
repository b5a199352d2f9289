"""A dance as a file: the ``.npz`` that every command reads and writes.

============== ================== =====================================================================
array          shape              content
============== ================== =====================================================================
fps            ()                 frames per second; frame i is the pose for i / fps seconds of the audio
joint_names    (22,)              names, as ``skeleton.BONES``
positions      (T, 22, 3)         joints in the world, metres, Y up, the dancer facing +Z
rotations      (T, 22, 4)         local unit quaternions xyzw, the difference from the T-pose
root           (T, 3)             world position of the hips, metres
contacts       (T, 2)             bool, left and right foot planted
beats          (N,)               seconds of the audio at which beats were announced
bpm            ()                 median tempo, 0 where there was none
beat_in_bar    (N,)               of each beat, 0 for the downbeat; only where it is known, as the next two
beats_per_bar  (N,)               2, 3, 4 or 6
bar_confidence (N,)               [0, 1]
marks          (M,)               seconds of the performer's markers; only where there are any
mark_texts     (M,)               what they say
offsets        (22, 3)            rest offsets of an avatar that the dance was fitted to; only where it was
============== ================== =====================================================================
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError, reason

from .skeleton import BONES, REST_OFFSETS, forward_kinematics

Array = npt.NDArray[Any]

_LARGEST = 8 * 2**30  # bytes that the arrays of one file may unpack to: a day of dance
LOWEST_RATE, HIGHEST_RATE = 1.0, 1000.0
"""Frames per second that a file may have."""
FARTHEST = 1e6
"""The largest number of a pose that is one, in whatever unit."""
_SPARSEST = 1000  # frames between two key frames, on average, in a file of more than an hour
_HOUR = 3600 * 30  # frames
_DAY = 24 * 3600 * 240
_BARS = ("beat_in_bar", "beats_per_bar", "bar_confidence")
_BLOCK = 4096  # frames that are computed at once


@dataclass(frozen=True)
class Dance:
    """A finished dance; frame i is the pose for i / ``fps`` seconds of the audio.

    Attributes:
        fps: frames per second.
        rotations: (T, 22, 4) float32 local unit quaternions xyzw.
        root: (T, 3) float32 world position of the hips, metres.
        contacts: (T, 2) bool, left and right foot planted.
        beats: (N,) seconds of the audio.
        bpm: median tempo, 0 where there was no beat.
        marks: (seconds, text) of the performer's markers.
        offsets: (22, 3) float32 metres, rest offsets of the body that dances; see ``skeleton.REST_OFFSETS``.
        beat_in_bar: (N,) int of each beat, 0 for the downbeat; empty where it is not known, as the next two.
        beats_per_bar: (N,) int.
        bar_confidence: (N,) in [0, 1].
    """

    fps: float
    rotations: Array
    root: Array
    contacts: Array
    beats: Array = field(default_factory=lambda: np.zeros(0))
    bpm: float = 0.0
    marks: tuple[tuple[float, str], ...] = ()
    offsets: Array = field(default_factory=lambda: REST_OFFSETS)
    beat_in_bar: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int8))
    beats_per_bar: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int8))
    bar_confidence: Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.root)

    @property
    def positions(self) -> npt.NDArray[np.float32]:
        """(T, 22, 3) world positions of the joints, metres."""
        return forward_kinematics(np.asarray(self.rotations), np.asarray(self.root), self.offsets)[0]


def write_dance(path: Path, dance: Dance) -> None:
    """Write a dance, block by block: the arrays may be memory maps that are larger than the memory.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, Array] = {
        "fps": np.array(dance.fps),
        "joint_names": np.array(BONES),
        "rotations": dance.rotations,
        "root": dance.root,
        "contacts": dance.contacts,
        "beats": np.asarray(dance.beats, dtype=np.float64),
        "bpm": np.array(float(dance.bpm)),
    }
    if len(dance.beat_in_bar):
        arrays |= {name: getattr(dance, name) for name in _BARS}
    if dance.marks:
        arrays["marks"] = np.array([time for time, _ in dance.marks])
        arrays["mark_texts"] = np.array([text for _, text in dance.marks])
    if not np.array_equal(dance.offsets, REST_OFFSETS):
        arrays["offsets"] = np.asarray(dance.offsets, dtype=np.float32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_header(member, array.shape, array.dtype)
                for first in range(0, len(array) if array.ndim else 1, _BLOCK):
                    block = array[first : first + _BLOCK] if array.ndim else array
                    member.write(np.ascontiguousarray(block).tobytes())
        with archive.open("positions.npy", "w", force_zip64=True) as member:
            _write_header(member, (len(dance), len(BONES), 3), np.dtype(np.float32))
            for first in range(0, len(dance), _BLOCK):
                part = slice(first, first + _BLOCK)
                places, _ = forward_kinematics(dance.rotations[part], dance.root[part], dance.offsets)
                member.write(places.astype("<f4").tobytes())


def _write_header(member: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)


def read_arrays(path: Path) -> dict[str, Array]:
    """Read all arrays of an ``.npz`` file, none of which may hold objects.

    Raises:
        InputError: there is no such file, it is damaged, or it unpacks to more than a day of dance.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise InputError(f"{path}: unpacks to {size / 2**30:.0f} GiB, which no dance does")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InputError(f"{path}: not an .npz file, or damaged ({error})") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({reason(error)})") from None


def frame_rate(path: Path, fps: Array) -> float:
    """Return the frames per second that a file states.

    Raises:
        InputError: it is not one number from LOWEST_RATE to HIGHEST_RATE.
    """
    if fps.shape != () or fps.dtype.kind not in "iuf" or not LOWEST_RATE <= float(fps) <= HIGHEST_RATE:
        raise InputError(f"{path}: fps is not a number from {LOWEST_RATE:g} to {HIGHEST_RATE:g}")
    return float(fps)


def check_frames(path: Path, name: str, frames: Array, shape: tuple[int, ...]) -> None:
    """Raise ``InputError`` where ``frames`` are not finite numbers of ``shape`` for every frame, or far too large."""
    if frames.dtype.kind not in "iuf" or frames.ndim == 0 or frames.shape[1:] != shape:
        wanted = ", ".join(["frames" if shape else "N", *map(str, shape)])
        raise InputError(f"{path}: {name} are no numbers of shape ({wanted})")
    if not np.isfinite(frames).all():
        raise InputError(f"{path}: {name} are not all finite")
    if len(frames) and max(float(frames.max()), -float(frames.min())) > FARTHEST:
        raise InputError(f"{path}: numbers of {name} exceed {FARTHEST:g}")


def check_poses(path: Path, rotations: Array, root: Array) -> None:
    """Raise ``InputError`` where rotations (T, 22, 4) and hips (T, 3) of a file are no poses."""
    check_frames(path, "rotations", rotations, (len(BONES), 4))
    check_frames(path, "root", root, (3,))
    if len(rotations) and np.linalg.norm(rotations, axis=-1).min() < 1e-6:
        raise InputError(f"{path}: a rotation has no direction")


def check_length(frames: int, keys: int) -> None:
    """Raise ``ValueError`` where a file of so few ``keys`` would be so many ``frames`` that it must be damaged."""
    if frames > min(max(_HOUR, _SPARSEST * keys), _DAY):
        raise ValueError(f"{keys} key frames last {frames} frames")


def read_dance(path: Path) -> Dance:
    """Read what :func:`write_dance` wrote.

    Raises:
        InputError: there is no such file, or it is of another kind; the message is one line.
    """
    arrays = read_arrays(path)
    missing = {"fps", "joint_names", "rotations", "root"} - set(arrays)
    if missing:
        raise InputError(f"{path}: not a dance, it lacks {', '.join(sorted(missing))}")
    if tuple(arrays["joint_names"].reshape(-1).tolist()) != BONES:
        raise InputError(f"{path}: the joints are not those of this skeleton")
    rotations, root = arrays["rotations"], arrays["root"]
    check_poses(path, rotations, root)
    contacts = arrays.get("contacts", np.zeros((len(root), 2), dtype=bool))
    if contacts.dtype.kind not in "biuf" or contacts.ndim != 2 or contacts.shape[1] != 2:
        raise InputError(f"{path}: contacts are no truth values of shape (frames, 2)")
    if not len(rotations) == len(root) == len(contacts) or not len(root):
        raise InputError(f"{path}: rotations, root and contacts are not of one length above 0")
    lengths = np.linalg.norm(rotations, axis=-1, keepdims=True)
    offsets = arrays.get("offsets", REST_OFFSETS)
    check_frames(path, "offsets", offsets, (3,))
    if len(offsets) != len(BONES):
        raise InputError(f"{path}: offsets are not of {len(BONES)} joints")
    beats = arrays.get("beats", np.zeros(0)).reshape(-1)
    bpm = arrays.get("bpm", np.zeros(()))
    if bpm.shape != () or bpm.dtype.kind not in "iuf" or not 0.0 <= float(bpm) < math.inf:
        raise InputError(f"{path}: bpm is not a number of 0 or more")
    known = beats.dtype.kind in "iuf" and np.isfinite(beats).all()
    bars = {name: arrays[name] for name in _BARS if name in arrays} if known else {}
    if any(values.shape != beats.shape or values.dtype.kind not in "iuf" for values in bars.values()):
        raise InputError(f"{path}: {', '.join(bars)} are not numbers, one for each beat")
    return Dance(
        frame_rate(path, arrays["fps"]),
        (rotations / lengths).astype(np.float32),
        root.astype(np.float32),
        contacts.astype(bool),
        beats[np.isfinite(beats)] if beats.dtype.kind in "iuf" else np.zeros(0),
        float(bpm),
        _marks(path, arrays),
        offsets.astype(np.float32),
        **(bars if len(bars) == len(_BARS) else {}),
    )


def _marks(path: Path, arrays: dict[str, Array]) -> tuple[tuple[float, str], ...]:
    """Return (seconds, text) of the markers; ``InputError`` where they are anything else."""
    marks, texts = arrays.get("marks", np.zeros(0)), arrays.get("mark_texts", np.zeros(0, dtype=str))
    if marks.dtype.kind not in "iuf" or texts.dtype.kind != "U" or marks.ndim != 1 or marks.shape != texts.shape:
        raise InputError(f"{path}: marks and mark_texts are not numbers, each with a text")
    return tuple(zip(marks.astype(float).tolist(), texts.tolist(), strict=True))
