"""The state space of the bar pointer: a hidden Markov model of the position in the bar and the tempo.

A state is a tempo, a metre (the number of beats in a bar) and a position in the bar (Whiteley, Cemgil & Godsill, ISMIR
2006). In the efficient state space of Krebs, Böck & Widmer (ISMIR 2015) the position advances by one state per time
step, the tempo may change at a beat only, and the metre at a downbeat only.
:mod:`~dancerev.realtime.beat.bar_pointer_tracker` runs the forward algorithm live, ``dancerev.model.beats.loss`` in
training.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .beat_network import RATE

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

METRES = (2, 3, 4, 6)
"""Beats per bar."""
METRE_PRIOR = (0.1, 0.15, 0.735, 0.015)
"""Probability of each metre before anything is known."""
METRE_CHANGE = 0.01
"""Probability, per bar, that the metre is drawn again."""
POSITIONS = sum(METRES)
"""Beats of all metres, side by side: two of a bar of two, three of a bar of three, and so on."""
METRE_OF = np.repeat(METRES, METRES)
"""(POSITIONS,) beats per bar at each position."""
BEAT_OF = np.concatenate([np.arange(metre) for metre in METRES])
"""(POSITIONS,) beat in the bar, 0 for the downbeat."""

PARTS = 16
"""Equal parts of a beat in which the most probable phase is searched."""
SLOWEST_BPM, FASTEST_BPM = 20.0, 60.0 * RATE / PARTS
"""Limits of the tempo: above, a beat has fewer time steps than PARTS."""
NEAR_TEMPO = 0.06
"""Octaves within which two tempi count as the same."""
RESTART = 1e-3
"""Probability, per time step, that the music starts again at any tempo and position."""
PRIOR_BPM, PRIOR_OCTAVES = 132.0, 0.7
"""Mean and standard deviation of the tempo prior, a normal distribution over log2 of the tempo."""

TEMPO_SPACING = 0.03  # logarithm of the ratio of neighbouring tempi
TEMPO_STIFFNESS = 120.0  # at a beat, tempo follows tempo with a weight of exp(−TEMPO_STIFFNESS · |ratio − 1|)


class BarSpace:
    """The states: tempo by tempo, in each metre by metre, in each the positions in order. Times in steps of 1 / RATE.

    Attributes:
        periods: (tempi,) seconds per beat, a geometric series.
        lengths: (tempi, metres) int, time steps per bar.
        start: (tempi, metres) int, the first state of each bar.
        first: (tempi, POSITIONS) int, the state at which each beat begins.
        before: (tempi, POSITIONS) int, the last state before that beat.
        tempo_change: (tempi, tempi) float32, to × from: probability that a tempo follows another at a beat.
        metre_change: (POSITIONS, POSITIONS) float32, from × to: the same for a metre; only downbeats change.
        near: (tempi, tempi) float32, 1 for tempi within NEAR_TEMPO of each other, else 0.
        position: (states,) in beats from the downbeat; beat: (states,) float32 position in the beat [0, 1).
        period: (states,) float32 seconds per beat.
        part: (states,) int, the beat's part in which the state lies.
        steps_per_beat: (states,) float.
        metre: (states,) int, index into METRES.
        moments: (4, states) 1, seconds per beat, cosine and sine of the phase.
        parts: (tempi · POSITIONS · PARTS,) int, the first state of each part of each beat.

    Args:
        min_bpm, max_bpm: tempo range, within SLOWEST_BPM … FASTEST_BPM.
    """

    def __init__(self, min_bpm: float, max_bpm: float) -> None:
        shortest, longest = 60.0 * RATE / max_bpm, 60.0 * RATE / min_bpm
        tempi = max(2, math.ceil(math.log(longest / shortest) / TEMPO_SPACING) + 1)
        steps = np.geomspace(shortest, longest, tempi)
        self.periods = steps / RATE
        self.lengths: IntArray = np.round(steps[:, None] * METRES).astype(np.int64)
        ends = np.cumsum(self.lengths.reshape(-1)).reshape(self.lengths.shape)
        self.start: IntArray = ends - self.lengths
        self.states = int(ends[-1, -1])
        bar = np.repeat(self.lengths, METRES, axis=1)  # (tempi, POSITIONS)
        start = np.repeat(self.start, METRES, axis=1)
        self.first: IntArray = start + -(-BEAT_OF * bar // METRE_OF)
        self.before: IntArray = np.where(BEAT_OF == 0, start + bar, self.first) - 1
        edge = BEAT_OF[:, None] * PARTS + np.arange(PARTS)  # (POSITIONS, PARTS), in parts from the downbeat
        self.parts = (start[..., None] - (-edge * bar[..., None] // (METRE_OF[:, None] * PARTS))).reshape(-1)
        ratio = self.periods[None, :] / self.periods[:, None]
        change = np.exp(-TEMPO_STIFFNESS * np.abs(ratio - 1.0))
        self.tempo_change = (change / change.sum(axis=1, keepdims=True)).T.astype(np.float32)
        self.metre_change = _metre_change()
        self.near = (np.abs(np.log2(ratio)) < NEAR_TEMPO).astype(np.float32)
        self._place_states()

    def _place_states(self) -> None:
        """Set what is known of each state."""
        lengths = self.lengths.reshape(-1)
        length = np.repeat(lengths, lengths)
        self.metre = np.repeat(np.tile(np.arange(len(METRES)), len(self.periods)), lengths)
        beats = np.asarray(METRES)[self.metre]
        self.position = beats * np.concatenate([np.arange(steps) for steps in lengths.tolist()]) / length
        self.steps_per_beat = length / beats
        self.beat = (self.position % 1.0).astype(np.float32)
        self.period = (self.steps_per_beat / RATE).astype(np.float32)
        self.part = (self.beat * PARTS).astype(np.int64)
        turn = 2.0 * np.pi * self.beat
        self.moments = np.stack([np.ones_like(turn), self.period, np.cos(turn), np.sin(turn)])

    def near_beats(self, width: float) -> tuple[IntArray, FloatArray]:
        """Find the states near a beat, and those near the middle between two.

        Args:
            width: time steps from a beat at which a state no longer belongs to it.

        Returns:
            (n,) the states and (4, n) float32 the share in [0, 1] of a downbeat, of another beat, of either and of the
            middle between two beats in each.
        """
        nearest = np.round(self.position)
        share = np.maximum(1.0 - np.abs(self.position - nearest) * self.steps_per_beat / width, 0.0)
        middle = np.maximum(1.0 - np.abs(self.beat - 0.5) * self.steps_per_beat / width, 0.0)
        close = np.flatnonzero(share + middle)
        downbeat = nearest % np.asarray(METRES)[self.metre] == 0
        return close, np.stack([share * downbeat, share * ~downbeat, share, middle])[:, close].astype(np.float32)

    def prior(self, bpm: float, octaves: float, rate: float) -> tuple[FloatArray, FloatArray]:
        """Compute the tempo prior.

        Args:
            bpm: preferred beats per minute.
            octaves: standard deviation about it.
            rate: per second, how strongly the preference acts while the music goes on.

        Returns:
            (states,) probability of each state before any observation, and (tempi,) the factor by which each tempo
            gains at each of its beats.
        """
        preference = -0.5 * (np.log2(60.0 / self.periods / bpm) / octaves) ** 2
        tempo = np.exp(preference)
        bars = (tempo / tempo.sum())[:, None] * METRE_PRIOR / self.lengths
        state = np.repeat(bars.reshape(-1), self.lengths.reshape(-1))
        return state.astype(np.float32), np.exp(rate * preference * self.periods).astype(np.float32)


def _metre_change() -> FloatArray:
    """(POSITIONS, POSITIONS) from × to: another metre begins at a downbeat with METRE_CHANGE · METRE_PRIOR."""
    change = np.eye(POSITIONS)
    downbeats = np.flatnonzero(BEAT_OF == 0)
    change[downbeats, downbeats] -= METRE_CHANGE
    change[np.ix_(downbeats, downbeats)] += METRE_CHANGE * np.asarray(METRE_PRIOR)
    return change.astype(np.float32)
