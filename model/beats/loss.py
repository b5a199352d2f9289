"""How well the tracker follows the beat through what the network says: the loss that trains the ear.

Cross-entropy asks of each step by itself whether a beat was heard. On stage it matters whether the tracker believes,
at each moment, in the right tempo and phase. So this loss runs the tracker's forward algorithm, but for its patterns,
over what the network says, and takes −log of the belief around the truth; its gradient is the same recursion backwards.
It is what speech recognition calls discriminative training of a hidden Markov model (Bahl, Brown, de Souza & Mercer,
ICASSP 1986); Fillon, Joder, Durand & Essid (ICASSP 2015) train a conditional random field of beats so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dancerev.realtime.beat.bar_pointer import BEATS, NEAR_TEMPO, PRIOR_BPM, PRIOR_OCTAVES, RESTART, BarSpace
from dancerev.realtime.beat.beat_network import DELAY, RATE
from dancerev.realtime.beat.tracker import BAR_DOUBT, BEAT_SHARE

Array = npt.NDArray[Any]

BAR_SHARE = 0.3
"""Of the loss, for the right beat of the bar where bars have four; the rest is for the beat alone."""
BEAT_POWER, BAR_POWER = 0.5, 0.5  # what the network says counts for more than on stage, where patterns are heard too
PRIOR_RATE = 0.5  # and the preference for a tempo for less, so that it learns to do without
WIDTH = 1.5  # steps from a beat at which a step is none any more
UNLIKELIEST = 2e-3  # the belief below which the truth costs little more: some music cannot be told
EARLIEST = 2.0  # beats of music before which nothing is asked
TEMPI = 5  # about the true one that are looked at
AROUND = np.arange(-3, 4)  # steps


@dataclass(frozen=True)
class Truth:
    """Where the bar pointer should be.

    Attributes:
        states: (steps, N) int, of the bar space, that are near the truth, each once.
        on_beat: (steps, N) float32, 1 for those at the right tempo and position in the beat, else 0.
        on_bar: (steps, N) float32, 1 for those at the right position in the bar; as ``on_beat`` where it is not known.
        counted: (steps,) float32, 1 where the tracker can be asked, else 0.
        bar_share: of the loss, for the bar.
    """

    states: Array
    on_beat: Array
    on_bar: Array
    counted: Array
    bar_share: float


def locate(space: BarSpace, beats: Array, downbeats: Array, steps: int) -> Truth:
    """The truth at each of so many steps, which are complete at 1 / RATE, 2 / RATE, … seconds.

    Args:
        space: the states.
        beats: (N,) seconds, rising, N ≥ 2; they may begin before the first step and end after the last.
        downbeats: (N,) bool.
        steps: how many.

    Raises:
        ValueError: if the space has fewer than TEMPI tempi.
    """
    if len(space.bars) < TEMPI:
        raise ValueError(f"a space of {len(space.bars)} tempi; the truth needs {TEMPI}")
    time = (np.arange(steps) + 1) / RATE - DELAY
    index = np.searchsorted(beats, time, side="right") - 1
    known = (index >= 0) & (index < len(beats) - 1)
    index = np.clip(index, 0, len(beats) - 2)
    periods = np.diff(beats)
    phase = np.clip((time - beats[index]) / periods[index], 0.0, 1.0)
    smooth = np.convolve(np.pad(periods, 2, mode="edge"), np.full(5, 0.2), "valid")[index]
    nearest = np.abs(np.log(space.periods / smooth[:, None])).argmin(axis=1)
    first = np.clip(nearest - TEMPI // 2, 0, len(space.bars) - TEMPI)
    tempi = first[:, None] + np.arange(TEMPI)
    near = np.abs(np.log2(space.periods[tempi] / smooth[:, None])) < NEAR_TEMPO
    bars = space.bars[tempi][:, :, None, None]
    position = np.round((np.arange(BEATS) + phase[:, None, None]) * bars[..., 0] / BEATS).astype(np.int64)
    states = space.start[tempi][:, :, None, None] + (position[..., None] + AROUND) % bars
    on_beat = np.broadcast_to(near[:, :, None, None], states.shape)
    ones = np.flatnonzero(downbeats)
    has_bars = len(ones) > 1 and bool((np.diff(ones) == BEATS).all())
    on_bar = on_beat
    if has_bars:
        right = np.arange(BEATS) == ((index - ones[0]) % BEATS)[:, None]
        on_bar = on_beat & right[:, None, :, None]
    begun = time >= max(float(beats[0]), 0.0) + EARLIEST * float(np.median(periods))
    return Truth(
        states.reshape(steps, -1),
        on_beat.reshape(steps, -1).astype(np.float32),
        on_bar.reshape(steps, -1).astype(np.float32),
        (known & begun).astype(np.float32),
        BAR_SHARE if has_bars else 0.0,
    )


def tracking_loss(space: BarSpace, logits: Tensor, truths: list[Truth]) -> Tensor:
    """Mean of −log of the tracker's belief around the truth, in nats, over the steps that count.

    Args:
        space: the states.
        logits: (B, steps, classes) what the network says.
        truths: B of them, of as many steps.
    """
    heard = torch.log_softmax(logits, dim=2)
    return _Follow.apply(_evidence(heard).transpose(0, 1).contiguous(), space, truths)  # type: ignore[no-untyped-call]


def _evidence(heard: Tensor) -> Tensor:
    """(B, steps, 2): the log-likelihood of what was heard on a downbeat, and on another beat, against between.

    Args:
        heard: (B, steps, classes) log-probabilities of no beat, beat and downbeat.
    """
    beat = torch.logaddexp(heard[..., 1], heard[..., 2])
    on = BEAT_POWER * (beat - math.log(BEAT_SHARE) - heard[..., 0] + math.log(1.0 - BEAT_SHARE))
    kind = torch.stack([heard[..., 2] - math.log(1.0 / BEATS), heard[..., 1] - math.log(1.0 - 1.0 / BEATS)], dim=-1)
    return on[..., None] + BAR_POWER * torch.clamp(kind - beat[..., None], min=BAR_DOUBT)


def _on_beats(space: BarSpace) -> tuple[Array, Array]:
    """(n,) the states on a beat, and (2, n) float32 how much of a downbeat, and of another beat, each of them is."""
    beat = np.round(space.position)
    steps = np.abs(space.position - beat) * np.repeat(space.bars, space.bars) / BEATS
    share = np.maximum(1.0 - steps / WIDTH, 0.0)
    close = np.flatnonzero(share)
    downbeat = beat % BEATS == 0
    return close, np.stack([share * downbeat, share * ~downbeat])[:, close].astype(np.float32)


class _Follow(torch.autograd.Function):
    """The forward algorithm over (steps, B, 2) evidence, and its gradient.

    All pieces of a batch move on together; what is kept for the way back is the belief at every step.
    """

    @staticmethod
    def forward(ctx: Any, evidence: Tensor, space: BarSpace, truths: list[Truth]) -> Tensor:
        given = evidence.detach().numpy()
        steps, count = given.shape[:2]
        prior, bias = (values[:, None] for values in space.prior(PRIOR_BPM, PRIOR_OCTAVES, PRIOR_RATE))
        close, shares = _on_beats(space)
        beliefs = np.empty((steps, len(prior), count), dtype=np.float32)
        norms = np.empty((steps, count), dtype=np.float32)
        belief = np.repeat(prior, count, axis=1)
        before, first = space.before.reshape(-1), space.first.reshape(-1)
        for step in range(steps):
            now = beliefs[step]
            now[1:] = belief[:-1]
            now[first] = (bias * (space.change @ belief[before].reshape(len(space.bars), -1))).reshape(-1, count)
            now[close] *= np.exp(shares.T @ given[step].T)
            norms[step] = now.sum(axis=0)
            now *= (1.0 - RESTART) / norms[step]
            now += RESTART * prior
            belief = now
        # (steps, B, N)
        states, on_beat, on_bar = (
            np.stack([getattr(truth, name) for truth in truths], axis=1) for name in ("states", "on_beat", "on_bar")
        )
        counted = np.stack([truth.counted for truth in truths], axis=1)
        share = np.array([truth.bar_share for truth in truths])
        near = beliefs[np.arange(steps)[:, None, None], states, np.arange(count)[:, None]]
        right_beat, right_bar = (near * on_beat).sum(axis=2), (near * on_bar).sum(axis=2)
        loss = -(1.0 - share) * np.log(right_beat + UNLIKELIEST) - share * np.log(right_bar + UNLIKELIEST)
        weight = counted / max(float(counted.sum()), 1.0)
        gain = (
            -(weight * (1.0 - share) / (right_beat + UNLIKELIEST))[..., None] * on_beat
            - (weight * share / (right_bar + UNLIKELIEST))[..., None] * on_bar
        )
        ctx.kept = space, given, beliefs, norms, states, gain.astype(np.float32)
        return torch.tensor(float((weight * loss).sum()), dtype=evidence.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        space, given, beliefs, norms, states, gain = ctx.kept
        steps, count = given.shape[:2]
        prior, bias = (values[:, None] for values in space.prior(PRIOR_BPM, PRIOR_OCTAVES, PRIOR_RATE))
        close, shares = _on_beats(space)
        before, first = space.before.reshape(-1), space.first.reshape(-1)
        pieces = np.arange(count)[:, None]
        slope = np.zeros_like(given)
        ahead = np.zeros_like(beliefs[0])  # gradient with respect to the belief after the step
        for step in range(steps - 1, -1, -1):
            ahead[states[step], pieces] += gain[step]
            moved = (beliefs[step] - RESTART * prior) / (1.0 - RESTART)
            ahead -= np.einsum("sb,sb->b", ahead, moved)
            ahead *= 1.0 - RESTART
            slope[step] = (shares @ (ahead[close] * moved[close])).T
            ahead /= norms[step]
            ahead[close] *= np.exp(shares.T @ given[step].T)
            entered = bias * ahead[first].reshape(len(space.bars), -1)
            ahead[:-1] = ahead[1:]
            ahead[before] = (space.change.T @ entered).reshape(-1, count)
        return torch.from_numpy(slope) * outer[0], None, None
