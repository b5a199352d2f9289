"""AIST++ (Li et al., ICCV 2021): SMPL motions at 60 frames per second with the songs they were danced to.

Expected as the data set is published: ``motions/*.pkl`` with ``smpl_poses`` (T, 72) axis-angle, ``smpl_trans``
(T, 3) and ``smpl_scaling`` (1,), and the songs as ``mBR0.wav`` … in any folder below. Motion and song begin
together. A take is named ``gBR_sBM_cAll_d04_mBR0_ch01``: genre, situation, camera, dancer, music, choreography.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError

from .. import rotation
from ..bvh import Bvh

Array = npt.NDArray[Any]

FPS = 60.0

GENRES = {
    "BR": "break", "PO": "pop", "LO": "lock", "WA": "waack", "MH": "middle-hiphop", "LH": "la-hiphop",
    "HO": "house", "KR": "krump", "JS": "street-jazz", "JB": "ballet-jazz",
}  # fmt: skip

# SMPL's joints with their parents, and offsets of an average adult in its T-pose, metres; only the length of the
# legs and the directions matter.
_JOINTS: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("Pelvis", -1, (0.0, 0.0, 0.0)),
    ("L_Hip", 0, (0.07, -0.09, 0.0)),
    ("R_Hip", 0, (-0.07, -0.09, 0.0)),
    ("Spine1", 0, (0.0, 0.11, -0.02)),
    ("L_Knee", 1, (0.0, -0.38, 0.0)),
    ("R_Knee", 2, (0.0, -0.38, 0.0)),
    ("Spine2", 3, (0.0, 0.135, 0.0)),
    ("L_Ankle", 4, (0.0, -0.40, -0.03)),
    ("R_Ankle", 5, (0.0, -0.40, -0.03)),
    ("Spine3", 6, (0.0, 0.055, 0.02)),
    ("L_Foot", 7, (0.0, -0.055, 0.12)),
    ("R_Foot", 8, (0.0, -0.055, 0.12)),
    ("Neck", 9, (0.0, 0.21, -0.03)),
    ("L_Collar", 9, (0.08, 0.11, -0.02)),
    ("R_Collar", 9, (-0.08, 0.11, -0.02)),
    ("Head", 12, (0.0, 0.09, 0.05)),
    ("L_Shoulder", 13, (0.10, 0.03, 0.0)),
    ("R_Shoulder", 14, (-0.10, 0.03, 0.0)),
    ("L_Elbow", 16, (0.26, 0.0, 0.0)),
    ("R_Elbow", 17, (-0.26, 0.0, 0.0)),
    ("L_Wrist", 18, (0.25, 0.0, 0.0)),
    ("R_Wrist", 19, (-0.25, 0.0, 0.0)),
    ("L_Hand", 20, (0.08, 0.0, 0.0)),
    ("R_Hand", 21, (-0.08, 0.0, 0.0)),
)


_NUMBERS = frozenset(kind + size for kind in "iuf" for size in "1248") - {"f1"}
_LARGEST = 256 * 2**20  # bytes of a motion file; AIST++'s have less than one MiB
_LONGEST = 3600.0  # seconds
_LARGEST_ANGLE, _FARTHEST = 1e3, 1e3  # radians, metres


class _Dtype:
    """What a pickled ``numpy.dtype`` becomes: plain numbers only."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in _NUMBERS:
            raise CorpusError(f"holds values of type {code!r}, not plain numbers")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def read(self, data: bytes | bytearray, shape: tuple[int, ...], order: str = "C") -> Array:
        values = np.frombuffer(bytes(data), np.dtype(self.order + self.code))
        return values.reshape(shape, order="F" if order == "F" else "C")


class _Array:
    """What a pickled ``numpy.ndarray`` becomes; ``values`` is the array."""

    values: Array

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.values = dtype.read(data, shape, "F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.values, dtype)


_CONSTRUCTORS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): lambda text, _: text.encode("latin-1"),
}
for _package in ("numpy.core", "numpy._core"):
    _CONSTRUCTORS[f"{_package}.multiarray", "_reconstruct"] = _Array
    _CONSTRUCTORS[f"{_package}.multiarray", "scalar"] = lambda dtype, data: dtype.read(data, (1,))
    _CONSTRUCTORS[f"{_package}.numeric", "_frombuffer"] = lambda data, dtype, shape, order: dtype.read(
        data, shape, order
    )


