"""Small VRM avatars made by code: a box about every bone, with proportions and rest rotations of their own."""

import json
import struct

import numpy as np

from dancerev.model import rotation
from dancerev.model.hands_and_face import FINGER_OFFSETS, FINGERS, finger_parent, vrm_bone
from dancerev.model.skeleton import BONES, PARENTS, REST_OFFSETS

OPTIONAL = ("Chest", "UpperChest", "Neck", "LeftShoulder", "RightShoulder", "LeftToes", "RightToes")

META_1 = {
    "name": "test",
    "version": "1",
    "authors": ["dancerev"],
    "licenseUrl": "https://vrm.dev/licenses/1.0/",
    "avatarPermission": "everyone",
    "allowExcessivelyViolentUsage": False,
    "allowExcessivelySexualUsage": False,
    "commercialUsage": "corporation",
    "allowPoliticalOrReligiousUsage": False,
    "allowAntisocialOrHateUsage": False,
    "creditNotation": "unnecessary",
    "allowRedistribution": True,
    "modification": "allowModification",
}


def joints_of(height=1.7, seed=0, missing=()):
    """World joints in the T-pose facing +Z: lengths differ by up to a fifth from bone to bone, alike left and right."""
    rng = np.random.default_rng(seed)
    factors = {}

    def factor(name):
        part = name.replace("Left", "").replace("Right", "")
        return factors.setdefault(part, rng.uniform(0.8, 1.2) if seed else 1.0)

    joints = {}
    for bone, name in enumerate(BONES):
        above = joints[BONES[PARENTS[bone]]] if bone else np.zeros(3)
        joints[name] = above + REST_OFFSETS[bone] * (factor(name) if bone else 1.0)
    for finger, name in enumerate(FINGERS):
        joints[name] = joints[finger_parent(finger)] + FINGER_OFFSETS[finger] * factor(name)
    # The soles stay on the floor.
    floor = joints["LeftToes"][1] - 0.015
    return {name: (p - (0.0, floor, 0.0)) * height / 1.7 for name, p in joints.items() if name not in missing}


def parent_of(name, joints):
    above = FINGERS.index(name) if name in FINGERS else None
    while True:
        if above is not None:
            name = finger_parent(above)
        else:
            parent = PARENTS[BONES.index(name)]
            if parent < 0:
                return None
            name = BONES[parent]
        if name in joints:
            return name
        above = FINGERS.index(name) if name in FINGERS else None


def write_vrm(path, version=1, height=1.7, seed=0, missing=(), waist=0.1):
    """Write the avatar; ``waist`` is the half width of the boxes of its trunk in metres. Returns its joints."""
    joints = joints_of(height, seed, missing)
    rng = np.random.default_rng(seed + 1)
    names = list(joints)
    face = np.array([-1.0, 1.0, -1.0]) if version == 0 else np.ones(3)
    turns = {n: rotation.IDENTITY if version == 0 else rotation.normalize(rng.normal(size=4)) for n in names}
    nodes, matrices = [], []
    for name in names:
        parent = parent_of(name, joints)
        offset = (joints[name] - (joints[parent] if parent else 0.0)) * face
        above = turns[parent] if parent else rotation.IDENTITY
        nodes.append(
            {
                "name": name,
                "translation": rotation.rotate(rotation.conjugate(above), offset).tolist(),
                "rotation": rotation.multiply(rotation.conjugate(above), turns[name]).tolist(),
                "children": [i for i, child in enumerate(names) if parent_of(child, joints) == name],
            }
        )
        matrix = np.eye(4)
        matrix[:3, :3] = rotation.to_matrix(turns[name])
        matrix[:3, 3] = joints[name] * face
        matrices.append(np.linalg.inv(matrix).T)
    for node in nodes:
        if not node["children"]:
            del node["children"]
    document, binary = _mesh(names, joints, face, np.array(matrices), height, waist)
    document["nodes"] = [*nodes, {"name": "body", "mesh": 0, "skin": 0}]
    document["scenes"] = [{"nodes": [names.index("Hips"), len(names)]}]
    bones = {vrm_bone(name, version): i for i, name in enumerate(names)}
    if version == 0:
        document["extensionsUsed"] = ["VRM"]
        human = [{"bone": bone, "node": node, "useDefaultValues": True} for bone, node in bones.items()]
        document["extensions"] = {
            "VRM": {
                "specVersion": "0.0",
                "meta": {"title": "test"},
                "humanoid": {"humanBones": human},
                "blendShapeMaster": {"blendShapeGroups": []},
                "secondaryAnimation": {},
                "materialProperties": [],
            }
        }
    else:
        document["extensionsUsed"] = ["VRMC_vrm"]
        human = {bone: {"node": node} for bone, node in bones.items()}
        document["extensions"] = {"VRMC_vrm": {"specVersion": "1.0", "meta": META_1, "humanoid": {"humanBones": human}}}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return joints


def _mesh(names, joints, face, inverses, height, waist):
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    sides = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    points, bones, triangles = [], [], []
    for i, name in enumerate(names):
        trunk = name in ("Hips", "Spine", "Chest", "UpperChest")
        size = np.array([waist, 0.06, 0.6 * waist]) if trunk else np.full(3, 0.01 if name in FINGERS else 0.035)
        start = len(points) * 8
        points.append((joints[name] * face) + corners * size * (1.0 if trunk else height / 1.7))
        bones.append(np.tile([i, 0, 0, 0], (8, 1)))
        triangles += [(start + a, start + b, start + c) for q in sides for a, b, c in (q[[0, 1, 2]], q[[0, 2, 3]])]
    points = np.concatenate(points).astype("<f4")
    weights = np.tile([1, 0, 0, 0], (len(points), 1)).astype("<f4")
    arrays = [
        (points, 5126, "VEC3"),
        (np.concatenate(bones).astype("<u2"), 5123, "VEC4"),
        (weights, 5126, "VEC4"),
        (np.array(triangles, dtype="<u2").ravel(), 5123, "SCALAR"),
        (inverses.astype("<f4").reshape(-1, 16), 5126, "MAT4"),
    ]
    binary, views, accessors = b"", [], []
    for array, kind, shape in arrays:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": kind, "type": shape, "count": len(array)})
        binary += array.tobytes() + b"\0" * (-array.nbytes % 4)
    accessors[0] |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
        "skins": [{"joints": list(range(len(names))), "inverseBindMatrices": 4}],
        "materials": [{"name": "plain", "pbrMetallicRoughness": {"baseColorFactor": [0.8, 0.5, 0.4, 1.0]}}],
        "meshes": [
            {
                "primitives": [
                    {"attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}, "indices": 3, "material": 0}
                ]
            }
        ],
    }
    return document, binary
