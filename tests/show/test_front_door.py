"""The programs with which the package introduces itself run as they are written."""

import numpy as np
from receiver import assert_accounted_for

import dancerev


def test_a_stream_by_hand():
    stream = dancerev.DanceStream(dancerev.Dancer(style="salsa"))
    poses, _ = stream.push(np.zeros(24000, dtype=np.float32))
    assert len(poses) == 29
    assert all(isinstance(pose, dancerev.Pose) for pose in poses)


def test_a_show():
    class Kept(dancerev.PoseSink):
        def __init__(self):
            self.poses = []

        def send(self, pose):
            self.poses.append(pose)

    stream = dancerev.DanceStream(dancerev.Dancer())
    with dancerev.open_source("demo", mute=True, duration=1.0) as source, Kept() as sink:
        show = dancerev.Show(source, stream, sink)
        show.run()
    assert_accounted_for(len(sink.poses), show.statistics(), 1.0)
    assert source.ended


def test_a_show_over_vmc():
    stream = dancerev.DanceStream(dancerev.Dancer())
    with (
        dancerev.open_source("demo", mute=True, duration=0.4) as source,
        dancerev.VmcSender("127.0.0.1", 9) as sink,
    ):
        show = dancerev.Show(source, stream, sink)
        show.run()
    assert_accounted_for(show.poses_sent, show.statistics(), 0.4)
