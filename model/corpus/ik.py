"""Two-bone inverse kinematics of the legs: the ankle goes where it is asked, the foot keeps its orientation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import rotation
from ..skeleton import INDEX, PARENTS, REST_OFFSETS, forward_kinematics

Array = npt.NDArray[Any]

_LEGS = tuple((INDEX[f"{side}UpperLeg"], INDEX[f"{side}LowerLeg"], INDEX[f"{side}Foot"]) for side in ("Left", "Right"))


def place_ankles(rotations: Array, root: Array, ankles: Array, feet: Array | None = None) -> Array:
    """Bends the legs until the ankles stand at given places; the knees stay in the plane they bend in.

    Args:
        rotations: (..., 22, 4) local unit quaternions xyzw.
        root: (..., 3) world position of the hips, metres.
        ankles: (..., 2, 3) wanted world positions of the left and right ankle; beyond reach, the leg is stretched.
        feet: (..., 2, 4) wanted global rotations of the feet; as they are when not given.

    Returns:
        (..., 22, 4) local rotations; only upper legs, lower legs and feet differ.
    """
    positions, globals_ = forward_kinematics(rotations, root)
    result = rotations.copy()
    for side, (upper, lower, foot) in enumerate(_LEGS):
        hip, knee, ankle = positions[..., upper, :], positions[..., lower, :], positions[..., foot, :]
        thigh = float(np.linalg.norm(REST_OFFSETS[lower]))
        shin = float(np.linalg.norm(REST_OFFSETS[foot]))
        reach = ankles[..., side, :] - hip
        length = np.linalg.norm(reach, axis=-1, keepdims=True)
        towards = reach / np.maximum(length, 1e-9)
        length = np.clip(length, abs(thigh - shin) + 1e-3, 0.999 * (thigh + shin))
        # First the whole leg is swung towards the target, then the knee is opened or closed in its own plane.
        swing = rotation.between(rotation.unit(ankle - hip), towards)
        swung = rotation.multiply(swing, globals_[..., upper, :])
        bend = rotation.rotate(swing, knee - hip)
        forward = rotation.rotate(swung, np.array([0.0, 0.0, 1.0]))
        # A nearly straight leg hardly shows its plane, so the thigh's own forward axis always has a say.
        pole = bend - _along(bend, towards) + 0.05 * (forward - _along(forward, towards))
        pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-9)
        along = (thigh**2 - shin**2 + length**2) / (2.0 * length)
        aside = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
        new_knee = hip + along * towards + aside * pole
        new_ankle = hip + length * towards
        new_upper = rotation.multiply(rotation.between(rotation.unit(bend), rotation.unit(new_knee - hip)), swung)
        shin_now = rotation.rotate(swing, ankle - knee)
        new_lower = rotation.multiply(
            rotation.between(rotation.unit(shin_now), rotation.unit(new_ankle - new_knee)),
            rotation.multiply(swing, globals_[..., lower, :]),
        )
        new_foot = globals_[..., foot, :] if feet is None else feet[..., side, :]
        above = globals_[..., PARENTS[upper], :]
        result[..., upper, :] = rotation.multiply(rotation.conjugate(above), new_upper)
        result[..., lower, :] = rotation.multiply(rotation.conjugate(new_upper), new_lower)
        result[..., foot, :] = rotation.multiply(rotation.conjugate(new_lower), new_foot)
    return rotation.normalize(result)


def _along(vector: Array, direction: Array) -> Array:
    return np.sum(vector * direction, axis=-1, keepdims=True) * direction
