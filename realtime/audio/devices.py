"""The sound devices there are, found by number or by name."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

from dancerev.errors import InputError

Kind = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device as PortAudio knows it now; the number may change whenever a device comes or goes.

    Attributes:
        index: PortAudio's number.
        name: as PortAudio gives it.
        api: name of the host API (ALSA, Core Audio, WASAPI…).
        inputs, outputs: how many channels it has.
        rate: its own sample rate, Hz.
    """

    index: int
    name: str
    api: str
    inputs: int
    outputs: int
    rate: int

    def channels(self, kind: Kind) -> int:
        """How many channels it can record or play."""
        return self.inputs if kind == "input" else self.outputs

    @property
    def lasting_name(self) -> str:
        """The name without the card numbers that ALSA puts in and that change when a device is plugged in again."""
        return re.sub(r"\s*\((plug)?hw:\d+,\d+\)", "", self.name)


Result = TypeVar("Result")

HUNG = threading.Event()
"""Set once a call into the sound system did not come back: PortAudio must not be shut down then, which would wait."""


def portaudio() -> ModuleType:
    """Return the module ``sounddevice``; :class:`InputError` where the PortAudio library is missing."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise InputError(
            "the PortAudio library is missing (on Debian and Ubuntu: apt install libportaudio2)"
        ) from error
    if (shut_down := getattr(sounddevice, "_exit_handler", None)) is not None and not _EXIT:
        _EXIT.append(shut_down)
        atexit.unregister(shut_down)
        atexit.register(lambda: None if HUNG.is_set() else shut_down())
    return sounddevice


_EXIT: list[Any] = []  # sounddevice's own handler, once ours stands in its place


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what ``call`` returns or raises, if it does so in time.

    Raises:
        InputError: it did not; it goes on in a thread of its own, and its result is lost.
    """
    results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(call())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, name="sound system", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        HUNG.set()
        raise InputError("the sound system does not answer") from None
    if isinstance(result, BaseException):
        raise result
    return result


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the file descriptor of stderr from C libraries; Python's own stderr goes on as before.

    PortAudio and ALSA print there, past any setting, whenever a device goes or fails to come back.
    """
    python_stderr = sys.stderr
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        with os.fdopen(os.dup(saved), "w", buffering=1, errors="backslashreplace") as sys.stderr:
            os.dup2(nowhere, 2)
            yield
    finally:
        sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def devices() -> list[Device]:
    """All devices."""
    sounddevice = portaudio()
    apis = [api["name"] for api in sounddevice.query_hostapis()]
    return [
        Device(
            index=index,
            name=str(info["name"]),
            api=apis[info["hostapi"]],
            inputs=info["max_input_channels"],
            outputs=info["max_output_channels"],
            rate=round(info["default_samplerate"]),
        )
        for index, info in enumerate(sounddevice.query_devices())
    ]


def rescan() -> None:
    """Let PortAudio look for devices again, which it does only when it starts; close every open stream."""
    sounddevice = portaudio()
    with contextlib.suppress(sounddevice.PortAudioError):  # it may not be running, after a failure to start
        sounddevice._terminate()
    sounddevice._initialize()


def default_device(kind: Kind) -> Device | None:
    """Return the device that the system uses unless told otherwise, or None where there is none of this kind."""
    try:
        info: dict[str, Any] = portaudio().query_devices(kind=kind)
    except (portaudio().PortAudioError, ValueError):
        return None
    return next((device for device in devices() if device.index == info["index"]), None)


def find_device(kind: Kind, wanted: str | int | None) -> Device:
    """Return the device of that number, or whose name has ``wanted`` in it; the default one for None.

    Raises:
        InputError: there is no such device, or none of this kind at all; the message names those there are.
    """
    usable = [device for device in devices() if device.channels(kind) > 0]
    if not usable:
        hint = "; plug one in, or use --input demo or a music file" if kind == "input" else ""
        raise InputError(f"there is no {kind} device{hint}")
    default = default_device(kind)
    if wanted is None:
        return default or usable[0]
    if isinstance(wanted, int) or wanted.strip().isdecimal():
        matches = [device for device in usable if device.index == int(wanted)]
    else:
        name = wanted.strip().lower()
        matches = [device for device in usable if name in device.name.lower()]
        # An exact name first, then the default's own host API: on Windows each device is there once per API.
        matches.sort(key=lambda device: (device.name.lower() != name, default is None or device.api != default.api))
    if not matches:
        there = ", ".join(f"{device.index} {device.name!r}" for device in usable)
        raise InputError(f"there is no {kind} device {wanted!r}; there are {there}")
    return matches[0]


def list_devices() -> str:
    """Return a table of the devices for people to read; a line that says so where there are none, or no PortAudio."""
    try:
        found = devices()
    except InputError as error:
        return str(error)
    if not found:
        return "there are no sound devices"
    defaults = {kind: default_device(kind) for kind in ("input", "output")}
    width = max(len(device.name) for device in found)
    lines = [f"{'':3} {'#':>3}  {'name':<{width}}  {'in':>3} {'out':>3}  {'rate':>6}  system"]
    for device in found:
        marks = ">" if device == defaults["input"] else " "
        marks += "<" if device == defaults["output"] else " "
        lines.append(
            f"{marks:3} {device.index:3}  {device.name:<{width}}  {device.inputs:3} {device.outputs:3}"
            f"  {device.rate:6}  {device.api}"
        )
    lines.append("> default input, < default output; --device takes a number or part of a name")
    return "\n".join(lines)
