"""``dancerev-bench``: what every stage of the stream costs on this machine, paced as on stage and back to back.

Paced at 15 Hz the processor's caches are cold at every frame and its clock is low, as in a show; back to back tells
how fast a file is danced to.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from dancerev.clients.vmc import VmcSender
from dancerev.model.command_line import ArgumentParser
from dancerev.model.pose import FRAME_RATE
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.decode import decode
from dancerev.realtime.providers import PROVIDERS
from dancerev.realtime.session import DanceModel, ModelError
from dancerev.realtime.sources import demo_path
from dancerev.realtime.spectrum import FRAME_SAMPLES
from dancerev.realtime.stream import DanceStream

STAGES = ("features and beat", "network step", "body", "interpolation", "encode and send")


class Stopwatch:
    """Adds up, frame by frame, the time spent in methods."""

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []

    def watch(self, stage: str, owner: Any, method: str) -> None:
        """From now on count calls of ``owner.method`` as ``stage``."""
        run: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = run(*arguments)
            frame = self.frames[-1]
            frame[stage] = frame.get(stage, 0.0) + time.perf_counter() - began
            return result

        setattr(owner, method, timed)

    def percentiles(self, stage: str) -> tuple[float, float]:
        """p50 and p99 of a stage in ms."""
        times = [1000.0 * frame.get(stage, 0.0) for frame in self.frames]
        return float(np.percentile(times, 50)), float(np.percentile(times, 99))


def measure(
    model: str, provider: str, samples: npt.NDArray[np.float32], paced: bool
) -> tuple[dict[str, tuple[float, float]], str]:
    """Dance to (n,) samples and time it.

    Returns:
        p50 and p99 in ms of every stage and of "frame", all stages but sending; and the provider that ran.
    """
    network = DanceModel(model, provider)
    stream = DanceStream(Dancer(network))
    sender = VmcSender("127.0.0.1", 9)
    watch = Stopwatch()
    watch.watch(STAGES[0], stream.ear, "push")
    watch.watch(STAGES[1], network, "step")
    for owner, method in (
        (stream.dancers[0].stage, "correct"),
        (stream.dancers[0].place, "decode"),
        (stream.dancers[0].body, "process"),
    ):
        watch.watch(STAGES[2], owner, method)
    watch.watch(STAGES[3], stream.interpolators[0], "push")
    watch.watch(STAGES[4], sender, "send")
    watch.frames.append({})
    stream.begin()
    watch.frames.clear()
    gc.collect()
    gc.freeze()
    gc.disable()
    due = time.perf_counter()
    for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        due += 1.0 / FRAME_RATE
        if paced:
            time.sleep(max(0.0, due - time.perf_counter()))
        watch.frames.append({})
        began = time.perf_counter()
        poses, _ = stream.push(samples[start : start + FRAME_SAMPLES])
        watch.frames[-1]["frame"] = time.perf_counter() - began
        for pose in poses:
            sender.send(pose, pose.time)
    gc.enable()
    gc.unfreeze()
    sender.close()
    return {stage: watch.percentiles(stage) for stage in (*STAGES, "frame")}, network.provider


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-bench", description="What every stage of the stream costs on this machine.")
    parser.add_argument("--model", default="default", metavar="NAME|PATH", help="bundled or exported model")
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of paced dancing (default 20)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    samples = np.concatenate(list(decode(demo_path())))
    try:
        paced, provider = measure(
            arguments.model, arguments.provider, samples[: round(arguments.seconds * 15) * FRAME_SAMPLES], paced=True
        )
        unpaced, _ = measure(arguments.model, arguments.provider, samples, paced=False)
    except ModelError as error:
        print(f"dancerev-bench: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"ms per frame of 66.7, {provider}")
    for column in ("stage", "paced p50", "paced p99", "back to back p50", "back to back p99"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in (*STAGES, "frame"):
        table.add_row(stage, *(f"{x:.2f}" for x in (*paced[stage], *unpaced[stage])))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"provider": provider, "paced": paced, "back_to_back": unpaced}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
