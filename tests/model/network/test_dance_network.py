"""The network: streaming equals the whole, it is causal, and its codes round-trip. Tiny, seeded."""

import pytest
import torch

from dancerev.model.features import FEATURE_SIZE, STEP_COS, STEP_SIN
from dancerev.model.network.codebook import Codebook
from dancerev.model.network.config import DanceConfig
from dancerev.model.network.dance_network import Conditions, DanceNetwork
from dancerev.model.network.free_run import gumbel
from dancerev.model.pose import POSE_SIZE

TINY = DanceConfig(
    width=16, layers=2, heads=2, feed_forward=32, window=9, hidden=24, lstm_layers=3, levels=(3, 5), memory=(2, 5)
)


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
    style = torch.softmax(torch.randn(batch, 1, len(TINY.styles), generator=generator), -1)
    given = Conditions(
        features,
        style.expand(-1, frames, -1),
        torch.randn(batch, frames, 2, generator=generator),
        torch.randn(batch, frames, 2, generator=generator),
        torch.randn(batch, frames, 1, generator=generator),
        torch.rand(batch, 1, 1, generator=generator).expand(-1, frames, -1),
    )
    return given, torch.randn(batch, frames + 1, POSE_SIZE, generator=generator)


def at(given, t):
    """One frame of the conditions."""
    return Conditions(*(x[:, t] for x in given))


def stream(network, given, first_pose, seed=0):
    """The stage's way, frame by frame."""
    state = network.initial_state(first_pose)
    generator = torch.Generator().manual_seed(seed)
    made = []
    for t in range(given.features.shape[1]):
        noise = gumbel(len(given.features), TINY.codes, generator)
        pose, state = network.step(at(given, t), noise, state)
        made.append(pose)
    return torch.stack(made, 1), state


