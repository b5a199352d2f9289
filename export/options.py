"""The options of ``dancerev-export``, which are read before PyTorch is imported: that takes many seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

from dancerev.command_line import ArgumentParser, whole_number
from dancerev.errors import ModelError
from dancerev.model.step_format import PRECISIONS

_DESCRIPTION = "Convert a training checkpoint to an ONNX graph of one step, its state in and out by name."
_COMMON = "out licence verify precision tensorrt compare"


def is_checkpoint(source: str) -> bool:
    """Whether ``source`` is to be exported; else it is an exported model, by file or name."""
    return not source.endswith(".onnx") and Path(source).exists()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        ModelError: the file cannot be written.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.compare:
        parser.refuse(arguments, "--out --licence --verify --precision --tensorrt --dancers", "with --compare")
        return arguments
    if not arguments.tensorrt:
        parser.refuse(arguments, "--dancers", "without --tensorrt")
    if not is_checkpoint(arguments.source):
        parser.refuse(arguments, "--licence", "with a model that is exported already")
    if arguments.out is None:
        parser.error("-o is missing: the file to write")
    if (arguments.out.exists() and not arguments.out.is_file()) or not arguments.out.parent.is_dir():
        raise ModelError(f"{arguments.out}: not a file in an existing folder")
    return arguments


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-export", _DESCRIPTION, common=_COMMON.split())
    parser.add_argument(
        "source", metavar="CHECKPOINT|MODEL", help="made by dancerev-train; or an exported model, by file or name"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="MODEL.onnx", help="the file to write")
    parser.add_argument("--licence", default="unspecified", help="of a checkpoint's weights, written into the file")
    parser.add_argument("--verify", action="store_true", help="prove that the graph does what the checkpoint does")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of the file; a proof is of fp32 (default: as the source is, fp32)"
    )
    parser.add_argument("--tensorrt", action="store_true", help="build TensorRT engines as well, where they can be")
    parser.add_argument(
        "--dancers", type=whole_number(1), default=1, metavar="N", help="that the engines are for (default 1)"
    )
    parser.add_argument(
        "--compare", action="store_true", help="print size, speed and accuracy of every precision, and write nothing"
    )
    return parser
