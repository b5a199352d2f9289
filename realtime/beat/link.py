"""Ableton Link: tempo, beat and bar shared with the programs on the network (``--beat-engine link``, ``--link``).

The extra ``link`` brings LinkPython-extern, chosen over aalink since its session state can be asked at any moment from
any thread, without an event loop. Its own code is free of conditions (Unlicense); Ableton's Link inside it is licensed
under the GPL 2 or later, unlike this project, and so is no dependency but an extra. Both have wheels for Python 3.9 to
3.14.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from dancerev.clients.sink import PoseSink
from dancerev.errors import InputError
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose

from ..spectrum import SpectralBlock
from .tap import TapTempo
from .tracker import MAX_BPM, MIN_BPM, BeatTracker

BEATS_PER_BAR = 4
ALONE = 0.5  # confidence while no other program takes part: the beat is nobody's then
MOST_TEMPO_ERROR, MOST_PHASE_ERROR = 0.003, 0.01  # share; seconds. Beyond, what is sent out is corrected
SURE = 0.5  # confidence from which on our beat is sent out
_CLOCKS_APART = 5e-5  # seconds between two looks at a clock, within which a look at the other is good enough


class LinkSession:
    """The Link session of this program, on the clock of ``time.perf_counter()``."""

    def __init__(self, bpm: float = 120.0) -> None:
        """Join the session on the network, or begin one.

        Raises:
            InputError: Link is not installed.
        """
        try:
            import link
        except ImportError as error:
            raise InputError("Ableton Link is not installed; it comes with: pip install 'dancerev[link]'") from error
        self._link: Any = link.Link(bpm)
        self._link.enabled = True

    @property
    def peers(self) -> int:
        """How many other programs take part."""
        return int(self._link.numPeers())

    @property
    def bpm(self) -> float:
        """Tempo of the session, in beats a minute."""
        return float(self._link.captureSessionState().tempo())

    def beat_at(self, moment: float, bar: float = BEATS_PER_BAR) -> tuple[float, float]:
        """Return the beats since a bar began at ``moment``, and the BPM.

        Args:
            moment: ``perf_counter`` seconds.
            bar: beats of the session in a bar, Link's quantum; the result is from 0 to it.
        """
        state = self._link.captureSessionState()
        return float(state.phaseAtTime(self._micros(moment), bar)), float(state.tempo())

    def set(
        self, moment: float, beats: float | None = None, bpm: float | None = None, bar: float = BEATS_PER_BAR
    ) -> None:
        """Make ``moment`` so many beats into a bar, or the tempo ``bpm``, or both, for everyone in the session."""
        state = self._link.captureSessionState()
        micros = self._micros(moment)
        if bpm is not None:
            state.setTempo(bpm, micros)
        if beats is not None:
            state.forceBeatAtTime(beats, micros, bar)
        self._link.commitSessionState(state)

    def close(self) -> None:
        """Leave the session."""
        self._link.enabled = False

    def _micros(self, moment: float) -> int:
        """Link's clock, which has another zero, at ``moment``."""
        best, ahead = math.inf, 0.0
        for _ in range(5):  # between looking at the two clocks the system may let another program run
            before, micros, after = time.perf_counter(), self._link.clock().micros(), time.perf_counter()
            if after - before < best:
                best, ahead = after - before, micros / 1e6 - 0.5 * (before + after)
            if best < _CLOCKS_APART:
                break
        return int((moment + ahead) * 1e6)


