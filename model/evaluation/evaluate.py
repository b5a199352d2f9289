"""``dancerev-evaluate``: dances, or groups of them, against their music and against real dance, in one table.

A dance belongs to the music that its name begins with: ``SONG[__STYLE][__seedN].npz`` was danced to the song whose
true beats and silences stand in ``SONG.beats.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from dancerev.command_line import command
from dancerev.errors import InputError

from ..beats_file import read_beats
from ..corpus.parallel import cluster, in_parallel
from ..dance_file import check_frames, check_poses, frame_rate, read_arrays
from ..skeleton import BONES, forward_kinematics
from ..whole_file import check_writable, write_text
from .metrics import CLIP_SECONDS, compare_dances, evaluate_dance, music_plays, resample, shortest_loop
from .options import parse
from .table import print_table, table_console

Array = npt.NDArray[Any]

# name in the results, heading in the table, digits
_COLUMNS = (
    ("bas", "BAS", 3),
    ("bas_chance", "chance", 3),
    ("bas_motion", "to music", 3),
    ("motion_beats", "beats/s", 2),
    ("mean_speed", "m/s", 2),
    ("max_speed", "max m/s", 1),
    ("freezing", "frozen", 3),
    ("foot_skating", "skating", 3),
    ("pfc", "PFC", 2),
    ("contact_slip", "slip", 3),
    ("levitation", "floats", 3),
    ("away", "away", 2),
    ("longest_away", "away s", 1),
    ("stage_radius", "stage m", 2),
    ("floor_penetration", "floor m", 3),
    ("repetition", "repeats", 2),
    ("repeats_8", "at 8", 2),
    ("repeats_16", "at 16", 2),
    ("repeats_32", "at 32", 2),
    ("loop", "loop s", 1),
)
_COMPARISON = (("fid_k", "FID_k"), ("fid_g", "FID_g"), ("div_k", "Div_k"), ("div_g", "Div_g"))
_TEMPI = {f"{low}–{low + 20}": (low, low + 20) for low in range(60, 200, 20)}  # beats a minute, from and up to


@dataclass(frozen=True)
class Dance:
    """One dance.

    Attributes:
        name: of its file.
        positions: (T, 22, 3) metres.
        fps: frames per second.
        beats: (N,) seconds, where they are known.
        silences: (S, 2) start and stop in seconds, where they are known.
        bpm: true tempo of the music, where it is known.
        style: that the dancer was asked for, where the name says it.
        contacts: (T, 2) left and right foot planted, where it is known.
    """

    name: str
    positions: Array
    fps: float
    beats: Array | None = None
    silences: Array | None = None
    bpm: float | None = None
    style: str | None = None
    contacts: Array | None = None


def read_dance(path: Path, music: Path | None = None) -> Dance:
    """Return a dance of ``dancerev-generate``.

    Args:
        path: the .npz file.
        music: a ``.beats.json`` with the true beats and silences of its music, or a folder with those of all songs.
            Without it the beats are those that the dancer heard.

    Raises:
        InputError: a file is missing or of another kind.
    """
    arrays = read_arrays(path)
    missing = {"fps", "joint_names", "positions"} - set(arrays)
    if missing:
        raise InputError(f"{path}: not a dance of dancerev-generate, it lacks {', '.join(sorted(missing))}")
    if tuple(arrays["joint_names"].reshape(-1).tolist()) != BONES:
        raise InputError(f"{path}: the joints are not those of this skeleton")
    check_frames(path, "positions", arrays["positions"], (len(BONES), 3))
    if len(arrays["positions"]) < 2:
        raise InputError(f"{path}: the dance has fewer than two poses")
    song, rest = _song_of(path.stem, music)
    dance = Dance(
        path.stem,
        arrays["positions"],
        frame_rate(path, arrays["fps"]),
        _beats(path, arrays),
        style=next((part for part in rest if not re.fullmatch(r"seed\d+", part)), None),
        contacts=_contacts(arrays),
    )
    if music is None:
        return dance
    return replace(dance, **_read_music(music / f"{song}.beats.json" if music.is_dir() else music))


def _song_of(name: str, music: Path | None) -> tuple[str, list[str]]:
    """Return the song of ``SONG[__STYLE][__seedN]``, and the other parts.

    A song's own name may have such parts: of a folder of music, the longest that is there counts.
    """
    parts = name.split("__")
    if music is not None and music.is_dir():
        for count in range(len(parts), 1, -1):
            song = "__".join(parts[:count])
            if (music / f"{song}.beats.json").is_file():
                return song, parts[count:]
    return parts[0], parts[1:]


def _beats(path: Path, arrays: dict[str, Array]) -> Array | None:
    """Return the ``beats`` of a dance, seconds, rising, if they are there."""
    beats = arrays.get("beats")
    if beats is None:
        return None
    check_frames(path, "beats", beats, ())
    return np.unique(beats)


def _contacts(arrays: dict[str, Array]) -> Array | None:
    """``contacts`` (T, 2) of a dance or of takes, if they are there, numbers and of the right shape."""
    contacts = arrays.get("contacts")
    frames = len(arrays["positions" if "positions" in arrays else "root"])
    if contacts is None or contacts.shape != (frames, 2) or contacts.dtype.kind not in "biuf":
        return None
    return contacts


def _read_music(path: Path) -> dict[str, Any]:
    """``beats``, ``silences`` and ``bpm`` of an annotation."""
    known = read_beats(path)
    return {"beats": known.beats, "silences": known.silences, "bpm": known.bpm}


def read_group(folder: Path, music: Path | None = None) -> list[Dance]:
    """All dances of a folder; see :func:`read_dance`.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: no dances (.npz) in it")
    return [read_dance(path, music) for path in paths]


