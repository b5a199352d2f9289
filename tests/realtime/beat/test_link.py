"""Ableton Link: two peers on loopback agree; the session's beat is the dancer's, and ours is the session's."""

import math
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("link")

from dancerev.model.features import BeatState
from dancerev.realtime.beat.engines import make_tracker
from dancerev.realtime.beat.link import BEATS_PER_BAR, LinkSender, LinkSession, LinkTracker


def until(wanted, patience=10.0):
    end = time.perf_counter() + patience
    while not wanted() and time.perf_counter() < end:
        time.sleep(0.05)
    return wanted()


@pytest.fixture
def peers():
    """Two sessions that have found each other; skipped where the machine has no multicast."""
    one, two = LinkSession(100.0), LinkSession(100.0)
    if not until(lambda: one.peers and two.peers):
        one.close()
        two.close()
        pytest.skip("Link finds no peer here")
    yield one, two
    one.close()
    two.close()


def apart(one, two, moment):
    """Seconds between the beats of two sessions."""
    (ours, bpm), (theirs, _) = one.beat_at(moment), two.beat_at(moment)
    return abs(math.remainder(ours - theirs, BEATS_PER_BAR)) * 60.0 / bpm


@pytest.mark.slow
def test_two_peers_agree_to_10_ms(peers):
    one, two = peers
    one.set(time.perf_counter(), 1.25, 133.0)
    assert until(lambda: abs(two.beat_at(time.perf_counter())[1] - 133.0) < 0.01)
    assert until(lambda: apart(one, two, time.perf_counter()) < 0.010)


@pytest.mark.slow
def test_the_tracker_follows_the_session(peers):
    one, two = peers
    tracker = LinkTracker(session=two)
    began = time.perf_counter()
    tracker.attach(lambda seconds: began + seconds)
    one.set(time.perf_counter(), 0.0, 126.0)
    assert until(lambda: abs(two.beat_at(time.perf_counter())[1] - 126.0) < 0.01 and apart(one, two, began) < 0.01)
    for k in range(30):
        state = tracker.update(SimpleNamespace(time=k / 15))
        beats, _ = one.beat_at(began + k / 15)
        assert state.bpm == pytest.approx(126.0, abs=0.01)
        assert abs(math.remainder(state.beat_in_bar + state.phase - beats, 4)) * state.period < 0.01
        assert state.confidence == 1.0


@pytest.mark.slow
def test_our_beat_is_sent_out(peers):
    one, two = peers
    moment = time.perf_counter()
    sender = LinkSender(lambda seconds: moment + seconds, one)
    sender.send_music(BeatState(0.0, 0.5, 60.0 / 140.0, 0.9, 2, 4, 0.9), 0.0, 0.0)
    assert until(lambda: abs(two.beat_at(moment)[1] - 140.0) < 0.01)
    assert until(lambda: abs(math.remainder(two.beat_at(moment)[0] - 2.5, 4)) < 0.025)
    sender.send_music(BeatState(0.0, 0.0, 0.6, 0.1, 0, 4, 0.0), 0.0, 0.0)  # unsure: nothing is sent
    sender.send_music(None, 0.0, 0.0)
    time.sleep(0.5)
    assert two.beat_at(moment)[1] == pytest.approx(140.0, abs=0.01)


def test_alone_the_performer_sets_the_beat():
    tracker = LinkTracker()
    began = time.perf_counter()
    tracker.attach(lambda seconds: began + seconds)
    for k in range(4):
        tracker.tap(1.0 + 0.5 * k)
    state = tracker.update(SimpleNamespace(time=3.0))
    assert state.bpm == pytest.approx(120.0, abs=0.1)
    assert abs(math.remainder(state.phase, 1.0)) < 0.02
    assert 0.0 < state.confidence <= 1.0
    tracker.set_downbeat(3.0)
    assert tracker.update(SimpleNamespace(time=3.01)).beat_in_bar == 0
    tracker.nudge(0.1)
    assert tracker.update(SimpleNamespace(time=3.0)).phase == pytest.approx(0.8, abs=0.03)
    assert tracker.scale_tempo(0.5)
    assert tracker.update(SimpleNamespace(time=3.0)).bpm == pytest.approx(60.0, abs=0.1)
    assert not tracker.scale_tempo(0.5)
    tracker.close()


@pytest.mark.parametrize(("bpm", "factor"), [(214.0, 1.0), (120.0, 0.5), (100.0, 1.0), (70.0, 2.0), (30.0, 1.0)])
def test_a_bar_has_four_beats_at_every_octave(bpm, factor):
    tracker = LinkTracker(60.0, 190.0, LinkSession(bpm))
    began = time.perf_counter()
    tracker.attach(lambda seconds: began + seconds)
    assert factor == 1.0 or tracker.scale_tempo(factor)
    tracker.set_downbeat(0.0)
    period = tracker.update(SimpleNamespace(time=0.0)).period
    origin = tracker.update(SimpleNamespace(time=0.0))
    assert abs(math.remainder(origin.beat_in_bar + origin.phase, 4)) < 0.01
    beats = [tracker.update(SimpleNamespace(time=(k + 0.5) * period)).beat_in_bar for k in range(12)]
    assert beats == [0, 1, 2, 3] * 3
    tracker.close()


class Session:
    """A session of the sender's tempo that counts what is set."""

    bpm, shift = 120.0, 0.0

    def __init__(self):
        self.sets = 0

    def beat_at(self, moment, bar=BEATS_PER_BAR):
        return (moment * self.bpm / 60.0 + self.shift) % bar, self.bpm

    def set(self, moment, beats=None, bpm=None, bar=BEATS_PER_BAR):
        self.sets += 1
        self.shift += beats - self.beat_at(moment)[0]


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4, 6])
def test_a_bar_of_any_length_leaves_a_session_that_agrees_alone(beats_per_bar):
    session = Session()
    session.shift = 0.3
    sender = LinkSender(lambda seconds: seconds, session)
    for k in range(480):
        beats = k / 8
        state = BeatState(k / 16, beats % 1.0, 0.5, 1.0, int(beats) % beats_per_bar, beats_per_bar, 1.0)
        sender.send_music(state, 0.0, 0.0)
        assert abs(math.remainder(session.beat_at(state.time)[0] - beats, 4 if beats_per_bar == 4 else 1)) < 0.02
    assert session.sets == 1


def test_it_is_an_engine():
    tracker = make_tracker("link")
    assert isinstance(tracker, LinkTracker)
    tracker.close()
