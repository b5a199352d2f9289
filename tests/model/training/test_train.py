"""Training on a made corpus: it learns, goes on after a kill without loss, and runs on two processes."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from dancerev.model import pose, rotation
from dancerev.model.corpus.shards import DanceSequence, load_corpus, save_shard
from dancerev.model.features import BEAT_FEATURES, FEATURE_NAMES, FEATURE_SIZE, FEATURE_VERSION
from dancerev.model.network.body_loss import body_loss, displacement, joints
from dancerev.model.network.checkpoint import load_checkpoint
from dancerev.model.network.config import DanceConfig
from dancerev.model.network.dance_network import Conditions, DanceNetwork
from dancerev.model.network.free_run import free_run, gumbel
from dancerev.model.skeleton import INDEX, forward_kinematics
from dancerev.model.training.config import TrainingConfig
from dancerev.model.training.dance_module import DanceTraining
from dancerev.model.training.data import CorpusTensors, Windows
from dancerev.model.training.prior_module import PriorTraining, prior_windows
from dancerev.model.training.train import main, train_dance
from dancerev.model.training.validation import mean_speed

FRAMES = 520


def swinging(rng, style):
    """A body whose arms swing with the beat, and the beat as the only feature that varies."""
    phase = np.arange(FRAMES) / 15 * rng.uniform(1.2, 2.4) + rng.uniform()
    features = np.zeros((FRAMES, FEATURE_SIZE))
    first = len(FEATURE_NAMES) - len(BEAT_FEATURES)
    features[:, first], features[:, first + 1] = np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)
    rotations = np.tile(pose.rest_pose().rotations.astype(np.float64), (FRAMES, 1, 1))
    axis = np.array([1.0, 0.0, 0.0]) if style else np.array([0.0, 0.0, 1.0])
    swing = rotation.from_axis_angle(axis, 0.6 * np.sin(2 * np.pi * phase))
    for bone in ("LeftUpperArm", "RightUpperArm"):
        rotations[:, INDEX[bone]] = rotation.multiply(swing, rotations[:, INDEX[bone]])
    root = np.tile([0.0, 0.92, 0.0], (FRAMES, 1)) + 0.05 * np.sin(np.pi * phase)[:, None] * [1.0, 0.0, 0.0]
    vectors = pose.encode(rotations, root, np.ones((FRAMES, 2)))
    beats = np.arange(np.ceil(phase[0]), phase[-1])
    return DanceSequence(
        features=features.astype(np.float16),
        pose=vectors,
        place=root[:, [0, 2]].astype(np.float32),
        heading=rng.uniform(-3.0, 3.0, FRAMES).astype(np.float32),
        speed=rng.uniform(0.2, 1.0, FRAMES).astype(np.float32),
        phrase=float(style),
        style=style,
        take=f"swing {style}",
        mirrored=False,
        tempo=100.0,
        beats=np.interp(beats, phase, np.arange(FRAMES) / 15).astype(np.float32),
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    sequences = [swinging(rng, i % 2) for i in range(6)]
    save_shard(folder / "train_000.npz", sequences[:4])
    save_shard(folder / "test_000.npz", sequences[4:])
    statistics = {}
    for name, rows in (
        ("feature", np.concatenate([s.features for s in sequences]).astype(np.float64)),
        ("pose", np.concatenate([s.pose for s in sequences])),
    ):
        statistics[f"{name}_mean"], statistics[f"{name}_std"] = rows.mean(0).tolist(), (rows.std(0) + 1e-3).tolist()
    statistics["style_speed"] = [0.5, 0.25]
    manifest = {"feature_version": FEATURE_VERSION, "styles": ["side", "front"], "statistics": statistics}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def train(corpus, out, *arguments):
    short = ["--batch", "4", "--frames", "32", *([] if "original" in arguments else ["--prior-steps", "4"])]
    return main([str(corpus), "-o", str(out), *short, *map(str, arguments)])


def logged(out, name):
    """Every value that was logged under ``name``, over all runs into the folder."""
    values = []
    for path in sorted(out.glob("log/version_*/metrics.csv")):
        with path.open() as file:
            values += [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    return values


@pytest.mark.slow
def test_learns_and_goes_on_where_it_stopped(corpus, tmp_path):
    assert train(corpus, tmp_path, "--steps", 60, "--validate-every", 60, "--log-every", 1) == 0
    loss = logged(tmp_path, "reconstruction")
    # Means, since batches differ; from where it is fed many of its own poses, to where it is fed nothing else in a row.
    assert np.mean(loss[-10:]) < 0.85 * np.mean(loss[7:17])
    assert "free_mean_speed" in (tmp_path / "log/version_0/metrics.csv").read_text()
    first = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert first["global_step"] == 60
    assert train(corpus, tmp_path, "--steps", 80, "--validate-every", 1000, "--log-every", 10) == 0
    second = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert second["global_step"] == 80
    network = load_checkpoint(tmp_path / "dance.ckpt")
    assert network.config.styles == ("side", "front")
    assert network.feature_std.min() >= 0.05


class Killed(Exception):
    pass


@pytest.mark.slow
def test_goes_on_after_a_kill_without_loss_and_sees_other_windows(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "dancerev.model.training.fit.timedelta", lambda **_: timedelta(0)
    )  # a checkpoint after every step
    there, moved, drawn, at_resume = tmp_path / "there", tmp_path / "moved", [], {}
    window, learn = CorpusTensors.window, DanceTraining.training_step

    def noted(self, pick):
        made = window(self, pick)
        if len(pick.frames) == 32:
            drawn.extend(made.poses)
        return made

    def until_the_third(self, batch, index):
        if self.global_step == 3:
            raise Killed
        return learn(self, batch, index)

    monkeypatch.setattr(CorpusTensors, "window", noted)
    monkeypatch.setattr(DanceTraining, "training_step", until_the_third)
    with pytest.raises(Killed):
        train(corpus, there, "--steps", 6)
    monkeypatch.setattr(DanceTraining, "training_step", learn)
    last = there.rename(moved) / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] == 3
    before, drawn[:] = list(drawn), []

    def keep(self):
        at_resume.update({name: value.clone() for name, value in self.state_dict().items()})

    monkeypatch.setattr(DanceTraining, "on_train_start", keep)
    capsys.readouterr()
    assert train(corpus, moved, "--steps", 6) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"going on from {last} at step 3"
    assert at_resume.keys() == saved["current_model_state"].keys()
    assert all(torch.equal(at_resume[name], value) for name, value in saved["current_model_state"].items())
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert sorted(path.name for path in moved.glob("last*")) == ["last.ckpt"]
    assert len(drawn) >= 3 * 4
    # Of some hundred windows one may come again by chance, but not the same ones in the same order.
    assert sum(np.array_equal(one, other) for one in drawn for other in before) <= 2


def test_the_windows_of_a_step_are_its_own(corpus):
    tensors = CorpusTensors(load_corpus(corpus, "train"))
    first, again, later = (next(iter(Windows(tensors, 32, 8, seed=0, step=step))).start for step in (0, 0, 7))
    assert torch.equal(first, again)
    assert not torch.isin(first, later).any()


def test_the_curriculum_of_a_step_is_the_same_after_a_kill(monkeypatch):
    config = DanceConfig(styles=("a",), width=16, heads=2, feed_forward=16, window=8, hidden=16)
    went_on, resumed = (DanceTraining(config, training=TrainingConfig(steps=100)) for _ in range(2))
    rows = []
    for step in range(20, 40):
        monkeypatch.setattr(DanceTraining, "global_step", step)
        rows.append(went_on.own_poses(64).tolist())
        if step >= 30:
            assert resumed.own_poses(64).tolist() == rows[-1]
    assert len({tuple(row) for row in rows}) > 5


@pytest.fixture
def stopped(tmp_path):
    """A folder in which a training was stopped, and its checkpoint."""
    training = DanceTraining(DanceConfig(styles=("side", "front")))
    content = {
        "hyper_parameters": dict(training.hparams),
        "state_dict": training.state_dict(),
        "global_step": 5,
        "optimizer_states": [],
    }
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path, content


@pytest.mark.parametrize(
    ("spoil", "arguments", "reason"),
    [
        (lambda content: None, ["--look-ahead", 3], "look_ahead 0, not 3"),
        (lambda content: None, ["--network", "original", "--hidden", 8], "not a checkpoint of the original"),
        (lambda content: content.pop("optimizer_states"), [], "weights alone"),
        (lambda content: content["hyper_parameters"].update(feature_version=1), [], "features of version 1"),
        (lambda content: content["hyper_parameters"]["config"].update(styles=("x", "y")), [], "styles ('x', 'y'), not"),
        (lambda content: content["state_dict"].popitem(), [], "not a checkpoint of dancerev-train"),
        (None, [], "not a checkpoint of dancerev-train"),
    ],
)
def test_what_cannot_go_on_is_told_in_one_line_and_left_alone(stopped, corpus, capsys, spoil, arguments, reason):
    out, content = stopped
    last = out / "last.ckpt"
    if spoil is None:
        last.write_bytes(last.read_bytes()[:5000])
    else:
        spoil(content)
        torch.save(content, last)
    before = last.read_bytes()
    assert train(corpus, out, "--steps", 6, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dancerev-train: {last}: ")
    assert reason in error
    assert "another folder" in error
    assert error.count("\n") == 1
    assert last.read_bytes() == before
    assert list(out.iterdir()) == [last]


@pytest.mark.slow
def test_two_processes_train_one_network(corpus, tmp_path):
    command = [
        sys.executable,
        "-m",
        "dancerev.model.training.train",
        str(corpus),
        "-o",
        str(tmp_path),
        "--devices",
        "2",
    ]
    command += ["--steps", "6", "--batch", "2", "--frames", "16", "--validate-every", "1000", "--prior-steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 6


def test_no_corpus_is_answered_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def with_nan(name):
    """A spoiler that makes one number of an array of a shard NaN."""

    def spoil(shard):
        with np.load(shard) as file:
            arrays = dict(file)
        arrays[name].flat[7] = np.nan
        np.savez(shard, **arrays)

    return spoil


def nan_statistic(shard):
    path = shard.with_name("manifest.json")
    manifest = json.loads(path.read_text())
    manifest["statistics"]["pose_std"][3] = float("nan")
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "arguments", "reason"),
    [
        (with_nan("pose"), [], "train_000.npz: swing 0 has numbers that are not finite"),
        (with_nan("features"), [], "train_000.npz: swing 0 has numbers that are not finite"),
        (with_nan("beats"), [], "train_000.npz: swing 0 has numbers that are not finite"),
        (nan_statistic, [], "manifest.json: a statistic is not finite"),
        (lambda shard: shard.unlink(), [], "no dances"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:3000]), [], "train_000.npz: damaged"),
        (lambda shard: None, ["--frames", FRAMES - 1], "fewer --frames"),
    ],
)
def test_a_corpus_without_windows_is_told_before_the_training(corpus, tmp_path, capsys, spoil, arguments, reason):
    shutil.copytree(corpus, tmp_path / "data")
    spoil(tmp_path / "data" / "train_000.npz")
    assert train(tmp_path / "data", tmp_path / "out", "--steps", 1, *arguments) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("frames", [300, FRAMES])
def test_the_prior_learns_from_dances_as_long_as_there_are(corpus, frames):
    whole = load_corpus(corpus, "train")
    rows = ("features", "pose", "place", "heading", "speed")
    cut = [replace(s, **{name: getattr(s, name)[:frames] for name in rows}) for s in whole.sequences]
    tensors = CorpusTensors(replace(whole, sequences=cut))
    batch = tensors.window(next(iter(prior_windows(tensors, TrainingConfig()))))
    assert batch.given.features.shape[1] == min(480, frames - 2)
    assert batch.poses.shape[1] == batch.given.features.shape[1] + 1


@pytest.mark.parametrize("steps", [1, 10])
def test_the_prior_learns_in_a_few_steps(steps):
    network = DanceNetwork(DanceConfig(styles=("a",), width=16, heads=2, feed_forward=16, window=8, hidden=16))
    PriorTraining(network, None, TrainingConfig(prior_steps=steps)).configure_optimizers()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", "0"],
        ["--steps", "-3"],
        ["--steps", "many"],
        ["--prior-steps", "0"],
        ["--batch", "0"],
        ["--frames", "0"],
        ["--validate-every", "0"],
        ["--log-every", "0"],
        ["--devices", "0"],
        ["--precision", "foo"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "-1"],
        ["--lambda", "inf"],
        ["--hidden", "0"],
        ["--seed", "-1"],
        ["--look-ahead", "-1"],
        ["--own-poses", "-1"],
        ["-o", __file__],
    ],
)
def test_bad_arguments_are_told_in_one_line(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert arguments[0] in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "following"),
    [
        ([], "dancerev-export dance.ckpt -o model.onnx"),
        (["--look-ahead", "5"], "generate_offline dance.ckpt --music FOLDER -o DIR --ours"),
        (["--network", "original"], "generate_offline dance.ckpt --music FOLDER -o DIR"),
    ],
)
def test_a_finished_training_says_what_can_be_done_with_it(tmp_path, monkeypatch, capsys, arguments, following):
    """What looks ahead cannot be exported."""
    monkeypatch.setattr("dancerev.model.training.options.read_manifest", lambda _: None)
    monkeypatch.setattr("dancerev.model.training.train.train", lambda _: Path("dance.ckpt"))
    assert main([str(tmp_path), *arguments]) == 0
    assert capsys.readouterr().out.endswith(f"{following}\n")


def test_every_song_is_danced_to_its_own_end(corpus, monkeypatch):
    """In one batch, the shorter ones padded, and the padding is not judged."""
    songs = [
        replace(s, features=s.features[:frames])
        for s, frames in zip(load_corpus(corpus, "test").sequences, (90, 60), strict=True)
    ]
    judged = []
    monkeypatch.setattr(
        "dancerev.model.training.validation.evaluate_dance",
        lambda dance, *_: judged.append(dance) or {"bas": 0.5, "bas_chance": 0.2, "mean_speed": 1.0},
    )
    config = DanceConfig(styles=("side", "front"), width=16, heads=2, feed_forward=16, window=8, hidden=16)
    training = DanceTraining(config).eval()
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    training.validation_step(songs, 0)
    assert [dance.shape for dance in judged] == [(90, 22, 3), (60, 22, 3)]


def test_windows_are_what_the_network_takes(corpus):
    loaded = load_corpus(corpus, "train")
    tensors = CorpusTensors(loaded)
    given, poses = tensors.window(next(iter(Windows(tensors, 32, 5, seed=0))))
    assert [x.shape[:2] for x in given] == [(5, 32)] * len(Conditions._fields)
    assert [x.shape[2] for x in given] == [FEATURE_SIZE, 2, 2, 2, 1, 1]
    assert poses.shape == (5, 33, pose.POSE_SIZE)
    for i in range(5):
        # Each window is a stretch of one sequence, the pose before it in front.
        (found,) = [
            (s, at)
            for s in loaded.sequences
            for at in range(1, len(s.pose) - 32)
            if np.array_equal(s.pose[at - 1 : at + 32], poses[i].numpy())
        ]
        s, at = found
        np.testing.assert_array_equal(given.features[i].numpy(), s.features[at : at + 32].astype(np.float32))
        np.testing.assert_array_equal(given.style[i].numpy(), np.eye(2)[[s.style] * 32])
        vigour = np.log2(s.speed[at : at + 32] / loaded.style_speed[s.style])
        np.testing.assert_allclose(given.vigour[i, :, 0].numpy(), vigour, atol=1e-5)
        assert (given.phrase[i] == s.phrase).all()
        for t in range(32):
            # Where the stage and the audience are, from where the pose before left the dancer.
            decoder = pose.PoseDecoder(tuple(s.place[at + t - 1]), float(s.heading[at + t - 1]))
            np.testing.assert_allclose(given.stage[i, t].numpy(), decoder.to_centre(), atol=1e-5)
            front = pose.PoseDecoder((0.0, -1.0), float(s.heading[at + t - 1]))  # the centre is towards the audience
            np.testing.assert_allclose(given.audience[i, t].numpy(), front.to_centre(), atol=1e-5)


def test_as_many_windows_as_asked_for_keep_back_style_and_audience(corpus):
    tensors = CorpusTensors(load_corpus(corpus, "train"))
    pick = next(iter(Windows(tensors, 32, 400, seed=0, unnamed=0.3, unfaced=0.2)))
    given, _ = tensors.window(pick)
    assert (given.style[:, 0].sum(dim=1) == 0.0).float().mean() == pytest.approx(0.3, abs=0.08)
    assert (given.audience[:, 0].norm(dim=1) == 0.0).float().mean() == pytest.approx(0.2, abs=0.08)


def test_body_loss_measures_joints_in_space():
    rng = np.random.default_rng(0)
    sequence = swinging(rng, 1)
    vectors = torch.from_numpy(sequence.pose[None, :50])
    made = joints(vectors)[0].numpy()
    decoder = pose.PoseDecoder()
    poses = [decoder.decode(vector) for vector in sequence.pose[:50]]
    world = np.array([p.positions() for p in poses])
    roots = np.array([p.root for p in poses])
    np.testing.assert_allclose(made, world - roots[:, None] * [1, 0, 1], atol=1e-5)  # heading is 0 throughout
    moved = displacement(joints(vectors)[:, :-1], joints(vectors)[:, 1:], vectors[:, 1:])[0].numpy()
    np.testing.assert_allclose(moved, np.diff(world, axis=0), atol=1e-5)
    assert all(float(loss) == 0.0 for loss in body_loss(vectors, vectors)[:3])
    lifted = vectors.clone()
    lifted[..., pose.HEIGHT] += 0.3
    assert float(body_loss(lifted, vectors).position) == pytest.approx(0.1, abs=1e-6)


def test_free_run_is_what_the_decoder_makes_of_the_steps():
    torch.manual_seed(0)
    network = DanceNetwork(DanceConfig(styles=("a",), width=16, heads=2, feed_forward=16, window=8, hidden=16)).eval()
    features = np.random.default_rng(0).random((2, 40, FEATURE_SIZE), dtype=np.float32)
    style = np.ones((2, 1), dtype=np.float32)
    rotations, root = free_run(network, features, style, seed=1)
    again, _ = free_run(network, features, style, seed=1)
    other, _ = free_run(network, features, style, seed=2)
    np.testing.assert_array_equal(rotations, again)
    assert np.abs(rotations - other).max() > 1e-6
    # By hand, for the first dancer alone and with the numpy decoder.
    rest = pose.rest_pose()
    stance = torch.from_numpy(pose.encode(rest.rotations[None], rest.root[None], rest.contacts[None]))
    generator, state, decoder = torch.Generator().manual_seed(1), network.initial_state(stance), pose.PoseDecoder()
    for t in range(40):
        noise = gumbel(2, network.config.codes, generator)[:1]
        given = Conditions(
            torch.from_numpy(features[:1, t]),
            torch.ones(1, 1),
            torch.from_numpy(decoder.to_centre())[None],
            torch.tensor([[-np.sin(decoder.heading), np.cos(decoder.heading)]], dtype=torch.float32),
            torch.zeros(1, 1),
            torch.full((1, 1), 0.5),
        )
        with torch.no_grad():
            vector, state = network.step(given, noise, state)
        made = decoder.decode(vector[0].numpy())
        np.testing.assert_allclose(made.root, root[0, t], atol=1e-3)
        positions, _ = forward_kinematics(rotations[0, t], root[0, t])
        np.testing.assert_allclose(made.positions(), positions, atol=1e-3)


def test_the_loss_of_speed_is_blind_to_direction():
    rest = pose.rest_pose()
    stance = torch.from_numpy(pose.encode(rest.rotations[None], rest.root[None], rest.contacts[None]))
    ahead, aside, slower = (stance.repeat(1, 20, 1) for _ in range(3))
    ahead[..., pose.TRAVEL], aside[..., pose.TRAVEL] = torch.tensor([0.0, 0.1]), torch.tensor([0.1, 0.0])
    slower[..., pose.TRAVEL] = torch.tensor([0.0, 0.05])
    assert float(body_loss(aside, ahead).speed) == pytest.approx(0.0, abs=1e-6)
    assert float(body_loss(aside, ahead).velocity) == pytest.approx(0.2 / 3, abs=1e-6)
    assert float(body_loss(slower, ahead).speed) == pytest.approx(0.05, abs=1e-5)
    assert float(body_loss(slower, ahead).level) == pytest.approx(0.05, abs=1e-5)


def test_the_loss_of_level_is_blind_to_when_it_moves():
    rest = pose.rest_pose()
    stance = torch.from_numpy(pose.encode(rest.rotations[None], rest.root[None], rest.contacts[None]))
    steady, in_turns = (stance.repeat(1, 21, 1) for _ in range(2))
    steady[..., pose.TRAVEL] = torch.tensor([0.0, 0.05])
    in_turns[:, 0::2, pose.TRAVEL] = torch.tensor([0.0, 0.1])
    assert float(body_loss(in_turns, steady).level) == pytest.approx(0.0, abs=1e-4)
    assert float(body_loss(in_turns, steady).pulse) == pytest.approx(0.05, abs=1e-4)


def test_mean_speed_is_that_of_the_joints_in_the_world():
    sequence = swinging(np.random.default_rng(0), 1)
    decoder = pose.PoseDecoder()
    world = np.array([decoder.decode(vector).positions() for vector in sequence.pose])
    assert mean_speed(sequence.pose) == pytest.approx(
        15 * np.linalg.norm(np.diff(world, axis=0), axis=-1).mean(), rel=1e-4
    )


@pytest.mark.slow
def test_a_training_that_gets_no_better_ends_early(corpus, tmp_path):
    """Nothing is learned at such a rate, so validations are as good as the first, but for rounding."""
    still = TrainingConfig(
        steps=60, batch=4, frames=32, validate_every=4, learning_rate=1e-12, prior_steps=2, log_every=1, patience=2
    )
    train_dance(corpus, tmp_path, still)
    assert 2 <= len(logged(tmp_path, "free_score")) <= 8
