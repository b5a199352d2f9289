"""A microphone, or any other device that can be recorded from, as a stream that never stops."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from dancerev.errors import InputError

from .clock import SAMPLE_RATE, AudioClock
from .devices import Device, devices, find_device, portaudio, rescan
from .ring import Ring

Samples = npt.NDArray[np.float32]
NOTHING = np.empty(0, dtype=np.float32)

BLOCK_SECONDS = 0.005
BUFFER_SECONDS = 0.02
"""What the system is asked to hold ready for a callback that comes late."""
RING_SECONDS = 4.0
POLL_SECONDS = 0.002
PATIENCE = 0.1
"""Seconds that sound may be late before silence takes its place."""
ASTRAY, ASTRAY_FOR = 0.1, 0.5
"""Seconds by which, and for which, the device's times may contradict the count of its frames."""
ASLEEP = 5.0
"""Seconds without a turn of ours after which audio time stood still: the computer was suspended, or the process."""
STALLED = 0.5
"""Seconds without a block after which the device counts as gone."""
WAKING = 2.5
"""The same for the first block."""
RETRY_SECONDS = 0.5


class Capture:
    """One opened input device. Its callback only copies into rings that are already there."""

    def __init__(self, device: Device) -> None:
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
        """Starts the device; ``PortAudioError`` where it cannot."""
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
        """Called by PortAudio's own thread for each block."""
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
        return bool(self._stream.active) and time.perf_counter() - self.last_call < patience

    def close(self) -> None:
        """Lets the device go, whatever state it is in."""
        if self._stream is not None:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


def open_capture(device: Device) -> Capture:
    """The device, started; :class:`InputError` where the system will not let us."""
    capture = Capture(device)
    try:
        capture.open(device)
    except portaudio().PortAudioError as error:
        capture.close()
        raise InputError(f"cannot record from {device.name!r}: {error.args[0]}") from error
    return capture


class Timeline:
    """Puts what is captured in its place in audio time, which keeps pace with the clock whatever the device does.

    Sound that does not come in time is replaced by silence; what then comes too late for its place is dropped. Only
    the time that was slept through is left out, or the dance would have hours to catch up.
    """

    def __init__(self, capture: Capture, clock: AudioClock) -> None:
        self.clock = clock
        self.silence = 0.0
        self._silent = False  # silence stands in for the device now
        self._delivered = 0
        self._offset: int | None = None  # place, among the frames fed to the resampler, of the capture's frame 0
        self._begin(capture)

    def advance(self, capture: Capture | None, now: float) -> Samples:
        """The mono samples at SAMPLE_RATE that can be had at ``now``, from ``capture`` (None: there is none now)."""
        pieces = []
        if capture is not None and capture is not self._capture:
            pieces.append(self._count(self._resampler.resample_chunk(NOTHING, last=True)))
            self._begin(capture)
        if self._behind(now) > ASLEEP:
            self.clock.update(self._base + self._fed / self._rate, now - self._usual())
            self._offset = None
        pieces += self._sound() + self._silence_due(now)
        return np.concatenate(pieces) if pieces else NOTHING

    def _begin(self, capture: Capture) -> None:
        self._capture = capture
        self._rate = capture.rate
        # Variable-rate mode, although the rate stays: it delays by a steady 5 ms where the other modes work in
        # blocks of up to 40 ms.
        self._resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, quality="HQ", vr=True)
        self._base = self._delivered / SAMPLE_RATE  # audio time of the first frame fed to the resampler
        self._fed = 0  # frames fed to the resampler
        self._offset = None
        self._next = 0  # index of the capture's next frame
        self._lost = 0
        self._astray_since: float | None = None

    def _sound(self) -> list[Samples]:
        if not len(self._capture.ring):
            return []
        for index, heard in self._capture.stamps.read().tolist():
            self._keep_time(int(index), heard)
        if self._offset is None:
            return []
        frames = self._capture.ring.read()
        missing = self._offset + self._next - self._fed
        pieces = [self._feed_silence(missing)] if missing > 0 else []
        late = min(max(-missing, 0), len(frames))
        if late < len(frames):
            pieces.append(self._feed(np.nan_to_num(frames[late:].mean(axis=1), posinf=1.0, neginf=-1.0)))
            self._silent = False
        lost = self._capture.lost
        self._next += len(frames) + lost - self._lost
        self._lost = lost
        return pieces

    def _keep_time(self, index: int, heard: float) -> None:
        """The device says that its frame ``index`` was heard at ``heard``."""
        place = round((self.clock.position(heard) - self._base) * self._rate) - index
        if self._offset is None:
            self._offset = max(place, self._fed - index)
        if abs(place - self._offset) < ASTRAY * self._rate:
            self._astray_since = None
            self.clock.update(self._base + (self._offset + index) / self._rate, heard)
        elif self._astray_since is None:
            self._astray_since = heard
        elif heard - self._astray_since > ASTRAY_FOR:  # the system lost sound and did not count it
            self._offset = place

    def _silence_due(self, now: float) -> list[Samples]:
        behind = self._behind(now)
        if behind <= (0.0 if self._silent else PATIENCE):
            return []
        self._silent = True
        return [self._feed_silence(round(behind * self._rate))]

    def _behind(self, now: float) -> float:
        """Seconds by which what was fed is behind what should have come by now."""
        return self.clock.position(now) - self._usual() - self._base - self._fed / self._rate

    def _usual(self) -> float:
        return self._capture.latency + BLOCK_SECONDS

    def _feed_silence(self, frames: int) -> Samples:
        self.silence += frames / self._rate
        return self._feed(np.zeros(frames, dtype=np.float32))

    def _feed(self, frames: Samples) -> Samples:
        self._fed += len(frames)
        return self._count(self._resampler.resample_chunk(frames))

    def _count(self, samples: Samples) -> Samples:
        self._delivered += len(samples)
        return samples


class Microphone:
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
