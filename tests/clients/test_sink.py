"""One failing sink takes nothing from the others."""

import logging

from dancerev.clients.sink import Sinks
from dancerev.model.pose import rest_pose


class Keeper:
    def __init__(self, fails=()):
        self.times, self.fails = [], fails

    def send(self, pose, time):
        if time in self.fails:
            raise RuntimeError("cable pulled")
        self.times.append(time)


def test_a_failing_sink_is_alone_with_its_failure(caplog):
    first, failing, last = Keeper(), Keeper(fails=(1, 2)), Keeper()
    sinks = Sinks([first, failing, last])
    with caplog.at_level(logging.WARNING):
        for time in range(5):
            sinks.send(rest_pose(), time)
    assert first.times == last.times == [0, 1, 2, 3, 4]
    assert failing.times == [0, 3, 4]
    assert [record.message for record in caplog.records] == ["Keeper failed: cable pulled"]
