"""``dancerev-bench``: what every stage of the stream costs on this machine, paced as on stage and back to back.

Paced at 15 Hz the processor's caches are cold at every frame and its clock is low, as in a show; back to back tells
how fast a file is danced to.
"""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from dancerev.clients.osc import MAX_DATAGRAM
from dancerev.clients.vmc import VmcSender
from dancerev.command_line import ArgumentParser, command, progress
from dancerev.errors import ModelError
from dancerev.model.features import FEATURE_SIZE, network_input
from dancerev.model.pose import FRAME_RATE, POSE_SIZE
from dancerev.model.whole_file import check_writable, write_text
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.audio.sources import demo_path
from dancerev.realtime.dance_model import ANY_STYLE, THREADS, DanceModel
from dancerev.realtime.dancer import side_by_side
from dancerev.realtime.features import FeatureExtractor
from dancerev.realtime.providers import PROVIDERS
from dancerev.realtime.spectrum import FRAME_SAMPLES
from dancerev.realtime.stream import DanceStream

STAGES = ("features", "beat", "step", "post", "interpolate", "encode", "send")
"""What a frame consists of. ``send`` is the system's part of handing poses to the network, ``encode`` ours."""

FRAME = "frame"
"""From the samples of a frame to its poses: all stages up to ``interpolate``, and what is between them."""

HOUR = 54_000
"""Frames of an hour."""

_CROWD = 16  # dancers, of the second measurement
_BUDGET = 1000.0 / FRAME_RATE  # ms from frame to frame

Samples = npt.NDArray[np.float32]
Percentiles = dict[str, dict[str, float]]
"""Stage → p50 and p99 in ms."""


class Stopwatch:
    """Adds up, frame by frame, the time spent in methods.

    Attributes:
        frames: seconds by stage, of every frame.
    """

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = [{}]

    def watch(self, stage: str, owner: Any, method: str, within: str | None = None) -> None:
        """From now on count calls of ``owner.method`` as ``stage``, and no longer as that which they are ``within``."""
        run: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = run(*arguments)
            spent = time.perf_counter() - began
            frame = self.frames[-1]
            frame[stage] = frame.get(stage, 0.0) + spent
            if within is not None:
                frame[within] = frame.get(within, 0.0) - spent
            return result

        setattr(owner, method, timed)

    def percentiles(self) -> Percentiles:
        """Of every stage and of :data:`FRAME`."""
        table = {}
        for stage in (*STAGES, FRAME):
            times = [1000.0 * frame.get(stage, 0.0) for frame in self.frames]
            table[stage] = {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}
        return table


def frames_of(samples: Samples) -> Iterator[Samples]:
    """Return the samples of one acoustic frame after the other."""
    for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        yield samples[start : start + FRAME_SAMPLES]


def generation(network: DanceModel, samples: Samples) -> float:
    """Milliseconds of processor time that a frame of (n,) samples takes when they are danced to as a file is.

    On a machine with nothing else to do, that is the time on the clock.
    """
    network.reset()
    stream = DanceStream(side_by_side(network, [ANY_STYLE]))
    stream.begin()
    busy = time.process_time()
    stream.push(samples)
    return 1000.0 * (time.process_time() - busy) / stream.frames


def measure(network: DanceModel, samples: Samples, paced: bool) -> Percentiles:
    """Let all dancers of ``network`` dance to (n,) samples and time the stages."""
    network.reset()
    stream = DanceStream(side_by_side(network, [ANY_STYLE]))
    audience = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # a datagram for nobody costs an answer as well
    audience.bind(("127.0.0.1", 0))
    audience.setblocking(False)
    senders = [VmcSender(*audience.getsockname()) for _ in stream.dancers]
    watch = Stopwatch()
    watched: list[tuple[Any, str]] = []

    def on(stage: str, owner: Any, method: str, within: str | None = None) -> None:
        watch.watch(stage, owner, method, within)
        watched.append((owner, method))

    on("features", stream.extractor, "push")
    on("beat", stream.extractor.tracker, "update", within="features")
    on("step", network, "step")
    for dancer in stream.dancers:
        on("post", dancer, "decode")
        on("post", dancer, "finish")
    for interpolator in stream.interpolators:
        on("interpolate", interpolator, "push")
    for sender in senders:
        on("encode", sender, "send")
        on("send", sender.target, "send", within="encode")
    stream.begin()
    watch.frames.clear()
    gc.collect()
    gc.freeze()
    gc.disable()
    due = time.perf_counter()
    for block in frames_of(samples):
        due += 1.0 / FRAME_RATE
        if paced:
            time.sleep(max(0.0, due - time.perf_counter()))
        watch.frames.append({})
        began = time.perf_counter()
        poses, _ = stream.push(block)
        watch.frames[-1][FRAME] = time.perf_counter() - began
        for pose in poses:
            senders[pose.dancer].send(pose)
        with contextlib.suppress(BlockingIOError):
            while audience.recv(MAX_DATAGRAM):
                pass
    gc.enable()
    gc.unfreeze()
    for owner, method in watched:
        delattr(owner, method)
    for sender in senders:
        sender.close()
    audience.close()
    return watch.percentiles()


