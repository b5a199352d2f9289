"""A microphone, or any other device that can be recorded from, as a stream that never stops."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .capture import BLOCK_SECONDS, Capture, open_capture
from .clock import SAMPLE_RATE, AudioClock
from .devices import HUNG, Device, devices, find_device, portaudio, rescan, within
from .source import Closing
from .timeline import Timeline

Samples = npt.NDArray[np.float32]

POLL_SECONDS = 0.002
RETRY_SECONDS = 0.5
ANSWER_SECONDS = 3.0
"""Within which the sound system has to answer at the start."""
BACK_SECONDS = 5.0
"""For which it is said that the device is back."""
SILENT_SECONDS = 5.0
"""Of exact zeros, after which they are spoken of."""
SILENT = "gives exact silence: it is muted, nothing plays there, or this program may not record (privacy settings)"


class Microphone(Closing):
    """The sound at an input device, for ever.

    A device that vanishes is waited for, and taken again by its name, on a thread of its own; meanwhile there is
    silence at the pace of the wall clock.

    Attributes:
        note: what a performer should know now, one line, or None.
        reconnections: how often the device came back.
    """

    ended = False

    def __init__(self, device: str | int | None = None, find: Callable[[], Device] | None = None) -> None:
        """Find the device, by number or part of its name, or by ``find``.

        Raises:
            InputError: there is none such, or the sound system does not answer.
        """
        self._device = within(ANSWER_SECONDS, find or (lambda: find_device("input", device)))
        self.clock = AudioClock(time.perf_counter())
        self.note: str | None = None
        self.reconnections = 0
        self._past_xruns = 0
        self._opened = 0.0
        self._zeros = 0  # samples of exact silence since the last sound
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
        """Open the device; :class:`InputError` where that fails."""
        self._current = within(ANSWER_SECONDS, lambda: open_capture(self._device))
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
                self._note_silence(samples)
                return samples
            current = self._current
            next_block = current.last_call + BLOCK_SECONDS - now if current else 0.0
            time.sleep(min(max(next_block, POLL_SECONDS), deadline - now))

    def close(self) -> None:
        """Let the device go; do not wait for a system call that hangs."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=2.0)
            if self._watcher.is_alive():
                HUNG.set()

    def _note_silence(self, samples: Samples) -> None:
        """Say so where the device gives exact zeros, which no microphone in a room does."""
        if self._current is None or samples.any():
            self._zeros = 0
            if self.note is not None and self.note.endswith(SILENT):
                self.note = None
            return
        self._zeros += len(samples)
        if self._zeros > SILENT_SECONDS * SAMPLE_RATE and self.note is None:
            self.note = f"{self.name!r} {SILENT}"

    def _watch(self) -> None:
        while not self._closing.wait(0.1):
            if self._current is None or not self._current.alive():
                self._release()
                self.note = f"{self.name!r} is gone: silence until it is back"
                self._reopen()
            elif self.note == f"{self.name!r} is back" and time.perf_counter() - self._opened > BACK_SECONDS:
                self.note = None
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
        self._opened = time.perf_counter()
        self.reconnections += 1
        self.note = f"{self.name!r} is back"
