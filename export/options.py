"""The options of ``dancerev-export``, which are read before PyTorch is imported: that takes many seconds."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from pathlib import Path

from dancerev.command_line import ArgumentParser, whole_number
from dancerev.errors import ModelError
from dancerev.model.step_format import PRECISIONS
from dancerev.model.whole_file import check_writable
from dancerev.realtime.dance_model import model_path

_DESCRIPTION = "Convert a training checkpoint to an ONNX graph of one step, its state in and out by name."
_COMMON = "out licence verify precision tensorrt compare"


def is_checkpoint(source: str) -> bool:
    """Whether ``source`` is to be exported; else it is an exported model, by file or name."""
    return not source.endswith(".onnx") and Path(source).exists()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        ModelError, InputError: the file cannot be written, or the source is of another kind.
        OSError: the source cannot be read.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.compare:
        parser.refuse(arguments, "--out --licence --verify --precision --tensorrt --dancers", "with --compare")
        model_path(arguments.source)
        return arguments
    if not arguments.tensorrt:
        parser.refuse(arguments, "--dancers", "without --tensorrt")
    if not is_checkpoint(arguments.source):
        parser.refuse(arguments, "--licence", "with a model that is exported already")
    if arguments.out is None:
        parser.error("-o is missing: the file to write")
    if (arguments.out.exists() and not arguments.out.is_file()) or not arguments.out.parent.is_dir():
        raise ModelError(f"{arguments.out}: not a file in an existing folder")
    check_writable(arguments.out)
    if is_checkpoint(arguments.source):
        _check_checkpoint(Path(arguments.source))
    else:
        model_path(arguments.source)
    return arguments


def _check_checkpoint(path: Path) -> None:
    """Raise ``ModelError`` where a file is none that PyTorch writes, as far as can be told without PyTorch.

    Its files are zip archives with a pickle in them, or, of before 2020, a pickle alone.
    """
    with path.open("rb") as file:
        start = file.read(2)
    known = start[:1] == pickle.PROTO
    if start == b"PK":
        try:
            with zipfile.ZipFile(path) as archive:
                known = any(name.endswith("/data.pkl") for name in archive.namelist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            known = False
    if not known:
        raise ModelError(f"{path}: not a checkpoint of dancerev-train, or damaged")


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