def original_way(samples: Samples) -> dict[str, float]:
    """Processor time of the original network at its published size, one thread, dancing to (n,) samples, ms a frame.

    Its weights are random, which costs the same time; its ears are ours.

    Returns:
        ``hearing``, ``dancing``, and their sum, ``ms_per_frame``.

    Raises:
        ImportError: torch is not installed.
    """
    # Not at the top: a stage has no torch.
    import torch

    from dancerev.model.network.original import OriginalConfig, OriginalNetwork

    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        network = OriginalNetwork(OriginalConfig(features=FEATURE_SIZE, pose=POSE_SIZE)).eval()
        memory, begin = network.initial_memory(1), torch.zeros(POSE_SIZE)
        network.generate(torch.rand(1, 8, FEATURE_SIZE), begin, memory)
        busy = time.process_time()
        heard = FeatureExtractor().push(samples)
        features = np.array([network_input(frame, frame.time) for frame in heard])
        hearing = time.process_time() - busy
        network.generate(torch.from_numpy(features[None]), begin, memory)
        both = time.process_time() - busy
    finally:
        torch.set_num_threads(threads)
    share = 1000.0 / len(features)
    return {"ms_per_frame": share * both, "hearing": share * hearing, "dancing": share * (both - hearing)}


def after_an_hour(make: Callable[[], DanceStream], samples: Samples, age: int = HOUR) -> dict[str, float]:
    """Return what a frame costs early and late in a long dance, back to back.

    One stream dances for ``age`` frames, to the same (n,) samples again and again. Then it and a new one, at its 100th
    frame, take turns, so that whatever else the machine does slows both.

    Returns:
        median ms of processor time of a frame about the 100th and about number ``age``, and their ``ratio``.
    """
    blocks = list(frames_of(samples))
    old, new = make(), make()
    for stream in (old, new):
        stream.begin()
    for k in range(age):
        old.push(blocks[k % len(blocks)])
    for k in range(100):
        new.push(blocks[k % len(blocks)])
    spent: dict[str, list[float]] = {"100": [], str(age): []}
    for k in range(600):
        for name, stream in ((("100", new), (str(age), old)), ((str(age), old), ("100", new)))[k % 2]:
            began = time.process_time()
            stream.push(blocks[(100 + k) % len(blocks)])
            spent[name].append(1000.0 * (time.process_time() - began))
    medians = {name: float(np.median(times)) for name, times in spent.items()}
    return medians | {"ratio": medians[str(age)] / medians["100"]}


def bench(model: str, provider: str, seconds: float, hour: bool) -> dict[str, Any]:
    """Return all measurements, ready for JSON.

    Args:
        model: name or path.
        provider: one of :data:`~dancerev.realtime.providers.PROVIDERS`.
        seconds: of paced dancing.
        hour: measure a frame after an hour of dancing too.

    Raises:
        ModelError: no such model.
    """
    samples = np.concatenate(list(decode(demo_path())))
    paced = samples[: round(seconds * FRAME_RATE) * FRAME_SAMPLES]
    with progress("loading the model"):
        network = DanceModel(model, provider)
    notes = [network.note] if network.note else []
    report: dict[str, Any] = {"model": model, "provider": network.provider, "threads": THREADS, "dancers": {}}
    crowds = {1: network}
    try:
        crowds[_CROWD] = DanceModel(model, provider, _CROWD)
    except ModelError as error:
        notes.append(str(error))
    for dancers, crowd in crowds.items():
        with progress(f"measuring {dancers} dancer{'s' if dancers > 1 else ''}"):
            report["dancers"][str(dancers)] = _crowd_report(crowd, samples if dancers == 1 else paced, paced)
    with progress("measuring the original's way"):
        report["original"] = _original_report(paced, report["dancers"]["1"], notes)
    report["after_an_hour"] = None
    if hour:
        with progress("dancing for an hour of frames"):
            report["after_an_hour"] = after_an_hour(
                lambda: DanceStream(side_by_side(DanceModel(model, provider), [ANY_STYLE])), samples
            )
    return report | {"notes": notes}


