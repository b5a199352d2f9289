"""The network that hears the beat: what is trained is what runs on stage, and it is told the beats that sound."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dancerev.model.beats import train as train_beat
from dancerev.model.beats.loss import TensorSpace
from dancerev.model.beats.music import FASTEST, SLOWEST, Source, compose
from dancerev.model.beats.train import BeatNet, Heard, evaluate, export, grooves_of, hear, label, main, train
from dancerev.model.corpus.render_music import Groove
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.beat.bar_pointer import BarSpace
from dancerev.realtime.beat.beat_network import CLASSES, DELAY, RATE, STEPS, BeatNetwork, network_input
from dancerev.realtime.spectrum import HOPS, LAG, MELS

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
rendering = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not SOUNDFONT.exists(), reason="needs fluidsynth and fluid-soundfont-gm"
)


def spectra(blocks, seed=0):
    """(blocks, LAG + HOPS, MELS) mel power; the first rows of each block are the last of the one before."""
    rows = np.random.default_rng(seed).gamma(0.3, size=(blocks * HOPS + LAG, MELS)).astype(np.float32)
    return [rows[block * HOPS : (block + 1) * HOPS + LAG] for block in range(blocks)]


def exercised():
    """A small network whose normalisations are no identities."""
    torch.manual_seed(0)
    net = BeatNet(channels=12, taps=3, layers=5)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            if module.affine:
                torch.nn.init.uniform_(module.weight, 0.5, 2.0)
                torch.nn.init.uniform_(module.bias, -1.0, 1.0)
    return net.eval()


def test_on_stage_it_says_what_it_says_in_training(tmp_path):
    net = exercised()
    export(net, tmp_path / "net.npz")
    live, blocks = BeatNetwork(tmp_path / "net.npz"), spectra(150)
    inputs = np.concatenate([network_input(block) for block in blocks])
    with torch.no_grad():
        trained = torch.log_softmax(net(torch.from_numpy(inputs[None])), dim=2)[0].numpy()
    streamed = np.concatenate([live.process(block) for block in blocks])
    assert streamed.shape == (150 * STEPS, len(CLASSES))
    np.testing.assert_allclose(streamed, trained, atol=1e-4)
    assert trained.std(axis=0).min() > 1e-3


def test_it_never_hears_the_future():
    net = exercised()
    inputs = torch.rand(1, 200, 2 * MELS)
    other = inputs.clone()
    other[:, 120:] = 0.0
    with torch.no_grad():
        first, second = net(inputs)[0], net(other)[0]
    torch.testing.assert_close(first[:120], second[:120])
    assert (first[120:] - second[120:]).abs().max() > 1e-3


def test_labels_are_triangles_late_by_the_delay():
    beats, downbeats = np.array([0.5, 1.0, 1.5]), np.array([True, False, False])
    labels = label(beats, downbeats, 2 * RATE)
    times = (np.arange(2 * RATE) + 1) / RATE
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-6)
    for kind, which in ((1, ~downbeats), (2, downbeats)):
        marked = labels[:, kind] > 0.0
        assert all(np.min(np.abs(beats[which] + DELAY - time)) < 0.025 for time in times[marked])
        assert (labels[:, kind] > 0.6).sum() == which.sum()
        np.testing.assert_allclose(labels[:, kind].max(), 1.0, atol=1e-6)


@pytest.mark.parametrize("through_tracker", [False, True])
def test_training_learns_clicks_and_repeats_itself(through_tracker, monkeypatch):
    monkeypatch.setattr(train_beat, "WINDOW", 6.0 if through_tracker else 20.0)
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(4):
        samples = rng.normal(scale=1e-3, size=25 * SAMPLE_RATE).astype(np.float32)
        beats = np.arange(0.3, 24.5, rng.uniform(0.4, 0.7))
        for beat in beats:
            start = int(beat * SAMPLE_RATE)
            samples[start : start + 480] += rng.normal(scale=0.3, size=480).astype(np.float32)
        inputs = hear(samples)
        pieces.append(Heard(inputs, beats, np.arange(len(beats)) % 4 == 0))
    space = TensorSpace(BarSpace(80.0, 160.0), torch.device("cpu")) if through_tracker else None
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        net = BeatNet(channels=8, taps=2, layers=2, dropout=0.0)
        before = evaluate(net, pieces, space)
        train(pieces[:3] * 6, pieces[3:], net, epochs=3 if through_tracker else 8, seed=0, space=space)
        losses.append(evaluate(net, pieces, space))
    assert losses[0] < 0.9 * before
    assert losses[0] == losses[1]


@rendering
def test_music_has_its_beats_where_it_says():
    """Drums on every beat and nothing else: the onsets are at the beats, whatever the tempo does."""
    notes = np.array([[beat, 0.2, 36.0, 110.0] for beat in range(16)])
    source = Source(((110.0, "rock", Groove(notes, 16)),), SOUNDFONT)
    seen = 0
    for seed in range(6):
        music = compose(source, 20.0, seed, (seed + 0.5) / 6)
        again = compose(source, 20.0, seed, (seed + 0.5) / 6)
        assert music.audio.tobytes() == again.audio.tobytes()
        assert music.audio.dtype == np.float32
        assert np.abs(music.audio).max() <= 1.0
        assert music.downbeats[0]
        assert music.downbeats.sum() in (len(music.beats) // 4, len(music.beats) // 3)
        period = np.array([later - beat for beat, later in pairwise(music.beats)])
        assert (period > 0.9 * 60.0 / FASTEST).all()
        assert (period < 1.1 * 60.0 / SLOWEST).all()
        rise = hear(music.audio)[:, MELS:].astype(np.float32).mean(axis=1)
        near = [rise[int(beat * RATE) : int(beat * RATE) + 3].max() for beat in music.beats[:-1]]
        seen += np.median(near) > 3.0 * rise.mean()
    assert seen >= 4  # some pieces have no drums, or are drowned


def test_grooves_of_the_test_music_are_named(tmp_path):
    (tmp_path / "a.beats.json").write_text('{"beats": [0, 1], "source": "drummer1/x.mid"}')
    assert grooves_of(tmp_path) == {"drummer1/x.mid"}
    (tmp_path / "demo.beats.json").write_text('{"beats": [0, 1]}')  # music that is no groove
    assert grooves_of(tmp_path) == {"drummer1/x.mid"}


@pytest.mark.parametrize(
    ("text", "message"), [('{"beats": [0, 1]}', "names a source"), ("[]", "damaged"), ("no", "damaged")]
)
def test_leaving_out_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "a.beats.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        grooves_of(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_music_that_was_made_of_something_else_is_not_used_again(tmp_path, monkeypatch):
    made = []

    def make(folder, source, job):
        made.append(job)
        np.savez(folder / f"{job[0]:06d}.npz", inputs=np.zeros(1), beats=np.zeros(1), downbeats=np.zeros(1))

    monkeypatch.setattr(train_beat, "_make_piece", make)
    for name in ("font.sf2", "copy.sf2"):
        (tmp_path / name).write_bytes(b"sound")
    (tmp_path / "other.sf2").write_bytes(b"other sound")
    rock, jazz = ((110.0, style, Groove(np.full((1, 4), start), 4)) for start, style in enumerate(("rock", "jazz")))
    kept = tmp_path / "kept"
    whole = Source((rock, jazz), tmp_path / "font.sf2")
    assert len(train_beat.make_music(kept, whole, 3, 0, 1)) == 3
    assert len(train_beat.make_music(kept, replace(whole, soundfont=tmp_path / "copy.sf2"), 3, 0, 1)) == 3
    assert len(made) == 3  # the second time they lay there
    for other, clips in (
        (Source((rock,), whole.soundfont), 3),
        (replace(whole, soundfont=tmp_path / "other.sf2"), 3),
        (whole, 4),
    ):
        with pytest.raises(ValueError, match="its music was made of other grooves"):
            train_beat.make_music(kept, other, clips, 0, 1)
    (kept / "made_of.txt").unlink()  # as an earlier version left it
    with pytest.raises(ValueError, match="its music was made of other grooves"):
        train_beat.make_music(kept, whole, 3, 0, 1)
    assert len(list(kept.glob("*.npz"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["missing.zip"], "missing.zip"), (["missing.zip", "--without", "nowhere"], "nowhere: no .beats.json")],
)
def test_a_mistake_is_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "font.sf2").write_bytes(b"")
    assert main([*arguments, "-o", "out.npz", "--soundfont", "font.sf2"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
