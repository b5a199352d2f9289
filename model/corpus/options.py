"""The options of ``dancerev-prepare``, which are read before SciPy and others are imported."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from dancerev.command_line import ArgumentParser, seed
from dancerev.errors import CorpusError

_DESCRIPTION = """Sets motion capture to music whose beats are known, for dancerev-train. What an earlier run has left \
in DIR/work is not made again."""
_COMMON = "music grooves pairs held_out out hours workers seed format video pose_models"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        CorpusError: there is nothing to prepare, or arguments do not go together.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    _refuse_what_does_nothing(parser, options)
    if options.video and options.motion:
        raise CorpusError("--video takes a folder of films and nothing else")
    if options.format and len(options.motion) != 1:
        raise CorpusError("--format dancerevolution takes one folder")
    if not (options.motion or options.pairs or options.video):
        raise CorpusError("nothing to prepare: give motion capture, or --pairs")
    if options.clips < 1 or options.workers < 1 or not 0.0 < options.hours < math.inf:
        raise CorpusError("--clips, --workers and --hours must be above 0, and hours not for ever")
    return options


def _refuse_what_does_nothing(parser: ArgumentParser, options: argparse.Namespace) -> None:
    ours = "--music --grooves --clips --soundfont --pairs --held-out --held-out-music --hours --workers --cluster"
    if options.video:
        parser.refuse(options, f"{ours} --format --picture", "with --video")
    elif options.format:
        parser.refuse(options, f"{ours} --pose-models", f"with --format {options.format}")
    else:
        parser.refuse(options, "--pose-models --features --picture", "without --format or --video")
    if options.grooves is None:
        parser.refuse(options, "--clips --soundfont", "without --grooves")
    if options.cluster is not None:
        parser.refuse(options, "--workers", "with --cluster")
    if not options.motion:
        of_takes = "--music --grooves --held-out --held-out-music --hours"
        parser.refuse(options, of_takes, "without motion capture to set to music")


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-prepare", _DESCRIPTION, common=_COMMON.split())
    add = parser.add_argument
    add("motion", nargs="*", metavar="[STYLE=]PATH[@FPS]", help="BVH file, folder or zip; FPS where the files lie")
    add("--music", nargs="*", type=Path, default=[], metavar="DIR", help="songs, each with its .beats.json")
    add("--grooves", type=Path, metavar="ZIP", help="Groove MIDI Dataset, to render music from")
    add("--clips", type=int, default=96, metavar="N", help="pieces to render (%(default)s)")
    add("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), metavar="SF2")
    add("--pairs", nargs="*", default=[], metavar="[STYLE=]DIR", help="motion with its own music: BVH + song, AIST++")
    add("--held-out", nargs="*", default=[], metavar="TEXT", help="takes with TEXT in their name make the test split")
    add("--held-out-music", type=Path, metavar="DIR", help="where to write the audio of the test split")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--hours", type=float, default=6.0, metavar="H", help="of dance to compose (%(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="processes (%(default)s)")
    add("--cluster", metavar="HOST:PORT", help="Dask scheduler whose workers do the work; they see the same files")
    add("--seed", type=seed, default=0, metavar="N")
    flat = parser.add_argument_group("two-dimensional dances, for dancerev-train --preset dance-revolution")
    flat.add_argument("--format", choices=("dancerevolution",), help="PATH is Dance Revolution's own data")
    flat.add_argument("--video", type=Path, metavar="DIR", help="films of one dancer each, with their music")
    flat.add_argument("--pose-models", type=Path, metavar="TGZ|DIR", help="for --video: npm's @mediapipe/pose")
    flat.add_argument(
        "--features", choices=("2020", "present"), default="2020", help="librosa's definition (%(default)s)"
    )
    flat.add_argument("--picture", type=picture_size, metavar="WxH", help="pixels of the films, where not as it seems")
    return parser


def picture_size(text: str) -> tuple[int, int]:
    """Width and height of ``1920x1080``; ``ArgumentTypeError`` for others."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 16384 and 0 < int(height) <= 16384):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1920x1080")
    return int(width), int(height)
