"""The default beat tracker: a bar pointer over a learned beat activation, read out through a smooth oscillator.

The beat network (:mod:`~dancerev.realtime.beat.beat_network`) gives, 60 times a second, the probabilities of a beat and
of a downbeat. The bar pointer (:mod:`~dancerev.realtime.beat.bar_pointer`) turns them into a belief over tempo, metre
and position in the bar (Böck, Krebs & Widmer, ISMIR 2016). Only the forward algorithm runs, so nothing waits for the
future.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dancerev.model.features import BeatState

from ..spectrum import HOP_RATE, HOPS, LAG, MELS, SpectralBlock
from .bar_pointer import (
    BEAT_OF,
    FASTEST_BPM,
    METRE_OF,
    METRES,
    PARTS,
    POSITIONS,
    PRIOR_BPM,
    PRIOR_OCTAVES,
    RESTART,
    SLOWEST_BPM,
    BarSpace,
)
from .beat_network import DELAY, STEPS, BeatNetwork
from .tap import TapTempo
from .tracker import FORGET_BELOW, MAX_BPM, MIN_BPM, BeatTracker

FloatArray = npt.NDArray[np.float32]

PRIOR_RATE = 1.0
"""Per second: how strongly the tempo prior acts while the music goes on."""

BEAT_POWER, BAR_POWER = 0.5, 1.0
"""Exponents of the likelihood: successive network outputs are not independent evidence."""
BEAT_SHARE, DOWNBEAT_SHARE = 0.05, 0.3
"""Prior probability of a beat per time step, and of a downbeat among beats, over the training music."""
BAR_DOUBT = -1.5
"""Lower bound, in nats, on the evidence about downbeats of one time step."""
BEAT_WIDTH = 1.5
"""Time steps from a beat at which a state no longer belongs to it."""

HYSTERESIS = 2.0
"""How many times likelier another count of the bar must be to be taken."""
LEAVE_UNSURE, LEAVE_SURE = 1.0, 3.0
"""The same for another beat: while the belief in the present one is 0, and while it is 1."""
LEAVE_LEVEL = 25.0
"""The latter for another metrical level, so that a piece is not counted now in halves, now in doubles."""
LEVELS = np.log2([1.5, 2.0, 3.0])
NEAR_LEVEL = 0.1
"""Ratios of tempi that are metrical levels of one music, in octaves, and how near to them a ratio counts as one."""
PERIOD_PULL, PHASE_PULL = 0.15, 0.2  # per frame, of what exceeds the slack
PERIOD_SLACK, PHASE_SLACK = 0.02, 0.025  # of the period; seconds

FLUX_COMPRESSION = 100.0  # amplitude of a mel band is logarithmic down to 20 dB below the loud level, linear below
FLUX_BANDS = ((0, 1), (3, 20), (28, 40))  # mel bands: bass drum and bass; snare and chords; hats
LOUDNESS_RATE = 1.0 / 60.0  # per frame: 4 s
FLUX_FLOOR = 3e-3
ONSET_MIDDLE = 1.5  # flux, in root mean squares of it, above which there is an onset
LOW_SLOPE = 1.2  # nats by which the evidence of a low onset grows per root mean square of its flux
LOW_NONE, LOW_SURE = 0.08, 30.0  # likelihood ratio of an onset, at least and at most
LOW_ON_BEAT, LOW_ON_HALF, LOW_ELSEWHERE = 0.4, 0.1, 0.12
"""Probability of a low onset, such as a bass drum's, on a beat, in the middle between two and elsewhere."""
LOW_POWER = 1.0
"""Exponent of that likelihood."""
ONSET_LATENCY = 0.0165  # seconds from an onset to the spectrum in which its flux is largest
AIM = 0.05  # seconds about a beat in which an onset corrects its time
AIM_LEAST = 1.0  # flux, in root mean squares of it beyond ONSET_MIDDLE, below which no onset corrects anything
RECENT = 3 * HOPS
AGES = np.arange(RECENT - 1, -1, -1, dtype=np.float32) / HOP_RATE
AIM_PHASE, AIM_PERIOD = 0.3, 0.06  # share of that error by which phase and period are corrected

