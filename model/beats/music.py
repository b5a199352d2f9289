"""Music to train the beat network on: grooves played by people and programmed patterns, arranged at random.

Unlike the dancer's music (:mod:`dancerev.model.corpus.songs`) it is made for variety: tempi of 55 … 215 BPM, sampled
and synthesised drums, bands with and without them, bars of three, tempi that drift or step. Noise, rooms and levels
are added to the spectra in training (:mod:`~dancerev.model.beats.augment`).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from dancerev.errors import CorpusError
from dancerev.realtime.audio.clock import SAMPLE_RATE

from ..corpus.render_music import Groove, arrange, colour, read_groove, synthesise
from .spectra import split_of

Array = npt.NDArray[Any]
Note = tuple[float, float, int, int, int]  # beat, length in beats, channel, key, velocity

SLOWEST, FASTEST = 55.0, 215.0
DRUMS = 9
_AS_PLAYED = 0.6  # share of the grooves at the tempo of their drummer, which tells a style's tempo from its double
_STRETCH = 0.4  # octaves by which the tempo of the others may be changed
_NOMINAL = 120.0  # BPM of the MIDI files that are written


@dataclass(frozen=True)
class LabelledMusic:
    """Music and its beats.

    Attributes:
        audio: (samples,) float32 mono at 24 kHz.
        beats: (N,) seconds.
        downbeats: (N,) bool: which of them begin a bar.
    """

    audio: npt.NDArray[np.float32]
    beats: Array
    downbeats: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Style:
    """A programmed rhythm: ``low`` … ``high`` BPM, and for each drum how likely (in tenths) it is at each step."""

    low: float
    high: float
    steps: int  # per beat
    kick: str
    snare: str
    hat: str
    open_hat: str = ""
    ride: str = ""


_STYLES: dict[str, Style] = {
    "house": Style(112, 136, 4, "9000900090009000", "0000900000009000", "3060306030603060", "0090009000900090"),
    "techno": Style(118, 160, 4, "9000900090009001", "0000300000003000", "5353535353535353", "0070007000700070"),
    "off-beat hats": Style(100, 150, 4, "9000900090009000", "0000000000000000", "0000000000000000", "0090009000900090"),
    "minimal": Style(110, 150, 4, "9000900090009000", "0000200000002001", "0192019201920192", "0080008000800080"),
    "disco": Style(100, 140, 4, "9000900090009000", "0000900000009000", "9292929292929292", "0080008000800080"),
    "four quiet": Style(90, 190, 4, "9000900090009000", "0000000000000000", "0000000000000000"),
    "rock": Style(75, 170, 4, "9000001090600000", "0000900000009000", "9090909090909090"),
    "fast rock": Style(140, 215, 4, "9000001090300000", "0000900000009000", "9010901090109010"),
    "quarters": Style(100, 215, 4, "9000000090000000", "0000900000009000", "9000900090009000"),
    "ballad": Style(55, 90, 4, "9000000190500101", "0000900000009000", "9191919191919191"),
    "slow sixteen": Style(55, 95, 4, "9001002190210020", "0000900200009001", "9696969696969696"),
    "hip hop": Style(60, 105, 4, "9003002105400300", "0000900101009002", "9090909090909292"),
    "half time": Style(120, 185, 4, "9000002000100100", "0000000090000000", "9191919191919191"),
    "trap": Style(125, 165, 4, "9000000300302000", "0000000090000000", "9490949094999490"),
    "drum and bass": Style(155, 190, 4, "9000000000900000", "0000900100009000", "9292929292929292"),
    "breakbeat": Style(110, 180, 4, "9080000000990000", "0000900204009204", "9090909090909090"),
    "one drop": Style(110, 190, 4, "0000000090000000", "0000000080000000", "9010902090109020"),
    "one drop slow": Style(58, 95, 4, "1000900010009000", "0000700000007000", "9290929092909290"),
    "steppers": Style(110, 165, 4, "9000900090009000", "0000000080000000", "9050905090509050"),
    "ska": Style(120, 180, 4, "5000900050009000", "0000700000007000", "2090209020902090"),
    "reggaeton": Style(84, 108, 4, "9000900090009000", "0009009000090090", "5050505050505050"),
    "bossa": Style(105, 165, 4, "9000009090000090", "9000009000800080", "9090909090909090"),
    "samba": Style(85, 125, 4, "9002900290029002", "3502302305023502", "9696969696969696"),
    "son clave": Style(80, 130, 4, "2009000020090000", "9009009000909000", "9595959595959595"),
    "offbeat snare": Style(75, 140, 4, "9000900090009000", "0090009000900090", "9090909090909090"),
    "skank beat": Style(140, 215, 4, "9000900090009000", "0090009000900090", "9090909090909090"),
    "four on the snare": Style(100, 185, 4, "9000000190900000", "9000900090009000", "9090909090909090"),
    "train beat": Style(80, 185, 4, "9000900090009000", "5595559555955595", "0000000000000000"),
    "march": Style(85, 145, 4, "9000000090000000", "7050909070509090", "0000000090000000"),
    "two-step": Style(122, 142, 4, "9000000200900000", "0000900000009000", "2090209020902090"),
    "soca": Style(105, 165, 4, "9000900090009000", "0009009000090090", "9090909090909090"),
    "merengue": Style(105, 165, 4, "9000900090009000", "3000000030009999", "6565656565656565"),
    "cumbia": Style(75, 115, 4, "9000300090003000", "0000600000006000", "9044904490449044"),
    "baião": Style(85, 130, 4, "9009000090090000", "0000009000000090", "9595959595959595"),
    "afrobeat": Style(88, 135, 4, "9000009000900000", "0009000000900100", "9099909990999099"),
    "shuffle": Style(60, 145, 3, "900001900301", "000900000900", "908908908908"),
    "half shuffle": Style(100, 170, 3, "900000002000", "012012912012", "908908908908"),
    "swing": Style(110, 215, 3, "300100300101", "001200002001", "000900000900", ride="900908900908"),
    "twelve eight": Style(55, 95, 3, "900000901000", "000900000900", "999999999999"),
    "waltz": Style(80, 200, 2, "900000", "005050", "303030"),
    "waltz drums": Style(75, 190, 2, "900010", "000090", "909090"),
}

_CLUB = ("house", "techno", "off-beat hats", "minimal", "disco")
"""What is played most where dancers are on stage."""


# --- drums that are synthesised


def _band(sound: Array, low: float, high: float) -> Array:
    high = min(high, 0.48 * SAMPLE_RATE)
    return np.asarray(sosfilt(butter(2, [low, high], "band", fs=SAMPLE_RATE, output="sos"), sound))


def _kit(rng: np.random.Generator) -> dict[str, Array]:
    """One-shots of a drum machine that nobody has built before, by name; each (samples,) with peak 1."""

    def times(length: float) -> Array:
        return np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE

    def sweep(base: float, depth: float, fall: float, decay: float) -> Array:
        time = times(min(6 * decay, 0.9))
        return np.asarray(
            np.sin(2 * np.pi * np.cumsum(base + depth * np.exp(-time / fall)) / SAMPLE_RATE) * np.exp(-time / decay)
        )

    def hiss(length: float, decay: float, low: float, high: float) -> Array:
        time = times(length)
        return _band(rng.normal(size=len(time)), low, high) * np.exp(-time / decay)

    kick = sweep(rng.uniform(38, 75), rng.uniform(40, 260), rng.uniform(0.01, 0.05), 10 ** rng.uniform(-1.3, -0.5))
    click = hiss(0.02, 0.003, 1500, 9000)
    kick[: len(click)] += rng.uniform(0.0, 0.5) * click
    kick = np.tanh(rng.uniform(0.8, 4.0) * kick)
    decay = rng.uniform(0.04, 0.18)
    snare = hiss(0.4, decay, rng.uniform(400, 1800), rng.uniform(5000, 11000))
    tone = sweep(rng.uniform(150, 260), rng.uniform(0, 200), 0.015, 0.06)
    snare[: len(tone)] += rng.uniform(0.1, 1.2) * tone[: len(snare)]
    if rng.random() < 0.35:  # clap
        hands = [np.roll(snare, int(late * SAMPLE_RATE)) * (times(0.4) > late) for late in (0.0, 0.009, 0.019)]
        snare = np.sum(hands, axis=0)
    hat_low = rng.uniform(4000, 8000)
    bell = np.sin(2 * np.pi * 3100 * times(0.5)) * np.exp(-times(0.5) / 0.1)
    kit = {
        "kick": kick,
        "snare": snare,
        "rim": sweep(rng.uniform(400, 1800), 0, 1.0, 0.02),
        "hat": hiss(0.15, 10 ** rng.uniform(-2.0, -1.3), hat_low, 11500),
        "open": hiss(0.6, rng.uniform(0.08, 0.3), hat_low, 11500),
        "crash": hiss(1.5, rng.uniform(0.3, 0.6), 2500, 11500),
        "ride": hiss(0.5, rng.uniform(0.06, 0.2), 3500, 11500) + 0.2 * bell,
        "tom": sweep(rng.uniform(80, 160), rng.uniform(20, 100), 0.04, 0.12),
        "perc": sweep(rng.uniform(300, 2500), rng.uniform(0, 300), 0.02, rng.uniform(0.02, 0.1)),
    }  # fmt: skip
    return {name: sound / np.abs(sound).max() for name, sound in kit.items()}


_NAMES = {
    "kick": (35, 36),
    "snare": (38, 39, 40),
    "rim": (37,),
    "hat": (22, 42, 44),
    "open": (26, 46),
    "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59),
    "tom": (41, 43, 45, 47, 48, 50, 58),
}
_NAME_OF = {key: name for name, keys in _NAMES.items() for key in keys}


def _drum_machine(notes: list[Note], length: float, rng: np.random.Generator) -> Array:
    """Return (samples,) the drum notes, whose times are in seconds here, played on a synthesised kit."""
    kit = _kit(rng)
    loud = {name: rng.uniform(0.5, 1.0) for name in kit}
    bright = rng.uniform(0.6, 1.6) if rng.random() < 0.25 else rng.uniform(0.15, 0.7)
    for name in ("hat", "open", "ride", "crash"):
        loud[name] *= bright * rng.uniform(0.7, 1.0)
    if rng.random() < 0.2:
        loud["kick"] *= rng.uniform(0.2, 0.7)
    audio = np.zeros(int((length + 2.0) * SAMPLE_RATE))
    for time, _, _, key, velocity in notes:
        name = _NAME_OF.get(key, "perc")
        start, sound = round(time * SAMPLE_RATE), kit[name]
        if 0 <= start < len(audio) - len(sound):
            audio[start : start + len(sound)] += loud[name] * (velocity / 127.0) ** 1.5 * sound
    return audio


# --- patterns and bands


def _program(style: Style, bars: int, rng: np.random.Generator) -> tuple[list[Note], int]:
    """Drum notes over so many bars, and beats per bar. A pattern of one or two bars repeats, with fills."""
    steps = len(style.kick)
    beats = steps // style.steps
    keys = {"kick": 36, "snare": int(rng.choice([38, 38, 40, 37, 39])), "hat": 42, "open": 46, "ride": 51}
    rows = {"kick": style.kick, "snare": style.snare, "hat": style.hat, "open": style.open_hat, "ride": style.ride}
    if style.open_hat and rng.random() < 0.5:
        rows["open"] = ""
    if rng.random() < 0.12:
        rows["hat"] = rows["open"] = ""
    if rng.random() < 0.08:
        rows["snare"] = ""
    chances = {name: np.array([int(digit) for digit in row]) / 9.0 for name, row in rows.items() if row}
    loose = rng.uniform(0.0, 0.15)  # what the pattern says is more or less kept
    length = int(rng.choice([1, 2]))
    pattern = {
        name: rng.random((length, steps)) < np.clip(chance * (1 - loose / 2) + loose * 0.3 * (chance < 0.5), 0, 1)
        for name, chance in chances.items()
    }
    accents = {name: rng.uniform(0.75, 1.0, size=(length, steps)) for name in chances}
    for name in accents:
        accents[name][:, :: style.steps] = 1.0
        if name != "kick" and name != "snare":
            accents[name][:, 1 :: style.steps] *= rng.uniform(0.4, 1.0)
    swing = rng.uniform(0.0, 0.35) if style.steps == 4 and rng.random() < 0.25 else 0.0
    human = rng.uniform(0.0, 0.012) if rng.random() < 0.5 else 0.0
    fills = rng.random() < 0.5
    notes: list[Note] = []
    for bar in range(bars):
        fill = fills and bar % 4 == 3
        for step in range(steps):
            late = swing if step % 2 else 0.0
            beat = bar * beats + (step + late) / style.steps
            if fill and step >= steps - style.steps and rng.random() < 0.6:
                notes.append((beat, 0.2, DRUMS, int(rng.choice([38, 41, 45, 48])), int(rng.integers(60, 120))))
                continue
            for name, hits in pattern.items():
                if hits[bar % length, step]:
                    velocity = int(110 * accents[name][bar % length, step] * rng.uniform(0.9, 1.0))
                    notes.append((beat + rng.normal() * human, 0.2, DRUMS, keys[name], velocity))
        if bar % 8 == 0 and rng.random() < 0.5:
            notes.append((bar * beats, 1.0, DRUMS, 49, 100))
    return notes, beats


def _riffs(
    rng: np.random.Generator, bars: int, beats: int, style: str, pulse: bool
) -> tuple[dict[int, int], list[Note]]:
    """Return a bass line, chords and broken chords of a machine, in bars of so many beats."""
    minor = (0, 3, 7, 10, 12, 15)
    major = (0, 4, 7, 9, 12, 16)
    key = int(rng.integers(0, 12))
    roots = rng.choice([0, 3, 5, 7, 8, 10], size=4)
    programs = {
        0: int(rng.choice([33, 34, 36, 38, 39, 43, 80, 81, 87])),
        1: int(rng.integers(0, 104)),
        2: int(rng.choice([4, 6, 11, 12, 24, 25, 27, 45, 46, 80, 81, 82, 84, 87, 98, 104])),
    }
    loud = rng.integers(55, 115, size=3)
    notes: list[Note] = []
    bass = _bass_pattern(rng, beats, pulse)
    skank = style in ("one drop", "steppers", "one drop slow", "ska")
    where = rng.choice(["bar", "half", "off", "beat", "charleston", "back"], p=[0.25, 0.15, 0.2, 0.15, 0.15, 0.1])
    chords = {
        "bar": (0.0,),
        "half": (0.0, beats / 2),
        "off": tuple(beat + 0.5 for beat in range(beats)),
        "beat": tuple(float(beat) for beat in range(beats)),
        "charleston": (0.0, 1.5),
        "back": tuple(float(beat) for beat in range(1, beats, 2 if beats == 4 else 1)),
    }[str(where)]
    if skank:
        chords = tuple(beat + 0.5 for beat in range(4)) if style in ("one drop slow", "ska") else (1.0, 3.0)
        programs[1] = int(rng.choice([7, 16, 18, 27, 28, 0]))
    stab = 0.25 if skank or where in ("off", "back", "charleston") else 0.9 * beats / len(chords)
    arpeggio = rng.random() < (0.8 if pulse else 0.45)
    every = float(rng.choice([0.25, 0.5, 0.5, 1.0, 1 / 3]))
    order = rng.permutation(6)[: int(rng.integers(3, 7))]
    played = rng.random(int(beats / every * 2)) < rng.uniform(0.6, 1.0)
    played[:: max(1, round(1 / every))] = True
    for bar in range(bars):
        root = int(roots[bar % 4])
        chord = minor if root in (0, 5, 7) else major
        for step in np.flatnonzero(bass):
            pitch = 28 + (key + root) % 12 + int(rng.choice([0, 0, 0, 7, 12]))
            notes.append((bar * beats + step / 4, 0.3, 0, pitch, int(loud[0] + rng.integers(-6, 7))))
        for beat in chords:
            for interval in chord[:3]:
                notes.append((bar * beats + beat, stab, 1, 52 + (key + root + interval) % 12, int(loud[1])))
        if arpeggio:
            for index in range(round(beats / every)):
                if played[(bar % 2) * round(beats / every) + index]:
                    pitch = 60 + (key + root) % 12 + chord[int(order[index % len(order)])]
                    accent = 12 if index * every % 1.0 == 0 else 0
                    notes.append((bar * beats + index * every, 0.8 * every, 2, pitch, int(min(loud[2] + accent, 127))))
    return programs, notes


def _bass_pattern(rng: np.random.Generator, beats: int, pulse: bool) -> npt.NDArray[np.bool_]:
    """Return (4 beats,) bool: the sixteenths of a bar on which the bass plays; with ``pulse`` there are some."""
    steps = beats * 4
    kind = str(
        rng.choice(["root", "eighths", "off", "random", "sixteenths", "none"], p=[0.2, 0.2, 0.15, 0.25, 0.1, 0.1])
    )
    if kind == "none" and pulse:
        kind = "root"
    patterns = {
        "root": np.arange(steps) % (4 if rng.random() < 0.5 else steps) == 0,
        "eighths": np.arange(steps) % 2 == 0,
        "off": np.arange(steps) % 4 == 2,
        "sixteenths": np.arange(steps) % 4 != 0,
        "random": rng.random(steps) < np.tile([0.6, 0.2, 0.4, 0.2], beats),
        "none": np.zeros(steps, dtype=bool),
    }
    return patterns[kind]


def tempo_map(rng: np.random.Generator, bpm: float, beats: int, beats_per_bar: int) -> Array:
    """(beats + 1,) seconds at which each beat falls: mostly steady, now and then drifting or with a step of tempo."""
    period = np.full(beats, 60.0 / bpm)
    kind = rng.random()
    if kind < 0.15:
        turn = 2 * np.pi * (np.arange(beats) / rng.uniform(16, 64) + rng.random())
        period *= np.exp(rng.uniform(0.01, 0.06) * np.sin(turn))
    elif kind < 0.32 and beats > 8 * beats_per_bar:
        change = beats_per_bar * int(rng.integers(4, beats // beats_per_bar - 3))
        ratio = 2.0 ** rng.uniform(-0.45, 0.45)
        if SLOWEST <= bpm * ratio <= FASTEST:
            period[change:] /= ratio
    if rng.random() < 0.2:
        period *= np.exp(rng.normal(size=beats) * 0.008)
    return np.concatenate([[0.0], np.cumsum(period)])


def _mute(notes: list[Note], beats: int, share: float, rng: np.random.Generator) -> list[Note]:
    """Leaves out some of the stretches of 16 beats, never the first."""
    silent = rng.random(beats // 16 + 2) < share
    silent[0] = False
    return [note for note in notes if not silent[max(0, int((note[0] + 0.05) // 16))]]


@dataclass(frozen=True)
class Source:
    """Grooves with the tempo and the style in which they were played, and the soundfont."""

    grooves: tuple[tuple[float, str, Groove], ...]
    soundfont: Path


def read_source(archive: Path, soundfont: Path, split: str, without: frozenset[str] = frozenset()) -> Source:
    """Return the grooves of 4/4 of one split of the Groove MIDI Dataset's ``archive``.

    Args:
        archive: the zip file.
        soundfont: a General MIDI bank (SF2).
        split: one of SPLITS.
        without: grooves to leave out, by their paths inside the data set.

    Raises:
        OSError: a file is missing.
        CorpusError: there are no grooves in it.
    """
    if not soundfont.is_file():
        raise OSError(f"{soundfont}: there is no such soundfont; name one with --soundfont")
    grooves = []
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                source = "/".join(Path(name).parts[1:])
                long = name.endswith("_beat_4-4.mid") and file.getinfo(name).file_size > 500
                if long and split_of(source) == split and source not in without:
                    style, tempo = Path(name).stem.split("_")[1:3]
                    grooves.append((float(tempo), style.split("-")[0], read_groove(file.read(name))))
    except zipfile.BadZipFile:
        raise CorpusError(f"{archive}: not a zip file") from None
    if not grooves:
        raise CorpusError(f"{archive}: no grooves (…_beat_4-4.mid) in it")
    return Source(tuple(grooves), soundfont)


def compose(source: Source, seconds: float, seed: int, place: float) -> LabelledMusic:
    """Return a piece of about so many seconds; one seed always makes the same.

    Args:
        source: grooves and sounds.
        seconds: length.
        seed: of everything.
        place: [0, 1): where between SLOWEST and FASTEST the tempo of a groove lies, so that many pieces are even.
    """
    rng = np.random.default_rng(seed)
    programs = {DRUMS: int(rng.choice([0, 0, 0, 8, 16, 24, 25, 26, 32, 40]))}
    played = rng.random() < 0.55
    per_bar, style = 4, ""
    if played:
        drums, bpm, bars = _played_drums(source, rng, seconds, place)
    else:
        style = str(rng.choice(_CLUB if rng.random() < 0.25 else list(_STYLES)))
        rhythm = _STYLES[style]
        bpm = float(rhythm.low * (rhythm.high / rhythm.low) ** rng.random())
        per_bar = len(rhythm.kick) // rhythm.steps
        bars = max(8, round(seconds * bpm / (60.0 * per_bar)))
        drums, _ = _program(rhythm, bars, rng)
    beats = per_bar * bars
    band: list[Note] = []
    without_drums = rng.random() < 0.1
    if without_drums or rng.random() < (0.5 if played else 0.75):
        if per_bar == 4 and rng.random() < (0.7 if played else 0.25) and not without_drums and "one drop" not in style:
            more, band = arrange(rng, bars)
        else:
            more, band = _riffs(rng, bars, per_bar, style, pulse=without_drums)
        programs |= more
        drums = _mute(drums, beats, 0.08, rng)
        band = _mute(band, beats, 0.12, rng)
        band = [(start + rng.normal() * 0.004, *rest) for start, *rest in band]  # type: ignore[misc]
    if without_drums:
        drums = []
    fall = tempo_map(rng, bpm, beats, per_bar)
    lead = float(rng.choice([0.0, rng.uniform(0.0, 0.5), rng.uniform(0.0, 3.0)]))
    lead = max(lead, 0.05)
    drums, band = in_seconds(drums, fall), in_seconds(band, fall)
    machine = bool(drums) and rng.random() < (0.3 if played else 0.6)
    audio = _sound(source, rng, programs, drums, band, lead, float(fall[-1]), machine)
    return LabelledMusic(master(audio, rng), fall[:-1] + lead, np.arange(beats) % per_bar == 0)


def _played_drums(
    source: Source, rng: np.random.Generator, seconds: float, place: float
) -> tuple[list[Note], float, int]:
    """Return the notes of a groove that was played, in beats, with its BPM and bars."""
    bpm = SLOWEST * (FASTEST / SLOWEST) ** place
    tempi = np.array([tempo for tempo, _, _ in source.grooves])
    as_played = rng.random() < _AS_PLAYED
    if as_played:
        fitting = np.flatnonzero((tempi >= SLOWEST) & (tempi <= FASTEST))
    else:
        distance = np.abs(np.log2(bpm / tempi))
        fitting = np.flatnonzero(distance <= max(_STRETCH, np.sort(distance)[min(20, len(distance) - 1)]))
    # Half of the grooves are rock; the root makes the rare styles less rare.
    styles = [source.grooves[index][1] for index in fitting]
    share = np.array([styles.count(style) ** -0.5 for style in styles])
    chosen = int(rng.choice(fitting, p=share / share.sum()))
    groove = source.grooves[chosen][2]
    if as_played:
        bpm = float(tempi[chosen]) * 2.0 ** rng.uniform(-0.05, 0.05)
    bars = max(8, round(seconds * bpm / 240.0))
    begin = 4 * int(rng.integers(0, groove.beats // 4))
    # The edges of an electronic kit's hats are not in General MIDI.
    renamed = {22: 42, 26: 46} if rng.random() < 0.5 else {}
    drums: list[Note] = [
        (at, length, DRUMS, renamed.get(int(key), int(key)), int(velocity))
        for turn in range(-(-(4 * bars + begin) // groove.beats))
        for start, length, key, velocity in groove.notes.tolist()
        if -0.1 <= (at := start - begin + groove.beats * turn) < 4 * bars - 0.02
    ]
    return drums, bpm, bars


def _sound(
    source: Source,
    rng: np.random.Generator,
    programs: dict[int, int],
    drums: list[Note],
    band: list[Note],
    lead: float,
    length: float,
    machine: bool,
) -> Array:
    """Render notes, in seconds, to (samples,) mono; the drums by a drum ``machine`` or with the band's soundfont."""
    midi = band if machine else band + drums
    audio = np.zeros(int((length + lead + 0.5) * SAMPLE_RATE))
    if midi:
        sound = synthesise_seconds(programs, midi, lead, source.soundfont)
        count = min(len(sound), len(audio))
        audio[:count] += sound[:count] / max(np.abs(sound).max(), 1e-6)
    if machine:
        if midi and rng.random() < 0.4:
            audio *= _pumping([start + lead for start, _, _, key, _ in drums if key in (35, 36)], len(audio), rng)
        later = [(start + lead, *rest) for start, *rest in drums]
        sound = _drum_machine(later, length + lead, rng)[: len(audio)]  # type: ignore[arg-type]
        audio[: len(sound)] += rng.uniform(0.3, 1.5) * sound / max(np.abs(sound).max(), 1e-6)
    return audio


