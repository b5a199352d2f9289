"""A song becomes files in every format, whole or not at all, whatever the song and the names."""

import os
import subprocess
import sys
import threading
import weakref

import av
import numpy as np
import pytest
from signals import click_times, clicks, encode, write_wav

import dancerev
from dancerev.model import body25
from dancerev.model.openpose import read_openpose
from dancerev.realtime import generate as generating
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.generate import main


@pytest.fixture
def song(tmp_path):
    rate, seconds = 24_000, 3
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(size=rate * seconds) * (np.arange(rate * seconds) % (rate // 2) < 1000)
    return write_wav(path, 0.25 * noise, rate)


def test_openpose_files_show_the_dance_of_the_npz(song, tmp_path):
    folder, file = tmp_path / "keypoints", tmp_path / "dance.npz"
    assert main([str(song), "-o", f"{folder}/", "--format", "openpose", "--provider", "cpu"]) == 0
    assert main([str(song), "-o", str(file), "--provider", "cpu"]) == 0
    dance = np.load(file)
    keypoints = read_openpose(folder).points
    assert len(keypoints) == len(dance["root"]) == 91
    np.testing.assert_allclose(keypoints, body25.project(dance["rotations"], dance["root"]), atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "keypoints", "--format", "openpose", "--fps", "60"], "30 poses a second"),
        (["-o", "song.wav", "--format", "openpose"], "is a file"),
        (["-o", "keypoints"], "must end in"),
        (["-o", "missing/dance.npz"], "missing: there is no such folder"),
    ],
)
def test_what_cannot_be_written_is_told_in_one_line(song, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert main(["song.wav", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["mix:1.npz", "-lead.bvh", "100%d.vmd", 'it\'s "q".vrma', "ダンス.npz", "x" * 240 + ".npz"]
)
def test_any_name_is_written(song, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert main(["song.wav", f"-o={name}"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["song.wav", name])


def test_a_terminal_that_lacks_the_letters_of_a_name_is_no_failure(song, tmp_path):
    run = command(
        "song.wav", "-o", "ダンス.npz", cwd=tmp_path, env=os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "ダンス.npz").exists()
    assert b"91 poses" in run.stdout


def test_the_journal_is_not_mapped_when_it_is_deleted(song, tmp_path, monkeypatch):
    """Windows deletes no file that is mapped."""
    dances, alive = [], []

    class Watched(generating.Journal):
        def dance(self, marks=()):
            dance = super().dance(marks)
            dances.append(weakref.ref(dance))
            return dance

        def close(self, delete=True):
            alive.extend(dance() is not None for dance in dances)
            super().close(delete)

    monkeypatch.setattr(generating, "Journal", Watched)
    assert main([str(song), "-o", str(tmp_path / "dance.bvh")]) == 0
    assert alive == [False]


def test_silence_has_no_beat(tmp_path, capsys):
    song = write_wav(tmp_path / "silence.wav", np.zeros(24_000 * 8))
    assert main([str(song), "-o", str(tmp_path / "dance.npz")]) == 0
    assert "no beat" in capsys.readouterr().out
    dance = np.load(tmp_path / "dance.npz")
    assert len(dance["beats"]) == 0
    assert dance["bpm"] == 0.0


def test_a_pipe_is_danced_and_filmed(song, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(song.read_bytes()))
    writer.start()
    assert main([str(tmp_path / "pipe"), "-o", str(tmp_path / "film.mp4")]) == 0
    writer.join()
    assert film_lengths(tmp_path / "film.mp4") == pytest.approx((91 / 30, 3.0), abs=0.06)


def film_lengths(path):
    """Seconds of pictures and of sound."""
    with av.open(str(path)) as film:
        pictures = sum(1 for _ in film.decode(video=0))
        rate = float(film.streams.video[0].average_rate)
    with av.open(str(path)) as film:
        sound = sum(frame.samples for frame in film.decode(audio=0))
        return pictures / rate, sound / film.streams.audio[0].rate


@pytest.mark.parametrize("damage", ["cut", "nan"])
def test_a_damaged_song_becomes_a_whole_film(tmp_path, capsys, damage):
    audio = clicks(6.0, 120.0)[0].astype(np.float32)
    if damage == "nan":
        audio[30_000:40_000] = np.nan
        audio[60_000:60_010] = np.inf
    path = tmp_path / ("song.flac" if damage == "cut" else "song.wav")
    encode(path, audio, *(("flac", "s16") if damage == "cut" else ("pcm_f32le", "flt")))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-4000])
    assert main([str(path), "-o", str(tmp_path / "film.mp4")]) == 0
    assert capsys.readouterr().err.count("is damaged") == (damage == "cut")
    pictures, sound = film_lengths(tmp_path / "film.mp4")
    assert pictures == pytest.approx(sound, abs=0.1)
    assert pictures > 4.5


def test_film_and_dance_keep_the_time_of_a_film_whose_sound_begins_late(tmp_path):
    audio, beats = clicks(6.0, 120.0, 0.5)
    encode(tmp_path / "late.mkv", audio, "flac", "s16", start=3.0, picture_seconds=9)
    assert main([str(tmp_path / "late.mkv"), "-o", str(tmp_path / "late.mp4")]) == 0
    assert film_lengths(tmp_path / "late.mp4") == pytest.approx((9.0, 9.0), abs=0.1)
    heard = np.concatenate(list(decode(tmp_path / "late.mp4")))
    np.testing.assert_allclose(click_times(heard), beats + 3.0, atol=0.005)


@pytest.mark.parametrize("suffix", [".npz", ".bvh", ".mp4"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_dance_that_cannot_be_written_leaves_the_old_one(song, tmp_path, monkeypatch, capsys, suffix, failure):
    out = tmp_path / f"dance{suffix}"
    out.write_bytes(b"precious")

    def fail(path, *_):
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setitem(generating.WRITERS, suffix, fail)
    monkeypatch.setattr(generating, "write_film", fail)
    assert main([str(song), "-o", str(out)]) == (2 if isinstance(failure, OSError) else 130)
    assert out.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == sorted([out, song])
    assert capsys.readouterr().err.count("\n") == isinstance(failure, OSError)


def test_a_provider_that_is_not_there_is_told_in_one_line(song, tmp_path):
    run = command("song.wav", "-o", "dance.npz", "--provider", "cuda", cwd=tmp_path)
    assert run.returncode == 0
    if b"CUDA" in run.stderr:  # no card here
        assert run.stderr.count(b"\n") == 1, run.stderr
        assert b"runs instead" in run.stderr


def test_from_python_a_song_becomes_a_dance_that_is_saved(song, tmp_path):
    dance = dancerev.generate(song, style="salsa", seed=7)
    assert len(dance) == 91
    dance.save(tmp_path / "dance.npz")
    assert main([str(song), "-o", str(tmp_path / "same.npz"), "--style", "salsa", "--seed", "7"]) == 0
    one, other = np.load(tmp_path / "dance.npz"), np.load(tmp_path / "same.npz")
    for name in set(one.files) - {"bpm"}:
        np.testing.assert_array_equal(one[name], other[name])
    assert one["bpm"] == pytest.approx(other["bpm"])
    with pytest.raises(dancerev.InputError, match="must end in"):
        dance.save(tmp_path / "dance.txt")


def test_a_dance_that_is_written_waits_on_the_disk(song, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setitem(generating.WRITERS, ".npz", lambda _, dance: seen.append(dance))
    monkeypatch.setattr(generating, "write_whole", lambda path, write: write(path))
    main([str(song), "-o", str(tmp_path / "dance.npz")])
    assert isinstance(seen[0].rotations, np.memmap)  # three hours of music take no more memory than three seconds


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "dancerev.realtime.generate", *arguments], capture_output=True, **options
    )
