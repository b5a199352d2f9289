"""Checkpoints: written whole or not at all, and reading back what ``dancerev-train`` wrote. Torch."""

from __future__ import annotations

import io
import pickle
import textwrap
from pathlib import Path
from typing import Any

import torch

from dancerev import errors
from dancerev.errors import ModelError

from ..features import FEATURE_VERSION
from ..whole_file import write_bytes
from .config import DanceConfig
from .dance_network import DanceNetwork

UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What is raised by reading a checkpoint that is none, is damaged, or is of another network."""


def write_checkpoint(path: Path, content: object) -> None:
    """Write what PyTorch can save, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    encoded = io.BytesIO()  # what PyTorch writes to a full disk itself ends in an error without the file's name
    torch.save(content, encoded)
    write_bytes(path, encoded.getvalue())


def load_checkpoint(path: str | Path) -> DanceNetwork:
    """Return the network of a checkpoint of ``dancerev-train``, in evaluation mode, with its averaged weights.

    Raises:
        ModelError: not such a checkpoint, or trained on features of another version.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        config = checkpoint["hyper_parameters"]["config"]
        config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        network = DanceNetwork(DanceConfig(**config))
        network.load_state_dict({k.removeprefix("network."): v for k, v in checkpoint["state_dict"].items()})
    except UNREADABLE as error:
        raise ModelError(f"{path}: not a checkpoint of dancerev-train, as it is now ({reason(error)})") from error
    check_feature_version(checkpoint["hyper_parameters"], path)
    return network.eval()


def check_feature_version(hyper_parameters: dict[str, Any], path: str | Path) -> None:
    """Refuses weights that were trained on features that no longer mean the same.

    Raises:
        ModelError: the version is another one.
    """
    # Checkpoints from before the field was there are all of version 2.
    version = hyper_parameters.get("feature_version", 2)
    if version != FEATURE_VERSION:
        raise ModelError(
            f"{path}: trained on features of version {version}, this program has {FEATURE_VERSION}; train it again"
        )


def reason(error: BaseException) -> str:
    """Return what an error says, in one line that is not too long."""
    if isinstance(error, pickle.UnpicklingError):  # torch's text is long, and has colours
        return "it holds more than tensors, or is damaged"
    return textwrap.shorten(errors.reason(error), 200, placeholder=" …")
