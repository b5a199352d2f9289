"""The paper's training in two dimensions: data, curriculum, checkpoints, and the variant that dances live."""

import argparse

import numpy as np
import pytest
import torch
from dances import dance
from torch.nn import functional as F

from dancerev.export.export import main as export
from dancerev.export.export_flat import FlatStep, bundled_lifter
from dancerev.model import body25
from dancerev.model.body25 import FIRST_POSE, to_vectors
from dancerev.model.corpus.flat_corpus import FlatSequence, save_flat
from dancerev.model.features import FEATURE_SIZE
from dancerev.model.network.original import OriginalConfig, OriginalNetwork, load_original, save_published
from dancerev.model.training import train
from dancerev.model.training.dance_revolution import FlatTraining, Windows
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.stream import DanceStream


def sequence(seed, frames=90, live=True):
    rng = np.random.default_rng(seed)
    points = body25.project(*dance(np.arange(0.0, 8.0, 0.6), frames / 15, 15.0, seed))
    music = 50.0 * rng.standard_normal((frames, 438)) - 100.0
    heard = rng.random((frames if live else 0, FEATURE_SIZE))
    return FlatSequence(f"pop/{seed}", "pop", *(x.astype(np.float32) for x in (music, to_vectors(points), heard)))


@pytest.fixture
def corpus(tmp_path):
    save_flat(tmp_path / "corpus", {"train": [sequence(seed) for seed in range(3)], "test": [sequence(3)]}, {})
    return tmp_path / "corpus"


def command(corpus, out, *more):
    short = ["--preset", "dance-revolution", "--batch", "2", "--frames", "40", "--hidden", "24", "--window", "8"]
    return train.main([str(corpus), "-o", str(out), *short, *map(str, more)])


