"""The loss that trains the ear is what the tracker believes, and its gradient is its slope."""

import numpy as np
import pytest
import torch

from dancerev.model.beats.loss import BAR_POWER, BEAT_POWER, PRIOR_RATE, UNLIKELIEST, WIDTH, locate, tracking_loss
from dancerev.realtime.beat.bar_pointer import BEATS, PRIOR_BPM, PRIOR_OCTAVES, RESTART, BarSpace
from dancerev.realtime.beat.beat_network import DELAY, RATE
from dancerev.realtime.beat.tracker import BAR_DOUBT, BEAT_SHARE, MAX_BPM, MIN_BPM

SECONDS = 8.0
STEPS_IN_ALL = int(SECONDS * RATE)


@pytest.fixture(scope="module")
def space():
    return BarSpace(MIN_BPM, MAX_BPM)


def beats_at(bpm):
    return np.arange(0.2, SECONDS + 2.0, 60.0 / bpm)


def fours(beats):
    return np.arange(len(beats)) % 4 == 0


def logits_of(beats, downbeats):
    """(1, steps, 3): what a network says that hears every beat."""
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
    truths = [locate(space, each, fours(each), 200) for each in beats]
    logits = torch.randn(2, 200, 3, requires_grad=True)
    tracking_loss(space, logits, truths).backward()
    direction = torch.randn(logits.shape) * (logits.grad.abs() > 0)
    with torch.no_grad():
        ahead, behind = (float(tracking_loss(space, logits + sign * 0.02 * direction, truths)) for sign in (1.0, -1.0))
    slope = float((logits.grad * direction).sum())
    assert abs(slope) > 1e-3
    assert (ahead - behind) / 0.04 == pytest.approx(slope, rel=0.02)


def test_it_is_the_forward_algorithm():
    """The belief around the truth is that of a dense matrix of transitions, one plain product after another."""
    space, steps = BarSpace(110.0, 130.0), 90
    beats = np.arange(0.1, 4.0, 0.5)
    truth = locate(space, beats, np.zeros(len(beats), dtype=bool), steps)
    logits = torch.randn(1, steps, 3, generator=torch.manual_seed(1))
    prior, bias = space.prior(PRIOR_BPM, PRIOR_OCTAVES, PRIOR_RATE)
    moves = np.eye(len(prior), k=-1)
    moves[space.first.reshape(-1)] = 0.0
    for beat in range(BEATS):
        moves[np.ix_(space.first[:, beat], space.before[:, beat])] = bias[:, None] * space.change
    near = np.abs(space.position - np.round(space.position)) * np.repeat(space.bars, space.bars) / BEATS
    share, downbeat = np.maximum(1.0 - near / WIDTH, 0.0), np.round(space.position) % BEATS == 0
    chances = torch.softmax(logits, dim=2)[0].numpy().astype(float)
    belief, asked = prior.astype(float), []
    for step, (no, beat, one) in enumerate(chances):
        on = BEAT_POWER * np.log((beat + one) / BEAT_SHARE / no * (1.0 - BEAT_SHARE))
        first = on + BAR_POWER * max(np.log(one * BEATS / (beat + one)), BAR_DOUBT)
        other = on + BAR_POWER * max(np.log(beat * BEATS / (BEATS - 1) / (beat + one)), BAR_DOUBT)
        belief = moves @ belief * np.exp(share * np.where(downbeat, first, other))
        belief = (1.0 - RESTART) * belief / belief.sum() + RESTART * prior
        asked.append(-np.log(belief[truth.states[step]] @ truth.on_beat[step] + UNLIKELIEST))
    expected = np.average(asked, weights=truth.counted)
    assert float(tracking_loss(space, logits, [truth])) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("bpm", [62.0, 100.0, 174.0, 205.0])
def test_who_hears_every_beat_is_soon_followed(space, bpm):
    beats = beats_at(bpm)
    truth = locate(space, beats, fours(beats), STEPS_IN_ALL)
    right = float(tracking_loss(space, logits_of(beats, fours(beats)), [truth]))
    between = float(tracking_loss(space, logits_of(beats + 30.0 / bpm, fours(beats)), [truth]))
    other_bar = float(tracking_loss(space, logits_of(beats, np.roll(fours(beats), 2)), [truth]))
    deaf = float(tracking_loss(space, torch.zeros(1, STEPS_IN_ALL, 3), [truth]))
    assert right < min(other_bar, deaf) < between
    assert right < 0.6 * deaf


def test_the_truth_is_where_the_music_is(space):
    """At every step the middle of the states that are right has the tempo, the position and the bar of the music."""
    beats = beats_at(120.0)
    truth = locate(space, beats, fours(beats), STEPS_IN_ALL)
    assert truth.bar_share > 0.0
    for step in range(0, STEPS_IN_ALL, 37):
        time = (step + 1) / RATE - DELAY
        states = truth.states[step][truth.on_bar[step] > 0]
        assert len(np.unique(truth.states[step])) == len(truth.states[step])
        assert np.abs(np.log2(space.period[states] / 0.5)).max() < 0.06
        if time > beats[0]:
            tempo = np.searchsorted(space.start, states, side="right") - 1
            place = (states - space.start[tempo]) / space.bars[tempo] * BEATS
            off = (place - (time - beats[0]) / 0.5 + BEATS / 2) % BEATS - BEATS / 2
            assert np.abs(off).max() < 0.2
            assert abs(off.mean()) < 0.02


def test_a_narrow_space_is_refused():
    with pytest.raises(ValueError, match="needs 5"):
        locate(BarSpace(118.0, 122.0), beats_at(120.0), fours(beats_at(120.0)), 100)


def test_nothing_is_asked_before_the_music_or_after_it(space):
    beats = np.arange(2.0, 6.0, 0.5)
    truth = locate(space, beats, np.zeros(len(beats), dtype=bool), STEPS_IN_ALL)
    times = (np.arange(STEPS_IN_ALL) + 1) / RATE - DELAY
    asked = times[truth.counted > 0]
    assert 3.0 <= asked.min() < 3.05
    assert 5.4 < asked.max() < 5.5
    assert truth.bar_share == 0.0
