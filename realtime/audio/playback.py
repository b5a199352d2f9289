"""A music file as a stream: played aloud and danced to in sync, or silently at the pace of the wall clock."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .clock import BLOCK, SAMPLE_RATE, AudioClock
from .decode import decode, decode_stereo
from .devices import Device, portaudio
from .ring import Ring
from .source import Closing

Samples = npt.NDArray[np.float32]

BLOCK_SECONDS = 0.01
RING_SECONDS = 1.0
STALLED = 0.5
"""Seconds without a block after which the device counts as gone."""
WAKING = 2.5
"""The same in as many seconds after the start: some devices ask for a few blocks at once and then wake up slowly."""


class Playback:
    """Plays a file through a device. The callback only copies out of a ring that a decoding thread keeps filled.

    Attributes:
        played: frames handed to the device.
        stamps: ring of (frames handed over before a block, monotonic time at which the block is heard).
        xruns: blocks in which there was nothing to play.
    """

    def __init__(self, path: str | Path, device: Device) -> None:
        self.rate = device.rate
        self.latency = 0.0
        self._channels = min(2, device.outputs)
        self.ring = Ring(round(RING_SECONDS * self.rate), self._channels)
        self.stamps = Ring(4096, 2, np.float64)
        self.played = 0
        self.xruns = 0
        self.last_call = 0.0
        self._opened = 0.0
        self._device = device
        self._blocks = decode_stereo(path, self.rate)
        self._stamp = np.zeros((1, 2))
        self._stream: Any = None
        self._filled = False  # all of the file is in the ring
        self._closing = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="file player", daemon=True)

    def open(self) -> None:
        """Opens the device, and starts it once there is something to play; ``PortAudioError`` where it cannot."""
        self._stream = portaudio().OutputStream(
            samplerate=self.rate,
            blocksize=round(BLOCK_SECONDS * self.rate),
            device=self._device.index,
            channels=self._channels,
            dtype="float32",
            latency="high",  # there is no hurry: the clock knows how late it is
            callback=self.callback,
        )
        self.latency = float(self._stream.latency)
        self._feeder.start()
        while self.ring.room > self.ring.capacity // 2 and not self._filled:
            time.sleep(0.001)
        self._stream.start()
        self._opened = self.last_call = time.perf_counter()

    def callback(self, out: npt.NDArray[Any], frames: int, times: Any, status: Any) -> None:
        """Called by PortAudio's own thread for each block."""
        now = time.perf_counter()
        ahead = times.outputBufferDacTime - times.currentTime
        self._stamp[0, 0] = self.played
        self._stamp[0, 1] = now + (ahead if 0.0 < ahead < 2.0 else self.latency)  # not every driver tells
        self.stamps.write(self._stamp)
        count = self.ring.read_into(out)
        if count < frames:
            out[count:] = 0.0
        if status.output_underflow or (count < frames and not self._filled):
            self.xruns += 1
        self.played += count
        self.last_call = now

    @property
    def finished(self) -> bool:
        """Whether the device has been handed everything."""
        return self._filled and not len(self.ring)

    def alive(self) -> bool:
        """Whether the device asks for blocks."""
        patience = STALLED if self.last_call - self._opened > WAKING else WAKING
        return time.perf_counter() - self.last_call < patience

    def close(self) -> None:
        """Stops at once."""
        self._closing.set()
        if self._stream is not None:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
        if self._feeder.is_alive():
            self._feeder.join(timeout=1.0)

    def _feed(self) -> None:
        for block in self._blocks:
            rows = block if self._channels == 2 else block.mean(axis=1, keepdims=True)
            for part in np.array_split(rows, 1 + len(rows) // (self.ring.capacity // 4)):
                while not self.ring.write(part):
                    if self._closing.wait(0.01):
                        return
        self._filled = True


def open_playback(path: str | Path, device: Device) -> Playback:
    """The file, playing; :class:`InputError` where the device cannot be opened."""
    playback = Playback(path, device)
    try:
        playback.open()
    except portaudio().PortAudioError as error:
        playback.close()
        raise InputError(f"cannot play through {device.name!r}: {error.args[0]}") from error
    return playback


class MusicFile(Closing):
    """A file's sound, handed out as it is played; exactly the samples that ``decode(path)`` gives.

    Attributes:
        note: why nothing is heard although it was to be, one line, or None.
    """

    def __init__(self, path: str | Path, device: Device | None = None, note: str | None = None) -> None:
        """``device`` None: silently, at the pace of the wall clock."""
        self.note = note
        self.clock = AudioClock(time.perf_counter())
        self.ended = False
        self._path = path
        self._blocks = decode(path)
        self._device = device
        self._playback: Playback | None = None
        self._past_xruns = 0
        self._pending = np.empty(0, dtype=np.float32)  # decoded, not yet due
        self._delivered = 0

    @property
    def xruns(self) -> int:
        """Blocks in which the device had nothing to play."""
        return self._past_xruns + (self._playback.xruns if self._playback else 0)

    def start(self) -> None:
        """Begins to play."""
        if self._device is not None:
            try:
                self._playback = open_playback(self._path, self._device)
            except InputError as error:
                self.note = f"{error}; the music is silent"
        latency = self._playback.latency if self._playback else 0.0
        self.clock = AudioClock(time.perf_counter() + latency)

    def read(self, timeout: float) -> Samples:
        """(n,) float32 mono samples at SAMPLE_RATE played since the last read; waits up to ``timeout`` s."""
        deadline = time.perf_counter() + timeout
        while True:
            now = time.perf_counter()
            samples = self._until(self._due(now))
            if len(samples) or self.ended or now >= deadline:
                return samples
            next_block = self.clock.heard_at((self._delivered + BLOCK) / SAMPLE_RATE) - now
            time.sleep(min(max(next_block, 0.001), deadline - now))

    def close(self) -> None:
        """Stops the music at once."""
        playback, self._playback = self._playback, None
        if playback is not None:
            self._past_xruns += playback.xruns
            playback.close()

    def _due(self, now: float) -> float:
        """Seconds of audio that may be handed out."""
        playback = self._playback
        if playback is None:
            return self.clock.position(now)
        for frames, heard in playback.stamps.read():
            self.clock.update(frames / playback.rate, heard)
        if playback.finished:
            return float("inf")
        if self._device is not None and not playback.alive():
            self.note = f"{self._device.name!r} is gone: the music goes on in silence"
            self._playback, self._past_xruns = None, playback.xruns
            threading.Thread(target=playback.close, daemon=True).start()  # a dead device may not let go
        # What the device has taken; should it take nothing more, the music goes on by the clock all the same.
        return max(playback.played / playback.rate, self.clock.position(now))

    def _until(self, due: float) -> Samples:
        """The samples up to ``due`` seconds, in whole hops, so that a frame is complete as soon as it is heard."""
        wanted = due if math.isinf(due) else math.floor(due * SAMPLE_RATE / BLOCK) * BLOCK - self._delivered
        while len(self._pending) < wanted:
            block = next(self._blocks, None)
            if block is None:
                wanted, self.ended = len(self._pending), True
            else:
                self._pending = np.concatenate([self._pending, block])
        count = max(0, int(wanted))
        samples, self._pending = self._pending[:count], self._pending[count:]
        self._delivered += len(samples)
        return samples
