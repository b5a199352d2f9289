"""Music whose beats are known exactly: drum grooves played by people, re-timed, arranged and rendered.

A groove's MIDI file is looped at a chosen tempo, given bass, chords and a tune, rendered by FluidSynth and
sent through a random room, equaliser, level and noise. Some pieces begin in silence or hold a break.
"""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter

from dancerev.errors import CorpusError, reason
from dancerev.realtime.audio.clock import SAMPLE_RATE

Array = npt.NDArray[Any]

_PPQ = 480
_DRUMS = 9
_TAIL = 1.0  # seconds rendered after the last beat


@dataclass(frozen=True)
class Groove:
    """A drum pattern: ``notes`` (N, 4) float64 of start and length in beats, key and velocity; ``beats`` long."""

    notes: Array
    beats: int


@dataclass(frozen=True)
class Clip:
    """Rendered music.

    Attributes:
        audio: (samples,) float32 mono at :data:`SAMPLE_RATE`, within [-1, 1].
        beats: (N,) seconds of every beat that sounds; none in breaks.
        breaks: (start, stop) in seconds of the stretches of silence.
    """

    audio: npt.NDArray[np.float32]
    beats: Array
    breaks: list[tuple[float, float]]


def read_groove(data: bytes) -> Groove:
    """Read the notes of a standard MIDI file, trimmed to whole bars of four beats.

    Raises:
        CorpusError: not a MIDI file with notes, or timed in frames rather than beats.
    """
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        if file.ticks_per_beat & 0x8000 or not file.ticks_per_beat:
            raise CorpusError("MIDI file is timed in frames, not beats")
        notes = [note for track in file.tracks for note in _notes_of(track, file.ticks_per_beat)]
    except CorpusError:
        raise
    except (OSError, EOFError, ValueError, LookupError, TypeError, struct.error) as error:
        raise CorpusError(f"not a MIDI file that can be read ({reason(error)})") from None
    if not notes:
        raise CorpusError("MIDI file has no notes")
    array = np.array(sorted(notes))
    beats = max(4, round((array[:, 0].max() + 0.5) / 4.0) * 4)
    array = array[array[:, 0] < beats - 0.02]
    return Groove(array, beats)


def _notes_of(track: mido.MidiTrack, ticks_per_beat: int) -> list[tuple[float, float, int, int]]:
    """Start and length in beats, key and velocity of a track's notes."""
    notes: list[tuple[float, float, int, int]] = []
    sounding: dict[int, tuple[int, int]] = {}
    tick = 0
    for message in track:
        tick += message.time
        if message.type == "note_on" and message.velocity > 0:
            sounding[message.note] = (tick, message.velocity)
        elif message.type in ("note_on", "note_off") and message.note in sounding:
            start, velocity = sounding.pop(message.note)
            notes.append((start / ticks_per_beat, max(tick - start, 1) / ticks_per_beat, message.note, velocity))
    return notes


def _write_midi(
    path: Path, bpm: float, programs: dict[int, int], notes: list[tuple[float, float, int, int, int]]
) -> None:
    """Write one track; notes are (beat, length in beats, channel, key, velocity)."""
    events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = [
        (0, 0, mido.MetaMessage("set_tempo", tempo=round(6e7 / bpm)))
    ]
    events += [
        (0, 0, mido.Message("program_change", channel=channel, program=program))
        for channel, program in programs.items()
    ]
    for beat, length, channel, key, velocity in notes:
        start = max(0, round(beat * _PPQ))
        stop = start + max(1, round(length * _PPQ))
        loudness = int(np.clip(velocity, 1, 127))
        events.append((start, 2, mido.Message("note_on", channel=channel, note=key, velocity=loudness)))
        events.append((stop, 1, mido.Message("note_off", channel=channel, note=key, velocity=0)))
    events.sort(key=lambda event: event[:2])
    track, now = mido.MidiTrack(), 0
    for tick, _, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track"))
    mido.MidiFile(type=0, ticks_per_beat=_PPQ, tracks=[track]).save(str(path))


