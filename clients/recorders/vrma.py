"""VRM animation (``.vrma``): a glTF binary that any VRM avatar plays.

The extension ``VRMC_vrm_animation`` 1.0 names the nodes of a humanoid; their channels are an ordinary glTF animation.
Our T-pose faces +Z in a right-handed space with Y up, in metres, as glTF's does, so rotations go in as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError
from dancerev.model import rotation
from dancerev.model.dance_file import FARTHEST, Dance, check_length
from dancerev.model.skeleton import BONES, PARENTS, REST_OFFSETS

from ..gltf import DAMAGE, read_accessor, read_glb

Array = npt.NDArray[Any]

EXTENSION = "VRMC_vrm_animation"


def bone_name(bone: str) -> str:
    """Return VRM's name of one of our bones: ``LeftUpperArm`` is ``leftUpperArm``."""
    return bone[0].lower() + bone[1:]


def write_vrma(path: Path, dance: Dance) -> None:
    """Write a dance.

    Raises:
        OSError: the file cannot be written.
    """
    import pygltflib as gltf

    times = (np.arange(len(dance)) / dance.fps).astype("<f4")
    tracks: list[tuple[Array, str]] = [(times, "SCALAR"), (np.asarray(dance.root, "<f4"), "VEC3")]
    tracks += [(np.ascontiguousarray(dance.rotations[:, bone], "<f4"), "VEC4") for bone in range(len(BONES))]
    file = gltf.GLTF2(asset=gltf.Asset(version="2.0", generator="dancerev"))
    at = 0
    for index, (values, kind) in enumerate(tracks):
        limits = {"min": [float(values.min())], "max": [float(values.max())]} if kind == "SCALAR" else {}
        file.bufferViews.append(gltf.BufferView(buffer=0, byteOffset=at, byteLength=values.nbytes))
        file.accessors.append(
            gltf.Accessor(bufferView=index, componentType=gltf.FLOAT, count=len(values), type=kind, **limits)
        )
        at += values.nbytes
    file.buffers = [gltf.Buffer(byteLength=at)]
    file.nodes = [
        gltf.Node(
            name=bone,
            translation=dance.offsets[index].tolist(),
            children=[child for child, parent in enumerate(PARENTS) if parent == index],
        )
        for index, bone in enumerate(BONES)
    ]
    targets = [(0, "translation"), *((bone, "rotation") for bone in range(len(BONES)))]
    file.animations = [
        gltf.Animation(
            name="dance",
            samplers=[
                gltf.AnimationSampler(input=0, output=index + 1, interpolation="LINEAR")
                for index in range(len(targets))
            ],
            channels=[
                gltf.AnimationChannel(sampler=index, target=gltf.AnimationChannelTarget(node=node, path=what))
                for index, (node, what) in enumerate(targets)
            ],
        )
    ]
    file.scenes, file.scene = [gltf.Scene(nodes=[0])], 0
    file.extensionsUsed = [EXTENSION]
    bones = {bone_name(bone): {"node": index} for index, bone in enumerate(BONES)}
    file.extensions = {EXTENSION: {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    file.set_binary_blob(b"".join(values.tobytes() for values, _ in tracks))
    path.write_bytes(b"".join(file.save_to_bytes()))


def read_vrma(path: Path) -> Dance:
    """Read the body of a VRM animation, whatever its skeleton's size and the rotations of its T-pose.

    Raises:
        InputError: it is not a VRM animation with a humanoid.
    """
    try:
        content, blob = read_glb(path)
        return _dance(content, blob)
    except DAMAGE as error:
        raise InputError(f"{path}: not a VRM animation that can be read ({error})") from None


def _dance(content: dict[str, Any], blob: bytes) -> Dance:
    nodes, animation = content["nodes"], content["animations"][0]
    bones = content["extensions"][EXTENSION]["humanoid"]["humanBones"]
    channels = {(c["target"].get("node"), c["target"]["path"]): c["sampler"] for c in animation["channels"]}
    tracks = {key: _track(content, blob, animation["samplers"][sampler]) for key, sampler in channels.items()}
    times = max((track[0] for track in tracks.values()), key=len)
    if len(times) > 1 and times[-1] <= max(times[0], 0.0):
        raise ValueError("its key frames are all at one time, or before the start")
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0 / 30.0
    fps = float(min(max(round(1.0 / max(step, 1e-3)), 1), 240))
    count = round(float(times[-1]) * fps) + 1
    check_length(count, len(times))
    grid = np.arange(count) / fps
    parents = {child: index for index, node in enumerate(nodes) for child in node.get("children", ())}
    rest = [_rest_rotation(nodes, parents, index) for index in range(len(nodes))]
    rotations = np.tile(rotation.IDENTITY.astype(float), (count, len(BONES), 1))
    for index, bone in enumerate(BONES):
        node = bones.get(bone_name(bone), {}).get("node")
        if (node, "rotation") in tracks:
            above = rest[parents[node]] if node in parents else rotation.IDENTITY
            local = _sample(*tracks[node, "rotation"], grid)
            rotations[:, index] = rotation.multiply(rotation.multiply(above, local), rotation.conjugate(rest[node]))
    hips = bones["hips"]["node"]
    height = _rest_height(nodes, parents, hips)
    root = np.tile(REST_OFFSETS[0].astype(float), (count, 1))
    if (hips, "translation") in tracks:
        moved = _sample(*tracks[hips, "translation"], grid)
        root = moved * (REST_OFFSETS[0, 1] / height if height > 0.01 else 1.0)
    if not (np.isfinite(rotations).all() and (np.abs(root) < FARTHEST).all()):
        raise ValueError("a value is not finite, or far too large")
    contacts = np.zeros((count, 2), dtype=bool)
    return Dance(fps, rotation.normalize(rotations).astype(np.float32), root.astype(np.float32), contacts)


def _track(content: dict[str, Any], blob: bytes, sampler: dict[str, Any]) -> tuple[Array, Array]:
    """Return times (N,) and values (N, k) of an animation sampler; of cubic splines without the tangents."""
    times, values = (read_accessor(content, blob, sampler[end]) for end in ("input", "output"))
    if sampler.get("interpolation") == "CUBICSPLINE":
        values = values[1::3]
    if not len(times) or len(times) != len(values) or not np.isfinite(times).all() or (np.diff(times[:, 0]) < 0).any():
        raise ValueError("a track's times are not as many as its values, or do not rise")
    return times[:, 0], _bounded(values)


def _bounded(numbers: Any) -> Array:
    """Return numbers of a file as an array; ``ValueError`` where one is not finite, or far too large."""
    array = np.array(numbers, dtype=float)
    if not (np.abs(array) < FARTHEST).all():
        raise ValueError("a number is not finite, or far too large")
    return array


def _sample(times: Array, values: Array, grid: Array) -> Array:
    """(len(grid), k): linear between keys; quaternions on the shorter way, normalised."""
    index = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, max(len(times) - 2, 0))
    following = np.minimum(index + 1, len(times) - 1)
    span = np.maximum(times[following] - times[index], 1e-9)
    share = np.clip((grid - times[index]) / span, 0.0, 1.0)[:, None]
    start, end = values[index], values[following]
    if values.shape[1] == 4:
        return rotation.slerp(rotation.normalize(start), rotation.normalize(end), share[:, 0])
    return start + share * (end - start)


def _rest_rotation(nodes: list[dict[str, Any]], parents: dict[int, int], node: int) -> Array:
    """World rotation (4,) of a node in the T-pose."""
    turned, seen = rotation.IDENTITY.astype(float), 0
    while True:
        local = rotation.normalize(_bounded(nodes[node].get("rotation", (0.0, 0.0, 0.0, 1.0))))
        turned = rotation.multiply(local, turned)
        seen += 1
        if node not in parents or seen > len(nodes):
            return turned
        node = parents[node]


def _rest_height(nodes: list[dict[str, Any]], parents: dict[int, int], node: int) -> float:
    """Metres of a node above the origin in the T-pose, its ancestors unturned."""
    height, seen = 0.0, 0
    while True:
        height += float(_bounded(nodes[node].get("translation", (0.0, 0.0, 0.0)))[1])
        seen += 1
        if node not in parents or seen > len(nodes):
            return height
        node = parents[node]
