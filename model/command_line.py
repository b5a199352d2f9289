"""What the commands share: a parser whose errors are one line, and how a user's mistake ends."""

from __future__ import annotations

import argparse
from typing import NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """An ``argparse`` parser that answers a mistake with one line on stderr and exit code 2, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")
