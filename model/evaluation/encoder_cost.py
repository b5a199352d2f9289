"""Measure what encoding music costs, by its length: ``python -m dancerev.model.evaluation.encoder_cost``.

Each row is a process of its own with one thread, whose memory is counted above what it needs before the music.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.table import Table

from dancerev.command_line import ArgumentParser, command

from ..features import FEATURE_SIZE
from ..network.attention import MusicEncoder
from ..network.config import DanceConfig
from ..network.original import Encoder, OriginalConfig
from ..pose import FRAME_RATE

_NAME = "dancerev.model.evaluation.encoder_cost"

NETWORKS = {
    "ours": "ours: 2 layers, 4 heads, 60 frames back",
    "100": "original: 1 layer, 8 heads, 100 on each side",
    "900": "original: 1 layer, 8 heads, 900 on each side",
}
"""What is measured."""

_MINUTES = (1, 5, 10, 30, 60)


@torch.no_grad()
def measure(network: str, minutes: int) -> tuple[float, float]:
    """Encode so many minutes of noise in this process.

    Args:
        network: a key of NETWORKS.
        minutes: of music at 15 frames per second.

    Returns:
        CPU seconds, and MiB of peak memory above what was used before.
    """
    torch.set_num_threads(1)
    frames = 60 * FRAME_RATE * minutes
    torch.manual_seed(0)
    encoder: MusicEncoder | Encoder
    if network == "ours":
        encoder, size = MusicEncoder(DanceConfig()), FEATURE_SIZE
    else:
        # Positions for all of it, so that it is one pass and not windows of 4,500.
        config = OriginalConfig(window=int(network), positions=frames)
        encoder, size = Encoder(config), config.features
    encoder.eval()
    music = torch.randn(1, frames, size)
    encoder(music[:, :200])
    before, start = _peak(), time.process_time()
    encoder(music)
    return time.process_time() - start, _peak() - before


def _peak() -> float:
    """Peak resident memory of this process so far, MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog=_NAME, description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=list(_MINUTES), metavar="N", help="of music")
    parser.add_argument("--one", choices=NETWORKS, help=argparse.SUPPRESS)
    return parser


@command(_NAME)
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.one:
        print(*measure(arguments.one, arguments.minutes[0]))
        return 0
    table = Table("encoder", *(f"{minutes} min" for minutes in arguments.minutes), box=None)
    for network, title in NETWORKS.items():
        cells = []
        for minutes in arguments.minutes:
            child = [sys.executable, "-m", _NAME, "--one", network, "--minutes", str(minutes)]
            done = subprocess.run(child, capture_output=True, text=True, check=True)
            seconds, memory = map(float, done.stdout.split())
            cells.append(f"{seconds:.2f} s, {memory:.0f} MiB")
        table.add_row(title, *cells)
    Console(width=160).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
