"""The step graph in fewer bits, and what that costs and gains: ``dancerev-export MODEL --compare``.

``fp16`` computes in half precision where the provider can. ``int8`` stores the weights of the decoder's large matrix
products in 8 bits, with one scale for each output, and quantises their inputs dynamically. Everything that leads to the
sampling of a code stays in fp32, so the same input samples the same code. In a show the input differs soon: the prior
reads where the dancer stands, and bodies that differ by millimetres stand elsewhere. The same seed therefore gives a
different dance in each precision after some seconds. Inputs, outputs and state stay in fp32 too, so every variant runs
wherever fp32 does. ``dancerev-generate --model`` and ``dancerev-evaluate`` show whether the dance suffers.
"""

from __future__ import annotations

import logging
import tempfile
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from rich.table import Table

from dancerev.command_line import progress
from dancerev.errors import ModelError
from dancerev.model import rotation
from dancerev.model.pose import FRAME_RATE, HEIGHT, ROTATIONS, rest_vector
from dancerev.model.skeleton import BONES, forward_kinematics
from dancerev.model.step_format import INPUTS, METADATA_KEY, PRECISIONS
from dancerev.realtime.dance_model import DanceModel, model_path

from .parity import Array, StepSession, demo_features

_DEMO_FRAMES = 1170  # the whole demo track
_PACED_FRAMES = 225  # 15 s

_LARGE = 1 << 16  # numbers in a weight: smaller products cost less than to quantise what they are multiplied with


def read_model(model: str) -> onnx.ModelProto:
    """Return the step graph of a bundled model by its name, or of an exported file.

    Raises:
        ModelError: no such file, or one of another kind; one line.
    """
    path = model_path(model)
    try:
        graph = onnx.load(path)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf's and the checker's own exceptions share no base but this
        why = textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" …")
        raise ModelError(f"{path}: damaged, or not an ONNX file ({why})") from error
    if METADATA_KEY not in {property.key for property in graph.metadata_props}:
        raise ModelError(f"{path}: an ONNX file, but not one of dancerev-export")
    return graph


def precision_of(model: onnx.ModelProto) -> str:
    """Which of :data:`PRECISIONS` a step graph is in, by the type of its weights."""
    types = {weight.data_type for weight in model.graph.initializer}
    if onnx.TensorProto.INT8 in types:
        return "int8"
    return "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32"


