"""A music file as a stream: played aloud and danced to in sync, or silently at the pace of the wall clock."""

from __future__ import annotations

import gc
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
from .devices import HUNG, Device, devices, portaudio, rescan
from .reserve import Reserve
from .ring import Ring
from .source import Closing

Samples = npt.NDArray[np.float32]

BLOCK_SECONDS = 0.01
RING_SECONDS = 0.5
RESERVE_SECONDS = 10.0
"""Of sound that is decoded ahead, for a disk or a network share that stalls."""
STALLED = 1.5
"""Seconds without a block after which the device counts as gone."""
WAKING = 2.5
"""The same in as many seconds after the start: some devices ask for a few blocks at once and then wake up slowly."""
ANSWER_SECONDS = 1.5
"""Within which the device has to be open at the start, or the music begins silently."""
RETRY_SECONDS = 1.0
BACK_SECONDS = 5.0
"""For which it is said that the device is back."""
_CHUNK = 0.02  # seconds that are moved to the ring at a time


class Playback:
    """Plays a file through a device. The callback only copies out of a ring that a thread keeps filled.

    Attributes:
        played: frames of the file handed to the device, or left out where the ring was empty.
        stamps: ring of (frames handed over before a block, monotonic time at which the block is heard).
        xruns: blocks in which there was nothing to play.
    """

    def __init__(self, path: str | Path, device: Device, begin: float = 0.0) -> None:
        """Prepare to play the file from ``begin`` (seconds)."""
        self.rate = device.rate
        self.latency = 0.0
        self._channels = min(2, device.outputs)
        self.ring = Ring(round(RING_SECONDS * self.rate), self._channels)
        self.stamps = Ring(4096, 2, np.float64)
        self.played = round(begin * self.rate)
        self.xruns = 0
        self.last_call = 0.0
        self._opened = 0.0
        self._device = device
        blocks = decode_stereo(path, self.rate)
        self._reserve = Reserve(blocks, round(RESERVE_SECONDS * self.rate), (2,), self.played)
        self._stamp = np.zeros((1, 2))
        self._stream: Any = None
        self._filled = False  # all of the file is in the ring
        self._closing = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="file player", daemon=True)

    def open(self) -> None:
        """Open the device, and have something ready to play; ``PortAudioError`` where it cannot."""
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
        self._reserve.start()
        self._reserve.wait(self.ring.capacity, ANSWER_SECONDS / 2.0)
        self._feeder.start()
        deadline = time.perf_counter() + ANSWER_SECONDS / 2.0
        while self.ring.room > self.ring.capacity // 2 and not self._filled and time.perf_counter() < deadline:
            time.sleep(0.001)

    def start(self) -> None:
        """Begin to play; ``PortAudioError`` where it cannot."""
        self._stream.start()
        self._opened = self.last_call = time.perf_counter()

    def callback(self, out: npt.NDArray[Any], frames: int, times: Any, status: Any) -> None:
        """Fill a block; PortAudio's own thread calls it."""
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
        """Stop at once."""
        self._closing.set()
        self._reserve.close()
        if self._stream is not None:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
        if self._feeder.is_alive():
            self._feeder.join(timeout=1.0)

    def _feed(self) -> None:
        """Keep the ring filled: what the reserve lacks is silence, so that every frame has its place."""
        size = round(_CHUNK * self.rate)
        while not self._closing.is_set():
            if self.ring.room < size:
                self._closing.wait(_CHUNK / 2.0)
                continue
            rows = self._reserve.read(size)
            if not len(rows) and self._reserve.ended:
                break
            self.ring.write(rows if self._channels == 2 else rows.mean(axis=1, keepdims=True))
        self._filled = True


def open_playback(path: str | Path, device: Device, begin: float = 0.0) -> Playback:
    """Make the file ready to play from ``begin`` seconds; :class:`InputError` if the device cannot be opened."""
    playback = Playback(path, device, begin)
    try:
        playback.open()
    except portaudio().PortAudioError as error:
        playback.close()
        raise InputError(f"cannot play through {device.name!r}: {error.args[0]}") from error
    return playback


