"""What all commands share: argument types, a parser whose errors are one line, and how a command ends."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import math
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import NoReturn, ParamSpec

from .errors import DancerevError

Parameters = ParamSpec("Parameters")


def whole_number(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` on a command line; ``ArgumentTypeError`` for others."""

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
    """An ``argparse`` parser with ``--version`` that answers a mistake with one line on stderr and exit code 2."""

    def __init__(self, prog: str, description: str | None, common: Sequence[str] = ()) -> None:
        """Make a parser.

        Args:
            prog: name of the command.
            description: may be a module docstring: its first paragraph is shown, without marks of markup.
            common: options, by their destinations, that ``--help`` shows where there are many; ``--help-all`` then
                shows all. Empty: there is ``--help`` alone.
        """
        text = (description or "").split("\n\n")[0].replace("``", "").removeprefix(f"{prog}: ")
        super().__init__(
            prog=prog,
            description=text[:1].upper() + text[1:],
            formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=36),
            allow_abbrev=False,
        )
        self._common = set(common)
        if common:
            self.add_argument("--help-all", action=_HelpAll, help="show every option and exit")
        self.add_argument("--version", action=_Version, help="show the version and exit")

    def format_help(self) -> str:
        """Return the help; of a parser with common options, a line for each of those alone."""
        if not self._common:
            return super().format_help()
        lines = [f"usage: {self.prog} [options]", "", *textwrap.wrap(self.description or "", 79), ""]
        formatter = self._get_formatter()
        formatter.add_arguments([action for action in self._actions if action.dest in {*self._common, "help_all"}])
        return "\n".join([*lines, formatter.format_help().rstrip(), ""])

    def format_all(self) -> str:
        """Return the help on every option."""
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _HelpAll(argparse.Action):
    """Prints the help on every option."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, ArgumentParser)
        print(parser.format_all(), end="")
        parser.exit()


class _Version(argparse.Action):
    """Prints the version. It is looked up only then, since the look-up takes longer than the parsing."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"dancerev {metadata.version('dancerev')}")
        parser.exit()


def command(prog: str) -> Callable[[Callable[Parameters, int]], Callable[Parameters, int]]:
    """Make the decorated ``main`` end as every command does.

    A :class:`~dancerev.errors.DancerevError` or an ``OSError`` is the user's to mend: one line on stderr, exit code 2.
    Ctrl-C ends silently with 130. A reader of stdout that has gone, as in ``| head``, ends with 1. Any other exception
    is a bug and keeps its traceback. Text that the terminal's encoding lacks is printed escaped.

    Args:
        prog: name of the command, which starts the line.
    """

    def decorate(main: Callable[Parameters, int]) -> Callable[Parameters, int]:
        @functools.wraps(main)
        def ended(*args: Parameters.args, **kwargs: Parameters.kwargs) -> int:
            _open_closed_streams()
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(errors="backslashreplace")
            try:
                return main(*args, **kwargs)
            except BrokenPipeError:
                with contextlib.suppress(OSError, ValueError):  # or Python complains when it flushes at exit
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
            except (DancerevError, OSError) as error:
                print_error(prog, error)
                return 2
            except KeyboardInterrupt:
                return 130

        return ended

    return decorate


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Keep a Ctrl-C until the body has ended, then raise it.

    An import that is interrupted may lose the interrupt, or turn it into an error of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the body runs, in a terminal only, and remove it afterwards.

    Args:
        description: what is done, a word or two.
        total: units of work, or None where it is not known: then the bar shows that work goes on.

    Yields:
        A function that adds units of work to the bar.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda units: bar.advance(task, units)


def print_error(prog: str, error: object) -> None:
    """Print one line on stderr; nothing where stderr is closed or full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if isinstance(error, OSError) and error.strerror and error.filename is not None:
            error = f"{error.filename}: {error.strerror}"
        print(f"{prog}: {error}", file=sys.stderr, flush=True)


def _open_closed_streams() -> None:
    """Open stdin, stdout and stderr to nowhere where they were closed, lest a socket takes their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
