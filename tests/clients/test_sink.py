"""One failing sink takes nothing from the others; a sink of one's own needs one method."""

import logging

from dancerev.clients.sink import PerDancer, PoseSink, Sinks
from dancerev.model.pose import rest_pose


class Keeper(PoseSink):
    def __init__(self, fails=()):
        self.times, self.fails = [], fails

    def send(self, pose):
        if pose.time in self.fails:
            raise RuntimeError("cable pulled")
        self.times.append(pose.time)


def test_a_failing_sink_is_alone_with_its_failure(caplog):
    first, failing, last = Keeper(), Keeper(fails=(1, 2)), Keeper()
    sinks = Sinks([first, failing, last])
    with caplog.at_level(logging.WARNING):
        for time in range(5):
            sinks.send(rest_pose(time))
    assert first.times == last.times == [0, 1, 2, 3, 4]
    assert failing.times == [0, 3, 4]
    assert [record.message for record in caplog.records] == ["Keeper failed: cable pulled"]


class Recorder(PoseSink):
    def __init__(self):
        self.calls = []

    def send(self, pose):
        self.calls.append(("pose", pose.dancer))

    def send_music(self, beat, onset, energy):
        self.calls.append(("music", energy))

    def mark(self, time, text):
        self.calls.append((text, time))

    def close(self):
        self.calls.append("closed")


def test_the_first_dancer_takes_the_music_and_the_markers():
    sinks = [Recorder(), Recorder()]
    with PerDancer([Sinks([sink]) for sink in sinks]) as both:
        both.send(rest_pose())
        both.send_music(None, 0.1, 0.2)
        both.mark(1.0, "drop")
    assert sinks[0].calls == [("pose", 0), ("music", 0.2), ("drop", 1.0), "closed"]
    assert sinks[1].calls == ["closed"]


def test_the_troubles_and_losses_of_every_dancer_are_seen():
    sinks = [Recorder(), Recorder(), Recorder()]
    both = PerDancer(sinks)
    assert (both.error, both.lost) == (None, 0)
    sinks[0].lost, sinks[1].lost, sinks[1].error = 2, 3, "disk full"
    assert (both.error, both.lost) == ("disk full", 5)


def test_a_sink_needs_no_more_than_send():
    with Keeper() as sink:
        sink.send(rest_pose(2.0))
        sink.send_music(None, 0.0, 0.0)
        sink.mark(0.0, "")
    assert (sink.times, sink.name, sink.error, sink.lost) == ([2.0], "", None, 0)


class LateKeeper(Keeper):
    pass


def test_every_sink_is_logged_once_wherever_it_stands(caplog):
    first, failing, late = Keeper(), Keeper(fails=range(9)), LateKeeper(fails=range(9))
    sinks = Sinks([first, failing])
    with caplog.at_level(logging.WARNING):
        sinks.send(rest_pose(0))
        sinks.sinks.remove(first)
        sinks.sinks.append(late)  # stands where the first one that failed stood
        sinks.send(rest_pose(1))
        sinks.send(rest_pose(2))
    assert [record.message.split()[0] for record in caplog.records] == ["Keeper", "LateKeeper"]
