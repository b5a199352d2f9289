"""The beat of drum loops is found fast, held steadily, told ahead, and taken from the performer's hand."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from dancerev.model.features import BeatState
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.beat.aubio import AubioTracker
from dancerev.realtime.beat.bar_pointer import BarSpace
from dancerev.realtime.beat.bar_pointer_tracker import BarPointerTracker
from dancerev.realtime.beat.engines import bpm_range, make_tracker
from dancerev.realtime.beat.midi_clock import MidiTracker
from dancerev.realtime.beat.tap import TapTempo
from dancerev.realtime.beat.tracker import BeatClock
from dancerev.realtime.features import FeatureExtractor

FRAME = SAMPLE_RATE // 15
START = 0.3  # seconds; the first beat


def hit(rng, pitch, noise, decay):
    time = np.arange(int(0.15 * SAMPLE_RATE)) / SAMPLE_RATE
    tone = (1 - noise) * np.sin(2 * np.pi * pitch * time) + noise * rng.normal(scale=0.5, size=len(time))
    return tone * np.exp(-time * decay)


def drums(beats, seconds, downbeats=False):
    """Bass drum and snare in turn at ``beats`` (seconds), hats on eighths; peak 1. ``downbeats``: no drum on 3."""
    rng = np.random.default_rng(0)
    samples = np.zeros(int(seconds * SAMPLE_RATE) + SAMPLE_RATE)
    kick, snare = hit(rng, 60.0, 0.05, 30.0), hit(rng, 190.0, 0.7, 30.0)
    hat = 0.3 * np.diff(hit(rng, 0.0, 1.0, 80.0), prepend=0.0)

    def play(sound, time):
        start = round(time * SAMPLE_RATE)
        if start < len(samples) - len(sound):
            samples[start : start + len(sound)] += sound

    for index, (beat, following) in enumerate(pairwise(beats)):
        if not (downbeats and index % 4 == 2):
            play(snare if index % 2 else kick, beat)
        play(hat, beat)
        play(hat, 0.5 * (beat + following))
    samples = samples[: int(seconds * SAMPLE_RATE)]
    return (samples / np.abs(samples).max()).astype(np.float32)


def waltz(beats, seconds):
    """Bass drum and a low note on the one, a chord on two and three; peak 1."""
    rng = np.random.default_rng(0)
    samples = np.zeros(int(seconds * SAMPLE_RATE) + SAMPLE_RATE)
    time = np.arange(int(0.3 * SAMPLE_RATE)) / SAMPLE_RATE
    for index, beat in enumerate(beats):
        pitches = (392.0, 494.0, 587.0) if index % 3 else (98.0, 196.0)
        sound = sum(np.sin(2 * np.pi * pitch * time) for pitch in pitches) * np.exp(-8.0 * time) / len(pitches)
        sound[: int(0.15 * SAMPLE_RATE)] += hit(rng, 60.0, 0.05, 30.0) if index % 3 == 0 else 0.0
        start = round(beat * SAMPLE_RATE)
        if start < len(samples) - len(sound):
            samples[start : start + len(sound)] += sound
    samples = samples[: int(seconds * SAMPLE_RATE)]
    return (samples / np.abs(samples).max()).astype(np.float32)


def steady(bpm, seconds=12.0):
    return np.arange(START, seconds + 2.0, 60.0 / bpm)


def follow(samples, tracker=None):
    ear, clock, beats = FeatureExtractor(tracker), BeatClock(), []
    states = []
    for start in range(0, len(samples) - FRAME + 1, FRAME):
        for frame in ear.push(samples[start : start + FRAME]):
            states.append(frame.beat)
            beats += clock.announce(frame.beat, frame.time + 1.0 / 15.0)
    return states, np.array(beats)


def errors(announced, true):
    return np.array([np.min(np.abs(true - beat)) for beat in announced])


def phase_errors(states, bpm):
    """Seconds by which the states' phase is behind."""
    beats = np.array([(state.time - START) * bpm / 60.0 - state.phase for state in states])
    return ((beats + 0.5) % 1.0 - 0.5) * 60.0 / bpm


@pytest.fixture(scope="module")
def at_120():
    return follow(drums(steady(120), 12.0))


@pytest.mark.parametrize("bpm", [84, 97.3, 120, 133.7, 155])
def test_a_loop_is_locked_within_two_seconds_and_held(bpm):
    true = steady(bpm)
    states, beats = follow(drums(true, 12.0))
    after = beats[beats > START + 2.0]
    assert errors(after, true).max() < 0.03
    assert np.abs(np.diff(after) - 60.0 / bpm).max() < 0.03
    assert after[-1] > 12.0 - 60.0 / bpm
    assert abs(states[-1].bpm / bpm - 1.0) < 0.005
    assert states[-1].confidence > 0.8


