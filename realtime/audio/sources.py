"""Where the sound comes from: a microphone, a music file or the demo track, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dancerev.errors import InputError

from .clock import SAMPLE_RATE, AudioClock
from .decode import decode
from .devices import Device, find_device, list_devices, within
from .microphone import Microphone
from .playback import ANSWER_SECONDS, MusicFile
from .source import AudioSource, Closing
from .system_sound import system_device

__all__ = ["AudioSource", "decode", "demo_path", "list_devices", "open_source"]


class Limited(Closing):
    """A source that ends after ``seconds`` of audio."""

    def __init__(self, source: AudioSource, seconds: float) -> None:
        self._source = source
        self._left = round(seconds * SAMPLE_RATE)

    @property
    def note(self) -> str | None:
        return self._source.note

    @property
    def clock(self) -> AudioClock:
        return self._source.clock

    @property
    def xruns(self) -> int:
        return self._source.xruns

    @property
    def ended(self) -> bool:
        return self._left == 0 or self._source.ended

    def start(self) -> None:
        self._source.start()

    def read(self, timeout: float) -> npt.NDArray[np.float32]:
        if self._left == 0:
            return np.empty(0, dtype=np.float32)
        samples = self._source.read(timeout)[: self._left]
        self._left -= len(samples)
        return samples

    def close(self) -> None:
        self._source.close()


def demo_path() -> Path:
    """Return the bundled demo track."""
    return Path(str(resources.files("dancerev.realtime") / "demo" / "demo.ogg"))


def open_source(
    input: str, device: str | int | None = None, mute: bool = False, duration: float | None = None
) -> AudioSource:
    """Return the source that ``--input`` names, not yet started.

    Args:
        input: "mic", "system" (what the computer plays), "demo" or the path of a music file.
        device: number or part of a name; the one to record from, or, for music, to play through.
        mute: music makes no sound, and no sound device is touched.
        duration: seconds of audio after which the source ends.

    Raises:
        InputError: the file, the device or the PortAudio library cannot be used. Music for which no device was
            asked for never fails for want of one: it plays silently, and ``note`` says so.
    """
    make = SOURCES.get(input)
    source = _music(Path(input), device, mute) if make is None else make(device, mute)
    return source if duration is None else Limited(source, duration)


def _system(device: str | int | None, mute: bool) -> AudioSource:
    return Microphone(device, None if device is not None else system_device)


def _music(path: Path, device: str | int | None, mute: bool) -> AudioSource:
    if mute:
        return MusicFile(path)
    try:
        player: Device = within(ANSWER_SECONDS, lambda: find_device("output", device))
    except InputError as error:
        if device is not None:
            raise
        return MusicFile(path, note=f"{error}; the music plays silently")
    return MusicFile(path, player)


SOURCES: dict[str, Callable[[str | int | None, bool], AudioSource]] = {
    "mic": lambda device, mute: Microphone(device),
    "system": _system,
    "demo": lambda device, mute: _music(demo_path(), device, mute),
}
"""Name of an input → what opens it, for a device and whether to mute; anything else is the path of a music file."""