def in_seconds(notes: list[Note], fall: Array) -> list[Note]:
    """Return notes whose start and length are in seconds, of such in beats that fall at ``fall`` (beats + 1,)."""
    if not notes:
        return []
    index = np.arange(len(fall))
    start = np.array([note[0] for note in notes])
    stop = start + np.array([note[1] for note in notes])
    begun = np.interp(start, index, fall) + np.minimum(start, 0.0) * fall[1]
    length = np.maximum(np.interp(stop, index, fall) - np.interp(start, index, fall), 0.03)
    return [
        (float(begin), float(long), channel, key, velocity)
        for begin, long, (_, _, channel, key, velocity) in zip(begun, length, notes, strict=True)
    ]


def synthesise_seconds(programs: dict[int, int], notes: list[Note], lead: float, soundfont: Path) -> Array:
    """Render notes whose times are in seconds, all later by ``lead`` seconds: (samples,) at SAMPLE_RATE."""
    beats = _NOMINAL / 60.0  # per second
    at = [(beats * (start + lead), beats * length, *rest) for start, length, *rest in notes]
    return synthesise(_NOMINAL, programs, at, soundfont)  # type: ignore[arg-type]


def _pumping(kicks: list[float], count: int, rng: np.random.Generator) -> Array:
    """(count,) the gain of a band that makes way for each bass drum."""
    gain = np.ones(count)
    time = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    dip = 1.0 - rng.uniform(0.4, 0.95) * np.exp(-((time / rng.uniform(0.08, 0.2)) ** 2))
    for kick in kicks:
        part = gain[round(kick * SAMPLE_RATE) : round(kick * SAMPLE_RATE) + len(dip)]
        np.minimum(part, dip[: len(part)], out=part)
    return gain


def master(audio: Array, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the music as it may be published: limited or not, equalised, at some level. Onsets keep their time."""
    audio = audio / max(np.abs(audio).max(), 1e-6)
    if rng.random() < 0.5:
        audio = np.tanh(rng.uniform(1.0, 6.0) * audio)
    audio = colour(audio, rng)
    return (audio * 10.0 ** (rng.uniform(-30.0, 0.0) / 20.0) / max(np.abs(audio).max(), 1e-6)).astype(np.float32)
