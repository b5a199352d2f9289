"""Captured sound in its place in audio time, which keeps pace with the clock whatever the device does.

::

    device     frames      0    1    2    3    …   (index)          4    5    6
                           │                   │ nothing comes      │ of these, what is late is dropped
    fed        ░░░░░░░░░░░░┼────┼────┼────┼────┼░░░░░░░░░░░░░░░░░░░┼────┼────┼──   ░ silence
               0           offset                                   fed (so far)
    audio      base + place / rate: seconds of the stream, at SAMPLE_RATE after the resampler

``offset`` is the place, among the frames fed to the resampler, of the device's frame 0. It follows from the moments at
which the device says that its frames were recorded; a device that loses frames and does not count them gets another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from .capture import BLOCK_SECONDS, Capture
from .clock import SAMPLE_RATE, AudioClock

Samples = npt.NDArray[np.float32]
NOTHING = np.empty(0, dtype=np.float32)

PATIENCE = 0.1
"""Seconds that sound may be late before silence takes its place."""
ASTRAY, ASTRAY_FOR = 0.1, 0.5
"""Seconds by which, and for which, the device's times may contradict the count of its frames."""
ASLEEP = 5.0
"""Seconds without a turn of ours after which audio time stood still: the computer was suspended, or the process."""


class Timeline:
    """Puts what is captured in its place in audio time, which keeps pace with the clock whatever the device does.

    Sound that does not come in time is replaced by silence; what then comes too late for its place is dropped. Only
    the time that was slept through is left out, or the dance would have hours to catch up.
    """

    def __init__(self, capture: Capture, clock: AudioClock) -> None:
        """Begin with what ``capture`` gives, on ``clock``."""
        self.clock = clock
        self.silence = 0.0
        self._silent = False  # silence stands in for the device now
        self._delivered = 0
        self._offset: int | None = None  # place, among the frames fed to the resampler, of the capture's frame 0
        self._begin(capture)

    def advance(self, capture: Capture | None, now: float) -> Samples:
        """Return the mono samples at SAMPLE_RATE that ``capture``, None if there is none, has at ``now``."""
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
        """Take from the device that its frame ``index`` was heard at ``heard``."""
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
