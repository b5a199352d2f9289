"""Turn a trained lifter into an ONNX graph of one frame, its state in and out by name."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import ModelError
from dancerev.model.body25 import JOINTS
from dancerev.model.network.checkpoint import UNREADABLE, reason
from dancerev.model.network.lifter import FRAME_RATE, Lifter, LifterConfig, LifterState
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import LIFTER_FORMAT, LIFTER_OUTPUTS, LIFTER_STATE

from .graph import save_proved, trace

LARGEST_DIFFERENCE = 1e-4
"""Allowed between the graph and the network, over PROOF_FRAMES frames with their own states."""

PROOF_FRAMES = 300


class _Step(nn.Module):
    """:meth:`Lifter.step` with the state spread out into tensors."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, points: Tensor, hidden: Tensor, size: Tensor, hips: Tensor) -> tuple[Tensor, ...]:
        vector, moved, state = self.lifter.step(points, LifterState(hidden, size, hips))
        return vector, moved, *state


def load_lifter(path: Path) -> Lifter:
    """Load what ``dancerev.model.training.lifter`` wrote, in evaluation mode.

    Raises:
        ModelError: it is no such file.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        lifter = Lifter(LifterConfig(**checkpoint["config"]))
        lifter.load_state_dict(checkpoint["weights"])
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise ModelError(f"{path}: not a checkpoint of a lifter ({reason(error)})") from error
    return lifter.eval()


def export_lifter(lifter: Lifter, path: Path, licence: str = "unspecified") -> float:
    """Write the graph of one frame of one person.

    Returns:
        The largest difference between graph and network, each with its own state, over PROOF_FRAMES of noise.

    Raises:
        ModelError: they differ by more than LARGEST_DIFFERENCE.
    """
    state = lifter.initial_state(1)
    points = 360.0 + 100.0 * torch.randn(1, len(JOINTS), 2, generator=torch.Generator().manual_seed(0))
    model = trace(
        _Step(lifter).eval(),
        (points, *state),
        ("points", *LIFTER_STATE),
        (*LIFTER_OUTPUTS, *(f"new_{name}" for name in LIFTER_STATE)),
        {"format": LIFTER_FORMAT, "joints": JOINTS, "bones": BONES, "frame_rate": FRAME_RATE, "licence": licence},
    )
    return save_proved(model, path, lambda partial: largest_difference(lifter, partial), LARGEST_DIFFERENCE)


@torch.no_grad()
def largest_difference(lifter: Lifter, path: Path) -> float:
    """Run network and graph side by side over a wandering figure."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    figure = 360.0 + 120.0 * torch.randn(1, len(JOINTS), 2, generator=generator)
    state = lifter.initial_state(1)
    arrays = dict(zip(LIFTER_STATE, (x.numpy() for x in state), strict=True))
    worst = 0.0
    for _ in range(PROOF_FRAMES):
        figure = figure + 4.0 * torch.randn(figure.shape, generator=generator)
        vector, moved, state = lifter.step(figure, state)
        made, shifted, *new = session.run(None, {"points": figure.numpy(), **arrays})
        arrays = dict(zip(LIFTER_STATE, new, strict=True))
        worst = max(worst, float(np.abs(made - vector.numpy()).max()), float(np.abs(shifted - moved.numpy()).max()))
    return worst


@command("dancerev.export.export_lifter")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ArgumentParser("dancerev.export.export_lifter", __doc__)
    parser.add_argument("checkpoint", type=Path, metavar="LIFTER.pt", help="of dancerev.model.training.lifter")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="LIFTER.onnx")
    parser.add_argument("--licence", default="unspecified", help="of the weights, written into the file")
    arguments = parser.parse_args(argv)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    difference = export_lifter(load_lifter(arguments.checkpoint), arguments.out, arguments.licence)
    print(f"{arguments.out}: equals the network to {difference:.1e} over {PROOF_FRAMES} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
