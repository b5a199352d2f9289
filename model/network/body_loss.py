"""Losses that know the body: joints in space, how they move, and feet that stay put. Torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import rotation
from ..pose import CONTACTS, HEIGHT, ROTATIONS, TRAVEL, TURN
from ..skeleton import ANCESTOR_ROUNDS, ANKLE_HEIGHT, BONES, CHAIN, FEET, PARENTS, REST_OFFSETS, TOE_HEIGHT


def matrices_from_6d(encoded: Tensor) -> Tensor:
    """(..., 6) → rotation matrices (..., 3, 3), by Gram–Schmidt (Zhou et al., CVPR 2019)."""
    x = F.normalize(encoded[..., :3], dim=-1)
    y = encoded[..., 3:]
    y = F.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def joints(vectors: Tensor) -> Tensor:
    """Pose vectors (..., POSE_SIZE) → joint positions (..., 22, 3) in metres, in the facing frame under the hips.

    By pointer jumping, as :func:`dancerev.model.skeleton.forward_kinematics`: few operations, not one for each bone.
    """
    globals_ = matrices_from_6d(vectors[..., ROTATIONS].reshape(*vectors.shape[:-1], len(BONES), 6))
    offsets = torch.as_tensor(REST_OFFSETS, dtype=vectors.dtype, device=vectors.device)
    for bones, ancestors in ANCESTOR_ROUNDS:
        turned = globals_[..., ancestors, :, :] @ globals_[..., bones, :, :]
        globals_ = globals_.index_copy(-3, torch.as_tensor(bones, device=vectors.device), turned)
    steps = (globals_[..., PARENTS[1:], :, :] * offsets[1:, None, :]).sum(dim=-1)
    chain = torch.as_tensor(CHAIN[:, 1:], dtype=vectors.dtype, device=vectors.device)
    height = F.pad(vectors[..., HEIGHT], (1, 1))
    return chain @ steps + height[..., None, :]


def displacement(joints_before: Tensor, joints_after: Tensor, vectors: Tensor) -> Tensor:
    """Return how far every joint moved in the world, (..., 22, 3) metres in the earlier facing frame.

    Args:
        joints_before: (..., 22, 3) from :func:`joints`.
        joints_after: (..., 22, 3) of the next frame.
        vectors: (..., POSE_SIZE) of the later frame: its turn and travel lead from one to the other.
    """
    sine, cosine = torch.sin(vectors[..., TURN]), torch.cos(vectors[..., TURN])
    x, y, z = joints_after.unbind(-1)
    x, z = rotation.turn_floor(x, z, sine, cosine)
    moved = torch.stack([x, y, z], dim=-1)
    travel = vectors[..., TRAVEL]
    step = torch.stack([travel[..., 0], torch.zeros_like(travel[..., 0]), travel[..., 1]], dim=-1)
    return moved + step[..., None, :] - joints_before


class BodyLoss(NamedTuple):
    """Means over joints and frames, in metres.

    Attributes:
        position: error of positions.
        velocity: error of movement per frame.
        speed: error of its length alone. What is unsure of the direction of a movement makes it smaller, by the errors
            above; this one makes it as large as it should be.
        pulse: error of the mean speed of all joints. Its dips are what is seen as the beat of a dance.
        level: error of the mean speed over the whole window, so that a dance is not calmer than it should be.
        slide: movement of planted feet.
        ground: error of the height of the lower sole.
    """

    position: Tensor
    velocity: Tensor
    speed: Tensor
    pulse: Tensor
    level: Tensor
    slide: Tensor
    ground: Tensor


def body_loss(made: Tensor, real: Tensor) -> BodyLoss:
    """Compare pose vectors (B, T, POSE_SIZE), not normalised, with the real ones."""
    made_joints, real_joints = joints(made), joints(real)
    made_move = displacement(made_joints[:, :-1], made_joints[:, 1:], made[:, 1:])
    real_move = displacement(real_joints[:, :-1], real_joints[:, 1:], real[:, 1:])
    planted = (real[:, 1:, CONTACTS] * real[:, :-1, CONTACTS]).repeat_interleave(2, dim=-1)
    feet = made_move[:, :, [joint for foot in FEET for joint in foot]].norm(dim=-1)
    speed_error = _length(made_move) - _length(real_move)
    return BodyLoss(
        position=(made_joints - real_joints).abs().mean(),
        velocity=(made_move - real_move).abs().mean(),
        speed=speed_error.abs().mean(),
        pulse=speed_error.mean(dim=-1).abs().mean(),
        level=speed_error.mean(dim=(-2, -1)).abs().mean(),
        slide=(feet * planted).mean(),
        ground=(_sole_height(made_joints) - _sole_height(real_joints)).abs().mean(),
    )


def _sole_height(positions: Tensor) -> Tensor:
    """(..., 22, 3) → (...) metres from the floor to the lowest end of the two soles."""
    ankles, toes = ([foot[end] for foot in FEET] for end in (0, 1))
    return torch.cat([positions[..., ankles, 1] - ANKLE_HEIGHT, positions[..., toes, 1] - TOE_HEIGHT], -1).amin(-1)


def _length(vectors: Tensor) -> Tensor:
    """(..., 3) → (...), with a gradient at zero too."""
    return (vectors.square().sum(dim=-1) + 1e-8).sqrt()
