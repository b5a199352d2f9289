"""Train the beat network: ``python -m dancerev.model.beats.train SPECTRA -o beat_network.npz``.

``SPECTRA`` is what ``dancerev.model.beats.prepare`` wrote. The network is trained first by cross-entropy, time step by
time step, and then through the bar pointer (:mod:`~dancerev.model.beats.loss`), for the tracker to follow the beat.
"""

from __future__ import annotations

import copy
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import InputError
from dancerev.realtime.beat.bar_pointer import BarSpace
from dancerev.realtime.beat.beat_network import CLASSES, INPUTS, RATE
from dancerev.realtime.beat.tracker import MAX_BPM, MIN_BPM

from ..whole_file import write_npz
from .augment import WINDOW, Augmentation, Batch, draw_pieces, join, mixed, network_inputs, plain_window, window
from .loss import TensorSpace, tracking_loss
from .spectra import Piece, load_pieces

Array = npt.NDArray[Any]

LEARNING_RATE, TRACKING_RATE = 5e-3, 2e-3
AVERAGING, TRACKING_AVERAGING = 0.99, 0.97
"""Decay per batch of the mean of the weights over the second half of the training, which is what is kept."""
CROSS_ENTROPY = 3.0
"""Its weight beside the tracking loss, so that the network's output stays a probability."""
REPORT_EVERY = 100  # batches


class BeatNet(nn.Module):
    """The network of :class:`~dancerev.realtime.beat.beat_network.BeatNetwork`, for whole sequences.

    What batch normalisation learns in training goes into the weights on export.

    Args:
        channels: of every layer.
        taps: of every convolution.
        layers: of which each looks twice as far back as the one before.
        dropout: share of a layer's output that is left out in training.
        normalised: with batch normalisation. Weights that were exported contain theirs and have none.
    """

    def __init__(
        self, channels: int = 128, taps: int = 4, layers: int = 9, dropout: float = 0.15, normalised: bool = True
    ) -> None:
        super().__init__()
        self.taps = taps
        self.dilations = [2**layer for layer in range(layers)]
        self.scale: nn.Module = nn.BatchNorm1d(INPUTS, affine=False) if normalised else nn.Identity()
        self.input = nn.Conv1d(INPUTS, channels, 1)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, taps, dilation=step) for step in self.dilations)
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) if normalised else nn.Identity() for _ in self.dilations)
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in self.dilations)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv1d(channels, len(CLASSES), 1)
        with torch.no_grad():
            assert self.output.bias is not None
            self.output.bias.copy_(torch.log(torch.tensor([0.95, 0.037, 0.013])))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, INPUTS) → (B, T, len(CLASSES)) logits."""
        hidden = torch.relu(self.input(self.scale(inputs.transpose(1, 2))))
        skip = torch.zeros_like(hidden)
        for dilation, layer, norm, mix in zip(self.dilations, self.layers, self.norms, self.mixes, strict=True):
            past = nn.functional.pad(hidden, ((self.taps - 1) * dilation, 0))
            seen = self.dropout(mix(torch.relu(norm(layer(past)))))
            skip = skip + seen
            hidden = hidden + seen
        return self.output(torch.relu(skip)).transpose(1, 2)


@torch.no_grad()
def export(net: BeatNet, path: Path) -> None:
    """Write what :class:`~dancerev.realtime.beat.beat_network.BeatNetwork` reads."""
    net = copy.deepcopy(net).cpu()
    gain, shift = _normalisation(net.scale, INPUTS)
    weight, bias = _matrix(net.input)
    content: dict[str, Any] = {
        "taps": np.int64(net.taps),
        "dilations": np.array(net.dilations),
        "input_weight": weight * gain[:, None],
        "input_bias": bias + shift @ weight,
    }
    content["output_weight"], content["output_bias"] = _matrix(net.output)
    for index, (layer, norm, mix) in enumerate(zip(net.layers, net.norms, net.mixes, strict=True)):
        weight, bias = _matrix(layer)
        gain, shift = _normalisation(norm, len(bias))
        content[f"weight_{index}"], content[f"bias_{index}"] = weight * gain, bias * gain + shift
        content[f"mix_{index}"], content[f"mix_bias_{index}"] = _matrix(mix)
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in content.items()}
    write_npz(path, arrays, compressed=False)


@torch.no_grad()
def load(path: Path) -> BeatNet:
    """Read weights that :func:`export` wrote, to train on from them.

    Raises:
        OSError: the file cannot be read.
        InputError: it holds other content.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            content = {name: data[name] for name in data.files}
        channels, taps = content["input_weight"].shape[1], int(content["taps"])
        net = BeatNet(channels, taps, len(content["dilations"]), normalised=False)
        _set(net.input, content["input_weight"], content["input_bias"])
        _set(net.output, content["output_weight"], content["output_bias"])
        for index, (layer, mix) in enumerate(zip(net.layers, net.mixes, strict=True)):
            _set(layer, content[f"weight_{index}"], content[f"bias_{index}"])
            _set(mix, content[f"mix_{index}"], content[f"mix_bias_{index}"])
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path}: expected weights that dancerev.model.beats.train wrote") from None
    return net


