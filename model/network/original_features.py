"""The 438 acoustic features of Dance Revolution, with librosa (the extra ``original``).

They need the whole song: decibels count from its loudest cell, harmonic and percussive sound are parted by medians over
a second, and the tempogram looks 6.4 s ahead. The live features are :mod:`dancerev.realtime.features`.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

SAMPLE_RATE = 15_360
"""Hz of the music, so that a hop is 1/30 s."""

HOP = 512
"""Samples from frame to frame."""

RATE = 30
"""Frames per second. The network takes every second one."""

PARTS: dict[str, slice] = {
    "mfcc": slice(0, 20),
    "mfcc_delta": slice(20, 40),
    "chroma": slice(40, 52),
    "onset": slice(52, 53),
    "beat": slice(53, 54),
    "tempogram": slice(54, 438),
}
"""Where in a frame each kind of feature stands."""

SIZE = 438
"""Numbers per frame."""

Padding = Literal["reflect", "constant"]

DEFINITIONS = ("2020", "present")
"""``2020``: as librosa 0.8 and before computes them, when the published weights were trained: spectra are padded by
reflection, and the onset's mel bands reach to 11,025 Hz, so that the upper ones are empty. ``present``: librosa's
defaults."""

_BINS_PER_OCTAVE = 36


def extract(samples: npt.NDArray[Any], definition: str = "2020") -> npt.NDArray[np.float32]:
    """Extract the features of a whole song.

    Args:
        samples: (N,) mono at SAMPLE_RATE, full scale ±1, at least one second.
        definition: one of DEFINITIONS.

    Returns:
        (1 + N // HOP, SIZE) in the order of PARTS; frame k is centred on k / RATE seconds.

    Raises:
        InputError: shorter than a second, an unknown definition, or no librosa.
    """
    librosa = _librosa()
    if definition not in DEFINITIONS:
        raise InputError(f"unknown definition of features {definition!r}; there are {', '.join(DEFINITIONS)}")
    if len(samples) < SAMPLE_RATE:
        raise InputError("the music is shorter than a second")
    samples = np.asarray(samples, dtype=np.float32)
    padding: Padding = "reflect" if definition == "2020" else "constant"
    highest = 11_025.0 if definition == "2020" else SAMPLE_RATE / 2
    with warnings.catch_warnings():  # of empty mel bands and of silence
        warnings.simplefilter("ignore")
        mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, pad_mode=padding)
        mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, ref=np.max))
        harmonic, percussive = librosa.effects.hpss(samples, pad_mode=padding)
        onset = librosa.onset.onset_strength(
            y=percussive, sr=SAMPLE_RATE, aggregate=np.median, fmax=highest, pad_mode=padding
        )
        parts = (
            mfcc,
            librosa.feature.delta(mfcc, width=3),
            _chroma(harmonic, padding),
            onset[None],
            _beats(onset)[None],
            librosa.feature.tempogram(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=HOP),
        )
    return np.concatenate(parts).T.astype(np.float32)


def _librosa() -> Any:
    """Return the library, which is imported late: it takes seconds.

    Raises:
        InputError: it is not installed.
    """
    try:
        import librosa
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'dancerev[original]'") from None
    return librosa


def _chroma(harmonic: npt.NDArray[np.float32], padding: Padding) -> npt.NDArray[Any]:
    """(12, T) energy of the pitch classes of the harmonic sound."""
    librosa = _librosa()
    octaves = 7
    cqt = librosa.cqt(
        harmonic,
        sr=SAMPLE_RATE,
        hop_length=HOP,
        n_bins=octaves * _BINS_PER_OCTAVE,
        bins_per_octave=_BINS_PER_OCTAVE,
        tuning=None,
        pad_mode=padding,
    )
    return librosa.feature.chroma_cqt(C=np.abs(cqt), sr=SAMPLE_RATE, bins_per_octave=_BINS_PER_OCTAVE)


def _beats(onset: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(T,) 1 at the frames of beats, else 0."""
    _, frames = _librosa().beat.beat_track(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=HOP)
    beats = np.zeros(len(onset), dtype=np.float32)
    beats[frames] = 1.0
    return beats