@pytest.mark.slow
def test_learns_goes_on_and_writes_the_originals_own_checkpoints(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    learning = ["--learning-rate", 0.003, "--save-every", 10]
    assert command(corpus, out, "--epochs", 10, *learning) == 0
    assert command(corpus, out, "--epochs", 20, *learning) == 0
    assert f"trained: {out / 'epoch_20.pt'}; next: dancerev-generate SONG" in capsys.readouterr().out
    losses = []
    for version in (0, 1):
        rows = [row.split(",") for row in (out / f"log/version_{version}/metrics.csv").read_text().splitlines()]
        losses += [float(row[rows[0].index("loss")]) for row in rows[1:] if row[rows[0].index("loss")]]
        assert {"held_out_l1", "free_movement"} <= set(rows[0])
    assert len(losses) == 20
    assert losses[-1] < 0.7 * losses[0]
    checkpoint = out / "epoch_20.pt"
    network = load_original(checkpoint)
    assert (network.config.layers, network.config.window, network.config.hidden) == (2, 8, 24)
    with torch.serialization.safe_globals([argparse.Namespace]):
        args = torch.load(checkpoint, weights_only=True)["args"]
    assert (args.lambda_v, args.condition_step, args.d_frame_vec, args.d_pose_vec) == (0.01, 10, 438, 50)


@pytest.mark.slow
def test_the_live_variant_exports_and_dances_in_three_dimensions(corpus, tmp_path, capsys):
    out, graph = tmp_path / "run", tmp_path / "live.onnx"
    assert command(corpus, out, "--epochs", 2, "--live") == 0
    assert export([str(out / "live.ckpt"), "-o", str(graph)]) == 0
    model = DanceModel(str(graph), "cpu")
    assert model.styles == ("dance-revolution",)
    stream = DanceStream(Dancer(model))
    poses = stream.begin()
    noise = np.random.default_rng(0).normal(0.0, 0.1, 24_000 * 3).astype(np.float32)
    poses += stream.push(noise)[0]
    assert len(poses) > 80
    assert all(pose.is_finite() for pose in poses)
    assert min(pose.positions()[:, 1].min() for pose in poses) > -0.05
    capsys.readouterr()
    offline = OriginalNetwork(OriginalConfig(hidden=16, feed_forward=16))
    save_published(offline, tmp_path / "epoch_1.pt", 1, 10, 0.01)
    assert export([str(tmp_path / "epoch_1.pt"), "-o", str(graph)]) == 2
    assert "future music" in capsys.readouterr().err


@torch.no_grad()
def test_steps_equal_the_whole_song():
    torch.manual_seed(0)
    sizes = {"layers": 2, "window": 6, "hidden": 16, "feed_forward": 16, "width": 24, "heads": 2, "key_width": 8}
    network = OriginalNetwork(OriginalConfig(FEATURE_SIZE, positions=0, look_ahead=0, **sizes)).eval()
    network.feature_mean.uniform_()
    step = FlatStep(network, bundled_lifter())
    features = torch.rand(1, 30, FEATURE_SIZE)
    memory = network.initial_memory(1, torch.Generator().manual_seed(0))
    whole = network.generate(features, torch.from_numpy(FIRST_POSE), memory)
    state, made = step.initial_state(1)[:6], []
    for frame in features.unbind(dim=1):
        _, now, *state = step.dance(frame, *state)
        made.append(now)
    torch.testing.assert_close(torch.stack(made, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_nothing_of_a_dance_is_left_out_and_windows_stay_within_it():
    sequences = [sequence(0, 100), sequence(1, 30), sequence(2, 80)]
    windows = Windows(sequences, 40, False)
    assert windows.windows == [(0, 0), (0, 40), (0, 60), (2, 0), (2, 40)]
    music, poses = windows[2]
    np.testing.assert_array_equal(music, sequences[0].features[60:])
    np.testing.assert_array_equal(poses, sequences[0].pose[60:])


def test_the_curriculum_grows_by_lambda_and_music_meets_the_pose_one_frame_ahead(monkeypatch):
    sizes = {"hidden": 8, "feed_forward": 8, "width": 8, "heads": 1, "key_width": 8, "dropout": 0.0}
    training = FlatTraining(OriginalConfig(**sizes), growth=0.5, condition=3, learning_rate=1e-3)
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    seen = {}
    plain = training.network.forward

    def spy(music, poses, own, begin, memory):
        seen.update(music=music, poses=poses, own=own.tolist(), made=plain(music, poses, own, begin, memory))
        return seen["made"]

    monkeypatch.setattr(training.network, "forward", spy)
    music, poses = (torch.from_numpy(x[None]) for x in (sequence(0, 12).features, sequence(0, 12).pose))
    for epoch, own in ((0, 0), (3, 2)):
        monkeypatch.setattr(FlatTraining, "current_epoch", epoch)
        loss = training.training_step((music, poses), 0)
        assert seen["own"][:6] == [*[True] * own, *[False] * 3, *[True] * own, False][:6] if own else [False] * 6
        torch.testing.assert_close(seen["music"], music[:, :-1])
        torch.testing.assert_close(seen["poses"], poses[:, :-1])
        torch.testing.assert_close(loss, F.l1_loss(seen["made"], poses[:, 1:]))


@torch.no_grad()
def test_statistics_become_part_of_the_first_layer(tmp_path):
    torch.manual_seed(0)
    network = OriginalNetwork(OriginalConfig(hidden=16, feed_forward=16, window=5)).eval()
    network.feature_mean.uniform_(-200, 0)
    network.feature_std.uniform_(1, 60)
    save_published(network, tmp_path / "x.pt", 7, 10, 0.01)
    loaded = load_original(tmp_path / "x.pt")
    assert not loaded.feature_mean.any()
    music = 60 * torch.randn(1, 20, 438) - 100
    torch.testing.assert_close(loaded.encode(music), network.encode(music), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("live", "options", "reason"),
    [(True, ["--frames", 200], "fewer --frames"), (False, ["--live"], "prepared files have no sound")],
)
def test_what_cannot_be_trained_is_answered_in_one_line(tmp_path, capsys, live, options, reason):
    save_flat(tmp_path / "corpus", {"train": [sequence(0, live=live)], "test": []}, {})
    assert command(tmp_path / "corpus", tmp_path / "run", "--epochs", 1, *options) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_corpora_of_another_kind_are_refused(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"styles": []}')
    assert command(tmp_path, tmp_path / "run", "--epochs", 1) == 2
    assert "not a corpus of two-dimensional dances" in capsys.readouterr().err
