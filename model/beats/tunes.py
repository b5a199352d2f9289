"""Tunes in ABC notation with a random accompaniment: bars of two, three, four and six beats that are known exactly.

``abc2midi`` reads the notation. A mark on the first eighth of every bar, played by its drum, shows where the bars are.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt

from dancerev.realtime.audio.clock import SAMPLE_RATE

from .music import DRUMS, LabelledMusic, Note, in_seconds, master, synthesise_seconds, tempo_map

Array = npt.NDArray[Any]

FEWEST_BARS = 8
_MARK = 76  # drum key that marks the bars
_BASS, _CHORDS, _LEAD = 0, 1, 2  # channels


@dataclass(frozen=True)
class Metre:
    """``beats`` per bar of so many ``quarters`` each, in so many ``parts``; played at ``low`` … ``high`` BPM."""

    beats: int
    quarters: float
    parts: int
    low: float
    high: float


METRES = {
    "3/4": Metre(3, 1.0, 2, 75, 205),
    "6/8": Metre(2, 1.5, 3, 70, 145),
    "9/8": Metre(3, 1.5, 3, 70, 140),
    "2/4": Metre(2, 1.0, 2, 80, 150),
    "C|": Metre(2, 2.0, 4, 75, 130),
    "C": Metre(4, 1.0, 2, 85, 200),
    "4/4": Metre(4, 1.0, 2, 85, 200),
    "3/8": Metre(3, 0.5, 2, 100, 196),
}
SHARES = {"3/4": 0.36, "6/8": 0.24, "9/8": 0.07, "2/4": 0.1, "C|": 0.09, "C": 0.11, "4/4": 0.02, "3/8": 0.01}
"""How often each time signature is drawn."""


@dataclass(frozen=True)
class Tune:
    """A tune.

    Attributes:
        title: letters of its title alone, so that the same tune of two books has the same.
        signature: one of METRES.
        notes: (N, 4) start and length in beats from the first downbeat, key and velocity.
        bars: how many whole bars.
        chords: (bars, 2) int, pitch class of each bar's root, and 1 for a minor triad.
    """

    title: str
    signature: str
    notes: Array
    bars: int
    chords: Array


def tunes_of(text: str) -> list[Tune]:
    """Return the tunes of an ABC file whose metre is one of METRES and of which FEWEST_BARS bars are regular.

    Raises:
        OSError: abc2midi is not installed.
    """
    tunes = []
    for part in re.split(r"(?m)^(?=X:)", text):
        signature = re.search(r"(?m)^M:\s*([^\s%]+)", part)
        title = re.search(r"(?m)^T:\s*(.+)", part)
        if signature and title and signature[1] in METRES:
            tune = _read(re.sub(r"[^a-z]", "", title[1].lower()), signature[1], part)
            tunes += [tune] if tune else []
    return tunes


def _read(title: str, signature: str, text: str) -> Tune | None:
    metre = METRES[signature]
    slots = round(metre.beats * metre.quarters * 2)
    lines = [line for line in text.splitlines() if not line.startswith("Q:")]
    key = next((index for index, line in enumerate(lines) if line.startswith("K:")), None)
    if key is None:
        return None
    lines[key + 1 : key + 1] = [f"%%MIDI drum d{'z' * (slots - 1)} {_MARK} 100", "%%MIDI drumon", "%%MIDI gchordoff"]
    midi = _to_midi("\n".join(lines))
    if midi is None:
        return None
    marks, notes = _events(midi, metre.quarters)
    bars, start = _longest_run(marks, metre.beats)
    inside = [note for note in notes if start - 0.03 <= note[0] < start + bars * metre.beats - 0.03]
    if bars < FEWEST_BARS or len(inside) < 2 * bars:
        return None
    array = np.array(sorted(inside))
    array[:, 0] = np.round((array[:, 0] - start) * 240.0) / 240.0
    return Tune(title, signature, array, bars, _harmony(array, bars, metre.beats))


def _to_midi(text: str) -> mido.MidiFile | None:
    with tempfile.TemporaryDirectory() as folder:
        abc, midi = Path(folder, "tune.abc"), Path(folder, "tune.mid")
        abc.write_text(text, encoding="utf-8")
        try:
            subprocess.run(["abc2midi", str(abc), "-o", str(midi), "-quiet", "-silent"], capture_output=True)
        except FileNotFoundError:
            raise OSError("abc2midi is not installed; it reads the tunes (Debian's package abcmidi)") from None
        try:
            return mido.MidiFile(str(midi)) if midi.exists() else None
        except (OSError, EOFError, ValueError, IndexError):
            return None  # abc2midi made nothing of the notation


def _events(midi: mido.MidiFile, quarters: float) -> tuple[list[float], list[tuple[float, float, int, int]]]:
    """Return marks of the bars, and notes of start, length, key and velocity; in beats of so many quarters."""
    marks: list[float] = []
    notes: list[tuple[float, float, int, int]] = []
    for track in midi.tracks:
        tick, sounding = 0, {}
        for event in track:
            tick += event.time
            at = tick / midi.ticks_per_beat / quarters
            if event.type not in ("note_on", "note_off"):
                continue
            if event.channel == DRUMS:
                marks += [at] if event.type == "note_on" and event.velocity > 0 else []
            elif event.type == "note_on" and event.velocity > 0:
                sounding[event.note] = (at, event.velocity)
            elif event.note in sounding:
                start, velocity = sounding.pop(event.note)
                notes.append((start, max(at - start, 0.05), event.note, velocity))
    return sorted(marks), notes


def _longest_run(marks: list[float], beats: int) -> tuple[int, float]:
    """How many bars of so many beats follow one another, and where they begin; a bar may be split by a repeat sign."""
    bars, begin, first = 0, 0.0, 0
    while first < len(marks) - 1:
        last, count = first, 0
        while last < len(marks) - 1:
            whole = [
                step for step in (1, 2) if last + step < len(marks) and _is(marks[last + step] - marks[last], beats)
            ]
            if not whole:
                break
            last, count = last + whole[0], count + 1
        if count > bars:
            bars, begin = count, marks[first]
        first = max(last, first + 1)
    return bars, begin


def _is(length: float, beats: int) -> bool:
    return abs(length - beats) < 0.02


def _harmony(notes: Array, bars: int, beats: int) -> Array:
    """(bars, 2) root and minor: for each bar the triad that shares most with its notes and with the tune's scale."""
    sounding = np.zeros((bars, 12))
    bar = np.minimum(notes[:, 0] // beats, bars - 1).astype(int)
    np.add.at(sounding, (bar, notes[:, 2].astype(int) % 12), notes[:, 1])
    scale = sounding.sum(axis=0) / sounding.sum(axis=0).max()
    triads = np.array(
        [np.roll(np.isin(range(12), tones), root) for tones in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
    )
    best = (sounding @ triads.T + 0.1 * beats * (triads @ scale)).argmax(axis=1)
    return np.stack([best % 12, best // 12], axis=1)


def render_tune(tune: Tune, seconds: float, soundfont: Path, seed: int) -> LabelledMusic:
    """Return the tune, accompanied and repeated to about so many seconds; one seed always makes the same.

    A fifth of the jigs is counted by its eighths, in bars of six beats.
    """
    rng = np.random.default_rng(seed)
    metre = METRES[tune.signature]
    by_eighths = 3 if tune.signature == "6/8" and rng.random() < 0.2 else 1
    low, high = (34.0, 62.0) if by_eighths == 3 else (metre.low, metre.high)
    bpm = by_eighths * low * (high / low) ** rng.random()
    per_bar = metre.beats * by_eighths
    beats = per_bar * max(FEWEST_BARS, round(seconds * bpm / 60.0 / per_bar))
    repeats = -(-beats // (tune.bars * per_bar))
    programs, notes = arrange_tune(tune, repeats, rng)
    notes = [(by_eighths * start, by_eighths * length, *rest) for start, length, *rest in notes]  # type: ignore[misc]
    fall = tempo_map(rng, bpm, beats, per_bar)
    lead = 0.05 + float(rng.choice([0.0, rng.uniform(0.0, 0.5), rng.uniform(0.0, 3.0)]))
    played = in_seconds([note for note in notes if note[0] < beats - 0.02], fall)
    audio = synthesise_seconds(programs, played, lead, soundfont)[: int((fall[-1] + lead + 0.3) * SAMPLE_RATE)]
    return LabelledMusic(master(audio, rng), fall[:-1] + lead, np.arange(beats) % per_bar == 0)


_LEADS = (0, 11, 21, 22, 24, 40, 40, 41, 46, 56, 65, 68, 71, 73, 73, 75, 78, 79, 80, 81, 105, 110)
_HARMONIES = (0, 0, 1, 4, 6, 15, 16, 19, 21, 24, 25, 25, 46, 48, 50, 61, 89)
_BASSES = (32, 32, 33, 34, 35, 38, 43, 57, 58)


def arrange_tune(tune: Tune, repeats: int, rng: np.random.Generator) -> tuple[dict[int, int], list[Note]]:
    """Return the program of each channel and the notes of the tune, so many times, with its accompaniment."""
    metre = METRES[tune.signature]
    programs = {
        _BASS: int(rng.choice(_BASSES)),
        _CHORDS: int(rng.choice(_HARMONIES)),
        _LEAD: int(rng.choice(_LEADS)),
        DRUMS: int(rng.choice([0, 0, 8, 16, 24, 25, 32, 40])),
    }
    loud = rng.integers([60, 45, 70, 60], [110, 95, 120, 120])
    shift = int(rng.integers(-5, 6))
    bar_notes = _accompaniment(metre, rng) + (_drums(metre, rng) if rng.random() < 0.45 else [])
    begin, melody = 0, tune.notes
    if bar_notes:  # which play alone for four bars, or all the time
        begin = 4 * metre.beats if rng.random() < 0.2 else 0
        melody = tune.notes if rng.random() < 0.88 else tune.notes[:0]
    notes: list[Note] = []
    for turn in range(repeats):
        base = turn * tune.bars * metre.beats
        for start, length, key, velocity in melody[melody[:, 0] + base >= begin].tolist():
            notes.append((base + start, 0.95 * length, _LEAD, int(key) + shift, int(loud[2] * velocity / 105)))
        for bar, (root, minor) in enumerate(tune.chords.tolist()):
            triad = (0, 3 if minor else 4, 7)
            for at, length, channel, tone, accent in bar_notes:
                key = tone if channel == DRUMS else _key(channel, root + shift, triad[tone % 3])
                velocity = loud[3 if channel == DRUMS else channel] * accent
                notes.append((base + bar * metre.beats + at, length, channel, key, int(velocity)))
    human = rng.uniform(0.0, 0.012) if rng.random() < 0.6 else 0.0
    return programs, [
        (start + rng.normal() * human, length, channel, key, int(np.clip(velocity + rng.integers(-6, 7), 1, 127)))
        for start, length, channel, key, velocity in notes
    ]


def _key(channel: int, root: int, interval: int) -> int:
    """Return the MIDI key of a tone of the chord, in the bass or in the octave around middle C."""
    if channel == _BASS:
        return 36 + root % 12 + (interval - 12 if interval == 7 else interval)
    key = 55 + root % 12 + interval
    return key if key < 72 else key - 12


def _accompaniment(metre: Metre, rng: np.random.Generator) -> list[tuple[float, float, int, int, float]]:
    """One bar of bass and chords: beat, length, channel, tone of the triad (0 … 2), accent."""
    kinds = ["full", "bass", "chords", "arpeggio", "solo", "pad"]
    kind = str(rng.choice(kinds, p=[0.5, 0.1, 0.1, 0.12, 0.06, 0.12]))
    sparse = bool(rng.random() < 0.5)
    waltz = metre.beats == 3 and metre.parts != 3
    off = 2 / 3 if metre.parts == 3 else 0.5
    bass: list[tuple[float, float, int]] = []  # beat, length, tone
    chords: list[tuple[float, float]] = []
    if kind in ("full", "bass"):
        beats = [0] if waltz or (sparse and metre.beats != 3) else range(metre.beats)
        bass = [(float(beat), 0.9, 0 if beat % 2 == 0 else 2) for beat in beats]
    if kind in ("full", "chords"):
        on_beat = waltz or (metre.beats == 4 and sparse)
        after = (1, 2) if waltz else (1, 3)
        chords = (
            [(float(beat), 0.5) for beat in after] if on_beat else [(beat + off, 0.3) for beat in range(metre.beats)]
        )
    if kind == "pad":
        bass, chords = [(0.0, 0.9 * metre.beats, 0)], [(0.0, 0.95 * metre.beats)]
    notes = [(at, length, _BASS, tone, 1.0) for at, length, tone in bass]
    notes += [(at, length, _CHORDS, tone, 1.0) for at, length in chords for tone in range(3)]
    if kind == "arpeggio":
        parts = metre.parts if metre.parts < 4 else 2
        order = (0, 1, 2) if metre.parts == 3 else (0, 2, 1, 2)
        notes += [
            (index / parts, 0.45, _CHORDS, order[index % len(order)], 1.1 if index == 0 else 1.0)
            for index in range(metre.beats * parts)
        ]
        notes.append((0.0, 0.9 * metre.beats, _BASS, 0, 1.0))
    return notes


def _drums(metre: Metre, rng: np.random.Generator) -> list[tuple[float, float, int, int, float]]:
    """One bar of drums: beat, length, channel, key, accent."""
    after = int(rng.choice([42, 37, 38]))
    if metre.beats == 3:
        hits = [(0.0, 36, 1.0), (1.0, after, 0.7), (2.0, after, 0.7)]
    else:
        hits = [(float(beat), 38 if beat % 2 else 36, 0.9 if beat % 2 else 1.0) for beat in range(metre.beats)]
    if rng.random() < 0.4:
        parts = min(metre.parts, 3)
        hits += [(index / parts, 42, 0.6 if index % parts else 0.8) for index in range(metre.beats * parts)]
    return [(at, 0.1, DRUMS, key, accent) for at, key, accent in hits]
