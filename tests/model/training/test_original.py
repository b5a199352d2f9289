"""The original network on our corpus: its curriculum, its training by the command, and its dances as files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dancerev.model import pose
from dancerev.model.corpus.shards import DanceSequence, load_corpus, save_shard
from dancerev.model.evaluation import generate_offline as generate_original
from dancerev.model.evaluation.evaluate import read_dance
from dancerev.model.evaluation.generate_offline import begin_pose, dance, doubled
from dancerev.model.features import FEATURE_SIZE, FEATURE_VERSION
from dancerev.model.network.original import OriginalConfig, OriginalNetwork, load_original
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, Pose, rest_pose
from dancerev.model.training.data import Windows
from dancerev.model.training.original import OriginalTraining
from dancerev.model.training.train import main

FRAMES = 200


def sequence(dancing, seed):
    rng = np.random.default_rng(seed)
    beats = np.arange(0.0, 16.0, 0.6)
    rotations, root = dancing.dance(beats, FRAMES / FRAME_RATE, FRAME_RATE, seed)
    return DanceSequence(
        features=rng.random((FRAMES, FEATURE_SIZE)).astype(np.float16),
        pose=pose.encode(rotations, root, np.ones((FRAMES, 2))),
        place=root[:, [0, 2]].astype(np.float32),
        heading=np.zeros(FRAMES, dtype=np.float32),
        speed=np.full(FRAMES, 0.5, dtype=np.float32),
        phrase=0.0,
        style=0,
        take=str(seed),
        mirrored=False,
        tempo=100.0,
        beats=beats.astype(np.float32),
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, dancing):
    folder = tmp_path_factory.mktemp("corpus")
    sequences = [sequence(dancing, seed) for seed in range(3)]
    save_shard(folder / "train_000.npz", sequences[:2])
    save_shard(folder / "test_000.npz", sequences[2:])
    poses = np.concatenate([s.pose for s in sequences])
    statistics = {
        "feature_mean": [0.5] * FEATURE_SIZE,
        "feature_std": [0.3] * FEATURE_SIZE,
        "style_speed": [0.5],
        "pose_mean": poses.mean(0).tolist(),
        "pose_std": (poses.std(0) + 1e-3).tolist(),
    }
    manifest = {"feature_version": FEATURE_VERSION, "styles": ["any"], "statistics": statistics}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def command(corpus, out, *more):
    short = ["--network", "original", "--batch", "2", "--frames", "40", "--hidden", "24", "--log-every", "1"]
    return main([str(corpus), "-o", str(out), *short, *map(str, more)])


@pytest.mark.slow
def test_learns_goes_on_where_it_stopped_and_dances(corpus, dancing, tmp_path, capsys):
    out, music = tmp_path / "run", tmp_path / "music"
    learning = ["--learning-rate", 0.003, "--validate-every", 30]
    assert command(corpus, out, "--steps", 30, *learning) == 0
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == 30
    assert command(corpus, out, "--steps", 40, *learning) == 0
    assert f"going on from {out / 'last.ckpt'} at step 30\n" in capsys.readouterr().out
    saved = torch.load(out / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 40
    assert saved["hyper_parameters"]["feature_version"] == FEATURE_VERSION
    assert command(corpus, out, "--steps", 50, *learning, "--hidden", 16) == 2
    assert "hidden 24, not 16" in capsys.readouterr().err
    rows = [line.split(",") for line in (out / "log/version_0/metrics.csv").read_text().splitlines()]
    column = rows[0].index("loss")
    losses = [float(row[column]) for row in rows[1:] if row[column]]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    assert "free_mean_speed" in rows[0]

    music.mkdir()
    dancing.write_song(music / "clicks.wav", seconds=6.0)
    assert (
        generate_original.main(
            [str(out / "original.ckpt"), "--music", str(music), "-o", str(tmp_path / "d"), "--seeds", "2"]
        )
        == 0
    )
    first, second = (read_dance(tmp_path / "d" / f"clicks__seed{seed}.npz") for seed in (0, 1))
    assert first.fps == 30
    assert first.positions.shape == (181, 22, 3)
    np.testing.assert_allclose(first.positions[0], rest_pose().positions(), atol=1e-5)
    assert np.abs(first.positions - second.positions).max() > 1e-3


def test_no_corpus_is_answered_in_one_line(tmp_path, capsys):
    assert command(tmp_path, tmp_path / "out", "--steps", 1) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_windows_longer_than_every_dance_are_answered_in_one_line(corpus, tmp_path, capsys):
    assert command(corpus, tmp_path / "out", "--steps", 1, "--frames", FRAMES - 1) == 2
    error = capsys.readouterr().err
    assert "fewer --frames" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("own", "expected"), [(30, [0, 0, 15, 30, 30]), (0, [0, 0, 0, 0, 0])])
def test_the_curriculum_grows_to_its_end_and_teacher_forcing_never_does(monkeypatch, own, expected):
    training = OriginalTraining(OriginalConfig(FEATURE_SIZE, POSE_SIZE, pose_width=8, hidden=4), steps=1000, own=own)
    in_a_row = []
    for step in (0, 33, 500, 1000, 2000):
        monkeypatch.setattr(OriginalTraining, "global_step", step)
        in_a_row.append(training.own_in_a_row())
    assert in_a_row == expected


def test_every_song_is_danced_to_its_own_end(corpus, monkeypatch):
    (song,) = load_corpus(corpus, "test").sequences
    judged = []
    monkeypatch.setattr(
        "dancerev.model.training.validation.evaluate_dance",
        lambda dance, *_: judged.append(dance) or {"bas": 0.5, "bas_chance": 0.2, "mean_speed": 1.0},
    )
    training = OriginalTraining(OriginalConfig(FEATURE_SIZE, POSE_SIZE, pose_width=8, hidden=4)).eval()
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    training.validation_step([replace(song, features=song.features[:frames]) for frames in (50, 30)], 0)
    assert [dance.shape for dance in judged] == [(50, 22, 3), (30, 22, 3)]


def test_music_meets_the_pose_one_frame_ahead(corpus):
    """The loss is that of predicting poses[t + 1] from features[t] and poses[t]."""
    network_seen = {}
    loaded = load_corpus(corpus, "train")
    training = OriginalTraining(OriginalConfig(FEATURE_SIZE, POSE_SIZE, pose_width=8, hidden=4, dropout=0.0), loaded)
    training.log = lambda *_, **__: None
    batch = training.corpus.window(next(iter(Windows(training.corpus, 40, 2, seed=0))))
    features, poses = batch.given.features, batch.poses
    plain = training.network.forward

    def spy(heard, real, own, begin, memory):
        network_seen.update(heard=heard, real=real, own=own, made=plain(heard, real, own, begin, memory))
        return network_seen["made"]

    training.network.forward = spy
    loss = training.training_step(batch, 0)
    normal = training.network.normalize_pose(poses)
    torch.testing.assert_close(network_seen["heard"], features)
    torch.testing.assert_close(network_seen["real"], normal[:, :-1])
    torch.testing.assert_close(loss, (network_seen["made"] - normal[:, 1:]).abs().mean())


def test_a_dance_is_decided_by_its_seed():
    torch.manual_seed(0)
    network = OriginalNetwork(OriginalConfig(FEATURE_SIZE, POSE_SIZE, pose_width=8, hidden=16)).eval()
    features = np.random.default_rng(0).random((2, 30, FEATURE_SIZE))
    first, again, other = (
        np.array([[p.root for p in poses] for poses in dance(network, features, seed)]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    assert begin_pose(network).shape == (POSE_SIZE,)


def test_poses_are_doubled_by_mid_points():
    a, b = rest_pose(1.0), rest_pose(1.0 + 1 / FRAME_RATE)
    moved = Pose(b.time, b.rotations, b.root + np.float32(0.1), b.contacts * 0)
    made = doubled([a, moved])
    assert [p.time for p in made] == pytest.approx([1.0, 1.0 + 1 / 30, 1.0 + 2 / 30, 1.0 + 3 / 30])
    np.testing.assert_allclose(made[1].root, a.root + 0.05)
    np.testing.assert_allclose(made[1].rotations, a.rotations, atol=1e-6)
    np.testing.assert_array_equal(made[3].root, moved.root)


def test_generation_tells_what_is_wrong_in_one_line(tmp_path, capsys):
    assert generate_original.main([str(tmp_path / "none"), "--music", str(tmp_path), "-o", str(tmp_path / "d")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    config = {"features": 4, "pose": 4, "width": 8, "heads": 1, "hidden": 4}
    weights = {f"network.{n}": w for n, w in OriginalNetwork(OriginalConfig(**config)).state_dict().items()}
    kept = {"original": config, "feature_version": FEATURE_VERSION}
    torch.save({"state_dict": weights, "hyper_parameters": kept}, tmp_path / "other.ckpt")
    assert load_original(tmp_path / "other.ckpt").config.hidden == 4
    assert generate_original.main([str(tmp_path / "other.ckpt"), "--music", str(tmp_path), "-o", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "was not trained by dancerev-train" in error
