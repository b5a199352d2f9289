"""The network on its own, as on stage, for many dances at once: what validation looks at. Torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import rotation
from ..pose import HEIGHT, ROTATIONS, TRAVEL, TURN, rest_vector
from ..skeleton import BONES
from .dance_network import Conditions, DanceNetwork

Array = npt.NDArray[Any]


@torch.no_grad()
def free_run(
    network: DanceNetwork,
    features: Array,
    style: Array,
    seed: int = 0,
    temperature: float = 1.0,
    vigour: float = 0.0,
    phrase: float = 0.0,
) -> tuple[Array, Array]:
    """Let the network dance to music from the rest pose, fed with nothing but its own poses.

    Args:
        network: in evaluation mode.
        features: (B, T, FEATURE_SIZE).
        style: (B, styles) weights.
        seed: of the draws; the same gives the same dances.
        temperature: of the draws; below 1 the likely is preferred.
        vigour: log2 of the speed against that of the style.
        phrase: how strictly every phrase of eight counts is danced again, for ever, 0 … 1.

    Returns:
        rotations (B, T, 22, 4) local xyzw and root (B, T, 3) in metres, at the frame rate of the network.
    """
    generator = torch.Generator().manual_seed(seed)
    device = network.feature_mean.device
    batch, frames = features.shape[:2]
    state = network.initial_state(torch.from_numpy(rest_vector()).repeat(batch, 1).to(device))
    music, styles = torch.as_tensor(features, device=device), torch.as_tensor(style, device=device)
    # What looks ahead cannot be run frame by frame: it hears all of the music first.
    ahead = network.encoder(network.normalize_features(music)) if network.config.look_ahead else None
    place, heading = torch.zeros(batch, 2, device=device), torch.zeros(batch, device=device)
    vectors, places, headings = [], [], []
    for t in range(frames):
        audience = _turned(torch.zeros_like(place) + place.new_tensor([0.0, 1.0]), -heading)
        given = Conditions(
            music[:, t],
            styles,
            _turned(-place, -heading),
            audience,
            torch.full_like(place[:, :1], vigour),
            torch.full_like(place[:, :1], phrase),
        )
        noise = temperature * gumbel(batch, network.config.codes, generator).to(device)
        vector, state = network.step(given, noise, state, None if ahead is None else ahead[:, t])
        place = place + _turned(vector[:, TRAVEL], heading)
        heading = heading + vector[:, TURN.start]
        vectors.append(vector)
        places.append(place)
        headings.append(heading)
    made = torch.stack(vectors, 1).double().cpu().numpy()
    where = torch.stack(places, 1).double().cpu().numpy()
    rotations = rotation.from_6d(made[..., ROTATIONS].reshape(batch, frames, len(BONES), 6))
    facing = rotation.from_yaw(torch.stack(headings, 1).double().cpu().numpy())
    rotations[:, :, 0] = rotation.multiply(facing, rotations[:, :, 0])
    return rotations, np.stack([where[..., 0], made[..., HEIGHT.start], where[..., 1]], axis=-1)


def gumbel(batch: int, codes: int, generator: torch.Generator) -> torch.Tensor:
    """(batch, codes) standard Gumbel noise."""
    return -torch.log(torch.empty(batch, codes).exponential_(generator=generator))


def _turned(vector: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(B, 2) vectors (x, z) turned by (B,) radians about +Y."""
    sine, cosine = torch.sin(angle), torch.cos(angle)
    return torch.stack(rotation.turn_floor(vector[:, 0], vector[:, 1], sine, cosine), dim=-1)
