"""``dancerev-export``: a training checkpoint becomes one ONNX graph of one step, its state in and out by name."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from dancerev.model.checkpoint import load_checkpoint
from dancerev.model.command_line import ArgumentParser
from dancerev.model.features import FEATURE_NAMES, FEATURE_VERSION
from dancerev.model.free_run import gumbel
from dancerev.model.network import DanceNetwork, State
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, encode, rest_pose
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import FORMAT_VERSION, INPUTS, METADATA_KEY, POSE_OUTPUT, STATE


class _Step(nn.Module):
    """:meth:`DanceNetwork.step` with the state spread out into tensors."""

    def __init__(self, network: DanceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        state = State(*inputs[len(INPUTS) :])
        pose, new_state = self.network.step(*inputs[: len(INPUTS)], state)
        return (pose, *new_state)


def rest_vector() -> Tensor:
    """(1, POSE_SIZE) the pose vector of the stance in which a dance begins."""
    rest = rest_pose()
    return torch.from_numpy(encode(rest.rotations[None], rest.root[None], rest.contacts[None]))


def export_step(network: DanceNetwork, path: Path, batch: int = 1, licence: str = "unspecified") -> None:
    """Write the step graph of ``network`` for ``batch`` dancers, with all that the stage must know as metadata."""
    config = network.config
    state = network.initial_state(rest_vector().repeat(batch, 1))
    given = (
        torch.zeros(batch, len(FEATURE_NAMES)),
        torch.full((batch, len(config.styles)), 1.0 / len(config.styles)),
        torch.zeros(batch, 2),
        torch.zeros(batch, config.codes),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Step(network.eval()),
            (*given, *state),
            input_names=[*INPUTS, *STATE],
            output_names=[POSE_OUTPUT, *(f"new_{name}" for name in STATE)],
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
                    "dancers": batch,
                    "licence": licence,
                    "parameters": int(sum(p.numel() for p in network.parameters())),
                }
            )
        },
    )
    onnx.checker.check_model(model)
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(path)


def parity(network: DanceNetwork, path: Path, frames: int = 300, seed: int = 0) -> float:
    """Largest difference of a pose number between torch and ONNX Runtime, fed back over ``frames`` random frames."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = session.get_inputs()[0].shape[0]
    generator = torch.Generator().manual_seed(seed)
    state = network.initial_state(rest_vector().repeat(batch, 1))
    theirs = [x.numpy() for x in state]
    style = torch.softmax(torch.randn(batch, len(network.config.styles), generator=generator), -1)
    worst = 0.0
    for _ in range(frames):
        given = (
            torch.rand(batch, len(FEATURE_NAMES), generator=generator),
            style,
            torch.randn(batch, 2, generator=generator),
            gumbel(batch, network.config.codes, generator),
        )
        with torch.no_grad():
            pose, state = network.step(*given, state)
        feed = dict(zip((*INPUTS, *STATE), (*(x.numpy() for x in given), *theirs), strict=True))
        out, *theirs = session.run(None, feed)
        worst = max(worst, float(np.abs(out - pose.numpy()).max()))
    return worst


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="made by dancerev-train")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--dancers", type=int, default=1, metavar="N", help="dancers in one step (default 1)")
    parser.add_argument("--licence", default="unspecified", help="of the weights, written into the file")
    parser.add_argument("--verify", action="store_true", help="compare with torch over 300 fed-back frames")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        network = load_checkpoint(arguments.checkpoint)
        if arguments.dancers < 1:
            raise ValueError("--dancers must be at least 1")
        export_step(network, arguments.out, arguments.dancers, arguments.licence)
    except (ValueError, OSError) as error:
        print(f"dancerev-export: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")
    if arguments.verify:
        worst = parity(network, arguments.out)
        print(f"largest difference from torch over 300 fed-back frames: {worst:.1e}")
        if worst > 1e-3:
            print("dancerev-export: the graph does not do what the network does", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
