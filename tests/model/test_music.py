"""Songs are kept as they were heard, and where the tracker follows the music is told apart from where it does not."""

from dataclasses import replace

import numpy as np
import pytest

from dancerev.model.dances import dance_beats, usable
from dancerev.model.features import FEATURE_SIZE
from dancerev.model.music import Song, followed, load_song, read_beats, save_song

SECONDS = 40.0
FRAMES = int(SECONDS * 15)


def song(bpm=100.0, heard=None, period=None, silences=()):
    beats = np.arange(0.5, SECONDS, 60.0 / bpm)
    return Song(
        name="a",
        split="train",
        origin="b",
        bpm=bpm,
        beats=beats,
        silences=np.array(silences).reshape(-1, 2),
        features=np.zeros((FRAMES, FEATURE_SIZE), dtype=np.float16),
        heard_beats=beats if heard is None else heard,
        heard_period=np.full(FRAMES, 60.0 / bpm if period is None else period),
    )


@pytest.mark.parametrize(("every", "level"), [(slice(None), 1.0), (slice(0, None, 2), 0.5), (slice(1, None, 2), 0.5)])
def test_a_tracker_that_hears_the_beats_or_every_second_one_follows(every, level):
    plain = song()
    heard = replace(plain, heard_beats=plain.beats[every], heard_period=plain.heard_period / level)
    good, found = followed(heard)
    assert good[30:-30].all()
    assert found == level


def test_a_tracker_beside_the_beat_does_not_follow():
    plain = song()
    good, _ = followed(replace(plain, heard_beats=plain.beats + 0.3))
    assert not good.any()
    assert usable(good) == []


def test_a_tracker_that_wanders_off_is_followed_until_then():
    plain = song()
    late = plain.beats + np.where(plain.beats > 20.0, 0.2, 0.0)
    good, _ = followed(replace(plain, heard_beats=late))
    assert good[30:280].all()
    assert not good[330:].any()
    ((start, stop),) = usable(good)
    assert start == 0
    assert 280 <= stop <= 330


def test_a_moment_of_doubt_is_kept_and_a_short_rest_is_not():
    good = np.ones(FRAMES, dtype=bool)
    good[100:150] = False
    good[300:500] = False
    assert usable(good) == [(0, 300)]


def test_silence_is_nothing_to_be_lost_in():
    plain = song(silences=[(10.0, 16.0)])
    beats = plain.beats[(plain.beats < 10.0) | (plain.beats >= 16.0)]
    good, _ = followed(replace(plain, beats=beats, heard_beats=beats))
    assert good[150:240].all()


@pytest.mark.parametrize(("bpm", "lowest", "highest"), [(60, 115, 125), (100, 100, 100), (140, 70, 70), (170, 85, 85)])
def test_steps_are_neither_too_slow_nor_too_fast(bpm, lowest, highest):
    steps = dance_beats(song(float(bpm)), 1.0, np.random.default_rng(0))
    assert lowest - 0.01 <= 60.0 / np.median(np.diff(steps)) <= highest + 0.01


def test_of_fast_beats_those_are_danced_that_are_heard():
    fast = song(160.0)
    steps = dance_beats(replace(fast, heard_beats=fast.beats[1::2]), 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(steps, fast.beats[1::2])


def test_a_song_comes_back_as_it_was_kept(tmp_path):
    before = song(silences=[(1.0, 2.0)])
    save_song(tmp_path / "a.npz", before)
    after = load_song(tmp_path / "a.npz")
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value)


@pytest.mark.parametrize("text", ["", "{}", '{"beats": [1, 2]}', '{"beats": [1, 2, 3, 2]}', '{"beats": "1234"}'])
def test_damaged_beats_are_refused(tmp_path, text):
    (tmp_path / "a.beats.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.beats\.json: |at least four"):
        read_beats(tmp_path / "a.beats.json")
