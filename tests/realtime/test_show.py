"""A show on a machine that is too slow for it: every dancer is still shown, and the performer still heard."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np

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
        if wait > timeout:
            time.sleep(timeout)
            return np.empty(0, dtype=np.float32)
        time.sleep(max(wait, 0.0))
        self.frames += 1
        self.ended = self.frames == 15
        return np.zeros(1600, dtype=np.float32)

    def close(self):
        pass


class SlowStream:
    """Takes three times the time there is for each frame, of which it makes two poses for every dancer."""

    heard, frames = None, 0

    def begin(self):
        return []

    def push(self, samples):
        time.sleep(3 * FRAME)
        self.frames += 1
        times = [(self.frames - 0.5) * FRAME, self.frames * FRAME]
        return [replace(rest_pose(time), dancer=dancer) for time in times for dancer in range(DANCERS)], []


class Sink:
    def __init__(self):
        self.sent = []

    def send(self, pose, time):
        self.sent.append((pose.time, pose.dancer))


def test_when_it_is_too_slow_every_dancer_loses_the_same_poses_and_the_controls_still_work():
    sink, turns = Sink(), []
    show = Show(Source(), SlowStream(), sink)
    show.run(each_turn=lambda: turns.append(time.perf_counter()))
    shown = Counter(moment for moment, _ in sink.sent)
    assert len(shown) >= 10
    assert set(shown.values()) == {DANCERS}
    assert show.late_frames > 0
    assert np.diff(turns).max() < 5 * FRAME
