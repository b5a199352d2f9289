"""Songs are kept as they were heard, and where the tracker follows the music is told apart from where it does not."""

from dataclasses import replace

import numpy as np
import pytest

from dancerev.model.corpus.dances import dance_beats, usable
from dancerev.model.corpus.song import Song, followed, load_song, save_song
from dancerev.model.features import FEATURE_SIZE, STEP_COS, STEP_SIN, TEMPO

SECONDS = 40.0
FRAMES = int(SECONDS * 15)


def song(bpm=100.0, steps=None, silences=()):
    """A song whose steps are heard at ``steps``, by default at its beats."""
    beats = np.arange(0.5, SECONDS, 60.0 / bpm)
    return heard_at(
        beats if steps is None else steps,
        Song(
            name="a",
            split="train",
            origin="b",
            bpm=bpm,
            beats=beats,
            silences=np.array(silences).reshape(-1, 2),
            features=np.zeros((FRAMES, FEATURE_SIZE), dtype=np.float16),
        ),
    )


def heard_at(steps, song):
    """The song with features by which a dancer steps at ``steps``."""
    times = (np.arange(FRAMES) + 2) / 15
    features = song.features.copy()
    early = steps[0] - np.arange(9, 0, -1) * (steps[1] - steps[0])
    turn = 2 * np.pi * np.interp(times, np.concatenate([early, steps]), np.arange(len(steps) + 9))
    features[:, STEP_SIN], features[:, STEP_COS] = np.sin(turn), np.cos(turn)
    features[:, TEMPO] = np.log2(60 / np.median(np.diff(steps)) / 120)
    return replace(song, features=features)


@pytest.mark.parametrize(("first", "every"), [(0, 1), (0, 2), (1, 2)])
def test_steps_on_the_beats_or_on_every_second_one_are_followed(first, every):
    plain = song()
    good, steps = followed(heard_at(plain.beats[first::every], plain))
    assert good[30:-30].all()
    np.testing.assert_array_equal(steps, plain.beats[first::every])


def test_steps_twice_a_beat_are_followed():
    plain = song(60.0)
    good, steps = followed(heard_at(np.arange(0.5, SECONDS, 0.5), plain))
    assert good[30:-30].all()
    np.testing.assert_allclose(np.diff(steps), 0.5)


def test_steps_beside_the_beat_are_not_followed():
    plain = song()
    good, _ = followed(heard_at(plain.beats + 0.2, plain))
    assert not good.any()
    assert usable(good) == []


def test_steps_that_wander_off_are_followed_until_then():
    plain = song()
    good, _ = followed(heard_at(plain.beats + np.where(plain.beats > 20.0, 0.2, 0.0), plain))
    assert good[30:280].all()
    assert not good[330:-30].any()
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
    good, _ = followed(replace(plain, beats=beats, features=np.zeros_like(plain.features)))
    assert good[150:240].all()
    assert not good[:100].any()


@pytest.mark.parametrize(
    ("bpm", "every", "lowest", "highest"), [(60, 1, 120, 120), (100, 1, 100, 100), (80, 1, 80, 160), (170, 2, 85, 85)]
)
def test_slow_songs_are_danced_twice_a_beat_at_times(bpm, every, lowest, highest):
    plain = song(float(bpm))
    rates = set()
    for seed in range(10):
        beats = dance_beats(plain, plain.beats[::every], np.random.default_rng(seed))
        rates.add(round(60.0 / np.median(np.diff(beats))))
    assert rates == {lowest, highest}


def test_a_song_comes_back_as_it_was_kept(tmp_path):
    before = song(silences=[(1.0, 2.0)])
    save_song(tmp_path / "a.npz", before)
    after = load_song(tmp_path / "a.npz")
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value)
