"""Takes of motion capture: found in folders and archives, retargeted, cleaned, and their pulse taken."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.errors import CorpusError

from .. import rotation
from ..bvh import Bvh, parse_bvh
from ..dance_file import frame_rate
from ..skeleton import INDEX, forward_kinematics
from ..whole_file import write_npz
from .clean import FPS, clean
from .kept_file import Arrays, read_kept
from .motion import Motion
from .motion_beats import Pulse, fit_pulse
from .parallel import in_parallel, note
from .retarget import calibrate, retarget
from .songs import digest, read_member
from .take_styles import style_of
from .unseen import complete

Array = npt.NDArray[Any]

RATES = tuple(float(64.0 * 2 ** (step / 8)) for step in range(9))
"""Dance beats a minute for which every take's pulse is fitted; between them it is played a little faster or slower."""

_STRETCHES = 2.0 ** np.linspace(-0.6, 0.6, 9)
_FEWEST_BEATS = 6
_SHORTEST_TAKE = 2.5  # seconds


@dataclass(frozen=True)
class Source:
    """A motion file.

    Attributes:
        style: of the dance.
        name: unique in its style.
        origin: the file or folder that the user named.
        fps: its true rate, where the file's is wrong.
        place: what messages call it.
        content: changes with what is in it (:func:`~dancerev.model.corpus.songs.digest`).
        read: gives its text.
    """

    style: str
    name: str
    origin: str
    fps: float | None
    place: str
    content: str
    read: Callable[[], str]

    @property
    def file(self) -> str:
        """Name of the file in which the take is kept: another one when the file or its rate has changed."""
        return f"{self.style}_{self.name}_{digest(self.content, self.fps)}.npz"


@dataclass(frozen=True)
class Take:
    """A cleaned take.

    Attributes:
        name, style, origin: as of its source.
        split: ``train`` or ``test``.
        segments: at :data:`~dancerev.model.corpus.clean.FPS`.
        report: what its cleaning did (:class:`~dancerev.model.corpus.clean.Report`).
        file: name of the file in which it is kept, and of that in which its pulses are.
    """

    name: str
    style: str
    origin: str
    split: str
    segments: list[Motion]
    report: dict[str, Any]
    file: str


def find_motion(argument: str) -> list[Source]:
    """Return the BVH files that one ``[STYLE=]PATH[@FPS]`` names; without STYLE, :func:`style_of` knows each take's.

    Raises:
        OSError: there is no such path.
        CorpusError: it holds no BVH file, its rate is not a number or its style is unknown.
    """
    style, found, rest = argument.partition("=")
    if not found or Path(argument).exists():
        style, rest = "", argument
    text, at, rate = rest.rpartition("@")
    if not at or Path(rest).exists():
        text, rate = rest, ""
    try:
        stated = float(rate) if rate else None
    except ValueError:
        raise CorpusError(f"{argument}: '{rate}' is not a number of frames per second") from None
    fps = None if stated is None else frame_rate(Path(argument), np.array(stated))
    path = Path(text)
    if not path.exists():
        raise OSError(f"{path}: there is no such file or folder")

    def known(take: str) -> str:
        found = style or style_of(path.stem, take)
        if not found:
            raise CorpusError(f"{path}: the style of {take} is unknown; write STYLE={path}")
        return found

    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = sorted(archive.infolist(), key=lambda member: member.filename)
        except zipfile.BadZipFile:
            raise CorpusError(f"{path}: not a zip file") from None
        takes = [
            (
                Path(m.filename).stem, f"{path}/{m.filename}", digest(m.CRC, m.file_size),
                partial(_read_member, path, m.filename),
            )
            for m in members
            if m.filename.lower().endswith(".bvh")
        ]  # fmt: skip
    else:
        files = bvh_files(path) if path.is_dir() else [path]
        takes = [(f.stem, str(f), digest(f), partial(_read_text, f)) for f in files]
    sources = [Source(known(name), name, path.name, fps, place, content, read) for name, place, content, read in takes]
    if not sources:
        raise CorpusError(f"{path}: no BVH file in it")
    return sources


