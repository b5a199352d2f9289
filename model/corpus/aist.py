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


class _ArraysOnly(pickle.Unpickler):
    """A pickle may run any code when it is read; this one can only hold numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"):
            return super().find_class(module, name)
        raise CorpusError(f"holds {module}.{name}, not only arrays")


def read_motion(path: Path) -> Bvh:
    """The SMPL motion of one take, with SMPL's joint names.

    Raises:
        OSError: the file cannot be read.
        CorpusError: it is not an AIST++ motion file.
    """
    try:
        content = _ArraysOnly(io.BytesIO(path.read_bytes())).load()
        poses = np.asarray(content["smpl_poses"], dtype=np.float64)
        place = np.asarray(content["smpl_trans"], dtype=np.float64)
        scale = float(np.asarray(content["smpl_scaling"]).reshape(-1)[0])
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError, ValueError) as error:
        raise CorpusError(f"{path}: not an AIST++ motion ({error})") from None
    if poses.ndim != 2 or poses.shape[1] != 72 or place.shape != (len(poses), 3) or not scale > 0.0:
        raise CorpusError(f"{path}: not an AIST++ motion (poses {poses.shape}, places {place.shape})")
    if not (np.isfinite(poses).all() and np.isfinite(place).all()):
        raise CorpusError(f"{path}: a value is not finite")
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
    """What two takes have in common that show one and the same choreography: they belong in one split.

    Several dancers dance it, to several songs.
    """
    return re.sub(r"_c\w+?_d\d+_m\w+?_", "_", name)
