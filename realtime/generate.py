"""``dancerev-generate``: a song in, its dance out as a file; the same stream as on stage, faster than real time."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from dancerev.clients.recorders.film import SOUND_RATE, write_film
from dancerev.clients.recorders.formats import FILM, OPENPOSE_HINT, SUFFIXES, WRITERS, check_output, save
from dancerev.clients.recorders.journal import RECORD, Journal, beats_of, record
from dancerev.command_line import ArgumentParser, command, print_error, seed, whole_number
from dancerev.commands import CHECKPOINTS
from dancerev.errors import InputError
from dancerev.model import body25, dance_file
from dancerev.model.features import BeatState
from dancerev.model.openpose import check_free, write_openpose
from dancerev.model.pose import Pose
from dancerev.model.whole_file import beside_alone, check_name, write_whole

from .audio.clock import SAMPLE_RATE
from .audio.decode import decode, decode_stereo, duration
from .audio.sources import demo_path
from .dance_model import DanceModel
from .dancer import Dancer
from .providers import PROVIDERS
from .stream import DanceStream

Report = Callable[[str], None]

_COMMON = "format fps model style seed seeds"
"""Options that ``--help`` shows; ``--help-all`` shows the others too."""

_LARGEST = 2**30  # bytes out of a pipe: one and a half hours of uncompressed stereo at 48 kHz
_BLOCK = 2**16  # bytes that are copied at once


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
    stream = DanceStream(dancer, fps)
    rows = np.array([record(pose, beat) for pose, beat, _ in dance_to(decode(Path(song)), stream)], dtype=RECORD)
    return Dance(fps, rows["rotations"], rows["root"], rows["contacts"], **beats_of(rows))


def dance_to(
    blocks: Iterator[npt.NDArray[np.float32]], stream: DanceStream
) -> Iterator[tuple[Pose, BeatState | None, float]]:
    """Push music through a stream with one dancer.

    Args:
        blocks: (n,) mono samples at ``audio.clock.SAMPLE_RATE``.
        stream: that has heard nothing yet.

    Yields:
        each pose up to the end of the music, the beat that was announced with it, as it stands when it falls, and the
        seconds of music so far.
    """
    waiting, beats = stream.begin(), list[BeatState]()
    for block in blocks:
        made, announced = stream.push(block)
        waiting += made
        if stream.last and stream.beat_is_known:
            beats += [stream.last.beat.on_beat(beat) for beat in announced]
        # The last poses are for a time after the music so far: whether they are danced shows with the next block.
        end = stream.samples / SAMPLE_RATE + 1e-9
        while waiting and waiting[0].time <= end:
            yield waiting.pop(0), beats.pop(0) if beats else None, end


def _dance_into(journal: Journal, song: Path, stream: DanceStream, report: Report, progress: Progress) -> None:
    """Fill a journal with the dance to a song."""
    task = progress.add_task("dancing", total=duration(song))
    for index, (pose, beat, seconds) in enumerate(dance_to(decode(song, report=report), stream)):
        journal.append([record(pose, beat)])
        if index % stream.fps == 0:
            progress.update(task, completed=seconds)
    progress.remove_task(task)


def _film(path: Path, dance: dance_file.Dance, song: Path, progress: Progress) -> None:
    task = progress.add_task("filming", total=len(dance))
    write_film(path, dance, decode_stereo(song, SOUND_RATE), lambda count: progress.update(task, completed=count))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line; ``songs`` are paths of files."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    _refuse_what_does_nothing(parser, arguments)
    arguments.songs = [demo_path() if song == "demo" else Path(song) for song in arguments.songs]
    return arguments


def _parser() -> ArgumentParser:
    parser = ArgumentParser("dancerev-generate", __doc__, common=_COMMON.split())
    parser.add_argument("songs", nargs="+", metavar="SONG", help="a music file, or demo")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help=f"where the dance goes: {', '.join(SUFFIXES)}; a folder for several dances",
    )
    parser.add_argument(
        "--format",
        choices=("openpose", *(suffix[1:] for suffix in SUFFIXES)),
        help="OUT is a folder, for files SONG__seedN of this format, or for OpenPose's JSON, 30 files a second",
    )
    parser.add_argument(
        "--fps", type=int, choices=(15, 30, 60), default=30, help="poses a second (default %(default)s)"
    )
    parser.add_argument(
        "--model", default="default", metavar="NAME|PATH", help="bundled, exported, or the original's checkpoint"
    )
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    parser.add_argument("--style", default="", metavar="NAME", help="style of the dance, or any (default: the model's)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="another seed, another dance (default 0)")
    parser.add_argument(
        "--seeds", type=whole_number(1, 10_000), default=1, metavar="N", help="dances to each song, of as many seeds"
    )
    original = parser.add_argument_group("with a checkpoint of the original Dance Revolution as --model")
    original.add_argument(
        "--features", choices=("2020", "present"), default="2020", help="librosa's definition of the 438 (default 2020)"
    )
    original.add_argument("--pictures", action="store_true", help="write each frame as a picture too, for vid2vid")
    return parser


def _refuse_what_does_nothing(parser: ArgumentParser, arguments: argparse.Namespace) -> None:
    if not arguments.model.endswith(CHECKPOINTS):
        parser.refuse(arguments, "--features --pictures", "without a checkpoint of the original as --model")
        return
    parser.refuse(arguments, "--style --provider", "with a checkpoint of the original")
    if arguments.format not in (None, "openpose"):
        parser.error(f"--format {arguments.format}: a checkpoint of the original writes OpenPose's JSON and films")


def _outputs(arguments: argparse.Namespace, songs: list[Path]) -> dict[Path, dict[int, Path]]:
    """Return where each song's dance of each seed goes.

    Raises:
        InputError: for what would go wrong after the dance.
    """
    out, kind = arguments.out, arguments.format
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    if kind == "openpose" and arguments.fps != body25.FRAME_RATE:
        raise InputError(f"--format openpose has {body25.FRAME_RATE} poses a second, not {arguments.fps}")
    if len(songs) * len(seeds) == 1 and kind is None:
        check_output(out, OPENPOSE_HINT)
        return {songs[0]: {arguments.seed: out}}
    if out.suffix.lower() in SUFFIXES:
        what = f"--format {kind} writes" if len(songs) * len(seeds) == 1 else "several dances go"
        raise InputError(f"{out}: {what} into a folder, and this is the name of a file")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; the dances go into a folder")
    if len(songs) * len(seeds) == 1 and kind == "openpose":
        check_free(out)
        return {songs[0]: {arguments.seed: out}}
    names = [song.stem for song in songs]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two songs have the same name, {min(doubles)}; their dances would too")
    suffix = "" if kind == "openpose" else f".{kind or 'npz'}"
    outputs = {song: {seed: out / f"{song.stem}__seed{seed}{suffix}" for seed in seeds} for song in songs}
    for path in (path for of_song in outputs.values() for path in of_song.values() if kind == "openpose"):
        check_free(path)
    return outputs


def _check_songs(songs: list[Path]) -> None:
    """Raise ``InputError`` for a song that cannot be decoded, before the first dance; pipes can be opened once only."""
    for song in songs if len(songs) > 1 else []:
        if song.is_file() or song.is_dir() or not song.exists():
            next(decode(song), None)


@contextlib.contextmanager
def _readable_twice(song: Path) -> Iterator[Path]:
    """Return a copy of what comes out of a pipe, or the file itself.

    Raises:
        InputError: more comes out than a song has.
    """
    if song.is_file() or not song.exists() or song.is_dir():
        yield song
        return
    with tempfile.NamedTemporaryFile(prefix="dancerev-") as copy, song.open("rb") as pipe:
        while block := pipe.read(_BLOCK):
            if copy.tell() + len(block) > _LARGEST:
                raise InputError(f"{song}: more than {_LARGEST // 2**20} MiB come out of the pipe; give a file")
            copy.write(block)
        copy.flush()
        yield Path(copy.name)


@command("dancerev-generate")
def main(argv: list[str] | None = None) -> int:
    """Command line of a model; ``dancerev.model.evaluation.generate_original`` has that of a checkpoint."""
    arguments = parse(argv)
    outputs = _outputs(arguments, arguments.songs)
    for of_song in outputs.values():
        for out in of_song.values():
            check_name(out, arguments.songs)
    _check_songs(arguments.songs)
    model = DanceModel(arguments.model, arguments.provider)
    model.style_vector(arguments.style)
    if model.note:
        _note(model.note)
    for song, of_song in outputs.items():
        with _readable_twice(song) as readable:
            for seed, out in of_song.items():
                model.reset()
                count, bpm = _run(arguments, Dancer(model, arguments.style, seed), readable, out)
                tempo = f"{bpm:.1f} BPM" if bpm else "no beat"
                print(f"{out}: {count} poses at {arguments.fps} a second, {tempo}", flush=True)
    return 0


def _note(line: str) -> None:
    print_error("dancerev-generate", f"note: {line}")


def _run(arguments: argparse.Namespace, dancer: Dancer, song: Path, out: Path) -> tuple[int, float]:
    """Dance and write the file; the number of poses and the tempo."""
    out.parent.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    with (
        Progress(console=console, transient=True) as progress,
        Journal(beside_alone(out, ".journal"), arguments.fps) as journal,
    ):
        _dance_into(journal, song, DanceStream(dancer, arguments.fps), _note, progress)
        return _write(arguments, journal.dance(), song, out, progress)


def _write(
    arguments: argparse.Namespace, dance: dance_file.Dance, song: Path, out: Path, progress: Progress
) -> tuple[int, float]:
    """Write the file; the number of poses and the tempo.

    Nothing of ``dance`` outlives the call: it maps the journal, which Windows does not delete while it is mapped.
    """
    if arguments.format == "openpose":
        write_openpose(out, body25.project(dance.rotations, dance.root))
    elif out.suffix.lower() == FILM:
        write_whole(out, lambda partial: _film(partial, dance, song, progress))
    else:
        write_whole(out, lambda partial: WRITERS[out.suffix.lower()](partial, dance))
    return len(dance), dance.bpm


if __name__ == "__main__":
    sys.exit(main())
