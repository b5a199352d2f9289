"""The options of ``dancerev-evaluate``, which are read before SciPy and others are imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from dancerev.command_line import ArgumentParser, whole_number
from dancerev.errors import InputError

_DESCRIPTION = "Dances, or groups of them, against their music and against real dance, in one table."
_COMMON = "group music real workers json paper sheets"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        InputError: some do not go together.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if bool(arguments.dances) == bool(arguments.group):
        parser.error("give either dances or groups of them")
    if arguments.cluster is not None:
        parser.refuse(arguments, "--workers", "with --cluster")
    if arguments.protocol == "bailando":
        parser.refuse(arguments, "--paper --workers --cluster --sheets", "with --protocol bailando")
        if arguments.real is None:
            raise InputError("--protocol bailando compares with real dance; give --real NPZ")
    if arguments.paper is None:
        parser.refuse(arguments, "--fps", "without --paper")
        return arguments
    parser.refuse(arguments, "--real --workers --cluster --sheets", "with --paper")
    if not arguments.group:
        raise InputError("--paper compares groups; give --group NAME=FOLDER")
    if not 1.0 <= arguments.fps <= 1000.0:
        raise InputError(f"--fps {arguments.fps}: is not from 1 to 1000")
    return arguments


def _group(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"a group is NAME=FOLDER, not {text}")
    if Path(name).name != name or name == ".." or "\\" in name:  # its contact sheets go into a folder of that name
        raise argparse.ArgumentTypeError(f"{name!r} is no name of a group: it names another folder")
    return name, Path(folder)


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-evaluate", _DESCRIPTION, common=_COMMON.split())
    parser.add_argument("dances", nargs="*", type=Path, metavar="DANCE.npz", help="written by dancerev-generate")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        type=_group,
        metavar="NAME=FOLDER",
        help="instead: all dances of a folder, as one row of a table of groups; may be repeated",
    )
    parser.add_argument(
        "--music",
        type=Path,
        metavar="FOLDER|JSON",
        help="true beats and silences of the music: SONG.beats.json for every SONG[__STYLE][__seedN].npz, or one file "
        "for all dances (default: the beats that the dancer heard)",
    )
    parser.add_argument("--real", type=Path, metavar="NPZ", help="real dance to compare with, by dancerev-prepare")
    parser.add_argument("--workers", type=whole_number(1), default=1, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--cluster", metavar="HOST:PORT", help="Dask scheduler whose workers do the work instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument(
        "--paper",
        type=Path,
        metavar="CLASSIFIER.pt",
        help="with --group: the metrics of Dance Revolution's paper, of folders of key points too",
    )
    parser.add_argument(
        "--protocol",
        choices=("dancerev", "bailando"),
        default="dancerev",
        help="bailando: FID, diversity, BAS and PFC as published for AIST++; needs --real (default: our own metrics)",
    )
    parser.add_argument("--fps", type=float, default=30.0, metavar="N", help="of folders of key points (%(default)s)")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="put a contact sheet of each dance there")
    return parser
