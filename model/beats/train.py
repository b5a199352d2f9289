"""Trains the network that hears the beat: ``python -m dancerev.model.beats.train GROOVES.zip -o beat_network.npz``.

It listens to rendered music whose beats are known (:mod:`~dancerev.model.beats.music`) through the front end of the
live ear, so that on stage it hears nothing it was not trained on. The music is made once and kept in ``--folder``.
It learns first what a beat sounds like, step by step, and then, through the tracker itself, what the tracker has to
hear to follow the beat (:mod:`~dancerev.model.beats.loss`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import CorpusError
from dancerev.realtime.beat.bar_pointer import BarSpace
from dancerev.realtime.beat.beat_network import CLASSES, DELAY, INPUTS, RATE, network_input
from dancerev.realtime.beat.tracker import MAX_BPM, MIN_BPM
from dancerev.realtime.spectrum import FRAME_SAMPLES, Spectrum

from ..corpus.parallel import in_parallel
from ..corpus.songs import digest
from .loss import TensorSpace, Truth, batch_of, tracking_loss, truth_of
from .music import Source, compose, read_source

Array = npt.NDArray[Any]

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
PIECE_SECONDS = 45.0
EVEN = 720  # pieces over which tempi are spread evenly; then it begins anew
HELD_OUT, HELD_OUT_SEED = 60, 900_000
BATCH, WINDOW = 8, 20.0  # windows, and seconds of each
LEARNING_RATE, TRACKING_RATE = 5e-3, 2e-3
CROSS_ENTROPY = 3.0  # its weight beside the tracking loss, so that what the network says stays a probability
SPEEDS = (0.88, 1.14)  # at which a window is played, steps left out or repeated
LABEL_WIDTH = 0.025  # seconds from a beat at which a step is no longer called one


@dataclass(frozen=True)
class Heard:
    """What is heard of a piece: ``inputs`` (T, INPUTS) float16; ``beats`` (N,) seconds; ``downbeats`` (N,) bool."""

    inputs: Array
    beats: Array
    downbeats: Array


@dataclass(frozen=True)
class Window:
    """A stretch of a piece: ``inputs`` (T, INPUTS) and ``labels`` (T, len(CLASSES)) float32; ``truth`` if asked for."""

    inputs: Array
    labels: Array
    truth: Truth | None


def hear(samples: npt.NDArray[np.float32]) -> Array:
    """(T, INPUTS) float16: the network's input at RATE, as the live ear makes it."""
    spectrum = Spectrum()
    blocks = [
        network_input(spectrum.process(samples[start : start + FRAME_SAMPLES]).mel)
        for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES)
    ]
    return np.concatenate(blocks).astype(np.float16)


def label(beats: Array, downbeats: Array, steps: int) -> Array:
    """Return (steps, len(CLASSES)) float32: the share of each class, a triangle about DELAY after each beat.

    Args:
        beats: (N,) seconds.
        downbeats: (N,) bool.
        steps: how many of 1 / RATE seconds; step k is complete at (k + 1) / RATE.
    """
    labels = np.zeros((steps, len(CLASSES)), dtype=np.float32)
    for kind, which in ((1, ~downbeats), (2, downbeats)):
        for beat in beats[which] + DELAY:
            near = np.arange(int(beat * RATE) - 4, int(beat * RATE) + 4)
            near = near[(near >= 0) & (near < steps)]
            share = 1.0 - np.abs((near + 1) / RATE - beat) / LABEL_WIDTH
            labels[near, kind] = np.maximum(labels[near, kind], share)
    labels[:, 0] = 1.0 - labels[:, 1:].sum(axis=1)
    return labels