@pytest.mark.parametrize("bpm", [58, 62, 66, 76])
@pytest.mark.slow
def test_slow_music_with_eighths_on_the_hats_has_one_octave_and_keeps_it(bpm):
    states, _ = follow(drums(steady(bpm, 40.0), 40.0))
    octaves = np.log2([state.bpm / bpm for state in states if state.time > 4.0])
    assert np.ptp(octaves) < 0.05
    assert abs(octaves[0] - round(octaves[0])) < 0.05


@pytest.mark.parametrize("bpm", [70, 80])
@pytest.mark.slow
def test_between_two_octaves_it_decides_once(bpm):
    states, _ = follow(drums(steady(bpm, 40.0), 40.0))
    octaves = np.log2([state.bpm / bpm for state in states if state.time > 4.0])
    assert (np.abs(np.diff(octaves)) > 0.3).sum() <= 1


def test_steady_phase_has_no_jitter(at_120):
    late = phase_errors([state for state in at_120[0] if state.time > 5.0], 120)
    assert late.std() < 0.003
    assert abs(late.mean()) < 0.005


def test_the_next_beat_is_right_a_beat_ahead(at_120):
    told = np.array([state.next_beat for state in at_120[0] if state.time > 4.0 and state.phase < 0.15])
    assert np.median(errors(told, steady(120))) < 0.01


def test_phase_never_runs_backwards_once_locked(at_120):
    beats = np.unwrap([2 * np.pi * state.phase for state in at_120[0] if state.time > 4.0])
    assert np.diff(beats).min() > 0.0


def test_a_tempo_step_is_followed_within_three_seconds():
    true = np.concatenate([np.arange(START, 8.0, 0.5), 8.3 + np.arange(0.0, 10.0, 60.0 / 140.0)])
    _, beats = follow(drums(true, 15.0))
    assert errors(beats[(beats > 2.5) & (beats < 8.2)], true).max() < 0.03
    assert errors(beats[beats > 11.3], true).max() < 0.03


def test_noise_does_not_matter():
    true = steady(112)
    samples = drums(true, 12.0)
    noise = np.random.default_rng(1).normal(scale=0.1 * samples.std() * 10**0.25, size=len(samples))
    _, beats = follow((samples + noise).astype(np.float32))
    assert errors(beats[beats > 3.0], true).max() < 0.03


def test_level_does_not_matter(at_120):
    _, beats = follow(drums(steady(120), 12.0) * np.float32(0.01))
    late = at_120[1] > 3.0
    np.testing.assert_allclose(beats[-np.sum(late) :], at_120[1][late], atol=0.01)


def test_the_same_sound_gives_the_same_beat(at_120):
    again = follow(drums(steady(120), 12.0))
    assert again[0] == at_120[0]
    assert (again[1] == at_120[1]).all()


def test_silence_holds_the_tempo_with_falling_confidence():
    samples = np.concatenate([drums(steady(120, 8.0), 8.0), np.zeros(8 * SAMPLE_RATE, dtype=np.float32)])
    states, beats = follow(samples)
    rest = [state for state in states if state.time > 9.0]
    assert max(abs(state.bpm - 120.0) for state in rest) < 1.0
    confidence = [state.confidence for state in rest]
    assert (np.diff(confidence) < 0.0).all()
    assert confidence[-1] < 0.25
    assert errors(beats[beats > 9.0], steady(120, 20.0)).max() < 0.06


def test_never_any_beat_in_silence_alone():
    states, _ = follow(np.zeros(4 * SAMPLE_RATE, dtype=np.float32))
    assert max(state.confidence for state in states) == 0.0
    assert all(np.isfinite(state.phase) for state in states)


def test_the_downbeat_is_found_where_the_music_shows_it():
    states, _ = follow(drums(steady(110, 20.0), 20.0, downbeats=True))
    late = [state for state in states if state.time > 12.0]
    true = [int((state.time - START) * 110 / 60) % 4 for state in late]
    right = np.mean([state.beat_in_bar == beat for state, beat in zip(late, true, strict=True)])
    assert right > 0.9
    assert late[-1].bar_confidence > 0.5


