"""JSON files of others, read with bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dancerev.errors import InputError

_LARGEST = 64 * 2**20  # bytes


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        OSError: the file cannot be read.
        InputError: it is larger than 64 MiB, no JSON, nested too deep, or no object; one line that names it.
    """
    size = path.stat().st_size
    if size > _LARGEST:
        raise InputError(f"{path}: {size // 2**20} MiB, more than such a file has")
    try:
        content = json.loads(path.read_bytes())
    except RecursionError:
        raise InputError(f"{path}: nested too deep") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object")
    return content
