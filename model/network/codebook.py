"""Finite scalar quantisation (Mentzer et al., ICLR 2024): the codes that say what is danced in a half step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    """Finite scalar quantisation: each dimension of a code is rounded to one of a few levels in [−1, 1]."""

    radix: Tensor
    reach: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        sizes = torch.tensor(levels)
        if (sizes % 2 == 0).any():
            raise ValueError("each dimension of a code needs an odd number of levels, so that 0 is one of them")
        self.register_buffer("reach", (sizes - 1) / 2.0, persistent=False)
        self.register_buffer("radix", torch.cumprod(sizes, 0) // sizes, persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        """Unbounded (..., D) → levels in [−1, 1], with the gradient of the bounded value (straight through)."""
        bounded = torch.tanh(x) * self.reach
        return (bounded + (bounded.round() - bounded).detach()) / self.reach

    def index(self, code: Tensor) -> Tensor:
        """Quantised (..., D) → (...) int64."""
        return ((code * self.reach + self.reach).round().long() * self.radix).sum(-1)

    def code(self, index: Tensor) -> Tensor:
        """(...) int64 → quantised (..., D)."""
        digits = index[..., None] // self.radix % (2 * self.reach.long() + 1)
        return (digits - self.reach) / self.reach