@torch.no_grad()
def test_streaming_equals_whole(network):
    given, poses = sequence(48)
    own = torch.ones(48, dtype=torch.bool)
    whole, logits, index = network(given, poses, own)
    codes, due, past = network.posterior(given.features, network.normalize_pose(poses[:, 1:]))
    assert torch.equal(network.codebook.index(codes[due]), index)
    assert len(logits) == len(index) == due.sum()
    assert due.sum(dim=1).min() >= 10
    assert due.sum(dim=1).max() <= 15  # 48 frames hold 12.8 half steps
    state = network.initial_state(poses[:, 0])
    made = []
    for t in range(48):
        wanted = network.codebook.index(codes[:, t])
        noise = 1e6 * torch.nn.functional.one_hot(wanted, TINY.codes)  # the draw that lands on the wanted code
        pose, state = network.step(at(given, t), noise, state)
        assert torch.equal(state.code, codes[:, t])
        reminded = torch.cat([state.past[:, -ago] for ago in TINY.memory], dim=-1)
        assert torch.equal(reminded, past[:, t])
        made.append(pose)
    torch.testing.assert_close(network.normalize_pose(torch.stack(made, 1)), whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_codes_are_drawn_as_often_as_the_prior_says(network):
    one, poses = sequence(1)
    one, poses = Conditions(*(x[:1] for x in one)), poses[:1]
    one = one._replace(phrase=torch.zeros_like(one.phrase))
    _, logits, _ = network(one, poses, torch.ones(1, dtype=torch.bool))
    given, poses = Conditions(*(x.expand(4000, *x.shape[1:]) for x in one)), poses.expand(4000, -1, -1)
    share = torch.softmax(logits[0], -1)
    noise = gumbel(4000, TINY.codes, torch.Generator().manual_seed(0))
    _, state = network.step(at(given, 0), noise, network.initial_state(poses[:, 0]))
    drawn = torch.bincount(network.codebook.index(state.code), minlength=TINY.codes) / 4000
    assert (drawn - share).abs().max() < 0.04
    _, state = network.step(at(given, 0), 0 * noise, network.initial_state(poses[:, 0]))
    assert (network.codebook.index(state.code) == share.argmax()).all()


@torch.no_grad()
def test_a_code_lasts_half_a_beat(network):
    given, poses = sequence(60, batch=1)
    features = given.features
    state, codes = network.initial_state(poses[:, 0]), []
    for t in range(60):
        noise = gumbel(1, TINY.codes, torch.Generator().manual_seed(t))
        _, state = network.step(at(given, t), noise, state)
        codes.append(int(network.codebook.index(state.code)))
    changes = torch.tensor(codes).diff().nonzero()[:, 0] + 1
    crossings = ((features[0, :, STEP_SIN] >= 0).int().diff() != 0).nonzero()[:, 0] + 1
    assert set(changes.tolist()) <= set(crossings.tolist())
    assert len(changes) > 0.7 * len(crossings)


@torch.no_grad()
def test_causal(network):
    given, poses = sequence(40)
    one, _ = stream(network, given, poses[:, 0])
    changed = given.features.clone()
    changed[:, 25:] += 1.0
    other, _ = stream(network, given._replace(features=changed), poses[:, 0])
    assert torch.equal(one[:, :25], other[:, :25])
    assert not torch.allclose(one[:, 25:], other[:, 25:])


@torch.no_grad()
def test_attention_forgets_what_left_the_window(network):
    features = sequence(40)[0].features
    changed = features.clone()
    changed[:, :5] += 1.0
    one, other = network.encoder(features), network.encoder(changed)
    reach = 5 + TINY.layers * (TINY.window - 1)
    assert not torch.allclose(one[:, reach - 1], other[:, reach - 1])
    torch.testing.assert_close(one[:, reach:], other[:, reach:])


@torch.no_grad()
def test_state_keeps_its_size_and_count(network):
    given, poses = sequence(8)
    _, state = stream(network, Conditions(*(x.repeat(1, 100, 1) for x in given)), poses[:, 0])
    before = network.initial_state(poses[:, 0])
    assert [x.shape for x in state] == [x.shape for x in before]
    assert state.processed.max() == TINY.window


@torch.no_grad()
def test_another_draw_gives_another_dance_and_the_same_draw_the_same(network):
    given, poses = sequence(24)
    one, _ = stream(network, given, poses[:, 0], seed=1)
    again, _ = stream(network, given, poses[:, 0], seed=1)
    other, _ = stream(network, given, poses[:, 0], seed=2)
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
    given, poses = sequence(16)
    made, logits, index = network.train()(given, poses, torch.arange(16) % 3 > 0, noise=0.1)
    loss = made.abs().mean() + torch.nn.functional.cross_entropy(logits, index)
    loss.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("control", ["style", "audience", "vigour", "phrase"])
@torch.no_grad()
def test_every_control_matters(network, control):
    given, poses = sequence(40)
    _, one = stream(network, given, poses[:, 0])
    _, other = stream(network, given._replace(**{control: 1.0 - getattr(given, control)}), poses[:, 0])
    # Phrases matter to what is drawn alone.
    assert not torch.allclose(one.prior_hidden, other.prior_hidden)
    assert (control == "phrase") or not torch.allclose(one.hidden, other.hidden)


@torch.no_grad()
def test_free_phrases_know_nothing_of_earlier_ones(network):
    given, poses = sequence(1)
    state = network.initial_state(poses[:, 0])
    reminded = state._replace(past=torch.ones_like(state.past))
    noise = torch.zeros(2, TINY.codes)
    for phrase, same in ((0.0, True), (1.0, False)):
        told = at(given._replace(phrase=torch.full_like(given.phrase, phrase)), 0)
        (_, one), (_, other) = network.step(told, noise, state), network.step(told, noise, reminded)
        assert torch.equal(one.prior_hidden, other.prior_hidden) == same


@torch.no_grad()
def test_a_phrase_that_comes_again_brings_the_codes_of_eight_counts_ago(network):
    """The tiny network is reminded of two half steps ago, so a phrase has two."""
    generator = torch.Generator().manual_seed(3)
    given, poses = sequence(12)
    drawn = {}
    for phrase in (0.0, 1.0):
        state, codes = network.initial_state(poses[:, 0]), []
        for t in range(12):
            step = at(given, t)
            step.features[..., STEP_SIN] = 1.0 - 2.0 * (t % 2)  # a half step in every frame
            told = step._replace(phrase=torch.full_like(step.phrase, phrase * (t % 4 >= 2)))
            _, state = network.step(told, gumbel(2, TINY.codes, generator), state)
            codes.append(network.codebook.index(state.code))
        drawn[phrase] = torch.stack(codes).view(3, 2, 2, 2)  # pairs of phrases, first or second, half steps, dancers
    again = {phrase: (codes[:, 0] == codes[:, 1]).float().mean() for phrase, codes in drawn.items()}
    assert again[1.0] == 1.0
    assert again[0.0] < 0.5
