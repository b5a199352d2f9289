"""Files that ``dancerev-prepare`` keeps in DIR/work, so that a second run goes on where the first one stopped."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError

Arrays = Mapping[str, npt.NDArray[Any]]
Result = TypeVar("Result")


def read_kept(path: Path, build: Callable[[Arrays], Result]) -> Result:
    """Return what ``build`` makes of an ``.npz`` that is kept. An array is unpacked when it is asked for.

    Raises:
        CorpusError: the file is damaged, or holds something else.
        OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return build(arrays)
    except (ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise CorpusError(f"{path}: damaged; delete it, and it is made again") from None
