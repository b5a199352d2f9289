"""A reserve hands out every row in its place, whatever the pace at which rows come."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dancerev.realtime.audio.reserve import Reserve


def rows(count):
    return np.arange(1, count + 1, dtype=np.float32)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.lists(st.integers(0, 60), max_size=40), st.data())
def test_what_is_taken_in_pieces_is_the_whole(blocks, takes, data):
    whole = rows(sum(blocks))
    skip = data.draw(st.integers(0, len(whole)))
    reserve = Reserve(iter(np.split(whole, np.cumsum(blocks)[:-1])), 10_000, (), skip)
    reserve.start()
    reserve.wait(10_000, 5.0)
    taken = [reserve.read(count) for count in takes]
    taken.append(reserve.read(10_000))
    np.testing.assert_array_equal(np.concatenate(taken), whole[skip:])
    assert reserve.ended
    assert not reserve.starved


def test_rows_that_come_late_leave_zeros_and_the_others_keep_their_place():
    gate, passed = threading.Event(), threading.Event()

    def late():
        yield rows(100)[:40]
        gate.wait(10.0)
        yield rows(100)[40:]
        passed.set()

    reserve = Reserve(late(), 1000)
    reserve.start()
    reserve.wait(40, 5.0)
    first = reserve.read(60)
    assert reserve.starved
    gate.set()
    passed.wait(10.0)
    reserve.wait(1000, 5.0)
    rest = reserve.read(1000)
    np.testing.assert_array_equal(np.concatenate([first, rest]), [*range(1, 41), *[0] * 20, *range(61, 101)])


def test_it_holds_no_more_than_asked():
    read = []

    def endless():
        while True:
            read.append(1)
            yield np.zeros((100, 2), dtype=np.float32)

    reserve = Reserve(endless(), 1000, (2,))
    reserve.start()
    reserve.wait(1000, 5.0)
    assert reserve.read(50).shape == (50, 2)
    reserve.close()
    assert len(read) <= 12


def test_a_decoder_that_fails_ends_the_rows_and_says_why():
    def broken():
        yield rows(30)
        raise RuntimeError("the file is torn")

    reserve = Reserve(broken(), 1000)
    reserve.start()
    reserve.wait(1000, 5.0)
    np.testing.assert_array_equal(reserve.read(100), rows(30))
    assert reserve.ended
    assert not reserve.starved
    assert str(reserve.error) == "the file is torn"