class LinkTracker(BeatTracker):
    """Phase, tempo and bar of the Link session, whatever the music does.

    Taps, nudges and "this is the one" move the beat of everyone in the session; half and double are the dancer's own.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM, session: LinkSession | None = None) -> None:
        """Follow a session, by default one of its own; tempi out of the range are halved or doubled into it.

        Raises:
            InputError: Link is not installed.
        """
        self._session = LinkSession() if session is None else session
        self._range = min_bpm, max_bpm
        self._taps = TapTempo(min_bpm, max_bpm)
        self._heard_at: Callable[[float], float] = lambda time: time
        self._scale = 1.0

    def update(self, block: SpectralBlock) -> BeatState:
        """Return the state of the session's beat at the end of the block."""
        bar = self._bar()
        beats, bpm = self._session.beat_at(self._heard_at(block.time), bar)
        scale = BEATS_PER_BAR / bar
        beats, confidence = beats * scale, 1.0 if self._session.peers else ALONE
        whole = math.floor(beats)
        return BeatState(
            time=block.time,
            phase=min(beats - whole, math.nextafter(1.0, 0.0)),
            period=60.0 / (bpm * scale),
            confidence=confidence,
            beat_in_bar=whole % BEATS_PER_BAR,
            bar_confidence=confidence,
        )

    def tap(self, time: float) -> None:
        """Take a tap on a beat at ``time`` (seconds of audio); three taps set tempo and phase."""
        tapped = self._taps.add(time)
        if tapped is not None:
            beat, period = tapped
            moment = self._heard_at(beat)
            bar = self._bar()
            self._session.set(moment, float(round(self._session.beat_at(moment, bar)[0])), 60.0 / period, bar)

    def set_downbeat(self, time: float) -> None:
        """Make the beat nearest to ``time`` (seconds of audio) begin a bar."""
        moment, bar = self._heard_at(time), self._bar()
        beats, _ = self._session.beat_at(moment, bar)
        self._session.set(moment, beats - round(beats), bar=bar)

    def scale_tempo(self, factor: float) -> bool:
        """Halve (0.5) or double (2) the tempo of the dancer; return False if it is out of range."""
        if factor not in (0.5, 2.0):
            raise ValueError(f"the tempo can be halved (0.5) or doubled (2), not scaled by {factor:g}")
        bpm = self._session.bpm
        if not self._range[0] <= bpm * self._octave(bpm) * factor <= self._range[1]:
            return False
        self._scale = self._octave(bpm) * factor
        return True

    def nudge(self, seconds: float) -> None:
        """Move the beats of the session later by ``seconds``."""
        moment, bar = time.perf_counter(), self._bar()
        beats, bpm = self._session.beat_at(moment, bar)
        self._session.set(moment, beats - seconds * bpm / 60.0, bar=bar)

    def attach(self, heard_at: Callable[[float], float]) -> None:
        """Follow the clock of the show."""
        self._heard_at = heard_at

    def close(self) -> None:
        """Leave the session."""
        self._session.close()

    def _bar(self) -> float:
        """Return the beats of the session that a bar of the dancer's has: more or fewer than 4 at another octave."""
        return BEATS_PER_BAR / self._octave(self._session.bpm)

    def _octave(self, bpm: float) -> float:
        """Return what the session's tempo is multiplied by to be within the range."""
        octaves = [self._scale * octave for octave in (1.0, 0.5, 2.0, 0.25, 4.0)]
        return next((scale for scale in octaves if self._range[0] <= bpm * scale <= self._range[1]), self._scale)


class LinkSender(PoseSink):
    """A sink of the music alone: the others in the session follow our tempo, beat and bar."""

    name = "Ableton Link"

    def __init__(self, heard_at: Callable[[float], float], session: LinkSession | None = None) -> None:
        """Send to a session, by default one of its own.

        Args:
            heard_at: from seconds of audio to ``time.perf_counter()`` seconds.
            session: the session.

        Raises:
            InputError: Link is not installed.
        """
        self._heard_at = heard_at
        self._session = LinkSession() if session is None else session

    def send(self, pose: Pose) -> None:
        """Take no poses."""

    def send_music(self, beat: BeatState | None, onset: float, energy: float) -> None:
        """Let the session have the beat where it differs, if we are sure of it; the bar too, if it is Link's of 4."""
        if beat is None or beat.confidence < SURE:
            return
        moment = self._heard_at(beat.time)
        theirs, bpm = self._session.beat_at(moment)
        cycle = BEATS_PER_BAR if beat.beats_per_bar == BEATS_PER_BAR else 1
        error = math.remainder(beat.beat_in_bar + beat.phase - theirs, cycle)
        tempo_differs = abs(beat.bpm / bpm - 1.0) > MOST_TEMPO_ERROR
        if tempo_differs or abs(error) * beat.period > MOST_PHASE_ERROR:
            self._session.set(moment, theirs + error, beat.bpm if tempo_differs else None)

    def close(self) -> None:
        """Leave the session."""
        self._session.close()
