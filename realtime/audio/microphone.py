"""A microphone, or any other device that can be recorded from, as a stream that never stops."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .capture import BLOCK_SECONDS, Capture, open_capture
from .clock import AudioClock
from .devices import devices, find_device, portaudio, rescan
from .source import Closing
from .timeline import Timeline

Samples = npt.NDArray[np.float32]

POLL_SECONDS = 0.002
RETRY_SECONDS = 0.5


class Microphone(Closing):
    """The sound at an input device, for ever.

    A device that vanishes is waited for, and taken again by its name, on a thread of its own; meanwhile there is
    silence at the pace of the wall clock.

    Attributes:
        note: what a performer should know now, one line, or None.
        reconnections: how often the device came back.
    """

    ended = False

    def __init__(self, device: str | int | None = None) -> None:
        self._device = find_device("input", device)
        self.clock = AudioClock(time.perf_counter())
        self.note: str | None = None
        self.reconnections = 0
        self._past_xruns = 0
        self._current: Capture | None = None
        self._timeline: Timeline | None = None
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="microphone watcher", daemon=True)

    @property
    def name(self) -> str:
        """The device's name."""
        return self._device.lasting_name

    @property
    def xruns(self) -> int:
        """Blocks lost on the way, by the system or by us."""
        current = self._current
        return self._past_xruns + (current.xruns if current else 0)

    @property
    def silence(self) -> float:
        """Seconds of silence put in for sound that did not come."""
        return self._timeline.silence if self._timeline else 0.0

    def start(self) -> None:
        """Opens the device; :class:`InputError` where that fails."""
        self._current = open_capture(self._device)
        self.clock = AudioClock(time.perf_counter() - self._current.latency)
        self._timeline = Timeline(self._current, self.clock)
        self._watcher.start()

    def read(self, timeout: float) -> Samples:
        """(n,) float32 mono samples at SAMPLE_RATE since the last read; waits up to ``timeout`` s, may be empty."""
        if self._timeline is None:
            raise RuntimeError("start() the microphone first")
        deadline = time.perf_counter() + timeout
        while True:
            now = time.perf_counter()
            samples = self._timeline.advance(self._current, now)
            if len(samples) or now >= deadline:
                return samples
            current = self._current
            next_block = current.last_call + BLOCK_SECONDS - now if current else 0.0
            time.sleep(min(max(next_block, POLL_SECONDS), deadline - now))

    def close(self) -> None:
        """Lets the device go; does not wait for a system call that hangs."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=2.0)

    def _watch(self) -> None:
        while not self._closing.wait(0.1):
            if self._current is None or not self._current.alive():
                self._release()
                self.note = f"{self.name!r} is gone: silence until it is back"
                self._reopen()
        self._release()

    def _release(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current.close()
            self._past_xruns += current.xruns

    def _reopen(self) -> None:
        # sounddevice leaves cycles behind, also where it is refused, and in the show nobody else collects them. All of
        # them are still of the youngest generation; to look at the others would take long, and halt the dance.
        gc.collect(0)
        try:
            rescan()
            found = next(
                device
                for device in devices()
                if device.inputs and (device.lasting_name, device.api) == (self.name, self._device.api)
            )
            current = open_capture(found)
        except (StopIteration, InputError, portaudio().PortAudioError):
            self._closing.wait(RETRY_SECONDS)
            return
        self._device, self._current = found, current
        self.reconnections += 1
        self.note = None
