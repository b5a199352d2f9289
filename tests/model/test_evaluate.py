"""The command reads what the other commands write, says what is wrong in one line, and its JSON is its table."""

import json
import math

import numpy as np
import pytest

from dancerev.model.evaluate import Dance, evaluate, main, read_dance, read_real
from dancerev.model.metrics import evaluate_dance
from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import BONES

REST = rest_pose()


def swaying(seconds=12.0, fps=30, bpm=120.0, width=0.05):
    """Positions of a body that sways from side to side and stops for an instant on every beat."""
    times = np.arange(int(seconds * fps) + 1) / fps
    positions = np.tile(REST.positions().astype(np.float64), (len(times), 1, 1))
    height = positions[..., 1] * (1 + np.arange(22) / 100)
    positions[..., 0] += width * np.cos(np.pi * times * bpm / 60)[:, None] * height
    return positions


@pytest.fixture
def dance_file(tmp_path):
    path = tmp_path / "sway.npz"
    beats = np.arange(0.0, 12.0, 0.5) + 0.25
    np.savez(path, fps=30, joint_names=np.array(BONES), positions=swaying().astype(np.float32), beats=beats)
    return path


@pytest.fixture
def real_file(tmp_path):
    path = tmp_path / "real.npz"
    frames = 8 * 60
    rng = np.random.default_rng(0)
    root = np.tile(REST.root, (2 * frames, 1)) + np.cumsum(rng.normal(size=(2 * frames, 3), scale=0.003), axis=0)
    np.savez(
        path,
        rotations=np.tile(REST.rotations, (2 * frames, 1, 1)),
        root=root.astype(np.float32),
        contacts=np.zeros((2 * frames, 2), np.float32),
        lengths=[frames, frames],
        take=["a", "b"],
        fps=60,
    )
    return path


def test_true_beats_replace_the_heard_ones(dance_file, tmp_path):
    truth = tmp_path / "truth.beats.json"
    truth.write_text(json.dumps({"bpm": 120, "beats": np.arange(0.0, 12.0, 0.5).tolist()}))
    np.testing.assert_allclose(read_dance(dance_file).beats[:2], [0.25, 0.75])
    np.testing.assert_allclose(read_dance(dance_file, truth).beats[:2], [0.0, 0.5])
    folder = tmp_path / "beats"
    folder.mkdir()
    truth.rename(folder / "sway.beats.json")
    np.testing.assert_allclose(read_dance(dance_file, folder).beats[:2], [0.0, 0.5])


def test_real_takes_are_told_apart(real_file):
    takes = read_real(real_file)
    assert [take.name for take in takes] == ["a", "b"]
    assert [take.positions.shape for take in takes] == [(480, 22, 3)] * 2
    assert takes[0].beats is None


def test_command_prints_a_table_and_writes_the_same_as_json(dance_file, real_file, tmp_path, capsys):
    out, sheets = tmp_path / "report.json", tmp_path / "sheets"
    assert main([str(dance_file), "--real", str(real_file), "--json", str(out), "--sheets", str(sheets)]) == 0
    report = json.loads(out.read_text())
    printed = capsys.readouterr().out
    expected = evaluate_dance(read_dance(dance_file).positions, 30, read_dance(dance_file).beats)
    assert report["dances"]["sway"]["pfc"] == pytest.approx(expected["pfc"])
    assert f"{expected['bas']:.3f}" in printed
    assert f"FID_k {report['comparison']['fid_k']:.2f}" in printed
    assert report["dances"]["sway"]["loop"] == pytest.approx(1.0, abs=0.04)
    assert "bas" not in report["real"]
    assert (sheets / "sway.png").stat().st_size > 1000


def test_nan_becomes_null(dance_file, tmp_path):
    arrays = dict(np.load(dance_file))
    np.savez(dance_file, **{**arrays, "beats": np.zeros(0)})
    out = tmp_path / "report.json"
    assert main([str(dance_file), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["dances"]["sway"]["bas"] is None


def test_mean_of_dances_and_shortest_loop():
    dances = [Dance("a", swaying(bpm=120), 30.0), Dance("b", swaying(bpm=60, width=0.1), 30.0)]
    report = evaluate(dances, [])
    a, b = report["dances"]["a"], report["dances"]["b"]
    assert report["mean"]["mean_speed"] == pytest.approx((a["mean_speed"] + b["mean_speed"]) / 2)
    assert report["mean"]["loop"] == min(a["loop"], b["loop"])
    assert not any(math.isnan(value) for value in report["mean"].values())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"no zip", "not an .npz file"),
        ({"x": 1}, "it lacks"),
        ({"fps": 30, "joint_names": np.array(["Hips"]), "positions": np.zeros((5, 1, 3))}, "skeleton"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.zeros((1, 22, 3))}, "fewer than two"),
    ],
)
def test_what_is_not_a_dance_is_told_in_one_line(tmp_path, capsys, content, reason):
    path = tmp_path / "dance.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dancerev-evaluate: ")
    assert reason in error
    assert error.count("\n") == 1


def test_bad_beats_and_bad_real_dance_are_told_in_one_line(dance_file, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    for arguments in (["--beats", str(bad)], ["--beats", str(tmp_path / "none.json")], ["--real", str(dance_file)]):
        assert main([str(dance_file), *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
