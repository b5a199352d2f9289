"""A show on a machine that is too slow for it: every dancer is still shown, and the performer still heard."""

import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dancerev.clients.sink import PoseSink
from dancerev.model.pose import rest_pose
from dancerev.realtime.audio.clock import AudioClock
from dancerev.realtime.show import Show

DANCERS, FRAME = 3, 1.0 / 15.0


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
    """Takes three times the time there is for each frame, of which it makes two poses for every dancer."""

    last, fps, dancers = None, 30, [None] * DANCERS
    extractor = SimpleNamespace(tracker=SimpleNamespace(attach=lambda heard_at: None))

    def __init__(self):
        self.frames = self.samples = 0

    def begin(self):
        return []

    def push(self, samples):
        time.sleep(3 * FRAME)
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
    assert time.perf_counter() - began < 2.5  # all of the sound would take 3 s
    shown = Counter(moment for moment, _ in sink.sent)
    assert len(shown) >= 2  # of five frames that there is time for; fewer on a busy machine
    assert set(shown.values()) == {DANCERS}
    assert show.left_out == pytest.approx(1.0 - show.frames * FRAME, abs=1e-6)
    assert show.late_frames >= show.left_out * 30 * DANCERS - 1
    assert np.diff(turns).max() < 1.0
    assert np.diff(sink.when).max() < 1.0


def test_a_sink_that_raises_does_not_stop_the_show():
    class Broken(PoseSink):
        def send(self, pose):
            raise RuntimeError("cable pulled")

    show = Show(Source(), SlowStream(), Broken())
    show.run()
    assert show.poses_sent > 0