def make_music(folder: Path, source: Source, clips: int, first_seed: int, workers: int) -> list[Heard]:
    """So many pieces, heard; those that lie in ``folder`` already are read.

    Raises:
        CorpusError: what lies there was made of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    even = min(clips, EVEN)
    _claim(folder, digest(_content(source), source.soundfont, even))
    jobs = [(first_seed + index, (index % even + 0.5) / even) for index in range(clips)]
    missing = [job for job in jobs if not (folder / f"{job[0]:06d}.npz").exists()]
    for _ in in_parallel(partial(_make_piece, folder, source), missing, workers, "music"):
        pass
    pieces = []
    for seed, _ in jobs:
        with np.load(folder / f"{seed:06d}.npz") as data:
            pieces.append(Heard(data["inputs"], data["beats"], data["downbeats"]))
    return pieces


def _content(source: Source) -> list[tuple[float, str, bytes, int]]:
    return [(tempo, style, groove.notes.tobytes(), groove.beats) for tempo, style, groove in source.grooves]


def _claim(folder: Path, made_of: str) -> None:
    """Note in ``folder`` what its music is made of; refuse one whose music was made of something else."""
    note = folder / "made_of.txt"
    before = note.read_text(encoding="utf-8").strip() if note.exists() else ""
    if before != made_of and (before or any(folder.glob("*.npz"))):
        raise CorpusError(
            f"{folder}: its music was made of other grooves (archive, --without), with another soundfont or for other "
            "--clips; name another --folder, or delete this one"
        )
    note.write_text(f"{made_of}\n", encoding="utf-8")


def _make_piece(folder: Path, source: Source, job: tuple[int, float]) -> None:
    seed, place = job
    music = compose(source, PIECE_SECONDS, seed, place)
    partial_file = folder / f"{seed:06d}.partial"
    with partial_file.open("wb") as file:
        np.savez(file, inputs=hear(music.audio), beats=music.beats, downbeats=music.downbeats)
    partial_file.replace(folder / f"{seed:06d}.npz")


class BeatNet(nn.Module):
    """The network of :class:`~dancerev.realtime.beat.beat_network.BeatNetwork`, for whole sequences.

    What batch normalisation learns in training goes into the weights on export.

    Args:
        channels: of every layer.
        taps: of every convolution.
        layers: of which each looks twice as far back as the one before.
        dropout: share of what a layer says that is left out in training.
    """

    def __init__(self, channels: int = 128, taps: int = 4, layers: int = 9, dropout: float = 0.12) -> None:
        super().__init__()
        self.taps = taps
        self.dilations = [2**layer for layer in range(layers)]
        self.scale = nn.BatchNorm1d(INPUTS, affine=False)
        self.input = nn.Conv1d(INPUTS, channels, 1)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, taps, dilation=step) for step in self.dilations)
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in self.dilations)
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
    gain, shift = _normalisation(net.scale)
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
        gain, shift = _normalisation(norm)
        content[f"weight_{index}"], content[f"bias_{index}"] = weight * gain, bias * gain + shift
        content[f"mix_{index}"], content[f"mix_bias_{index}"] = _matrix(mix)
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in content.items()}
    np.savez(path, **arrays)


def _normalisation(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """(channels,) factor and (channels,) summand that a trained batch normalisation amounts to."""
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


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with shared labels, nats per step: at its minimum the network gives true probabilities."""
    return -(labels * torch.log_softmax(logits, dim=2)).sum(dim=2).mean()