CONFIDENCE_RATE = 0.1  # per frame
CALIBRATION = (0.7, 0.0)
"""Slope and offset in log-odds, from the belief in the beat to the probability that it is right: a logistic fit on the
validation set."""
SILENCE_DECAY = 4.0  # seconds
MAX_NUDGE = 0.5  # seconds

IMPOSED_OCTAVES, IMPOSED_PHASE = 0.03, 0.05
IMPOSED_PRIOR_OCTAVES = 0.2

BAR_OFFSETS = np.array([[int(np.flatnonzero(metre == METRE_OF)[0])] for metre in METRES])


class BarPointerTracker(BeatTracker):
    """Follow every tempo between ``min_bpm`` and ``max_bpm``, every phase and every metre at once.

    The dancer sees the likeliest of them, and leaves it only when another is clearly likelier, so that near ties do
    not flicker.

    Raises:
        ValueError: if the tempo range is empty, or exceeds SLOWEST_BPM … FASTEST_BPM.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM) -> None:
        self.check_range(min_bpm, max_bpm)
        self._space = space = BarSpace(min_bpm, max_bpm)
        ends = space.start[:, -1] + space.lengths[:, -1]
        self._near_states = [
            slice(int(space.start[near[0], 0]), int(ends[near[-1]])) for near in map(np.flatnonzero, space.near)
        ]
        part = np.arange(PARTS)
        distance = np.abs((part[:, None] - part + PARTS // 2) % PARTS - PARTS // 2)
        self._near_part = (distance <= 1).astype(np.float32)
        self._close, self._shares = space.near_beats(BEAT_WIDTH)
        self._late_low = np.float32(1.0)
        self._network = BeatNetwork()
        self._band_means = np.zeros((MELS, len(FLUX_BANDS)), dtype=np.float32)
        for band, (low, high) in enumerate(FLUX_BANDS):
            self._band_means[low:high, band] = 1.0 / (high - low)
        self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)
        self._belief: FloatArray = self._restart / self._restart.sum()
        self._next: FloatArray = np.empty_like(self._belief)
        self._loudness = np.full(len(FLUX_BANDS), 0.05, dtype=np.float32)
        self._recent = np.zeros(RECENT, dtype=np.float32)
        self._time = 0.0
        self._phase = 0.0
        self._period = min(max(60.0 / PRIOR_BPM, 60.0 / max_bpm), 60.0 / min_bpm)
        self._raw_confidence = 0.0
        self._confidence = 0.0
        self._aimed = True
        self._aims = 1
        self._beat_in_bar, self._beats_per_bar = 0, 4
        self._bar_confidence = 0.0
        self._bar_by_hand = False
        self._tempo_by_hand = False
        self._taps = TapTempo(min_bpm, max_bpm)
        self._held = False
        self._nudge = 0.0

    @staticmethod
    def check_range(min_bpm: float, max_bpm: float) -> None:
        """Raise ValueError where the tempo range is empty, or exceeds SLOWEST_BPM … FASTEST_BPM."""
        if not SLOWEST_BPM <= min_bpm < max_bpm <= FASTEST_BPM:
            allowed = f"{SLOWEST_BPM:g} <= lowest < highest <= {FASTEST_BPM:g}"
            raise ValueError(f"tempo range {min_bpm:g}-{max_bpm:g} BPM: give {allowed}")

    def update(self, block: SpectralBlock) -> BeatState:
        """Process the block and return the state of the beat at its end."""
        return self._follow(block, self._network.process(block.mel))

    def _follow(self, block: SpectralBlock, log_probabilities: FloatArray) -> BeatState:
        elapsed = block.time - self._time
        self._time = block.time
        self._move_on(elapsed / self._period)
        if block.activity > 0.0:
            low = _low_evidence(self._detect_onsets(block.mel))
            for evidence in np.concatenate([_evidence(log_probabilities), low], axis=1):
                self._step(evidence)
            self._belief /= self._belief.sum()
            self._belief += self._restart
            self._aim()
            self._lock(self._belief)
        else:
            for _ in range(STEPS):
                self._step(None)
            self._belief /= self._belief.sum()
            self._rest(elapsed)
        beats = self._phase - self._nudge / self._period
        return BeatState(
            time=block.time,
            phase=beats % 1.0,
            period=self._period,
            confidence=self._confidence,
            beat_in_bar=(self._beat_in_bar + math.floor(beats)) % self._beats_per_bar,
            beats_per_bar=self._beats_per_bar,
            bar_confidence=self._bar_confidence * self._confidence,
        )

    def tap(self, time: float) -> None:
        """Take a tap on a beat at ``time`` (seconds of audio); three taps set tempo and phase.

        The tempo then stays near the tapped one until the music stops.
        """
        tapped = self._taps.add(time)
        if tapped is not None:
            beat, period = tapped
            self._impose(period, (self._time - beat) / period)

    def set_downbeat(self, time: float) -> None:
        """Make the beat nearest to ``time`` (seconds of audio) begin a bar, until the music stops."""
        self._beat_in_bar = -round(self._phase + (time - self._time) / self._period) % self._beats_per_bar
        self._bar_by_hand, self._bar_confidence = True, 1.0

    def scale_tempo(self, factor: float) -> bool:
        """Halve (0.5) or double (2) the tempo until the music stops; return False if it is out of range.

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

    def hold_tempo(self, on: bool) -> None:
        """Keep the tempo as it is while ``on``, whatever the music does; the phase still follows."""
        self._held = on

    def nudge(self, seconds: float) -> None:
        """Move the beats later by ``seconds``, or earlier where that is negative, until the music stops."""
        self._nudge = min(max(self._nudge + seconds, -MAX_NUDGE), MAX_NUDGE)

    def _set_prior(self, bpm: float, octaves: float) -> None:
        """Prefer tempi around ``bpm``: a lost beat is searched there, and near ties are decided by it."""
        state, bias = self._space.prior(bpm, octaves, PRIOR_RATE)
        self._prior = state
        self._restart = (RESTART * STEPS * state).astype(np.float32)
        self._bias = bias[:, None]

    def _impose(self, period: float, beats: float) -> None:
        """Concentrate belief and tempo prior on a period (seconds) and a position in the bar (beats)."""
        space = self._space
        period = min(max(period, float(space.periods[0])), float(space.periods[-1]))
        hidden = beats - DELAY / period
        tempo = np.log2(space.period / period) / IMPOSED_OCTAVES
        phase = ((space.beat - hidden + 0.5) % 1.0 - 0.5) / IMPOSED_PHASE
        self._set_prior(60.0 / period, IMPOSED_PRIOR_OCTAVES)
        belief = np.exp(-0.5 * (tempo**2 + phase**2)) * self._prior
        self._belief[:] = belief / belief.sum()
        self._period, self._phase = period, beats % 1.0
        self._beat_in_bar = math.floor(beats) % self._beats_per_bar
        self._raw_confidence = max(self._raw_confidence, 0.5)
        self._confidence = max(self._confidence, 0.5)
        self._tempo_by_hand, self._bar_by_hand = True, False

    def _move_on(self, beats: float) -> None:
        self._phase += beats
        self._aimed = self._aimed and self._phase < 1.0
        self._beat_in_bar = (self._beat_in_bar + math.floor(self._phase)) % self._beats_per_bar
        self._phase %= 1.0

    def _detect_onsets(self, mel: FloatArray) -> FloatArray:
        """Append the onset strength of each hop to the recent ones.

        Returns:
            (STEPS,) likelihood ratio of a low onset, such as a bass drum's, delayed as the network's output is.
        """
        compressed = 0.5 * np.log1p(FLUX_COMPRESSION * mel)
        rise = np.maximum(compressed[LAG:] - compressed[LAG - 2 : -2], 0.0)
        flux = rise @ self._band_means
        self._loudness += LOUDNESS_RATE * ((flux * flux).mean(axis=0) - self._loudness)
        flux /= np.sqrt(self._loudness) + FLUX_FLOOR
        self._recent[:-HOPS] = self._recent[HOPS:]
        self._recent[-HOPS:] = np.maximum(flux - ONSET_MIDDLE, 0.0).sum(axis=1)
        low = flux[:, 0].reshape(STEPS, -1).max(axis=1)
        ratio = np.clip(np.exp(LOW_SLOPE * (low - ONSET_MIDDLE)), LOW_NONE, LOW_SURE)
        late = np.append(self._late_low, ratio[:-1])
        self._late_low = ratio[-1]
        return late

    def _step(self, evidence: FloatArray | None) -> None:
        """Run one time step of the forward algorithm, but for the norm.

        Args:
            evidence: (2,) log-likelihood ratio of a downbeat, and of another beat; None in silence.
        """
        space, old, new = self._space, self._belief, self._next
        new[1:] = old[:-1]
        new[space.first] = (self._bias * (space.tempo_change @ old[space.before])) @ space.metre_change
        if evidence is not None:
            new[self._close] *= np.exp(evidence @ self._shares)
        self._belief, self._next = new, old

    def _aim(self) -> None:
        """Once after each beat, correct phase and period by where its onset was, as a phase-locked loop does.

        The states are spaced too coarsely, in time and tempo, to resolve milliseconds.
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
        if not self._held:
            self._period += max(AIM_PERIOD, 6.0 / seen) * error

    def _lock(self, belief: FloatArray) -> None:
        """Pull the oscillator to the likeliest beat, or move it there if that is another and clearly likelier.

        Args:
            belief: (states,) probabilities.
        """
        space = self._space
        mass = np.add.reduceat(belief, space.parts).reshape(-1, POSITIONS, PARTS)
        around = space.near @ mass.sum(axis=1) @ self._near_part
        if self._held:
            around *= space.near[int(np.abs(space.periods - self._period).argmin())][:, None]
        tempo, part = divmod(int(around.argmax()), PARTS)
        best = float(around[tempo, part])
        hidden = self._phase - DELAY / self._period
        own_tempo = int(np.abs(space.periods - self._period).argmin())
        own_part = int(hidden % 1.0 * PARTS) % PARTS
        own = float(around[own_tempo, own_part])
        sure = LEAVE_LEVEL if _is_level(float(space.periods[tempo]) / self._period) else LEAVE_SURE
        leave = best > (LEAVE_UNSURE + (sure - LEAVE_UNSURE) * self._raw_confidence) * own
        if not leave:
            tempo, part = own_tempo, own_part
        states = self._near_states[tempo]
        near = self._near_part[part][space.part[states]] * belief[states]
        total, period, cosine, sine = (space.moments[:, states] @ near).tolist()
        if total > 1e-9:
            period /= total
            phase = math.atan2(sine, cosine) / (2.0 * math.pi) + DELAY / period
            if leave:
                self._period = self._period if self._held else period
                self._phase, self._bar_by_hand = phase % 1.0, False
                self._aimed, self._aims = self._phase > 0.5, 1
            else:
                pull = 0.0 if self._held else PERIOD_PULL
                self._period *= math.exp(pull * _beyond(math.log(period / self._period), PERIOD_SLACK))
                error = (phase - self._phase + 0.5) % 1.0 - 0.5
                self._move_on(PHASE_PULL * _beyond(error, PHASE_SLACK / self._period))
        self._raw_confidence += CONFIDENCE_RATE * (min(1.0, best if leave else own) - self._raw_confidence)
        self._confidence = _calibrated(self._raw_confidence)
        if not self._bar_by_hand:
            bar = np.tensordot(space.near[tempo], mass @ self._near_part[part], axes=1)
            self._count_bar(bar / (bar.sum() + 1e-12), leave)

    def _count_bar(self, bar: FloatArray, restart: bool) -> None:
        """Follow the likeliest metre and beat in the bar, with hysteresis.

        Args:
            bar: (POSITIONS,) probability of each beat of each metre.
            restart: whether the beat itself is another than before.
        """
        ahead = math.floor(self._phase - DELAY / self._period)  # −1 where the delayed pointer is a beat behind
        own = self._position(ahead)
        best = int(bar.argmax())
        if restart or bar[best] > HYSTERESIS * bar[own]:
            self._beats_per_bar = int(METRE_OF[best])
            self._beat_in_bar = (int(BEAT_OF[best]) - ahead) % self._beats_per_bar
            own = best
        sure = max(0.0, (float(bar[own]) - 0.25) / 0.75)
        self._bar_confidence += CONFIDENCE_RATE * (sure - self._bar_confidence)

    def _position(self, ahead: int) -> int:
        """Return the index among POSITIONS of the beat ``ahead`` beats from the present one."""
        metre = METRES.index(self._beats_per_bar)
        return int(BAR_OFFSETS[metre, 0]) + (self._beat_in_bar + ahead) % self._beats_per_bar

    def _rest(self, elapsed: float) -> None:
        """In silence the beat runs on with falling confidence; settings by hand are forgotten after a while."""
        decay = math.exp(-elapsed / SILENCE_DECAY)
        self._confidence *= decay
        self._raw_confidence *= decay
        if self._confidence < FORGET_BELOW:
            self._bar_by_hand = False
            self._nudge = 0.0
            if self._tempo_by_hand:
                self._tempo_by_hand = False
                self._set_prior(PRIOR_BPM, PRIOR_OCTAVES)


def _is_level(ratio: float) -> bool:
    """Return whether one of two periods, whose ratio this is, may be another metrical level of the other."""
    return bool((np.abs(abs(math.log2(ratio)) - LEVELS) < NEAR_LEVEL).any())


def _beyond(value: float, slack: float) -> float:
    """Return what of ``value`` exceeds ±``slack``."""
    return value - min(max(value, -slack), slack)


def _calibrated(belief: float) -> float:
    """Return the probability that the beat is right, from the belief in it."""
    slope, offset = CALIBRATION
    clipped = min(max(belief, 1e-6), 1.0 - 1e-6)
    return 1.0 / (1.0 + math.exp(-slope * math.log(clipped / (1.0 - clipped)) - offset))


def _evidence(log_probabilities: FloatArray) -> FloatArray:
    """Return the log-likelihoods (STEPS, 2) of a downbeat and of another beat, relative to between beats.

    Args:
        log_probabilities: (STEPS, classes) of no beat, beat and downbeat.
    """
    none, other, down = log_probabilities.T
    beat = np.logaddexp(other, down)
    on = BEAT_POWER * (beat - math.log(BEAT_SHARE) - none + math.log(1.0 - BEAT_SHARE))
    kind = np.stack([down - math.log(DOWNBEAT_SHARE), other - math.log(1.0 - DOWNBEAT_SHARE)], axis=1)
    evidence: FloatArray = on[:, None] + BAR_POWER * np.maximum(kind - beat[:, None], BAR_DOUBT)
    return evidence.astype(np.float32, copy=False)


def _low_evidence(ratio: FloatArray) -> FloatArray:
    """Return the log-likelihoods (STEPS, 2) of low onsets on a beat and half-way between, relative to elsewhere."""
    beat, half, elsewhere = (
        np.log(1.0 + chance * (ratio - 1.0)) for chance in (LOW_ON_BEAT, LOW_ON_HALF, LOW_ELSEWHERE)
    )
    return np.asarray(LOW_POWER * np.stack([beat - elsewhere, half - elsewhere], axis=1), dtype=np.float32)
