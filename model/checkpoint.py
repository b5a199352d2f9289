"""Reading back what ``dancerev-train`` wrote. Torch."""

from __future__ import annotations

import pickle
import textwrap
from pathlib import Path

import torch

from .network import DanceConfig, DanceNetwork


def load_checkpoint(path: str | Path) -> DanceNetwork:
    """The network of a checkpoint of ``dancerev-train``, in evaluation mode, with its averaged weights.

    Raises:
        ValueError: not such a checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        config = checkpoint["hyper_parameters"]["config"]
        config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        network = DanceNetwork(DanceConfig(**config))
        network.load_state_dict({k.removeprefix("network."): v for k, v in checkpoint["state_dict"].items()})
    except (OSError, RuntimeError, LookupError, TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" …")
        raise ValueError(f"{path}: not a checkpoint of dancerev-train, as it is now ({reason})") from error
    return network.eval()
