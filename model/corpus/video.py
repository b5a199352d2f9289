"""Films of dancers as training data, for ``dancerev-prepare --video``.

Picture and sound come from one file, so that they cannot slip. For every film there are its key points as OpenPose has
them, a take in three dimensions, the sound beside it, and its place in a corpus of two-dimensional dances.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from dancerev.errors import CorpusError, InputError
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.body.lifter import lift

from ..bvh import write_bvh
from ..openpose import Keypoints, follow, write_openpose
from .dancerevolution import Material, halves, write
from .pose_landmarks import PoseTracker, read_models

Array = npt.NDArray[Any]

FRAME_RATE = 30
"""Pictures per second that are looked at."""

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")

_LEAST_SEEN = 0.5
"""Share of the pictures in which somebody must be seen."""


def prepare(folder: Path, out: Path, models: Path, definition: str = "2020", seed: int = 0) -> list[str]:
    """Prepare a folder of films.

    Args:
        folder: of films, or of folders of them that are called by their style.
        out: gets ``keypoints/STYLE/NAME/``, ``takes/STYLE/NAME.bvh`` and ``.wav``, which ``dancerev-prepare --pairs``
            reads, and the corpus for ``dancerev-train --preset dance-revolution``.
        models: of :func:`~dancerev.model.corpus.pose_landmarks.read_models`.
        definition: of the features.
        seed: of the split.

    Returns:
        Lines of a report.

    Raises:
        CorpusError: there are no films, or none shows a dancer.
        InputError: the models cannot be used.
    """
    films = find_films(folder)
    content = read_models(models)
    PoseTracker(content)  # fails now rather than after the first film
    material = Material([], {}, {}, [])
    for style, path in films:
        song = f"{style}/{path.stem}"
        try:
            film, note = look_at(path, PoseTracker(content))
            sequences = halves(song, style, path, film.points, definition)
            _write_take(out, style, path, film)
        except InputError as error:
            material.left_out.append(f"{song}: {error}")
            continue
        material.sequences.extend(sequences)
        material.mended[song] = f"{film.mended}; {note}"
    if not material.sequences:
        raise CorpusError("; ".join(material.left_out))
    return write(material, out, definition, seed)


def find_films(folder: Path) -> list[tuple[str, Path]]:
    """Style and path of every film in a folder.

    Raises:
        CorpusError: there are none, or two of one style have one name.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder")
    found = [("any", path) for path in sorted(folder.iterdir())]
    found += [(path.parent.name, path) for path in sorted(folder.glob("*/*"))]
    films = [(style, path) for style, path in found if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if not films:
        raise CorpusError(f"{folder}: no films in it ({', '.join(SUFFIXES)})")
    names = [(style, path.stem) for style, path in films]
    for name in names:
        if names.count(name) > 1:
            raise CorpusError(f"{folder}: two films are called {'/'.join(name)}")
    return films


def look_at(path: Path, tracker: PoseTracker) -> tuple[Keypoints, str]:
    """Follow the dancer through a film.

    Returns:
        Key points at FRAME_RATE, and a line about their quality.

    Raises:
        InputError: it cannot be read, or shows nobody most of the time.
    """
    frames: list[Array] = []
    size = (0, 0)
    nobody = np.zeros((0, 25, 3))
    console = Console(stderr=True)
    for picture in track(pictures(path), path.name, console=console, transient=True, disable=not console.is_terminal):
        size = picture.shape[1], picture.shape[0]
        found = tracker.track(picture)
        frames.append(nobody if found is None else found[None])
    seen = sum(len(people) > 0 for people in frames)
    if not frames or seen < _LEAST_SEEN * len(frames):
        raise InputError(f"shows nobody in {len(frames) - seen} of {len(frames)} pictures")
    film = follow(frames, str(path), size)
    sure = float(film.scores[film.scores > 0].mean())
    return film, f"points are {sure:.0%} sure; looked for {tracker.detections} times"


def pictures(path: Path) -> Iterator[Array]:
    """Return the pictures (H, W, 3) uint8 that a film shows at 0, 1/30, 2/30 … seconds.

    Raises:
        InputError: it cannot be read, or has no pictures.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: has no pictures")
            due, at, shown = 0, 0.0, None
            lasts = 1.0 / float(container.streams.video[0].average_rate or FRAME_RATE)
            for frame in container.decode(video=0):
                at = frame.time or 0.0
                if shown is not None:
                    while due / FRAME_RATE < at - 1e-6:
                        yield shown.to_ndarray(format="rgb24")
                        due += 1
                shown = frame
            if shown is not None and due / FRAME_RATE < at + lasts - 1e-6:
                yield shown.to_ndarray(format="rgb24")
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as a film ({error})") from None


def _write_take(out: Path, style: str, path: Path, film: Keypoints) -> None:
    """Write the key points, and a take in three dimensions with its sound."""
    write_openpose(out / "keypoints" / style / path.stem, film.points)
    place = out / "takes" / style / path.stem
    place.parent.mkdir(parents=True, exist_ok=True)
    poses = lift(film.points, FRAME_RATE)
    rotations, root = np.array([pose.rotations for pose in poses]), np.array([pose.root for pose in poses])
    write_bvh(place.with_name(f"{place.name}.bvh"), rotations, root, FRAME_RATE)
    _write_wav(place.with_name(f"{place.name}.wav"), np.concatenate(list(decode(path, SAMPLE_RATE))))


def _write_wav(path: Path, samples: Array) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((32767.0 * samples.clip(-1.0, 1.0)).astype("<i2").tobytes())
