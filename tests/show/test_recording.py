"""A show is recorded while it is danced: by option and by control, and also when it is killed."""

import time

import pytest
from receiver import live

from dancerev.realtime.convert import read

SILENT = ("--input", "demo", "--mute", "--no-preview", "--osc", "127.0.0.1:9")


@pytest.mark.parametrize("name", ["show.npz", "show.bvh"])
def test_what_the_receivers_get_is_in_the_file(tmp_path, name):
    show = live(*SILENT, "--duration", 3, "--record", tmp_path / name)
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 0, errors
    assert f"finishing {tmp_path / name}" in errors
    dance = read(tmp_path / name)
    assert dance.fps == 30.0
    assert len(dance) == pytest.approx(90, abs=6)


def test_each_dancer_has_a_file(tmp_path):
    show = live(*SILENT, "--duration", 2, "--dancers", 2, "--record", tmp_path / "show.npz")
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 0, errors
    one, two = (read(tmp_path / f"show-dancer{number}.npz") for number in (1, 2))
    assert len(one) == len(two)
    assert abs(one.root[0] - two.root[0]).max() > 0.5


def test_a_killed_show_leaves_its_recording(tmp_path):
    show = live(*SILENT, "--record", tmp_path / "show.bvh")
    end = time.monotonic() + 30.0
    while not (tmp_path / "show.bvh").exists() or (tmp_path / "show.bvh").stat().st_size < 40_000:
        assert time.monotonic() < end
        time.sleep(0.05)
    show.kill()
    show.communicate()
    assert len(read(tmp_path / "show.bvh")) >= 30


def test_a_recording_that_cannot_be_is_told_before_the_show(tmp_path):
    show = live(*SILENT, "--record", tmp_path / "none" / "show.npz")
    _, errors = show.communicate(timeout=60)
    assert show.returncode == 2
    assert "there is no such folder" in errors
    assert errors.count("\n") == 1
