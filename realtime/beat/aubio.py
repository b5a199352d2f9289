"""aubio's beat tracker behind our interface, for comparison and for who trusts it more (``--beat-engine aubio``).

aubio is licensed under the GPL 3, unlike this project, and so is no dependency but the extra ``dancerev[aubio]``.
"""

from __future__ import annotations

import math

import numpy as np

from dancerev.errors import InputError
from dancerev.model.features import BeatState

from ..audio.clock import SAMPLE_RATE
from ..spectrum import SpectralBlock
from .tap import TapTempo
from .tracker import MAX_BPM, MIN_BPM, BeatTracker

HOP = 320
BUFFER = 1024
TRUST = 0.1  # aubio's confidence is the peak of an autocorrelation; from here on it counts as certain
SILENCE_DECAY = 4.0  # seconds


class AubioTracker(BeatTracker):
    """Phase and tempo from the beats that aubio reports; it knows nothing of bars.

    A tempo out of the range is halved or doubled into it. A tapped tempo is kept, and aubio not asked, until the
    music stops.

    Raises:
        InputError: aubio is not installed, or the range is narrower than an octave, so that not every tempo can be
            brought into it.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM) -> None:
        if not 0.0 < 2.0 * min_bpm <= max_bpm:
            raise InputError(f"aubio needs a tempo range of an octave at least, not {min_bpm:g}-{max_bpm:g} BPM")
        try:
            import aubio
        except ImportError as error:
            raise InputError("aubio is not installed; it comes with: pip install 'dancerev[aubio]'") from error
        self._aubio = aubio.tempo("default", BUFFER, HOP, SAMPLE_RATE)
        self._range = 60.0 / max_bpm, 60.0 / min_bpm
        self._scale = 1.0
        self._period = 0.5
        self._beat = 0.0
        self._count = 0
        self._time = 0.0
        self._confidence = 0.0
        self._taps = TapTempo(min_bpm, max_bpm)
        self._tapped = False
        self._downbeat: int | None = None

    def update(self, block: SpectralBlock) -> BeatState:
        """Hears the block and tells what is known of the beat at its end."""
        elapsed = block.time - self._time
        self._time = block.time
        for hop in block.samples.reshape(-1, HOP):
            beat = self._aubio(np.ascontiguousarray(hop))[0] > 0.0
            bpm = float(self._aubio.get_bpm())
            if beat and bpm > 0.0 and not self._tapped:
                self._follow(float(self._aubio.get_last_s()), 60.0 / bpm)
        if block.activity > 0.0:
            heard = 1.0 if self._tapped else min(max(float(self._aubio.get_confidence()) / TRUST, 0.0), 1.0)
            self._confidence += 0.1 * (heard - self._confidence)
        else:
            self._confidence *= math.exp(-elapsed / SILENCE_DECAY)
            if self._confidence < 0.5:
                self._tapped, self._scale = False, 1.0
        beats = max(0.0, (self._time - self._beat) / self._period)
        position = (self._count + int(beats) - (self._downbeat or 0)) % 4
        return BeatState(
            time=block.time,
            phase=beats % 1.0,
            period=self._period,
            confidence=self._confidence,
            beat_in_bar=position,
            bar_confidence=0.0 if self._downbeat is None else self._confidence,
        )

    def tap(self, time: float) -> None:
        """Return the performer tapped a beat at ``time`` (seconds of audio); three taps set tempo and phase."""
        tapped = self._taps.add(time)
        if tapped is not None:
            self._tapped = True
            self._move(*tapped)

    def set_downbeat(self, time: float) -> None:
        """Return  "This is the one": the beat nearest to ``time`` (seconds of audio) begins a bar."""
        self._downbeat = self._count + round((time - self._beat) / self._period)

    def scale_tempo(self, factor: float) -> bool:
        """Half (0.5) or double (2) the tempo, and stay there until the music stops; False if it is out of range.

        Raises:
            ValueError: if ``factor`` is neither 0.5 nor 2.
        """
        if factor not in (0.5, 2.0):
            raise ValueError(f"the tempo can be halved (0.5) or doubled (2), not scaled by {factor:g}")
        if not self._range[0] <= self._period / factor <= self._range[1]:
            return False
        self._scale *= factor
        self._period /= factor
        self._downbeat = None
        return True

    def _follow(self, beat: float, period: float) -> None:
        period /= self._scale
        while period > self._range[1]:
            period /= 2.0
        while period < self._range[0]:
            period *= 2.0
        self._move(beat, period)

    def _move(self, beat: float, period: float) -> None:
        """There was a beat at ``beat`` (seconds), the next is a ``period`` later; beats go on being counted."""
        self._count += round((beat - self._beat) / self._period)
        self._beat, self._period = beat, period
