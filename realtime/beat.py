"""Where the beat is, heard causally: phase, tempo, the next beat, and the bar where the music shows it.

The tracker is a bar pointer (Whiteley, Cemgil & Godsill, ISMIR 2006) in the efficient state space of Krebs, Böck &
Widmer (ISMIR 2015): a hidden Markov model whose state is a tempo and a position in the beat, where the position moves
on by one each hop and the tempo may change at a beat only. Only the forward algorithm runs, so nothing waits for the
future. What it observes is the rise of power in mel bands (spectral flux). Nothing is learned.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dancerev.model.features import BeatState
from dancerev.realtime.spectrum import HOP_RATE, HOPS, LAG, LATENCY, MELS, SpectralBlock

FloatArray = npt.NDArray[np.float32]

MIN_BPM, MAX_BPM = 55.0, 215.0
PRIOR_BPM, PRIOR_OCTAVES = 120.0, 0.8
PRIOR_RATE = 2.0  # per second: how strongly the preference for a tempo acts

COMPRESSION = 3e3  # amplitude of a mel band is logarithmic down to 35 dB under the loud level, linear below
FLUX_BANDS = (0, 3, 10, 22)  # first mel bands of bass drum, low, middle and high: 30, 230, 780 and 2,650 Hz
BAND_SIZES = np.diff([*FLUX_BANDS, MELS]).astype(np.float32)
LOUDNESS_RATE = 1.0 / (4.0 * HOP_RATE)
ONSET_TOP = 4.0  # times the root mean square of the flux: surely an onset
BEAT_PART = 1.0 / 16.0  # of a beat, at its start, in which the onset is expected
OBSERVATION_POWER = 0.15  # successive hops and onsets are not independent evidence
TEMPO_STIFFNESS = 100.0
RESTART = 2e-4  # per hop: the chance that the music does something quite different from here on

PHASES = 16
NEAR_TEMPO = 0.09  # octaves: tempi that are the same beat
HYSTERESIS = 2.0
PERIOD_PULL, PHASE_PULL = 0.15, 0.2  # per frame
CONFIDENCE_RATE = 0.1  # per frame
SILENCE_DECAY = 4.0  # seconds

IMPOSED_OCTAVES, IMPOSED_PHASE = 0.03, 0.05
IMPOSED_PRIOR_OCTAVES = 0.2


class BeatTracker(Protocol):
    """Follows the beat, one block of audio (1/15 s) at a time, and can be helped by hand."""

    def update(self, block: SpectralBlock) -> BeatState:
        """Hears the block and tells what is known of the beat at its end."""

    def tap(self, time: float) -> None:
        """The performer tapped a beat at ``time`` (seconds of audio); three taps set tempo and phase."""

    def set_downbeat(self, time: float) -> None:
        """ "This is the one": the beat nearest to ``time`` (seconds of audio) begins a bar."""

    def scale_tempo(self, factor: float) -> None:
        """Half (0.5) or double (2) the tempo, and stay there until the music stops."""


class BeatClock:
    """Announces each beat once, at the latest when it falls, from the beat states that come along."""

    def __init__(self) -> None:
        self._last = -math.inf

    def announce(self, state: BeatState, until: float) -> list[float]:
        """The beats (seconds, rising) from ``state.time`` to before ``until``, none within half a period of the last.

        Args:
            state: what is known of the beat now.
            until: seconds; the time of the next state.
        """
        beats = []
        beat = state.next_beat
        while beat < until:
            if beat - self._last >= 0.5 * state.period:
                beats.append(beat)
                self._last = beat
            beat += state.period
        return beats


class TapTempo:
    """Tempo and phase from the performer's taps: a straight line through the last eight."""

    def __init__(self, min_bpm: float, max_bpm: float) -> None:
        self._shortest, self._longest = 60.0 / max_bpm, 60.0 / min_bpm
        self._taps: list[float] = []

    def add(self, time: float) -> tuple[float, float] | None:
        """A tap at ``time`` (seconds): the beat nearest to it and the period, from the third tap on.

        A tap that comes too soon or too late for the range of tempi, or for the taps before it, begins anew.
        """
        if self._taps:
            gap = time - self._taps[-1]
            usual = (self._taps[-1] - self._taps[0]) / (len(self._taps) - 1) if len(self._taps) > 1 else gap
            fits = 0.9 * self._shortest <= gap <= 1.1 * self._longest and 0.6 * usual <= gap <= 1.6 * usual
            if not fits:
                self._taps.clear()
        self._taps = [*self._taps[-7:], time]
        if len(self._taps) < 3:
            return None
        index = np.arange(len(self._taps)) - (len(self._taps) - 1)
        period, beat = np.polyfit(index, self._taps, 1)
        return float(beat), min(max(float(period), self._shortest), self._longest)


