"""A dance that goes on needs no more memory."""

import gc
import tracemalloc

import numpy as np
import pytest

from dancerev.clients.vmc import VmcSender
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.spectrum import FRAME_SAMPLES
from dancerev.realtime.stream import DanceStream


@pytest.mark.slow
def test_nothing_is_kept_of_thousands_of_frames():
    """Python's and numpy's memory, from samples to datagrams, with the collector off as in a show."""
    stream, sender = DanceStream(Dancer(DanceModel())), VmcSender("127.0.0.1", 9)
    rng = np.random.default_rng(0)
    beat = np.exp(-np.arange(FRAME_SAMPLES) / 300.0)
    blocks = [(rng.normal(size=FRAME_SAMPLES) * beat * (k % 8 == 0)).astype(np.float32) for k in range(64)]

    def dance(frames):
        for k in range(frames):
            for pose in stream.push(blocks[k % len(blocks)])[0]:
                sender.send(pose)

    stream.begin()
    dance(200)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        # What is traced from now on takes the place of what was not, and what fills up is full: Python's own list of
        # free tuples takes 2,000 frames.
        dance(2200)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        dance(1000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
        sender.close()
    assert after - before < 4096
    assert peak - before < 1 << 20
