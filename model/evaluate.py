"""``dancerev-evaluate``: dances against their music and against real dance, in one table."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from .command_line import ArgumentParser
from .metrics import compare_dances, evaluate_dance, resample, shortest_loop
from .skeleton import BONES, forward_kinematics

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
    ("stage_radius", "stage m", 2),
    ("floor_penetration", "floor m", 3),
    ("repetition", "repeats", 2),
    ("loop", "loop s", 1),
)
_COMPARISON = (("fid_k", "FID_k"), ("fid_g", "FID_g"), ("div_k", "Div_k"), ("div_g", "Div_g"))


class EvaluationError(ValueError):
    """A file that cannot be evaluated; the message is one line."""


@dataclass(frozen=True)
class Dance:
    """One dance: positions (T, 22, 3) in metres at ``fps``, and beats (N,) in seconds where they are known."""

    name: str
    positions: Array
    fps: float
    beats: Array | None = None


def _arrays(path: Path) -> dict[str, Array]:
    if not is_zipfile(path):
        raise EvaluationError(f"{path}: {'not an .npz file' if path.exists() else 'no such file'}")
    try:
        with np.load(path) as file:
            return dict(file)
    except (OSError, ValueError, BadZipFile) as error:
        raise EvaluationError(f"{path}: cannot be read ({error})") from error


def read_dance(path: Path, beats: Path | None = None) -> Dance:
    """A dance of ``dancerev-generate``.

    Args:
        path: the .npz file.
        beats: a ``.beats.json`` with the true beats of its music, or a folder with one named like the dance. Without
            it the beats are those that the dancer heard.

    Raises:
        EvaluationError: a file is missing or of another kind.
    """
    arrays = _arrays(path)
    missing = {"fps", "joint_names", "positions"} - set(arrays)
    if missing:
        raise EvaluationError(f"{path}: not a dance of dancerev-generate, it lacks {', '.join(sorted(missing))}")
    if tuple(arrays["joint_names"].tolist()) != BONES:
        raise EvaluationError(f"{path}: the joints are not those of this skeleton")
    if len(arrays["positions"]) < 2:
        raise EvaluationError(f"{path}: the dance has fewer than two poses")
    heard = arrays.get("beats")
    if beats is not None:
        heard = _read_beats(beats / f"{path.stem}.beats.json" if beats.is_dir() else beats)
    return Dance(path.stem, arrays["positions"], float(arrays["fps"]), heard)


def _read_beats(path: Path) -> Array:
    try:
        beats = np.array(json.loads(path.read_text(encoding="utf-8"))["beats"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f'{path}: cannot be read as {{"beats": [seconds, …]}} ({error})') from error
    return np.sort(beats.reshape(-1))


def read_real(path: Path) -> list[Dance]:
    """The takes of real dance that ``dancerev-prepare`` keeps (``real_test.npz``).

    Raises:
        EvaluationError: the file is missing or of another kind.
    """
    arrays = _arrays(path)
    missing = {"rotations", "root", "lengths", "take", "fps"} - set(arrays)
    if missing:
        raise EvaluationError(f"{path}: not a set of real dances, it lacks {', '.join(sorted(missing))}")
    positions, _ = forward_kinematics(arrays["rotations"], arrays["root"])
    ends = np.cumsum(arrays["lengths"])
    return [
        Dance(str(take), positions[end - length : end], float(arrays["fps"]))
        for take, length, end in zip(arrays["take"], arrays["lengths"], ends, strict=True)
    ]


def evaluate(dances: list[Dance], real: list[Dance]) -> dict[str, Any]:
    """All results, ready for JSON but for NaN.

    Real dance is brought to the lowest frame rate among ``dances`` first, so that both sides are equally smooth.

    Returns:
        ``dances`` (name → results), their ``mean``, and with ``real`` not empty: ``real``, the mean over its takes, and
        ``comparison`` (:func:`dancerev.model.metrics.compare_dances`).
    """
    results = {dance.name: _evaluate(dance) for dance in dances}
    report: dict[str, Any] = {"dances": results, "mean": _mean(list(results.values()))}
    if real:
        rate = min(dance.fps for dance in [*dances, *real])
        same, made = (
            [Dance(d.name, resample(d.positions, d.fps, rate), rate) for d in side] for side in (real, dances)
        )
        report["real"] = _mean([_evaluate(dance) for dance in same])
        report["comparison"] = compare_dances([(d.positions, rate) for d in made], [(d.positions, rate) for d in same])
    return report


def _evaluate(dance: Dance) -> dict[str, float]:
    loop = shortest_loop(dance.positions, dance.fps)
    return evaluate_dance(dance.positions, dance.fps, dance.beats) | {"loop": math.nan if loop is None else loop}


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
    """Prints the table."""
    table = Table(box=None, pad_edge=False)
    table.add_column("dance", no_wrap=True, overflow="ellipsis", max_width=24)
    for _, heading, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    rows = dict(report["dances"])
    if len(rows) > 1:
        rows["mean"] = report["mean"]
    if "real" in report:
        rows["real dance, mean"] = report["real"]
    for row, results in rows.items():
        cells = []
        for name, _, digits in _COLUMNS:
            value = results.get(name, math.nan)
            cells.append(f"{value:.{digits}f}" if math.isfinite(value) else "–")
        table.add_row(row, *cells)
    console.print(table)
    if "comparison" in report:
        compared = report["comparison"]
        parts = [f"{heading} {compared[name]:.2f}" for name, heading in _COMPARISON]
        parts += [f"(real {heading} {compared[name + '_real']:.2f})" for name, heading in _COMPARISON[2:]]
        console.print("  ".join(parts))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-evaluate", description=__doc__)
    parser.add_argument("dances", nargs="+", type=Path, metavar="DANCE.npz", help="written by dancerev-generate")
    parser.add_argument(
        "--beats",
        type=Path,
        metavar="JSON|FOLDER",
        help="true beats of the music: one file for all dances, or a folder with DANCE.beats.json for each "
        "(default: the beats that the dancer heard)",
    )
    parser.add_argument("--real", type=Path, metavar="NPZ", help="real dance to compare with, by dancerev-prepare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="put a contact sheet of each dance there")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        dances = [read_dance(path, arguments.beats) for path in arguments.dances]
        report = evaluate(dances, read_real(arguments.real) if arguments.real else [])
        if arguments.json:
            arguments.json.write_text(json.dumps(_without_nan(report), indent=1) + "\n", encoding="utf-8")
        if arguments.sheets:
            from .sheet import contact_sheet

            arguments.sheets.mkdir(parents=True, exist_ok=True)
            for dance in dances:
                contact_sheet(dance.positions, arguments.sheets / f"{dance.name}.png", dance.fps, title=dance.name)
    except (ValueError, OSError) as error:
        print(f"dancerev-evaluate: {error}", file=sys.stderr)
        return 2
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    print_report(report, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
