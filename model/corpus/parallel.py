"""Many independent jobs over a few processes, with a progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


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
        workers: processes; with one, everything runs in this process.
        label: stands before the bar.
        start: called once in every process before its first job.
        start_arguments: what it is called with.
    """
    if not jobs:
        return
    if workers <= 1:
        if start is not None:
            start(*start_arguments)
        yield from progress(map(function, jobs), len(jobs), label)
        return
    with ProcessPoolExecutor(workers, initializer=start, initargs=start_arguments) as pool:
        yield from progress(pool.map(function, jobs), len(jobs), label)
