"""``dancerev-export``: a training checkpoint becomes one ONNX graph of one step, its state in and out by name."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import ModelError
from dancerev.model.features import FEATURE_NAMES, FEATURE_VERSION
from dancerev.model.network.checkpoint import load_checkpoint
from dancerev.model.network.dance_network import DanceNetwork, State
from dancerev.model.pose import FRAME_RATE, POSE_SIZE
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import DANCERS, FORMAT_VERSION, INPUTS, METADATA_KEY, POSE_OUTPUT, STATE

from .parity import prove, rest_vector
from .precision import PRECISIONS, in_precision, precision_of, read_model
from .tensorrt_engine import build_engines


class _Step(nn.Module):
    """:meth:`DanceNetwork.step` with the state spread out into tensors."""

    def __init__(self, network: DanceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        features, style, stage, noise, *state = inputs
        pose, new_state = self.network.step(features, style, stage, noise, State(*state))
        return (pose, *new_state)


def _dancers_axes(network: DanceNetwork) -> list[int]:
    """For every input of the step, the axis along which the dancers are."""
    one, two = (network.initial_state(rest_vector().repeat(dancers, 1)) for dancers in (1, 2))
    axes = [
        next(axis for axis in range(a.dim()) if a.shape[axis] != b.shape[axis]) for a, b in zip(one, two, strict=True)
    ]
    return [0] * len(INPUTS) + axes


def export_step(network: DanceNetwork, path: Path, licence: str = "unspecified") -> None:
    """Write the step graph of ``network``, for any number of dancers, with all that the stage must know as metadata.

    The number of dancers is a dimension by the name of :data:`~dancerev.model.step_format.DANCERS`. Whoever loads the
    graph gives it a value, so that all shapes are static when it runs.
    """
    config = network.config
    batch = 2  # an example of one would be taken for a constant
    state = network.initial_state(rest_vector().repeat(batch, 1))
    given = (
        torch.zeros(batch, len(FEATURE_NAMES)),
        torch.full((batch, len(config.styles)), 1.0 / len(config.styles)),
        torch.zeros(batch, 2),
        torch.zeros(batch, config.codes),
    )
    dancers = torch.export.Dim(DANCERS, min=1, max=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Step(network.eval()).eval(),
            (*given, *state),
            input_names=[*INPUTS, *STATE],
            output_names=[POSE_OUTPUT, *(f"new_{name}" for name in STATE)],
            dynamic_shapes=(tuple({axis: dancers} for axis in _dancers_axes(network)),),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    model = program.model_proto
    onnx.helper.set_model_props(
        model,
        {
            METADATA_KEY: json.dumps(
                {
                    "format_version": FORMAT_VERSION,
                    "feature_version": FEATURE_VERSION,
                    "features": FEATURE_NAMES,
                    "bones": BONES,
                    "pose_size": POSE_SIZE,
                    "frame_rate": FRAME_RATE,
                    "styles": config.styles,
                    "codes": config.codes,
                    "licence": licence,
                    "parameters": int(sum(p.numel() for p in network.parameters())),
                }
            )
        },
    )
    save(model, path)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a checked graph, complete or not at all."""
    onnx.checker.check_model(model)
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(path)


def verify(network: DanceNetwork, path: Path) -> int:
    """Print the proof of parity; returns the exit code."""
    exit_code = 0
    for compared, worst, allowed in prove(network, path):
        print(f"{compared}: {worst:.1e} (at most {allowed:.0e})")
        if not worst <= allowed:
            exit_code = 1
    if exit_code:
        print("dancerev-export: the graph does not do what the network does", file=sys.stderr)
    return exit_code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-export", description=__doc__)
    parser.add_argument(
        "source", metavar="CHECKPOINT|MODEL", help="made by dancerev-train; or an exported model, by file or name"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--licence", default="unspecified", help="of a checkpoint's weights, written into the file")
    parser.add_argument("--verify", action="store_true", help="prove that the graph does what the checkpoint does")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of the file; a proof is of fp32 (default: as the source is, fp32)"
    )
    parser.add_argument("--tensorrt", action="store_true", help="build TensorRT engines as well, where they can be")
    parser.add_argument("--dancers", type=int, default=1, metavar="N", help="that the engines are for (default 1)")
    return parser


@command("dancerev-export")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    if arguments.dancers < 1:
        raise ModelError("--dancers must be at least 1")
    if arguments.out.is_dir() or not arguments.out.parent.is_dir():
        raise ModelError(f"{arguments.out}: not a file in a folder that there is")
    # Beside it, and moved when all is done: what fails leaves the file that was there.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=arguments.out.parent) as folder:
        draft = Path(folder) / arguments.out.name
        network = _export(arguments.source, draft, arguments.licence)
        if arguments.verify:
            if network is None:
                raise ModelError(f"--verify needs a checkpoint to compare with, which {arguments.source} is not")
            if exit_code := verify(network, draft):
                return exit_code
        model = onnx.load(draft)
        precision = precision_of(model)
        if arguments.precision not in (None, precision):
            precision = arguments.precision
            save(in_precision(model, precision), draft)
        draft.replace(arguments.out)
    print(f"{arguments.out}: {precision}, {arguments.out.stat().st_size / 1e6:.1f} MB")
    if arguments.tensorrt:
        engines, reasons = build_engines(arguments.out, arguments.dancers)
        for engine in engines:
            print(f"{engine}: {engine.stat().st_size / 1e6:.1f} MB, for {arguments.dancers} dancers")
        for reason in reasons:
            print(f"note: {reason}", file=sys.stderr)
    return 0


def _export(source: str, out: Path, licence: str) -> DanceNetwork | None:
    """Write the graph of a checkpoint, or copy an exported one; the network of the checkpoint."""
    if source.endswith(".onnx") or not Path(source).exists():
        save(read_model(source), out)
        return None
    network = load_checkpoint(Path(source))
    if network.config.look_ahead:
        raise ModelError(
            f"{source}: hears music to come (--look-ahead), which no stage can;"
            " it dances to files by python -m dancerev.model.evaluation.generate_offline --ours"
        )
    export_step(network, out, licence)
    return network


if __name__ == "__main__":
    sys.exit(main())
