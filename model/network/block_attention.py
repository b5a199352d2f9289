"""Local attention in blocks: every query sees only the keys near it, in time and memory linear in the length. Torch.

The result is that of scaled dot-product attention with a banded mask. Queries are cut into blocks; a block meets one
slab of keys, those that any of its queries may see, and a small mask settles the rest (Beltagy et al., "Longformer",
2020, section 3.1, for the idea).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 256
"""Most queries in a block."""

_GROUP = 2**22
"""Entries of the masks, and about as many keys, that are in memory at once."""


def local_attention(
    query: Tensor, key: Tensor, value: Tensor, before: int, after: int, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Attend from each frame to those at most ``before`` earlier and ``after`` later.

    Args:
        query: (B, H, T, D).
        key: (B, H, T, D).
        value: (B, H, T, D).
        before: frames that are seen before the present one.
        after: frames that are seen after it.
        bias: (H, after + 1 + before) added to the scores of ages −after … before, an age being that of the key in
            frames; None adds nothing.
        dropout: share of the attention weights that is dropped.

    Returns:
        (B, H, T, D).
    """
    batch, _, frames, _ = query.shape
    before, after, bias = _within(frames, before, after, bias)
    size = min(BLOCK, max(64, before + after + 1), frames)
    count = -(-frames // size)
    reach = size + before + after
    padding = count * size - frames
    # Views: (B, H, blocks, D, size) and (B, H, blocks, D, reach).
    queries = F.pad(query, (0, 0, 0, padding)).unfold(2, size, size)
    keys, values = (F.pad(x, (0, 0, before, after + padding)).unfold(2, reach, size) for x in (key, value))
    together = max(1, _GROUP // (size * reach))
    # Where in the slab a query stands is its place in the block + before.
    age = torch.arange(size, device=query.device)[:, None] + before - torch.arange(reach, device=query.device)
    made = []
    for group, (q, k, v) in enumerate(
        zip(*(torch.split(x, together, dim=2) for x in (queries, keys, values)), strict=True)
    ):
        seen = _seen(age, before, after, frames, size, torch.arange(q.shape[2], device=age.device) + group * together)
        mask = seen if bias is None else _with_bias(seen, age, after, bias)
        # Flash attention wants four dimensions, so that blocks are taken for a batch.
        q, k, v = (x.permute(0, 2, 1, 4, 3).flatten(0, 1) for x in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.repeat(batch, 1, 1, 1), dropout_p=dropout)
        made.append(attended.reshape(batch, -1, *attended.shape[1:]).transpose(1, 2).flatten(2, 3))
    return torch.cat(made, dim=2)[:, :, :frames]


def _within(frames: int, before: int, after: int, bias: Tensor | None) -> tuple[int, int, Tensor | None]:
    """Return the window cut down to what ``frames`` frames can show."""
    near_before, near_after = min(before, frames - 1), min(after, frames - 1)
    if bias is not None:
        bias = bias[:, after - near_after : after + 1 + near_before]
    return near_before, near_after, bias


def _seen(age: Tensor, before: int, after: int, frames: int, size: int, blocks: Tensor) -> Tensor:
    """(blocks, 1, size, reach) bool: which keys of their slab the queries see.

    Padded queries see everything: a row without any key would be NaN.
    """
    start = blocks[:, None] * size
    place = start - before + torch.arange(age.shape[1], device=age.device)
    there = ((place >= 0) & (place < frames))[:, None, :]
    padded = (start + torch.arange(size, device=age.device) >= frames)[:, :, None]
    return ((age >= -after) & (age <= before) & there | padded)[:, None]


def _with_bias(seen: Tensor, age: Tensor, after: int, bias: Tensor) -> Tensor:
    """(blocks, H, size, reach) float: the bias of what is seen, −∞ elsewhere."""
    by_age = bias[:, (age + after).clamp(0, bias.shape[1] - 1)]
    return by_age.masked_fill(~seen, float("-inf"))
