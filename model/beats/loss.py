"""The loss that trains the beat network through the tracker.

Cross-entropy judges each time step by itself. Live, it matters whether the tracker believes, at each moment, in the
right tempo, phase and metre. So this loss runs the bar pointer's forward algorithm over the network's output and takes
−log of the belief around the truth; its gradient is the same recursion backwards. Speech recognition calls it
discriminative training of a hidden Markov model (Bahl, Brown, de Souza & Mercer, ICASSP 1986); Fillon, Joder, Durand &
Essid (ICASSP 2015) train a conditional random field of beats so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dancerev.realtime.beat.bar_pointer import METRES, NEAR_TEMPO, PRIOR_BPM, PRIOR_OCTAVES, BarSpace
from dancerev.realtime.beat.bar_pointer_tracker import BAR_DOUBT, BEAT_SHARE, BEAT_WIDTH, DOWNBEAT_SHARE
from dancerev.realtime.beat.beat_network import DELAY, RATE

BAR_SHARE = 0.3
"""Of the loss, for the right position in the bar where the metre is known; the rest is for the beat alone."""
BEAT_POWER, BAR_POWER = 0.5, 0.5
PRIOR_RATE = 0.5
RESTART = 2e-4
UNLIKELIEST = 2e-3
"""The belief below which the truth costs little more: some music cannot be followed."""
TEMPI = 5
"""Tempi about the true one that count as near it."""
AROUND = 3
"""Time steps about the true position that count as near it."""
EARLIEST = 2.0
"""Beats of music before which nothing is counted."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Truth:
    """Where the bar pointer should be in each of B pieces.

    Attributes:
        phase: (B, T) float32, position in the beat.
        period: (B, T) float32, seconds per beat.
        beat_in_bar: (B, T) int64.
        metre: (B, T) int64, beats per bar; 0 where the bar is not known.
        counted: (B, T) float32, weight of each time step.
    """

    phase: Tensor
    period: Tensor
    beat_in_bar: Tensor
    metre: Tensor
    counted: Tensor


def bars_of(downbeats: Array) -> tuple[Array, Array]:
    """(N,) beats per bar of each beat's bar, 0 where that is none of METRES, and (N,) the beat in the bar.

    Args:
        downbeats: (N,) bool, which beats begin a bar.
    """
    ones = np.flatnonzero(downbeats)
    metre, place = np.zeros(len(downbeats), dtype=np.int64), np.zeros(len(downbeats), dtype=np.int64)
    if len(ones) < 2:
        return metre, place
    lengths = np.diff(ones)
    index = np.arange(len(downbeats))
    bar = np.clip(np.searchsorted(ones, index, side="right") - 1, 0, len(lengths) - 1)
    metre[:] = lengths[bar]
    place[:] = (index - ones[bar]) % metre
    metre[~np.isin(metre, METRES)] = 0
    return metre, place


def truth_of(beats: Array, downbeats: Array, steps: int) -> Truth:
    """Describe one piece at each of so many time steps, complete at 1 / RATE, 2 / RATE, … seconds: B is 1.

    Args:
        beats: (N,) seconds, rising, N ≥ 2; they may begin before the first step and end after the last.
        downbeats: (N,) bool; all False where the bars are not known.
        steps: how many.
    """
    time = (np.arange(steps) + 1) / RATE - DELAY
    index = np.searchsorted(beats, time, side="right") - 1
    known = (index >= 0) & (index < len(beats) - 1)
    index = np.clip(index, 0, len(beats) - 2)
    periods = np.diff(beats)
    smooth = np.convolve(np.pad(periods, 2, mode="edge"), np.full(5, 0.2), "valid")
    metre, place = bars_of(downbeats)
    begun = time >= max(float(beats[0]), 0.0) + EARLIEST * float(np.median(periods))

    def row(values: Array, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype)[None]

    return Truth(
        row(np.clip((time - beats[index]) / periods[index], 0.0, 1.0), torch.float32),
        row(smooth[index], torch.float32),
        row(place[index], torch.int64),
        row(metre[index], torch.int64),
        row(known & begun, torch.float32),
    )