def read_real(path: Path) -> list[Dance]:
    """Return the takes of real dance that ``dancerev-prepare`` keeps (``real_test.npz``).

    Raises:
        InputError: the file is missing or of another kind.
    """
    arrays = read_arrays(path)
    missing = {"rotations", "root", "lengths", "take", "fps"} - set(arrays)
    if missing:
        raise InputError(f"{path}: not a set of real dances, it lacks {', '.join(sorted(missing))}")
    check_poses(path, arrays["rotations"], arrays["root"])
    fps, lengths = frame_rate(path, arrays["fps"]), arrays["lengths"]
    frames = len(arrays["root"])
    if (
        lengths.ndim != 1
        or not len(lengths)
        or lengths.dtype.kind not in "iu"
        or not ((lengths >= 2) & (lengths <= frames)).all()  # so that their sum is no number that wraps round
    ):
        raise InputError(f"{path}: lengths are not whole numbers from 2 to {frames}, the frames of all takes")
    if (
        not int(lengths.sum()) == len(arrays["rotations"]) == len(arrays["root"])
        or arrays["take"].shape != lengths.shape
    ):
        raise InputError(f"{path}: rotations, root, lengths and take do not belong together")
    styles = _styles(path, arrays)
    positions, _ = forward_kinematics(arrays["rotations"], arrays["root"])
    contacts = _contacts(arrays)
    ends = np.cumsum(lengths)
    takes = []
    for take, style, length, end in zip(arrays["take"], styles, lengths, ends, strict=True):
        rows = slice(end - length, end)
        planted = None if contacts is None else contacts[rows]
        takes.append(Dance(str(take), positions[rows], fps, style=style, contacts=planted))
    return takes


def _styles(path: Path, arrays: dict[str, Array]) -> list[str | None]:
    """Return the style of each take; None where they are not known."""
    count = len(arrays["lengths"])
    if "styles" not in arrays:
        return [None] * count
    names, index = arrays["styles"].reshape(-1), arrays.get("style", np.zeros(0))
    if index.shape != (count,) or index.dtype.kind not in "iu" or not ((index >= 0) & (index < len(names))).all():
        raise InputError(f"{path}: style does not say for each take which of styles it is of")
    return [str(names[i]) for i in index]


