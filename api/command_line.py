"""What the commands share: a parser whose errors are one line, and how a user's mistake ends."""

from __future__ import annotations

import argparse
import functools
import importlib
import math
import sys
from collections.abc import Callable
from typing import NoReturn


def whole_number(least: int) -> Callable[[str], int]:
    """A parser of whole numbers from ``least`` on a command line; ``ArgumentTypeError`` for others."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
        return int(text)

    return parse


seed = whole_number(0)
"""A seed of random numbers from a command line."""


def seconds(text: str) -> float:
    """Seconds from a command line, above 0 and not for ever; ``ArgumentTypeError`` for others."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


class ArgumentParser(argparse.ArgumentParser):
    """An ``argparse`` parser that answers a mistake with one line on stderr and exit code 2, without the usage."""

    def __init__(self, prog: str, description: str | None) -> None:
        """``description`` may be a module docstring: its first paragraph is shown, without marks of markup."""
        text = (description or "").split("\n\n")[0].replace("``", "").removeprefix(f"{prog}: ")
        super().__init__(
            prog=prog,
            description=text[:1].upper() + text[1:],
            formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=36),
        )

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def run_with_extra(name: str, module: str, extra: str) -> int:
    """Runs the command ``name``, the ``main`` of a module that needs packages of an ``extra``; its exit code."""
    try:
        return int(importlib.import_module(module).main())
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dancerev"):
            raise
        print(f"{name}: {error.name} is missing: pip install 'dancerev[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
