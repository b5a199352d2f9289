"""A MikuMikuDance model with the standard bones and our proportions, posed by a VMD file."""

import numpy as np
from mmd_bone_tools.vmd import load_vmd

from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS

ARM_ANGLE = np.deg2rad(35.0)
UNIT = 0.08  # metres

# bone: (parent, our joint that it turns about)
BONES_OF_MODEL = {
    "センター": (None, None),
    "下半身": ("センター", "Spine"),
    "上半身": ("センター", "Spine"),
    "上半身2": ("上半身", "Chest"),
    "首": ("上半身2", "Neck"),
    "頭": ("首", "Head"),
} | {
    f"{side}{name}": (parent.replace("*", side), f"{english}{bone}")
    for side, english in (("左", "Left"), ("右", "Right"))
    for name, parent, bone in (
        ("肩", "上半身2", "Shoulder"),
        ("腕", "*肩", "UpperArm"),
        ("ひじ", "*腕", "LowerArm"),
        ("手首", "*ひじ", "Hand"),
        ("足", "下半身", "UpperLeg"),
        ("ひざ", "*足", "LowerLeg"),
        ("足首", "*ひざ", "Foot"),
        ("足先EX", "*足首", "Toes"),
    )
}


def matrix(quaternion):
    """Rotation matrix (3, 3) of a quaternion xyzw, by the textbook."""
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rest_positions():
    """Joints (by our name) of the model at rest in its own space: facing −Z, arms in an A-pose; metres."""
    places = {}
    for bone, parent in zip(BONES, PARENTS, strict=True):
        offset = REST_OFFSETS[INDEX[bone]].astype(float) * [1, 1, -1]
        for side, sign in (("Left", -1.0), ("Right", 1.0)):
            if bone in (f"{side}LowerArm", f"{side}Hand"):
                c, s = np.cos(sign * ARM_ANGLE), np.sin(sign * ARM_ANGLE)
                offset = np.array([c * offset[0] - s * offset[1], s * offset[0] + c * offset[1], offset[2]])
        places[bone] = offset + (places[BONES[parent]] if parent >= 0 else 0.0)
    return places


def pose(path):
    """Joint positions {our name: (T, 3)} in metres in our space, of the model that dances a VMD file."""
    tracks = {}
    for frame in load_vmd(path).bones:
        tracks.setdefault(frame.name, {})[frame.frame] = frame
    rest = rest_positions()
    count = 1 + max(max(track) for track in tracks.values())
    shown = {joint: np.zeros((count, 3)) for _, joint in BONES_OF_MODEL.values() if joint}
    for index in range(count):
        turned, placed = {}, {}
        for name, (parent, joint) in BONES_OF_MODEL.items():
            frame = tracks[name][index]
            turn = matrix(np.array(frame.rotation))
            if parent is None:
                turned[name], placed[name] = turn, np.array(frame.position) * UNIT
                continue
            above = BONES_OF_MODEL[parent][1]
            offset = rest[joint] - (rest[above] if above else 0.0)
            placed[name] = placed[parent] + turned[parent] @ offset
            turned[name] = turned[parent] @ turn
            shown[joint][index] = placed[name] * [1, 1, -1]
    return shown
