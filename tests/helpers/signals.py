"""Test signals and the files that hold them."""

import json
import wave
from pathlib import Path

import numpy as np

SAMPLE_RATE = 24_000
"""Hz of the signals made here; that of the feature extractor."""


def write_wav(path, samples, rate=SAMPLE_RATE):
    """Write 16-bit PCM: ``samples`` (n,) or (n, channels), float with full scale ±1, or int16 as they are."""
    samples = np.asarray(samples)
    if samples.dtype != np.int16:
        samples = np.round(np.clip(samples, -1.0, 1.0) * 32767.0)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def clicks(seconds, bpm, start=0.0):
    """Audio (samples,) float32 with a short burst of noise on every beat, and the beats in seconds."""
    rng = np.random.default_rng(0)
    audio = 1e-3 * rng.normal(size=int(seconds * SAMPLE_RATE))
    burst = rng.normal(size=1200) * np.exp(-np.arange(1200) / 200.0)
    beats = np.arange(start, seconds - 0.06, 60.0 / bpm)
    for beat in beats:
        first = round(beat * SAMPLE_RATE)
        audio[first : first + len(burst)] += 0.5 * burst
    return np.clip(audio, -1.0, 1.0).astype(np.float32), beats


def write_song(path, seconds=30.0, bpm=110.0, source=None, start=0.0):
    """Write a wav file of clicks with its ``.beats.json`` beside it."""
    path = Path(path)
    audio, beats = clicks(seconds, bpm, start)
    write_wav(path, audio)
    content = {"bpm": bpm, "beats": beats.tolist(), "source": source or path.stem}
    path.with_suffix(".beats.json").write_text(json.dumps(content))
    return path