def _crowd_report(network: DanceModel, music: Samples, paced: Samples) -> dict[str, Any]:
    """Measure all dancers of ``network``: paced, back to back, and as a file is danced to."""
    mean = generation(network, music)
    return {
        "paced": measure(network, paced, paced=True),
        "back_to_back": measure(network, music, paced=False),
        "generation_ms": mean,
        "times_real_time": 1000.0 / FRAME_RATE / mean,
    }


def _original_report(music: Samples, alone: dict[str, Any], notes: list[str]) -> dict[str, float] | None:
    """Measure the original's way and compare it with one dancer's report; None and a note where torch is missing."""
    try:
        original = original_way(music)
    except ImportError as error:
        notes.append(f"the original's way is not measured: it needs the extra train ({error})")
        return None
    return original | {
        "times_our_stream": original["ms_per_frame"] / alone["generation_ms"],
        "times_our_step": original["dancing"] / alone["back_to_back"]["step"]["p50"],
    }


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for dancers, measured in report["dancers"].items():
        table = Table(
            title=f"dancers: {dancers}; {report['provider']}, threads: {report['threads']}; ms of {_BUDGET:.1f} a frame"
        )
        for column in ("stage", "paced p50", "paced p99", "unpaced p50", "unpaced p99"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for stage in (*STAGES, FRAME):
            numbers = [measured[way][stage][p] for way in ("paced", "back_to_back") for p in ("p50", "p99")]
            table.add_row(stage, *(f"{x:.3f}" for x in numbers), end_section=stage == STAGES[-1])
        console.print(table)
        console.print(f"a file is danced to at {measured['times_real_time']:.0f} × real time (of processor time)")
    if original := report["original"]:
        console.print(
            f"the original's way: {original['ms_per_frame']:.2f} ms, {original['times_our_stream']:.1f} × ours; "
            f"its network: {original['dancing']:.2f} ms, {original['times_our_step']:.1f} × our step"
        )
    if late := report["after_an_hour"]:
        console.print(f"frame {HOUR}: {late[str(HOUR)]:.3f} ms, {late['ratio']:.3f} × frame 100")
    for note in report["notes"]:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for dancers, measured in report["dancers"].items():
        console.print(verdict(int(dancers), measured["paced"][FRAME]["p99"]), highlight=False)


def verdict(dancers: int, milliseconds: float) -> str:
    """Say in words whether a frame that takes so long (p99, paced) fits between two frames."""
    who = f"{dancers} dancer{'s' if dancers > 1 else ''}"
    if milliseconds > _BUDGET:
        return f"{who}: too slow, {milliseconds:.1f} of {_BUDGET:.1f} ms; poses would be late"
    tight = ", but leaves little for other programs" if milliseconds > 0.5 * _BUDGET else ""
    return f"{who}: fits, {milliseconds:.1f} of {_BUDGET:.1f} ms{tight}"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-bench", description="What every stage of the stream costs on this machine.")
    parser.add_argument("--model", default="default", metavar="NAME|PATH", help="bundled or exported model")
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    parser.add_argument("--seconds", type=float, default=12.0, help="of paced dancing (default 12)")
    parser.add_argument(
        "--hour", action="store_true", help=f"compare frame {HOUR} with frame 100 as well, which takes minutes"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    return parser


@command("dancerev-bench")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not 1.0 <= arguments.seconds <= 60.0:
        parser.error(f"--seconds {arguments.seconds:g} is not from 1 to 60")
    if arguments.json:
        check_writable(arguments.json)
    report = bench(arguments.model, arguments.provider, arguments.seconds, arguments.hour)
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")
    console = Console()
    print_report(report, console if console.is_terminal else Console(width=80))
    return 0


if __name__ == "__main__":
    sys.exit(main())
