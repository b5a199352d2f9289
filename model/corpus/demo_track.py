"""Composes, synthesises and writes the demo track: ``python -m dancerev.model.corpus.demo_track OUT.ogg``.

Half a song at 112 BPM, a break of true silence, the other half at 126. Every sound is made here, from sines,
wavetables and noise; the same numbers come out each time. Beside OUT.ogg, OUT.beats.json says when its beats fall.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.command_line import ArgumentParser

Sound = npt.NDArray[np.float32]
"""(n,) mono or (n, 2) stereo."""

RATE = 48_000
BIT_RATE = 104_000
PEAK_DB = -1.0

BEATS_PER_BAR, STEPS = 4, 16  # a step is a sixteenth note
SWING = 0.12  # of a step, by which every second one comes late
SILENCE = 2.5
TAIL = 2.5

AM9, FMAJ9, C9, G6 = (57, 60, 64, 67, 71), (53, 57, 60, 64, 67), (52, 55, 59, 62, 67), (55, 59, 62, 64, 69)
CHORDS = {"A": AM9, "F": FMAJ9, "C": C9, "G": G6, "E": (55, 59, 60, 64, 67)}
ROOTS = {"A": 33, "F": 29, "C": 36, "G": 31, "E": 28}

# (step, length in steps, semitones above the root)
VERSE_BASS = ((0, 3, 0), (3, 2, 0), (6, 1, 12), (8, 1, 0), (10, 2, 0), (12, 1, 7), (14, 2, 12))
DROP_BASS = ((0, 2, 0), (2, 2, 12), (5, 1, 0), (6, 2, 12), (8, 2, 0), (10, 2, 12), (13, 1, 7), (14, 2, 12))
ARP = (0, 2, 4, 1, 3, 4, 2, 3)  # which note of the chord, step by step

# Bar by bar: (step, length in steps, MIDI note)
LEAD = (
    ((0, 3, 76), (3, 3, 74), (6, 2, 72), (8, 3, 74), (11, 5, 76)),
    ((0, 3, 79), (3, 3, 76), (6, 2, 74), (8, 4, 72), (12, 2, 69), (14, 2, 72)),
    ((0, 3, 76), (3, 3, 74), (6, 2, 72), (8, 3, 74), (11, 3, 79), (14, 2, 81)),
    ((0, 3, 84), (3, 3, 81), (6, 2, 79), (8, 5, 76), (14, 2, 74)),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the song; ``bars`` 0 is silence. Times in seconds."""

    name: str
    start: float
    end: float
    bpm: float
    bars: int
    chords: str

    def time(self, bar: int, step: float) -> float:
        """When the sixteenth note ``step`` of a bar sounds."""
        late = SWING if step % 2 == 1 else 0.0
        return self.start + (bar * STEPS + step + late) * self.step

    @property
    def step(self) -> float:
        """Length of a sixteenth note."""
        return 60.0 / self.bpm / (STEPS // BEATS_PER_BAR)

    def chord(self, bar: int) -> str:
        """Letter of the chord of a bar."""
        return self.chords[bar % len(self.chords)]


def arrange() -> tuple[Section, ...]:
    """Return the sections in their order."""
    plan = (
        ("intro", 112.0, 4, "AFCG"),
        ("verse", 112.0, 8, "AFCG"),
        ("chorus", 112.0, 4, "FGAE"),
        ("breakdown", 112.0, 4, "AFCG"),
        ("silence", 112.0, 0, ""),
        ("drop", 126.0, 12, "FGAE"),
        ("outro", 126.0, 4, "AFCG"),
    )
    sections, start = [], 0.0
    for name, bpm, bars, chords in plan:
        end = start + (bars * BEATS_PER_BAR * 60.0 / bpm if bars else SILENCE)
        sections.append(Section(name, start, end, bpm, bars, chords))
        start = end
    return tuple(sections)


def score() -> dict[str, Any]:
    """Return what OUT.beats.json holds: beats, downbeats, tempi, sections and duration, all times in seconds."""
    sections = arrange()
    beats = [
        section.start + beat * 60.0 / section.bpm
        for section in sections
        for beat in range(section.bars * BEATS_PER_BAR)
    ]
    drop = next(section for section in sections if section.name == "drop")
    return {
        "duration": round(sections[-1].end + TAIL, 6),
        "beats": [round(beat, 6) for beat in beats],
        "downbeats": [round(beat, 6) for beat in beats[::BEATS_PER_BAR]],
        "tempi": [{"start": 0.0, "bpm": sections[0].bpm}, {"start": round(drop.start, 6), "bpm": drop.bpm}],
        "sections": [
            {"name": section.name, "start": round(section.start, 6), "end": round(section.end, 6)}
            for section in sections
        ],
    }


# --- instruments


def seconds(length: float) -> npt.NDArray[np.float64]:
    """(n,) the times of the samples of so many seconds."""
    return np.arange(round(length * RATE)) / RATE


def envelope(length: float, attack: float, release: float) -> npt.NDArray[np.float64]:
    """(n,) rises in ``attack`` seconds, stays at 1, falls in the last ``release``."""
    time = seconds(length)
    return np.clip(time / attack, 0.0, 1.0) * np.clip((length - time) / release, 0.0, 1.0)


def frequency(note: float) -> float:
    """Hz of a MIDI note."""
    return float(440.0 * 2.0 ** ((note - 69) / 12))


def noise(length: float, seed: int) -> npt.NDArray[np.float64]:
    """(n,) white noise."""
    return np.random.default_rng(seed).normal(size=round(length * RATE))


def band(sound: npt.NDArray[Any], low: float, high: float, order: int = 4) -> npt.NDArray[Any]:
    """Return what lies between two frequencies (Hz), with the slopes of a Butterworth filter, and no phase shift."""
    size = 1 << (len(sound) - 1).bit_length()
    hertz = np.maximum(np.fft.rfftfreq(size, 1.0 / RATE), 1e-3)
    gain = 1.0 / np.sqrt(1.0 + (low / hertz) ** (2 * order)) / np.sqrt(1.0 + (hertz / high) ** (2 * order))
    shape = gain.astype(np.float32).reshape((-1,) + (1,) * (sound.ndim - 1))
    return np.fft.irfft(np.fft.rfft(sound, size, axis=0) * shape, size, axis=0)[: len(sound)]


@cache
def wavetable(note: int, cutoff: float, odd: bool) -> npt.NDArray[np.float64]:
    """One period of a sawtooth, or of a square wave (odd harmonics), under a low-pass at ``cutoff`` Hz."""
    size = 2048
    harmonics = np.arange(1, min(size // 2, int(16_000 / frequency(note))) + 1)
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    gain = 1.0 / harmonics / np.sqrt(1.0 + (harmonics * frequency(note) / cutoff) ** 6)
    spectrum[1 : len(harmonics) + 1] = -1j * gain * (harmonics % 2 if odd else 1)
    return np.fft.irfft(spectrum) * size / 2


def oscillator(note: int, length: float, cutoff: float, cents: float = 0.0, odd: bool = False) -> Sound:
    """Return a periodic wave; ``cents`` out of tune, which also shifts where in the period it starts."""
    table = wavetable(note, cutoff, odd)
    phase = seconds(length) * frequency(note) * 2.0 ** (cents / 1200) + 0.37 * cents
    return np.interp(phase % 1.0 * len(table), np.arange(len(table) + 1), np.append(table, table[0])).astype(np.float32)


@cache
def pluck(note: int, length: float, bright: float, dark: float, decay: float, odd: bool = False) -> Sound:
    """Return a note whose filter closes from ``bright`` to ``dark`` Hz as it dies away in ``decay`` seconds."""
    time = seconds(length)
    opened = np.exp(-time / (0.4 * decay))
    wave = (1.0 - opened) * oscillator(note, length, dark, odd=odd) + opened * oscillator(note, length, bright, odd=odd)
    return (wave * np.exp(-time / decay) * envelope(length, 0.002, 0.02)).astype(np.float32)


@cache
def bass(note: int, length: float) -> Sound:
    """Return a sawtooth over its own sub-octave sine."""
    sine = np.sin(2.0 * np.pi * frequency(note) * seconds(length)) * envelope(length, 0.004, 0.03)
    return np.tanh(1.3 * (0.8 * sine + 0.9 * pluck(note, length, 2200.0, 260.0, 0.35))).astype(np.float32)


@cache
def lead(note: int, length: float) -> Sound:
    """Two voices slightly out of tune, with a vibrato that sets in late."""
    time = seconds(length)
    tuned = sum(oscillator(note, length, 4200.0, cents, odd=True) for cents in (-6.0, 5.0))
    tremble = 1.0 + 0.12 * np.sin(2.0 * np.pi * 5.5 * time) * np.clip((time - 0.2) / 0.3, 0.0, 1.0)
    return (0.5 * tuned * tremble * (0.55 + 0.45 * np.exp(-time / 0.15)) * envelope(length, 0.006, 0.06)).astype(
        np.float32
    )


@cache
def pad(chord: str, length: float, cutoff: float) -> Sound:
    """(n, 2) the chord, two voices to a note and ear, opening slowly."""
    voices = [
        sum(oscillator(note, length, cutoff, side * cents) for note in CHORDS[chord] for cents in (-7.0, 3.0))
        for side in (-1, 1)
    ]
    return (np.stack(voices, axis=1) * 0.14 * envelope(length, 0.12, 0.25)[:, None]).astype(np.float32)


@cache
def stab(chord: str, length: float) -> Sound:
    """(n, 2) the chord, short and bright."""
    voices = [sum(pluck(note + 12 * (note < 58), length, 5200.0, 700.0, 0.16) for note in CHORDS[chord])] * 2
    return (np.stack(voices, axis=1) * 0.3).astype(np.float32)


@cache
def kick() -> Sound:
    """Return a sine that falls from 170 to 47 Hz, with a click."""
    time = seconds(0.4)
    hertz = 47.0 + 123.0 * np.exp(-time / 0.035)
    body = np.sin(2.0 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-time / 0.16)
    click = band(noise(0.4, 1) * np.exp(-time / 0.003), 1500.0, 9000.0)
    return (np.tanh(1.5 * body + 0.5 * click) * envelope(0.4, 0.0005, 0.1)).astype(np.float32)


@cache
def snare() -> Sound:
    """Return a drum's tone under rattling noise."""
    time = seconds(0.3)
    tone = np.sin(2.0 * np.pi * (185.0 * time + 2.2 * (1 - np.exp(-time / 0.02)))) * np.exp(-time / 0.07)
    rattle = band(noise(0.3, 2), 900.0, 9500.0, 2) * np.exp(-time / 0.085)
    return (np.tanh(0.9 * tone + 0.55 * rattle) * envelope(0.3, 0.0005, 0.05)).astype(np.float32)


@cache
def clap() -> Sound:
    """Four hands, not quite together."""
    time = seconds(0.35)
    hands = np.zeros(len(time))
    for at, decay in ((0.0, 0.006), (0.009, 0.006), (0.019, 0.006), (0.028, 0.09)):
        hands += (time >= at) * np.exp(-np.maximum(time - at, 0.0) / decay)
    return (0.6 * band(noise(0.35, 3), 900.0, 6500.0, 2) * hands * envelope(0.35, 0.0005, 0.05)).astype(np.float32)


@cache
def cymbal(decay: float, low: float, seed: int) -> Sound:
    """Return a hat (short) or a crash (long): noise, and squares that do not fit together."""
    length = min(6.0 * decay, 3.0)
    time = seconds(length)
    metal = sum(np.sign(np.sin(2.0 * np.pi * hertz * time)) for hertz in (3170.0, 4230.0, 5390.0, 6770.0))
    sound = band(0.6 * noise(length, seed) + 0.25 * metal, low, 17_000.0)
    return (0.5 * sound * np.exp(-time / decay) * envelope(length, 0.001, 0.3 * length)).astype(np.float32)


@cache
def tom(note: int) -> Sound:
    """Return a drum with a pitch."""
    time = seconds(0.35)
    turns = frequency(note) * (time + 0.035 * (1.0 - np.exp(-time / 0.05)))
    return (np.sin(2.0 * np.pi * turns) * np.exp(-time / 0.12) * envelope(0.35, 0.001, 0.1)).astype(np.float32)


def riser(length: float) -> Sound:
    """Noise and a gliding tone that climb to the end."""
    time = seconds(length)
    progress = time / length
    hiss = noise(length, 4)
    bands = [band(hiss, 250.0 * 2.0**octave, 700.0 * 2.0**octave, 2) for octave in range(5)]
    swept = sum(np.maximum(0.0, 1.0 - np.abs(4.0 * progress - index)) * part for index, part in enumerate(bands))
    glide = np.sin(2.0 * np.pi * np.cumsum(110.0 * 2.0 ** (3.0 * progress)) / RATE)
    return ((0.55 * swept + 0.12 * glide) * progress**1.5).astype(np.float32)


# --- mixing


class Mix:
    """Buses of one length, into which sounds are laid."""

    def __init__(self, length: float) -> None:
        self.size = round(length * RATE)
        self.buses: dict[str, Sound] = {}
        self.kicks: list[float] = []

    def bus(self, name: str) -> Sound:
        """(size, 2) the bus of that name."""
        if name not in self.buses:
            self.buses[name] = np.zeros((self.size, 2), dtype=np.float32)
        return self.buses[name]

    def lay(self, name: str, time: float, sound: Sound, gain: float = 1.0, pan: float = 0.0) -> None:
        """Add a sound at ``time`` seconds; ``pan`` from −1 left to 1 right, at constant power."""
        start = round(time * RATE)
        rows = sound if sound.ndim == 2 else sound[:, None]
        rows = rows[: self.size - start]
        angle = (pan + 1.0) * np.pi / 4.0
        sides = np.sqrt(2.0) * np.array([np.cos(angle), np.sin(angle)])
        self.bus(name)[start : start + len(rows)] += rows * (gain * sides).astype(np.float32)

    def echo(self, name: str, time: float, sound: Sound, delay: float, gain: float, pan: float) -> None:
        """As :meth:`lay`, and three times more, from side to side and softer each time."""
        for repeat in range(4):
            self.lay(name, time + repeat * delay, sound, gain * 0.45**repeat, pan * (-1.0) ** repeat)

    def ducking(self, depth: float) -> Sound:
        """(size, 1) the gain of what makes way for each kick."""
        gain = np.ones(self.size)
        time = seconds(0.45)
        dip = 1.0 - depth * np.exp(-((time / 0.14) ** 2)) * np.clip(time / 0.004, 0.0, 1.0)
        for at in self.kicks:
            start = round(at * RATE)
            part = gain[start : start + len(dip)]
            np.minimum(part, dip[: len(part)], out=part)
        return gain[:, None].astype(np.float32)


def reverb(sound: Sound, decay: float) -> Sound:
    """(n, 2) the sound in a hall, without the sound itself."""
    length = 4.0 * decay
    time = seconds(length)
    walls = np.stack([noise(length, seed) for seed in (11, 12)], axis=1)
    walls *= (np.exp(-time / (0.45 * decay)) * np.clip((time - 0.012) / 0.02, 0.0, 1.0))[:, None]
    walls = band(walls, 250.0, 6000.0, 1)
    walls /= np.sqrt(np.sum(walls**2, axis=0))
    size = 1 << (len(sound) + len(walls) - 1).bit_length()
    hall = np.fft.rfft(sound, size, axis=0) * np.fft.rfft(walls.astype(np.float32), size, axis=0)
    return np.fft.irfft(hall, size, axis=0)[: len(sound)].astype(np.float32)


# --- the players


def play_drums(mix: Mix, section: Section) -> None:
    """Kick, snare and clap, hats, fills."""
    if section.name in ("silence", "breakdown"):
        return
    straight = section.bpm > 120.0
    for bar in range(section.bars):
        last = bar == section.bars - 1
        if section.name == "intro":
            hats(mix, section, bar, loudness=0.7 * bar / section.bars)
            continue
        kicks: tuple[int, ...] = (0, 4, 8, 12) if straight else ((0, 8, 10), (0, 3, 8, 10))[bar % 2]
        if section.name == "outro" and last:
            kicks = (0,)
        for step in kicks:
            mix.kicks.append(section.time(bar, step))
            mix.lay("kick", mix.kicks[-1], kick(), 0.75)
        if section.name == "outro" and last:
            continue
        hats(mix, section, bar, loudness=1.0)
        for step in (4, 12):
            mix.lay("drums", section.time(bar, step), snare(), 0.55)
            if straight or section.name == "chorus":
                mix.lay("drums", section.time(bar, step), clap(), 0.5)
        for step, gain in ((7, 0.10), (9, 0.14), (15, 0.12)):
            mix.lay("drums", section.time(bar, step), snare(), gain, 0.15)
        if bar % 4 == 3:
            for step, note, pan in ((13, 50, -0.4), (14, 45, 0.0), (15, 40, 0.4)):
                mix.lay("drums", section.time(bar, step), tom(note), 0.5, pan)


def hats(mix: Mix, section: Section, bar: int, loudness: float) -> None:
    """Play closed hats on sixteenths, open ones off the beat."""
    for step in range(STEPS):
        accent = (0.55, 0.22, 0.42, 0.24)[step % 4]
        mix.lay("drums", section.time(bar, step), cymbal(0.03, 7500.0, 21 + step % 3), accent * loudness, 0.25)
    if section.name in ("chorus", "drop"):
        for step in (2, 6, 10, 14):
            mix.lay("drums", section.time(bar, step), cymbal(0.12, 6500.0, 25), 0.34 * loudness, -0.2)


def play_bass(mix: Mix, section: Section) -> None:
    """One line for each half of the song; a long root note where the drums are away."""
    if section.name in ("intro", "silence"):
        return
    for bar in range(section.bars):
        root = ROOTS[section.chord(bar)]
        line: tuple[tuple[int, int, int], ...] = DROP_BASS if section.bpm > 120.0 else VERSE_BASS
        if section.name == "breakdown" or (section.name == "outro" and bar == section.bars - 1):
            line = ((0, 14, 0),)
        for step, steps, interval in line:
            mix.lay("bass", section.time(bar, step), bass(root + interval, round(0.9 * steps * section.step, 4)), 0.28)


def play_chords(mix: Mix, section: Section) -> None:
    """Play pads under everything, and stabs off the beat where it is loud."""
    brightness = {"intro": 900.0, "verse": 1100.0, "breakdown": 1800.0, "outro": 1000.0}.get(section.name, 2200.0)
    for bar in range(section.bars):
        chord = section.chord(bar)
        length = STEPS * section.step + 0.2
        mix.lay(
            "pad",
            section.time(bar, 0),
            pad(chord, round(length, 4), brightness),
            0.34 if section.name == "intro" else 0.26,
        )
        if section.name in ("chorus", "drop"):
            for step in (0, 3, 6, 11) if section.name == "drop" else (6, 14):
                mix.echo("keys", section.time(bar, step), stab(chord, 0.3), 3 * section.step, 0.4, 0.3)


def play_arpeggio(mix: Mix, section: Section) -> None:
    """Sixteenths through the chord; opens in the intro, shines in the breakdown."""
    for bar in range(section.bars):
        notes = CHORDS[section.chord(bar)]
        for step in range(STEPS):
            if section.name in ("verse", "outro") and step % 4 == 1:
                continue
            note = notes[ARP[step % len(ARP)]] + (24 if step % 8 == 6 else 12)
            progress = (bar + step / STEPS) / section.bars
            opening = {"intro": 0.2 + 0.6 * progress, "breakdown": 0.4 + 0.6 * progress}.get(section.name, 0.4)
            bright = 700.0 * 2.0 ** round(4.0 * opening * 2.0) ** 0.75
            gain = {"intro": 0.30, "verse": 0.2, "breakdown": 0.34, "outro": 0.22 * (1.2 - progress)}
            sound = pluck(note, 0.3, bright, 500.0, 0.14, True)
            accent = 1.0 if step % 4 == 0 else 0.75
            loudness = gain.get(section.name, 0.2) * accent
            mix.echo("keys", section.time(bar, step), sound, 3 * section.step, loudness, 0.5 * (-1.0) ** step)


def play_lead(mix: Mix, section: Section) -> None:
    """Play the tune: in the chorus, and in the drop after its first four bars."""
    if section.name not in ("chorus", "drop"):
        return
    for bar in range(0 if section.name == "chorus" else 4, section.bars):
        for step, steps, note in LEAD[bar % len(LEAD)]:
            sound = lead(note, round(0.95 * steps * section.step, 4))
            mix.echo("lead", section.time(bar, step), sound, 3 * section.step, 0.36, 0.2)


def play_effects(mix: Mix, section: Section) -> None:
    """Play a crash on the first beat of what is loud; a riser and a drum roll at the end of the breakdown."""
    if section.name in ("verse", "chorus", "drop", "outro"):
        mix.lay("drums", section.start, cymbal(0.7, 3500.0, 31), 0.4, -0.1)
    if section.name == "drop":
        mix.lay("drums", section.time(8, 0), cymbal(0.7, 3500.0, 32), 0.3, 0.2)
        mix.lay("kick", section.start, band(tom(24), 0.0, 200.0), 0.5)
    if section.name == "breakdown":
        length = 2 * STEPS * section.step
        mix.lay("effects", section.end - length, riser(length), 0.6)
        for step in range(2 * STEPS):
            if step >= STEPS or step % 2 == 0:
                mix.lay("drums", section.time(2, step), snare(), 0.08 + 0.3 * (step / (2 * STEPS)) ** 2, 0.1)


def compose() -> Sound:
    """(n, 2) float32 at RATE: the track, mastered to PEAK_DB."""
    sections = arrange()
    mix = Mix(sections[-1].end + TAIL)
    for section in sections:
        for play in (play_drums, play_bass, play_chords, play_arpeggio, play_lead, play_effects):
            play(mix, section)
    return master(mix, sections)


def master(mix: Mix, sections: tuple[Section, ...]) -> Sound:
    """Effects, levels, the silence and the end."""
    pads = band(mix.bus("pad"), 160.0, 9000.0, 1).astype(np.float32) * mix.ducking(0.75)
    keys = mix.bus("keys") * mix.ducking(0.35)
    melody = mix.bus("lead") * mix.ducking(0.25)
    low = mix.bus("bass") * mix.ducking(0.8)
    hall = reverb(0.5 * pads + 0.8 * keys + melody + 0.25 * mix.bus("drums") + mix.bus("effects"), 1.4)
    sound = mix.bus("kick") + low + mix.bus("drums") + pads + keys + melody + mix.bus("effects") + 0.35 * hall
    sound = np.tanh(0.8 * band(sound, 28.0, 19_000.0, 2)) * fade(mix.size, sections)[:, None]
    return (sound * 10.0 ** (PEAK_DB / 20.0) / np.abs(sound).max()).astype(np.float32)


def fade(size: int, sections: tuple[Section, ...]) -> Sound:
    """(size,) the gain that makes the silence silent, and the end soft."""
    time = np.arange(size) / RATE
    silence = next(section for section in sections if section.name == "silence")
    end = size / RATE
    gain = np.where(time < silence.end, np.clip((silence.start - time) / 0.02, 0.0, 1.0), 1.0)
    return (gain * np.clip((end - time) / TAIL, 0.0, 1.0)).astype(np.float32)


# --- the file


def write(sound: Sound, path: Path) -> None:
    """Write (n, 2) float32 at RATE as Opus in an Ogg file."""
    import av

    with av.open(str(path), "w", format="ogg", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="stereo")
        stream.bit_rate = BIT_RATE
        for start in range(0, len(sound), 960):
            block = np.ascontiguousarray(sound[start : start + 960]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Run the command; return the exit code."""
    parser = ArgumentParser("python -m dancerev.model.corpus.demo_track", "Make the demo track and its beats.")
    parser.add_argument("path", type=Path, metavar="OUT.ogg")
    path: Path = parser.parse_args().path
    write(compose(), path)
    path.with_suffix(".beats.json").write_text(json.dumps(score(), indent=1) + "\n")


if __name__ == "__main__":
    main()
