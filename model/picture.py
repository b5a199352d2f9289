"""Pictures as files."""

from __future__ import annotations

import io
from pathlib import Path

import pygame

from .whole_file import write_bytes


def write_picture(path: Path, picture: pygame.Surface) -> None:
    """Write a picture, whole or not at all; the suffix says in which format.

    Raises:
        OSError: the file cannot be written, or there is no such format.
    """
    encoded = io.BytesIO()  # what pygame writes itself may be cut short by a full disk without an error
    try:
        pygame.image.save(picture, encoded, path.name)
    except pygame.error as error:
        raise OSError(f"{path}: cannot write the picture ({error})") from error
    write_bytes(path, encoded.getvalue())
