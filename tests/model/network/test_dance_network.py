"""The network: streaming equals the whole, it is causal, and its codes round-trip. Tiny, seeded."""

import pytest
import torch

from dancerev.model.features import FEATURE_SIZE, STEP_COS, STEP_SIN
from dancerev.model.network.dance_network import Codebook, DanceConfig, DanceNetwork
from dancerev.model.network.free_run import gumbel
from dancerev.model.pose import POSE_SIZE

TINY = DanceConfig(width=16, layers=2, heads=2, feed_forward=32, window=9, hidden=24, lstm_layers=3, levels=(3, 5))


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = DanceNetwork(TINY).eval()
    network.pose_mean.normal_()
    network.pose_std.uniform_(0.5, 2.0)
    network.feature_mean.normal_()
    return network


def sequence(frames, batch=2):
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(batch, frames, FEATURE_SIZE, generator=generator)
    beats = torch.arange(frames) / 7.5 + torch.rand(batch, 1, generator=generator)
    features[..., STEP_SIN], features[..., STEP_COS] = torch.sin(2 * torch.pi * beats), torch.cos(2 * torch.pi * beats)
    return (
        features,
        torch.softmax(torch.randn(batch, len(TINY.styles), generator=generator), -1),
        torch.randn(batch, frames, 2, generator=generator),
        torch.randn(batch, frames + 1, POSE_SIZE, generator=generator),
    )


def stream(network, features, style, stage, first_pose, seed=0):
    """The stage's way, frame by frame."""
    state = network.initial_state(first_pose)
    generator = torch.Generator().manual_seed(seed)
    made = []
    for t in range(features.shape[1]):
        noise = gumbel(len(features), TINY.codes, generator)
        pose, state = network.step(features[:, t], style, stage[:, t], noise, state)
        made.append(pose)
    return torch.stack(made, 1), state


@torch.no_grad()
def test_streaming_equals_whole(network):
    features, style, stage, poses = sequence(48)
    own = torch.ones(48, dtype=torch.bool)
    whole, logits, index = network(features, style, stage, poses, own)
    codes, due = network.posterior(features, network.normalize_pose(poses[:, 1:]))
    assert torch.equal(network.codebook.index(codes[due]), index)
    assert len(logits) == len(index) == due.sum()
    assert due.sum(dim=1).min() >= 10
    assert due.sum(dim=1).max() <= 15  # 48 frames hold 12.8 half steps
    state = network.initial_state(poses[:, 0])
    made = []
    for t in range(48):
        wanted = network.codebook.index(codes[:, t])
        noise = 1e6 * torch.nn.functional.one_hot(wanted, TINY.codes)  # the draw that lands on the wanted code
        pose, state = network.step(features[:, t], style, stage[:, t], noise, state)
        assert torch.equal(state.code, codes[:, t])
        made.append(pose)
    torch.testing.assert_close(network.normalize_pose(torch.stack(made, 1)), whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_codes_are_drawn_as_often_as_the_prior_says(network):
    features, style, stage, poses = (x[:1].expand(4000, *x.shape[1:]) for x in sequence(1))
    _, logits, _ = network(features[:1], style[:1], stage[:1], poses[:1], torch.ones(1, dtype=torch.bool))
    share = torch.softmax(logits[0], -1)
    noise = gumbel(4000, TINY.codes, torch.Generator().manual_seed(0))
    _, state = network.step(features[:, 0], style, stage[:, 0], noise, network.initial_state(poses[:, 0]))
    drawn = torch.bincount(network.codebook.index(state.code), minlength=TINY.codes) / 4000
    assert (drawn - share).abs().max() < 0.04
    _, state = network.step(features[:, 0], style, stage[:, 0], 0 * noise, network.initial_state(poses[:, 0]))
    assert (network.codebook.index(state.code) == share.argmax()).all()


@torch.no_grad()
def test_a_code_lasts_half_a_beat(network):
    features, style, stage, poses = sequence(60, batch=1)
    state, codes = network.initial_state(poses[:, 0]), []
    for t in range(60):
        noise = gumbel(1, TINY.codes, torch.Generator().manual_seed(t))
        _, state = network.step(features[:, t], style, stage[:, t], noise, state)
        codes.append(int(network.codebook.index(state.code)))
    changes = torch.tensor(codes).diff().nonzero()[:, 0] + 1
    crossings = ((features[0, :, STEP_SIN] >= 0).int().diff() != 0).nonzero()[:, 0] + 1
    assert set(changes.tolist()) <= set(crossings.tolist())
    assert len(changes) > 0.7 * len(crossings)


@torch.no_grad()
def test_causal(network):
    features, style, stage, poses = sequence(40)
    one, _ = stream(network, features, style, stage, poses[:, 0])
    changed = features.clone()
    changed[:, 25:] += 1.0
    other, _ = stream(network, changed, style, stage, poses[:, 0])
    assert torch.equal(one[:, :25], other[:, :25])
    assert not torch.allclose(one[:, 25:], other[:, 25:])


@torch.no_grad()
def test_attention_forgets_what_left_the_window(network):
    features, _, _, _ = sequence(40)
    changed = features.clone()
    changed[:, :5] += 1.0
    one, other = network.encoder(features), network.encoder(changed)
    reach = 5 + TINY.layers * (TINY.window - 1)
    assert not torch.allclose(one[:, reach - 1], other[:, reach - 1])
    torch.testing.assert_close(one[:, reach:], other[:, reach:])


@torch.no_grad()
def test_state_keeps_its_size_and_count(network):
    features, style, stage, poses = sequence(8)
    _, state = stream(network, features.repeat(1, 100, 1), style, stage.repeat(1, 100, 1), poses[:, 0])
    before = network.initial_state(poses[:, 0])
    assert [x.shape for x in state] == [x.shape for x in before]
    assert state.processed.max() == TINY.window


@torch.no_grad()
def test_another_draw_gives_another_dance_and_the_same_draw_the_same(network):
    features, style, stage, poses = sequence(24)
    one, _ = stream(network, features, style, stage, poses[:, 0], seed=1)
    again, _ = stream(network, features, style, stage, poses[:, 0], seed=1)
    other, _ = stream(network, features, style, stage, poses[:, 0], seed=2)
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_codebook_round_trips_and_lets_the_gradient_through():
    book = Codebook((3, 5, 7))
    every = torch.arange(3 * 5 * 7)
    assert torch.equal(book.index(book.code(every)), every)
    x = torch.randn(100, 3, requires_grad=True)
    code = book.quantize(x)
    torch.testing.assert_close(book.code(book.index(code)), code)
    code.sum().backward()
    assert (x.grad.abs() > 0).all()


def test_every_parameter_learns(network):
    features, style, stage, poses = sequence(16)
    made, logits, index = network.train()(features, style, stage, poses, torch.arange(16) % 3 > 0, noise=0.1)
    loss = made.abs().mean() + torch.nn.functional.cross_entropy(logits, index)
    loss.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
