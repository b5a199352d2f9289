"""TensorRT engines of a step graph.

NVIDIA's builder needs the card that the engine is for; TensorRT-RTX's needs none and builds for consumer cards from
Ampere on.
Both are for programs that embed such a runtime. The show takes the graph itself and has ONNX Runtime build its own
engine (:mod:`dancerev.realtime.providers`).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import onnx

from dancerev.errors import ModelError, reason
from dancerev.model.step_format import DANCERS

BUILDERS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Kind of engine → the Python package that builds it."""

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name → type as numpy names it, and shape."""


def with_dancers(model: onnx.ModelProto, dancers: int) -> onnx.ModelProto:
    """Return a copy of a step graph whose shapes are all static.

    Raises:
        ModelError: the graph is for another number of dancers.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # inferred anew by whoever reads it
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == DANCERS:
                dimension.dim_value = dancers
    found = graph_tensors(fixed)["style"][1][0]
    if found != dancers:
        raise ModelError(f"the graph is for {found} dancers, not {dancers}; export it again")
    return fixed


def graph_tensors(model: onnx.ModelProto) -> Tensors:
    """Return inputs and outputs of a graph with static shapes."""
    tensors = {}
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        name = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        tensors[value.name] = (name, tuple(dimension.dim_value for dimension in kind.shape.dim))
    return tensors


def build_engine(kind: str, model: onnx.ModelProto, dancers: int = 1) -> bytes:
    """Return the engine of a step graph, for ``dancers`` dancers.

    Args:
        kind: one of :data:`BUILDERS`.
        model: the graph.
        dancers: in one step.

    Raises:
        ModelError: the builder is not installed, or finds no card and needs one, or cannot do it.
    """
    try:
        trt: Any = importlib.import_module(BUILDERS[kind])
    except (ImportError, OSError) as error:
        raise ModelError(f"{kind}: its Python package {BUILDERS[kind]} does not load ({reason(error)})") from None
    fixed = with_dancers(model, dancers)
    log = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(log)
    except (TypeError, RuntimeError):
        raise ModelError(f"{kind}: needs an NVIDIA card and its driver, found none") from None
    # As precise as the graph says, and no less: it holds what the parity was proven for.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(fixed.SerializeToString()):
        raise ModelError(f"{kind}: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    tensors += [network.get_output(i) for i in range(network.num_outputs)]
    taken = {x.name: (trt.nptype(x.dtype).__name__, tuple(x.shape)) for x in tensors}
    if taken != graph_tensors(fixed):
        raise ModelError(f"{kind}: read other inputs and outputs from the graph than it has")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(f"{kind}: the builder gave up")
    return bytes(engine)


def build_engines(path: Path, dancers: int = 1) -> tuple[list[Path], list[str]]:
    """Every kind of engine that can be built here, beside the graph in ``path``.

    Returns:
        the files, ``NAME.KIND.engine``, and for each kind that cannot be built the reason, in one line.

    Raises:
        ModelError: none can be built.
    """
    model = onnx.load(path)
    built, reasons = [], []
    for kind in BUILDERS:
        try:
            engine = build_engine(kind, model, dancers)
        except ModelError as error:
            reasons.append(str(error))
            continue
        file = path.with_suffix(f".{kind}.engine")
        file.write_bytes(engine)
        built.append(file)
    if not built:
        raise ModelError("; ".join(reasons))
    return built, reasons
