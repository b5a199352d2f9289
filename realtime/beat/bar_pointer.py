"""The bar pointer: a hidden Markov model of where in its bar the music is, and how fast.

A state is a tempo and a position in a bar of four beats (Whiteley, Cemgil & Godsill, ISMIR 2006); in the efficient
state space of Krebs, Böck & Widmer (ISMIR 2015) the position moves on by one each step, and the tempo may change at a
beat only. The tracker of :mod:`~dancerev.realtime.beat.tracker` runs it forward on stage, and
``dancerev.model.beats.loss`` in training.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .beat_network import RATE

FloatArray = npt.NDArray[np.float32]

BEATS = 4
"""Beats per bar."""
PARTS = 16
"""Of the beat, in which the likeliest is looked for."""
SLOWEST_BPM, FASTEST_BPM = 20.0, 60.0 * RATE / PARTS
"""The tempi there can be: faster, a beat would have fewer steps than PARTS."""
NEAR_TEMPO = 0.06
"""Octaves: tempi that are the same beat."""
RESTART = 1e-4
"""Per step: the chance that the music does something quite different from here on."""
PRIOR_BPM, PRIOR_OCTAVES = 132.0, 0.7
"""Tempi that are preferred, and how far about them."""

TEMPO_SPACING = 0.03  # from one tempo to the next
TEMPO_STIFFNESS = 120.0  # a tempo r times another follows it at a beat with a weight of exp(−TEMPO_STIFFNESS · |r − 1|)


class BarSpace:
    """Tempo × position in the bar, one tempo after another, positions in order; times in steps of 1 / RATE.

    Attributes:
        bars: (tempi,) steps per bar, in a geometric series; periods: (tempi,) seconds per beat.
        start: (tempi,) the first state of each tempo.
        first: (tempi, BEATS) the state at which each beat begins; before: the state just before it.
        change: (tempi, tempi) float32, to × from: the chance that a tempo follows another at a beat.
        near: (tempi, tempi) float32: 1 for tempi that are the same beat, else 0.
        position: (states,) in the bar, in beats.
        moments: (4, states) 1, seconds per beat, and the position in the beat on the unit circle.
        beat: (states,) position in the beat [0, 1); part: the same in PARTS; period: (states,) seconds per beat.
        parts: (tempi · BEATS · PARTS,) the first state of each of the PARTS equal parts of each beat.

    Args:
        min_bpm, max_bpm: SLOWEST_BPM … FASTEST_BPM.
    """

    def __init__(self, min_bpm: float, max_bpm: float) -> None:
        shortest, longest = (60.0 * BEATS * RATE / bpm for bpm in (max_bpm, min_bpm))
        tempi = math.ceil(math.log(longest / shortest) / TEMPO_SPACING) + 1
        self.bars = bars = np.unique(np.round(np.geomspace(shortest, longest, tempi)).astype(np.int64))
        self.periods = bars / (BEATS * RATE)
        self.start = np.concatenate([[0], np.cumsum(bars)[:-1]])
        start = self.start[:, None]
        self.first = start + np.ceil(np.arange(BEATS) * bars[:, None] / BEATS).astype(np.int64)
        self.before = np.where(np.arange(BEATS) == 0, start + bars[:, None], self.first) - 1
        edges = np.arange(BEATS * PARTS) * bars[:, None] / (BEATS * PARTS)
        self.parts = (start + np.ceil(edges).astype(np.int64)).reshape(-1)
        ratio = bars[None, :] / bars[:, None]
        change = np.exp(-TEMPO_STIFFNESS * np.abs(ratio - 1.0))
        self.change = (change / change.sum(axis=1, keepdims=True)).T.astype(np.float32)
        self.near = (np.abs(np.log2(ratio)) < NEAR_TEMPO).astype(np.float32)
        bar = np.repeat(bars, bars)
        position = BEATS * np.concatenate([np.arange(length) for length in bars]) / bar
        self.position = position
        self.beat = (position % 1.0).astype(np.float32)
        self.period = (bar / (BEATS * RATE)).astype(np.float32)
        self.part = (self.beat * PARTS).astype(np.int64)
        turn = 2.0 * np.pi * self.beat
        self.moments = np.stack([np.ones_like(turn), self.period, np.cos(turn), np.sin(turn)])

    def prior(self, bpm: float, octaves: float, rate: float) -> tuple[FloatArray, FloatArray]:
        """A preference for tempi around ``bpm``: where a lost beat is looked for, and what near ties are decided by.

        Args:
            bpm: beats per minute that are preferred.
            octaves: how far about it, as a standard deviation.
            rate: per second, how strongly the preference acts.

        Returns:
            (states,) how likely each state is before anything is heard, summing to 1, and (tempi,) the factor by
            which each tempo gains at each of its beats.
        """
        preference = -0.5 * (np.log2(60.0 / self.periods / bpm) / octaves) ** 2
        tempo = np.exp(preference)
        state = np.repeat(tempo / tempo.sum() / self.bars, self.bars)
        return state.astype(np.float32), np.exp(rate * preference * self.periods).astype(np.float32)
