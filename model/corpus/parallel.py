"""Many independent jobs over a few processes, with a progress bar on stderr."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from dancerev.command_line import print_error
from dancerev.errors import CorpusError

Job = TypeVar("Job")
Result = TypeVar("Result")


def note(line: str) -> None:
    """Print a line on stderr."""
    print_error("dancerev-prepare", f"note: {line}")


def progress(results: Iterable[Result], total: int, label: str) -> Iterator[Result]:
    """The results as they come, with a bar."""
    from rich.console import Console
    from rich.progress import track

    yield from track(results, total=total, description=label, console=Console(stderr=True))


def in_parallel(
    function: Callable[[Job], Result],
    jobs: list[Job],
    workers: int,
    label: str,
    start: Callable[..., None] | None = None,
    start_arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """``function`` of every job, in order.

    Args:
        function: a function of a module, so that other processes find it.
        jobs: its arguments, one each.
        workers: processes, at most two for each processor; with one, everything runs in this process.
        label: stands before the bar.
        start: called once in every process before its first job.
        start_arguments: what it is called with.

    Raises:
        CorpusError: a process was killed.
    """
    if not jobs:
        return
    workers = min(workers, len(jobs), 2 * (os.cpu_count() or 1))  # more do not help
    if workers <= 1:
        if start is not None:
            start(*start_arguments)
        yield from progress(map(function, jobs), len(jobs), label)
        return
    try:
        with ProcessPoolExecutor(workers, initializer=start, initargs=start_arguments) as pool:
            yield from progress(pool.map(function, jobs), len(jobs), label)
    except BrokenProcessPool:
        raise CorpusError(f"{label}: a process was killed, as when memory is short; try fewer --workers") from None
