"""The states of the bar pointer: each position of each tempo and metre once, each beat entered where the last ends."""

import numpy as np
import pytest

from dancerev.realtime.beat.bar_pointer import (
    BEAT_OF,
    METRE_OF,
    METRE_PRIOR,
    METRES,
    PARTS,
    POSITIONS,
    PRIOR_BPM,
    PRIOR_OCTAVES,
    BarSpace,
)
from dancerev.realtime.beat.beat_network import RATE


@pytest.fixture(scope="module")
def space():
    return BarSpace(60.0, 180.0)


def test_tempi_span_the_range_and_each_has_a_bar_of_every_metre(space):
    assert 60.0 / space.periods[0] == pytest.approx(180.0)
    assert 60.0 / space.periods[-1] == pytest.approx(60.0)
    assert space.lengths.sum() == space.states == len(space.beat) == len(space.period)
    assert np.abs(space.lengths - np.outer(space.periods * RATE, METRES)).max() <= 0.5


@pytest.mark.parametrize("metre", range(len(METRES)))
def test_a_pointer_at_a_steady_tempo_returns_after_a_bar(space, metre):
    columns = np.flatnonzero(METRES[metre] == METRE_OF)
    for tempo, steps in enumerate(space.lengths[:, metre]):
        state, seen = int(space.start[tempo, metre]), []
        before, first = space.before[tempo, columns].tolist(), space.first[tempo, columns].tolist()
        leaving = dict(zip(before, first, strict=True))
        for _ in range(steps):
            seen.append(state)
            state = leaving.get(state, state + 1)
        assert state == space.start[tempo, metre]
        assert len(set(seen)) == steps
        assert np.count_nonzero(np.diff(space.beat[seen]) < 0.0) == METRES[metre] - 1
        assert (space.metre[seen] == metre).all()


def test_changes_are_probabilities_and_nearer_tempi_are_likelier(space):
    np.testing.assert_allclose(space.tempo_change.sum(axis=0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(space.metre_change.sum(axis=1), 1.0, rtol=1e-5)
    for tempo in range(1, len(space.periods) - 1):
        falling = space.tempo_change[tempo:, tempo]
        assert (np.diff(falling) <= 0.0).all()
        assert space.tempo_change[tempo, tempo] == space.tempo_change[:, tempo].max()


def test_the_metre_changes_at_downbeats_only(space):
    within = space.metre_change * (METRE_OF[:, None] != METRE_OF)
    assert (np.argwhere(within > 0.0) == np.argwhere((within > 0.0) & (BEAT_OF == 0) & (BEAT_OF[:, None] == 0))).all()


def test_the_parts_of_a_beat_divide_the_states(space):
    assert len(space.parts) == len(space.periods) * POSITIONS * PARTS
    assert (np.diff(space.parts) > 0).all()
    assert (space.part[space.parts] == np.tile(np.arange(PARTS), len(space.periods) * POSITIONS)).all()


def test_states_near_a_beat_share_in_it(space):
    close, shares = space.near_beats(1.5)
    assert shares.shape == (4, len(close))
    downbeat, other, beat, middle = shares
    assert ((downbeat > 0.0).astype(int) + (other > 0.0) + (middle > 0.0) == 1).all()
    np.testing.assert_allclose(beat, downbeat + other)
    assert np.isin(space.first, close[beat > 0.3]).all()


def test_the_prior_is_a_probability_over_tempo_and_metre(space):
    state, _ = space.prior(PRIOR_BPM, PRIOR_OCTAVES, 1.0)
    assert state.sum() == pytest.approx(1.0, rel=1e-4)
    metres = np.bincount(space.metre, weights=state)
    np.testing.assert_allclose(metres, METRE_PRIOR, rtol=1e-3)
