"""An input device, opened: a callback that copies what it is given into rings."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .devices import Device, portaudio
from .ring import Ring

BLOCK_SECONDS = 0.005
BUFFER_SECONDS = 0.02
"""What the system is asked to hold ready for a callback that comes late."""
RING_SECONDS = 4.0
STALLED = 0.5
"""Seconds without a block after which the device counts as gone."""
WAKING = 2.5
"""The same for the first block."""


class Capture:
    """One opened input device. Its callback only copies into rings that are already there."""

    def __init__(self, device: Device) -> None:
        """Take the memory for a device, which :meth:`open` starts."""
        self.channels = min(2, device.inputs)
        self.rate = device.rate
        self.latency = 0.0
        self.ring = Ring(round(RING_SECONDS * self.rate), self.channels)
        self.stamps = Ring(4096, 2, np.float64)  # (index of a block's first frame, monotonic time it was heard)
        self.xruns = 0
        self.lost = 0
        self.last_call = time.perf_counter()
        self._stamp = np.zeros((1, 2))
        self._frames = 0
        self._stream: Any = None

    def open(self, device: Device) -> None:
        """Start the device; ``PortAudioError`` where it cannot."""
        self._stream = portaudio().InputStream(
            samplerate=self.rate,
            blocksize=round(BLOCK_SECONDS * self.rate),
            device=device.index,
            channels=self.channels,
            dtype="float32",
            latency=BUFFER_SECONDS,
            callback=self.callback,
        )
        self.latency = float(self._stream.latency)
        self._stream.start()
        self.last_call = time.perf_counter()

    def callback(self, data: npt.NDArray[Any], frames: int, times: Any, status: Any) -> None:
        """Take a block; PortAudio's own thread calls it."""
        now = time.perf_counter()
        age = times.currentTime - times.inputBufferAdcTime
        self._stamp[0, 0] = self._frames
        self._stamp[0, 1] = now - (age if 0.0 < age < 1.0 else self.latency)  # not every driver tells
        self.stamps.write(self._stamp)
        if status.input_overflow:
            self.xruns += 1
        if not self.ring.write(data):
            self.xruns += 1
            self.lost += frames
        self._frames += frames
        self.last_call = now

    def alive(self) -> bool:
        """Whether blocks come."""
        patience = STALLED if self._frames else WAKING
        try:
            active = bool(self._stream.active)
        except portaudio().PortAudioError:  # the device is gone
            return False
        return active and time.perf_counter() - self.last_call < patience

    def close(self) -> None:
        """Let the device go, whatever state it is in."""
        if self._stream is not None:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


def open_capture(device: Device) -> Capture:
    """Return the device, started; :class:`InputError` where the system will not let us."""
    capture = Capture(device)
    try:
        capture.open(device)
    except portaudio().PortAudioError as error:
        capture.close()
        raise InputError(f"cannot record from {device.name!r}: {error.args[0]}") from error
    return capture
