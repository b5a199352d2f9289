"""The options of ``dancerev-train``, which are read before PyTorch is imported: that takes many seconds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from dancerev.command_line import ArgumentParser, seed, whole_number
from dancerev.errors import quoted

from ..corpus.flat_corpus import read_flat_manifest
from ..corpus.shards import read_manifest

PRESET = "dance-revolution"
"""The original's training as published."""

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # as Lightning names them
_FASTEST = 1000.0  # learning, or growth of the own poses by the epoch

_DESCRIPTION = "Teach the network to dance from a folder that dancerev-prepare made."
_COMMON = "out steps prior_steps batch devices seed network preset epochs live"

_DEFAULTS: dict[str, dict[str, Any]] = {
    "dance": {"out": Path("runs/dance"), "batch": 48, "frames": 96, "learning_rate": 1e-3},
    "original": {"out": Path("runs/original"), "batch": 32, "frames": 900, "learning_rate": 1e-4},
    PRESET: {"out": Path("runs/dance-revolution"), "batch": 32, "frames": 900, "learning_rate": 1e-4},
}
"""Where the networks differ in what they are trained with."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        CorpusError: the folder has no corpus.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    _refuse_what_does_nothing(parser, arguments)
    for name, value in _DEFAULTS[arguments.preset or arguments.network].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.out.exists() and not arguments.out.is_dir():
        parser.error(f"-o {arguments.out}: not a folder")
    (read_flat_manifest if arguments.preset else read_manifest)(arguments.data)
    return arguments


def _refuse_what_does_nothing(parser: ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.preset:
        ours = "--network --steps --prior-steps --prior-batch --look-ahead --own-poses --validate-every --log-every"
        parser.refuse(arguments, ours, f"with --preset {PRESET}")
        return
    preset = "--epochs --layers --window --lambda --condition-step --save-every --live"
    parser.refuse(arguments, preset, f"without --preset {PRESET}")
    if arguments.network == "original":
        parser.refuse(arguments, "--prior-steps --prior-batch --look-ahead", "with --network original")
    else:
        parser.refuse(arguments, "--hidden --own-poses", "without --network original")


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= _FASTEST:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number from 0 to {_FASTEST:g}")
    return value


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-train", _DESCRIPTION, common=_COMMON.split())
    parser.add_argument("data", type=Path, help="folder made by dancerev-prepare")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for checkpoints and logs; a training that was stopped there goes on (default runs/NETWORK)",
    )
    count = whole_number(1)
    parser.add_argument("--steps", type=count, default=10_000, help="batches to train on (default %(default)s)")
    parser.add_argument("--prior-steps", type=count, default=600, help="batches for the prior, after those")
    parser.add_argument("--prior-batch", type=count, default=24, help="windows of 32 s in those (default %(default)s)")
    parser.add_argument("--batch", type=count, help="windows in a batch (default 48; of the original 32)")
    parser.add_argument(
        "--frames", type=count, help="frames in a window, 15 a second (default 96; of the original 900)"
    )
    parser.add_argument("--learning-rate", type=_rate, help="at its height (default 0.001; of the original 0.0001)")
    parser.add_argument("--validate-every", type=count, default=1000, metavar="STEPS", help="(default %(default)s)")
    parser.add_argument("--log-every", type=count, default=50, metavar="STEPS", help="(default %(default)s)")
    parser.add_argument("--devices", type=count, default=1, help="processes or GPUs (default %(default)s)")
    parser.add_argument(
        "--precision", choices=_PRECISIONS, default="32-true", help="of the numbers (default %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--look-ahead",
        type=whole_number(0),
        default=0,
        metavar="FRAMES",
        help="music to come that is heard: for offline use only",
    )
    parser.add_argument(
        "--network", choices=("dance", "original"), default="dance", help="ours, or the original to compare"
    )
    original = parser.add_argument_group("only with --network original")
    original.add_argument("--hidden", type=count, default=1024, help="width of its LSTM (default %(default)s)")
    original.add_argument(
        "--own-poses",
        type=whole_number(0),
        default=30,
        metavar="N",
        help="own poses fed in a row at the end of the curriculum; 0 is teacher forcing (default %(default)s)",
    )
    _add_preset(parser)
    return parser


def _add_preset(parser: ArgumentParser) -> None:
    """Add the options of the preset, the original as published."""
    count = whole_number(1)
    group = parser.add_argument_group(f"only with --preset {PRESET}: the paper's options")
    group.add_argument("--preset", choices=(PRESET,), help="the original's training, in two dimensions")
    group.add_argument("--epochs", type=count, default=3000, metavar="N", help="(default %(default)s)")
    group.add_argument("--layers", type=count, default=2, metavar="N", help="of the encoder (default %(default)s)")
    group.add_argument("--window", type=count, default=100, metavar="FRAMES", help="of attention (default %(default)s)")
    group.add_argument("--lambda", type=_rate, default=0.01, dest="growth", metavar="λ", help="(default %(default)s)")
    group.add_argument("--condition-step", type=count, default=10, metavar="N", help="real poses (default %(default)s)")
    group.add_argument("--save-every", type=count, default=500, metavar="EPOCHS", help="(default %(default)s)")
    group.add_argument("--live", action="store_true", help="train the variant that dances live")
