"""The loss that trains the beat network is what the tracker believes, and its gradient is its slope."""

import numpy as np
import pytest
import torch

from dancerev.model.beats.loss import (
    BAR_POWER,
    BEAT_POWER,
    PRIOR_RATE,
    RESTART,
    UNLIKELIEST,
    TensorSpace,
    bars_of,
    batch_of,
    locate,
    tracking_loss,
    truth_of,
)
from dancerev.realtime.beat.bar_pointer import METRES, POSITIONS, PRIOR_BPM, PRIOR_OCTAVES, BarSpace
from dancerev.realtime.beat.bar_pointer_tracker import BAR_DOUBT, BEAT_SHARE, BEAT_WIDTH, DOWNBEAT_SHARE
from dancerev.realtime.beat.beat_network import DELAY, RATE
from dancerev.realtime.beat.tracker import MAX_BPM, MIN_BPM

SECONDS = 8.0
STEPS_IN_ALL = int(SECONDS * RATE)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def states():
    return BarSpace(MIN_BPM, MAX_BPM)


@pytest.fixture(scope="module")
def space(states):
    return TensorSpace(states, CPU)


def beats_at(bpm):
    return np.arange(0.2, SECONDS + 2.0, 60.0 / bpm)


def bars(beats, metre=4):
    return np.arange(len(beats)) % metre == 0


def logits_of(beats, downbeats):
    """(1, steps, 3): the output of a network that detects every beat."""
    logits = torch.zeros(1, STEPS_IN_ALL, 3)
    logits[..., 0] = 6.0
    for beat, is_one in zip(beats, downbeats, strict=True):
        step = round((beat + DELAY) * RATE) - 1
        if step < STEPS_IN_ALL:
            logits[0, step, 2 if is_one else 1] = 12.0
    return logits


def test_the_gradient_is_the_slope(space):
    torch.manual_seed(0)
    beats = beats_at(118.0), beats_at(87.0)
    truth = batch_of([truth_of(each, bars(each), 200) for each in beats], CPU)
    logits = torch.randn(2, 200, 3, requires_grad=True)
    tracking_loss(space, logits, truth).backward()
    direction = (
        torch.randn(logits.shape) * logits.grad.abs() / logits.grad.abs().max() + logits.grad / logits.grad.std()
    )
    with torch.no_grad():
        ahead, behind = (float(tracking_loss(space, logits + sign * 0.02 * direction, truth)) for sign in (1.0, -1.0))
    slope = float((logits.grad * direction).sum())
    assert abs(slope) > 1e-3
    assert (ahead - behind) / 0.04 == pytest.approx(slope, rel=0.02)


def test_it_is_the_forward_algorithm():
    """The belief around the truth is that of a dense matrix of transitions, one plain product after another."""
    states, steps = BarSpace(110.0, 130.0), 90
    beats = np.arange(0.1, 4.0, 0.5)
    truth = truth_of(beats, np.zeros(len(beats), dtype=bool), steps)
    place = locate(TensorSpace(states, CPU), truth)
    logits = torch.randn(1, steps, 3, generator=torch.manual_seed(1))
    prior, bias = states.prior(PRIOR_BPM, PRIOR_OCTAVES, PRIOR_RATE)
    moves = np.eye(len(prior), k=-1)
    moves[states.first.reshape(-1)] = 0.0
    for source in range(POSITIONS):
        for target in range(POSITIONS):
            change = bias[:, None] * states.tempo_change * states.metre_change[source, target]
            moves[np.ix_(states.first[:, target], states.before[:, source])] = change
    away = np.abs(states.position - np.round(states.position)) * states.steps_per_beat
    share = np.maximum(1.0 - away / BEAT_WIDTH, 0.0)
    downbeat = np.round(states.position) % np.asarray(METRES)[states.metre] == 0
    belief, counted = prior.astype(float), []
    for step, (no, beat, one) in enumerate(torch.softmax(logits, dim=2)[0].numpy().astype(float)):
        on = BEAT_POWER * np.log((beat + one) / BEAT_SHARE / no * (1.0 - BEAT_SHARE))
        first = on + BAR_POWER * max(np.log(one / DOWNBEAT_SHARE / (beat + one)), BAR_DOUBT)
        other = on + BAR_POWER * max(np.log(beat / (1.0 - DOWNBEAT_SHARE) / (beat + one)), BAR_DOUBT)
        belief = moves @ belief * np.exp(share * np.where(downbeat, first, other))
        belief = (1.0 - RESTART) * belief / belief.sum() + RESTART * prior
        near = belief[place.states[step, :, 0].numpy()] @ place.on_beat[step, :, 0].numpy()
        counted.append(-np.log(near + UNLIKELIEST))
    expected = np.average(counted, weights=truth.counted[0])
    assert float(tracking_loss(TensorSpace(states, CPU), logits, truth)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("metre", METRES)
@pytest.mark.parametrize("bpm", [62.0, 100.0, 174.0, 190.0])
@pytest.mark.slow
def test_a_network_that_detects_every_beat_is_soon_followed(space, bpm, metre):
    beats = beats_at(bpm)
    truth = truth_of(beats, bars(beats, metre), STEPS_IN_ALL)
    right = float(tracking_loss(space, logits_of(beats, bars(beats, metre)), truth))
    between = float(tracking_loss(space, logits_of(beats + 30.0 / bpm, bars(beats, metre)), truth))
    other_bar = float(tracking_loss(space, logits_of(beats, np.roll(bars(beats, metre), 1)), truth))
    nothing = float(tracking_loss(space, torch.zeros(1, STEPS_IN_ALL, 3), truth))
    assert right < min(other_bar, nothing) < between
    assert right < 0.8 * nothing


@pytest.mark.parametrize("metre", METRES)
def test_the_truth_is_where_the_music_is(states, space, metre):
    """At every step the states that are right have the tempo, the position and the metre of the music."""
    beats = beats_at(120.0)
    place = locate(space, truth_of(beats, bars(beats, metre), STEPS_IN_ALL))
    for step in range(0, STEPS_IN_ALL, 37):
        time = (step + 1) / RATE - DELAY
        found = place.states[step, :, 0].numpy()
        right = found[place.on_bar[step, :, 0].numpy() > 0]
        assert len(np.unique(found)) == len(found)
        assert np.abs(np.log2(states.period[right] / 0.5)).max() < 0.08
        assert (np.asarray(METRES)[states.metre[right]] == metre).all()
        if time > beats[0]:
            off = (states.position[right] - (time - beats[0]) / 0.5 + metre / 2) % metre - metre / 2
            assert np.abs(off).max() < 0.2
            assert abs(off.mean()) < 0.02


def test_a_narrow_space_is_refused():
    with pytest.raises(ValueError, match="needs 5"):
        TensorSpace(BarSpace(118.0, 122.0), CPU)


def test_nothing_is_counted_before_the_music_or_after_it():
    beats = np.arange(2.0, 6.0, 0.5)
    truth = truth_of(beats, np.zeros(len(beats), dtype=bool), STEPS_IN_ALL)
    times = (np.arange(STEPS_IN_ALL) + 1) / RATE - DELAY
    counted = times[truth.counted[0].numpy() > 0]
    assert 3.0 <= counted.min() < 3.05
    assert 5.4 < counted.max() < 5.5
    assert (truth.metre == 0).all()


def test_bars_are_counted_from_their_downbeats_and_odd_ones_are_not_known():
    metre, place = bars_of(np.array([0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0], dtype=bool))
    assert place.tolist() == [2, 0, 1, 2, 0, 1, 2, 3, 4, 0, 1]
    assert metre.tolist() == [3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0]