def batch_of(truths: list[Truth], device: torch.device) -> Truth:
    """Join the truths of several pieces."""
    return Truth(*(torch.cat([getattr(truth, field.name) for truth in truths]).to(device) for field in fields(Truth)))


@dataclass(frozen=True)
class Place:
    """The states near the truth.

    Attributes:
        states: (T, N, B) int64, each once.
        on_beat: (T, N, B) float32, 1 for those of the right tempo and phase, else 0.
        on_bar: (T, N, B) float32, 1 for those at the right position of the right metre too.
    """

    states: Tensor
    on_beat: Tensor
    on_bar: Tensor


class TensorSpace:
    """The arrays of a :class:`~dancerev.realtime.beat.bar_pointer.BarSpace` on a device.

    Raises:
        ValueError: if the space has fewer than TEMPI tempi.
    """

    def __init__(self, space: BarSpace, device: torch.device) -> None:
        if len(space.periods) < TEMPI:
            raise ValueError(f"a space of {len(space.periods)} tempi; the loss needs {TEMPI}")
        prior, bias = space.prior(PRIOR_BPM, PRIOR_OCTAVES, PRIOR_RATE)
        close, shares = space.near_beats(BEAT_WIDTH)
        # One matrix for the changes of tempo and metre: to (tempo, position) from (tempo, position).
        change = np.kron(bias[:, None] * space.tempo_change, space.metre_change.T)

        def tensor(values: np.ndarray, dtype: torch.dtype) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)

        self.states = space.states
        self.prior = tensor(prior[:, None], torch.float32)
        self.change = tensor(change, torch.float32)
        self.first = tensor(space.first.reshape(-1), torch.int64)
        self.before = tensor(space.before.reshape(-1), torch.int64)
        shifted = space.first.reshape(-1) - 1
        self.cut = tensor(shifted[shifted >= 0], torch.int64)
        self.close = tensor(close, torch.int64)
        self.shares = tensor(shares[:2], torch.float32)
        self.log_periods = tensor(np.log(space.periods), torch.float32)
        self.start = tensor(space.start, torch.int64)
        self.lengths = tensor(space.lengths, torch.int64)