def train(
    pieces: list[Heard],
    held_out: list[Heard],
    net: BeatNet,
    epochs: int,
    seed: int,
    bfloat16: bool = False,
    space: TensorSpace | None = None,
) -> None:
    """Trains ``net`` on windows of the pieces, each epoch as many as cover all of them once.

    Args:
        pieces: what to learn from.
        held_out: what the loss is told of after each epoch.
        net: changed in place.
        epochs: times through the music.
        seed: of windows and order.
        bfloat16: reckon in it where that does no harm: twice as fast on a processor that can.
        space: train through the tracker, with these states; without them, by cross-entropy alone.
    """
    if epochs == 0:
        return
    rng = np.random.default_rng(seed)
    rate = LEARNING_RATE if space is None else TRACKING_RATE
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    steps = int(WINDOW * RATE)
    batches = int(sum(len(piece.inputs) / steps for piece in pieces) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * batches, pct_start=0.2)
    begun = time.monotonic()
    for epoch in range(epochs):
        net.train()
        total = 0.0
        order = _shuffled(len(pieces), rng)
        for _ in range(batches):
            windows = [_window(pieces[next(order)], steps, rng, space) for _ in range(BATCH)]
            loss = _loss(net, windows, space, bfloat16)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        told = f"epoch {epoch + 1}/{epochs}  loss {total / batches:.4f}  held out {evaluate(net, held_out, space):.4f}"
        print(f"{told}  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def _shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    """0 … count − 1 in random order, again and again."""
    while True:
        yield from rng.permutation(count).tolist()


def _loss(net: BeatNet, windows: list[Window], space: TensorSpace | None, bfloat16: bool = False) -> Tensor:
    inputs = torch.from_numpy(np.stack([window.inputs for window in windows]))
    labels = torch.from_numpy(np.stack([window.labels for window in windows]))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = net(inputs)
    loss = loss_of(logits.float(), labels)
    if space is None:
        return loss
    truths = [window.truth for window in windows if window.truth is not None]
    return CROSS_ENTROPY * loss + tracking_loss(space, logits.float(), batch_of(truths, logits.device))


def _window(piece: Heard, steps: int, rng: np.random.Generator, space: TensorSpace | None) -> Window:
    """Return a stretch from a random place of the piece, a little faster or slower, and varied."""
    bpm = 60.0 / float(np.median(np.diff(piece.beats)))
    speed = float(np.clip(rng.uniform(*SPEEDS), 1.01 * MIN_BPM / bpm, 0.99 * MAX_BPM / bpm))
    span = min(int(steps * speed), len(piece.inputs) - 1)
    start = int(rng.integers(0, len(piece.inputs) - span))
    index = start + np.minimum((np.arange(steps) * speed).astype(np.int64), span)
    labels = label(piece.beats, piece.downbeats, len(piece.inputs))[index]
    inputs = _vary(piece.inputs[index].astype(np.float32), rng)
    beats = (piece.beats - start / RATE) / speed
    return Window(inputs, labels, truth_of(beats, piece.downbeats, steps) if space else None)


def _vary(inputs: Array, rng: np.random.Generator) -> Array:
    """Return the same music through another equaliser, a little higher or lower, at times without some bands."""
    bands = inputs.reshape(len(inputs), 2, -1)
    if rng.random() < 0.5:
        shift = int(rng.integers(-2, 3))
        index = np.clip(np.arange(bands.shape[2]) + shift, 0, bands.shape[2] - 1)
        bands = bands[:, :, index]
    tilt = np.interp(np.arange(bands.shape[2]), np.linspace(0, bands.shape[2] - 1, 5), rng.normal(scale=0.3, size=5))
    level = np.maximum(bands[:, 0] + tilt * (bands[:, 0] > 0.2), 0.0)
    bands = np.stack([level, bands[:, 1] * rng.uniform(0.7, 1.3)], axis=1)
    if rng.random() < 0.4:
        width = int(rng.integers(3, 14))
        first = int(rng.integers(0, bands.shape[2] - width))
        bands[:, :, first : first + width] = 0.0
    return bands.reshape(inputs.shape).astype(np.float32)


@torch.no_grad()
def evaluate(net: BeatNet, pieces: list[Heard], space: TensorSpace | None = None) -> float:
    """Mean loss over the pieces, whole or, with ``space``, through the tracker over their first WINDOW seconds."""
    net.eval()
    losses = []
    for piece in pieces:
        steps = len(piece.inputs) if space is None else min(int(WINDOW * RATE), len(piece.inputs))
        labels = label(piece.beats, piece.downbeats, len(piece.inputs))[:steps]
        truth = truth_of(piece.beats, piece.downbeats, steps) if space else None
        losses.append(float(_loss(net, [Window(piece.inputs[:steps].astype(np.float32), labels, truth)], space)))
    return float(np.mean(losses))


@command("dancerev.model.beats.train")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ArgumentParser(prog="dancerev.model.beats.train", description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path, metavar="GROOVES.zip", help="the Groove MIDI Dataset (MIDI only)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights to write (.npz)")
    parser.add_argument("--folder", type=Path, default=Path("beat_music"), help="where the music heard is kept")
    parser.add_argument("--without", type=Path, help="leave out the grooves of the .beats.json files in this folder")
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT, help=f"default {SOUNDFONT}")
    parser.add_argument("--clips", type=int, default=5 * EVEN, help=f"pieces to learn from, {PIECE_SECONDS:g} s each")
    parser.add_argument("--epochs", type=int, default=12, help="by cross-entropy")
    parser.add_argument("--tracking-epochs", type=int, default=5, help="and then through the tracker")
    parser.add_argument("--bfloat16", action="store_true", help="train in it: twice as fast where the processor can")
    parser.add_argument("--workers", type=int, default=1, help="processes that make music")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    without = grooves_of(arguments.without) if arguments.without else frozenset()
    learnt = read_source(arguments.archive, arguments.soundfont, "train", without)
    kept = read_source(arguments.archive, arguments.soundfont, "test", without)
    pieces = make_music(arguments.folder / "train", learnt, arguments.clips, 0, arguments.workers)
    held_out = make_music(arguments.folder / "test", kept, HELD_OUT, HELD_OUT_SEED, arguments.workers)
    torch.manual_seed(arguments.seed)
    net, space = BeatNet(), TensorSpace(BarSpace(MIN_BPM, MAX_BPM), torch.device("cpu"))
    train(pieces, held_out, net, arguments.epochs, arguments.seed, arguments.bfloat16)
    train(pieces, held_out, net, arguments.tracking_epochs, arguments.seed, arguments.bfloat16, space)
    export(net.eval(), arguments.output)
    return 0


def grooves_of(folder: Path) -> frozenset[str]:
    """Return the grooves, by their paths inside the data set, of which the music in and under ``folder`` was made.

    Music that is no groove may lie among it and names no source.

    Raises:
        CorpusError: none of the music names its source, or a file is damaged.
    """
    files = sorted(folder.rglob("*.beats.json"))
    if not files:
        raise CorpusError(f"{folder}: no .beats.json in it")
    grooves = set()
    for file in files:
        try:
            source = json.loads(file.read_text(encoding="utf-8")).get("source")
        except (ValueError, AttributeError):
            raise CorpusError(f"{file}: damaged, expected JSON with the source of the music") from None
        if source:
            grooves.add(str(source))
    if not grooves:
        raise CorpusError(f"{folder}: none of its .beats.json names a source, so there is nothing to leave out")
    return frozenset(grooves)


if __name__ == "__main__":
    sys.exit(main())
