"""The commands as the installed scripts call them: while they are being imported, Ctrl-C ends the program silently."""

import signal

_handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _handled:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from .commands import (  # noqa: E402
    bench,
    convert,
    evaluate,
    export,
    generate,
    listen,
    live,
    main,
    prepare,
    preview,
    train,
)

if _handled:
    signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = [
    "bench",
    "convert",
    "evaluate",
    "export",
    "generate",
    "listen",
    "live",
    "main",
    "prepare",
    "preview",
    "train",
]
