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
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import NoReturn, ParamSpec

from .errors import DancerevError, quoted, reason

Parameters = ParamSpec("Parameters")

ENDING_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK") if hasattr(signal, name)
)
"""Those that ask a program to end, on this system."""

SAME_SIGNAL = 1.0
"""Seconds in which another signal counts as the first: ``timeout`` and shells send theirs to a program and again to its
group."""


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range on a command line; ``ArgumentTypeError`` for others."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number from {least} to {most}")
        return int(text)

    return parse


seed = whole_number(0, 2**32 - 1)
"""A seed of random numbers from a command line: as large as NumPy's generators take."""

_LONGEST = 366 * 24 * 3600.0  # seconds


def seconds(text: str) -> float:
    """Seconds from a command line, above 0 and within a year; ``ArgumentTypeError`` for others."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of seconds above 0 and within a year")
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
        needed = [action for action in self._actions if action.required or not action.option_strings]
        usage = f"usage: {self.prog} [options] {' '.join(map(_in_usage, needed))}".rstrip()
        lines = [usage, "", *textwrap.wrap(self.description or "", 79), ""]
        formatter = self._get_formatter()
        shown = {*self._common, *(action.dest for action in needed), "help_all"}
        formatter.add_arguments([action for action in self._actions if action.dest in shown])
        return "\n".join([*lines, formatter.format_help().rstrip(), ""])

    def format_all(self) -> str:
        """Return the help on every option."""
        return super().format_help()

    def refuse(self, arguments: argparse.Namespace, options: str, why: str) -> None:
        """End the program where one of some options was given, which would do nothing.

        Args:
            arguments: that were parsed; an option that has its default counts as not given.
            options: such as ``--height --fps``.
            why: such as ``without --protocol vrchat``.
        """
        for option in options.split():
            action = self._option_string_actions[option]
            if getattr(arguments, action.dest) != action.default:
                self.error(f"{option} does nothing {why}")

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _in_usage(action: argparse.Action) -> str:
    """Return how an argument stands in the line of usage."""
    name = str(action.metavar or action.dest)
    text = {"*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(str(action.nargs), name)
    return f"{action.option_strings[0]} {text}" if action.option_strings else text


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
    Ctrl-C ends silently with 130, the other :data:`ENDING_SIGNALS` with 128 and their number; what was begun is cleaned
    up. A reader of stdout that has gone, as in ``| head``, ends with 1. Any other exception is a bug and keeps its
    traceback. Text that the terminal's encoding lacks is printed escaped.

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
                with _ended_by_signals():
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
def _ended_by_signals() -> Iterator[None]:
    """Let signals that would kill the program end the body by ``SystemExit``, so that it cleans up.

    What the body handles itself, and what is ignored, as under ``nohup``, stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    program, first = os.getpid(), -math.inf

    def end(number: int, _: object) -> None:
        nonlocal first
        if os.getpid() != program:  # a worker that was forked has nothing to clean up
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if time.perf_counter() - first > SAME_SIGNAL:
            first = time.perf_counter()
            raise SystemExit(128 + number)

    taken = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Keep a Ctrl-C, or another signal that is handled, until the body has ended, then let it act.

    An import that is interrupted may lose the interrupt, or turn it into an error of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: handler for number in ENDING_SIGNALS if callable(handler := signal.getsignal(number))}
    came: list[int] = []
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for interrupt in came:
        signal.raise_signal(interrupt)


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

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda units: bar.advance(task, units)


def print_error(prog: str, error: object) -> None:
    """Print one line on stderr; nothing where stderr is closed or full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if isinstance(error, OSError):
            error = reason(error) if error.filename is None else f"{error.filename}: {reason(error)}"
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
