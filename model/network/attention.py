"""Causal attention over the music of the last seconds, whole sequences or frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..features import FEATURE_SIZE
from .block_attention import local_attention
from .config import DanceConfig


class LocalAttention(nn.Module):
    """Self-attention over the last ``window`` frames, with a learned bias for every age and head.

    Causal, unless ``look_ahead`` lets it see so many frames to come: their age is below 0, and there is no ``step``.
    """

    def __init__(self, width: int, heads: int, window: int, look_ahead: int = 0) -> None:
        super().__init__()
        self.heads, self.window, self.look_ahead = heads, window, look_ahead
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        # Slopes as in ALiBi (Press et al., ICLR 2022) to begin with, free to move.
        slopes = 2.0 ** -torch.arange(1.0, heads + 1)
        self.age_bias = nn.Parameter(-slopes[:, None] * torch.arange(-float(look_ahead), float(window)).abs())

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attend with queries (B, Q, W), keys and values (B, K, W), bias (…, heads, Q, K) → (B, Q, W)."""
        batch, queries, width = query.shape
        split = (batch, -1, self.heads, width // self.heads)
        q, k, v = (x.reshape(split).transpose(1, 2) for x in (query, key, value))
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5 + bias, dim=-1)
        return self.output((weights @ v).transpose(1, 2).reshape(batch, queries, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        query, key, value = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        attended = local_attention(query, key, value, self.window - 1, self.look_ahead, self.age_bias)
        return self.output(attended.transpose(1, 2).flatten(2))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, width) and the caches (B, window − 1, width) → output and the moved-on caches.

        The cache slides rather than wraps: the age of every slot is then fixed, and moving 60 short rows
        costs less than the gather that a wrapped index would need.
        """
        keys = torch.cat([keys, self.key(x)[:, None]], dim=1)
        values = torch.cat([values, self.value(x)[:, None]], dim=1)
        age = torch.arange(self.window - 1, -1, -1, device=x.device)
        unheard = (age > processed[:, None])[:, None, None, :]
        bias = self.age_bias.flip(1)[:, None, :].masked_fill(unheard, -1e9)
        return self._attend(self.query(x)[:, None], keys, values, bias)[:, 0], keys[:, 1:], values[:, 1:]


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer around :class:`LocalAttention`."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.attention = LocalAttention(config.width, config.heads, config.window, config.look_ahead)
        self.attention_norm = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.feed_forward),
            nn.GELU(),
            nn.Linear(config.feed_forward, config.width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(x))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, width); see :meth:`LocalAttention.step`."""
        attended, keys, values = self.attention.step(self.attention_norm(x), keys, values, processed)
        x = x + attended
        return x + self.feed_forward(x), keys, values


class MusicEncoder(nn.Module):
    """Acoustic features to a description of the music at every frame."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.input = nn.Linear(FEATURE_SIZE, config.width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features (B, T, FEATURE_SIZE) → (B, T, width)."""
        x = self.input(features)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def step(self, features: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, FEATURE_SIZE) with caches (L, B, window − 1, width)."""
        x = self.input(features)
        new_keys, new_values = [], []
        for i, layer in enumerate(self.layers):
            x, key, value = layer.step(x, keys[i], values[i], processed)  # type: ignore[operator]
            new_keys.append(key)
            new_values.append(value)
        return self.norm(x), torch.stack(new_keys), torch.stack(new_values)
