"""A checkpoint in the original's own format dances from the command line as its own code makes it dance."""

import argparse
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from dancerev.model.evaluation.generate_original import doubled, main
from dancerev.model.network.original import OriginalConfig, OriginalNetwork

pytest.importorskip("librosa")

GOLDEN = json.loads((Path(__file__).parents[1] / "network/golden_original.json").read_text())["film"]
"""Key points that the original's code (commit 6d0ba39) makes of this checkpoint and this song, seed 0."""

RATE = 15_360


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("original")


@pytest.fixture(scope="module")
def checkpoint(folder):
    """A tiny network's weights, drawn in the order of their names, as the original's training saves them."""
    sizes = {"width": 24, "layers": 1, "heads": 2, "feed_forward": 32, "key_width": 8, "window": 20, "hidden": 32}
    network = OriginalNetwork(OriginalConfig(features=438, positions=320, **sizes))
    random = np.random.RandomState(0)
    weights = {"module.encoder.position_enc.weight": network.encoder.position_enc.weight}
    for name, weight in sorted((n, p) for n, p in network.named_parameters() if p.requires_grad):
        scale = (weight.shape[-1] if weight.dim() > 1 else 10) ** 0.5
        drawn = random.standard_normal(tuple(weight.shape)) / scale
        weights[f"module.{name}"] = torch.from_numpy(drawn.astype(np.float32))
    args = argparse.Namespace(
        max_seq_len=320,
        d_frame_vec=438,
        frame_emb_size=24,
        n_layers=1,
        n_head=2,
        d_k=8,
        d_v=8,
        d_inner=32,
        dropout=0.1,
        d_pose_vec=50,
        pose_emb_size=50,
        sliding_windown_size=20,
    )
    path = folder / "epoch_5500.pt"
    torch.save({"model": weights, "args": args, "epoch": 5500}, path)
    return path


@pytest.fixture(scope="module")
def song(folder):
    """Ten seconds of a chord with clicks, as 32-bit samples at the features' rate: nothing is resampled or rounded."""
    time = np.arange(10 * RATE) / RATE
    samples = sum(0.1 / k * np.sin(2 * np.pi * f * k * time) for f in (220.0, 261.6256, 329.6276) for k in (1, 2, 3))
    decay = np.arange(1536) / RATE
    for n in range(20):
        click = np.exp(-60 * decay) * np.sin(2 * np.pi * 3000 * decay)
        samples[round(7680 * n) : round(7680 * n) + 1536] += (0.8 if n % 4 == 0 else 0.4) * click
    path = folder / "song.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_f32le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="flt", layout="mono")
        frame.rate = RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.slow
def test_the_command_makes_the_dances_of_the_published_code(checkpoint, song, folder, capsys):
    out = folder / "out"
    command = [str(song), "--model", str(checkpoint), "--features", "present"]
    assert main([*command, "-o", f"{out}/", "--fps", "15", "--pictures"]) == 0
    assert "150 poses at 15 a second" in capsys.readouterr().out
    keypoints = written(out / "song__seed0")
    expected = np.array(GOLDEN["pixels"]).reshape(-1, 25, 2)
    # Files have three digits; 1e-5 of the network's range is .006 pixels.
    np.testing.assert_allclose(keypoints[GOLDEN["frames"]], expected, atol=0.0015)
    assert len(list((out / "song__seed0_pictures").glob("frame*.png"))) == 150
    with av.open(str(out / "song__seed0.mp4")) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (1280, 720)
        assert sum(1 for _ in film.decode(video=0)) == 150
        assert film.streams.audio
    assert main([*command, "-o", str(out), "--seed", "1"]) == 0
    other = written(out / "song__seed1")
    np.testing.assert_allclose(other, doubled(other[::2]), atol=0.0015)
    assert np.abs(other[::2] - keypoints).max() > 10


def written(folder):
    """The key points (T, 25, 2) of a folder as they stand in its files."""
    people = [json.loads(path.read_text())["people"][0] for path in sorted(folder.glob("*.json"))]
    return np.array([person["pose_keypoints_2d"] for person in people]).reshape(-1, 25, 3)[..., :2]


def test_poses_are_doubled_by_mid_points():
    points = np.array([0.0, 2.0, 6.0])[:, None, None] * np.ones((1, 25, 2))
    np.testing.assert_array_equal(doubled(points)[:, 0, 0], [0, 1, 2, 4, 6, 6])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["song.wav", "-o", "out", "--fps", "60"], "15 or 30 poses a second"),
        (["song.wav", "-o", "out.mp4"], "writes into a folder"),
        (["song.wav", "./song.wav", "-o", "out"], "the same name, song"),
        (["song.wav", "-o", "out", "--model", "nothing.pt"], "nothing.pt: not a checkpoint"),
    ],
)
def test_what_it_cannot_do_is_answered_in_one_line(checkpoint, song, folder, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(folder)
    model = [] if "--model" in options else ["--model", "epoch_5500.pt"]
    assert main([*options, *model]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (folder / "out.mp4").exists()


def test_dances_that_are_there_are_left_alone(checkpoint, song, folder, capsys):
    place = folder / "again/song__seed3"
    place.mkdir(parents=True)
    (place / "frame000000_keypoints.json").write_text("mine")
    assert main([str(song), "--model", str(checkpoint), "-o", str(folder / "again"), "--seed", "3"]) == 2
    assert "another dance" in capsys.readouterr().err
    assert (place / "frame000000_keypoints.json").read_text() == "mine"


def test_short_music_is_refused(checkpoint, folder, capsys):
    with wave.open(str(folder / "short.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(RATE))
    assert main([str(folder / "short.wav"), "--model", str(checkpoint), "-o", str(folder / "short")]) == 2
    assert "shorter than a second" in capsys.readouterr().err
    assert not read_nothing(folder / "short")


def read_nothing(folder):
    return list(folder.glob("**/*.json")) if folder.exists() else []