def evaluate(dances: list[Dance], real: list[Dance], rate: float | None = None, workers: int = 1) -> dict[str, Any]:
    """All results, ready for JSON but for NaN.

    Real dance is brought to ``rate`` first, by default the lowest frame rate among all dances, so that both sides are
    equally smooth.

    Returns:
        ``dances`` (name → results), their ``mean``, ``tempo`` and ``style`` (name → ``dances``, how many, and the means
        of ``bas`` and ``bas_chance``), and with ``real`` not empty: ``real``, the mean over its takes, and
        ``comparison`` (:func:`dancerev.model.evaluation.metrics.compare_dances`).

    Raises:
        InputError: two dances have the same name, so that the results of one would be lost.
    """
    (name, count), *_ = Counter(dance.name for dance in dances).most_common(1) or [("", 0)]
    if count > 1:
        raise InputError(f"{count} dances have the same name, {name}; rename their files")
    evaluated = in_parallel(_evaluate, dances, workers, "dances")
    results = {dance.name: result for dance, result in zip(dances, evaluated, strict=True)}
    report: dict[str, Any] = {
        "dances": results,
        "mean": _mean(list(results.values())),
        "tempo": _alignment(results, {dance.name: _band(dance.bpm) for dance in dances}),
        "style": _alignment(results, {dance.name: dance.style for dance in dances}),
    }
    if real:
        rate = rate or min(dance.fps for dance in [*dances, *real])
        same = [replace(d, positions=resample(d.positions, d.fps, rate), fps=rate, contacts=None) for d in real]
        report["real"] = _mean([_evaluate(dance) for dance in same])
        made = [(resample(part, dance.fps, rate), rate) for dance in dances for part in _danced(dance)]
        report["comparison"] = compare_dances(made, [(d.positions, rate) for d in same])
    return report


