"""What every audio source is: a stream of mono sound with a clock."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from .clock import AudioClock


class AudioSource(Protocol):
    """A stream of mono sound that is heard now; read by one thread. As a context manager it closes itself."""

    def start(self) -> None:
        """Begin.

        Raises:
            InputError: the source cannot be used after all.
        """

    def read(self, timeout: float) -> npt.NDArray[np.float32]:
        """(n,) float32 samples at SAMPLE_RATE since the last read; waits up to ``timeout`` seconds, may be empty."""

    @property
    def ended(self) -> bool:
        """Whether everything was read."""

    @property
    def clock(self) -> AudioClock:
        """When which sample is heard; audio time 0 is the first sample. Ask again after each ``start``."""

    @property
    def xruns(self) -> int:
        """Blocks that came too fast to be kept, or too late to be played."""

    @property
    def note(self) -> str | None:
        """What the user should know of it now, one line, or None."""

    def close(self) -> None:
        """Let go of device and file; harmless when repeated."""

    def __enter__(self) -> Self:
        """Return the source, not yet started."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the source."""


class Closing:
    """Base of sources: a context manager that closes itself."""

    def close(self) -> None:
        """Let go of device and file; harmless when repeated."""

    def __enter__(self) -> Self:
        """Return the source, not yet started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the source."""
        self.close()
