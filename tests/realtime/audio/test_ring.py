"""A ring gives back what was written, in order, or says that it could not take it."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dancerev.realtime.audio.ring import Ring


@given(
    capacity=st.integers(1, 40),
    channels=st.integers(1, 3),
    steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40),
)
def test_any_writes_and_reads_keep_the_order_and_lose_only_what_was_refused(capacity, channels, steps):
    ring = Ring(capacity, channels)
    written, model, out = 0, [], np.empty((50, channels), dtype=np.float32)
    for write, read in steps:
        rows = np.arange(written, written + write, dtype=np.float32)[:, None] + np.arange(channels) / 4
        fits = len(model) + write <= capacity
        assert ring.write(rows) == fits
        if fits:
            model.extend(rows.astype(np.float32))
            written += write
        assert len(ring) == len(model)
        assert ring.room == capacity - len(model)
        count = ring.read_into(out[:read])
        assert count == min(read, len(model))
        np.testing.assert_array_equal(out[:count], np.reshape(model[:count], (count, channels)))
        del model[:count]
    np.testing.assert_array_equal(ring.read(), np.reshape(model, (len(model), channels)))
    assert len(ring) == 0


def test_two_threads_lose_nothing_and_mix_nothing_up():
    ring = Ring(64, 1, np.int64)
    total = 20_000

    def write():
        sent = 0
        while sent < total:
            rows = np.arange(sent, min(total, sent + 1 + sent % 13))[:, None]
            if ring.write(rows):
                sent += len(rows)
            else:
                time.sleep(1e-4)

    writer = threading.Thread(target=write)
    writer.start()
    received = []
    while len(received) < total:
        time.sleep(1e-4)
        received.extend(ring.read()[:, 0].tolist())
    writer.join()
    assert received == list(range(total))


@pytest.mark.parametrize(("capacity", "channels"), [(0, 1), (1, 0)])
def test_a_ring_without_room_is_refused(capacity, channels):
    with pytest.raises(ValueError, match="at least one row"):
        Ring(capacity, channels)