def test_this_is_the_one(at_120):
    tracker = BarPointerTracker()
    samples = drums(steady(120), 12.0)
    ear = FeatureExtractor(tracker)
    ear.push(samples[: 6 * SAMPLE_RATE])
    tracker.set_downbeat(START + 11 * 0.5 + 0.06)  # a little late, as hands are
    states = [frame.beat for frame in ear.push(samples[6 * SAMPLE_RATE :])]
    clear = [state for state in states if 0.1 < state.phase < 0.9]
    assert all(state.beat_in_bar == (int((state.time - START) / 0.5) - 11) % state.beats_per_bar for state in clear)
    assert states[-1].bar_confidence > 0.8


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_half_and_double_stick(factor):
    tracker = BarPointerTracker()
    samples = drums(steady(96, 20.0), 20.0)
    ear = FeatureExtractor(tracker)
    before = ear.push(samples[: 6 * SAMPLE_RATE])[-1].beat
    assert tracker.scale_tempo(factor) == (factor == 2.0)
    after = [frame.beat for frame in ear.push(samples[6 * SAMPLE_RATE :])]
    if factor == 0.5:
        assert before.bpm == pytest.approx(96.0, rel=0.01)
        assert all(state.bpm == pytest.approx(before.bpm, rel=0.01) for state in after)  # 48 is out of the range
    else:
        assert all(state.bpm == pytest.approx(192.0, rel=0.01) for state in after)


def test_half_of_a_fast_tempo_sticks():
    tracker = BarPointerTracker()
    samples = drums(steady(150, 20.0), 20.0)
    ear = FeatureExtractor(tracker)
    ear.push(samples[: 6 * SAMPLE_RATE])
    tracker.scale_tempo(0.5)
    assert all(frame.beat.bpm == pytest.approx(75.0, rel=0.01) for frame in ear.push(samples[6 * SAMPLE_RATE :]))


def test_only_half_and_double_are_taken():
    for tracker in (BarPointerTracker(), AubioTracker()):
        with pytest.raises(ValueError, match=r"halved \(0.5\) or doubled \(2\)"):
            tracker.scale_tempo(3.0)


@pytest.mark.parametrize("make", [BarPointerTracker, AubioTracker])
def test_taps_set_tempo_and_phase_over_silence(make):
    tracker = make()
    ear = FeatureExtractor(tracker)
    ear.push(np.zeros(3 * SAMPLE_RATE, dtype=np.float32))
    for tap in (1.0, 1.61, 2.19, 2.8):  # 100 BPM, with unsteady hands
        tracker.tap(tap)
    state = ear.push(np.zeros(FRAME, dtype=np.float32))[-1].beat
    assert state.bpm == pytest.approx(100.0, rel=0.02)
    assert (state.next_beat - 2.8) % 0.6 == pytest.approx(0.6, abs=0.03)


def test_taps_decide_between_two_readings_of_the_same_music():
    tracker = BarPointerTracker()
    samples = drums(steady(150, 16.0), 16.0)
    ear = FeatureExtractor(tracker)
    ear.push(samples[: 4 * SAMPLE_RATE])
    for beat in range(4):
        tracker.tap(START + 0.8 * beat)
    states = [frame.beat for frame in ear.push(samples[4 * SAMPLE_RATE :])]
    assert all(state.bpm == pytest.approx(75.0, rel=0.02) for state in states)


def test_tap_tempo_begins_anew_after_a_pause():
    taps = TapTempo(55.0, 215.0)
    assert [taps.add(time) for time in (0.0, 0.5, 5.0, 5.4)] == [None] * 4
    beat, period = taps.add(5.8)
    assert beat == pytest.approx(5.8)
    assert period == pytest.approx(0.4)


def test_beats_are_announced_in_time_once_and_in_order(at_120):
    states, beats = at_120
    assert (np.diff(beats) > 0.25).all()
    clock = BeatClock()
    for state in states:
        assert all(state.time <= beat < state.time + 1 / 15 for beat in clock.announce(state, state.time + 1 / 15))


def test_a_beat_that_is_told_twice_is_announced_once():
    clock = BeatClock()
    assert clock.announce(BeatState(time=1.0, phase=0.9, period=0.5, confidence=1.0), 1.0667) == [1.05]
    assert clock.announce(BeatState(time=1.0667, phase=0.98, period=0.5, confidence=1.0), 1.1334) == []


def test_tempo_range_is_kept_and_checked():
    states, _ = follow(drums(steady(150, 8.0), 8.0), BarPointerTracker(60.0, 100.0))
    assert all(59.0 <= state.bpm <= 101.0 for state in states)
    for wrong in ((100.0, 100.0), (5.0, 100.0), (100.0, 226.0), (float("nan"), 100.0)):
        with pytest.raises(ValueError, match="tempo range"):
            BarPointerTracker(*wrong)


@pytest.mark.parametrize("tempi", [(20.0, 225.0), (20.0, 20.1), (120.0, 120.1), (224.0, 225.0)])
def test_the_widest_and_the_narrowest_ranges_are_followed(tempi):
    states, _ = follow(drums(steady(tempi[1], 4.0), 4.0), BarPointerTracker(*tempi))
    assert all(0.99 * tempi[0] <= state.bpm <= 1.01 * tempi[1] for state in states)


