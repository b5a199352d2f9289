"""A source of your own: a show that dances to sound that this program makes, a drum at 120 beats a minute.

A source hands out mono float32 samples at 24 kHz as they are heard, and a clock that says when that is.

python examples/own_source.py [SECONDS]
"""

import sys
import time

import numpy as np

import dancerev
from dancerev.realtime.audio.clock import SAMPLE_RATE, AudioClock


class DrumMachine:
    """Makes sound at the pace at which it would be played."""

    xruns = 0
    note = None

    def __init__(self, seconds: float) -> None:
        self._total = round(seconds * SAMPLE_RATE)
        self._made = 0
        self.clock = AudioClock(time.perf_counter())

    def start(self) -> None:
        self._began = time.perf_counter()
        self.clock = AudioClock(self._began)  # its time 0 is heard now

    @property
    def ended(self) -> bool:
        return self._made >= self._total

    def read(self, timeout: float) -> np.ndarray:
        due = min(round((time.perf_counter() - self._began) * SAMPLE_RATE), self._total)
        if due <= self._made:
            time.sleep(min(timeout, 0.01))
            return np.empty(0, np.float32)
        at = np.arange(self._made, due) / SAMPLE_RATE % 0.5
        self._made = due
        return (0.8 * np.sin(2 * np.pi * 60 * at) * np.exp(-20 * at)).astype(np.float32)

    def close(self) -> None:
        pass


def main(seconds: float = 5.0) -> None:
    stream = dancerev.DanceStream(dancerev.Dancer())
    with dancerev.VmcSender("127.0.0.1") as sink:
        show = dancerev.Show(DrumMachine(seconds), stream, sink)
        show.run()
    print(f"{show.poses_sent} poses to {sink.name}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python examples/own_source.py [SECONDS]")
    main(*map(float, sys.argv[1:]))
