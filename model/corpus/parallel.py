"""Many independent jobs over processes of this machine, or over a Dask cluster, with a progress bar on stderr."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dancerev.command_line import print_error
from dancerev.errors import CorpusError, InputError, reason

Job = TypeVar("Job")
Result = TypeVar("Result")


def note(line: str) -> None:
    """Print a line on stderr."""
    print_error("dancerev-prepare", f"note: {line}")


_on_cluster: ContextVar[bool] = ContextVar("on_cluster", default=False)


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Let :func:`in_parallel` use the workers of a Dask cluster; nothing changes without an ``address``.

    The workers must see the same files under the same names, and have this package installed.

    Raises:
        InputError: dask.distributed is not installed, or there is no cluster at the address.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a Dask cluster needs dask.distributed: pip install 'dancerev[cluster]'") from None
    try:
        client = Client(address, timeout=3)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask cluster at {address} ({reason(error)})") from None
    token = _on_cluster.set(True)
    try:
        with client, joblib.parallel_config(backend="dask"):
            yield
    finally:
        _on_cluster.reset(token)


def progress(results: Iterable[Result], total: int, label: str) -> Iterator[Result]:
    """Return the results as they come, with a bar in a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        results = track(results, total=total, description=label, console=console)
    yield from results


def in_parallel(function: Callable[[Job], Result], jobs: list[Job], workers: int, label: str) -> Iterator[Result]:
    """Return ``function`` of every job, in order.

    Args:
        function: of a module, or a partial of such, so that other processes find it.
        jobs: its arguments, one each.
        workers: processes, at most two for each processor; with one, everything runs in this process. On a
            :func:`cluster` its own number counts.
        label: stands before the bar.

    Raises:
        CorpusError: a process was killed.
    """
    if not jobs:
        return
    workers = min(workers, len(jobs), 2 * (os.cpu_count() or 1))  # more do not help
    if workers <= 1 and not _on_cluster.get():
        yield from progress(map(function, jobs), len(jobs), label)
        return
    run = joblib.Parallel(n_jobs=-1 if _on_cluster.get() else workers, return_as="generator")
    try:
        yield from progress(run(joblib.delayed(function)(job) for job in jobs), len(jobs), label)
    except TerminatedWorkerError:
        raise CorpusError(f"{label}: a process was killed, as when memory is short; try fewer --workers") from None