def in_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Return a copy of an fp32 step graph in one of :data:`PRECISIONS`.

    Raises:
        ModelError: the graph is in another precision: what is lost does not come back, nor fit a second loss.
    """
    if (found := precision_of(model)) != "fp32":
        raise ModelError(f"the model is in {found}; a precision is made of one in fp32 alone")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if precision == "fp16":
        return _in_fp16(copy)
    return _in_int8(copy) if precision == "int8" else copy


def _in_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers too small or too large for it: the mask of unheard frames
        half = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()
    return half.model


def _in_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    choosing = _leading_to(model.graph, "ArgMax")
    sizes = {x.name: int(np.prod(x.dims)) for x in model.graph.initializer}
    # The quantiser stumbles over shapes that are noted for weights, and takes a Gemm for the MatMul it makes of it.
    noted = [x for x in model.graph.value_info if x.name not in sizes]
    del model.graph.value_info[:]
    model.graph.value_info.extend(noted)
    large = [
        node.name + ("_MatMul" if node.op_type == "Gemm" else "")
        for node in model.graph.node
        if node.op_type in ("Gemm", "MatMul")
        and any(sizes.get(name, 0) >= _LARGE for name in node.input)
        and node.name not in choosing
    ]
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        logging.disable(logging.WARNING)  # it advises steps that the exporter has taken
        try:
            quantize_dynamic(
                before,
                after,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=large,
                per_channel=True,
                reduce_range=True,  # seven bits: with eight, sums overflow on processors without VNNI
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(after)


def _leading_to(graph: onnx.GraphProto, operator: str) -> set[str]:
    """Names of the nodes on which an ``operator`` depends."""
    made_by = {name: node for node in graph.node for name in node.output}
    ahead = [node for node in graph.node if node.op_type == operator]
    found: set[str] = set()
    while ahead:
        for name in ahead.pop().input:
            node = made_by.get(name)
            if node is not None and node.name not in found:
                found.add(node.name)
                ahead.append(node)
    return found


def bodies(vectors: Array) -> npt.NDArray[Any]:
    """(T, 22, 3) the joints in metres that pose vectors (T, POSE_SIZE) stand for, where and as they face."""
    rotations = rotation.from_6d(vectors[:, ROTATIONS].reshape(len(vectors), len(BONES), 6))
    root = np.zeros((len(vectors), 3))
    root[:, 1] = vectors[:, HEIGHT.start]
    return forward_kinematics(rotations, root)[0]


def _code_table(session: StepSession) -> Array:
    """(codes, code size) the code that each index of the noise stands for."""
    table = []
    for index in range(session.zeros["noise"].shape[1]):
        noise = np.zeros_like(session.zeros["noise"])
        noise[:, index] = 1e6
        table.append(session.step(session.zeros | {"noise": noise})[1]["code"][0])
    return np.array(table)


def difference(reference: Path, other: Path, features: Array, seed: int = 0) -> dict[str, float]:
    """How far ``other`` parts from ``reference`` over (T, FEATURE_SIZE) music.

    ``reference`` dances freely. ``other`` is given its poses and its codes, but hears and remembers for itself. Both
    are told throughout that they stand in the middle of the stage, so that what they draw from differs in nothing
    else; on stage it differs in that as well.

    Returns:
        ``mean_mm`` and ``max_mm``, of a joint in a pose; and ``other_draws``, the share of frames in which it would
        have drawn another code than ``reference`` did from the same noise (codes are drawn at some frames only).
    """
    theirs, ours = StepSession(reference), StepSession(other)
    table = _code_table(theirs)
    rng = np.random.default_rng(seed)
    style = np.full_like(theirs.zeros["style"], 1.0 / theirs.zeros["style"].shape[1])
    state = {name: theirs.zeros[name] for name in theirs.state} | {"pose": rest_vector()[None]}
    own = dict(state)
    poses, others, other_draws = [], [], 0
    for heard in features:
        noise = rng.gumbel(size=theirs.zeros["noise"].shape).astype(np.float32)
        # All controls are 0 but for the style: what is not told is in the middle of the stage and faces no audience.
        arrays = {name: theirs.zeros[name] for name in INPUTS if name in theirs.zeros}
        arrays |= {"features": heard[None], "style": style, "noise": noise}
        own["pose"] = state["pose"]
        _, drawn = ours.step(arrays | own)
        pose, state = theirs.step(arrays | state)
        other_draws += int(np.abs(drawn["code"] - state["code"]).max() > 1e-3)
        index = int(np.abs(table - state["code"]).sum(axis=1).argmin())
        forced = arrays | {"noise": 1e6 * (np.arange(len(table)) == index).astype(np.float32)[None]}
        other_pose, own = ours.step(forced | own)
        poses.append(pose[0])
        others.append(other_pose[0])
    apart = 1000.0 * np.linalg.norm(bodies(np.array(poses)) - bodies(np.array(others)), axis=-1)
    return {"mean_mm": float(apart.mean()), "max_mm": float(apart.max()), "other_draws": other_draws / len(features)}


def times(models: list[Path], features: Array, paced: bool) -> list[npt.NDArray[np.float64]]:
    """(T,) milliseconds of every step of each model, taking turns frame by frame, at 15 Hz or back to back."""
    sessions = [DanceModel(str(path)) for path in models]
    rng = np.random.default_rng(0)
    spent: list[list[float]] = [[] for _ in models]
    due = time.perf_counter()
    for k, heard in enumerate(features):
        due += 1.0 / FRAME_RATE
        if paced:
            time.sleep(max(0.0, due - time.perf_counter()))
        noise = rng.gumbel(size=sessions[0].codes)
        for i in np.roll(np.arange(len(models)), k):
            began = time.perf_counter()
            sessions[i].step(heard, np.zeros(len(sessions[i].styles)), np.zeros(2), np.zeros(2), 0.0, 0.0, noise)
            spent[i].append(1000.0 * (time.perf_counter() - began))
    return [np.array(each) for each in spent]


def print_comparison(model: str) -> None:
    """Print size, milliseconds a step and difference from fp32 of a model in every precision.

    Args:
        model: a bundled model by its name, or an exported file, in fp32.

    Raises:
        ModelError: no such model, or one in another precision.
    """
    table = Table(title="Precisions: ms a step paced at 15 Hz and back to back; difference from fp32")
    for column in ("", "MB", "paced\np50", "\np99", "unpaced\np50", "\np99", "mean\nmm", "max\nmm", "other\ndraws"):
        table.add_column(column, justify="right")
    graph = read_model(model)
    with tempfile.TemporaryDirectory() as folder, progress("comparing precisions"):
        features = demo_features(_DEMO_FRAMES)
        paths = [Path(folder) / f"{precision}.onnx" for precision in PRECISIONS]
        for precision, path in zip(PRECISIONS, paths, strict=True):
            onnx.save(in_precision(graph, precision), path)
        paced, unpaced = times(paths, features[:_PACED_FRAMES], True), times(paths, features, False)
        for precision, path, slow, fast in zip(PRECISIONS, paths, paced, unpaced, strict=True):
            apart = difference(paths[0], path, features)
            milliseconds = [f"{np.percentile(x, p):.2f}" for x in (slow, fast) for p in (50, 99)]
            table.add_row(
                precision,
                f"{path.stat().st_size / 1e6:.1f}",
                *milliseconds,
                f"{apart['mean_mm']:.1f}",
                f"{apart['max_mm']:.0f}",
                f"{apart['other_draws']:.2%}",
            )
    console = Console()
    (console if console.is_terminal else Console(width=80)).print(table)
    fastest = PRECISIONS[int(np.argmin([np.percentile(each, 50) for each in paced]))]
    console.print(f"fastest here: {fastest}, {1000.0 / FRAME_RATE:.1f} ms are available a frame", highlight=False)
