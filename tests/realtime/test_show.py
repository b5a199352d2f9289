"""A show on a machine that is too slow for it: every dancer is still shown, and the performer still heard."""

import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dancerev.clients.sink import PoseSink
from dancerev.model.pose import rest_pose
from dancerev.realtime import show as show_module
from dancerev.realtime.audio.clock import AudioClock
from dancerev.realtime.show import Show

DANCERS, FRAME = 3, 1.0 / 15.0


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let time pass by sleeping, and a little by looking at it, so that a busy machine changes nothing."""
    now = [100.0]

    def pass_by(seconds=1e-6):
        now[0] += max(seconds, 1e-6)
        return now[0]

    # Not in the module ``time`` itself: threads that other tests have left would make time pass too.
    by_hand = SimpleNamespace(perf_counter=pass_by, sleep=pass_by)
    monkeypatch.setattr(show_module, "time", by_hand)
    monkeypatch.setitem(globals(), "time", by_hand)


class Source:
    """A second of silence, a frame at a time."""

    note, xruns, ended = None, 0, False

    def start(self):
        self.clock = AudioClock(time.perf_counter())
        self.frames = 0

    def read(self, timeout):
        wait = self.clock.heard_at((self.frames + 1) * FRAME) - time.perf_counter()
        time.sleep(max(min(wait, timeout), 0.0))
        due = min(int(self.clock.position(time.perf_counter()) / FRAME), 15) - self.frames
        self.frames += due
        self.ended = self.frames == 15
        return np.zeros(1600 * due, dtype=np.float32)

    def close(self):
        pass


class SlowStream:
    """Takes a multiple of the time there is for each frame, of which it makes two poses for every dancer."""

    last, fps, dancers = None, 30, [None] * DANCERS
    extractor = SimpleNamespace(tracker=SimpleNamespace(attach=lambda heard_at: None))

    def __init__(self, slowness=3.0):
        self.frames = self.samples = 0
        self.slowness = slowness

    def begin(self):
        return []

    def push(self, samples):
        time.sleep(self.slowness * FRAME)
        self.frames += 1
        self.samples += len(samples)
        times = [(self.frames - 0.5) * FRAME, self.frames * FRAME]
        return [replace(rest_pose(time), dancer=dancer) for time in times for dancer in range(DANCERS)], []


class Sink(PoseSink):
    def __init__(self):
        self.sent, self.when = [], []

    def send(self, pose):
        self.sent.append((pose.time, pose.dancer))
        self.when.append(time.perf_counter())


def test_when_it_is_too_slow_every_dancer_loses_the_same_poses_and_the_controls_still_work():
    """Sound is left out, so that the gaps stay as long as one frame takes and the show ends with its source."""
    sink, turns = Sink(), []
    show = Show(Source(), SlowStream(), sink)
    began = time.perf_counter()
    show.run(on_tick=lambda: turns.append(time.perf_counter()))
    assert time.perf_counter() - began < 1.5  # all of the sound would take 3 s
    shown = Counter(moment for moment, _ in sink.sent)
    assert show.frames >= 5  # for which there is time
    assert len(shown) >= show.frames
    assert set(shown.values()) == {DANCERS}
    assert show.left_out == pytest.approx(1.0 - show.frames * FRAME, abs=1e-6)
    assert show.late_frames >= show.left_out * 30 * DANCERS - 1
    assert np.diff(turns).max() < 4 * FRAME
    assert np.diff(sink.when).max() < 4 * FRAME


@pytest.mark.parametrize("slowness", [0.3, 0.8, 1.2])
@pytest.mark.parametrize("milliseconds", [5, 20, 40])
def test_no_dancer_is_left_out_of_a_moment_in_which_others_are_shown(milliseconds, slowness):
    """Sending takes so long that poses become too late between one dancer and the next."""

    class SlowSink(Sink):
        def send(self, pose):
            time.sleep(milliseconds / 1000.0)
            super().send(pose)

    sink = SlowSink()
    Show(Source(), SlowStream(slowness), sink).run()
    assert set(Counter(moment for moment, _ in sink.sent).values()) == {DANCERS}


def test_a_sink_that_raises_does_not_stop_the_show():
    class Broken(PoseSink):
        def send(self, pose):
            raise RuntimeError("cable pulled")

    show = Show(Source(), SlowStream(), Broken())
    show.run()
    assert show.poses_sent > 0
