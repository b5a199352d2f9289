"""The programs in ``examples`` run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest
from signals import write_song

ROOT = Path(__file__).parents[1]


def run(name, *arguments):
    program = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    result = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("songs") / "song.wav", seconds=6.0, bpm=120.0)


@pytest.mark.slow
def test_own_sink(song):
    lines = run("own_sink.py", song, 2).splitlines()
    assert len(lines) >= 3
    assert int(lines[-1].split()[0]) == pytest.approx(62, abs=15)


@pytest.mark.slow
def test_own_source():
    assert int(run("own_source.py", 2).split()[0]) == pytest.approx(62, abs=15)


def test_offline_analysis(song, tmp_path):
    assert "BPM" in run("offline_analysis.py", song, tmp_path / "dance.vrma")
    assert (tmp_path / "dance.vrma").stat().st_size > 10_000


def test_beat_tracker(song):
    lines = run("beat_tracker.py", song).splitlines()
    assert len(lines) >= 6
    assert "12" in lines[-1].partition("BPM")[0]  # 120 BPM, about


@pytest.mark.slow
def test_batch(song, tmp_path):
    (song.parent / "notes.txt").write_text("no music")
    out = run("batch.py", song.parent, tmp_path / "dances")
    assert out.count("skipped: ") == 2  # notes.txt and song.beats.json
    assert len(list((tmp_path / "dances").glob("song__*.npz"))) == 2


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_wrong_arguments_are_answered_with_the_usage(path):
    """The line that stands at the head of the program."""
    done = subprocess.run([sys.executable, str(path), *"abcd"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith(f"usage: python examples/{path.name}")
    assert done.stderr.count("\n") == 1
    assert done.stderr.removeprefix("usage: ").strip() in path.read_text(encoding="utf-8").splitlines()


def test_every_example_is_run_and_listed():
    table = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "examples").glob("*.py"):
        assert f"def test_{path.stem}(" in Path(__file__).read_text(encoding="utf-8")
        assert f"`{path.name}`" in table