def _set(layer: nn.Module, weight: Array, bias: Array) -> None:
    """Set a convolution's weights from a (taps · in, out) matrix and (out,) biases."""
    assert isinstance(layer, nn.Conv1d)
    assert layer.bias is not None
    matrix = torch.from_numpy(weight).float().reshape(layer.kernel_size[0], layer.in_channels, layer.out_channels)
    layer.weight.copy_(matrix.permute(2, 1, 0))
    layer.bias.copy_(torch.from_numpy(bias))


def _normalisation(norm: nn.Module, channels: int) -> tuple[Tensor, Tensor]:
    """(channels,) factor and (channels,) summand that a trained batch normalisation amounts to."""
    if isinstance(norm, nn.Identity):
        return torch.ones(channels), torch.zeros(channels)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        gain = gain * norm.weight
    shift = -norm.running_mean * gain
    return gain, shift + norm.bias if norm.affine else shift


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """(taps · in, out) and (out,) of a convolution."""
    assert isinstance(layer, nn.Conv1d)
    assert layer.bias is not None
    return layer.weight.permute(2, 1, 0).reshape(-1, layer.out_channels), layer.bias


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Compute the cross-entropy with shared labels, nats per time step: at its minimum the probabilities are true.

    Where the bar is not known, a beat counts whether it is called a downbeat or not.
    """
    log_probability = torch.log_softmax(logits.float(), dim=2)
    none, other, down = (batch.labels * log_probability).unbind(dim=2)
    either = batch.labels[..., 1:].sum(dim=2) * torch.logsumexp(log_probability[..., 1:], dim=2)
    loss = -(none + torch.where(batch.truth.metre > 0, other + down, either))
    return (loss * batch.weight).sum() / batch.weight.sum().clamp(min=1.0)


def loss_of(net: BeatNet, batch: Batch, power: Tensor, space: TensorSpace | None) -> Tensor:
    """Compute the loss of a batch whose music has the mel ``power`` (B, T, MELS); with ``space``, the tracker's too."""
    device = power.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        logits = net(network_inputs(power))
    loss = cross_entropy(logits, batch)
    if space is None:
        return loss
    return CROSS_ENTROPY * loss + tracking_loss(space, logits.float(), batch.truth)


class Windows(torch.utils.data.IterableDataset[list[Batch]]):
    """Random training windows for ever, ``size`` at a time.

    Args:
        pieces: what to train on.
        size: windows per batch.
        steps: time steps of a window.
        seed: of all choices; each process of a data loader has its own.
    """

    def __init__(self, pieces: list[Piece], size: int, steps: int, seed: int) -> None:
        self._pieces, self._size, self._steps, self._seed = pieces, size, steps, seed

    def __iter__(self) -> Iterator[list[Batch]]:
        """Return the iterator of one process."""
        process = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self._seed, process.id if process else 0])
        draw = draw_pieces(self._pieces, rng)
        while True:
            yield [window(draw, self._steps, rng) for _ in range(self._size)]


