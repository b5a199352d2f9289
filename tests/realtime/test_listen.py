"""``dancerev-listen`` shows what is heard; ``evaluate_beats`` tells how well; both end mistakes with one line."""

import json

import numpy as np
import pytest
from signals import write_wav

from dancerev.model.evaluation import beats as evaluate_beats
from dancerev.realtime import listen
from dancerev.realtime.audio.clock import SAMPLE_RATE


@pytest.fixture
def clicks(tmp_path):
    """12 s of clicks at 120 BPM and their beats."""
    samples = np.zeros(12 * SAMPLE_RATE)
    beats = np.arange(0.25, 12.0, 0.5)
    for beat in beats:
        start = int(beat * SAMPLE_RATE)
        samples[start : start + 600] = np.random.default_rng(0).normal(size=600) * np.exp(-np.arange(600) / 100.0)
    write_wav(tmp_path / "clicks.wav", 0.98 * samples / np.abs(samples).max())
    (tmp_path / "clicks.beats.json").write_text(json.dumps({"beats": beats.tolist()}))
    return tmp_path


def test_listening_to_a_file_ends_with_a_summary(clicks, capsys):
    assert listen.main(["--input", str(clicks / "clicks.wav"), "--mute", "--duration", "0.5"]) == 0
    assert "0.5 s of sound: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--input", "no-such-song.ogg"], ["--input", "demo", "--mute", "--duration", "-1"]]
)
def test_a_mistake_is_one_line(arguments, capsys):
    try:
        code = listen.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bpm_range_is_checked(capsys):
    with pytest.raises(SystemExit):
        listen.main(["--bpm-range", "180-90"])
    assert "MIN-MAX" in capsys.readouterr().err


def test_the_picture_shows_level_clipping_and_beat():
    meter = listen.Meter()
    ear = listen.FeatureExtractor()
    samples = np.ones(1600, dtype=np.float32)
    meter.push(samples, ear.push(samples))
    lines = [line.plain for line in meter.picture().renderables]
    assert "0 dBFS" in lines[0]
    assert "clipped 1 times" in lines[0]
    assert any("BPM" in line for line in lines)
    assert meter.picture("the microphone is gone").renderables[-1].plain == "note: the microphone is gone"


def test_clicks_are_heard_and_the_table_says_so(clicks, capsys):
    assert evaluate_beats.main([str(clicks), "--conditions", "clean", "--each"]) == 0
    assert "F 1.00 best 1.00 octave 0.00 off-beat 0" in capsys.readouterr().out


def test_a_folder_without_beats_is_a_mistake(tmp_path, capsys):
    assert evaluate_beats.main([str(tmp_path)]) == 2
    assert "no music with a .beats.json" in capsys.readouterr().err


def test_judge_counts_octaves_and_offbeats():
    from dancerev.model.features import AcousticFrame, BeatState

    true = np.arange(0.0, 30.0, 0.5)
    frames = [
        AcousticFrame(k / 15, np.zeros(20, np.float32), BeatState(k / 15, (k / 15) % 1.0, 1.0, 1.0))
        for k in range(1, 450)
    ]

    def judge(beats):
        track = evaluate_beats.Track(frames, beats, np.arange(len(beats)) % 2 == 0, 0.0)
        return evaluate_beats.judge(track, true, true[::2])

    half = judge(np.arange(0.0, 30.0, 1.0))
    assert half.octave == 1.0
    assert half.f == pytest.approx(2 / 3, abs=0.02)
    assert half.best == 1.0
    assert not half.right.any()
    assert (half.confidence == 1.0).all()
    assert evaluate_beats.calibration_error([half]) == 1.0
    offbeat = judge(true + 0.25)
    assert offbeat.offbeat
    assert offbeat.f == 0.0
    assert offbeat.lock is None
    assert judge(true[6:]).lock == 3.0
    assert judge(true).downbeat == 1.0
    assert judge(true[1:]).downbeat == 0.0


def test_a_set_of_pieces_has_its_beats_where_it_says():
    """Of clicks joined by cuts and crossfades each true beat is a click, and who knows the beats is locked at once."""
    songs = []
    for period in (0.5, 0.4, 0.6, 0.45):
        beats = np.arange(0.1, 40.0, period)
        samples = np.zeros(40 * SAMPLE_RATE, np.float32)
        samples[np.round(beats * SAMPLE_RATE).astype(int)] = 1.0
        songs.append((samples, beats))
    joined = evaluate_beats.join(songs)
    assert len(joined.changes) == 3
    places = np.round(joined.beats * SAMPLE_RATE).astype(int)
    nearby = [np.abs(joined.samples[max(0, place - 2) : place + 3]).max() for place in places]
    assert min(nearby) > 0.05
    assert max(evaluate_beats.relocks(joined, joined.beats)) < 0.7
