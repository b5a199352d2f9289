"""``dancerev-export``: convert a training checkpoint to an ONNX graph of one step, its state in and out by name."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from dancerev.command_line import command, progress
from dancerev.errors import ModelError
from dancerev.model.features import FEATURE_NAMES, FEATURE_VERSION
from dancerev.model.network.checkpoint import load_checkpoint
from dancerev.model.network.config import VIGOUR_INPUTS
from dancerev.model.network.dance_network import Conditions, DanceNetwork, State
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, rest_vector
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import FORMAT_VERSION, INPUTS, POSE_OUTPUT, STATE
from dancerev.model.styles import DEFAULT_STYLE
from dancerev.realtime.dance_model import DanceModel

from .export_flat import bundled_lifter, export_flat, load_flat_network
from .graph import save, trace
from .options import is_checkpoint, parse
from .parity import PROOF_FRAMES, StepSession, prove
from .precision import in_precision, precision_of, print_comparison, read_model
from .tensorrt_engine import build_engines


class _Step(nn.Module):
    """:meth:`DanceNetwork.step` with the state spread out into tensors."""

    def __init__(self, network: DanceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *given, noise = inputs[: len(INPUTS)]
        pose, new_state = self.network.step(Conditions(*given), noise, State(*inputs[len(INPUTS) :]))
        return (pose, *new_state)


def _dancers_axes(network: DanceNetwork) -> list[int]:
    """For every input of the step, the axis along which the dancers are."""
    one, two = (network.initial_state(torch.from_numpy(rest_vector())[None].repeat(dancers, 1)) for dancers in (1, 2))
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
    state = network.initial_state(torch.from_numpy(rest_vector())[None].repeat(batch, 1))
    given = (
        torch.zeros(batch, len(FEATURE_NAMES)),
        torch.full((batch, len(config.styles)), 1.0 / len(config.styles)),
        torch.zeros(batch, 2),
        torch.zeros(batch, 2),
        torch.zeros(batch, 1),
        torch.zeros(batch, 1),
        torch.zeros(batch, config.codes),
    )
    model = trace(
        _Step(network.eval()).eval(),
        (*given, *state),
        (*INPUTS, *STATE),
        (POSE_OUTPUT, *(f"new_{name}" for name in STATE)),
        _metadata(network, licence),
        _dancers_axes(network),
    )
    save(model, path)


def _metadata(network: DanceNetwork, licence: str) -> dict[str, object]:
    config = network.config
    return {
        "format_version": FORMAT_VERSION,
        "feature_version": FEATURE_VERSION,
        "features": FEATURE_NAMES,
        "bones": BONES,
        "pose_size": POSE_SIZE,
        "frame_rate": FRAME_RATE,
        "styles": config.styles,
        "default_style": DEFAULT_STYLE if DEFAULT_STYLE in config.styles else config.styles[0],
        "vigour": {
            "inputs": VIGOUR_INPUTS,
            "reached": [[round(x, 4) for x in row] for row in network.vigour_reached.tolist()],
        },
        "codes": config.codes,
        "licence": licence,
        "parameters": int(sum(p.numel() for p in network.parameters())),
    }


def verify(network: DanceNetwork, path: Path) -> bool:
    """Print every comparison of graph and network, and the verdict; return whether they agree."""
    agree = True
    with progress("verifying", PROOF_FRAMES) as advance:
        compared = list(prove(network, path, advance))
    for name, worst, allowed in compared:
        print(f"{name}: {worst:.1e} (at most {allowed:.0e})")
        agree = agree and worst <= allowed  # NaN does not agree
    print("verified: the graph dances as the network does" if agree else "NOT verified: the graph differs")
    return agree


def check_runs(path: Path) -> None:
    """Load a graph as the show does and run one step.

    Raises:
        ModelError: the graph cannot be loaded, or its first pose is not finite.
    """
    DanceModel(str(path), "cpu")
    session = StepSession(path)
    if not np.isfinite(session.step(session.zeros)[0]).all():
        raise ModelError(f"{path}: its poses are not finite; the weights are damaged")


@command("dancerev-export")
def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = parse(argv)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    if arguments.compare:
        print_comparison(arguments.source)
        return 0
    with _draft(arguments.out) as draft:
        with progress("exporting"):
            network = _export(arguments.source, draft, arguments.licence)
        if arguments.verify:
            if network is None:
                raise ModelError(f"--verify needs a checkpoint to compare with, which {arguments.source} is not")
            if not verify(network, draft):
                return 1
        precision = _convert(draft, arguments.precision)
        check_runs(draft)
        draft.replace(arguments.out)
    print(f"{arguments.out}: {precision}, {arguments.out.stat().st_size / 1e6:.1f} MB")
    if arguments.tensorrt:
        _build_engines(arguments.out, arguments.dancers)
    return 0


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """Yield a path in a folder next to ``out``, to be moved there when all is done: what fails leaves the old file.

    Errors name ``out`` instead.
    """
    draft = out
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
            draft = Path(folder) / out.name
            yield draft
    except ModelError as error:
        raise ModelError(str(error).replace(str(draft), str(out))) from error
    except OSError as error:
        if error.errno is not None and ".export-" in str(error.filename or ".export-"):
            error.filename = str(out)
        raise


def _convert(path: Path, precision: str | None) -> str:
    """Convert the graph in ``path`` to ``precision``, if that is another than it has; return the one it has then."""
    model = onnx.load(path)
    if precision in (None, precision_of(model)):
        return precision_of(model)
    with progress(f"converting to {precision}"):
        save(in_precision(model, precision), path)
    return precision


def _build_engines(path: Path, dancers: int) -> None:
    """Build every kind of TensorRT engine next to the graph; print the files, and why others could not be built."""
    with progress("building engines"):
        engines, reasons = build_engines(path, dancers)
    for engine in engines:
        print(f"{engine}: {engine.stat().st_size / 1e6:.1f} MB, for {dancers} dancer{'s' if dancers > 1 else ''}")
    for reason in reasons:
        print(f"note: {reason}", file=sys.stderr)


def _export(source: str, out: Path, licence: str) -> DanceNetwork | None:
    """Write the graph of a checkpoint, or copy an exported one; the network of the checkpoint."""
    if not is_checkpoint(source):
        save(read_model(source), out)
        return None
    if (flat := load_flat_network(Path(source))) is not None:
        export_flat(flat, bundled_lifter(), out, licence)
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