class _StateSpace:
    """Tempo × position in the beat, laid out one tempo after another; all times in hops.

    Attributes:
        periods: (tempi,) hops per beat.
        first, last: (tempi,) the states of each tempo's first and last position.
        phase, period: (states,) position in the beat [0, 1) and hops per beat of each state.
        bins: (tempi · PHASES,) the first state of each of the PHASES equal parts of each tempo's beat.
    """

    def __init__(self, min_bpm: float, max_bpm: float) -> None:
        shortest, longest = (round(60.0 * HOP_RATE / bpm) for bpm in (max_bpm, min_bpm))
        self.periods = np.arange(shortest, longest + 1)
        self.first = np.concatenate([[0], np.cumsum(self.periods)[:-1]])
        self.last = self.first + self.periods - 1
        position = np.concatenate([np.arange(period) for period in self.periods])
        self.period = np.repeat(self.periods, self.periods).astype(np.float32)
        self.phase = (position / self.period).astype(np.float32)
        parts = np.ceil(np.arange(PHASES) * self.periods[:, None] / PHASES).astype(np.int64)
        self.bins = (self.first[:, None] + parts).reshape(-1)


class BarPointerTracker:
    """The default tracker: a bar pointer over spectral flux, read out through a smooth oscillator.

    Every tempo between ``min_bpm`` and ``max_bpm`` and every phase is followed at once. The dancer sees the likeliest
    of them, and leaves it only when another is clearly likelier, so that near ties do not flicker.

    Raises:
        ValueError: if the range of tempi is empty, or reaches beyond 20 … 400 BPM.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM) -> None:
        self.check_range(min_bpm, max_bpm)
        self._space = space = _StateSpace(min_bpm, max_bpm)
        ratio = space.periods[None, :] / space.periods[:, None]
        change = np.exp(-TEMPO_STIFFNESS * np.abs(ratio - 1.0))
        self._change = (change / change.sum(axis=1, keepdims=True)).astype(np.float32)
        self._on_beat = (space.phase < BEAT_PART).astype(np.int64)
        self._near = (np.abs(np.log2(ratio)) < NEAR_TEMPO).astype(np.float32)
        part = np.arange(PHASES)
        distance = np.abs((part[:, None] - part + PHASES // 2) % PHASES - PHASES // 2)
        self._near_phase = (distance <= 1).astype(np.float32)
        self._circle = np.exp(2j * np.pi * space.phase).astype(np.complex64)
        self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)
        self._belief = self._restart.copy()
        self._loudness = np.float32(0.1)
        self._time = 0.0
        self._phase = 0.0
        self._period = 60.0 / min(max(PRIOR_BPM, min_bpm), max_bpm)
        self._confidence = 0.0
        self._bar = _BarFilter()
        self._taps = TapTempo(min_bpm, max_bpm)
        self._by_hand = False

    @staticmethod
    def check_range(min_bpm: float, max_bpm: float) -> None:
        """ValueError where the range of tempi is empty, or reaches beyond 20 … 400 BPM."""
        if not 20.0 <= min_bpm < max_bpm <= 400.0:
            raise ValueError(f"tempo range {min_bpm:g}-{max_bpm:g} BPM: give 20 <= lowest < highest <= 400")

    def update(self, block: SpectralBlock) -> BeatState:
        """Hears the block and tells what is known of the beat at its end."""
        elapsed = block.time - self._time
        self._time = block.time
        before = self._phase
        self._phase += elapsed / self._period
        flux = _flux(block.mel)
        if block.activity > 0.0:
            self._listen(flux)
            self._lock()
        else:
            self._coast(elapsed)
        self._bar.hear(before, self._phase, flux)
        self._phase %= 1.0
        position, beats_per_bar, bar_confidence = self._bar.state()
        return BeatState(
            time=block.time,
            phase=self._phase,
            period=self._period,
            confidence=self._confidence,
            beat_in_bar=position,
            beats_per_bar=beats_per_bar,
            bar_confidence=bar_confidence * self._confidence,
        )

    def tap(self, time: float) -> None:
        """The performer tapped a beat at ``time`` (seconds of audio); three taps set tempo and phase.

        The tempo then stays near the tapped one until the music stops.
        """
        tapped = self._taps.add(time)
        if tapped is not None:
            beat, period = tapped
            self._impose(period, (self._time - beat) / period)

    def set_downbeat(self, time: float) -> None:
        """ "This is the one": the beat nearest to ``time`` (seconds of audio) begins a bar."""
        self._bar.set_downbeat(round(self._phase + (time - self._time) / self._period))

    def scale_tempo(self, factor: float) -> None:
        """Half (0.5) or double (2) the tempo, and stay there until the music stops.

        Raises:
            ValueError: if ``factor`` is neither 0.5 nor 2.
        """
        if factor not in (0.5, 2.0):
            raise ValueError(f"the tempo can be halved (0.5) or doubled (2), not scaled by {factor:g}")
        shortest, longest = self._space.periods[[0, -1]] / HOP_RATE
        if not shortest <= self._period / factor <= longest:
            return
        beats = self._phase if factor > 1.0 else self._phase + self._bar.state()[0] % 2
        self._impose(self._period / factor, beats * factor)

    def _set_prior(self, bpm: float, octaves: float) -> None:
        """A preference for tempi around ``bpm``: where a lost beat is looked for, and what near ties are decided by."""
        space = self._space
        preference = -0.5 * (np.log2(60.0 * HOP_RATE / space.periods / bpm) / octaves) ** 2
        weight = np.exp(preference) / space.periods
        self._restart = np.repeat(weight / weight.sum() / space.periods, space.periods).astype(np.float32)
        self._bias = np.exp(PRIOR_RATE * preference * space.periods / HOP_RATE).astype(np.float32)

    def _impose(self, period: float, beats: float) -> None:
        """Puts the belief around a period (seconds) and a phase (beats), and the tempo prior too."""
        space = self._space
        period = float(np.clip(period, space.periods[0] / HOP_RATE, space.periods[-1] / HOP_RATE))
        hidden = beats - LATENCY / period
        tempo = np.log2(space.period / (period * HOP_RATE)) / IMPOSED_OCTAVES
        phase = ((space.phase - hidden + 0.5) % 1.0 - 0.5) / IMPOSED_PHASE
        belief = np.exp(-0.5 * (tempo**2 + phase**2))
        self._set_prior(60.0 / period, IMPOSED_PRIOR_OCTAVES)
        self._belief = (belief / belief.sum()).astype(np.float32)
        self._period, self._phase = period, beats % 1.0
        self._by_hand = True
        self._bar.forget()

    def _listen(self, flux: npt.NDArray[np.float32]) -> None:
        """The forward algorithm over the hops of one block; flux is (HOPS, bands)."""
        space, belief = self._space, self._belief
        for onset in flux.mean(axis=1):
            self._loudness += LOUDNESS_RATE * (onset * onset - self._loudness)
            activation = min(max(float(onset) / (ONSET_TOP * math.sqrt(self._loudness) + 1e-3), 0.02), 0.98)
            ended = belief[space.last]
            belief[1:] = belief[:-1]
            belief[space.first] = (ended @ self._change) * self._bias
            elsewhere = (1.0 - activation) * BEAT_PART / (1.0 - BEAT_PART)
            likelihood = np.array([elsewhere, activation], dtype=np.float32) ** OBSERVATION_POWER
            belief *= likelihood[self._on_beat]
            belief *= (1.0 - RESTART) / belief.sum()
            belief += np.float32(RESTART) * self._restart

    def _lock(self) -> None:
        """Draws the oscillator to the likeliest beat, or moves it there if that is another and clearly likelier."""
        space = self._space
        mass = np.add.reduceat(self._belief, space.bins).reshape(-1, PHASES)
        around = self._near @ mass @ self._near_phase
        tempo, part = divmod(int(around.argmax()), PHASES)
        best = float(around[tempo, part])
        hidden = self._phase - LATENCY / self._period
        own_tempo = int(np.abs(space.periods - self._period * HOP_RATE).argmin())
        own_part = int(hidden * PHASES) % PHASES
        own = float(around[own_tempo, own_part])
        leave = best > HYSTERESIS * own
        if not leave:
            tempo, part = own_tempo, own_part
        near = np.repeat(self._near[tempo], space.periods)
        near *= np.abs((space.phase - (part + 0.5) / PHASES + 0.5) % 1.0 - 0.5) < 1.5 / PHASES
        weight = self._belief * near
        total = float(weight.sum()) + 1e-12
        period = float(weight @ space.period) / total / HOP_RATE
        turn = complex(weight @ self._circle)
        phase = math.atan2(turn.imag, turn.real) / (2.0 * math.pi) + LATENCY / period
        if leave:
            self._period, self._phase = period, phase % 1.0
            self._bar.forget()
        elif total > 1e-6:
            self._period *= (period / self._period) ** PERIOD_PULL
            self._phase += PHASE_PULL * ((phase - self._phase + 0.5) % 1.0 - 0.5)
        self._confidence += CONFIDENCE_RATE * (min(1.0, max(best if leave else own, 0.0)) - self._confidence)

    def _coast(self, elapsed: float) -> None:
        """Silence: the beat runs on, trusted less and less; the belief moves with it, and hands off the tempo prior."""
        self._confidence *= math.exp(-elapsed / SILENCE_DECAY)
        if self._by_hand and self._confidence < 0.5:
            self._by_hand = False
            self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)
        for _ in range(HOPS):
            ended = self._belief[self._space.last]
            self._belief[1:] = self._belief[:-1]
            self._belief[self._space.first] = ended


def _flux(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(HOPS, bands): the rise of the compressed mel power over two hops, meant over each of the bands."""
    compressed = 0.5 * np.log1p(COMPRESSION * mel)
    rise = np.maximum(compressed[LAG:] - compressed[LAG - 2 : -2], 0.0)
    sums: npt.NDArray[np.float32] = np.add.reduceat(rise, FLUX_BANDS, axis=1)
    return sums / BAND_SIZES


