"""The feature extractor: samples in, one :class:`~dancerev.model.features.AcousticFrame` out per 1/15 s of audio.

A frame is computed from its own block of samples and from what came before, whatever the sizes in which the
samples were pushed, so the output does not depend on the chunking and no feature depends on a later sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dancerev.model.features import AUDIO_FEATURES, BANDS, AcousticFrame

from .audio.clock import SAMPLE_RATE
from .beat.bar_pointer_tracker import BarPointerTracker
from .beat.step_counter import StepCounter
from .beat.tracker import BeatTracker
from .spectrum import FRAME_SAMPLES, HIGHEST, LAG, LOWEST, MELS, WINDOW, SpectralBlock, Spectrum, mel_centres

MEL_PER_BAND = MELS // BANDS
ONSET_COMPRESSION = 3e3  # amplitude of a mel band is logarithmic down to 35 dB under the loud level, linear below
ONSET_SCALE = 1.0  # a rise by so many nepers over 25 ms, meant over the band, is an onset of 1 − 1/e
LEVEL_RANGE_DB = 60.0
ENERGY_RANGE_DB = 40.0
ENERGY_TOP_DB = 6.0  # above the loud level
_NOISE_BINS = slice(-(-100 * WINDOW // SAMPLE_RATE), 8000 * WINDOW // SAMPLE_RATE + 1)  # 100 Hz to 8 kHz


class FeatureExtractor:
    """Acoustic features and beat, 15 times a second of audio.

    Attributes:
        tracker: follows the beat; its controls (tap, half, double, "this is the one") may be used at any time
            between two pushes.
    """

    def __init__(self, tracker: BeatTracker | None = None) -> None:
        self.tracker: BeatTracker = BarPointerTracker() if tracker is None else tracker
        self._spectrum = Spectrum()
        self._steps = StepCounter()
        self._buffer = np.zeros(FRAME_SAMPLES, dtype=np.float32)
        self._filled = 0
        octaves = np.log2(mel_centres() / LOWEST) / np.log2(HIGHEST / LOWEST)
        self._pitch = octaves.astype(np.float32)

    def push(self, samples: npt.NDArray[np.float32]) -> list[AcousticFrame]:
        """Take any number of samples and return the frames they complete, of which there may be none.

        Args:
            samples: (n,) float32, mono at SAMPLE_RATE, ±1 full scale. Non-finite samples count as silence.
        """
        if samples.ndim != 1:
            raise ValueError(f"expected mono samples of shape (n,), not {samples.shape}")
        frames = []
        start = 0
        while start < len(samples):
            taken = min(FRAME_SAMPLES - self._filled, len(samples) - start)
            self._buffer[self._filled : self._filled + taken] = samples[start : start + taken]
            self._filled += taken
            start += taken
            if self._filled == FRAME_SAMPLES:
                self._filled = 0
                block = self._spectrum.process(self._buffer)
                beat = self._steps.count(self.tracker.update(block))
                frames.append(AcousticFrame(block.time, self._audio_features(block), beat))
        return frames

    def _audio_features(self, block: SpectralBlock) -> npt.NDArray[np.float32]:
        """(len(AUDIO_FEATURES),) float32 in [0, 1]."""
        compressed = 0.5 * np.log1p(ONSET_COMPRESSION * block.mel)
        rise = np.maximum(compressed[LAG:] - compressed[:-LAG], 0.0)
        onset = rise.reshape(-1, BANDS, MEL_PER_BAND).mean(axis=2).max(axis=0)
        mel = block.mel[LAG:].mean(axis=0)
        level = _decibels(mel.reshape(BANDS, MEL_PER_BAND).sum(axis=1)) / LEVEL_RANGE_DB + 1.0
        energy = (_decibels(mel.sum()) - ENERGY_TOP_DB) / ENERGY_RANGE_DB + 1.0
        weight = compressed[LAG:].mean(axis=0)
        brightness = weight @ self._pitch / (weight.sum() + 1e-3)
        audio = np.empty(len(AUDIO_FEATURES), dtype=np.float32)
        audio[:BANDS] = 1.0 - np.exp(-onset / ONSET_SCALE)
        audio[BANDS : 2 * BANDS] = level
        audio[2 * BANDS :] = energy, brightness, _noisiness(block.spectrum), 1.0
        return np.clip(audio, 0.0, 1.0) * np.float32(block.activity)


def _decibels(power: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return 10.0 * np.log10(power + np.float32(1e-9))


def _noisiness(spectrum: npt.NDArray[np.float32]) -> float:
    """Spectral flatness between 100 Hz and 8 kHz, in decibels: −40 dB and less 0 (a tone), 0 dB 1 (white noise)."""
    power = spectrum[_NOISE_BINS] + np.float32(1e-12)
    flatness = float(np.log10(power).mean() - np.log10(power.mean()))
    return 1.0 + 10.0 * flatness / 40.0
