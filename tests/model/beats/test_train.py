"""The beat network: what is trained is what runs in the show."""

import numpy as np
import pytest
import torch

from dancerev.model.beats.augment import Augmentation, join, plain_window
from dancerev.model.beats.loss import TensorSpace
from dancerev.model.beats.spectra import Piece, save_piece
from dancerev.model.beats.train import BeatNet, Windows, cross_entropy, evaluate, export, load, main, train
from dancerev.realtime.beat.bar_pointer import BarSpace
from dancerev.realtime.beat.beat_network import CLASSES, RATE, STEPS, WEIGHTS, BeatNetwork, network_input
from dancerev.realtime.spectrum import HOP_RATE, HOPS, LAG, MELS

CPU = torch.device("cpu")


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


def test_in_the_show_it_computes_what_it_computes_in_training(tmp_path):
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


def test_it_never_uses_the_future():
    net = exercised()
    inputs = torch.rand(1, 200, 2 * MELS)
    other = inputs.clone()
    other[:, 120:] = 0.0
    with torch.no_grad():
        first, second = net(inputs)[0], net(other)[0]
    torch.testing.assert_close(first[:120], second[:120])
    assert (first[120:] - second[120:]).abs().max() > 1e-3


def clicks(bpm, seconds=25.0, known_bars=True):
    """A piece of short pulses on its beats over faint noise."""
    beats = np.arange(0.3, seconds - 0.5, 60.0 / bpm)
    mel = np.random.default_rng(int(bpm)).integers(0, 12, (int(seconds * HOP_RATE), MELS)).astype(np.uint8)
    for beat in beats:
        mel[int(np.ceil(beat * HOP_RATE)) :][:3] = 130
    return Piece("real", mel, beats, (np.arange(len(beats)) % 4 == 0) & known_bars)


@pytest.mark.parametrize("through_tracker", [False, True])
@pytest.mark.slow
def test_training_lowers_the_loss_and_repeats_itself(through_tracker):
    pieces = [clicks(bpm) for bpm in (90, 105, 120, 135)]
    space = TensorSpace(BarSpace(80.0, 150.0), CPU) if through_tracker else None
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        net = BeatNet(channels=8, taps=2, layers=2, dropout=0.0)
        before = evaluate(net, pieces[3:], CPU)
        windows = iter(Windows(pieces[:3], 4, (4 if through_tracker else 8) * RATE, 0))
        net = train(net, windows, 24 if through_tracker else 50, Augmentation(CPU, 0), CPU, space)
        losses.append(evaluate(net, pieces[3:], CPU))
    assert losses[0] < 0.9 * before
    assert losses[0] == losses[1]


def test_where_the_bar_is_unknown_a_downbeat_is_no_error():
    windows = [join([plain_window(clicks(120, known_bars=known), 0.0, 1.0, 8 * RATE)], CPU) for known in (True, False)]
    logits = torch.randn(1, 8 * RATE, len(CLASSES), generator=torch.Generator().manual_seed(0))
    swapped = logits[..., [0, 2, 1]]
    known, unknown = ([float(cross_entropy(each, batch)) for each in (logits, swapped)] for batch in windows)
    assert unknown[0] == pytest.approx(unknown[1], rel=1e-6)
    assert abs(known[0] - known[1]) > 1e-3
    assert unknown[0] < known[0]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_weights_are_read_as_they_were_written(tmp_path, weights):
    path = weights or tmp_path / "net.npz"
    if weights is None:
        export(exercised(), path)
    net = load(path).eval()
    export(net, tmp_path / "again.npz")
    with np.load(path) as before, np.load(tmp_path / "again.npz") as after:
        assert set(before.files) == set(after.files)
        for name in before.files:
            np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_training_goes_on_from_weights(tmp_path):
    """A network that was trained, written and read starts no worse, and learns on."""
    pieces = [clicks(bpm) for bpm in (90, 105, 120)]
    torch.manual_seed(0)
    net = BeatNet(channels=8, taps=2, layers=2, dropout=0.0)
    net = train(net, iter(Windows(pieces, 4, 10 * RATE, 0)), 30, Augmentation(CPU, 0), CPU)
    export(net.eval(), tmp_path / "net.npz")
    begun = load(tmp_path / "net.npz")
    before = evaluate(begun, pieces, CPU)
    assert before == pytest.approx(evaluate(net, pieces, CPU), rel=1e-4)
    after = train(begun, iter(Windows(pieces, 4, 10 * RATE, 1)), 60, Augmentation(CPU, 0), CPU)
    assert evaluate(after, pieces, CPU) < before


@pytest.mark.slow
def test_the_command_trains_what_the_show_loads(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        save_piece(tmp_path / split / "real__clicks.npz", clicks(110))
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    few = ["--batches", "1", "--tracking-batches", "0", "--batch-size", "1"]
    assert main([str(tmp_path), "-o", str(first), *few]) == 0
    assert main([str(tmp_path), "-o", str(second), "--from", str(first), *few]) == 0
    for path in (first, second):
        network = BeatNetwork(path)
        assert np.isfinite(np.concatenate([network.process(block) for block in spectra(5)])).all()
    with np.load(first) as one, np.load(second) as other:
        assert not np.array_equal(one["weight_0"], other["weight_0"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere/train: no pieces"),
        (["nowhere", "--from", "wrong.npz"], "wrong.npz: expected weights"),
        (["nowhere", "--from", "missing.npz"], "missing.npz"),
        (["nowhere", "--device", "abacus"], "--device abacus"),
        (["nowhere", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.savez("wrong.npz", other=np.zeros(1))
    assert main([*arguments, "-o", "out.npz"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
