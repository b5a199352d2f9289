"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def beside(path: Path, suffix: str = ".partial") -> Path:
    """Return the path next to ``path`` in which it is prepared, short enough for every file system."""
    name = os.fsencode(path.name)[: 200 - len(suffix)]
    return path.with_name(f".{os.fsdecode(name)}{suffix}")


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` write a file next to ``path``, then rename it: the old file stays until the new one is whole.

    Raises:
        OSError: the file cannot be written.
    """
    partial = beside(path)
    try:
        write(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_npz(path: Path, arrays: dict[str, Any], compressed: bool = True) -> None:
    """Write arrays as an ``.npz``, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    write_whole(path, write)
