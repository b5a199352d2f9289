"""Measure what a performer's controls do to the dance: ``python -m dancerev.model.evaluation.controls SONG…``.

*Style*: between two styles, a blend should move from the statistics of the one to those of the other. Shown is where
the mean kinetic features of each blend lie on the line between those of the two styles, 0 for the first and 1 for the
second. *Vigour*: shown is the mean joint speed against that at vigour 1.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dancerev.command_line import ArgumentParser, command, whole_number
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.generate import dance_to
from dancerev.realtime.stream import DanceStream

from ..kinematic_beats import joint_speed
from ..skeleton import forward_kinematics
from .metrics import clip_features

Array = npt.NDArray[Any]

FPS = 30
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the second style in a blend."""
VIGOURS = (0.6, 0.8, 1.0, 1.3)


def dances(songs: list[Array], seeds: int, model: DanceModel, style: Array, vigour: float = 1.0) -> list[Array]:
    """Dance to each song with each seed.

    Args:
        songs: (n,) float32 samples each.
        seeds: how many.
        model: for one dancer.
        style: (styles,) weights.
        vigour: asked for; the music's energy adds nothing to it.

    Returns:
        positions (T, 22, 3) of each dance at FPS.
    """
    made = []
    for song in songs:
        for seed in range(seeds):
            model.reset()
            dancer = Dancer(model, seed=seed)
            dancer.style, dancer.vigour, dancer.energy_follow = style, vigour, 0.0
            poses = [pose for pose, _, _ in dance_to(iter([song]), DanceStream(dancer, FPS))]
            rotations, root = np.array([pose.rotations for pose in poses]), np.array([pose.root for pose in poses])
            made.append(forward_kinematics(rotations, root)[0])
    return made


def places_between(features: Array) -> Array:
    """(N,) where each of the features (N, D) lies on the line from the first, at 0, to the last, at 1."""
    axis = features[-1] - features[0]
    return np.asarray((features - features[0]) @ axis / max(float(axis @ axis), 1e-12))


def blend(songs: list[Array], seeds: int, model: DanceModel, one: str, other: str) -> Array:
    """(len(SHARES),) where the blends of two styles lie between them, by their mean kinetic features.

    The logarithm of each feature is taken, as they are squares of speeds over several decades.
    """
    first, second = model.style_vector(one), model.style_vector(other)
    features = []
    for share in SHARES:
        made = dances(songs, seeds, model, (1.0 - share) * first + share * second)
        kinetic = np.concatenate([clip_features(positions, FPS)[0] for positions in made])
        features.append(np.log(kinetic + 1e-4).mean(axis=0))
    return places_between(np.array(features))


def vigour(songs: list[Array], seeds: int, model: DanceModel, style: str) -> Array:
    """(len(VIGOURS),) mean joint speed at each vigour against that at 1."""
    speeds = [
        np.mean([joint_speed(positions, FPS).mean() for positions in dances(songs, seeds, model, weights, asked)])
        for weights in [model.style_vector(style)]
        for asked in VIGOURS
    ]
    return np.array(speeds) / speeds[VIGOURS.index(1.0)]


def _table(title: str, heads: tuple[float, ...], rows: dict[str, Array]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    table.add_column("")
    for head in heads:
        table.add_column(f"{head:g}", justify="right")
    for name, values in rows.items():
        table.add_row(name, *(f"{value:.2f}" for value in values))
    return table


@command("dancerev.model.evaluation.controls")
def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = ArgumentParser(prog="dancerev.model.evaluation.controls", description=__doc__.split("\n")[0])
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG", help="music files")
    parser.add_argument("--model", default="default", metavar="MODEL", help="exported weights (%(default)s)")
    parser.add_argument("--seeds", type=whole_number(1), default=3, metavar="N", help="dances per song (%(default)s)")
    parser.add_argument("--seconds", type=whole_number(10), default=60, metavar="N", help="of each song (%(default)s)")
    arguments = parser.parse_args(argv)
    model = DanceModel(arguments.model)
    songs = [_beginning(song, arguments.seconds) for song in arguments.songs]
    styles, console = model.styles, Console()
    pairs = list(pairwise(styles))
    given = songs, arguments.seeds, model
    blends = {f"{a} to {b}": blend(*given, a, b) for a, b in track(pairs, "blends", console=Console(stderr=True))}
    console.print(_table("place of a blend between two styles, by the share of the second", SHARES, blends))
    speeds = {style: vigour(*given, style) for style in track(styles, "vigour", console=Console(stderr=True))}
    console.print(_table("speed against that at vigour 1, by the vigour asked for", VIGOURS, speeds))
    return 0


def _beginning(song: Path, seconds: int) -> Array:
    """(n,) the first seconds of a song."""
    blocks, length = [], 0
    for block in decode(song):
        blocks.append(block)
        length += len(block)
        if length >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(blocks)[: seconds * SAMPLE_RATE]


if __name__ == "__main__":
    sys.exit(main())