_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_PROGRESSIONS = ((0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 4, 3), (1, 4, 0, 0), (0, 6, 5, 6), (0, 0, 3, 4), (0, 5, 1, 4))
_BASSES, _CHORDS, _LEADS = (
    (32, 33, 34, 35, 36, 38, 39),
    (0, 2, 4, 5, 16, 18, 24, 25, 27, 48, 50, 61, 62, 80, 88, 89),
    (
        11,
        12,
        21,
        22,
        26,
        56,
        64,
        65,
        66,
        71,
        73,
        80,
        81,
        104,
    ),
)
# (beat, length, step of the chord) within a bar
_BASS_PATTERNS = (
    ((0, 0.9, 0), (1, 0.9, 0), (2, 0.9, 2), (3, 0.9, 0)),
    ((0, 0.4, 0), (0.5, 0.4, 0), (1, 0.4, 0), (1.5, 0.4, 0), (2, 0.4, 0), (2.5, 0.4, 0), (3, 0.4, 0), (3.5, 0.4, 2)),
    ((0, 1.4, 0), (1.5, 0.9, 2), (2.5, 0.4, 0), (3, 0.9, 2)),
    ((0, 0.7, 0), (0.75, 0.6, 0), (1.5, 0.4, 2), (2, 0.7, 0), (2.75, 0.6, 0), (3.5, 0.4, 2)),
    ((0, 1.9, 0), (2, 1.9, 2)),
)
_CHORD_PATTERNS = (
    ((0, 3.9),),
    ((0, 1.9), (2, 1.9)),
    ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)),
    ((0, 0.4), (1, 0.4), (2, 0.4), (3, 0.4)),
    ((0, 0.6), (1.5, 0.4), (2.5, 0.4), (3, 0.6)),
    ((1, 0.4), (3, 0.4)),
)  # fmt: skip