def train(
    net: BeatNet,
    windows: Iterator[list[Batch]],
    batches: int,
    augmentation: Augmentation,
    device: torch.device,
    space: TensorSpace | None = None,
) -> BeatNet:
    """Train ``net`` in place and return the mean of its weights over the second half of the training.

    Args:
        net: on the device.
        windows: what to train on.
        batches: how many of them.
        augmentation: of the same device.
        device: on which to compute.
        space: train through the bar pointer, with these states; without them, by cross-entropy alone.
    """
    if batches == 0:
        return net
    rate, decay = (LEARNING_RATE, AVERAGING) if space is None else (TRACKING_RATE, TRACKING_AVERAGING)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2 if space is None else 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=batches + 1, pct_start=0.05, cycle_momentum=False
    )
    mean = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
    begun, total, counted = time.monotonic(), 0.0, 0
    for index in range(batches):
        net.train()
        batch = join(next(windows), device)
        loss = loss_of(net, batch, augmentation(batch), space)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if index >= batches // 2:
            mean.update_parameters(net)
        total, counted = total + loss.item(), counted + 1
        if counted == REPORT_EVERY or index == batches - 1:
            seconds = time.monotonic() - begun
            print(f"{index + 1}/{batches}  loss {total / counted:.4f}  {seconds:.0f} s", file=sys.stderr, flush=True)
            total, counted = 0.0, 0
    averaged = copy.deepcopy(net)
    averaged.load_state_dict(mean.module.state_dict())
    return averaged


@torch.no_grad()
def evaluate(net: BeatNet, pieces: list[Piece], device: torch.device, space: TensorSpace | None = None) -> float:
    """Compute the mean loss over the first WINDOW seconds of each piece, without augmentation."""
    net.eval()
    losses = []
    for piece in pieces:
        batch = join([plain_window(piece, 0.0, 1.0, int(WINDOW * RATE))], device)
        losses.append(float(loss_of(net, batch, mixed(batch), space)))
    return float(np.mean(losses))


@command("dancerev.model.beats.train")
def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ArgumentParser(prog="dancerev.model.beats.train", description=__doc__.split("\n")[0])
    parser.add_argument("spectra", type=Path, metavar="SPECTRA", help="what dancerev.model.beats.prepare wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights to write (.npz)")
    parser.add_argument("--from", dest="weights", type=Path, metavar="WEIGHTS", help="train on from these (.npz)")
    parser.add_argument("--batches", type=int, default=1500, help="by cross-entropy (default 1500)")
    parser.add_argument("--tracking-batches", type=int, default=400, help="through the bar pointer (default 400)")
    parser.add_argument("--batch-size", type=int, default=96, help="windows of 20 s (default 96); 8 do on a CPU")
    parser.add_argument("--device", default="cpu", help="as PyTorch names it, such as cuda (default cpu)")
    parser.add_argument("--workers", type=int, default=0, help="further processes that make windows (default 0)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if min(arguments.batches, arguments.tracking_batches, arguments.workers) < 0 or arguments.batch_size < 1:
        raise InputError("batches and workers must be 0 or more, and --batch-size 1 or more")
    try:
        device = torch.device(arguments.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"--device {arguments.device}: PyTorch has no such device here") from None
    torch.manual_seed(arguments.seed)
    net = (load(arguments.weights) if arguments.weights else BeatNet()).to(device)
    pieces, held_out = (load_pieces(arguments.spectra, split) for split in ("train", "validation"))
    dataset = Windows(pieces, arguments.batch_size, int(WINDOW * RATE), arguments.seed)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=arguments.workers)
    windows, augmentation = iter(loader), Augmentation(device, arguments.seed)
    space = TensorSpace(BarSpace(MIN_BPM, MAX_BPM), device)
    for batches, states in ((arguments.batches, None), (arguments.tracking_batches, space)):
        net = train(net, windows, batches, augmentation, device, states)
        export(net.eval(), arguments.output)
        print(f"validation loss {evaluate(net, held_out, device, states):.4f}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
