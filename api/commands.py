"""The commands by name: what ``dancerev`` lists, and where each is implemented."""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass

from .command_line import deferred_interrupt, print_error


@dataclass(frozen=True)
class Command:
    """One command: the module whose ``main`` it is, a line of help, and the extra that it may need."""

    module: str
    help: str
    extra: str | None = None


COMMANDS = {
    "live": Command("dancerev.realtime.live", "dance to a microphone or a song, live"),
    "generate": Command("dancerev.realtime.generate", "write the dance to a song into a file"),
    "listen": Command("dancerev.realtime.listen", "check the sound: level, onsets, beat"),
    "convert": Command("dancerev.realtime.convert", "turn a dance file into one of another format"),
    "preview": Command("dancerev.clients.preview.preview", "show a dance that arrives over VMC"),
    "prepare": Command("dancerev.model.corpus.prepare", "make a training corpus of motion and music", "train"),
    "train": Command("dancerev.model.training.train", "train a network on a corpus", "train"),
    "evaluate": Command("dancerev.model.evaluation.evaluate", "compare dances by metrics", "train"),
    "export": Command("dancerev.export.export", "turn a checkpoint into an ONNX model", "train"),
    "bench": Command("dancerev.export.bench", "measure the speed of every stage here", "train"),
}


def run(name: str) -> int:
    """Import the command ``name``, call its ``main`` and return the exit code."""
    command = COMMANDS[name]
    try:
        with deferred_interrupt():
            module = importlib.import_module(command.module)
        return int(module.main())
    except ModuleNotFoundError as error:
        if command.extra is None or (error.name or "").startswith("dancerev"):
            raise
        print_error(f"dancerev-{name}", f"{error.name} is missing: pip install 'dancerev[{command.extra}]'")
        return 2
    except KeyboardInterrupt:  # while it was imported
        return 130


live, generate, listen, convert, preview, prepare, train, evaluate, export, bench = (
    functools.partial(run, name) for name in COMMANDS
)


def main() -> int:
    """Run ``dancerev NAME …`` as ``dancerev-NAME …``; without a name, list the commands."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in COMMANDS:
        sys.argv = [f"dancerev-{arguments[0]}", *arguments[1:]]
        return run(arguments[0])
    if arguments == ["--version"]:
        from importlib import metadata

        print(f"dancerev {metadata.version('dancerev')}")
        return 0
    if arguments and arguments[0] not in ("-h", "--help"):
        print_error("dancerev", f"no command {arguments[0]}; there are {', '.join(COMMANDS)}")
        return 2
    print("Live dance generation: music in, a dancing humanoid out over OSC.\n")
    for name, command in COMMANDS.items():
        print(f"  dancerev-{name:9} {command.help}")
    print("\nBegin with: dancerev-live --input demo. Each command has --help.")
    return 0
