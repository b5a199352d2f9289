"""A song becomes files in every format, whole or not at all, whatever the song and the names."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
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
        (["-o", "dance.npz", "--seeds", "2"], "dance.npz: several dances go into a folder"),
        (["song.wav", "-o", "dances"], "two songs have the same name, song"),
        (["-o", "song.wav", "--seeds", "2"], "song.wav is a file"),
        (["-o", "dance.bvh", "--format", "bvh"], "dance.bvh: --format bvh writes into a folder"),
        (["none.wav", "-o", "dances"], "none.wav"),
        ([".", "-o", "dances"], "is a folder, not a music file"),
        (["-o", "dances", "--seeds", "2", "--style", "polka"], "unknown style 'polka'"),
        (["-o", f"{'d' * 300}.npz"], "name too long"),
        (["-o", "d" * 300, "--format", "openpose"], "name too long"),
    ],
)
def test_what_cannot_be_written_is_told_in_one_line(song, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert main(["song.wav", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason.lower() in error.lower()
    assert error.count("\n") == 1


@pytest.mark.parametrize("options", [["-o", "song.mp4"], ["other.wav", "-o", ".", "--format", "mp4"]])
def test_no_dance_is_written_over_a_song(song, tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    for name in ("song.mp4", "other__seed0.mp4", "other.wav"):
        shutil.copy(song, name)
    film = options[-1] if len(options) == 2 else "other__seed0.mp4"
    assert main([film, *options]) == 2
    assert (
        capsys.readouterr().err
        == f"dancerev-generate: {film}: is read from, and would be written over; give another name\n"
    )
    assert all(path.read_bytes() == song.read_bytes() for path in tmp_path.iterdir())


def test_a_name_that_is_too_long_for_a_dance_in_a_folder_is_told_first(song, tmp_path, capsys):
    long = song.rename(tmp_path / f"{'s' * 248}.wav")
    assert main([str(long), "-o", f"{tmp_path}/dances", "--format", "npz"]) == 2
    assert "name too long" in capsys.readouterr().err.lower()
    assert list(tmp_path.iterdir()) == [long]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--seeds", "1000000000"], "'1000000000' is not a whole number from 1 to 10000"),
        (["--pictures"], "--pictures does nothing without a checkpoint of the original"),
        (["--features", "present"], "--features does nothing without a checkpoint of the original"),
        (["--model", "epoch_5500.pt", "--style", "salsa"], "--style does nothing with a checkpoint of the original"),
        (["--model", "epoch_5500.pt", "--provider", "cpu"], "--provider does nothing with a checkpoint"),
        (["--model", "epoch_5500.pt", "--format", "bvh"], "--format bvh: a checkpoint of the original writes"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused_in_one_line(song, tmp_path, capsys, options, why):
    with pytest.raises(SystemExit) as ended:
        main([str(song), "-o", str(tmp_path / "dance.npz"), *options])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert why in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [song]


def test_several_songs_and_seeds_become_files_in_a_folder(song, tmp_path, capsys):
    other = write_wav(tmp_path / "other.wav", np.zeros(24_000))
    out = tmp_path / "new" / "dances"
    assert main([str(song), str(other), "-o", f"{out}/", "--seeds", "2", "--seed", "6", "--style", "salsa"]) == 0
    names = [f"{name}__seed{seed}.npz" for name in ("other", "song") for seed in (6, 7)]
    assert sorted(path.name for path in out.iterdir()) == names
    assert capsys.readouterr().out.count(" poses at 30 a second") == 4
    alone = tmp_path / "alone.npz"
    assert main([str(song), "-o", str(alone), "--seed", "7", "--style", "salsa"]) == 0
    np.testing.assert_array_equal(np.load(out / "song__seed7.npz")["rotations"], np.load(alone)["rotations"])
    assert np.abs(np.load(out / "song__seed6.npz")["rotations"] - np.load(alone)["rotations"]).max() > 0.01


@pytest.mark.parametrize(("form", "made"), [("bvh", "song__seed0.bvh"), ("openpose", "song__seed0")])
def test_a_folder_holds_what_the_format_says(song, tmp_path, form, made):
    other = write_wav(tmp_path / "other.wav", np.zeros(24_000))
    assert main([str(song), str(other), "-o", str(tmp_path / "out"), "--format", form]) == 0
    assert made in {path.name for path in (tmp_path / "out").iterdir()}


def test_two_programs_may_write_the_same_dance_at_once(song, tmp_path):
    arguments = ["song.wav", "-o", "dance.bvh"]
    begin = [sys.executable, "-m", "dancerev.realtime.generate", *arguments]
    both = [subprocess.Popen(begin, cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.communicate(timeout=120)[1] == b""
        assert process.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dance.bvh", "song.wav"]


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


def test_a_pipe_without_an_end_is_one_line(tmp_path, monkeypatch, capsys):
    pipe, copies = tmp_path / "pipe", tmp_path / "copies"
    os.mkfifo(pipe)
    copies.mkdir()
    monkeypatch.setattr(generating, "_LARGEST", 2**20)
    monkeypatch.setattr(tempfile, "tempdir", str(copies))

    def fill():
        with contextlib.suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            for _ in range(64):
                file.write(bytes(2**16))

    writer = threading.Thread(target=fill)
    writer.start()
    assert main([str(pipe), "-o", str(tmp_path / "dance.npz"), "--provider", "cpu"]) == 2
    writer.join()
    error = capsys.readouterr().err
    assert f"{pipe}: more than 1 MiB come out of the pipe" in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == [copies, pipe]


def test_silence_has_no_beat(tmp_path, capsys):
    song = write_wav(tmp_path / "silence.wav", np.zeros(24_000 * 8))
    assert main([str(song), "-o", str(tmp_path / "dance.npz")]) == 0
    assert "no beat" in capsys.readouterr().out
    dance = np.load(tmp_path / "dance.npz")
    assert len(dance["beats"]) == 0
    assert dance["bpm"] == 0.0


@pytest.mark.slow
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
@pytest.mark.slow
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


@pytest.mark.slow
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


def test_each_beat_of_a_dance_has_its_place_in_the_bar(song, tmp_path):
    assert main([str(song), "-o", str(tmp_path / "dance.npz")]) == 0
    dance = np.load(tmp_path / "dance.npz")
    assert (
        len(dance["beats"]) == len(dance["beat_in_bar"]) == len(dance["beats_per_bar"]) == len(dance["bar_confidence"])
    )
    assert set(dance["beats_per_bar"].tolist()) <= {2, 3, 4, 6}
    assert (dance["beat_in_bar"] < dance["beats_per_bar"]).all()
    assert ((dance["bar_confidence"] >= 0.0) & (dance["bar_confidence"] <= 1.0)).all()
    bars, place = dance["beats_per_bar"][-4:], dance["beat_in_bar"][-4:]
    assert (bars == bars[0]).all()
    np.testing.assert_array_equal(place[1:], (place[:-1] + 1) % bars[0])


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
