"""Reading back what ``dancerev-train`` wrote. Torch."""

from __future__ import annotations

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
        weights = checkpoint["state_dict"]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint of dancerev-train ({error})") from error
    config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    network = DanceNetwork(DanceConfig(**config))
    network.load_state_dict({k.removeprefix("network."): v for k, v in weights.items()})
    return network.eval()
