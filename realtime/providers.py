"""What ``--provider`` means to ONNX Runtime, and with which options each provider runs one small step after another."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from dancerev.command_line import deferred_interrupt

PROVIDERS = ("auto", "cpu", "cuda", "tensorrt")
"""What may be asked for. ``auto`` is the CPU: one step is done there before a graphics card has answered."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

Provider = tuple[str, dict[str, str]]
"""ONNX Runtime's name of a provider, and its options."""


def cache_folder() -> Path:
    """Where engines are kept between shows: ``dancerev`` in the platform's folder for such files."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "dancerev"


def wanted_providers(provider: str) -> list[Provider]:
    """ONNX Runtime's providers for one of :data:`PROVIDERS`, most wanted first, each falling back on the next."""
    wanted: list[Provider] = [(CPU, {})]
    if provider in ("cuda", "tensorrt"):
        wanted.insert(0, (CUDA, _cuda_options()))
    if provider == "tensorrt":
        wanted.insert(0, (TENSORRT, _tensorrt_options()))
    return wanted


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime, with its telemetry off and its own log silent.

    It would look up a host on the network, keep a data base in the user's cache folder and print coloured lines
    about providers that do not load, which :class:`~dancerev.realtime.dance_model.DanceModel` notes itself.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is loaded
    with deferred_interrupt():
        import onnxruntime

    with contextlib.suppress(Exception):  # a build without telemetry
        onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def load_libraries(provider: str) -> None:
    """Load what the extras ``cuda`` and ``tensorrt`` bring, where ONNX Runtime does not look, for a provider."""
    if provider not in ("cuda", "tensorrt"):
        return
    onnxruntime = import_onnxruntime()
    with contextlib.suppress(AttributeError):  # before 1.21, and where it is built for the CPU alone
        onnxruntime.preload_dlls()
    if provider == "tensorrt":
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorrt")


def _cuda_options() -> dict[str, str]:
    return {
        "device_id": "0",
        "arena_extend_strategy": "kSameAsRequested",  # a few megabytes; the avatar on the same card needs the rest
        "use_tf32": "0",  # ten bits of mantissa would make it another dance than the CPU's
    }


def _tensorrt_options() -> dict[str, str]:
    """Engines are kept on disk: to build one takes far longer than a show may take to start.

    No CUDA graph: it replays the addresses that it was recorded with, and the state swaps between two.
    """
    options = {"device_id": "0"}
    folder = cache_folder() / "tensorrt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return options  # nowhere to keep it: built anew for every show
    return options | {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
    }
