"""Bones that a source does not have, given the movement that they have in other takes.

The Unitree G1, on which some takes were published, has neither neck nor clavicles nor toes: its head is rigid on the
trunk and its soles are plates. A head that is part of the trunk looks at the floor whenever the dancer bends. In the
CMU takes of salsa, Indian and modern dance the head takes back .2 to .5 of the chest's sideways tilt and turns .25 of
a turn .15 s before the chest does (linear regression of the head's rotation against the chest; R² .1 to .3, the rest
is free). Clavicles move by less than .05 rad there and stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from .. import rotation
from ..skeleton import FEET, INDEX, TOE_HEIGHT, forward_kinematics
from .motion import Motion

Array = npt.NDArray[Any]

_STILL = 1e-3  # radians: a bone that turns less in a whole take is not part of the rig
_ROLL, _PITCH = 0.45, 0.5  # share of the chest's tilt that the head takes back; the pitch so that it looks ahead
_LEAD, _LEAD_SECONDS = 0.25, 0.15
_TO_AUDIENCE, _MOST_TURN = 0.5, 0.7  # share of the way to the audience that it turns, and the most, radians
_NECK = 0.4  # share of the neck in all of this
_MOST_BEND = 1.0  # radians, of the toes


def complete(motion: Motion) -> Motion:
    """Move the head and the toes of a take whose rig had none; the audience is towards +Z."""
    rotations = motion.rotations.copy()
    if _is_still(rotations[:, INDEX["Neck"]]) and _is_still(rotations[:, INDEX["Head"]]):
        rotations[:, INDEX["Neck"]], rotations[:, INDEX["Head"]] = _looking_ahead(motion)
    if all(_is_still(rotations[:, toe]) for _, toe in FEET):
        for ankle, toe in FEET:
            rotations[:, toe] = _bent_toes(motion, ankle, toe)
    return replace(motion, rotations=rotations)


def _is_still(bone: Array) -> bool:
    return float(2.0 * np.arccos(np.clip(np.abs(bone @ bone[0]), 0.0, 1.0)).max()) < _STILL


def _looking_ahead(motion: Motion) -> tuple[Array, Array]:
    """Local rotations (T, 4) of the neck and the head."""
    chest = forward_kinematics(motion.rotations, motion.root)[1][:, INDEX["UpperChest"]]
    heading = np.unwrap(rotation.yaw_of(chest))
    upright = rotation.multiply(rotation.from_yaw(-heading), chest)
    # The chest's tilt as a rotation vector: x is the pitch, z the roll.
    tilt = 2.0 * np.sign(upright[:, 3:]) * upright[:, :3]
    later = np.minimum(np.arange(len(heading)) + round(_LEAD_SECONDS * motion.fps), len(heading) - 1)
    away = np.arctan2(np.sin(heading), np.cos(heading))
    # One who has turned their back does not twist round to the audience.
    turn = np.clip(-_TO_AUDIENCE * away, -_MOST_TURN, _MOST_TURN) * np.clip(2.0 - np.abs(away) / (np.pi / 3), 0.0, 1.0)
    vector = np.stack([-_PITCH * tilt[:, 0], turn + _LEAD * (heading[later] - heading), -_ROLL * tilt[:, 2]], axis=-1)
    vector = gaussian_filter1d(vector, 0.1 * motion.fps, axis=0, mode="nearest")
    angle = np.linalg.norm(vector, axis=-1)
    axis = vector / np.maximum(angle, 1e-9)[:, None]
    return tuple(rotation.from_axis_angle(axis, share * angle) for share in (_NECK, 1.0 - _NECK))  # type: ignore[return-value]


def _bent_toes(motion: Motion, ankle: int, toe: int) -> Array:
    """Local rotations (T, 4) of toes that stay flat on the floor while the heel is up."""
    positions, globals_ = forward_kinematics(motion.rotations, motion.root)
    ahead = rotation.rotate(globals_[:, ankle], np.array([0.0, 0.0, 1.0]))
    pitch = np.clip(np.arcsin(np.clip(-ahead[:, 1], -1.0, 1.0)), 0.0, _MOST_BEND)
    on_floor = np.clip(2.0 - (positions[:, toe, 1] - TOE_HEIGHT) / 0.04, 0.0, 1.0)
    return rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), -pitch * on_floor)
