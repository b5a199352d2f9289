"""The protocol gives the numbers that its published definition gives, computed here another way, loop by loop."""

import json

import numpy as np
import pytest

from dancerev.errors import InputError
from dancerev.model.evaluation.bailando import Movement, beat_alignment, evaluate, features_of
from dancerev.model.evaluation.evaluate import main
from dancerev.model.evaluation.metrics import geometric_features, kinetic_features, smpl_joints
from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import BONES

REST = rest_pose().positions().astype(np.float64)


def dance(seed, seconds=25.0, fps=60.0, beats=None):
    """A body whose joints wander smoothly about the rest pose."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * fps) + 1) / fps
    shape = (4, *REST.shape)
    rate, turn, width = rng.uniform(0.3, 2.0, shape), rng.uniform(0.0, 6.28, shape), rng.uniform(0.0, 0.1, shape)
    waves = width * np.sin(2.0 * np.pi * rate * times[:, None, None, None] + turn)
    return Movement(REST + waves.sum(axis=1), fps, beats)


def published_alignment(joints, beats):
    """BAS by SciPy's filter and extrema, at whole frames of 60 fps."""
    ndimage, signal = pytest.importorskip("scipy.ndimage"), pytest.importorskip("scipy.signal")
    speed = np.mean(np.sqrt(np.sum((joints[1:] - joints[:-1]) ** 2, axis=2)), axis=1)
    (motion,) = signal.argrelextrema(ndimage.gaussian_filter(speed, 5), np.less)
    return np.mean([np.exp(-np.min((motion - beat) ** 2) / 2.0 / 9.0) for beat in beats])


def test_beat_alignment_is_that_of_scipy():
    beats = np.arange(0.31, 24.0, 0.37)
    moved = dance(3, beats=beats)
    frames = [round(beat * 60.0) for beat in beats]
    assert beat_alignment(moved) == pytest.approx(published_alignment(smpl_joints(moved.positions), frames), abs=1e-12)


@pytest.mark.slow
def test_distance_and_diversity_are_those_of_the_definition():
    linalg = pytest.importorskip("scipy.linalg")
    made, real = [dance(seed) for seed in range(6)], [dance(seed, seconds=31.0) for seed in range(40, 90)]
    result = evaluate(made, real)
    for name, extract in (("k", kinetic_features), ("g", geometric_features)):
        ours, theirs = (
            np.stack([extract(joints - joints[0, 0]) for joints in (smpl_joints(one.positions)[:1200] for one in side)])
            for side in (made, real)
        )
        mean, scale = theirs.mean(axis=0), theirs.std(axis=0) + 1e-10
        ours, theirs = (ours - mean) / scale, (theirs - mean) / scale
        one, two = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
        root = linalg.sqrtm(one @ two + 1e-12 * np.eye(len(one))).real
        difference = ours.mean(axis=0) - theirs.mean(axis=0)
        fid = difference @ difference + np.trace(one) + np.trace(two) - 2.0 * np.trace(root)
        pairs = [np.linalg.norm(ours[i] - ours[j]) for i in range(6) for j in range(i)]
        assert result[f"fid_{name}"] == pytest.approx(fid, rel=1e-3)
        assert result[f"div_{name}"] == pytest.approx(np.mean(pairs), rel=1e-9)


def test_only_the_first_twenty_seconds_count_and_not_the_place():
    moved = dance(1)
    cut = Movement(moved.positions[:1200] + [3.0, 0.0, -2.0], 60.0)
    for ours, theirs in zip(features_of(moved), features_of(cut), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_set_is_at_no_distance_from_itself():
    dances = [dance(seed) for seed in range(5)]
    result = evaluate(dances, dances)
    assert result["fid_k"] == pytest.approx(0.0, abs=1e-3)
    assert result["div_k"] == result["div_k_real"]
    assert np.isnan(result["bas"])


def test_the_command_prints_and_writes_it(tmp_path, capsys):
    for seed in range(2):
        moved = dance(seed, fps=30.0)
        positions = moved.positions.astype(np.float32)
        beats = np.arange(0.0, 20.0, 0.5)
        np.savez(tmp_path / f"{seed}.npz", fps=30, joint_names=np.array(BONES), positions=positions, beats=beats)
    frames, rest = 480, rest_pose()
    rng = np.random.default_rng(0)
    root = np.tile(rest.root, (2 * frames, 1)) + np.cumsum(rng.normal(size=(2 * frames, 3), scale=0.003), axis=0)
    real = {"rotations": np.tile(rest.rotations, (2 * frames, 1, 1)), "root": root.astype(np.float32)}
    np.savez(tmp_path / "real", **real, lengths=[frames, frames], take=["a", "b"], fps=60)
    dances = [str(tmp_path / f"{seed}.npz") for seed in range(2)]
    command = [*dances, "--protocol", "bailando", "--json", str(tmp_path / "out.json")]
    assert main([*command, "--real", str(tmp_path / "real.npz")]) == 0
    report = json.loads((tmp_path / "out.json").read_text())["dances"]
    assert f"{report['bas']:.3f}" in capsys.readouterr().out
    assert main(command) == 2


def test_one_dance_is_no_set():
    with pytest.raises(InputError, match="at least two"):
        evaluate([dance(0)], [dance(1), dance(2)])
