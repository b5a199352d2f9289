"""What the computer plays, as a device to record from (``--input system``)."""

from __future__ import annotations

import os
import sys

from dancerev.errors import InputError

from .devices import Device, devices

_LOOPBACKS = (
    "[loopback]",
    "stereo mix",
    "blackhole",
    "loopback",
    "soundflower",
    "vb-cable",
    "cable output",
    "monitor of",
)
"""Parts of the names under which devices that record what is played are known."""

_HINTS = {
    "linux": "it takes PulseAudio or PipeWire and ALSA's plugin for them (Debian and Ubuntu: libasound2-plugins)",
    "darwin": "macOS has none of its own: install a loopback device such as BlackHole, and play through it",
    "win32": "enable Stereo Mix in the sound settings, or install a loopback device such as VB-CABLE",
}


def system_device() -> Device:
    """Return the device that records what the computer plays.

    On Linux it is the monitor of the sound server's default sink, through ALSA's plugin, which takes the name of
    the source from the environment.

    Raises:
        InputError: there is none; the message says what to install.
    """
    inputs = [device for device in devices() if device.inputs]
    if sys.platform.startswith("linux"):
        for device in inputs:
            if device.name in ("pulse", "pipewire-pulse"):
                os.environ["PULSE_SOURCE"] = "@DEFAULT_MONITOR@"
                return device
    for device in inputs:
        if any(part in device.name.lower() for part in _LOOPBACKS):
            return device
    platform = "linux" if sys.platform.startswith("linux") else sys.platform
    hint = _HINTS.get(platform, "install a loopback device")
    raise InputError(f"there is no device that records what the computer plays; {hint}")