@pytest.mark.parametrize("tempi", [(20.0, 225.0), (60.0, 225.0), (224.0, 225.0)])
def test_every_part_of_every_beat_has_states(tempi):
    space = BarSpace(*tempi)
    assert (np.diff(np.append(space.parts, len(space.beat))) > 0).all()


def test_aubio_follows_behind_the_same_interface():
    true = steady(120, 20.0)
    states, beats = follow(drums(true, 20.0), AubioTracker())
    assert states[-1].bpm == pytest.approx(120.0, rel=0.02)
    assert np.median(errors(beats[beats > 10.0], true)) < 0.03
    assert all(0.0 <= state.phase < 1.0 and 0.0 <= state.confidence <= 1.0 for state in states)


@pytest.mark.parametrize("make", [BarPointerTracker, AubioTracker, MidiTracker])
@pytest.mark.parametrize("seed", range(3))
def test_every_state_of_every_engine_is_within_its_bounds(make, seed):
    rng = np.random.default_rng(seed)
    parts = [drums(steady(90.0 + 40.0 * seed, 5.0), 5.0), np.zeros(3 * SAMPLE_RATE, dtype=np.float32)]
    parts += [rng.normal(scale=10.0 ** rng.uniform(-4.0, 0.0), size=2 * SAMPLE_RATE).astype(np.float32)]
    parts += [drums(steady(171.0, 4.0), 4.0)]
    rng.shuffle(parts)
    states, _ = follow(np.concatenate(parts), make())
    for state in states:
        assert 0.0 <= state.phase < 1.0
        assert 0.0 <= state.confidence <= 1.0
        assert 0.0 <= state.bar_confidence <= 1.0
        assert 0 <= state.beat_in_bar < state.beats_per_bar
        assert 0.0 < state.period < np.inf


@pytest.mark.parametrize("make", [BarPointerTracker, AubioTracker, MidiTracker])
def test_no_beat_is_predicted_in_silence(make):
    _, beats = follow(np.zeros(10 * SAMPLE_RATE, dtype=np.float32), make())
    assert len(beats) == 0


def test_a_waltz_is_counted_in_three():
    true = steady(132.0, 24.0)
    samples = waltz(true, 24.0)
    states, _ = follow(samples)
    late = [state for state in states if state.time > 14.0]
    assert np.mean([state.beats_per_bar == 3 for state in late]) > 0.9
    counts = [int((state.time - START) * 132.0 / 60.0) % 3 == state.beat_in_bar for state in late]
    assert np.mean(counts) > 0.85


def test_a_held_tempo_stays_and_the_phase_follows():
    first, second = steady(120, 6.0), np.arange(8.0, 16.0, 60.0 / 126.0)
    tracker = BarPointerTracker()
    extractor = FeatureExtractor(tracker)
    samples = drums(np.concatenate([first, second]), 16.0)
    extractor.push(samples[: 6 * SAMPLE_RATE])
    tracker.hold_tempo(True)
    held = [frame.beat for frame in extractor.push(samples[6 * SAMPLE_RATE :])]
    assert all(state.bpm == pytest.approx(120.0, rel=0.01) for state in held)
    tracker.hold_tempo(False)


def test_a_nudge_moves_the_beats():
    plain, nudged = BarPointerTracker(), BarPointerTracker()
    samples = drums(steady(120, 10.0), 10.0)
    found = []
    for tracker, seconds in ((plain, 0.0), (nudged, 0.04)):
        extractor = FeatureExtractor(tracker)
        extractor.push(samples[: 5 * SAMPLE_RATE])
        tracker.nudge(seconds)
        found.append([frame.beat for frame in extractor.push(samples[5 * SAMPLE_RATE :])])
    for one, other in zip(*found, strict=True):
        assert (one.phase - other.phase) % 1.0 * one.period == pytest.approx(0.04, abs=1e-6)


def test_engines_by_name():
    assert isinstance(make_tracker("own", (60.0, 180.0)), BarPointerTracker)
    assert isinstance(make_tracker("aubio"), AubioTracker)
    assert bpm_range("90-180") == (90.0, 180.0)
    with pytest.raises(ValueError, match="no beat engine"):
        make_tracker("ears")


def test_memory_does_not_grow():
    tracker, samples = BarPointerTracker(), drums(steady(120), 12.0)
    ear = FeatureExtractor(tracker)
    ear.push(samples[: 4 * SAMPLE_RATE])
    tracemalloc.start()
    ear.push(samples[4 * SAMPLE_RATE : 4 * SAMPLE_RATE + FRAME])
    before = tracemalloc.get_traced_memory()[0]
    for start in range(4 * SAMPLE_RATE + FRAME, len(samples) - FRAME, FRAME):
        ear.push(samples[start : start + FRAME])
        tracker.tap(start / SAMPLE_RATE)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 10_000
