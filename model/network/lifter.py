"""The lifter: BODY_25 key points of one film, frame by frame, to rotations of our 22 bones. Torch.

A causal network: a linear map of the frame's points, corrected by a GRU that remembers the frames before. (Martinez et
al., ICCV 2017, for lifting by a small network; Pavllo et al., CVPR 2019, for what time adds.) Everything that it
remembers is explicit, so that it exports as a step graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..body25 import JOINTS, MID_HIP
from ..skeleton import BONES

FRAME_RATE = 30
"""Frames per second of the films."""

VECTOR_SIZE = 6 * len(BONES) + 3
"""Rotations in 6-D, the hips' one relative to the camera's heading; height of the hips in metres; two contacts in
[0, 1], left and right."""

ROTATIONS = slice(0, 6 * len(BONES))
HEIGHT = slice(6 * len(BONES), 6 * len(BONES) + 1)
CONTACTS = slice(6 * len(BONES) + 1, VECTOR_SIZE)

SIZE_DECAY = 0.999
"""By which the believed size of the body shrinks from frame to frame where it does not show itself."""

_NECK = JOINTS.index("Neck")
_LEGS = tuple(tuple(JOINTS.index(f"{side}{joint}") for joint in ("Hip", "Knee", "Ankle")) for side in "LR")


@dataclass(frozen=True)
class LifterConfig:
    """Sizes of the network.

    Attributes:
        hidden: of the GRU.
        layers: of the GRU.
    """

    hidden: int = 256
    layers: int = 1


class LifterState(NamedTuple):
    """What the lifter remembers between frames.

    Attributes:
        hidden: (layers, B, hidden).
        size: (B, 1) pixels, how large the body is believed to be; 0 before the first frame.
        hips: (B, 2) pixels, where the hips were.
    """

    hidden: Tensor
    size: Tensor
    hips: Tensor


def span(points: Tensor) -> Tensor:
    """Length of trunk and leg in the picture (..., 1) of key points (..., 25, 2): what turning the body shortens least.

    Of the two legs the longer one counts.
    """
    trunk = (points[..., _NECK, :] - points[..., MID_HIP, :]).norm(dim=-1)
    legs = [
        (points[..., hip, :] - points[..., knee, :]).norm(dim=-1)
        + (points[..., knee, :] - points[..., ankle, :]).norm(dim=-1)
        for hip, knee, ankle in _LEGS
    ]
    return (trunk + torch.maximum(*legs))[..., None]


class Lifter(nn.Module):
    """Key points in pixels in, a vector of VECTOR_SIZE out; the picture may be of any size."""

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: LifterConfig | None = None) -> None:
        super().__init__()
        self.config = config or LifterConfig()
        inputs, outputs = 2 * len(JOINTS), VECTOR_SIZE + 3 * len(BONES)
        self.register_buffer("input_mean", torch.zeros(inputs))
        self.register_buffer("input_std", torch.ones(inputs))
        self.linear = nn.Linear(inputs, outputs)
        self.input = nn.Sequential(nn.Linear(inputs, self.config.hidden), nn.GELU())
        self.gru = nn.GRU(self.config.hidden, self.config.hidden, self.config.layers, batch_first=True)
        self.output = nn.Linear(2 * self.config.hidden, outputs)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.output.bias.zero_()

    def initial_state(self, batch: int) -> LifterState:
        """Nothing seen."""
        zeros = self.input_mean.new_zeros
        return LifterState(zeros(self.config.layers, batch, self.config.hidden), zeros(batch, 1), zeros(batch, 2))

    def inputs(self, points: Tensor) -> Tensor:
        """Return what the network takes of whole films (B, T, 25, 2) in pixels → (B, T, 50).

        Places relative to the hips, y up, in body sizes; in the hips' own place, how they moved since the frame before.
        """
        spans = span(points)
        at = torch.arange(points.shape[1], device=points.device, dtype=spans.dtype)[:, None]
        decay = SIZE_DECAY**at
        size = (spans / decay).cummax(dim=1).values * decay
        hips = points[:, :, MID_HIP]
        moved = F.pad(hips[:, 1:] - hips[:, :-1], (0, 0, 1, 0))
        return self._relative(points, hips, moved, size)

    def _relative(self, points: Tensor, hips: Tensor, moved: Tensor, size: Tensor) -> Tensor:
        relative = points - hips[..., None, :]
        place = torch.cat([relative[..., :MID_HIP, :], moved[..., None, :], relative[..., MID_HIP + 1 :, :]], dim=-2)
        upward = place * place.new_tensor([1.0, -1.0]) / size.clamp(min=1e-3)[..., None]
        return (upward.flatten(-2) - self.input_mean) / self.input_std

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Lift whole films.

        Args:
            points: (B, T, 25, 2) pixels.

        Returns:
            (B, T, VECTOR_SIZE), contacts before the sigmoid; and a second opinion on the joints (B, T, 22, 3) metres
            relative to the hips, which only training uses: it learns faster than rotations and draws them along.
        """
        x = self.inputs(points)
        inner = self.input(x)
        remembered, _ = self.gru(inner)
        out = self.linear(x) + self.output(torch.cat([inner, remembered], dim=-1))
        return out[..., :VECTOR_SIZE], out[..., VECTOR_SIZE:].unflatten(-1, (len(BONES), 3))

    def step(self, points: Tensor, state: LifterState) -> tuple[Tensor, Tensor, LifterState]:
        """Lift one frame.

        Args:
            points: (B, 25, 2) pixels.
            state: of the frame before.

        Returns:
            (B, VECTOR_SIZE); how the hips moved across the picture, (B, 1) body sizes to the right; and the new state.
        """
        hips = points[:, MID_HIP]
        first = state.size <= 0.0
        moved = torch.where(first, torch.zeros_like(hips), hips - state.hips)
        size = torch.maximum(span(points), state.size * SIZE_DECAY)
        x = self._relative(points, hips, moved, size)
        inner = self.input(x)
        hidden = []
        remembered = inner
        for layer in range(self.config.layers):
            remembered = _gru_cell(self.gru, layer, remembered, state.hidden[layer])
            hidden.append(remembered)
        out = self.linear(x) + self.output(torch.cat([inner, remembered], dim=-1))
        vector = torch.cat([out[:, : CONTACTS.start], out[:, CONTACTS].sigmoid()], dim=-1)
        return vector, moved[:, :1] / size.clamp(min=1e-3), LifterState(torch.stack(hidden), size, hips)


def _gru_cell(gru: nn.GRU, layer: int, x: Tensor, hidden: Tensor) -> Tensor:
    """One time step of one layer, (B, …) and (B, hidden) → (B, hidden)."""
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    input_weight, input_bias, weight, bias = (getattr(gru, f"{name}_l{layer}") for name in names)
    reset, update, new = F.linear(x, input_weight, input_bias).chunk(3, dim=-1)
    reset_h, update_h, new_h = F.linear(hidden, weight, bias).chunk(3, dim=-1)
    reset, update = torch.sigmoid(reset + reset_h), torch.sigmoid(update + update_h)
    return (1.0 - update) * torch.tanh(new + reset * new_h) + update * hidden
