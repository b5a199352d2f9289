"""The front end of the feature extractor: mel spectra at 120 Hz under a slow automatic gain, in blocks of 1/15 s.

What looks at the music further on (the acoustic features, the beat trackers) sees it through
:class:`SpectralBlock`, and so sees it at the same loudness however far the microphone stands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dancerev.model.pose import FRAME_RATE

from .audio.clock import SAMPLE_RATE

FloatArray = npt.NDArray[np.float32]

FRAME_SAMPLES = SAMPLE_RATE // FRAME_RATE
HOP = 200
"""Samples from spectrum to spectrum."""
HOP_RATE = SAMPLE_RATE // HOP
"""Spectra per second: 120."""
HOPS = FRAME_SAMPLES // HOP
"""Spectra per frame: 8."""
LAG = 3
"""Hops (25 ms) over which a rise of power counts as an onset; so many earlier spectra come with each block."""

MELS = 40
"""Triangular mel bands from LOWEST to HIGHEST hertz."""
LOWEST, HIGHEST = 30.0, 11_000.0

WINDOW = 1024
RISE = 768
"""The analysis window rises over RISE samples and falls over the rest, so its peak is 11 ms old, not 21."""

GATE_DB = -90.0
"""dBFS, root mean square: what is softer is silence, whatever else."""
FLOOR_MAX_DB = -66.0
FLOOR_RISE_DB = 0.15
FLOOR_MARGIN_DB = 4.0
"""The noise of the room is the softest frame lately: it rises by FLOOR_RISE_DB a frame, up to FLOOR_MAX_DB dBFS, until
a softer frame comes, or at once to what is steady (STEADY). What does not stand out of it by FLOOR_MARGIN_DB is
silence."""
STEADY = 2.5
"""Seconds in which no band changes after which the sound is noise of the room."""
STEADY_LOUD_FROM_DB = -30.0
"""dBFS: from here on sound is loud."""
STEADY_BANDS = 8
STEADY_LOUD_DB, STEADY_DB, STEADY_SOFT_DB = 1.0, 3.5, 6.0
"""Mean range of the band levels over STEADY below which sound is steady: if loud, otherwise, and if SOFT_BELOW_DB below
the loud level of the music. Tones and hum stay below 1 dB, noise below 3 dB; of 136 produced pieces one falls below
3.5 dB, and of 188 pieces none below 2.8 dB where it is loud."""
SOFT_BELOW_DB = 20.0
STEADY_FORGET_DB = 0.02
"""Per frame: how fast the level of steady noise is forgotten while other sound goes on."""
GATE_RANGE_DB = 40.0
"""What is softer than the loud level of the music by this much is silence."""
REFERENCE_MIN_DB = -84.0
"""dBFS: the gain takes no music for softer than this."""
HEADROOM_DB = 6.0  # a frame louder than the reference by more pulls it up at once
ATTACK = 0.3  # of the way up to a louder frame, per frame: 0.2 s
RELEASE_DB = 0.1  # per frame: down by at most 1.5 dB a second
HOLD = 0.4  # seconds: a gap this long within the music is no silence
FADE = 0.5  # seconds in which activity then falls from 1 to 0


@dataclass(frozen=True, slots=True)
class SpectralBlock:
    """The audio of one frame, ``time`` being the instant (seconds of audio) at its end.

    Attributes:
        time: seconds.
        samples: (FRAME_SAMPLES,) float32, mono at SAMPLE_RATE, as captured but finite and within ±1.
        mel: (LAG + HOPS, MELS) float32, power per mel band; 1 is the loud level of the music over all bands. The
            first LAG rows are the last of the block before, brought under the gain of this one.
        spectrum: (WINDOW // 2 + 1,) float32, mean power per bin of this frame on the same scale.
        activity: 1 while there is music, falling to 0 within a second of silence.
    """

    time: float
    samples: FloatArray
    mel: FloatArray
    spectrum: FloatArray
    activity: float


def mel_centres(bands: int = MELS) -> npt.NDArray[np.float64]:
    """(bands,) hertz: where the triangular bands peak."""
    mel = np.linspace(_to_mel(LOWEST), _to_mel(HIGHEST), bands + 2)[1:-1]
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _to_mel(hertz: float) -> float:
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def _mel_filters() -> FloatArray:
    """(bins, MELS): each bin between LOWEST and HIGHEST is shared out between its two nearest bands."""
    hertz = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    mel = 2595.0 * np.log10(1.0 + hertz / 700.0)
    low, high = _to_mel(LOWEST), _to_mel(HIGHEST)
    position = (mel - low) / (high - low) * (MELS + 1) - 1.0  # 0 at the first centre
    weights = np.maximum(0.0, 1.0 - np.abs(np.clip(position, 0.0, MELS - 1.0)[:, None] - np.arange(MELS)))
    weights[(hertz < LOWEST) | (hertz > HIGHEST)] = 0.0
    return weights.astype(np.float32)


def _window() -> FloatArray:
    fall = WINDOW - RISE
    rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(RISE) + 0.5) / RISE)
    falling = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 0.5) / fall)
    return np.concatenate([rising, falling]).astype(np.float32)


class Spectrum:
    """Turns blocks of FRAME_SAMPLES samples into :class:`SpectralBlock` s, under a slow automatic gain."""

    def __init__(self) -> None:
        self._window = _window()
        self._mean = self._window / self._window.sum()
        self._filters = _mel_filters()
        self._scale = np.float32(2.0 / (WINDOW * float(np.sum(self._window.astype(np.float64) ** 2))))
        self._samples: FloatArray = np.zeros(WINDOW - HOP + FRAME_SAMPLES, dtype=np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._samples, WINDOW)[::HOP]
        self._past: FloatArray = np.zeros((LAG, MELS), dtype=np.float32)
        self._reference_db = REFERENCE_MIN_DB
        self._floor_db = FLOOR_MAX_DB
        self._floor_limit_db = FLOOR_MAX_DB
        self._bands_db: FloatArray = np.full((round(STEADY * FRAME_RATE), STEADY_BANDS), np.inf, dtype=np.float32)
        self._bands_db[::2] = -120.0  # not steady before so much sound has been heard
        self._quiet = HOLD + FADE
        self._count = 0

    def process(self, samples: FloatArray) -> SpectralBlock:
        """Take the next FRAME_SAMPLES samples, float32; those not finite count as 0, those beyond ±1 as clipped."""
        clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
        self._samples[:-FRAME_SAMPLES] = self._samples[FRAME_SAMPLES:]
        self._samples[-FRAME_SAMPLES:] = clean
        offset = self._frames @ self._mean  # a constant offset would leak into the lowest bands
        transform = np.fft.rfft((self._frames - offset[:, None]) * self._window, axis=1)
        power: FloatArray = (transform.real**2 + transform.imag**2).astype(np.float32) * self._scale
        mel = power @ self._filters
        level_db = 10.0 * math.log10(float(mel.sum()) / HOPS + 1e-12)
        self._watch_noise(mel, level_db)
        self._follow(level_db)
        gain = np.float32(10.0 ** (-self._reference_db / 10.0))
        block = np.concatenate([self._past, mel]) * gain
        self._past[:] = mel[-LAG:]
        self._count += 1
        activity = 1.0 - max(0.0, self._quiet - HOLD) / FADE
        return SpectralBlock(self._count / FRAME_RATE, clean, block, power.mean(axis=0) * gain, activity)

    def _watch_noise(self, mel: FloatArray, level_db: float) -> None:
        """Let the floor reach the level of sound that is steady in all bands.

        Args:
            mel: (HOPS, MELS) power.
            level_db: dBFS, level of the frame.
        """
        bands = mel.mean(axis=0).reshape(STEADY_BANDS, -1).sum(axis=1)
        self._bands_db[self._count % len(self._bands_db)] = 10.0 * np.log10(bands + np.float32(1e-12))
        spread = float((self._bands_db.max(axis=0) - self._bands_db.min(axis=0)).mean())
        if level_db >= STEADY_LOUD_FROM_DB:
            limit = STEADY_LOUD_DB
        elif level_db < self._reference_db - SOFT_BELOW_DB:
            limit = STEADY_SOFT_DB
        else:
            limit = STEADY_DB
        if spread < limit:
            self._floor_limit_db = max(level_db, FLOOR_MAX_DB)
            self._floor_db = max(self._floor_db, level_db)
        else:
            self._floor_limit_db = max(self._floor_limit_db - STEADY_FORGET_DB, FLOOR_MAX_DB)

    def _follow(self, level_db: float) -> None:
        """Let the loud level follow the frame's, and count the seconds since there was music."""
        floor = min(level_db, self._floor_db + FLOOR_RISE_DB, self._floor_limit_db)
        self._floor_db = max(floor, GATE_DB - FLOOR_MARGIN_DB)  # no lower than matters, or it takes long to rise again
        if level_db > max(GATE_DB, self._floor_db + FLOOR_MARGIN_DB, self._reference_db - GATE_RANGE_DB):
            self._quiet = 0.0
        else:
            self._quiet = min(self._quiet + 1.0 / FRAME_RATE, HOLD + FADE)
        reference = max(self._reference_db, level_db - HEADROOM_DB)
        if level_db > reference:
            reference += ATTACK * (level_db - reference)
        elif level_db < reference:
            reference -= min(RELEASE_DB, reference - level_db)
        self._reference_db = max(reference, REFERENCE_MIN_DB)
