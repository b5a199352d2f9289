"""The ear gives the same features whatever the chunks, the level and the faults of the sound; and never the future."""

import tracemalloc

import numpy as np
import pytest

from dancerev.model.features import AUDIO_FEATURES, BANDS
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.features import FeatureExtractor

FRAME = SAMPLE_RATE // 15
ACTIVITY = AUDIO_FEATURES.index("activity")


def drum_hit(rng, pitch, noise, length=0.15):
    """One decaying hit: a tone of ``pitch`` hertz with a share of noise."""
    time = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    tone = (1 - noise) * np.sin(2 * np.pi * pitch * time) + noise * rng.normal(scale=0.5, size=len(time))
    return tone * np.exp(-time * 30.0)


def music(seconds=12.0, bpm=116.0, seed=0):
    """Bass drum and snare in turn, hats on eighths, over a soft chord; peak 1."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(int(seconds * SAMPLE_RATE))
    time = np.arange(len(samples)) / SAMPLE_RATE
    samples += 0.03 * sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    for eighth in range(int(seconds * bpm / 30.0)):
        start = int(eighth * 30.0 / bpm * SAMPLE_RATE)
        hit = 0.3 * drum_hit(rng, 6000.0, 0.9, 0.05)
        if eighth % 2 == 0:
            drum = drum_hit(rng, 60.0, 0.05) if eighth % 4 == 0 else drum_hit(rng, 190.0, 0.7)
            drum[: len(hit)] += hit
            hit = drum
        end = min(start + len(hit), len(samples))
        samples[start:end] += hit[: end - start]
    return (samples / np.abs(samples).max()).astype(np.float32)


def extract(samples, chunk=FRAME):
    ear = FeatureExtractor()
    return [frame for start in range(0, len(samples), chunk) for frame in ear.push(samples[start : start + chunk])]


def audio(frames):
    return np.stack([frame.audio for frame in frames])


@pytest.fixture(scope="module")
def song():
    return music()


@pytest.fixture(scope="module")
def heard(song):
    return extract(song)


@pytest.mark.parametrize("chunk", [1, 64, 480, 512, 4096])
def test_chunks_do_not_matter(song, heard, chunk):
    assert [(f.time, f.audio.tobytes(), f.beat) for f in extract(song, chunk)] == [
        (f.time, f.audio.tobytes(), f.beat) for f in heard
    ]


def test_irregular_chunks_with_empty_ones_do_not_matter(song, heard):
    ear, frames, start = FeatureExtractor(), [], 0
    for size in np.random.default_rng(0).integers(0, 3000, size=1000):
        frames += ear.push(song[start : start + size])
        start += size
    assert audio(frames).tobytes() == audio(heard).tobytes()
    assert [frame.beat for frame in frames] == [frame.beat for frame in heard]


def test_frame_k_completes_at_time_k_over_15(song):
    ear = FeatureExtractor()
    assert ear.push(song[: FRAME - 1]) == []
    assert [frame.time for frame in ear.push(song[FRAME - 1 : 3 * FRAME])] == [1 / 15, 2 / 15, 3 / 15]


def test_what_comes_later_changes_nothing(song, heard):
    cut = 6 * SAMPLE_RATE
    other = song.copy()
    other[cut:] = np.random.default_rng(1).normal(size=len(song) - cut)
    frames = extract(other)
    assert audio(frames[:90]).tobytes() == audio(heard[:90]).tobytes()
    assert [frame.beat for frame in frames[:90]] == [frame.beat for frame in heard[:90]]
    assert audio(frames[90:]).tobytes() != audio(heard[90:]).tobytes()


def test_features_are_finite_and_within_0_and_1(heard):
    features = audio(heard)
    assert features.dtype == np.float32
    assert features.shape == (180, len(AUDIO_FEATURES))
    assert features.min() >= 0.0
    assert features.max() <= 1.0


@pytest.mark.parametrize("decibels", [-20.0, -40.0, -60.0])
def test_soft_music_looks_like_loud_music(song, heard, decibels):
    soft = audio(extract(song * np.float32(10.0 ** (decibels / 20.0))))
    np.testing.assert_allclose(soft[15:], audio(heard)[15:], atol=0.02)


@pytest.mark.parametrize("noise_db", [-120.0, -80.0, -66.0])
def test_after_a_second_of_silence_nothing_is_heard(song, noise_db):
    rng = np.random.default_rng(2)
    rest = rng.normal(scale=10.0 ** (noise_db / 20.0), size=4 * SAMPLE_RATE).astype(np.float32)
    features = audio(extract(np.concatenate([song[: 6 * SAMPLE_RATE], rest])))
    assert features[30:90, ACTIVITY].min() == 1.0
    assert (np.diff(features[90:106, ACTIVITY]) <= 0.0).all()
    assert (features[90 + 16 :] == 0.0).all()


@pytest.mark.parametrize("noise_db", [-55.0, -50.0, -40.0])
@pytest.mark.parametrize("hum", [False, True])
def test_room_noise_and_hum_after_music_fall_to_rest_and_music_returns_at_once(song, noise_db, hum):
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(2).normal(size=len(time))
    if hum:
        noise = 0.2 * noise + np.sqrt(2.0) * (np.sin(2 * np.pi * 50 * time) + 0.3 * np.sin(2 * np.pi * 150 * time))
    noise *= 10.0 ** (noise_db / 20.0) / np.sqrt(np.mean(noise**2))
    start = song[: 6 * SAMPLE_RATE]
    features = audio(extract(np.concatenate([start, noise.astype(np.float32), start])))
    assert features[30:90, ACTIVITY].min() == 1.0
    assert (features[90 + 5 * 15 : 240] == 0.0).all()
    assert features[240 + 15 :, ACTIVITY].min() == 1.0


def test_noise_after_dead_silence_is_soon_no_music():
    noise = np.random.default_rng(3).normal(scale=10.0 ** (-82.0 / 20.0), size=10 * SAMPLE_RATE).astype(np.float32)
    features = audio(extract(np.concatenate([np.zeros(2 * SAMPLE_RATE, dtype=np.float32), noise])))
    assert (features[30 + 5 * 15 :] == 0.0).all()


@pytest.mark.parametrize("pitches", [(50,), (60, 120, 180), (440,), (3000,)])
def test_a_loud_tone_or_hum_is_soon_no_music(pitches):
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * pitch * time) for pitch in pitches).astype(np.float32)
    features = audio(extract(0.3 * tone))
    assert features[15, ACTIVITY] == 1.0
    assert (features[54:] == 0.0).all()


def test_noise_alone_is_never_music():
    noise = np.random.default_rng(3).normal(scale=10.0 ** (-66.0 / 20.0), size=5 * SAMPLE_RATE).astype(np.float32)
    assert (audio(extract(noise)) == 0.0).all()


def test_music_is_heard_at_once_after_silence(song):
    features = audio(extract(np.concatenate([np.zeros(20 * FRAME, dtype=np.float32), song])))
    assert (features[:20] == 0.0).all()
    assert features[21, ACTIVITY] == 1.0


def test_a_constant_offset_is_not_heard(song, heard):
    quiet = song * np.float32(0.3)
    offset = audio(extract(quiet + np.float32(0.2)))
    np.testing.assert_allclose(offset[60:], audio(heard)[60:], atol=0.02)  # the gain gets over the step first


def test_broken_samples_are_survived(song):
    broken = song.copy()
    broken[30000:30010] = np.nan
    broken[50000:50010] = np.inf
    broken[70000] = 1e30
    frames = extract(broken)
    assert np.isfinite(audio(frames)).all()
    assert np.isfinite([[f.beat.phase, f.beat.period, f.beat.confidence] for f in frames]).all()
    np.testing.assert_allclose(audio(frames)[-15:], audio(extract(song))[-15:], atol=0.05)


def test_clipping_is_survived(song, heard):
    clipped = audio(extract(np.clip(4.0 * song, -1.0, 1.0)))
    onsets = slice(0, BANDS)
    strong = audio(heard)[30:, onsets].mean(axis=1)
    assert np.corrcoef(strong, clipped[30:, onsets].mean(axis=1))[0, 1] > 0.9


def test_onsets_are_where_the_drums_are():
    """Bass drum in the lowest band, hats in the highest; between the hits nothing."""
    rng = np.random.default_rng(4)
    kick, hat = np.zeros(4 * SAMPLE_RATE), np.zeros(4 * SAMPLE_RATE)
    for beat in range(8):
        start = beat * SAMPLE_RATE // 2
        kick[start : start + 3600] += drum_hit(rng, 60.0, 0.0)
        hat[start : start + 1200] += np.diff(drum_hit(rng, 0.0, 1.0, 0.05), prepend=0.0)
    low, high = (audio(extract(samples.astype(np.float32)))[15:, :BANDS] for samples in (kick, hat))
    assert low[:, 0].max() > 0.7
    assert high[:, BANDS - 1].max() > 0.7
    assert high[:, BANDS - 1].max() > 1.5 * high[:, 0].max()
    assert np.median(low[:, 0]) < 0.1
    assert np.median(high[:, BANDS - 1]) < 0.1


def test_brightness_and_noisiness_tell_sounds_apart():
    rng = np.random.default_rng(5)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE  # what is steady for longer counts as noise of the room
    sounds = {
        "low": np.sin(2 * np.pi * 110.0 * time),
        "high": np.sin(2 * np.pi * 5000.0 * time),
        "noise": rng.normal(scale=0.3, size=len(time)),
    }
    brightness, noisiness = {}, {}
    for name, samples in sounds.items():
        last = extract((0.3 * samples).astype(np.float32))[-1].audio
        brightness[name] = last[AUDIO_FEATURES.index("brightness")]
        noisiness[name] = last[AUDIO_FEATURES.index("noisiness")]
    assert brightness["low"] < 0.5 < brightness["high"]
    assert max(noisiness["low"], noisiness["high"]) < 0.2
    assert noisiness["noise"] > 0.8


def test_memory_does_not_grow(song):
    ear = FeatureExtractor()
    for start in range(0, 60 * FRAME, FRAME):
        ear.push(song[start : start + FRAME])
    tracemalloc.start()
    ear.push(song[60 * FRAME : 61 * FRAME])
    before = tracemalloc.get_traced_memory()[0]
    for start in range(61 * FRAME, 180 * FRAME, FRAME):
        ear.push(song[start : start + FRAME])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 10_000  # 120 frames


def test_more_than_one_channel_is_refused():
    with pytest.raises(ValueError, match="mono"):
        FeatureExtractor().push(np.zeros((100, 2), dtype=np.float32))
