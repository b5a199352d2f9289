"""Local attention in blocks against scaled dot-product attention with a banded mask."""

import pytest
import torch
from torch.nn import functional as F

from dancerev.model.network.block_attention import local_attention


def masked(query, key, value, before, after, bias=None):
    """The definition: every query against every key, what is out of the window left out."""
    at = torch.arange(query.shape[2])
    age = at[:, None] - at[None, :]
    seen = (age <= before) & (age >= -after)
    scores = torch.zeros(1, *age.shape) if bias is None else bias[:, (age + after).clamp(0, before + after)]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=scores.masked_fill(~seen, float("-inf")))


def draw(batch, heads, frames, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, heads, frames, width, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize(
    ("batch", "frames", "before", "after"),
    [(1, 1, 3, 3), (2, 7, 59, 0), (2, 96, 59, 0), (1, 700, 60, 0), (2, 899, 100, 100), (1, 1000, 30, 7)],
)
@pytest.mark.parametrize("biased", [False, True])
def test_equals_the_mask_in_values_and_gradients(batch, frames, before, after, biased):
    inputs = draw(batch, 2, frames, 8)
    if biased:
        inputs.append(torch.randn(2, after + 1 + before, generator=torch.Generator().manual_seed(1)).requires_grad_())
    weight = torch.randn(batch, 2, frames, 8, generator=torch.Generator().manual_seed(2)) / frames**0.5
    gradients = []
    made = []
    for attend in (local_attention, masked):
        out = attend(*inputs[:3], before, after, *inputs[3:])
        made.append(out)
        gradients.append(torch.autograd.grad((out * weight).sum(), inputs))
    torch.testing.assert_close(made[0], made[1], atol=1e-6, rtol=1e-6)
    for one, other in zip(*gradients, strict=True):
        assert float((one - other).abs().max()) <= 1e-6 * max(1.0, float(other.abs().max()))


def test_the_result_does_not_depend_on_how_many_blocks_are_taken_at_once(monkeypatch):
    inputs = draw(2, 2, 900, 8)
    whole = local_attention(*inputs, 60, 60)
    monkeypatch.setattr("dancerev.model.network.block_attention._GROUP", 1)
    torch.testing.assert_close(local_attention(*inputs, 60, 60), whole, atol=1e-6, rtol=1e-6)


def test_dropout_drops_weights():
    query, key, _ = draw(1, 1, 300, 4)
    value = torch.ones(1, 1, 300, 4)
    torch.manual_seed(0)
    dropped = local_attention(query, key, value, 20, 20, dropout=0.5).detach()
    assert 0.9 < float(dropped.mean()) < 1.1
    assert float(dropped.std()) > 0.05
