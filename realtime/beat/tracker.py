"""Where the beat is, heard causally: phase, tempo, the next beat, and the bar where the music shows it.

The tracker is a bar pointer (:mod:`~dancerev.realtime.beat.bar_pointer`) that knows rhythmic patterns too (Whiteley,
Cemgil & Godsill, ISMIR 2006): a pattern may change at a bar. Only the forward algorithm runs, so nothing waits for
the future. It observes two things. One are the beats and downbeats that a small learned network hears (Böck, Krebs &
Widmer, ISMIR 2016; :mod:`~dancerev.realtime.beat.beat_network`), the other is the rise of power (spectral flux) in a
low, a middle and a high band, of which the PATTERNS say what to expect. What tells a beat from an off-beat, and a
tempo from its double, is what the network knows of rhythms, and where bass drum and snare fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dancerev.model.features import BeatState

from ..spectrum import HOP_RATE, HOPS, LAG, MELS, SpectralBlock
from .bar_pointer import BEATS, FASTEST_BPM, PARTS, PRIOR_BPM, PRIOR_OCTAVES, RESTART, SLOWEST_BPM, BarSpace
from .beat_network import DELAY, RATE, STEPS, BeatNetwork

FloatArray = npt.NDArray[np.float32]

MIN_BPM, MAX_BPM = 55.0, 215.0

_PATTERNS = (
    # backbeat
    (0.15, "800303 610301 600311 720100", "100000 900000 010000 900000", "200100 900100 200100 900100"),
    # sparse
    (0.09, "600111 600100 600211 300310", "100100 400100 400211 100401", "200100 300100 400111 000300"),
    # shuffle
    (0.06, "611031 301041 411151 412131", "301020 301130 312040 512041", "400030 401140 412030 511131"),
    # busy
    (0.06, "711312 610412 531413 642412", "332312 831314 452413 852514", "411301 720303 431412 631413"),
    # syncopated
    (0.05, "600314 010500 410214 500201", "100300 020200 110101 810102", "200200 110200 210100 800101"),
    # plain beat
    (0.30, "611211 611211 611211 611211", "511211 511211 511211 511211", "611411 611411 611411 611411"),
    # four on the floor
    (0.20, "900200 900200 900200 900200", "400300 600300 400300 600300", "400600 600600 400600 600600"),
    # metronome
    (0.10, "900000 900000 900000 900000", "900000 900000 900000 900000", "900000 900000 900000 900000"),
)
"""Rhythms of popular music in bars of four beats: the share of bars that have them, then, for the low, middle and high
band, how often there is an onset, in tenths (9: nearly always), at six places of each beat: on it, after 1/4, 1/3,
1/2, 2/3 and 3/4 of it. The last three are made up; the others come from a mixture of Bernoulli distributions over 2,063
bars of the Groove MIDI Dataset (Gillick et al., ICML 2019; Google, CC BY 4.0), as its most frequent components. Eight
make rows of 32 bytes, which NumPy fetches twice as fast as longer ones."""

PLACES = np.array([(beat + place) / 4 for beat in range(4) for place in (0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4)])
PATTERN_SHARES = np.array([share for share, *_ in _PATTERNS]) / sum(share for share, *_ in _PATTERNS)
PATTERNS = np.array([[[int(d) for d in row.replace(" ", "")] for row in rows] for _, *rows in _PATTERNS]) / 10.0
"""(patterns, bands, PLACES) chance of an onset."""

PATTERN_CHANGE = 0.05  # per bar
PRIOR_RATE = 2.0  # per second: how strongly the preference for a tempo acts

COMPRESSION = 100.0  # amplitude of a mel band is logarithmic down to 20 dB under the loud level, linear below
FLUX_BANDS = ((0, 1), (3, 20), (28, 40))  # mel bands: bass drum and bass; snare, chords; hats
BAND_POWERS = np.array([0.4, 0.4, 0.2], dtype=np.float32)  # steps and bands are not quite independent evidence
LOUDNESS_RATE = 1.0 / 60.0  # per frame: 4 s
FLUX_FLOOR = 3e-3
ONSET_MIDDLE, ONSET_SLOPE = 1.5, 1.2  # flux, in root mean squares of it, that is no evidence; evidence grows from there
ONSET_NO, ONSET_YES = 0.08, 30.0  # as far as it is believed
ONSET_WIDTH = 0.018  # seconds, standard deviation of an onset about its place
DISTANCES = 6  # in half steps; from the last on the onset does not belong to the place
CHANCE_ANYWHERE = 0.03  # of an onset, per step

BEAT_POWER, BAR_POWER = 0.35, 0.35  # steps are not independent evidence, for the network remembers
BEAT_SHARE = 0.05  # of the steps are beats, in the mean over the music that the network learned from
BAR_DOUBT = -1.5  # the least that the network's word on downbeats counts for, in nats
WIDTH = 3  # half steps from a beat at which a step is none any more, as in the network's training

HYSTERESIS = 2.0  # how much likelier another count of the bar must be; another beat, from 1 while unsure to 3 when sure
PERIOD_PULL, PHASE_PULL = 0.15, 0.2  # per frame, for what exceeds:
PERIOD_SLACK, PHASE_SLACK = 0.02, 0.025  # of the period; seconds
ONSET_LATENCY = 0.0165  # seconds from an onset to the spectrum in which its flux is largest
AIM = 0.05  # seconds about a beat in which an onset shows where it was
AIM_LEAST = 1.0  # flux, in root mean squares of it, beyond ONSET_MIDDLE; below, no onset shows anything
RECENT = 3 * HOPS
AGES = np.arange(RECENT - 1, -1, -1, dtype=np.float32) / HOP_RATE
AIM_PHASE, AIM_PERIOD = 0.3, 0.06  # share of that error by which phase and period are corrected
CONFIDENCE_RATE = 0.1  # per frame
SILENCE_DECAY = 4.0  # seconds
FORGET_BELOW = 0.3  # confidence

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

    def scale_tempo(self, factor: float) -> bool:
        """Half (0.5) or double (2) the tempo, and stay there until the music stops; False if it is out of range."""

    def hold_tempo(self, on: bool) -> None:
        """Keep the tempo as it is while ``on``, whatever the music does; the phase still follows."""
        return

    def nudge(self, seconds: float) -> None:
        """Move the beats later by ``seconds``, or earlier where that is negative."""
        return

    def attach(self, heard_at: Callable[[float], float]) -> None:
        """Follow the clock of the show: ``heard_at`` maps seconds of audio to ``time.perf_counter()`` seconds."""
        return

    def close(self) -> None:
        """Let go of ports and threads; harmless when repeated."""
        return


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


class BarPointerTracker(BeatTracker):
    """The default tracker: a bar pointer over flux and a learned activation, read out through a smooth oscillator.

    Every tempo between ``min_bpm`` and ``max_bpm`` and every phase is followed at once. The dancer sees the likeliest
    of them, and leaves it only when another is clearly likelier, so that near ties do not flicker.

    Raises:
        ValueError: if the range of tempi is empty, or reaches beyond SLOWEST_BPM … FASTEST_BPM.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM) -> None:
        self.check_range(min_bpm, max_bpm)
        self._space = space = BarSpace(min_bpm, max_bpm)
        self._cell = _cells(space)
        ends = space.start + space.bars
        self._near_states = [
            slice(int(space.start[near[0]]), int(ends[near[-1]])) for near in map(np.flatnonzero, space.near)
        ]
        part = np.arange(PARTS)
        distance = np.abs((part[:, None] - part + PARTS // 2) % PARTS - PARTS // 2)
        self._near_part = (distance <= 1).astype(np.float32)
        self._chances, expected = np.unique(_expected_onsets(), return_inverse=True)
        self._expected = expected.reshape(len(FLUX_BANDS), -1, len(PATTERN_SHARES))
        self._network = BeatNetwork()
        self._band_means = np.zeros((MELS, len(FLUX_BANDS)), dtype=np.float32)
        for band, (low, high) in enumerate(FLUX_BANDS):
            self._band_means[low:high, band] = 1.0 / (high - low)
        self._late = np.ones(len(FLUX_BANDS), dtype=np.float32)
        self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)
        self._every_pattern = np.ones(len(PATTERN_SHARES), dtype=np.float32)
        self._shares = PATTERN_SHARES.astype(np.float32)
        self._belief: FloatArray = self._restart / self._restart.sum()
        self._next: FloatArray = np.empty_like(self._belief)
        self._likelihood: FloatArray = np.empty_like(self._belief)
        self._loudness = np.full(len(FLUX_BANDS), 0.05, dtype=np.float32)
        self._time = 0.0
        self._phase = 0.0
        self._period = min(max(60.0 / PRIOR_BPM, 60.0 / max_bpm), 60.0 / min_bpm)
        self._confidence = 0.0
        self._recent = np.zeros(RECENT, dtype=np.float32)
        self._aimed = True
        self._aims = 1
        self._beat_in_bar = 0
        self._bar_confidence = 0.0
        self._bar_by_hand = False
        self._tempo_by_hand = False
        self._taps = TapTempo(min_bpm, max_bpm)

    @staticmethod
    def check_range(min_bpm: float, max_bpm: float) -> None:
        """ValueError where the range of tempi is empty, or reaches beyond SLOWEST_BPM … FASTEST_BPM."""
        if not SLOWEST_BPM <= min_bpm < max_bpm <= FASTEST_BPM:
            allowed = f"{SLOWEST_BPM:g} <= lowest < highest <= {FASTEST_BPM:g}"
            raise ValueError(f"tempo range {min_bpm:g}-{max_bpm:g} BPM: give {allowed}")

    def update(self, block: SpectralBlock) -> BeatState:
        """Hears the block and tells what is known of the beat at its end."""
        elapsed = block.time - self._time
        self._time = block.time
        self._move_on(elapsed / self._period)
        heard = self._network.process(block.mel)
        if block.activity > 0.0:
            for chance in self._chances_heard(self._onsets(block.mel), heard):
                self._step(chance)
            states = self._belief @ self._every_pattern
            total = states.sum()
            self._belief /= total
            self._belief += self._restart
            self._aim()
            self._lock(states / total + self._restarting)
        else:
            for _ in range(STEPS):
                self._step(None)
            self._belief /= self._belief.sum()
            self._rest(elapsed)
        return BeatState(
            time=block.time,
            phase=self._phase,
            period=self._period,
            confidence=self._confidence,
            beat_in_bar=self._beat_in_bar,
            bar_confidence=self._bar_confidence * self._confidence,
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
        """ "This is the one": the beat nearest to ``time`` (seconds of audio) begins a bar, until the music stops."""
        self._beat_in_bar = -round(self._phase + (time - self._time) / self._period) % 4
        self._bar_by_hand, self._bar_confidence = True, 1.0

    def scale_tempo(self, factor: float) -> bool:
        """Half (0.5) or double (2) the tempo, and stay there until the music stops; False if it is out of range.

        Raises:
            ValueError: if ``factor`` is neither 0.5 nor 2.
        """
        if factor not in (0.5, 2.0):
            raise ValueError(f"the tempo can be halved (0.5) or doubled (2), not scaled by {factor:g}")
        periods = self._space.periods
        if not periods[0] * 0.99 <= self._period / factor <= periods[-1] * 1.01:
            return False
        self._impose(self._period / factor, (self._beat_in_bar + self._phase) * factor)
        return True

    def _set_prior(self, bpm: float, octaves: float) -> None:
        """A preference for tempi around ``bpm``: where a lost beat is looked for, and what near ties are decided by."""
        state, bias = self._space.prior(bpm, octaves, PRIOR_RATE)
        self._restart = (RESTART * STEPS * state[:, None] * PATTERN_SHARES).astype(np.float32)
        self._restarting: FloatArray = self._restart.sum(axis=1)
        self._bias = bias[:, None]

    def _impose(self, period: float, beats: float) -> None:
        """Puts the belief around a period (seconds) and a position in the beat, and the tempo prior too."""
        space = self._space
        period = min(max(period, float(space.periods[0])), float(space.periods[-1]))
        hidden = beats - DELAY / period
        tempo = np.log2(space.period / period) / IMPOSED_OCTAVES
        phase = ((space.beat - hidden + 0.5) % 1.0 - 0.5) / IMPOSED_PHASE
        belief = np.exp(-0.5 * (tempo**2 + phase**2))[:, None] * PATTERN_SHARES
        self._set_prior(60.0 / period, IMPOSED_PRIOR_OCTAVES)
        self._belief[:] = belief / belief.sum()
        self._period, self._phase, self._beat_in_bar = period, beats % 1.0, math.floor(beats) % 4
        self._confidence = max(self._confidence, 0.5)
        self._tempo_by_hand, self._bar_by_hand = True, False

    def _move_on(self, beats: float) -> None:
        self._phase += beats
        self._aimed = self._aimed and self._phase < 1.0
        self._beat_in_bar = (self._beat_in_bar + math.floor(self._phase)) % 4
        self._phase %= 1.0

    def _onsets(self, mel: FloatArray) -> FloatArray:
        """(STEPS, bands): evidence of an onset, as the ratio of the chances of such a flux with and without one.

        It is a step old, and so as late as the network.
        """
        compressed = 0.5 * np.log1p(COMPRESSION * mel)
        rise = np.maximum(compressed[LAG:] - compressed[LAG - 2 : -2], 0.0)
        flux = rise @ self._band_means
        self._loudness += LOUDNESS_RATE * ((flux * flux).mean(axis=0) - self._loudness)
        flux /= np.sqrt(self._loudness) + FLUX_FLOOR
        self._recent[:-HOPS] = self._recent[HOPS:]
        self._recent[-HOPS:] = np.maximum(flux - ONSET_MIDDLE, 0.0).sum(axis=1)
        strongest = flux.reshape(STEPS, -1, len(FLUX_BANDS)).max(axis=1)
        onsets = np.clip(np.exp(ONSET_SLOPE * (strongest - ONSET_MIDDLE)), ONSET_NO, ONSET_YES)
        late = np.concatenate([self._late[None], onsets[:-1]])
        self._late = onsets[-1]
        return late

    def _chances_heard(self, onsets: FloatArray, heard: FloatArray) -> FloatArray:
        """(STEPS, cells, patterns): how likely what was heard is in each cell of the bar, but for a constant.

        Args:
            onsets: (STEPS, bands) as :meth:`_onsets` gives them.
            heard: (STEPS, classes) log-probabilities, as the network gives them.
        """
        evidence = np.log(1.0 + self._chances * (onsets.T[:, :, None] - 1.0)) * BAND_POWERS[:, None, None]
        low, middle, high = (np.take(*band, axis=1) for band in zip(evidence, self._expected, strict=True))
        chances: FloatArray = np.exp(low + middle + high + _network_evidence(heard))
        return chances

    def _step(self, chance: FloatArray | None) -> None:
        """One step of the forward algorithm, but for the norm.

        Args:
            chance: (cells, patterns) as :meth:`_chances_heard` gives it, or None in silence.
        """
        space, old, new = self._space, self._belief, self._next
        patterns = old.shape[1]
        ended = old[space.before].reshape(len(space.bars), -1)
        entered = (self._bias * (space.change @ ended)).reshape(-1, 4, patterns)
        if chance is None:
            new[1:] = old[:-1]
            new[space.first] = entered
        else:
            begun = entered[:, 0]
            begun += PATTERN_CHANGE * ((begun @ self._every_pattern)[:, None] * self._shares - begun)
            np.take(chance, self._cell, axis=0, out=self._likelihood, mode="clip")
            np.multiply(old[:-1], self._likelihood[1:], out=new[1:])
            new[space.first] = entered * self._likelihood[space.first]
        self._belief, self._next = new, old

    def _aim(self) -> None:
        """Once after each beat: corrects phase and period by where its onset was, as a phase-locked loop does.

        The belief is spaced too coarsely, in time and tempo, to tell milliseconds.
        """
        since = self._phase * self._period
        if self._aimed or since < AIM + ONSET_LATENCY:
            return
        self._aimed = True
        onset = since - ONSET_LATENCY - AGES  # seconds after the beat at which the onset of each recent hop was
        weight = self._recent * (np.abs(onset) < AIM)
        total = float(weight.sum())
        if total < AIM_LEAST:
            return
        error = float(weight @ onset) / total
        self._aims += 1
        seen = (self._aims + 1) * (self._aims + 2)  # gains of the least-squares line through all beats since the lock
        self._phase -= max(AIM_PHASE, (4 * self._aims + 2) / seen) * error / self._period
        self._period += max(AIM_PERIOD, 6.0 / seen) * error

    def _lock(self, belief: FloatArray) -> None:
        """Draws the oscillator to the likeliest beat, or moves it there if that is another and clearly likelier.

        Args:
            belief: (states,) whatever the pattern.
        """
        space = self._space
        mass = np.add.reduceat(belief, space.parts).reshape(-1, 4, PARTS)
        around = space.near @ mass.sum(axis=1) @ self._near_part
        tempo, part = divmod(int(around.argmax()), PARTS)
        best = float(around[tempo, part])
        hidden = self._phase - DELAY / self._period
        own_tempo = int(np.abs(space.periods - self._period).argmin())
        own_part = int(hidden % 1.0 * PARTS) % PARTS
        own = float(around[own_tempo, own_part])
        leave = best > (1.0 + HYSTERESIS * self._confidence) * own
        if not leave:
            tempo, part = own_tempo, own_part
        states = self._near_states[tempo]
        near = self._near_part[part][space.part[states]] * belief[states]
        total, period, cosine, sine = (space.moments[:, states] @ near).tolist()
        if total > 1e-9:
            period /= total
            phase = math.atan2(sine, cosine) / (2.0 * math.pi) + DELAY / period
            if leave:
                self._period, self._phase, self._bar_by_hand = period, phase % 1.0, False
                self._aimed, self._aims = self._phase > 0.5, 1
            else:
                self._period *= math.exp(PERIOD_PULL * _beyond(math.log(period / self._period), PERIOD_SLACK))
                error = (phase - self._phase + 0.5) % 1.0 - 0.5
                self._move_on(PHASE_PULL * _beyond(error, PHASE_SLACK / self._period))
        self._confidence += CONFIDENCE_RATE * (min(1.0, best if leave else own) - self._confidence)
        if not self._bar_by_hand:
            beats = np.tensordot(self._space.near[tempo], mass @ self._near_part[part], axes=1)
            self._count_bar(beats / (beats.sum() + 1e-12), leave)

    def _count_bar(self, beats: FloatArray, anew: bool) -> None:
        """``beats`` (4,): how likely the bar pointer is in each beat of the bar. The count follows it reluctantly."""
        ahead = math.floor(self._phase - DELAY / self._period)  # −1 where the pointer, heard late, is a beat behind
        likeliest = (int(beats.argmax()) - ahead) % 4
        if anew or beats.max() > HYSTERESIS * beats[(self._beat_in_bar + ahead) % 4]:
            self._beat_in_bar = likeliest
        sure = max(0.0, (float(beats[(self._beat_in_bar + ahead) % 4]) - 0.25) / 0.75)
        self._bar_confidence += CONFIDENCE_RATE * (sure - self._bar_confidence)

    def _rest(self, elapsed: float) -> None:
        """Silence: the beat runs on, trusted less and less; what was set by hand is forgotten after a while."""
        self._confidence *= math.exp(-elapsed / SILENCE_DECAY)
        if self._confidence < FORGET_BELOW:
            self._bar_by_hand = False
            if self._tempo_by_hand:
                self._tempo_by_hand = False
                self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)


def _beyond(value: float, slack: float) -> float:
    """What of ``value`` exceeds ±``slack``."""
    return value - min(max(value, -slack), slack)


def _cells(space: BarSpace) -> npt.NDArray[np.int64]:
    """(states,) which cell each state is in: the nearest of PLACES × the distance in time from it."""
    away = np.abs(space.position[:, None] / BEATS - np.append(PLACES, 1.0))
    place = away.argmin(axis=1) % len(PLACES)
    distance = np.minimum(np.round(2 * away.min(axis=1) * np.repeat(space.bars, space.bars)), DISTANCES - 1)
    return np.asarray(place * DISTANCES + distance, dtype=np.int64)


def _expected_onsets() -> FloatArray:
    """(bands, CELLS, patterns): the chance of an onset in each cell of the bar; it takes few different values."""
    width = np.exp(-0.5 * (np.arange(DISTANCES) / (2 * RATE) / ONSET_WIDTH) ** 2)
    width[-1] = 0.0
    above = np.maximum(PATTERNS - CHANCE_ANYWHERE, 0.0)  # (patterns, bands, places)
    chance = CHANCE_ANYWHERE + above.transpose(1, 2, 0)[:, :, None] * width[:, None]
    return chance.reshape(len(FLUX_BANDS), -1, len(PATTERN_SHARES)).astype(np.float32)


def _network_evidence(heard: FloatArray) -> FloatArray:
    """(STEPS, cells, 1): log-likelihood, but for a constant, of what the network heard in each cell of the bar.

    Args:
        heard: (STEPS, classes) log-probabilities of no beat, beat and downbeat.
    """
    beat = np.logaddexp(heard[:, 1], heard[:, 2])
    between = BEAT_POWER * (heard[:, 0] - math.log(1.0 - BEAT_SHARE))
    downbeat = heard[:, 2] - math.log(0.25) - beat, heard[:, 1] - math.log(0.75) - beat  # if it is one, and if not
    on = BEAT_POWER * (beat - math.log(BEAT_SHARE)) + BAR_POWER * np.maximum(downbeat, BAR_DOUBT)
    evidence: FloatArray = between[:, None] + (on - between).T @ _BEAT_CELLS
    return evidence[:, :, None].astype(np.float32, copy=False)


def _beat_cells() -> FloatArray:
    """(2, cells): how much of a downbeat, and of another beat, each cell of the bar is."""
    share = np.maximum(1.0 - np.arange(DISTANCES) / WIDTH, 0.0)
    places = np.stack([PLACES == 0.0, (PLACES * 4 % 1 == 0.0) & (PLACES > 0.0)])
    return (places[:, :, None] * share).reshape(2, -1).astype(np.float32)


_BEAT_CELLS = _beat_cells()
