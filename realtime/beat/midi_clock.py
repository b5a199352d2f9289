"""The beat from outside: the MIDI clock of a DJ's program, a drum machine or a DAW (``--beat-engine midi``).

A MIDI clock ticks 24 times a beat, and says where the song starts, stops and goes on (MIDI 1.0, system real time
messages and song position pointer). Its ticks come through USB and a busy computer, most of them within a millisecond
or so, some of them 10 ms late; the beat is read off a straight line through the last of them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from dancerev.model.features import BeatState

from ..spectrum import SpectralBlock
from .tap import TapTempo
from .tracker import MAX_BPM, MIN_BPM, BeatTracker

TICKS = 24  # per beat of the clock
TICKS_PER_SIXTEENTH = 6
SHORTEST_TICK, LONGEST_TICK = 60.0 / 400.0 / TICKS, 60.0 / 20.0 / TICKS  # seconds; what ticks faster is no clock
WINDOW = 2 * TICKS  # ticks that the line goes through
FEW = 8  # ticks that tell a tempo, and that show together that the line is another now
ASTRAY = 0.004  # seconds beside the line beyond which a tick is late, or the line another
PAUSE = 0.5  # seconds without a tick after which the clock does not run
CONFIDENCE_RATE = 0.2  # per frame
SILENCE_DECAY = 4.0  # seconds
TEMPO_ONLY = 0.5  # confidence where the clock ticks, but nobody said which of the ticks are beats
BEFORE_THE_BEAT = math.nextafter(1.0, 0.0)  # the largest phase; −1e-18 % 1.0 is 1.0


class Message(Protocol):
    """A MIDI message as mido has it; a ``songpos`` has a ``pos`` too, in sixteenths."""

    type: str


class Port(Protocol):
    """Where messages come from, such as :class:`~dancerev.realtime.beat.midi_input.MidiInput`."""

    def poll(self) -> Iterable[tuple[Message, float]]:
        """Those since the last call, each with the moment it came."""

    def close(self) -> None:
        """No more are wanted."""


class TickLine:
    """When which tick falls: a straight line through those of the last two beats, though some come late and some never.

    Attributes:
        period: seconds from tick to tick.
        next: the number of the next tick.
        last: when the last one came, in seconds.
    """

    def __init__(self) -> None:
        self.period = 0.5 / TICKS
        self.next = 0
        self.last = -math.inf
        self._ticks: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._on_line = (0.0, 0.0)  # a number and its time

    @property
    def known(self) -> bool:
        """Whether there were enough ticks for a tempo."""
        return len(self._ticks) >= FEW

    def at(self, time: float) -> float:
        """Return the number, with its fraction, at ``time`` (seconds)."""
        number, then = self._on_line
        return number + (time - then) / self.period

    def renumber(self, following: int) -> None:
        """Call the next tick ``following``, and the others accordingly."""
        shift = following - self.next
        self.next = following
        self._ticks = deque(((number + shift, time) for number, time in self._ticks), WINDOW)
        self._on_line = self._on_line[0] + shift, self._on_line[1]

    def restart(self, number: int, time: float, period: float) -> None:
        """Begin a new line, through one point, with no tick on it yet."""
        self._ticks.clear()
        self._on_line, self.next, self.period = (number, time), number + 1, period

    def add(self, time: float, numbered: bool = False) -> None:
        """Take a tick that came at ``time`` (seconds).

        Args:
            time: rising, but for garbage.
            numbered: its number was told rather than counted, so that it is right where the line is not.
        """
        if time - self.last > PAUSE and not numbered:
            self.next = max(self.next, round(self.at(time)))  # the music went on meanwhile
        if time - self.last > PAUSE or (numbered and abs(self.at(time) - self.next) * self.period > ASTRAY):
            self._ticks.clear()
        self._ticks.append((self.next, time))
        self.next += 1
        self.last = time
        if not self.known:
            self._on_line = self._ticks[-1]

    def fit(self) -> None:
        """Draws the line anew."""
        if not self.known:
            return
        self._leave_if_astray()
        number, time = np.array(self._ticks).T
        period = _theil_sen(number, time)
        if not SHORTEST_TICK <= period <= LONGEST_TICK:
            return
        begin = time - period * number
        away = np.abs(begin - np.median(begin))
        begin = begin[away <= max(2.0 * float(np.median(away)), 1e-4)]
        self.period = period
        self._on_line = float(number[-1]), float(begin.mean() + period * number[-1])

    def _leave_if_astray(self) -> None:
        """Where the latest ticks are all beside the line: were some before them lost, or is the tempo another?"""
        number, time = np.array(self._ticks).T
        late = time - self._on_line[1] - (number - self._on_line[0]) * self.period
        tolerance = min(ASTRAY, 0.25 * self.period)
        on_line = np.flatnonzero(late * np.sign(late[-1]) <= tolerance)
        run = len(late) - (int(on_line[-1]) + 1 if len(on_line) else 0)
        if run < FEW:
            return
        lost = round(float(np.median(late[-run:])) / self.period)
        if lost and float(np.median(np.abs(late[-run:] - lost * self.period))) < tolerance:
            number[-run:] += lost
            self.next += lost
        else:
            number, time = number[-run:], time[-run:]
        self._ticks = deque(zip(number.astype(int).tolist(), time.tolist(), strict=True), WINDOW)


class MidiTracker(BeatTracker):
    """Phase, tempo and bar as a MIDI clock gives them, whatever the music does.

    Start makes the next tick the first of a bar, Continue goes on where Stop was or where the song position pointer
    says. After Stop, or where no ticks come, the beat runs on at the last tempo, trusted less and less. A tempo out of
    the range is halved or doubled into it, if that is possible.

    Attributes:
        heard_at: from seconds of audio to the clock that the moments of the messages are on; the same one without it.
    """

    def __init__(self, min_bpm: float = MIN_BPM, max_bpm: float = MAX_BPM, port: Port | None = None) -> None:
        """Without a ``port``, messages come through :meth:`hear` alone."""
        self.heard_at: Callable[[float], float] = lambda time: time
        self._port = port
        self._range = min_bpm, max_bpm
        self._line = TickLine()
        self._moment = 0.0
        self._time = 0.0
        self._confidence = 0.0
        self._scale = 1.0
        self._downbeat = 0.0  # tick on which a bar begins
        self._beat_known = self._bar_known = False
        self._runs = self._stopped = False  # after Start or Continue; after Stop; neither before the first
        self._resume: int | None = None  # the tick on which Continue goes on
        self._numbered = False
        self._taps = TapTempo(min_bpm, max_bpm)

    def update(self, block: SpectralBlock) -> BeatState:
        """Take the messages that came, and return what is known of the beat at the end of the block."""
        elapsed = block.time - self._time
        self._time, self._moment = block.time, self.heard_at(block.time)
        for message, moment in self._port.poll() if self._port else ():
            self.receive(message, moment)
        self._line.fit()
        if self._ticking and self._line.known and not self._stopped:
            sure = 1.0 if self._beat_known else TEMPO_ONLY
            self._confidence += CONFIDENCE_RATE * (sure - self._confidence)
        else:
            self._confidence *= math.exp(-elapsed / SILENCE_DECAY)
        beats = (self._line.at(self._moment) - self._downbeat) / self._ticks_per_beat
        return BeatState(
            time=block.time,
            phase=min(beats % 1.0, BEFORE_THE_BEAT),
            period=self._line.period * self._ticks_per_beat,
            confidence=self._confidence,
            beat_in_bar=math.floor(beats) % 4,
            bar_confidence=self._confidence if self._bar_known else 0.0,
        )

    def receive(self, message: Message, moment: float) -> None:
        """Take a message that came at ``moment``, seconds on the clock of ``heard_at``; other messages do nothing."""
        match message.type:
            case "clock":
                self._line.add(moment, self._numbered)
                self._numbered = False
            case "start":
                self._runs, self._stopped = True, False
                self._downbeat = 0.0
                self._beat_known = self._bar_known = True
                self._go_to(0)
            case "continue":
                self._runs, self._stopped = True, False
                if self._resume is not None:
                    self._go_to(self._resume)
                self._resume = None
            case "stop":
                self._runs, self._stopped = False, True
                self._resume = self._line.next
            case "songpos":
                tick = TICKS_PER_SIXTEENTH * int(getattr(message, "pos", 0))
                self._beat_known = self._bar_known = True
                if self._runs:
                    self._go_to(tick)
                else:
                    self._resume = tick

    def tap(self, time: float) -> None:
        """Take the performer's tap at ``time`` (seconds of audio).

        A clock that was started knows better, and taps do nothing. Of one that only ticks, three taps say which ticks
        are beats; where none ticks, they set tempo and phase.
        """
        tapped = self._taps.add(time)
        if tapped is None or (self._runs and self._ticking):
            return
        beat, period = tapped
        beat_in_bar = round(self._beats(beat)) % 4
        if not self._ticking:
            tick = period / self._ticks_per_beat
            self._line.restart(round(self._line.at(self.heard_at(beat))), self.heard_at(beat), tick)
        self._downbeat = round(self._line.at(self.heard_at(beat))) - beat_in_bar * self._ticks_per_beat
        self._beat_known, self._bar_known = True, False
        self._confidence = max(self._confidence, TEMPO_ONLY)

    def set_downbeat(self, time: float) -> None:
        """Let the beat nearest to ``time`` (seconds of audio) begin a bar, until the next Start.

        Where the clock did not say which ticks are beats, the nearest tick is one.
        """
        if self._beat_known:
            self._downbeat += round(self._beats(time)) * self._ticks_per_beat
        else:
            self._downbeat = float(round(self._line.at(self.heard_at(time))))
        self._beat_known = self._bar_known = True

    def scale_tempo(self, factor: float) -> bool:
        """Half (0.5) or double (2) the tempo of the clock, and stay there; False if it is out of range.

        Raises:
            ValueError: if ``factor`` is neither 0.5 nor 2.
        """
        if factor not in (0.5, 2.0):
            raise ValueError(f"the tempo can be halved (0.5) or doubled (2), not scaled by {factor:g}")
        bpm = factor * 60.0 / (self._line.period * self._ticks_per_beat)
        if not self._range[0] <= bpm <= self._range[1]:
            return False
        self._scale *= factor
        return True

    def attach(self, heard_at: Callable[[float], float]) -> None:
        """Follow the clock of the show: ``heard_at`` maps seconds of audio to ``time.perf_counter()`` seconds."""
        self.heard_at = heard_at

    def close(self) -> None:
        """Let go of the port."""
        if self._port:
            self._port.close()

    def _go_to(self, tick: int) -> None:
        """Let the next tick be this one of the song."""
        self._line.renumber(tick)
        self._numbered = True

    @property
    def _ticking(self) -> bool:
        return self._moment - self._line.last < PAUSE

    @property
    def _ticks_per_beat(self) -> float:
        """Ticks in a beat of the dancer, which may be half or twice the clock's."""
        clock_bpm = 60.0 / (TICKS * self._line.period)
        for scale in (self._scale * octave for octave in (1.0, 0.5, 2.0, 0.25, 4.0)):
            if self._range[0] <= clock_bpm * scale <= self._range[1]:
                return TICKS / scale
        return TICKS / self._scale

    def _beats(self, time: float) -> float:
        """Beats since the downbeat at ``time`` (seconds of audio)."""
        return (self._line.at(self.heard_at(time)) - self._downbeat) / self._ticks_per_beat


def _theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    """Return the median slope between all pairs of points (Theil–Sen), robust to a quarter of wild points."""
    first, second = np.triu_indices(len(x), 1)
    run = x[second] - x[first]
    rises = run > 0.0
    return float(np.median((y[second] - y[first])[rises] / run[rises])) if rises.any() else 0.0