def bvh_files(folder: Path) -> list[Path]:
    """Return the BVH files in and under a folder."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".bvh" and file.is_file())


def _read_member(path: Path, member: str) -> str:
    return read_member(path, member).decode("utf-8", errors="replace")


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def prepare_takes(sources: list[Source], folder: Path, held_out: list[str], workers: int) -> list[Take]:
    """Retargets and cleans the takes that are not in ``folder`` yet.

    Args:
        sources: the files.
        folder: where cleaned takes are kept.
        held_out: takes whose name contains one of these texts make the test split.
        workers: processes.

    Raises:
        CorpusError: a file is damaged, its rig cannot be mapped or another one has its name; the message names it.
    """
    seen: dict[str, Source] = {}
    for source in sources:
        other = seen.setdefault(f"{source.style}_{source.name}", source)
        if other is not source:
            raise CorpusError(f"{other.place} and {source.place}: two takes of one name and style; rename one")
    missing = [source for source in sources if not (folder / source.file).exists()]
    if missing:
        origins = sorted({source.origin for source in missing})
        groups = [[source for source in sources if source.origin == origin] for origin in origins]
        rigs = list(in_parallel(_calibrate, groups, workers, "rigs"))
        calibrations = dict(zip(origins, rigs, strict=True))
        for _ in in_parallel(partial(_prepare_take, folder, calibrations), missing, workers, "motion"):
            pass
    takes = []
    for source in sources:
        segments, report = read_kept(folder / source.file, _segments)
        split = "test" if any(text in source.name for text in held_out) else "train"
        takes.append(Take(source.name, source.style, source.origin, split, segments, report, source.file))
        note_if_empty(source.place, takes[-1])
    return takes


def note_if_empty(place: str, take: Take) -> None:
    """Tell of a take of which cleaning keeps nothing, and why."""
    if take.segments:
        return
    seconds, cut = float(take.report["seconds"]), take.report["cut"]
    dropped = sum(stop - start for start, stop in cut)
    if seconds < _SHORTEST_TAKE:
        reason = f"it lasts {seconds:.1f} s"
    elif dropped > 0.5 * seconds:
        reason = f"{dropped:.1f} of {seconds:.1f} s are damaged beyond mending"
    elif take.report["paused"] > 0.5 * seconds:
        reason = f"the dancer stands still for {take.report['paused']:.1f} of {seconds:.1f} s"
    else:
        reason = f"what is left of {seconds:.1f} s between damage and pauses is too short"
    note(f"{place}: nothing of this take can be used: {reason}")


Rigs = dict[tuple[str, ...], dict[str, Array]]
"""Calibrations by the names of a rig's joints."""


def _calibrate(sources: list[Source]) -> Rigs:
    """Return the calibration of every rig among the takes of one origin, each from all its takes."""
    rigs: dict[tuple[str, ...], list[Bvh]] = {}
    for source in sources:
        bvh = _read(source)
        rigs.setdefault(bvh.names, []).append(bvh)
    try:
        return {names: calibrate(bvhs) for names, bvhs in rigs.items()}
    except ValueError as error:
        raise CorpusError(f"{sources[0].origin}: {error}") from None


def _read(source: Source) -> Bvh:
    try:
        return parse_bvh(source.read())
    except ValueError as error:
        raise CorpusError(f"{source.place}: {error}") from None


def _prepare_take(folder: Path, calibrations: dict[str, Rigs], source: Source) -> None:
    bvh = _read(source)
    try:
        segments, report = clean(retarget(bvh, source.fps, calibrations[source.origin][bvh.names]))
    except ValueError as error:
        raise CorpusError(f"{source.place}: {error}") from None
    segments = [complete(segment) for segment in to_audience(segments)]
    save(folder / source.file, {"count": len(segments), "report": json.dumps(asdict(report)), **pack(segments)})


