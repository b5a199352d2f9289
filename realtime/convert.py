"""``dancerev-convert``: a dance file into one of another format.

Reads ``.npz``, ``.vrma``, ``.vmd``, the journal that a killed recording has left, BVH of any humanoid rig, whose motion
is retargeted, and folders of OpenPose's JSON, which are lifted into three dimensions. Writes
``.npz``, ``.bvh``, ``.vrma``, ``.vmd``, ``.mp4`` and OpenPose's JSON.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from dancerev.clients.avatar import read_vrm
from dancerev.clients.recorders.film import write_film
from dancerev.clients.recorders.formats import FILM, OPENPOSE_HINT, READERS, WRITERS, check_output
from dancerev.command_line import ArgumentParser, command
from dancerev.errors import InputError
from dancerev.model import body25
from dancerev.model.bvh import Bvh, read_bvh
from dancerev.model.corpus.retarget import retarget
from dancerev.model.dance_file import HIGHEST_RATE, LOWEST_RATE, Dance
from dancerev.model.openpose import check_free, read_openpose, write_openpose
from dancerev.model.skeleton import BONES, REST_OFFSETS
from dancerev.model.whole_file import check_name, write_whole

from .body.lifter import FRAME_RATE as LIFTED_RATE
from .body.lifter import lift


def read(path: Path, fps: float | None = None) -> Dance:
    """Read a dance in any format.

    Args:
        path: of the file.
        fps: the true rate, where the file's own is wrong.

    Raises:
        InputError: it is missing, damaged, or of no format that holds a dance in three dimensions.
    """
    if path.is_dir():
        return _lifted(path, fps or body25.FRAME_RATE)
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return _from_bvh(path, read_bvh(path), fps)
    if suffix not in READERS:
        raise InputError(f"{path}: a dance is read from {', '.join([*READERS, '.bvh'])}")
    dance = READERS[suffix](path)
    return dance if fps is None else replace(dance, fps=fps)


def _lifted(folder: Path, fps: float) -> Dance:
    """Lift a folder of OpenPose's JSON into three dimensions."""
    poses = lift(read_openpose(folder).points, fps)
    rotations, root = np.array([pose.rotations for pose in poses]), np.array([pose.root for pose in poses])
    return Dance(LIFTED_RATE, rotations, root, np.array([pose.contacts for pose in poses]) > 0.5)


def _from_bvh(path: Path, bvh: Bvh, fps: float | None) -> Dance:
    """Return the motion of a BVH file: as it is where the skeleton is ours, else retargeted."""
    rate = fps or round(1.0 / bvh.frame_time, 3)  # the file has the time of a frame, to some digits
    if set(BONES) <= set(bvh.names):
        order = [bvh.names.index(bone) for bone in BONES]
        if np.abs(bvh.offsets[order[1:]] - 100.0 * REST_OFFSETS[1:]).max() < 0.01 and not bvh.translations:
            return _dance(rate, bvh.rotations[:, order], bvh.positions / 100.0)
    try:
        motion = retarget(bvh, fps)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return _dance(round(motion.fps, 3), motion.rotations, motion.root)


def _dance(fps: float, rotations: np.ndarray, root: np.ndarray) -> Dance:
    contacts = np.zeros((len(root), 2), dtype=bool)
    return Dance(fps, rotations.astype(np.float32), root.astype(np.float32), contacts)


def write(dance: Dance, path: Path, openpose: bool = False, progress: Progress | None = None) -> None:
    """Write a dance as what the suffix of ``path`` says, or as a folder of OpenPose's JSON; whole or not at all.

    Raises:
        InputError: the suffix is of no format, or there is no such folder.
        OSError: the file cannot be written.
    """
    if openpose:
        step = dance.fps / body25.FRAME_RATE
        chosen = np.round(np.arange(0, len(dance) - 0.5, step)).astype(int).clip(0, len(dance) - 1)
        write_openpose(path, body25.project(dance.rotations[chosen], dance.root[chosen]))
    elif path.suffix.lower() == FILM:
        task = progress.add_task("filming", total=len(dance)) if progress else None
        advance = (lambda count: progress.update(task, completed=count)) if progress and task is not None else None
        write_whole(path, lambda partial: write_film(partial, dance, None, advance))
    else:
        write_whole(path, lambda partial: WRITERS[path.suffix.lower()](partial, dance))


def _frames_per_second(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LOWEST_RATE <= value <= HIGHEST_RATE:
        between = f"{LOWEST_RATE:g} to {HIGHEST_RATE:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second from {between}")
    return value


@command("dancerev-convert")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ArgumentParser(prog="dancerev-convert", description=__doc__)
    parser.add_argument(
        "dance",
        type=Path,
        metavar="IN",
        help="a dance: .npz, .bvh, .vrma, .vmd, .journal, or a folder of OpenPose's JSON",
    )
    parser.add_argument("out", type=Path, metavar="OUT.{npz,bvh,vrma,vmd,mp4}", help="where it goes")
    parser.add_argument("--format", choices=("openpose",), help="OUT is a folder, for OpenPose's JSON")
    parser.add_argument("--avatar", type=Path, metavar="FILE.vrm", help="fit the dance to this avatar's proportions")
    parser.add_argument("--fps", type=_frames_per_second, metavar="N", help="true rate of IN, where its own is wrong")
    arguments = parser.parse_args(argv)
    if arguments.format:
        if arguments.out.suffix.lower() in (*WRITERS, FILM):
            raise InputError(f"{arguments.out}: --format openpose writes into a folder, and this is the name of a file")
        check_free(arguments.out)
    else:
        check_output(arguments.out, OPENPOSE_HINT)
    check_name(arguments.out, [path for path in (arguments.dance, arguments.avatar) if path])
    dance = read(arguments.dance, arguments.fps)
    if arguments.avatar is not None:
        dance = read_vrm(arguments.avatar).fit_dance(dance)
    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    with Progress(console=console, transient=True) as progress:
        write(dance, arguments.out, arguments.format == "openpose", progress)
    print(f"{arguments.out}: {len(dance)} poses at {dance.fps:g} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
