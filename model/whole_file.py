"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from dancerev.errors import InputError


def beside(path: Path, suffix: str = ".partial") -> Path:
    """Return the path next to ``path`` in which it is prepared, short enough for every file system."""
    name = os.fsencode(path.name)[: 200 - len(suffix)]
    return path.with_name(f".{os.fsdecode(name)}{suffix}")


def beside_alone(path: Path, suffix: str = ".partial") -> Path:
    """Return a path next to ``path`` that no other program, and no other call, is given."""
    return beside(path, f".{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def check_name(path: Path, sources: Iterable[Path] = ()) -> None:
    """Find out, before long work, whether ``path`` is a name that a file can have, and whether it would cost a source.

    Args:
        path: to write to later.
        sources: what is read.

    Raises:
        InputError: it is one of the sources.
        OSError: the system has no such names: too long, for one.
    """
    folder = next((parent for parent in path.parents if parent.exists()), Path())  # the others are made later
    with suppress(FileNotFoundError, NotADirectoryError):
        (folder / path.name).stat()
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise InputError(f"{path}: is read from, and would be written over; give another name")


def check_writable(path: Path, sources: Iterable[Path] = ()) -> None:
    """Find out, before long work, whether ``path`` can be written; leave no file that was not there.

    Args:
        path: to write to later.
        sources: what is read.

    Raises:
        InputError: it is one of the sources, a pipe, or in a folder in which nothing may be written.
        OSError: it cannot be written.
    """
    check_name(path, sources)
    if path.is_fifo():
        raise InputError(f"{path} is a pipe, which may never be read; give a file")
    there = path.exists()
    path.open("a").close()
    if not there:
        path.resolve().unlink()
    elif path.is_file() and not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent}: writing there is not permitted")


def begin_file(path: Path, head: bytes, buffering: int = -1) -> IO[bytes]:
    """Return a new file, opened for reading and writing, with its first bytes; where that fails, none is left.

    Raises:
        OSError: the file cannot be written.
    """
    file = path.open("w+b", buffering)
    try:
        file.write(head)
        file.flush()
    except OSError as error:
        with suppress(OSError):
            file.close()
        if path.is_file():
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None
    return file


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` write a file next to ``path``, then rename it: the old file stays until the new one is whole.

    Of two programs that write the same file at once each writes its own, and the later one's stays. What is no file,
    such as ``/dev/null``, is written to as it is.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    partial = path if path.exists() and not path.is_file() else beside_alone(path)
    try:
        write(partial)
        if partial != path:
            partial.replace(path)
    except BaseException as error:
        if partial != path:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        # An error without a number would lose its text with a file name.
        if (
            isinstance(error, OSError)
            and error.errno is not None
            and (error.filename is None or partial.name in str(error.filename))
        ):
            error.filename = str(path)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(path, lambda partial: partial.write_bytes(data))


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a text in UTF-8, whole or not at all; ``errors`` says what becomes of characters that it lacks.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8", errors))


def write_npz(path: Path, arrays: dict[str, Any], compressed: bool = True) -> None:
    """Write arrays as an ``.npz``, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    write_whole(path, write)
