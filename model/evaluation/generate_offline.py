"""Offline dances of the original network and of ours: ``python -m dancerev.model.evaluation.generate_offline``.

As the original does it: offline, the whole song heard before the first pose, from a fixed first pose and a random
state of the decoder. Only the feature extractor is ours. Of our own network, trained to look ahead, in no style in
particular and with nothing after the network. The files are those of ``dancerev-generate``, named SONG__seedN.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dancerev.command_line import ArgumentParser, command
from dancerev.errors import ModelError

from .. import rotation
from ..corpus.song import decode, extract_features
from ..corpus.songs import find_songs
from ..dance_file import Dance, write_dance
from ..features import FEATURE_SIZE
from ..network.checkpoint import load_checkpoint
from ..network.dance_network import DanceNetwork
from ..network.free_run import free_run
from ..network.original import OriginalNetwork, load_original
from ..pose import FRAME_RATE, POSE_SIZE, Pose, PoseDecoder, rest_pose, rest_vector

Array = npt.NDArray[Any]

_NAME = "dancerev.model.evaluation.generate_offline"


def begin_pose(network: OriginalNetwork) -> Tensor:
    """(POSE_SIZE,) normalised: the pose that every dance begins with, the rest pose."""
    return network.normalize_pose(torch.from_numpy(rest_vector()).to(network.pose_mean.device))


def dance(network: OriginalNetwork, features: Array, seed: int = 0) -> list[list[Pose]]:
    """Return the network's dances to whole pieces of music.

    Args:
        network: in evaluation mode, trained on our features and poses.
        features: (B, T, FEATURE_SIZE).
        seed: of the decoder's first state; another seed, another dance.

    Returns:
        For each piece T poses at FRAME_RATE, the first at 2 / FRAME_RATE s, for which its first features are heard.

    Raises:
        ModelError: the music is longer than the network knows positions.
    """
    memory = network.initial_memory(len(features), torch.Generator().manual_seed(seed))
    music = torch.as_tensor(features, dtype=torch.float32, device=network.pose_mean.device)
    vectors = network.denormalize_pose(network.generate(music, begin_pose(network), memory)).cpu().numpy()
    decoders = [PoseDecoder() for _ in vectors]
    return [
        [decoder.decode(vector, (t + 2) / FRAME_RATE) for t, vector in enumerate(piece)]
        for decoder, piece in zip(decoders, vectors, strict=True)
    ]


def dance_ours(network: DanceNetwork, features: Array, seed: int = 0) -> list[Pose]:
    """As :func:`dance`, of our network to one piece (T, FEATURE_SIZE); contacts are not told."""
    styles = len(network.config.styles)
    rotations, root = free_run(network, features[None].astype(np.float32), np.zeros((1, styles), np.float32), seed)
    return [
        Pose((t + 2) / FRAME_RATE, turned.astype(np.float32), place.astype(np.float32), np.zeros(2, np.float32))
        for t, (turned, place) in enumerate(zip(rotations[0], root[0], strict=True))
    ]


def doubled(poses: list[Pose]) -> list[Pose]:
    """Twice as many a second: a mid-point after each of N poses, the last pose twice."""
    between = [
        Pose(
            now.time + 0.5 / FRAME_RATE,
            rotation.slerp(now.rotations, after.rotations, 0.5),
            np.float32(0.5) * (now.root + after.root),
            np.float32(0.5) * (now.contacts + after.contacts),
        )
        for now, after in zip(poses, [*poses[1:], poses[-1]], strict=True)
    ]
    return [pose for pair in zip(poses, between, strict=True) for pose in pair]


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog=_NAME, description=(__doc__ or "").removeprefix(f"``python -m {_NAME}``: "))
    parser.add_argument("checkpoint", type=Path, help="of dancerev-train --network original, or with --ours")
    parser.add_argument("--ours", action="store_true", help="the checkpoint is of our own network")
    parser.add_argument("--music", type=Path, required=True, metavar="FOLDER", help="songs, each with its .beats.json")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the dances go")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="dances to each song (default %(default)s)")
    return parser


@command("dancerev.model.evaluation.generate_offline")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    network = load_checkpoint(arguments.checkpoint) if arguments.ours else load_original(arguments.checkpoint)
    if isinstance(network, OriginalNetwork) and (network.config.features, network.config.pose) != (
        FEATURE_SIZE,
        POSE_SIZE,
    ):
        raise ModelError(f"{arguments.checkpoint}: was not trained by dancerev-train, on its features and poses")
    songs = find_songs(arguments.music)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for song in track(songs, "dancing", console=Console(stderr=True), transient=True):
        assert song.file is not None
        features, beats, periods = extract_features(decode(song.file))
        before = [rest_pose(0.0), rest_pose(1.0 / FRAME_RATE)]
        for seed in range(arguments.seeds):
            if isinstance(network, DanceNetwork):
                poses = dance_ours(network, features, seed)
            else:
                (poses,) = dance(network, features[None], seed)
            made = doubled([*before, *poses])[: 2 * len(features) + 1]  # the dance ends with the music
            path = arguments.out / f"{song.name}__seed{seed}.npz"
            arrays = (np.array([getattr(p, name) for p in made]) for name in ("rotations", "root", "contacts"))
            turned, root, contacts = arrays
            finished = Dance(2 * FRAME_RATE, turned, root, contacts > 0.5, beats, float(60.0 / np.median(periods)))
            write_dance(path, finished)
    print(f"{arguments.out}: {arguments.seeds * len(songs)} dances to {len(songs)} songs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