def to_audience(segments: list[Motion]) -> list[Motion]:
    """Turn a take so that the way in which the dancer faces on average is +Z, where the audience is."""
    if not segments:
        return segments
    chest = [
        rotation.yaw_of(forward_kinematics(segment.rotations, segment.root)[1][:, INDEX["UpperChest"]])
        for segment in segments
    ]
    mean = float(np.angle(np.exp(1j * np.concatenate(chest)).mean()))
    return [segment.placed(-mean, segment.root[0, [0, 2]]) for segment in segments]


def _segments(arrays: Arrays) -> tuple[list[Motion], dict[str, Any]]:
    """Return segments and report of a take that is kept."""
    return unpack(arrays, int(arrays["count"])), json.loads(str(arrays["report"]))


def pack(segments: list[Motion]) -> dict[str, Array]:
    """Segments as arrays of an ``.npz``."""
    return {
        f"{name}_{i}": getattr(segment, name).astype(np.float32)
        for i, segment in enumerate(segments)
        for name in ("rotations", "root", "contacts")
    }


def unpack(arrays: Arrays, count: int) -> list[Motion]:
    """Segments of what :func:`pack` gave."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items() if array.ndim > 1}
    return [Motion(wide[f"rotations_{i}"], wide[f"root_{i}"], wide[f"contacts_{i}"], FPS) for i in range(count)]


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write an ``.npz``, complete or not at all."""
    write_npz(path, arrays)


def save_real(takes: list[Take], styles: list[str], path: Path) -> None:
    """Take as they were danced, one after the other, for evaluation against real dance.

    Keys: ``rotations`` (T, 22, 4), ``root`` (T, 3), ``contacts`` (T, 2), ``lengths`` (S,) frames of each segment,
    ``take`` (S,) names, ``style`` (S,) indices, ``styles``, ``fps``.
    """
    chosen = [(take, segment) for take in takes for segment in take.segments]
    if not chosen:
        return
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(segment, name) for _, segment in chosen]).astype(np.float32)
        for name in ("rotations", "root", "contacts")
    }
    arrays["lengths"] = np.array([len(segment) for _, segment in chosen])
    arrays["take"] = np.array([take.name for take, _ in chosen])
    arrays["style"] = np.array([styles.index(take.style) for take, _ in chosen])
    save(path, arrays | {"styles": np.array(styles), "fps": FPS})


def prepare_pulses(takes: list[Take], folder: Path, workers: int) -> None:
    """Fits the pulse of every segment at every rate, where ``folder`` does not hold it yet."""
    missing = [take for take in takes if not (folder / take.file).exists()]
    for _ in in_parallel(partial(_fit_take, folder), missing, workers, "beats of the takes"):
        pass


def _fit_take(folder: Path, take: Take) -> None:
    arrays: dict[str, Array] = {}
    for i, segment in enumerate(take.segments):
        for r, rate in enumerate(RATES):
            pulse = fit_pulse(segment, rate / 60.0, _STRETCHES)
            if pulse is not None and len(pulse.beats) >= _FEWEST_BEATS:
                arrays[f"beats_{i}_{r}"] = pulse.beats
                arrays[f"fit_{i}_{r}"] = np.array([pulse.stretch, pulse.score, pulse.accent])
    save(folder / take.file, arrays)


def load_pulses(take: Take, folder: Path, rate: int) -> list[Pulse]:
    """Return the pulses of a take's segments at ``RATES[rate]``; none of segments that are too short for it.

    Raises:
        CorpusError: the file is damaged.
    """

    def pulses(data: Arrays) -> list[Pulse]:
        return [
            Pulse(segment, data[f"beats_{i}_{rate}"], *(float(value) for value in data[f"fit_{i}_{rate}"]))
            for i, segment in enumerate(take.segments)
            if f"beats_{i}_{rate}" in data
        ]

    return read_kept(folder / take.file, pulses)
