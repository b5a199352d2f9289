"""Names and rest shape of what a pose may carry beyond its 22 bones: fingers, and a face.

Finger bones carry Unity's HumanBodyBones names. Their rest pose is that of :mod:`~dancerev.model.skeleton`: a T-pose
with flat hands, palms down. VRM 1 has other names for the thumb (:func:`vrm_bone`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDES = ("Left", "Right")
DIGITS = ("Thumb", "Index", "Middle", "Ring", "Little")
SEGMENTS = ("Proximal", "Intermediate", "Distal")

FINGERS: tuple[str, ...] = tuple(
    f"{side}{digit}{segment}" for side in SIDES for digit in DIGITS for segment in SEGMENTS
)
"""The 30 finger bones, from the palm outwards, the left hand first."""

FACE: tuple[str, ...] = ("blink", "joy", "mouth", "gaze_yaw", "gaze_pitch")
"""What a face does: three weights from 0 to 1, and where the eyes look, radians to the dancer's left and upwards."""

BLINK, JOY, MOUTH, GAZE_YAW, GAZE_PITCH = range(len(FACE))

# Metres from the joint before, for the left hand: knuckle, then the two further joints.
_LEFT_DIGITS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "Thumb": ((0.025, -0.012, 0.024), (0.032, -0.008, 0.026), (0.026, -0.003, 0.016)),
    "Index": ((0.088, 0.0, 0.026), (0.038, 0.0, 0.003), (0.023, 0.0, 0.001)),
    "Middle": ((0.09, 0.002, 0.004), (0.042, 0.0, 0.0), (0.026, 0.0, 0.0)),
    "Ring": ((0.085, 0.0, -0.017), (0.038, 0.0, -0.002), (0.024, 0.0, -0.001)),
    "Little": ((0.077, -0.003, -0.035), (0.03, 0.0, -0.004), (0.018, 0.0, -0.002)),
}

FINGER_OFFSETS: npt.NDArray[np.float32] = np.array(
    [(x if side == "Left" else -x, y, z) for side in SIDES for digit in DIGITS for x, y, z in _LEFT_DIGITS[digit]],
    dtype=np.float32,
)
"""(30, 3) metres: each finger joint relative to the one before, or to the hand, in the T-pose."""

_THUMB_OF_VRM_1 = {"Proximal": "Metacarpal", "Intermediate": "Proximal", "Distal": "Distal"}


def finger_parent(finger: int) -> str:
    """Return the bone to which finger bone ``finger`` (index into :data:`FINGERS`) belongs."""
    side, segment = FINGERS[finger][: 4 if FINGERS[finger].startswith("Left") else 5], finger % len(SEGMENTS)
    return f"{side}Hand" if segment == 0 else FINGERS[finger - 1]


def vrm_bone(bone: str, version: int) -> str:
    """Return the name that VRM ``version`` (0 or 1) gives to a bone with Unity's name ``bone``."""
    if version == 1 and "Thumb" in bone:
        side, segment = bone.split("Thumb")
        bone = f"{side}Thumb{_THUMB_OF_VRM_1[segment]}"
    return bone[0].lower() + bone[1:]