class _BarFilter:
    """Which beat of the bar it is: Bayes' rule over the bar lengths and positions, beat by beat.

    The evidence is where the low band (the bass drum) is stronger than on other beats.
    """

    LENGTHS = (4, 3)

    def __init__(self) -> None:
        self._beat = 0
        self._accent = 0.0
        self._mean, self._square = 0.0, 0.0
        self._held = False
        self.forget()

    def forget(self) -> None:
        """Nothing is known of the bar."""
        self._belief = [
            np.full(length, share / length) for length, share in zip(self.LENGTHS, (0.85, 0.15), strict=True)
        ]
        self._held = False

    def set_downbeat(self, beats_from_now: int) -> None:
        """The beat so many beats after the current one begins a bar."""
        for belief in self._belief:
            total = belief.sum()
            belief[:] = 0.01 * total / len(belief)
            belief[-beats_from_now % len(belief)] += 0.99 * total
        self._held = True

    def hear(self, before: float, after: float, flux: npt.NDArray[np.float32]) -> None:
        """One block: the phase (beats) ran from ``before`` in [0, 1) to ``after``, which is 1 or more past a beat."""
        if after >= 1.0:
            self._belief = [np.roll(belief, 1) for belief in self._belief]
        onset = float(flux[:, 0].max())
        near = abs((after + 0.5) % 1.0 - 0.5) < 0.2
        if near:
            self._accent = max(self._accent, onset)
        if before % 1.0 < 0.4 <= after % 1.0:
            self._weigh(self._accent)
            self._accent = 0.0

    def _weigh(self, accent: float) -> None:
        """The beat that just was had this accent; the belief points at that beat."""
        self._mean += 0.1 * (accent - self._mean)
        self._square += 0.1 * (accent * accent - self._square)
        if self._held:
            return
        spread = math.sqrt(max(self._square - self._mean**2, 0.0)) + 0.2 * self._mean + 1e-3
        score = min(max((accent - self._mean) / spread, -2.0), 2.0)
        for belief in self._belief:
            pattern = np.full(len(belief), -0.4)
            pattern[0] = 1.0
            if len(belief) == 4:
                pattern[2] = 0.5
            belief *= np.exp(0.5 * score * pattern)
        total = sum(belief.sum() for belief in self._belief)
        for belief in self._belief:
            belief /= total
            belief += 0.02 * (belief.mean() - belief)

    def state(self) -> tuple[int, int, float]:
        """Beat in the bar (0 …), beats per bar, confidence in both."""
        belief = max(self._belief, key=lambda belief: float(belief.max()))
        position = int(belief.argmax())
        certain = (float(belief[position]) - 1.0 / len(belief)) / (1.0 - 1.0 / len(belief))
        return position, len(belief), max(0.0, certain)
