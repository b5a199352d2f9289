"""Music for the beat network: its beats are where its onsets are, and what was made of one piece is in one split."""

import json
import os
import shutil
import wave
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest

from dancerev.model.beats import prepare as prepare_module
from dancerev.model.beats.music import FASTEST, SLOWEST, Source, compose
from dancerev.model.beats.prepare import grooves_of, main, midi_grid, recorded, tunes
from dancerev.model.beats.spectra import SCALE, SPLITS, load_pieces, mel_levels, split_of
from dancerev.model.beats.tunes import METRES, render_tune, tunes_of
from dancerev.model.corpus.render_music import Groove
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.spectrum import HOP_RATE

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
rendering = pytest.mark.skipif(
    (shutil.which("fluidsynth") is None or not SOUNDFONT.exists()) and "CI" not in os.environ,
    reason="needs fluidsynth and fluid-soundfont-gm",
)
notation = pytest.mark.skipif(shutil.which("abc2midi") is None, reason="needs abc2midi")

WALTZ = """X:1
T:The Waltz of {}
M:3/4
L:1/4
K:G
G B d|g2 d|e d c|B2 A|G B d|g2 d|c B A|G3|
d d d|e2 d|c B A|B2 d|G B d|g2 d|c B A|G3|
"""


def onset_strength(audio, beats):
    """How much stronger the rise at the beats is than on average."""
    level = mel_levels(audio).astype(np.float64)
    rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0.0).mean(axis=1)
    at = [rise[int(beat * HOP_RATE) : int(beat * HOP_RATE) + 5].max() for beat in beats if beat * HOP_RATE < len(rise)]
    return np.median(at) / rise.mean()


