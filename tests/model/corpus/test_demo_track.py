"""The bundled demo track is what its composer makes, and has in it what a demonstration needs."""

import json

import numpy as np
import pytest

from dancerev.model.corpus import demo_track
from dancerev.realtime.audio.decode import decode_stereo, duration
from dancerev.realtime.audio.sources import demo_path


@pytest.fixture(scope="module")
def composed():
    return demo_track.compose()


@pytest.fixture(scope="module")
def bundled():
    return np.concatenate(list(decode_stereo(demo_path(), demo_track.RATE)))


@pytest.fixture(scope="module")
def annotations():
    return json.loads(demo_path().with_suffix(".beats.json").read_text())


def section(sound, annotations, name, margin=0.1):
    found = next(part for part in annotations["sections"] if part["name"] == name)
    begin, end = (round(time * demo_track.RATE) for time in (found["start"] + margin, found["end"] - margin))
    return sound[begin:end]


def decibels(sound):
    return 20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=np.float64))) + 1e-12)


def test_the_bundled_beats_are_the_composers(annotations):
    assert annotations == demo_track.score()


def test_beats_are_regular_but_for_one_break_and_one_change_of_tempo(annotations):
    steps = np.diff(annotations["beats"])
    slow, fast = (60 / tempo["bpm"] for tempo in annotations["tempi"])
    change = int(np.argmax(steps))
    np.testing.assert_allclose(steps[:change], slow, atol=2e-6)
    np.testing.assert_allclose(steps[change + 1 :], fast, atol=2e-6)
    silence = next(part for part in annotations["sections"] if part["name"] == "silence")
    assert steps[change] == pytest.approx(slow + silence["end"] - silence["start"], abs=2e-6)
    assert 2.0 <= silence["end"] - silence["start"] <= 3.0
    assert slow / fast > 1.1
    assert annotations["beats"][change + 1] == annotations["tempi"][1]["start"]
    assert set(annotations["downbeats"]) <= set(annotations["beats"])
    assert 75 <= annotations["duration"] <= 90
    assert duration(demo_path()) == pytest.approx(annotations["duration"], abs=0.05)


def test_the_bundled_file_is_small_and_clean(bundled, annotations):
    assert demo_path().stat().st_size < 1.2e6
    assert len(bundled) == pytest.approx(annotations["duration"] * demo_track.RATE, abs=2)
    assert 0.8 < np.abs(bundled).max() < 1.0
    assert decibels(section(bundled, annotations, "silence")) < -90
    left, right = bundled.T
    assert 0.3 < np.corrcoef(left, right)[0, 1] < 0.98, "neither mono nor two songs at once"


def test_sections_differ_in_loudness_as_they_should(bundled, annotations):
    level = {part["name"]: decibels(section(bundled, annotations, part["name"])) for part in annotations["sections"]}
    assert level["intro"] < level["verse"] < level["drop"]
    assert level["breakdown"] < level["chorus"]
    assert -20 < level["verse"] < -10


def test_sound_sets_in_on_the_beat_after_the_silence(bundled, annotations):
    drop = round(annotations["tempi"][1]["start"] * demo_track.RATE)
    around = np.abs(bundled[drop - 4800 : drop + 4800]).max(axis=1)
    assert abs(int(np.argmax(around > 0.05)) - 4800) < 0.005 * demo_track.RATE


@pytest.mark.slow
def test_the_bundled_file_is_what_the_composer_makes(composed, bundled):
    assert composed.shape == (len(bundled), 2)
    assert np.abs(composed).max() == pytest.approx(10 ** (demo_track.PEAK_DB / 20), abs=1e-6)
    for channel in range(2):
        assert np.corrcoef(composed[:, channel], bundled[:, channel])[0, 1] > 0.98


@pytest.mark.slow
def test_silence_is_silent_and_nothing_clicks_at_the_ends(composed, annotations):
    assert not section(composed, annotations, "silence", margin=1e-4).any()
    assert np.abs(composed[0]).max() < 0.01
    assert np.abs(composed[-1]).max() < 1e-4


def test_the_file_is_written_whole(tmp_path):
    time = np.arange(demo_track.RATE) / demo_track.RATE
    sound = np.stack([0.5 * np.sin(2 * np.pi * hertz * time) for hertz in (440, 660)], axis=1).astype(np.float32)
    demo_track.write(sound, tmp_path / "tone.ogg")
    heard = np.concatenate(list(decode_stereo(tmp_path / "tone.ogg", demo_track.RATE)))
    assert len(heard) == len(sound)
    assert np.corrcoef(heard[4800:, 0], sound[4800:, 0])[0, 1] > 0.99
    assert np.corrcoef(heard[4800:, 1], sound[4800:, 1])[0, 1] > 0.99
