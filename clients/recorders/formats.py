"""The formats of dance files by their suffixes: one table for the recordings and for every command."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from dancerev.errors import InputError
from dancerev.model.bvh import write_bvh
from dancerev.model.dance_file import Dance, read_dance, write_dance
from dancerev.model.whole_file import check_name, write_whole

from .journal import read_journal
from .vmd import read_vmd, write_vmd
from .vrma import read_vrma, write_vrma

Writer = Callable[[Path, Dance], None]
Reader = Callable[[Path], Dance]


def _write_bvh(path: Path, dance: Dance) -> None:
    write_bvh(path, dance.rotations, dance.root, dance.fps, dance.offsets)


OPENPOSE_HINT = "for a folder of OpenPose's JSON add --format openpose"
"""Of the commands that write such folders."""

WRITERS: dict[str, Writer] = {".npz": write_dance, ".bvh": _write_bvh, ".vrma": write_vrma, ".vmd": write_vmd}
READERS: dict[str, Reader] = {".npz": read_dance, ".vrma": read_vrma, ".vmd": read_vmd, ".journal": read_journal}
"""BVH of any rig is read by ``dancerev.realtime.convert``, which may retarget it."""

FILM = ".mp4"
SUFFIXES = (".npz", ".bvh", ".vrma", ".vmd", FILM)

_PACKAGES = {".vrma": ("pygltflib",), FILM: ("av", "pygame")}
"""What writing a format imports, and so only at the end of the dance, or in a program of its own."""


def check_output(path: Path, hint: str = "") -> None:
    """Find out now, rather than after the dance, whether ``path`` can become a dance file.

    Args:
        path: of the dance.
        hint: what to do about a name without an ending.

    Raises:
        InputError: it cannot; the message says why.
        OSError: the system has no such names.
    """
    check_name(path)
    if path.suffix.lower() not in SUFFIXES:
        hint = f"; {hint}" if hint and path.suffix == "" else ""
        names = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise InputError(f"{path}: the name of the dance must end in {names}{hint}")
    if path.is_dir():
        raise InputError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent}: writing there is not permitted")
    for package in _PACKAGES.get(path.suffix.lower(), ()):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{path}: {package} is missing, which dancerev requires: install dancerev again")


def save(dance: Dance, path: Path) -> None:
    """Write a dance as what the suffix of ``path`` says, but for films: whole or not at all.

    Raises:
        InputError: the suffix is of no such format.
        OSError: the file cannot be written.
    """
    check_output(path)
    suffix = path.suffix.lower()
    if suffix == FILM:
        from .film import write_film

        write_whole(path, lambda partial: write_film(partial, dance))
    else:
        write_whole(path, lambda partial: WRITERS[suffix](partial, dance))
