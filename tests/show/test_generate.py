"""A song becomes files: the key points of the original's format are those of the same dance."""

import numpy as np
import pytest
from signals import write_wav

from dancerev.model import body25
from dancerev.model.openpose import read_openpose
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