def locate(space: TensorSpace, truth: Truth) -> Place:
    """Find the states near the truth at each time step."""
    log_period = torch.log(truth.period)
    nearest = (space.log_periods - log_period[..., None]).abs().argmin(dim=-1)
    last = len(space.log_periods) - TEMPI
    tempi = (nearest - TEMPI // 2).clamp(0, last)[..., None] + torch.arange(TEMPI, device=nearest.device)
    near = (space.log_periods[tempi] - log_period[..., None]).abs() / math.log(2.0) < NEAR_TEMPO  # (B, T, TEMPI)
    around = torch.arange(-AROUND, AROUND + 1, device=nearest.device)
    states, on_beat, on_bar = [], [], []
    for index, metre in enumerate(METRES):
        length = space.lengths[tempi, index][..., None]
        beats = torch.arange(metre, device=nearest.device)
        position = torch.round((beats + truth.phase[..., None, None]) * length / metre).long()
        found = space.start[tempi, index][..., None, None] + (position[..., None] + around) % length[..., None]
        right = (truth.metre == metre)[..., None] & (beats == truth.beat_in_bar[..., None])
        close = near[..., None, None].expand(found.shape)
        states.append(found.flatten(2))
        on_beat.append(close.flatten(2).float())
        on_bar.append((close & right[:, :, None, :, None]).flatten(2).float())

    def by_step(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=2).permute(1, 2, 0).contiguous()

    return Place(by_step(states), by_step(on_beat), by_step(on_bar))


def tracking_loss(space: TensorSpace, logits: Tensor, truth: Truth) -> Tensor:
    """Compute the mean of −log of the tracker's belief around the truth, in nats.

    Args:
        space: the states.
        logits: (B, T, classes) of the network.
        truth: of as many pieces and steps.
    """
    evidence = _evidence(torch.log_softmax(logits, dim=2)).transpose(0, 1).contiguous()
    loss: Tensor = _Follow.apply(evidence, space, locate(space, truth), truth)  # type: ignore[no-untyped-call]
    return loss


def _evidence(log_probabilities: Tensor) -> Tensor:
    """(B, T, 2): log-likelihood of the observation on a downbeat and on another beat, relative to between beats."""
    none, other, down = log_probabilities.unbind(dim=-1)
    beat = torch.logaddexp(other, down)
    on = BEAT_POWER * (beat - math.log(BEAT_SHARE) - none + math.log(1.0 - BEAT_SHARE))
    kind = torch.stack([down - math.log(DOWNBEAT_SHARE), other - math.log(1.0 - DOWNBEAT_SHARE)], dim=-1)
    return on[..., None] + BAR_POWER * torch.clamp(kind - beat[..., None], min=BAR_DOUBT)


class _Follow(torch.autograd.Function):
    """The forward algorithm over (T, B, 2) evidence, and its gradient, which the forward pass computes along.

    All pieces of a batch advance together. The belief of every time step is kept for the way back.
    """

    @staticmethod
    def forward(ctx: Any, evidence: Tensor, space: TensorSpace, place: Place, truth: Truth) -> Tensor:
        given = evidence.detach()
        beliefs, norms = _forward(given, space)
        steps = torch.arange(len(given), device=given.device)[:, None, None]
        near = beliefs[steps, place.states, torch.arange(given.shape[1], device=given.device)]
        right_beat, right_bar = (near * place.on_beat).sum(dim=1), (near * place.on_bar).sum(dim=1)
        share = BAR_SHARE * (truth.metre.T > 0)
        weight = truth.counted.T / truth.counted.sum().clamp(min=1.0)
        beat, bar = weight * (1.0 - share), weight * share
        loss = -beat * torch.log(right_beat + UNLIKELIEST) - bar * torch.log(right_bar + UNLIKELIEST)
        gain = -(beat / (right_beat + UNLIKELIEST))[:, None] * place.on_beat
        gain -= (bar / (right_bar + UNLIKELIEST))[:, None] * place.on_bar
        ctx.slope = _backward(given, space, beliefs, norms, place.states, gain)
        return loss.sum()

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        return ctx.slope * outer[0], None, None, None


def _forward(given: Tensor, space: TensorSpace) -> tuple[Tensor, Tensor]:
    """(T, states, B) the belief at each time step, and (T, B) its norm before normalisation."""
    steps, count = given.shape[:2]
    beliefs = torch.empty(steps, space.states, count, device=given.device)
    norms = torch.empty(steps, count, device=given.device)
    belief = space.prior.expand(-1, count)
    for step in range(steps):
        now = beliefs[step]
        now[1:] = belief[:-1]
        now[space.first] = space.change @ belief[space.before]
        now[space.close] *= torch.exp(space.shares.T @ given[step].T)
        norms[step] = now.sum(dim=0)
        now *= (1.0 - RESTART) / norms[step]
        now += RESTART * space.prior
        belief = now
    return beliefs, norms


def _backward(
    given: Tensor, space: TensorSpace, beliefs: Tensor, norms: Tensor, states: Tensor, gain: Tensor
) -> Tensor:
    """(T, B, 2) the gradient with respect to the evidence.

    Args:
        given: (T, B, 2) the evidence.
        space: the states.
        beliefs: as :func:`_forward` returns them.
        norms: as :func:`_forward` returns them.
        states: (T, N, B).
        gain: (T, N, B) gradient with respect to the belief in the states.
    """
    slope = torch.zeros_like(given)
    ahead = torch.zeros_like(beliefs[0])  # gradient with respect to the belief after the step
    for step in range(len(given) - 1, -1, -1):
        ahead.scatter_add_(0, states[step], gain[step])
        moved = (beliefs[step] - RESTART * space.prior) / (1.0 - RESTART)
        ahead -= (ahead * moved).sum(dim=0)
        ahead *= 1.0 - RESTART
        slope[step] = (space.shares @ (ahead[space.close] * moved[space.close])).T
        ahead /= norms[step]
        ahead[space.close] *= torch.exp(space.shares.T @ given[step].T)
        entered = space.change.T @ ahead[space.first]
        ahead = torch.cat([ahead[1:], torch.zeros_like(ahead[:1])])
        ahead[space.cut] = 0.0
        ahead.index_add_(0, space.before, entered)
    return slope
