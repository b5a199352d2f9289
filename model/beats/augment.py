"""Training windows for the beat network: stretches of music at changed tempi, mixed, and augmented as mel spectra.

Tempo, cuts and crossfades are made window by window in NumPy (:func:`window`), and the beats move with the music. What
does not move a beat, such as pitch, equaliser, room and noise, is applied to a whole batch on the training's device
(:func:`augment`). All of it is done on spectra, so that no audio is rendered in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from dancerev.realtime.beat.beat_network import CLASSES, DELAY, MEL_COMPRESSION, RATE, RISE_HOPS
from dancerev.realtime.beat.tracker import MAX_BPM, MIN_BPM
from dancerev.realtime.spectrum import HOP_RATE, MELS

from .loss import Truth, batch_of, truth_of
from .spectra import SCALE, Piece

Array = npt.NDArray[Any]

WINDOW = 20.0
"""Seconds of a training window."""
ROWS = HOP_RATE // RATE
"""Spectra per time step."""
SHARES = {"real": 0.52, "tunes": 0.2, "grooves": 0.21, "midi": 0.07}
"""How often each group of pieces is drawn, of those that there are."""
LABEL_WIDTH = 0.025
"""Seconds from a beat at which a time step is no longer labelled as one."""

_TEMPO = 0.2  # logarithm of the greatest change of tempo
_UNSETTLED = 0.35  # seconds before and after a cut in which nothing is counted
_LONGEST = 150.0  # seconds of a piece beyond which it is not drawn more often


@dataclass(frozen=True)
class Batch:
    """B training windows of T time steps; NumPy makes them one by one, so B is 1 until :func:`join`.

    Attributes:
        levels: (B, ROWS · T, MELS) float16, compressed mel spectrum of the music.
        second: the same of the music that follows it; zeros where none does.
        fade: (B, ROWS · T) float32, gain of the first music, 1 … 0; the second has the rest.
        duck: (B, ROWS · T) float32, gain above the bass drum.
        labels: (B, T, len(CLASSES)) float32, share of each class.
        weight: (B, T) float32, of each time step in the cross-entropy.
        truth: what the bar pointer should believe.
    """

    levels: Tensor
    second: Tensor
    fade: Tensor
    duck: Tensor
    labels: Tensor
    weight: Tensor
    truth: Truth


def join(windows: list[Batch], device: torch.device) -> Batch:
    """Join windows to one batch on a device."""
    names = [field.name for field in fields(Batch) if field.name != "truth"]
    tensors = {name: torch.cat([getattr(window, name) for window in windows]).to(device) for name in names}
    return Batch(**tensors, truth=batch_of([window.truth for window in windows], device))


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


def stretch(piece: Piece, start: float, speed: float, steps: int) -> tuple[Array, Array]:
    """Play a part of a piece at another tempo, its spectra interpolated.

    Args:
        piece: the music; after its end comes silence.
        start: seconds at which the part begins.
        speed: above 1 is faster.
        steps: time steps to return.

    Returns:
        (ROWS · steps, MELS) float16 compressed level, and (N,) seconds of all beats of the piece from the part's begin.
    """
    last = len(piece.mel) - 1
    place = start * HOP_RATE + np.arange(ROWS * steps) * speed
    before = np.minimum(place, last - 1).astype(np.int64)
    share = np.minimum(place - before, 1.0)[:, None]
    levels = (piece.mel[before] * (1.0 - share) + piece.mel[before + 1] * share) / SCALE
    levels[place > last] = 0.0
    return levels.astype(np.float16), (piece.beats - start) / speed


def plain_window(piece: Piece, start: float, speed: float, steps: int) -> Batch:
    """Return a window of one piece: arguments as :func:`stretch` has them."""
    levels, beats = stretch(piece, start, speed, steps)
    time = (np.arange(steps) + 1) / RATE - DELAY
    known = (time >= beats[0]) & (time < beats[-1])
    first = torch.from_numpy(levels)[None]
    ones = torch.ones(first.shape[:2])
    return Batch(
        levels=first,
        second=torch.zeros_like(first),
        fade=ones,
        duck=ones,
        labels=torch.from_numpy(label(beats, piece.downbeats, steps))[None],
        weight=torch.from_numpy(known.astype(np.float32))[None],
        truth=truth_of(beats, piece.downbeats, steps),
    )


def _random_window(piece: Piece, steps: int, rng: np.random.Generator) -> Batch:
    """Return a window from a random place at a random tempo, now and then from the very beginning."""
    bpm = 60.0 / float(np.median(np.diff(piece.beats)))
    speed = float(np.exp(rng.uniform(-_TEMPO, _TEMPO))) if rng.random() < 0.75 else 1.0
    speed = float(np.clip(speed, 1.01 * MIN_BPM / bpm, 0.99 * MAX_BPM / bpm))
    room = len(piece.mel) / HOP_RATE - 0.8 * speed * steps / RATE
    start = 0.0 if rng.random() < 0.12 else float(rng.uniform(0.0, max(room, 0.0)))
    return plain_window(piece, start, speed, steps)


def window(draw: Iterator[Piece], steps: int, rng: np.random.Generator) -> Batch:
    """Return a window of one piece, or in three of ten with a cut or a crossfade to another one.

    Args:
        draw: the pieces.
        steps: time steps.
        rng: of place, tempo, change and side chain.
    """
    made = _random_window(next(draw), steps, rng)
    if rng.random() < 0.3:
        seconds = steps / RATE
        fade = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.05, 0.35)) * seconds
        made = change_to(made, _random_window(next(draw), steps, rng), float(rng.uniform(0.2, 0.7)) * seconds, fade)
    if rng.random() < 0.1:
        made = replace(made, duck=_side_chain(made, rng.uniform(0.5, 0.97), rng.uniform(0.08, 0.22)))
    return made


def change_to(first: Batch, second: Batch, middle: float, fade: float) -> Batch:
    """Join two windows by a crossfade of ``fade`` seconds around ``middle`` seconds; 0 is a cut.

    The beat that counts is the first one's up to the middle and then the second one's; near it, none is counted.
    """
    rows = (torch.arange(first.levels.shape[1]) + 1) / HOP_RATE
    time = (torch.arange(first.labels.shape[1]) + 1) / RATE - DELAY
    later = (time >= middle)[None]

    def choose(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(later if one.ndim == 2 else later[..., None], other, one)

    names = [field.name for field in fields(Truth)]
    truth = Truth(*(choose(getattr(first.truth, name), getattr(second.truth, name)) for name in names))
    settled = ((time - middle).abs() > max(0.25 * fade, _UNSETTLED)).float()
    return replace(
        first,
        second=second.levels,
        fade=torch.clip((middle + 0.5 * fade - rows) / max(fade, 1e-3), 0.0, 1.0)[None],
        labels=choose(first.labels, second.labels),
        weight=choose(first.weight, second.weight) * ((time - middle).abs() > 0.25 * fade),
        truth=replace(truth, counted=truth.counted * settled),
    )


def _side_chain(made: Batch, depth: float, seconds: float) -> Tensor:
    """(1, ROWS · T) the gain of a band that makes way for each beat, for so many seconds."""
    since = (made.truth.phase * made.truth.period).repeat_interleave(ROWS, dim=1)
    lag = round(DELAY * HOP_RATE)  # the truth is late by DELAY
    since = torch.cat([since[:, lag:], since[:, -1:].expand(-1, lag)], dim=1)
    return 1.0 - depth * torch.exp(-((since / seconds) ** 2))


def draw_pieces(pieces: list[Piece], rng: np.random.Generator) -> Iterator[Piece]:
    """Draw pieces for ever: their group by SHARES, and longer pieces more often."""
    groups = {name: [piece for piece in pieces if piece.group == name] for name in SHARES}
    names = [name for name in SHARES if groups[name]]
    share = np.array([SHARES[name] for name in names])
    lengths = {name: [min(len(piece.mel) / HOP_RATE, _LONGEST) ** 0.5 for piece in groups[name]] for name in names}
    while True:
        name = str(rng.choice(names, p=share / share.sum()))
        length = np.array(lengths[name])
        yield groups[name][int(rng.choice(len(length), p=length / length.sum()))]


def network_inputs(power: Tensor) -> Tensor:
    """(B, ROWS · T, MELS) mel power → (B, T, INPUTS), as realtime.beat.beat_network.network_input makes it."""
    compressed = 0.5 * torch.log1p(MEL_COMPRESSION * power)
    rise = (compressed - pad(compressed, (0, 0, RISE_HOPS, 0))[:, :-RISE_HOPS]).clamp(min=0.0)
    rise[:, :RISE_HOPS] = 0.0
    steps = (len(power), -1, ROWS, MELS)
    return torch.cat([compressed.view(steps).mean(dim=2), rise.view(steps).amax(dim=2)], dim=2)


def mixed(batch: Batch) -> Tensor:
    """(B, ROWS · T, MELS) float32: mel power of the music in a batch."""
    fade = batch.fade[..., None]
    return fade * _power(batch.levels) + (1.0 - fade) * _power(batch.second)


def _power(levels: Tensor) -> Tensor:
    return torch.expm1(2.0 * levels.float()) / MEL_COMPRESSION


class Augmentation:
    """Random changes of sound that leave every beat where it is.

    Args:
        device: of the batches.
        seed: of all choices.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device = device
        self._random = torch.Generator(device).manual_seed(seed)

    def __call__(self, batch: Batch) -> Tensor:
        """Return (B, ROWS · T, MELS) float32: mel power of the batch's music, augmented."""
        power = self._equalise(self._transpose(mixed(batch)))
        power = torch.cat([power[..., :3], power[..., 3:] * batch.duck[..., None] ** 2], dim=2)
        power = self._room(self._compress(power))
        loud = torch.quantile(power.sum(dim=2)[:, ::7], 0.9, dim=1) + 1e-6
        power = power / loud[:, None, None] * 10.0 ** self._uniform(-0.54, 0.36, len(power), 1, 1)
        power = self._noise(power) * 10.0 ** self._uniform(-0.3, 0.0, len(power), 1, 1)
        return self._without_bands(power)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, device=self._device, generator=self._random)

    def _some(self, share: float, count: int) -> Tensor:
        """(count, 1, 1) float32: 1 for about so many, else 0."""
        return (self._uniform(0.0, 1.0, count, 1, 1) < share).float()

    def _curve(self, count: int, knots: int, decibels: float) -> Tensor:
        """(count, 1, MELS) factors of power, smooth over the bands."""
        points = decibels * torch.randn(count, 1, knots, device=self._device, generator=self._random)
        return 10.0 ** (interpolate(points, MELS, mode="linear", align_corners=True) / 10.0)

    def _transpose(self, power: Tensor) -> Tensor:
        """Move half of the windows by up to two bands up or down."""
        shift = self._uniform(-2.5, 2.5, len(power), 1, 1).round() * self._some(0.5, len(power))
        band = (torch.arange(MELS, device=self._device) + shift.long()).clamp(0, MELS - 1)
        return power.gather(2, band.expand(-1, power.shape[1], -1))

    def _equalise(self, power: Tensor) -> Tensor:
        """Apply an equaliser, a small loudspeaker without bass, or a channel without treble."""
        count, band = len(power), torch.arange(MELS, device=self._device)
        curve = self._curve(count, 6, 5.0) ** self._some(0.8, count)
        bass = -self._uniform(15.0, 40.0, count, 1, 1) * torch.sigmoid(self._uniform(4.0, 8.0, count, 1, 1) - band)
        treble = -self._uniform(10.0, 35.0, count, 1, 1) * torch.sigmoid(band - self._uniform(24.0, 34.0, count, 1, 1))
        decibels = bass * self._some(0.15, count) + treble * self._some(0.1, count)
        return power * curve * 10.0 ** (decibels / 10.0)

    def _compress(self, power: Tensor) -> Tensor:
        """Compress the dynamics of a third of the windows, with an attack of 25 to 90 ms."""
        rows = int(self._uniform(3.0, 11.0, 1).item())
        energy = power.sum(dim=2) + 1e-6
        smooth = pad(energy, (rows - 1, 0)).unfold(1, rows, 1).mean(dim=2)
        exponent = -self._uniform(0.0, 0.7, len(power), 1) * self._some(0.35, len(power))[..., 0]
        return power * ((smooth / energy.mean(dim=1, keepdim=True) + 1e-3) ** exponent)[..., None]

    def _room(self, power: Tensor) -> Tensor:
        """Add reverberation of 0.2 to 1 s to two windows of five."""
        count, rows = len(power), power.shape[1]
        time = torch.arange(HOP_RATE, device=self._device) / HOP_RATE
        tail = torch.exp(-13.8 * time / self._uniform(0.2, 1.0, count, 1))
        tail = tail / tail.sum(dim=1, keepdim=True) * self._uniform(0.1, 1.7, count, 1)
        size = rows + HOP_RATE
        spectrum = torch.fft.rfft(power, n=size, dim=1) * torch.fft.rfft(tail, n=size, dim=1)[..., None]
        wet = torch.fft.irfft(spectrum, n=size, dim=1)[:, :rows].clamp(min=0.0)
        # The power of many reflections fluctuates exponentially.
        fluctuation = 0.5 - 0.5 * torch.log(self._uniform(1e-4, 1.0, *wet.shape))
        return power + self._some(0.4, count) * wet * fluctuation

    def _noise(self, power: Tensor) -> Tensor:
        """Add coloured noise, 6 to 34 dB under the loud level, to nearly half of the windows."""
        shape = self._curve(len(power), 4, 6.0)
        shape = shape / shape.sum(dim=2, keepdim=True)
        draws = torch.log(self._uniform(1e-6, 1.0, 3, *power.shape))  # of three spectra under one window function
        level = 10.0 ** (self._uniform(-3.4, -0.6, len(power), 1, 1)) * self._some(0.45, len(power))
        return power - level * shape * draws.mean(dim=0)

    def _without_bands(self, power: Tensor) -> Tensor:
        """Silence 3 to 12 neighbouring bands of three windows of ten."""
        first = self._uniform(0.0, 30.0, len(power), 1, 1)
        width = self._uniform(3.0, 13.0, len(power), 1, 1) * self._some(0.3, len(power))
        band = torch.arange(MELS, device=self._device)
        return power * ((band < first) | (band >= first + width))
