"""What the commands share: a parser whose errors are one line, and how a user's mistake ends."""

from __future__ import annotations

import argparse
import functools
from typing import NoReturn


def seed(text: str) -> int:
    """A seed of random numbers from a command line: a whole number from 0; ``ArgumentTypeError`` for others."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


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
