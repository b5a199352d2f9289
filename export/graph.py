"""ONNX graphs of one step: traced from a module, proved against it, written complete or not at all."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from dancerev.errors import ModelError
from dancerev.model.step_format import DANCERS, METADATA_KEY
from dancerev.model.whole_file import write_whole


def trace(
    step: nn.Module,
    example: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, object],
    dancers_axes: Sequence[int] | None = None,
) -> onnx.ModelProto:
    """Return the graph of ``step``.

    Args:
        step: in evaluation mode.
        example: of its inputs.
        inputs: their names.
        outputs: names of what it returns.
        metadata: written into the graph as JSON.
        dancers_axes: of each input the axis along which the dancers are, which becomes a dimension by the name of
            :data:`~dancerev.model.step_format.DANCERS`; without it all shapes are those of ``example``.
    """
    dancers = torch.export.Dim(DANCERS, min=1, max=1024)
    shapes = None if dancers_axes is None else (tuple({axis: dancers} for axis in dancers_axes),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            tuple(example),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    model = program.model_proto  # a new one each time
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a checked graph, complete or not at all."""
    onnx.checker.check_model(model)
    write_whole(path, lambda partial: onnx.save(model, partial))


def save_proved(model: onnx.ModelProto, path: Path, difference: Callable[[Path], float], allowed: float) -> float:
    """Write a checked graph if it does what the network does.

    Args:
        model: to write.
        path: of the file.
        difference: returns by how much the graph in a file differs from the network.
        allowed: difference.

    Returns:
        The difference.

    Raises:
        ModelError: it is larger.
    """
    onnx.checker.check_model(model)
    found = math.nan

    def write(partial: Path) -> None:
        nonlocal found
        onnx.save(model, partial)
        found = difference(partial)
        if not found <= allowed:
            raise ModelError(f"{path}: the graph differs from the network by {found:.1e}")

    write_whole(path, write)
    return found