_DAMAGES = (
    pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError,
    RecursionError, ImportError,
)  # fmt: skip
"""What a damaged pickle may raise."""


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of plain arrays.

    A pickle may run any code when it is read, and NumPy's own constructors crash on damaged types. This one calls
    nothing but the stand-ins above.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CONSTRUCTORS:
            raise CorpusError(f"holds {module}.{name}, not only arrays")
        return _CONSTRUCTORS[module, name]

    def persistent_load(self, _: object) -> Any:
        raise CorpusError("refers to something outside of the file")


def read_ignored(folder: Path) -> frozenset[str]:
    """Return the names of takes that the publishers advise against (``ignore_list.txt``); empty without that file."""
    path = next(
        (path for path in (folder / "ignore_list.txt", folder / "motions/ignore_list.txt") if path.exists()), None
    )
    return frozenset() if path is None else frozenset(path.read_text(encoding="utf-8").split())


def read_motion(path: Path) -> Bvh:
    """Read the SMPL motion of one take, with SMPL's joint names.

    Raises:
        OSError: the file cannot be read.
        CorpusError: it is not an AIST++ motion file.
    """
    if path.stat().st_size > _LARGEST:
        raise CorpusError(f"{path}: larger than {_LARGEST // 2**20} MiB, which no AIST++ motion is")
    try:
        content = _ArraysOnly(io.BytesIO(path.read_bytes())).load()
        poses = np.asarray(content["smpl_poses"], dtype=np.float64)
        place = np.asarray(content["smpl_trans"], dtype=np.float64)
        scale = float(np.asarray(content["smpl_scaling"]).reshape(-1)[0])
    except _DAMAGES as error:
        raise CorpusError(f"{path}: not an AIST++ motion ({error})") from None
    if poses.ndim != 2 or poses.shape[1] != 72 or place.shape != (len(poses), 3) or not scale > 0.0:
        raise CorpusError(f"{path}: not an AIST++ motion (poses {poses.shape}, places {place.shape})")
    if not 0.0 < len(poses) / FPS <= _LONGEST:
        raise CorpusError(f"{path}: lasts {len(poses) / FPS:.0f} seconds")
    if not (np.isfinite(poses).all() and np.isfinite(place).all() and np.isfinite(place / scale).all()):
        raise CorpusError(f"{path}: a value is not finite")
    if np.abs(poses).max() > _LARGEST_ANGLE or np.abs(place / scale).max() > _FARTHEST:
        raise CorpusError(f"{path}: a value is beyond all measure")
    vectors = poses.reshape(len(poses), 24, 3)
    angles = np.linalg.norm(vectors, axis=-1)
    axes = vectors / np.maximum(angles, 1e-9)[..., None]
    return Bvh(
        tuple(name for name, _, _ in _JOINTS),
        tuple(parent for _, parent, _ in _JOINTS),
        np.array([offset for _, _, offset in _JOINTS]),
        rotation.normalize(rotation.from_axis_angle(axes, angles)),
        place / scale,
        1.0 / FPS,
    )


def describe(name: str) -> tuple[str, str, float]:
    """Genre, music and tempo of a take by its name.

    The songs of a genre are numbered by tempo: 80, 90 … 130 BPM; those of house 110, 115 … 135.

    Raises:
        CorpusError: the name is not one of AIST++'s.
    """
    match = re.fullmatch(r"g([A-Z]{2})_s\w+_c\w+_d\d+_m([A-Z]{2})(\d)_ch\d+", name)
    if match is None or match[1] not in GENRES:
        raise CorpusError(f"{name}: not the name of an AIST++ take")
    number = int(match[3])
    bpm = 110.0 + 5.0 * number if match[2] == "HO" else 80.0 + 10.0 * number
    return GENRES[match[1]], f"m{match[2]}{match[3]}", bpm


def dance_of(name: str) -> str:
    """Return what two takes have in common that show one and the same choreography: they belong in one split.

    Several dancers dance it, to several songs.
    """
    return re.sub(r"_c\w+?_d\d+_m\w+?_", "_", name)
