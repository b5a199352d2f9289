"""Live dance generation: music in from a microphone, a dancing humanoid out over OSC.

A show::

    import dancerev

    stream = dancerev.DanceStream(dancerev.Dancer(style="salsa"))
    with dancerev.open_source("mic") as source, dancerev.VmcSender("127.0.0.1") as sink:
        dancerev.Show(source, stream, sink).run()

The names below are the stable interface. Each is imported when it is first used, so ``import dancerev`` is quick and
loads neither ONNX Runtime nor pygame nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import CorpusError, DancerevError, InputError, ModelError, ReceiverError

if TYPE_CHECKING:
    from .clients.flat_osc import FlatSender
    from .clients.sink import PoseSink
    from .clients.vmc import VmcSender
    from .model.features import AcousticFrame, BeatState
    from .model.pose import Pose
    from .realtime.audio.decode import decode
    from .realtime.audio.sources import AudioSource, open_source
    from .realtime.beat.engines import make_tracker
    from .realtime.beat.tracker import BeatTracker
    from .realtime.dance_model import DanceModel
    from .realtime.dancer import Dancer
    from .realtime.features import FeatureExtractor
    from .realtime.generate import Dance, generate
    from .realtime.show import Show
    from .realtime.stream import DanceStream

    __version__: str

_MODULES = {
    "AcousticFrame": "model.features",
    "AudioSource": "realtime.audio.sources",
    "BeatState": "model.features",
    "BeatTracker": "realtime.beat.tracker",
    "Dance": "realtime.generate",
    "DanceModel": "realtime.dance_model",
    "DanceStream": "realtime.stream",
    "Dancer": "realtime.dancer",
    "FeatureExtractor": "realtime.features",
    "FlatSender": "clients.flat_osc",
    "Pose": "model.pose",
    "PoseSink": "clients.sink",
    "Show": "realtime.show",
    "VmcSender": "clients.vmc",
    "decode": "realtime.audio.decode",
    "generate": "realtime.generate",
    "make_tracker": "realtime.beat.engines",
    "open_source": "realtime.audio.sources",
}

__all__ = [
    "AcousticFrame",
    "AudioSource",
    "BeatState",
    "BeatTracker",
    "CorpusError",
    "Dance",
    "DanceModel",
    "DanceStream",
    "Dancer",
    "DancerevError",
    "FeatureExtractor",
    "FlatSender",
    "InputError",
    "ModelError",
    "Pose",
    "PoseSink",
    "ReceiverError",
    "Show",
    "VmcSender",
    "__version__",
    "decode",
    "generate",
    "make_tracker",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib import metadata

        value: Any = metadata.version("dancerev")
    elif name in _MODULES:
        value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
