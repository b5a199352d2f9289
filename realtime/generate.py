"""``dancerev-generate``: a song in, its dance out as a file; the same stream as on stage, faster than real time."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from dancerev.command_line import ArgumentParser, command, seed, whole_number
from dancerev.errors import InputError
from dancerev.model import body25
from dancerev.model.bvh import write_bvh
from dancerev.model.evaluation.contact_sheet import render_video
from dancerev.model.openpose import check_free, write_openpose
from dancerev.model.pose import Pose
from dancerev.model.skeleton import BONES, forward_kinematics

from .audio.clock import SAMPLE_RATE
from .audio.decode import decode, duration
from .audio.sources import demo_path
from .dance_model import ANY_STYLE, DanceModel
from .dancer import Dancer
from .providers import PROVIDERS
from .stream import DanceStream

Array = npt.NDArray[np.float32]

CHECKPOINTS = (".pt", ".pth", ".ckpt")
"""Endings of checkpoints, which torch reads."""


@dataclass(frozen=True)
class Dance:
    """A finished dance: ``poses[i]`` is for time i / fps of the audio; ``beats`` are seconds, as announced."""

    fps: int
    poses: list[Pose]
    beats: list[float]
    bpm: float


def generate(song: Path, stream: DanceStream, fps: int, progress: Progress | None = None) -> Dance:
    """Dance to a whole song.

    Raises:
        InputError: the song cannot be read.
    """
    task = progress.add_task("dancing", total=duration(song)) if progress else None
    poses, beats, tempi = stream.begin(), [], []
    samples = 0
    for block in decode(song):
        made, announced = stream.push(block)
        poses += made
        beats += announced
        tempi += [stream.last.beat.bpm] * len(announced) if stream.last else []
        samples += len(block)
        if progress and task is not None:
            progress.update(task, completed=samples / SAMPLE_RATE)
    count = int(samples * fps // SAMPLE_RATE) + 1  # the dance ends with the music
    return Dance(fps, poses[:count], beats, float(np.median(tempi)) if tempi else 0.0)


def save_npz(dance: Dance, path: Path) -> None:
    """Write the arrays: fps, joint_names (J,), positions (T, J, 3) world metres, rotations (T, J, 4) local xyzw,

    root (T, 3), contacts (T, 2) bool, beats (N,) seconds, bpm.
    """
    rotations, root = _arrays(dance)
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            fps=dance.fps,
            joint_names=np.array(BONES),
            positions=forward_kinematics(rotations, root)[0],
            rotations=rotations,
            root=root,
            contacts=np.array([pose.contacts for pose in dance.poses]) > 0.5,
            beats=np.array(dance.beats),
            bpm=dance.bpm,
        )


def save_bvh(dance: Dance, path: Path) -> None:
    """Write the dance as motion capture, for Blender, Maya and the like."""
    write_bvh(path, *_arrays(dance), dance.fps)


def save_mp4(dance: Dance, path: Path, song: Path) -> None:
    """Write a film of the dance with its music."""
    render_video(forward_kinematics(*_arrays(dance))[0], dance.fps, path, song)


def save_openpose(dance: Dance, folder: Path) -> None:
    """Write the key points of every pose as OpenPose's JSON, as the original Dance Revolution does."""
    write_openpose(folder, body25.project(*_arrays(dance)))


def _arrays(dance: Dance) -> tuple[Array, Array]:
    """Rotations (T, 22, 4) and root (T, 3)."""
    return np.array([pose.rotations for pose in dance.poses]), np.array([pose.root for pose in dance.poses])


def _generate_original(arguments: argparse.Namespace, songs: list[Path]) -> int:
    try:
        from . import generate_original

        generate_original.generate(arguments, songs)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dancerev"):
            raise
        raise InputError(f"{error.name} is missing: pip install 'dancerev[original]'") from error
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-generate", description=__doc__)
    parser.add_argument("songs", nargs="+", metavar="SONG", help="a music file, or demo")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT.{npz,bvh,mp4}", help="where the dance goes"
    )
    parser.add_argument(
        "--format",
        choices=("openpose",),
        help="OUT is a folder, for OpenPose's JSON, 30 files a second",
    )
    parser.add_argument(
        "--fps", type=int, choices=(15, 30, 60), default=30, help="poses a second (default %(default)s)"
    )
    parser.add_argument("--model", default="default", metavar="NAME|PATH", help="bundled or exported model")
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    parser.add_argument("--style", default=ANY_STYLE, metavar="NAME", help="style of the dance (default any)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="another seed, another dance (default 0)")
    original = parser.add_argument_group(
        "with a checkpoint of the original Dance Revolution as --model, into the folder OUT"
    )
    original.add_argument(
        "--seeds", type=whole_number(1), default=1, metavar="N", help="dances to each song (default 1)"
    )
    original.add_argument(
        "--features", choices=("2020", "present"), default="2020", help="librosa's definition of the 438 (default 2020)"
    )
    original.add_argument("--pictures", action="store_true", help="write each frame as a picture too, for vid2vid")
    return parser


@command("dancerev-generate")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    songs = [demo_path() if song == "demo" else Path(song) for song in arguments.songs]
    if arguments.model.endswith(CHECKPOINTS):
        return _generate_original(arguments, songs)
    if len(songs) > 1:
        raise InputError("give one song at a time; only checkpoints of the original take more")
    (song,) = songs
    if arguments.format == "openpose":
        if arguments.fps != body25.FRAME_RATE:
            raise InputError(f"--format openpose has {body25.FRAME_RATE} poses a second, not {arguments.fps}")
        check_free(arguments.out)
    elif arguments.out.suffix not in (".npz", ".bvh", ".mp4"):
        raise InputError(f"{arguments.out}: the name of the dance must end in .npz, .bvh or .mp4")
    elif not arguments.out.parent.is_dir():  # an error now, rather than after the dance
        raise InputError(f"{arguments.out.parent}: there is no such folder")
    dancer = Dancer(DanceModel(arguments.model, arguments.provider), arguments.style, arguments.seed)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        dance = generate(song, DanceStream(dancer, arguments.fps), arguments.fps, progress)
    match arguments.format or arguments.out.suffix:
        case "openpose":
            save_openpose(dance, arguments.out)
        case ".npz":
            save_npz(dance, arguments.out)
        case ".bvh":
            save_bvh(dance, arguments.out)
        case _:
            save_mp4(dance, arguments.out, song)
    print(f"{arguments.out}: {len(dance.poses)} poses at {dance.fps} a second, {dance.bpm:.1f} BPM")
    return 0


if __name__ == "__main__":
    sys.exit(main())