def arrange(rng: np.random.Generator, bars: int) -> tuple[dict[int, int], list[tuple[float, float, int, int, int]]]:
    """Programs and notes of a bass line, chords and, half the time, a tune over so many bars of four."""
    scale = _MAJOR if rng.random() < 0.5 else _MINOR
    key = int(rng.integers(0, 12))
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    bass = _BASS_PATTERNS[rng.integers(len(_BASS_PATTERNS))]
    chords = _CHORD_PATTERNS[rng.integers(len(_CHORD_PATTERNS))]
    programs = {0: int(rng.choice(_BASSES)), 1: int(rng.choice(_CHORDS)), 2: int(rng.choice(_LEADS))}
    loudness = rng.integers(60, 110, size=3)
    tune = rng.random() < 0.5
    # A tune repeats every four bars, as tunes do.
    rhythm = np.flatnonzero(rng.random(32) < rng.uniform(0.25, 0.6)) / 2.0
    steps = np.cumsum(rng.integers(-2, 3, size=len(rhythm))) % 10
    notes: list[tuple[float, float, int, int, int]] = []

    def pitch(step: int, base: int) -> int:
        return base + key + scale[step % 7] + 12 * (step // 7)

    for bar in range(bars):
        root = progression[bar % 4]
        for beat, length, step in bass:
            notes.append(
                (4 * bar + beat, length, 0, pitch(root + 2 * step, 28), int(loudness[0] + rng.integers(-8, 9)))
            )
        for beat, length in chords:
            for step in (0, 2, 4):
                notes.append((4 * bar + beat, length, 1, pitch((root + step) % 7, 55), int(loudness[1])))
        if tune and bar % 8 >= 2:
            inside = (rhythm >= 4 * (bar % 4)) & (rhythm < 4 * (bar % 4) + 4)
            for beat, step in zip(rhythm[inside], steps[inside], strict=True):
                notes.append(
                    (4 * (bar // 4) * 4 + beat, 0.45, 2, pitch(int(step), 67), int(loudness[2] + rng.integers(-8, 9)))
                )
    return programs, notes


def render(groove: Groove, bpm: float, seconds: float, soundfont: Path, seed: int, silences: bool = False) -> Clip:
    """Return a piece of about so many seconds at ``bpm``; one seed always makes the same piece.

    Args:
        groove: the drums.
        bpm: beats per minute.
        seconds: length, rounded to whole bars, without silences put in before it and in its middle.
        soundfont: a General MIDI bank (SF2).
        seed: of arrangement, sound and silences.
        silences: begin in silence and pause once, for 2 to 6 s each.

    Raises:
        OSError: FluidSynth is not installed or fails.
    """
    rng = np.random.default_rng(seed)
    bars = max(4, round(seconds * bpm / 240.0))
    repeats = -(-4 * bars // groove.beats)
    notes = [
        (start + groove.beats * turn, length, _DRUMS, int(key), int(velocity))
        for turn in range(repeats)
        for start, length, key, velocity in groove.notes.tolist()
        if start + groove.beats * turn < 4 * bars - 0.02
    ]
    programs: dict[int, int] = {_DRUMS: int(rng.choice([0, 8, 16, 24, 25, 32, 40]))}
    if rng.random() < 0.75:
        band, played = arrange(rng, bars)
        programs |= band
        notes += played
    audio = synthesise(bpm, programs, notes, soundfont)
    period = 60.0 / bpm
    beats = np.arange(4 * bars) * period
    audio = audio[: round((4 * bars * period + _TAIL) * SAMPLE_RATE)]
    audio = colour(audio, rng)
    breaks: list[tuple[float, float]] = []
    if silences:
        audio, beats, breaks = _silence(audio, beats, period, rng)
    audio += 10.0 ** (rng.uniform(-75.0, -45.0) / 20.0) * noise(len(audio), rng)
    audio *= 10.0 ** (rng.uniform(-40.0, 0.0) / 20.0) / max(np.abs(audio).max(), 1e-6)
    return Clip(audio.astype(np.float32), beats, breaks)


def synthesise(
    bpm: float, programs: dict[int, int], notes: list[tuple[float, float, int, int, int]], soundfont: Path
) -> Array:
    """Render notes (beat, length in beats, channel, key, velocity) with FluidSynth: (samples,) at SAMPLE_RATE."""
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder, "piece.mid")
        _write_midi(midi, bpm, programs, notes)
        return play_midi(midi, soundfont)


def play_midi(midi: Path, soundfont: Path) -> Array:
    """Render a MIDI file with FluidSynth: (samples,) at SAMPLE_RATE.

    Raises:
        OSError: FluidSynth is not installed or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "piece.wav")
        sound = ["-r", str(SAMPLE_RATE), "-F", str(wav), "-T", "wav"]
        command = ["fluidsynth", "-niq", "-g", "0.5", *sound, str(soundfont), str(midi)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            raise OSError("fluidsynth is not installed; it renders the music") from None
        except subprocess.CalledProcessError as error:
            raise OSError(f"fluidsynth failed: {error.stderr.decode(errors='replace').strip()[:200]}") from None
        with wave.open(str(wav)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, file.getnchannels())
    return samples.mean(axis=1) / 32768.0


def colour(audio: Array, rng: np.random.Generator) -> Array:
    """Random room, tilt and one resonance; the direct sound keeps its time."""
    audio = audio / max(np.abs(audio).max(), 1e-6)
    if rng.random() < 0.6:
        decay = rng.uniform(0.1, 0.7)
        tail = np.arange(int(decay * SAMPLE_RATE))
        response = rng.normal(size=len(tail)) * np.exp(-6.9 * tail / len(tail)) * rng.uniform(0.005, 0.05)
        response[0] = 1.0
        audio = fftconvolve(audio, response)[: len(audio)]
    low = lfilter([0.03], [1.0, -0.97], audio)
    audio = audio + rng.uniform(-0.5, 1.0) * low
    edge = rng.uniform(0.0, 0.6)
    audio = lfilter([1.0 - edge], [1.0, -edge], audio)
    angle, radius = 2 * np.pi * 10 ** rng.uniform(2.2, 3.7) / SAMPLE_RATE, 0.95
    audio = audio + rng.uniform(0.0, 0.05) * lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], audio)
    return np.asarray(audio / max(np.abs(audio).max(), 1e-6))


def _silence(
    audio: Array, beats: Array, period: float, rng: np.random.Generator
) -> tuple[Array, Array, list[tuple[float, float]]]:
    """Put silence before the piece and pause it once: the music waits and goes on where it stopped."""
    before, pause = rng.uniform(2.0, 6.0, size=2)
    # It stops a little before a beat in the middle, and that beat is the first thing heard again.
    stop = float(beats[rng.integers(len(beats) // 3, 2 * len(beats) // 3)]) - 0.03
    if rng.random() < 0.5:  # whole beats: the pulse goes on underneath
        pause = round(pause / period) * period
    cut = round(stop * SAMPLE_RATE)
    first, second = audio[:cut].copy(), audio[cut:]
    fade = min(round(rng.uniform(0.02, 0.25) * SAMPLE_RATE), cut)
    first[-fade:] *= np.linspace(1.0, 0.0, fade)
    start, gap = round(before * SAMPLE_RATE), round(pause * SAMPLE_RATE)
    silent = np.zeros(start + len(audio) + gap)
    silent[start : start + cut] = first
    silent[start + cut + gap :] = second
    moved = beats + start / SAMPLE_RATE + np.where(beats > stop, gap / SAMPLE_RATE, 0.0)
    breaks = [(0.0, start / SAMPLE_RATE), ((start + cut) / SAMPLE_RATE, (start + cut + gap) / SAMPLE_RATE)]
    return silent, moved, breaks


def noise(count: int, rng: np.random.Generator) -> Array:
    """Return (count,) samples of white or, half the time, of red noise."""
    white = rng.normal(size=count)
    return np.asarray(white if rng.random() < 0.5 else 5.0 * lfilter([0.05], [1.0, -0.95], white))
