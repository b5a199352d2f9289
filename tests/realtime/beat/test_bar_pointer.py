"""The bar pointer's states: every position of every tempo once, in order, each beat entered where the last one ends."""

import numpy as np
import pytest

from dancerev.realtime.beat.bar_pointer import BEATS, PARTS, BarSpace
from dancerev.realtime.beat.beat_network import RATE


@pytest.fixture(scope="module")
def space():
    return BarSpace(60.0, 180.0)


def test_tempi_span_the_range_and_each_has_its_bar(space):
    assert 60.0 / space.periods[0] == pytest.approx(180.0, rel=0.01)
    assert 60.0 / space.periods[-1] == pytest.approx(60.0, rel=0.01)
    assert space.bars.sum() == len(space.beat) == len(space.period)
    np.testing.assert_allclose(space.bars, BEATS * RATE * space.periods)


def test_a_pointer_at_a_steady_tempo_comes_back_after_a_bar(space):
    for tempo, bar in enumerate(space.bars):
        state, seen = int(space.start[tempo]), []
        leaving = dict(zip(space.before[tempo].tolist(), space.first[tempo].tolist(), strict=True))
        for _ in range(bar):
            seen.append(state)
            state = leaving.get(state, state + 1)
        assert state == space.start[tempo]
        assert len(set(seen)) == bar
        assert np.count_nonzero(np.diff(space.beat[seen]) < 0.0) == BEATS - 1


def test_tempo_changes_are_chances_and_the_nearer_the_likelier(space):
    np.testing.assert_allclose(space.change.sum(axis=0), 1.0, rtol=1e-5)
    for tempo in range(1, len(space.bars) - 1):
        falling = space.change[tempo:, tempo]
        assert (np.diff(falling) <= 0.0).all()
        assert space.change[tempo, tempo] == space.change[:, tempo].max()


def test_the_parts_of_a_beat_divide_the_states(space):
    assert len(space.parts) == len(space.bars) * BEATS * PARTS
    assert (np.diff(space.parts) > 0).all()
    assert (space.part[space.parts] == np.tile(np.arange(PARTS), len(space.bars) * BEATS)).all()
