"""The commands by name: what ``dancerev`` lists, and where each is implemented."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from contextlib import nullcontext
from dataclasses import dataclass

from .command_line import command, deferred_interrupt, print_error, progress

CHECKPOINTS = (".pt", ".pth", ".ckpt")
"""Endings of checkpoints, which torch reads."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        module: whose ``main`` it is.
        help: a line.
        extra: that it may need.
        options: module whose ``parse`` reads its command line, where ``module`` imports much or needs the extra.
    """

    module: str
    help: str
    extra: str | None = None
    options: str | None = None


COMMANDS = {
    "live": Command("dancerev.realtime.live", "dance to a microphone or a song, live"),
    "generate": Command("dancerev.realtime.generate", "write the dance to a song into a file"),
    "listen": Command("dancerev.realtime.listen", "check the sound: level, onsets, beat"),
    "convert": Command("dancerev.realtime.convert", "turn a dance file into one of another format"),
    "preview": Command("dancerev.clients.preview.preview", "show a dance that arrives over VMC"),
    "prepare": Command(
        "dancerev.model.corpus.prepare",
        "make a training corpus of motion and music",
        "train",
        "dancerev.model.corpus.options",
    ),
    "train": Command(
        "dancerev.model.training.train", "train a network on a corpus", "train", "dancerev.model.training.options"
    ),
    "evaluate": Command(
        "dancerev.model.evaluation.evaluate", "compare dances by metrics", "train", "dancerev.model.evaluation.options"
    ),
    "export": Command(
        "dancerev.export.export", "turn a checkpoint into an ONNX model", "train", "dancerev.export.options"
    ),
    "bench": Command("dancerev.export.bench", "measure the speed of every stage here", "train"),
}

GENERATE_ORIGINAL = Command(
    "dancerev.model.evaluation.generate_original", "", "original", options="dancerev.realtime.generate"
)
"""``dancerev-generate`` where ``--model`` is a checkpoint of the original network."""


def run(name: str) -> int:
    """Import the command ``name``, call its ``main`` and return the exit code."""
    chosen = GENERATE_ORIGINAL if name == "generate" and _model_is_checkpoint() else COMMANDS[name]
    try:
        if chosen.options is not None and (code := _parse(name, chosen.options)):
            return code
        with progress(f"starting dancerev-{name}") if chosen.options else nullcontext(), deferred_interrupt():
            module = importlib.import_module(chosen.module)
        return int(module.main())
    except ModuleNotFoundError as error:
        if chosen.extra is None or (error.name or "").startswith("dancerev"):
            raise
        print_error(f"dancerev-{name}", f"{error.name} is missing: pip install 'dancerev[{chosen.extra}]'")
        return 2
    except KeyboardInterrupt:  # while it was imported
        return 130


def _model_is_checkpoint() -> bool:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", nargs="?", default="", const="")
    return bool(parser.parse_known_args()[0].model.endswith(CHECKPOINTS))


def _parse(name: str, options: str) -> int:
    """Read the command line for what is wrong with it, or for ``--help``; 0 where the command goes on."""

    @command(f"dancerev-{name}")
    def parse() -> int:
        importlib.import_module(options).parse()
        return 0

    return parse()


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
    for name, each in COMMANDS.items():
        print(f"  dancerev-{name:9} {each.help}")
    print("\nBegin with: dancerev-live --input demo. Each command has --help.")
    return 0