class MusicFile(Closing):
    """A file's sound, handed out as it is played; exactly the samples that ``decode(path)`` gives.

    A device that hangs or vanishes is waited for in a thread of its own, and taken again by its name; meanwhile the
    music goes on silently, at the pace of the wall clock.

    Attributes:
        note: why nothing is heard although it was to be, one line, or None.
    """

    def __init__(self, path: str | Path, device: Device | None = None, note: str | None = None) -> None:
        """``device`` None: silently, at the pace of the wall clock."""
        self.note = note
        self.clock = AudioClock(time.perf_counter())
        self.ended = False
        self._path = path
        self._reserve = Reserve(decode(path, report=self._say), round(RESERVE_SECONDS * SAMPLE_RATE))
        self._device = device
        self._playback: Playback | None = None
        self._past_xruns = 0
        self._delivered = 0
        self._opened = threading.Event()
        self._back = 0.0  # when the device came back
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="player watcher", daemon=True)

    @property
    def xruns(self) -> int:
        """Blocks in which the device had nothing to play."""
        return self._past_xruns + (self._playback.xruns if self._playback else 0)

    def start(self) -> None:
        """Begin to play."""
        self._reserve.start()
        self._reserve.wait(SAMPLE_RATE, ANSWER_SECONDS)
        if self._device is not None:
            self._watcher.start()
            if not self._opened.wait(ANSWER_SECONDS):
                self.note = f"{self._device.name!r} does not answer: the music is silent until it does"
        playback = self._playback
        self.clock = AudioClock(time.perf_counter() + (playback.latency if playback else 0.0))

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
        """Stop the music at once; does not wait for a device that hangs."""
        self._closing.set()
        self._reserve.close()
        if self._watcher.is_alive():
            self._watcher.join(timeout=1.0)
            if self._watcher.is_alive():
                HUNG.set()

    def _say(self, note: str) -> None:
        self.note = note

    def _due(self, now: float) -> float:
        """Seconds of audio that may be handed out."""
        playback = self._playback
        if playback is None:
            return self.clock.position(now)
        for frames, heard in playback.stamps.read():
            self.clock.update(frames / playback.rate, heard)
        if playback.finished:
            return float("inf")
        # What the device has taken; should it take nothing more, the music goes on by the clock all the same.
        return max(playback.played / playback.rate, self.clock.position(now))

    def _until(self, due: float) -> Samples:
        """Return the samples up to ``due`` seconds in whole blocks: a frame is complete as soon as it is heard."""
        if math.isinf(due):
            wanted = self._reserve.held
        else:
            wanted = max(math.floor(due * SAMPLE_RATE / BLOCK) * BLOCK - self._delivered, 0)
        samples = self._reserve.read(wanted)
        self._delivered += len(samples)
        self.ended = self._reserve.ended
        if self._reserve.starved:
            self.note = f"{self._path} does not come fast enough from where it is stored: silence in its place"
        if self.ended and self._reserve.error is not None:
            self.note = f"{self._path}: the music ends early ({self._reserve.error})"
        return samples

    def _watch(self) -> None:
        """Open the device, and open it again whenever it is gone."""
        assert self._device is not None
        self._open(0.0)
        self._opened.set()
        while not self._closing.wait(0.05):
            playback = self._playback
            if playback is not None and (playback.finished or playback.alive()):
                if self.note is not None and self._back and time.perf_counter() - self._back > BACK_SECONDS:
                    self.note, self._back = None, 0.0
                continue
            if playback is not None:
                self.note = f"{self._device.name!r} is gone: the music is silent until it is back"
                self._playback, self._past_xruns = None, self.xruns
                playback.close()
            if not self._closing.wait(RETRY_SECONDS):
                self._reopen()
        playback, self._playback = self._playback, None
        if playback is not None:
            self._past_xruns += playback.xruns
            playback.close()

    def _open(self, begin: float) -> None:
        assert self._device is not None
        try:
            playback = open_playback(self._path, self._device, begin)
            if begin:  # until it is heard where the clock says
                self._closing.wait(max(self.clock.heard_at(begin) - playback.latency - time.perf_counter(), 0.0))
            playback.start()
        except (InputError, portaudio().PortAudioError) as error:
            reason = error if isinstance(error, InputError) else error.args[0]
            self.note = self.note or f"{reason}; the music is silent"
            return
        self._playback = playback

    def _reopen(self) -> None:
        # As for microphones: sounddevice leaves cycles behind, which nobody else collects in a show.
        gc.collect(0)
        assert self._device is not None
        name, api = self._device.lasting_name, self._device.api
        try:
            rescan()
            found = [
                device for device in devices() if device.outputs and (device.lasting_name, device.api) == (name, api)
            ]
        except (InputError, portaudio().PortAudioError):
            return
        if found and not self._reserve.ended:
            self._device = found[0]
            self._open(self.clock.position(time.perf_counter()) + ANSWER_SECONDS)
            if self._playback is not None:
                self.note, self._back = f"{self._device.name!r} is back", time.perf_counter()
