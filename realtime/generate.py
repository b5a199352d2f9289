"""``dancerev-generate``: a song in, its dance out as a file; the same stream as on stage, faster than real time."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from dancerev.clients.recorders.film import SOUND_RATE, write_film
from dancerev.clients.recorders.formats import FILM, WRITERS, check_output, save
from dancerev.clients.recorders.journal import Journal, record
from dancerev.command_line import ArgumentParser, command, print_error, seed, whole_number
from dancerev.errors import InputError
from dancerev.model import body25, dance_file
from dancerev.model.openpose import check_free, write_openpose
from dancerev.model.pose import Pose
from dancerev.model.whole_file import beside, write_whole

from .audio.clock import SAMPLE_RATE
from .audio.decode import decode, decode_stereo, duration
from .audio.sources import demo_path
from .dance_model import DanceModel
from .dancer import Dancer
from .providers import PROVIDERS
from .stream import DanceStream

Report = Callable[[str], None]

CHECKPOINTS = (".pt", ".pth", ".ckpt")
"""Endings of checkpoints, which torch reads."""


class Dance(dance_file.Dance):
    """A finished dance; frame i is the pose for i / ``fps`` seconds of the audio."""

    def save(self, path: str | Path) -> None:
        """Write the dance as what the suffix says: ``.npz``, ``.bvh``, ``.vrma``, ``.vmd``, or ``.mp4`` without sound.

        Raises:
            InputError: the suffix is of no such format, or there is no such folder.
            OSError: the file cannot be written; one that was there before stays.
        """
        save(self, Path(path))


def generate(
    song: str | Path,
    *,
    style: str = "",
    seed: int = 0,
    fps: int = 30,
    model: str = "default",
    provider: str = "auto",
) -> Dance:
    """Dance to a whole song.

    Args:
        song: a music file.
        style: one of the model's, or ``any``; by default the one that the model names.
        seed: another seed gives another dance.
        fps: poses per second, a multiple of 15.
        model: ``default``, or the path of an exported one.
        provider: what computes, as on the command line.

    Raises:
        InputError: the song cannot be read.
        ModelError: the model cannot be loaded, or has no such style.
    """
    dancer = Dancer(DanceModel(model, provider), style, seed)
    rows = [record(pose, beat, bpm) for pose, beat, bpm, _ in dance_to(decode(Path(song)), DanceStream(dancer, fps))]
    announced = [(float(row["beat"]), float(row["bpm"])) for row in rows if not np.isnan(row["beat"])]
    return Dance(
        fps,
        np.array([row["rotations"] for row in rows]),
        np.array([row["root"] for row in rows]),
        np.array([row["contacts"] for row in rows]),
        np.array([beat for beat, _ in announced]),
        float(np.median([bpm for _, bpm in announced])) if announced else 0.0,
    )


def dance_to(
    blocks: Iterator[npt.NDArray[np.float32]], stream: DanceStream
) -> Iterator[tuple[Pose, float, float, float]]:
    """Push music through a stream with one dancer.

    Args:
        blocks: (n,) mono samples at ``audio.clock.SAMPLE_RATE``.
        stream: that has heard nothing yet.

    Yields:
        each pose up to the end of the music, the beat that was announced with it in seconds, NaN where there was none,
        the tempo in beats per minute, and the seconds of music so far.
    """
    waiting, beats = stream.begin(), list[float]()
    for block in blocks:
        made, announced = stream.push(block)
        waiting += made
        beats += announced if stream.beat_is_known else []
        tempo = stream.last.beat.bpm if stream.last else 0.0
        # The last poses are for a time after the music so far: whether they are danced shows with the next block.
        end = stream.samples / SAMPLE_RATE + 1e-9
        while waiting and waiting[0].time <= end:
            yield waiting.pop(0), beats.pop(0) if beats else np.nan, tempo, end


def _dance_into(journal: Journal, song: Path, stream: DanceStream, report: Report, progress: Progress) -> None:
    """Fill a journal with the dance to a song."""
    task = progress.add_task("dancing", total=duration(song))
    for index, (pose, beat, bpm, seconds) in enumerate(dance_to(decode(song, report=report), stream)):
        journal.append([record(pose, beat, bpm)])
        if index % stream.fps == 0:
            progress.update(task, completed=seconds)
    progress.remove_task(task)


def _film(path: Path, dance: dance_file.Dance, song: Path, progress: Progress) -> None:
    task = progress.add_task("filming", total=len(dance))
    write_film(path, dance, decode_stereo(song, SOUND_RATE), lambda count: progress.update(task, completed=count))


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
        "-o", "--out", type=Path, required=True, metavar="OUT.{npz,bvh,vrma,vmd,mp4}", help="where the dance goes"
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
    parser.add_argument("--style", default="", metavar="NAME", help="style of the dance, or any (default: the model's)")
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


def _check(arguments: argparse.Namespace) -> None:
    """Raise ``InputError`` for what would go wrong after the dance."""
    if arguments.format == "openpose":
        if arguments.out.suffix.lower() in (*WRITERS, FILM):
            raise InputError(f"{arguments.out}: --format openpose writes into a folder, and this is the name of a file")
        if arguments.fps != body25.FRAME_RATE:
            raise InputError(f"--format openpose has {body25.FRAME_RATE} poses a second, not {arguments.fps}")
        check_free(arguments.out)
    else:
        check_output(arguments.out)


@contextlib.contextmanager
def _readable_twice(song: Path) -> Iterator[Path]:
    """Return a copy of what comes out of a pipe, or the file itself."""
    if song.is_file() or not song.exists() or song.is_dir():
        yield song
        return
    with tempfile.NamedTemporaryFile(prefix="dancerev-") as copy, song.open("rb") as pipe:
        shutil.copyfileobj(pipe, copy)
        copy.flush()
        yield Path(copy.name)


@command("dancerev-generate")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    songs = [demo_path() if song == "demo" else Path(song) for song in arguments.songs]
    if arguments.model.endswith(CHECKPOINTS):
        return _generate_original(arguments, songs)
    if len(songs) > 1:
        raise InputError("give one song at a time; only checkpoints of the original take more")
    _check(arguments)
    with _readable_twice(songs[0]) as song:
        count, bpm = _run(arguments, song)
    tempo = f"{bpm:.1f} BPM" if bpm else "no beat"
    print(f"{arguments.out}: {count} poses at {arguments.fps} a second, {tempo}")
    return 0


def _note(line: str) -> None:
    print_error("dancerev-generate", f"note: {line}")


def _run(arguments: argparse.Namespace, song: Path) -> tuple[int, float]:
    """Dance and write the file; the number of poses and the tempo."""
    out: Path = arguments.out
    model = DanceModel(arguments.model, arguments.provider)
    dancer = Dancer(model, arguments.style, arguments.seed)
    if model.note:
        _note(model.note)
    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    with (
        Progress(console=console, transient=True) as progress,
        Journal(beside(out, ".journal"), arguments.fps) as journal,
    ):
        stream = DanceStream(dancer, arguments.fps)
        _dance_into(journal, song, stream, _note, progress)
        return _write(arguments, journal.dance(), song, progress)


def _write(arguments: argparse.Namespace, dance: dance_file.Dance, song: Path, progress: Progress) -> tuple[int, float]:
    """Write the file; the number of poses and the tempo.

    Nothing of ``dance`` outlives the call: it maps the journal, which Windows does not delete while it is mapped.
    """
    out: Path = arguments.out
    if arguments.format == "openpose":
        write_openpose(out, body25.project(dance.rotations, dance.root))
    elif out.suffix.lower() == FILM:
        write_whole(out, lambda partial: _film(partial, dance, song, progress))
    else:
        write_whole(out, lambda partial: WRITERS[out.suffix.lower()](partial, dance))
    return len(dance), dance.bpm


if __name__ == "__main__":
    sys.exit(main())
