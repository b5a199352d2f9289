"""Made motion and music for the tests of the corpus, as the fixture ``dancing``."""

import json
import wave
from types import SimpleNamespace

import numpy as np
import pytest

from dancerev.model import pose, rotation
from dancerev.model.bvh import write_bvh
from dancerev.model.skeleton import INDEX


def dance(beats, seconds, fps=60.0, seed=0):
    """Rotations (T, 22, 4) and root (T, 3): arms and trunk swing between beats and rest on them; the dancer walks."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    count = np.interp(time, beats, np.arange(len(beats)))
    swing = count - np.sin(2 * np.pi * count) / (2 * np.pi)
    angle = rng.uniform(0.6, 1.0) * np.cos(np.pi * swing)
    rotations = np.tile(pose.rest_pose().rotations.astype(float), (len(time), 1, 1))
    for bone in ("LeftUpperArm", "RightUpperArm", "Spine"):
        turn = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), angle)
        rotations[:, INDEX[bone]] = rotation.multiply(turn, rotations[:, INDEX[bone]])
    heading = 0.5 * np.sin(0.3 * time)
    rotations[:, 0] = rotation.multiply(rotation.from_yaw(heading), rotations[:, 0])
    root = np.tile(pose.rest_pose().root.astype(float), (len(time), 1))
    root[:, 0] += 0.3 * np.sin(0.4 * time)
    return rotations, root


def write_dance(path, seconds=20.0, period=0.6, seed=0):
    """A BVH file of such a dance whose beats come every ``period`` seconds, more or less."""
    rng = np.random.default_rng(seed)
    beats = np.concatenate([[0.0], np.cumsum(period * rng.uniform(0.92, 1.08, size=int(seconds / period) + 4))])
    write_bvh(path, *dance(beats, seconds, seed=seed), 60.0)


def clicks(seconds, bpm, start=0.0):
    """Audio (samples,) float32 at 24 kHz with a short burst of noise on every beat, and the beats."""
    rate = 24_000
    rng = np.random.default_rng(0)
    audio = 1e-3 * rng.normal(size=int(seconds * rate))
    burst = rng.normal(size=1200) * np.exp(-np.arange(1200) / 200.0)
    beats = np.arange(start, seconds - 0.06, 60.0 / bpm)
    for beat in beats:
        place = round(beat * rate)
        audio[place : place + len(burst)] += 0.5 * burst
    return np.clip(audio, -1.0, 1.0).astype(np.float32), beats


def write_song(path, seconds=30.0, bpm=110.0, source=None, start=0.0):
    """A wav of clicks with its ``.beats.json``."""
    audio, beats = clicks(seconds, bpm, start)
    write_wav(path, audio)
    content = {"bpm": bpm, "beats": beats.tolist(), "source": source or path.stem}
    path.with_suffix(".beats.json").write_text(json.dumps(content))


def write_wav(path, audio):
    """Mono, 24 kHz, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes((audio * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="session")
def dancing():
    """The makers above."""
    return SimpleNamespace(
        dance=dance, write_dance=write_dance, clicks=clicks, write_song=write_song, write_wav=write_wav
    )