def _danced(dance: Dance) -> list[Array]:
    """Positions of the stretches (frames, 22, 3) in which music plays: real dancers do not rest before the camera."""
    if dance.silences is None or not len(dance.silences):
        return [dance.positions]
    plays = music_plays(np.arange(len(dance.positions)) / dance.fps, dance.silences)
    edges = np.flatnonzero(np.diff(plays.astype(int), prepend=0, append=0))
    stretches = [dance.positions[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return [stretch for stretch in stretches if len(stretch) >= CLIP_SECONDS * dance.fps]


def evaluate_groups(groups: dict[str, list[Dance]], real: list[Dance], workers: int = 1) -> dict[str, dict[str, Any]]:
    """Name → :func:`evaluate` of each group, all of them compared with real dance at one frame rate.

    A group with the name of a style is compared with real dance of that style alone.
    """
    rate = min(dance.fps for dances in [*groups.values(), real] for dance in dances)
    return {
        name: evaluate(dances, [dance for dance in real if dance.style == name] or real, rate, workers)
        for name, dances in groups.items()
    }


def _evaluate(dance: Dance) -> dict[str, float]:
    loop = shortest_loop(dance.positions, dance.fps)
    results = evaluate_dance(dance.positions, dance.fps, dance.beats, dance.silences, dance.contacts)
    return results | {"loop": math.nan if loop is None else loop}


def _band(bpm: float | None) -> str | None:
    """Return the name of the band of a tempo, where it has one."""
    return next((name for name, (low, high) in _TEMPI.items() if bpm is not None and low <= bpm < high), None)


def _alignment(results: dict[str, dict[str, float]], parts: dict[str, str | None]) -> dict[str, dict[str, float]]:
    """Part → how many of the dances are of it, and how well on the beat; ``parts`` names that of each dance."""
    report = {}
    for part in sorted({part for part in parts.values() if part}):
        rows = [row for name, row in results.items() if parts[name] == part]
        means = _mean(rows)
        report[part] = {"dances": len(rows)} | {name: means[name] for name in ("bas", "bas_chance") if name in means}
    return report


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each result over the rows that have it; of the loop, the shortest."""
    means = {}
    for name, _, _ in _COLUMNS:
        values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
        if values:
            means[name] = min(values) if name == "loop" else float(np.mean(values))
    return means


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the tables of :func:`evaluate`."""
    rows = dict(report["dances"])
    if len(rows) > 1:
        rows["mean"] = report["mean"]
    if "real" in report:
        rows["real dance, mean"] = report["real"]
    _print_results(console, "dance", rows, _COLUMNS)
    if "comparison" in report:
        compared = report["comparison"]
        parts = [f"{heading} {compared[name]:.2f}" for name, heading in _COMPARISON]
        parts += [f"(real {heading} {compared[name + '_real']:.2f})" for name, heading in _COMPARISON[2:]]
        console.print("  ".join(parts), markup=False)
    _print_alignment({"all dances": report}, console)


def print_groups(groups: dict[str, dict[str, Any]], console: Console) -> None:
    """Print the tables of :func:`evaluate_groups`: a row for each group, and one for real dance."""
    rows = {name: report["mean"] | report.get("comparison", {}) for name, report in groups.items()}
    columns: tuple[tuple[str, str, int], ...] = _COLUMNS
    seen: list[dict[str, float]] = []
    for name, report in groups.items():
        if "real" in report and report["real"] not in seen:
            seen.append(report["real"])
            columns = (*_COLUMNS, *((key, heading, 2) for key, heading in _COMPARISON))
            spread = {key: report["comparison"][f"{key}_real"] for key, _ in _COMPARISON[2:]}
            rows[f"real dance, {name}" if len(groups) > 1 else "real dance"] = report["real"] | spread
    _print_results(console, "group", rows, columns)
    _print_alignment(groups, console)


def _print_results(
    console: Console, heading: str, rows: dict[str, dict[str, float]], columns: tuple[tuple[str, str, int], ...]
) -> None:
    cells = {
        row: [_cell(results.get(name, math.nan), digits) for name, _, digits in columns]
        for row, results in rows.items()
    }
    print_table(console, heading, [title for _, title, _ in columns], cells)


def _cell(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _print_alignment(groups: dict[str, dict[str, Any]], console: Console) -> None:
    """BAS and its chance level at every tempo and in every style that there is."""
    styles = sorted({style for report in groups.values() for style in report["style"]})
    parts = [("tempo", band) for band in _TEMPI if any(band in report["tempo"] for report in groups.values())]
    parts += [("style", style) for style in styles]
    if not parts:
        return
    rows = {
        name: [
            " / ".join(_cell(report[kind].get(part, {}).get(key, math.nan), 3) for key in ("bas", "bas_chance"))
            for kind, part in parts
        ]
        for name, report in groups.items()
    }
    console.print()
    print_table(console, "BAS / chance", [f"{part} BPM" if kind == "tempo" else part for kind, part in parts], rows)


@command("dancerev-evaluate")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = parse(argv)
    if arguments.json:
        check_writable(arguments.json)
    if arguments.sheets:  # made now, for what cannot be is better told before the work
        for name in dict(arguments.group) or [""]:
            (arguments.sheets / name).mkdir(parents=True, exist_ok=True)
    if arguments.paper:
        return _evaluate_as_paper(arguments)
    real = read_real(arguments.real) if arguments.real else []
    groups = {name: read_group(folder, arguments.music) for name, folder in arguments.group}
    if len(groups) < len(arguments.group):
        raise InputError("two groups have the same name")
    dances = [read_dance(path, arguments.music) for path in arguments.dances]
    if arguments.protocol == "bailando":
        return _evaluate_as_bailando(groups or {"dances": dances}, real, arguments.json)
    workers = arguments.workers
    with cluster(arguments.cluster):
        report = evaluate_groups(groups, real, workers) if groups else evaluate(dances, real, workers=workers)
    if arguments.json:
        write_text(arguments.json, json.dumps(_without_nan(report), indent=1) + "\n")
    if arguments.sheets:
        _draw_sheets({"": dances, **groups}, arguments.sheets)
    (print_groups if groups else print_report)(report, table_console())
    return 0


def _evaluate_as_bailando(groups: dict[str, list[Dance]], real: list[Dance], json_file: Path | None) -> int:
    """Print what Bailando's protocol gives for each group."""
    from . import bailando

    movements = {
        name: [bailando.Movement(dance.positions, dance.fps, dance.beats) for dance in dances]
        for name, dances in {**groups, "": real}.items()
    }
    theirs = movements.pop("")
    report = {name: bailando.evaluate(ours, theirs) for name, ours in movements.items()}
    if json_file:
        write_text(json_file, json.dumps(_without_nan(report), indent=1) + "\n")
    bailando.print_groups(report, table_console())
    return 0


def _evaluate_as_paper(arguments: argparse.Namespace) -> int:
    """Print the paper's metrics of the groups."""
    from . import paper, style_classifier

    judge = style_classifier.load(arguments.paper)
    report = {
        name: paper.evaluate(paper.read_group(folder, arguments.fps, arguments.music), judge)
        for name, folder in arguments.group
    }
    if arguments.json:
        write_text(arguments.json, json.dumps(_without_nan(report), indent=1) + "\n")
    paper.print_groups(report, judge, table_console())
    return 0


def _draw_sheets(groups: dict[str, list[Dance]], folder: Path) -> None:
    """Write a contact sheet of each dance, in a folder of each group."""
    from .contact_sheet import contact_sheet

    for group, dances in groups.items():
        for dance in dances:
            contact_sheet(dance.positions, folder / group / f"{dance.name}.png", dance.fps, title=dance.name)


if __name__ == "__main__":
    sys.exit(main())
