"""Dances of the original network's checkpoints, in two dimensions, for ``dancerev-generate --model CHECKPOINT.pt``.

Offline, as published: the whole song is encoded before the first pose. ``dancerev.commands`` calls it in place of
``dancerev.realtime.generate``, which needs no torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from dancerev.clients.preview.body25_picture import pictures
from dancerev.clients.recorders.film import SOUND_RATE, Film
from dancerev.command_line import command
from dancerev.errors import InputError, ModelError
from dancerev.realtime.audio.decode import decode, decode_stereo
from dancerev.realtime.generate import parse

from .. import body25
from ..network import original_features
from ..network.original import OriginalNetwork, load_original
from ..openpose import check_free, write_openpose
from ..whole_file import write_whole

Array = npt.NDArray[np.float32]

FRAME_RATE = 15
"""Poses per second of the network."""

PICTURE = (body25.WIDTH, body25.HEIGHT)


def dance(network: OriginalNetwork, features: Array, seed: int = 0) -> npt.NDArray[np.float64]:
    """Dance to a song.

    Args:
        network: published, of 438 features and 50 pose numbers, in evaluation mode.
        features: (T, 438) at 30 per second; the network takes every second frame.
        seed: of the decoder's first state, as ``torch.manual_seed`` takes it; another seed, another dance.

    Returns:
        (T // 2, 25, 2) key points in pixels, 15 per second. As published, the pose made of frame i is frame i of the
        film, although it is trained to be one frame ahead.
    """
    music = torch.from_numpy(features[: len(features) // 2 * 2 : 2])[None]
    memory = network.initial_memory(1, torch.Generator().manual_seed(seed))
    vectors = network.generate(music, torch.from_numpy(body25.FIRST_POSE), memory)[0]
    return body25.from_vectors(vectors.numpy().astype(np.float64))


def doubled(keypoints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Twice as many key points (2 T, 25, 2) a second: a mid-point after each, the last one twice."""
    after = np.concatenate([keypoints[1:], keypoints[-1:]])
    return np.stack([keypoints, (keypoints + after) / 2.0], axis=1).reshape(-1, *keypoints.shape[1:])


@command("dancerev-generate")
def main(argv: list[str] | None = None) -> int:
    """Command line of a checkpoint; returns the exit code.

    Into the folder ``out`` go, for each song and seed, ``SONG__seedN/frame000000_keypoints.json`` and on,
    ``SONG__seedN.mp4``, and with ``--pictures`` ``SONG__seedN_pictures/frame000000.png`` and on.
    """
    arguments = parse(argv)
    songs: list[Path] = arguments.songs
    out: Path = arguments.out
    if arguments.fps not in (FRAME_RATE, 2 * FRAME_RATE):
        raise InputError(f"a checkpoint of the original network dances at 15 or 30 poses a second, not {arguments.fps}")
    if out.suffix in (".npz", ".bvh", ".mp4") or (out.exists() and not out.is_dir()):
        raise InputError(f"{out}: a checkpoint of the original network writes into a folder")
    names = [song.stem for song in songs]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two songs have the same name, {min(doubles)}; their dances would too")
    network = load_original(arguments.model)
    sizes = network.config.features, network.config.pose
    if sizes != (original_features.SIZE, 2 * len(body25.JOINTS)):
        raise ModelError(f"{arguments.model}: takes {sizes[0]} features and makes {sizes[1]} numbers, not 438 and 50")
    for seed in (arguments.seed + k for k in range(arguments.seeds)):
        for name in names:
            check_free(out / f"{name}__seed{seed}")
    for song in songs:
        features = original_features.extract(
            np.concatenate(list(decode(song, original_features.SAMPLE_RATE))), arguments.features
        )
        for seed in (arguments.seed + k for k in range(arguments.seeds)):
            made = dance(network, features, seed)
            keypoints = made if arguments.fps == FRAME_RATE else doubled(made)
            _write(keypoints, arguments, song, out / f"{song.stem}__seed{seed}")
    return 0


def _write(keypoints: npt.NDArray[np.float64], arguments: argparse.Namespace, song: Path, place: Path) -> None:
    """Write one dance: key points, film and, where they are asked for, pictures."""
    fps: int = arguments.fps
    write_openpose(place, keypoints)
    drawn = track(pictures(keypoints), place.name, len(keypoints), console=Console(stderr=True), transient=True)
    if arguments.pictures:
        drawn = _saved(drawn, place.with_name(f"{place.name}_pictures"))

    def film(path: Path) -> None:
        with Film(path, fps, PICTURE, decode_stereo(song, SOUND_RATE)) as film:
            for picture in drawn:
                film.add(picture)

    write_whole(place.with_name(f"{place.name}.mp4"), film)
    print(f"{place}: {len(keypoints)} poses at {fps} a second")


def _saved(drawn: Iterable[npt.NDArray[np.uint8]], folder: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Save the pictures under numbers as they pass."""
    import pygame

    from ..picture import write_picture

    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(drawn):
        write_picture(folder / f"frame{i:06d}.png", pygame.surfarray.make_surface(picture.swapaxes(0, 1)))
        yield picture
