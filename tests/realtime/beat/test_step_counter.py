"""The dancer's steps: on every beat, of fast music on every second, and steady whatever the bar's count does."""

import numpy as np
import pytest

from dancerev.model.features import AUDIO_FEATURES, STEP_COS, STEP_SIN, TEMPO, AcousticFrame, BeatState, network_input
from dancerev.realtime.beat.step_counter import StepCounter


def states(bpm, seconds=20.0, bar=0.0, slip=None):
    """Beats of a steady tempo, 15 states a second; the bar's count is one beat off from ``slip`` seconds on."""
    found = []
    for time in np.arange(1, seconds * 15) / 15:
        beats = time * bpm / 60.0
        count = int(beats) + (slip is not None and time > slip)
        found.append(BeatState(time, beats % 1.0, 60.0 / bpm, 0.8, count % 4, bar_confidence=bar))
    return found


def counted(beats):
    counter = StepCounter()
    return [counter.count(beat) for beat in beats]


@pytest.mark.parametrize(("bpm", "per_step"), [(60, 1), (100, 1), (125, 1), (136, 2), (175, 2)])
def test_fast_music_is_stepped_to_on_every_second_beat(bpm, per_step):
    for beat in counted(states(bpm)):
        assert beat.beats_per_step == per_step
        assert beat.beat_in_step == beat.beat_in_bar % per_step


def test_about_the_fastest_step_the_steps_stay_as_they_are():
    for first, per_step in ((120, 1), (140, 2)):
        beats = [*states(first, 2.0), *states(132, 2.0), *states(128, 2.0)]
        assert {beat.beats_per_step for beat in counted(beats)} == {per_step}


def phases(beats):
    return np.unwrap([2 * np.pi * beat.steps_at(beat.time) for beat in beats])


def test_a_doubt_about_the_bar_does_not_change_the_feet():
    steady, doubtful = (phases(counted(states(150, 20.0, 0.2, slip))) for slip in (None, 10.0))
    np.testing.assert_allclose(doubtful, steady)


def test_a_sure_bar_begins_with_a_step_again():
    beats = counted(states(150, 40.0, 1.0, 10.0))
    assert beats[-1].beat_in_step == beats[-1].beat_in_bar % 2
    changes = [now.beat_in_step == now.beat_in_bar % 2 for now in beats]
    assert 5.0 < changes[152:].index(True) / 15 < 12.0


def test_the_network_hears_the_step():
    beat = counted(states(160))[-1]
    later = beat.time + 1 / 15
    row = network_input(AcousticFrame(beat.time, np.zeros(len(AUDIO_FEATURES), dtype=np.float32), beat), later)
    turn = 2 * np.pi * (later * 160 / 60) / 2
    np.testing.assert_allclose(row[[STEP_SIN, STEP_COS]], [np.sin(turn), np.cos(turn)], atol=1e-5)
    assert row[TEMPO] == pytest.approx(np.log2(80 / 120), abs=1e-5)
    assert beat.at(later).steps_at(later) % 1.0 == pytest.approx(beat.steps_at(later) % 1.0)


@pytest.mark.parametrize(("bpm", "per_step"), [(100, 1), (170, 3)])
def test_a_fast_waltz_is_stepped_to_on_every_downbeat_once_the_bar_is_sure(bpm, per_step):
    found = counted(
        BeatState(beat.time, beat.phase, beat.period, 0.8, int(beat.time * bpm / 60.0) % 3, 3, 0.8)
        for beat in states(bpm)
    )
    for beat in found[8 * 15 :]:
        assert beat.beats_per_step == per_step
        assert beat.beat_in_step == beat.beat_in_bar % per_step


def test_a_short_doubt_about_the_metre_does_not_change_the_feet():
    steady = states(150, 12.0, 0.8)
    doubtful = [
        BeatState(beat.time, beat.phase, beat.period, 0.8, beat.beat_in_bar % 3, 3, 0.5)
        if 6.0 < beat.time < 8.0
        else beat
        for beat in steady
    ]
    np.testing.assert_allclose(phases(counted(doubtful)), phases(counted(steady)))
