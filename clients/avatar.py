"""An avatar's own proportions, and the dance fitted to them.

A receiver that is sent the dancer's rotations alone shows them on legs of another length: feet slide, sink or hover.
:class:`AvatarRig` fits a pose to the joints of one avatar, whatever its size: planted feet stand on the floor and do
not move, bones that the avatar lacks are folded into those that it has, and arms stay outside a wide body.

:func:`read_vrm` reads the joints of a VRM 0 or VRM 1 file, and how wide its body is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError
from dancerev.model import rotation
from dancerev.model.dance_file import Dance
from dancerev.model.hands_and_face import FINGER_OFFSETS, FINGERS, finger_parent, vrm_bone
from dancerev.model.pose import Pose
from dancerev.model.skeleton import (
    ANKLE_HEIGHT,
    BONES,
    FEET,
    INDEX,
    PARENTS,
    REST_OFFSETS,
    TOE_HEIGHT,
    forward_kinematics,
)

from .gltf import DAMAGE, read_accessor, read_glb

Array = npt.NDArray[Any]

REQUIRED = (
    "Hips",
    "Spine",
    "Head",
    *(side + bone for side in ("Left", "Right") for bone in ("UpperArm", "LowerArm", "Hand")),
    *(side + bone for side in ("Left", "Right") for bone in ("UpperLeg", "LowerLeg", "Foot")),
)
"""Bones without which a VRM is not valid (VRM 1.0, humanoid; VRM 0 asks for Chest and Neck too)."""

_SPINE = ("Spine", "Chest", "UpperChest")
_LEGS = tuple(
    (INDEX[f"{side}UpperLeg"], INDEX[f"{side}LowerLeg"], INDEX[f"{side}Foot"], INDEX[f"{side}Toes"])
    for side in ("Left", "Right")
)
_ARMS = tuple((INDEX[f"{side}UpperArm"], INDEX[f"{side}LowerArm"], INDEX[f"{side}Hand"]) for side in ("Left", "Right"))
_LEG = float(np.linalg.norm(REST_OFFSETS[[_LEGS[0][1], _LEGS[0][2]]], axis=1).sum())
_LARGEST = 50.0  # metres from the origin: a joint beyond is a fault in the file
_ARM_RADIUS = 0.04  # metres of a dancer of 1.70 m between the bone and the skin of an arm
_STRAIGHT = 0.06  # of the thigh's length: a knee that is less far off the line from hip to ankle is nearly straight
_MOST_ABDUCTION = 0.7  # radians by which an arm is raised off a wide body


class AvatarRig:
    """The joints of one avatar, and how a pose is fitted to them.

    Attributes:
        joints: world positions (3,) in metres of the bones in the T-pose, which faces +Z on the floor y = 0.
        bones: indices into ``skeleton.BONES`` of the bones that the avatar has, rising.
        fingers: indices into ``hands_and_face.FINGERS`` of the finger bones that it has, rising.
        offsets: (22, 3) float32 metres, each joint relative to its parent's in the T-pose; zero for a missing
            bone, whose children are then relative to the bone above. Of the hips, their place.
        finger_offsets: (30, 3) float32 metres, likewise.
        scale: length of the avatar's legs, in legs of the dancer.
        torso: half width and half depth of the body's trunk in metres, (0, 0) where it is not known.
        version: of VRM, 0 or 1: which names its expressions have.
    """

    def __init__(
        self, joints: Mapping[str, Array], torso: tuple[float, float] = (0.0, 0.0), *, version: int = 1
    ) -> None:
        """Make a rig.

        Args:
            joints: for each bone (Unity's names) that the avatar has, its joint (3,) in the T-pose facing +Z, metres.
            torso: as the attribute.
            version: as the attribute.

        Raises:
            InputError: a required bone is missing, or the joints are no humanoid's.
        """
        _check({name: np.asarray(place) for name, place in joints.items()})
        self.joints = {name: np.asarray(place, dtype=np.float32) for name, place in joints.items()}
        self.torso, self.version = torso, version
        self.bones = [i for i, name in enumerate(BONES) if name in self.joints]
        self.fingers = [i for i, name in enumerate(FINGERS) if name in self.joints]
        self._above = [self._existing_parent(PARENTS[i]) for i in range(len(BONES))]
        self._sources = np.array([self._source(bone) for bone in range(len(BONES))])
        self.offsets = np.zeros_like(REST_OFFSETS)
        for bone in self.bones:
            above = self._above[bone]
            self.offsets[bone] = self._joint(bone) - (self._joint(above) if above >= 0 else 0.0)
        self._ankle = float(np.mean([self._joint(ankle)[1] for ankle, _ in FEET]))
        self._thighs = np.array([np.linalg.norm(self.offsets[lower]) for _, lower, _, _ in _LEGS])
        self._shins = np.array([np.linalg.norm(self.offsets[foot]) for _, _, foot, _ in _LEGS])
        self.scale = float((self._thighs + self._shins).mean()) / _LEG
        self.finger_offsets = self._offsets_of_fingers()
        # A foot without a toe bone still has a ball: the dancer's, in the avatar's size.
        foot = self._ankle / ANKLE_HEIGHT if self._ankle > 0.2 * ANKLE_HEIGHT * self.scale else self.scale
        self._balls = np.array(
            [self.offsets[toe] if toe in self.bones else foot * REST_OFFSETS[toe] for _, _, _, toe in _LEGS]
        )
        self._ball = float(self._ankle + self._balls[:, 1].mean())
        self._hip_joints = self.offsets[[leg[0] for leg in _LEGS]]

    def equals(self, other: AvatarRig) -> bool:
        """Whether both have the same joints, to a tenth of a millimetre, and the same trunk."""
        return (
            self.joints.keys() == other.joints.keys()
            and self.torso == other.torso
            and all(np.allclose(place, other.joints[name], atol=1e-4) for name, place in self.joints.items())
        )

    def fit(self, pose: Pose) -> Pose:
        """Return the pose for this avatar, to be shown with :attr:`offsets`; missing bones have identity rotations."""
        places, turns = forward_kinematics(pose.rotations, pose.root)
        turns = turns[self._sources]
        root, ankles = self._stand(places, turns, pose.contacts)
        for side, leg in enumerate(_LEGS):
            self._bend_leg(leg, side, root, ankles[side], turns)
        local = turns.copy()
        below = list(range(1, len(BONES)))
        local[below] = rotation.multiply(rotation.conjugate(turns[list(PARENTS[1:])]), turns[below])
        if self.torso[0] > 0.0:
            self._raise_arms(local, root)
        return replace(pose, rotations=local.astype(np.float32), root=root.astype(np.float32))

    def fit_dance(self, dance: Dance) -> Dance:
        """Return the dance for this avatar, frame by frame."""
        poses = [
            self.fit(Pose(i / dance.fps, dance.rotations[i], dance.root[i], dance.contacts[i].astype(np.float32)))
            for i in range(len(dance))
        ]
        rotations, root = np.array([p.rotations for p in poses]), np.array([p.root for p in poses])
        return replace(dance, rotations=rotations, root=root, offsets=self.offsets)

    def positions(self, fitted: Pose) -> Array:
        """(22, 3) world positions of the joints of what :meth:`fit` returned; a missing bone is where its parent is."""
        return forward_kinematics(fitted.rotations, fitted.root, self.offsets)[0]

    def _joint(self, bone: int) -> Array:
        return self.joints[BONES[bone]]

    def _existing_parent(self, bone: int) -> int:
        while bone >= 0 and BONES[bone] not in self.joints:
            bone = PARENTS[bone]
        return bone

    def _source(self, bone: int) -> int:
        """Return the bone of the dancer whose global rotation ``bone`` takes.

        The last bone of a short spine turns as the top of the dancer's does, so that shoulders and neck go along.
        A bone that is missing turns with the bone above.
        """
        if BONES[bone] not in self.joints:
            return self._source(self._existing_parent(bone)) if bone else 0
        if BONES[bone] in _SPINE:
            above = _SPINE[_SPINE.index(BONES[bone]) + 1 :]
            if not any(name in self.joints for name in above):
                return INDEX["UpperChest"]
            for name in above:
                if name in self.joints:
                    break
                bone = INDEX[name]
        return bone

    def _offsets_of_fingers(self) -> Array:
        offsets = FINGER_OFFSETS * self.scale
        for finger in self.fingers:
            above = finger_parent(finger)
            while above not in self.joints:
                above = finger_parent(FINGERS.index(above))
            offsets[finger] = self.joints[FINGERS[finger]] - self.joints[above]
        return offsets.astype(np.float32)

    def _stand(self, places: Array, turns: Array, contacts: Array) -> tuple[Array, Array]:
        """Where the hips and the two ankles (2, 3) go, so that feet stand as the dancer's do."""
        scale = self.scale
        ankles = np.empty((2, 3))
        for side, (_, _, foot, toe) in enumerate(_LEGS):
            x, y, z = places[toe].tolist()
            ball = np.array([scale * x, self._ball + scale * (y - TOE_HEIGHT), scale * z])
            ankle = ball - rotation.rotate(turns[foot], self._balls[side])
            sunk = max(self._ankle - ankle[1], self._ball - ball[1], 0.0)
            ankles[side] = ankle + (0.0, sunk, 0.0)
        between = 0.5 * (places[_LEGS[0][0]] + places[_LEGS[1][0]])
        between = np.array([scale * between[0], self._ankle + scale * (between[1] - ANKLE_HEIGHT), scale * between[2]])
        joints = rotation.rotate(turns[0], self._hip_joints)
        root = between - joints.mean(axis=0)
        return root - (0.0, self._missing(root + joints, ankles, contacts), 0.0), ankles

    def _missing(self, hips: Array, ankles: Array, contacts: Array) -> float:
        """Metres by which the hips come down for legs too short to reach a planted foot."""
        reach = 0.999 * (self._thighs + self._shins)
        aside = np.minimum(np.hypot(hips[:, 0] - ankles[:, 0], hips[:, 2] - ankles[:, 2]), 0.95 * reach)
        short = hips[:, 1] - ankles[:, 1] - np.sqrt(reach**2 - aside**2)
        return float(np.clip(short * np.clip(contacts, 0.0, 1.0), 0.0, 0.3 * reach).max())

    def _bend_leg(self, leg: tuple[int, int, int, int], side: int, root: Array, ankle: Array, turns: Array) -> None:
        """Two-bone inverse kinematics: turn the leg's bones in ``turns`` (global) so that its ankle is at ``ankle``."""
        upper, lower, _, _ = leg
        thigh, shin = float(self._thighs[side]), float(self._shins[side])
        hip = root + rotation.rotate(turns[0], self._hip_joints[side])
        knee = rotation.rotate(turns[upper], self.offsets[lower])
        end = knee + rotation.rotate(turns[lower], self.offsets[leg[2]])
        reach = ankle - hip
        length = float(np.linalg.norm(reach))
        towards = reach / max(length, 1e-6)
        length = min(max(length, abs(thigh - shin) + 1e-3), 0.999 * (thigh + shin))
        swing = rotation.between(end / max(float(np.linalg.norm(end)), 1e-6), towards)
        pole = _across(rotation.rotate(swing, knee), towards)
        # A nearly straight leg hardly shows which way its knee points: the thigh's own front then decides.
        straight = max(1.0 - float(np.linalg.norm(pole)) / (_STRAIGHT * thigh), 0.0)
        front = rotation.rotate(swing, rotation.rotate(turns[upper], np.array([0.0, 0.0, _STRAIGHT * thigh])))
        pole = pole + straight * _across(front, towards)
        pole /= max(float(np.linalg.norm(pole)), 1e-6)
        along = (thigh**2 - shin**2 + length**2) / (2.0 * length)
        new_knee = along * towards + np.sqrt(max(thigh**2 - along**2, 0.0)) * pole
        new_shin = length * towards - new_knee
        turns[lower] = rotation.multiply(_between(end - knee, new_shin), turns[lower])
        turns[upper] = rotation.multiply(_between(knee, new_knee), turns[upper])

    def _raise_arms(self, local: Array, root: Array) -> None:
        """Raise upper arms in ``local`` sideways until elbows and hands are outside an ellipse about the trunk."""
        for _ in range(2):  # the turn moves a point along an arc, so one correction is not exact
            places, turns = forward_kinematics(local.astype(np.float32), root.astype(np.float32), self.offsets)
            trunk = turns[INDEX["UpperChest"]]
            for side, (upper, lower, hand) in zip((1.0, -1.0), _ARMS, strict=True):
                points = rotation.rotate(rotation.conjugate(trunk), places[[upper, lower, hand]] - places[0])
                angle = self._abduction(points * (side, 1.0, 1.0))
                if angle <= 0.0:
                    continue
                turn = rotation.from_axis_angle(np.array([0.0, 0.0, side]), angle)
                turn = rotation.multiply(rotation.multiply(trunk, turn), rotation.conjugate(trunk))
                above = turns[PARENTS[upper]]
                local[upper] = rotation.multiply(
                    rotation.conjugate(above), rotation.multiply(turn, rotation.multiply(above, local[upper]))
                )

    def _abduction(self, points: Array) -> float:
        """Radians by which an arm with shoulder, elbow and hand ``points`` (3, 3) must be raised off the trunk."""
        width, depth = (extent + _ARM_RADIUS * self.scale for extent in self.torso)
        shoulder, most = points[0], 0.0
        for x, y, z in points[1:]:
            drop = shoulder[1] - y
            if drop <= 0.1 * width or y < -0.6 * width or abs(z) >= depth:
                continue
            edge = width * np.sqrt(1.0 - (z / depth) ** 2)
            if x < edge:
                most = max(most, np.arctan2(edge - shoulder[0], drop) - np.arctan2(x - shoulder[0], drop))
        return float(min(most, _MOST_ABDUCTION))


def _across(vector: Array, direction: Array) -> Array:
    """Return the part of ``vector`` at right angles to the unit vector ``direction``."""
    return vector - (vector @ direction) * direction


def _between(a: Array, b: Array) -> Array:
    """Return the shortest turn from the direction of ``a`` to that of ``b``."""
    return rotation.between(a / max(float(np.linalg.norm(a)), 1e-9), b / max(float(np.linalg.norm(b)), 1e-9))


def _check_bones(bones: Mapping[str, object]) -> None:
    if missing := [name for name in REQUIRED if name not in bones]:
        raise InputError(f"the avatar has no {', '.join(missing)}: it is not a humanoid")


def _check(joints: Mapping[str, Array]) -> None:
    _check_bones(joints)
    for name, place in joints.items():
        if place.shape != (3,) or not (np.abs(place) < _LARGEST).all():  # nor is a NaN
            raise InputError(f"the avatar's {name} is nowhere near its origin")
    for upper, lower, foot, _ in _LEGS:
        hip, knee, ankle = (joints[BONES[bone]] for bone in (upper, lower, foot))
        if min(float(np.linalg.norm(knee - hip)), float(np.linalg.norm(ankle - knee))) < 0.01 or hip[1] <= ankle[1]:
            raise InputError("the avatar does not stand upright on legs in its rest pose")


# --- Reading a file --------------------------------------------------------------------------------------------


def read_vrm(path: Path) -> AvatarRig:
    """Return the rig of the avatar in a ``.vrm`` file, version 0 or 1.

    Raises:
        InputError: it cannot be read, is not a VRM, or its rest pose is not a humanoid's.
    """
    try:
        document, binary = read_glb(path)
        version, nodes = _humanoid(document)
        world = _world_matrices(document)
        _check_bones(nodes)
        # The models of VRM 0 face -Z, those of VRM 1 +Z.
        turn = np.array([-1.0, 1.0, -1.0]) if version == 0 else np.ones(3)
        joints = {bone: world[node][:3, 3] * turn for bone, node in nodes.items()}
        torso = _torso(document, binary, world, nodes)
        return AvatarRig(joints, torso, version=version)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except DAMAGE:
        raise InputError(f"{path}: damaged, or not a VRM file") from None


def _humanoid(document: dict[str, Any]) -> tuple[int, dict[str, int]]:
    """Version of VRM, and the node of each bone and finger (Unity's names)."""
    extensions = document.get("extensions", {})
    if "VRMC_vrm" in extensions:
        version = 1
        named = {bone: entry["node"] for bone, entry in extensions["VRMC_vrm"]["humanoid"]["humanBones"].items()}
    elif "VRM" in extensions:
        version = 0
        named = {entry["bone"]: entry["node"] for entry in extensions["VRM"]["humanoid"]["humanBones"]}
    else:
        raise InputError("a glTF file without an avatar: it has no VRM extension")
    names = {vrm_bone(bone, version): bone for bone in (*BONES, *FINGERS, "LeftEye", "RightEye")}
    return version, {names[bone]: int(node) for bone, node in named.items() if bone in names}


def _world_matrices(document: dict[str, Any]) -> list[Array]:
    """(4, 4) matrix of each node, from its own space into the scene's."""
    nodes = document["nodes"]
    parents = {child: parent for parent, node in enumerate(nodes) for child in node.get("children", ())}
    world: dict[int, Array] = {}

    def matrix(index: int) -> Array:
        if index not in world:
            above = matrix(parents[index]) if index in parents else np.eye(4)
            world[index] = above @ _local_matrix(nodes[index])
        return world[index]

    return [matrix(index) for index in range(len(nodes))]


def _local_matrix(node: dict[str, Any]) -> Array:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    turn = rotation.normalize(np.array(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64))
    matrix[:3, :3] = rotation.to_matrix(turn) * np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def _torso(document: dict[str, Any], binary: bytes, world: list[Array], nodes: dict[str, int]) -> tuple[float, float]:
    """Half width and half depth in metres of what moves with the spine; (0, 0) where the mesh does not say."""
    trunk = {nodes[name] for name in ("Hips", *_SPINE) if name in nodes}
    centre = world[nodes["Hips"]][:3, 3]
    widths, depths = [0.0], [0.0]
    for node, mesh in ((i, n["mesh"]) for i, n in enumerate(document["nodes"]) if "mesh" in n):
        skin = document["nodes"][node].get("skin")
        for primitive in document["meshes"][mesh]["primitives"]:
            attributes = primitive["attributes"]
            if skin is None or "JOINTS_0" not in attributes or "extensions" in primitive:
                continue  # rigid parts belong to no bone; compressed meshes are not read
            joints = document["skins"][skin]["joints"]
            points = read_accessor(document, binary, attributes["POSITION"])
            weights = read_accessor(document, binary, attributes["WEIGHTS_0"])
            bones = np.array(joints)[read_accessor(document, binary, attributes["JOINTS_0"]).astype(np.intp)]
            heaviest = bones[np.arange(len(bones)), weights.argmax(axis=1)]
            inside = points[np.isin(heaviest, list(trunk))] - centre
            if len(inside):
                # Almost all of them: a bow or a tail that is weighted to the spine is not the body.
                widths.append(float(np.percentile(np.abs(inside[:, 0]), 95)))
                depths.append(float(np.percentile(np.abs(inside[:, 2]), 95)))
    return max(widths), max(depths)
