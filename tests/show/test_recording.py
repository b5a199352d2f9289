"""A show is recorded while it is danced: by option and by control, and also when it is killed."""

import re
import signal
import subprocess
import sys
import time

import pytest
from receiver import live

from dancerev.realtime.convert import read

SILENT = ("--input", "demo", "--mute", "--no-preview", "--osc", "127.0.0.1:9")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["show.npz", "show.bvh"])
def test_what_the_receivers_get_is_in_the_file(tmp_path, name):
    show = live(*SILENT, "--duration", 3, "--record", tmp_path / name)
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 0, errors
    assert f"finishing {tmp_path / name}" in errors
    dance = read(tmp_path / name)
    assert dance.fps == 30.0
    assert len(dance) == pytest.approx(90, abs=6)


@pytest.mark.slow
def test_each_dancer_has_a_file(tmp_path):
    show = live(*SILENT, "--duration", 2, "--dancers", 2, "--record", tmp_path / "show.npz")
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 0, errors
    one, two = (read(tmp_path / f"show-dancer{number}.npz") for number in (1, 2))
    assert len(one) == len(two)
    assert abs(one.root[0] - two.root[0]).max() > 0.5
    assert f"finishing {tmp_path / 'show-dancer1.npz'} to show-dancer2.npz" in errors


@pytest.mark.slow
def test_the_file_that_is_really_written_is_told(tmp_path):
    """Nothing is overwritten: what is there already gives the new file a number."""
    (tmp_path / "show.bvh").write_text("mine")
    show = live(*SILENT, "--duration", 1, "--record", tmp_path / "show.bvh")
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 0, errors
    assert f"note: recording to {tmp_path / 'show-2.bvh'}\n" in errors
    assert f"note: finishing {tmp_path / 'show-2.bvh'}\n" in errors
    assert (tmp_path / "show.bvh").read_text() == "mine"
    assert read(tmp_path / "show-2.bvh").fps == 30.0


@pytest.mark.slow
def test_a_killed_show_leaves_its_recording(tmp_path):
    show = live(*SILENT, "--record", tmp_path / "show.bvh")
    end = time.monotonic() + 30.0
    while not (tmp_path / "show.bvh").exists() or (tmp_path / "show.bvh").stat().st_size < 40_000:
        assert time.monotonic() < end
        time.sleep(0.05)
    show.kill()
    show.communicate()
    assert len(read(tmp_path / "show.bvh")) >= 30


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="Windows limits no files")
@pytest.mark.parametrize("name", ["show.mp4", "show.npz", "show.bvh"])
def test_a_recording_that_fails_is_the_end_of_a_show_with_an_error(tmp_path, name):
    few = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); "  # bytes of any file
    program = few + "from dancerev.realtime.live import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *SILENT, "--duration", "2", "--record", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search(rf"{name}: .*(File too large|No space left on device)", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(name) <= 2, "of the recording that begins, and of its end"
    assert "danced 0:02" in done.stderr
    assert all(path.stat().st_size for path in tmp_path.iterdir())


def test_a_recording_that_cannot_be_is_told_before_the_show(tmp_path):
    show = live(*SILENT, "--record", tmp_path / "none" / "show.npz")
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 2
    assert "there is no such folder" in errors
    assert errors.count("\n") == 1
