"""Test signals and the files that hold them."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import av
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


def encode(path, audio, codec, sample_format, start=0.0, picture_seconds=0):
    """Write ``audio`` at ``start`` seconds of a file, beside a black picture where there is one."""
    with av.open(str(path), "w") as container:
        if picture_seconds:
            picture = container.add_stream("mpeg4", rate=5)
            picture.width = picture.height = 32
        sound = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        for _ in range(5 * picture_seconds):
            container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        size = 1024
        resampler = av.AudioResampler(format=sample_format, layout="mono", rate=SAMPLE_RATE)
        for first in range(0, len(audio), size):
            frame = av.AudioFrame.from_ndarray(audio[None, first : first + size], format="flt", layout="mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = first + round(start * SAMPLE_RATE)
            for converted in resampler.resample(frame):
                container.mux(sound.encode(converted))
        container.mux(sound.encode(None))
        if picture_seconds:
            container.mux(picture.encode(None))


def click_times(audio):
    """Seconds at which clicks begin."""
    loud = np.flatnonzero(np.abs(audio) > 0.2)
    return loud[np.insert(np.diff(loud) > SAMPLE_RATE // 10, 0, True)] / SAMPLE_RATE
