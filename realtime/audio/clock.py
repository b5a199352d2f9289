"""When a sample is heard: from the count of samples to the computer's clock, and back."""

from __future__ import annotations

import math

SAMPLE_RATE = 24_000
"""Hz. Every source resamples to it, mono. A multiple of the frame rate, so all frames have as many samples."""

BLOCK = 200
"""Samples (1/120 s) in whole multiples of which a file is played."""

ACQUIRE_HZ, HOLD_HZ = 1.0, 0.02
"""Bandwidth of the loop in its first second and once it has settled."""
LOST = 0.1
"""Seconds of error from which the loop starts afresh rather than being pulled along."""

DRIFT = 0.001
"""The most by which a sound card's clock may run fast or slow; real ones stay well within."""


class AudioClock:
    """A straight line from audio time to ``time.perf_counter()``, bent gently towards what the sound card reports.

    Untouched it is the wall clock. Fed with the times of the sound card's blocks, which come in bursts, it is the
    second-order delay-locked loop of F. Adriaensen, "Using a DLL to filter time" (2005), with a bandwidth that
    narrows as the loop settles.
    """

    def __init__(self, start: float, audio_time: float = 0.0) -> None:
        """Begin with the wall clock: ``audio_time`` (seconds) is heard at ``start`` (``perf_counter`` seconds)."""
        self._line = (audio_time, start, 1.0)  # one tuple, so that another thread never sees half an update
        self._locked_since: float | None = None

    def heard_at(self, audio_time: float) -> float:
        """``time.perf_counter()`` seconds at which the audio at ``audio_time`` (seconds since the start) is heard."""
        audio, wall, slope = self._line
        return wall + (audio_time - audio) * slope

    def position(self, now: float) -> float:
        """Return the audio time in seconds that is heard at ``now`` (``time.perf_counter()`` seconds)."""
        audio, wall, slope = self._line
        return audio + (now - wall) / slope

    def update(self, audio_time: float, reported: float) -> None:
        """Take the sound card's word that ``audio_time`` is heard at ``reported`` (``time.perf_counter()``)."""
        audio, _, slope = self._line
        passed = audio_time - audio
        error = reported - self.heard_at(audio_time)
        if self._locked_since is None or abs(error) > LOST:
            self._line = (audio_time, reported, 1.0)
            self._locked_since = audio_time
            return
        if passed <= 0.0:
            return
        bandwidth = max(HOLD_HZ, ACQUIRE_HZ / max(1.0, audio_time - self._locked_since))
        omega = min(0.5, 2.0 * math.pi * bandwidth * passed)
        self._line = (
            audio_time,
            self.heard_at(audio_time) + math.sqrt(2.0) * omega * error,
            min(max(slope + omega * omega * error / passed, 1.0 - DRIFT), 1.0 + DRIFT),
        )
