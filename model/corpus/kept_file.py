"""Files that ``dancerev-prepare`` keeps in DIR/work, so that a second run goes on where the first one stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from dancerev.errors import CorpusError

from ..dance_file import read_arrays

Result = TypeVar("Result")


def read_kept(path: Path, build: Callable[[dict[str, npt.NDArray[Any]]], Result]) -> Result:
    """Return what ``build`` makes of the arrays of an ``.npz`` that is kept.

    Raises:
        CorpusError: the file is damaged, or holds something else.
    """
    try:
        return build(read_arrays(path))
    except (ValueError, KeyError, IndexError, TypeError):
        raise CorpusError(f"{path}: damaged; delete it, and it is made again") from None