def clicks(path, composer_name, seconds=12):
    """A song of clicks every half second, and its annotation."""
    audio = np.zeros(seconds * SAMPLE_RATE)
    beats = np.arange(0.25, seconds - 0.5, 0.5)
    for beat in beats:
        audio[int(beat * SAMPLE_RATE) :][:240] = 0.5
    with wave.open(str(path / f"{composer_name}.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((32767 * audio).astype("<i2").tobytes())
    content = {"beats": beats.tolist(), "downbeats": beats[::4].tolist()}
    (path / f"{composer_name}.beats.json").write_text(json.dumps(content))
    return beats


def test_songs_of_one_composer_are_in_one_split(tmp_path):
    for composer in range(30):
        for song in range(3):
            (tmp_path / f"c{composer}__s{song}.wav").touch()
            (tmp_path / f"c{composer}__s{song}.beats.json").touch()
    splits = defaultdict(set)
    for job in recorded(tmp_path):
        splits[job.name.split("__")[0]].add(job.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == set(SPLITS)


def test_the_index_names_composers(tmp_path):
    for song in range(12):
        (tmp_path / f"s{song}.wav").touch()
        (tmp_path / f"s{song}.beats.json").touch()
    assert len({job.split for job in recorded(tmp_path)}) > 1
    rows = "".join(f"s{song}\tone\n" for song in range(12))
    (tmp_path / "index.tsv").write_text(f"name\tcomposer\n{rows}")
    assert {job.split for job in recorded(tmp_path)} == {split_of("one")}


def test_recorded_music_is_written_with_its_beats(tmp_path):
    (tmp_path / "music").mkdir()
    beats = clicks(tmp_path / "music", "someone__clicks")
    assert main(["--real", str(tmp_path / "music"), "-o", str(tmp_path / "spectra")]) == 0
    (piece,) = load_pieces(tmp_path / "spectra", split_of("someone"))
    assert piece.group == "real"
    np.testing.assert_allclose(piece.beats, beats)
    assert np.flatnonzero(piece.downbeats).tolist() == list(range(0, len(beats), 4))
    level = piece.mel.sum(axis=1) / SCALE
    assert all(level[int(beat * HOP_RATE) : int(beat * HOP_RATE) + 6].max() > 10 * level.mean() for beat in beats[4:])


def test_pieces_are_not_mixed_with_others(tmp_path, capsys):
    clicks(tmp_path, "a")
    arguments = ["--real", str(tmp_path), "-o", str(tmp_path / "spectra")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "holds pieces already" in capsys.readouterr().err


@notation
def test_a_waltz_has_bars_of_three(tmp_path):
    (tmp_path / "book.abc").write_text("\n".join(WALTZ.format(chr(97 + index) * 3) for index in range(20)))
    (tune, *others) = tunes_of((tmp_path / "book.abc").read_text())
    assert len(others) == 19
    assert (tune.title, tune.signature, tune.bars) == ("thewaltzofaaa", "3/4", 15)  # no mark follows the last bar
    np.testing.assert_allclose(tune.notes[:6, 0], [0, 1, 2, 3, 5, 6])
    assert tune.chords[0].tolist() == [7, 0]  # G major
    jobs = tunes(tmp_path, 30, SOUNDFONT, 0)
    titles = defaultdict(set)
    for job in jobs:
        titles[job.make.args[0].title].add(job.split)
    assert all(len(found) == 1 for found in titles.values())
    assert {job.split for job in jobs} == set(SPLITS)


@pytest.mark.slow
@notation
@rendering
def test_a_rendered_tune_has_onsets_on_its_beats():
    (tune,) = tunes_of(WALTZ.format("three"))
    strengths = []
    for seed in range(3):
        music = render_tune(tune, 10.0, SOUNDFONT, seed)
        assert music.audio.tobytes() == render_tune(tune, 10.0, SOUNDFONT, seed).audio.tobytes()
        assert np.flatnonzero(music.downbeats).tolist() == list(range(0, len(music.beats), METRES["3/4"].beats))
        strengths.append(onset_strength(music.audio, music.beats[:-1]))
    assert min(strengths) > 2.0


@rendering
@pytest.mark.slow
def test_music_has_its_beats_where_it_says():
    """Drums on every beat and nothing else: the onsets are at the beats, whatever the tempo does."""
    notes = np.array([[beat, 0.2, 36.0, 110.0] for beat in range(16)])
    source = Source(((110.0, "rock", Groove(notes, 16)),), SOUNDFONT)
    seen = 0
    for seed in range(6):
        music = compose(source, 20.0, seed, (seed + 0.5) / 6)
        again = compose(source, 20.0, seed, (seed + 0.5) / 6)
        assert music.audio.tobytes() == again.audio.tobytes()
        assert music.audio.dtype == np.float32
        assert np.abs(music.audio).max() <= 1.0
        assert music.downbeats[0]
        assert music.downbeats.sum() in (len(music.beats) // 4, len(music.beats) // 3)
        period = np.array([later - beat for beat, later in pairwise(music.beats)])
        assert (period > 0.9 * 60.0 / FASTEST).all()
        assert (period < 1.1 * 60.0 / SLOWEST).all()
        seen += onset_strength(music.audio, music.beats[:-1]) > 3.0
    assert seen >= 4  # some pieces have no drums


def midi_file(path, tempi=(120,), metre=(3, 4)):
    track = mido.MidiTrack()
    if metre:
        track.append(mido.MetaMessage("time_signature", numerator=metre[0], denominator=metre[1]))
    for bpm in tempi:
        track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
        for _ in range(80):
            track.append(mido.Message("note_on", channel=9, note=36, velocity=110, time=0))
            track.append(mido.Message("note_off", channel=9, note=36, time=480))
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(str(path))


def test_only_midi_files_of_one_tempo_are_used(tmp_path):
    path = tmp_path / "a.mid"
    for tempi, metre, grid in (
        ((120,), (3, 4), (120.0, 3)),
        ((100,), None, (100.0, 0)),
        ((300,), (4, 4), None),  # too short
        ((120, 90), (4, 4), None),
        ((120,), (7, 8), None),
    ):
        midi_file(path, tempi, metre)
        found = midi_grid(path)
        assert found is None if grid is None else found == pytest.approx(grid, rel=1e-4)
    path.write_bytes(b"MThd and no more")
    assert midi_grid(path) is None


@rendering
def test_a_midi_file_has_onsets_on_its_beats(tmp_path):
    midi_file(tmp_path / "a.mid")
    music = prepare_module.render_midi(tmp_path / "a.mid", 120.0, 3, SOUNDFONT, 0)
    assert onset_strength(music.audio, music.beats) > 3.0
    assert music.downbeats[:4].tolist() == [True, False, False, True]


def test_grooves_of_the_test_music_are_named(tmp_path):
    (tmp_path / "a.beats.json").write_text('{"beats": [0, 1], "source": "drummer1/x.mid"}')
    assert grooves_of(tmp_path) == {"drummer1/x.mid"}
    (tmp_path / "demo.beats.json").write_text('{"beats": [0, 1]}')  # music that is no groove
    assert grooves_of(tmp_path) == {"drummer1/x.mid"}


@pytest.mark.parametrize(
    ("text", "message"), [('{"beats": [0, 1]}', "names a source"), ("[]", "damaged"), ("no", "damaged")]
)
def test_leaving_out_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "a.beats.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        grooves_of(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a source of music"),
        (["--real", "nowhere"], "nowhere: there is no such folder"),
        (["--real", "."], "no music with a .beats.json"),
        (["--midi", "."], "no MIDI file"),
        (["--abc", "."], "no tunes"),
        (["--grooves", "missing.zip"], "missing.zip"),
        (["--grooves", "missing.zip", "--without", "nowhere"], "nowhere: no .beats.json"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "font.sf2").write_bytes(b"")
    assert main([*arguments, "-o", "out", "--soundfont", "font.sf2"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
