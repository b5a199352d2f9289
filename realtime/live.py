"""``dancerev-live``: music in, a dancing humanoid out over VMC, for as long as you like."""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from dancerev.clients.flat_osc import FlatSender
from dancerev.clients.preview.preview import display_available
from dancerev.clients.preview.sink import PreviewSink
from dancerev.clients.sink import PerDancer, PoseSink, Sinks
from dancerev.clients.udp import VMC_PORT, parse_target
from dancerev.clients.vmc import VmcSender
from dancerev.command_line import ArgumentParser, command, seconds, seed
from dancerev.errors import ReceiverError

from .audio.devices import quiet_libraries
from .audio.sources import list_devices, open_source
from .beat.engines import LIVE_ENGINES, bpm_range, make_tracker
from .beat.midi_input import list_ports
from .beat.tracker import MAX_BPM, MIN_BPM
from .dance_model import ANY_STYLE, DanceModel
from .dancer import side_by_side
from .features import FeatureExtractor
from .performance import Controls
from .providers import PROVIDERS
from .show import Show
from .status import StatusLine
from .stream import DanceStream

MAX_DANCERS = 64
"""More than fit into a frame on one processor core."""


def _milliseconds(text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not -500.0 <= milliseconds <= 500.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not between -500 and 500 ms")
    return milliseconds


def _dancers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_DANCERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of dancers from 1 to {MAX_DANCERS}")
    return int(text)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-live", description=__doc__)
    sound = parser.add_argument_group("sound")
    sound.add_argument(
        "--input", metavar="mic|demo|PATH", help="what to dance to: a microphone, the demo, a music file"
    )
    sound.add_argument("--device", metavar="NAME|INDEX", help="sound device, by number or part of its name")
    sound.add_argument("--list-devices", action="store_true", help="list sound devices and MIDI inputs, and exit")
    sound.add_argument("--mute", action="store_true", help="dance to the file without playing it")
    out = parser.add_argument_group("poses")
    out.add_argument(
        "--osc",
        metavar="HOST:PORT",
        action="append",
        help=f"a receiver; repeatable (default 127.0.0.1:{VMC_PORT}); dancer 2 goes to the next port, and so on",
    )
    out.add_argument("--protocol", choices=("vmc", "flat"), default="vmc", help="default vmc")
    out.add_argument(
        "--travel",
        choices=("hips", "root"),
        default="hips",
        help="vmc: what moves over the stage (default hips; root for receivers that ignore the place of the hips)",
    )
    out.add_argument(
        "--no-upper-chest", action="store_true", help="vmc: for receivers without that bone, such as VMC4UE"
    )
    out.add_argument(
        "--no-bundles", action="store_true", help="flat: one value to a datagram, for receivers without them"
    )
    out.add_argument("--fps", type=int, choices=(30, 60), default=30, help="poses a second (default %(default)s)")
    out.add_argument(
        "--preview",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="a window that shows the (first) dancer (default: where there is a display)",
    )
    out.add_argument(
        "--latency-offset",
        type=_milliseconds,
        default=0.0,
        metavar="MS",
        help="dance this much ahead of the beat, for delays after us (default 0)",
    )
    beat = parser.add_argument_group("beat; keys (not on Windows): t tap, 1 this is the one, h half, d double, q quit")
    beat.add_argument("--beat-engine", choices=LIVE_ENGINES, default="own", help="what finds it (default own)")
    beat.add_argument("--midi-port", metavar="NAME", help="MIDI clock for --beat-engine midi, by part of its name")
    beat.add_argument(
        "--bpm-range",
        type=bpm_range,
        default=(MIN_BPM, MAX_BPM),
        metavar="MIN-MAX",
        help=f"tempi (default {MIN_BPM:g}-{MAX_BPM:g})",
    )
    beat.add_argument(
        "--control", metavar="HOST:PORT", help="where to listen for /dancerev/tap, /one, /half, /double, /quit"
    )
    dance = parser.add_argument_group("dance")
    dance.add_argument("--model", default="default", metavar="NAME|PATH", help="bundled or exported model")
    dance.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    dance.add_argument("--dancers", type=_dancers, default=1, metavar="N", help="side by side (default 1)")
    dance.add_argument(
        "--style",
        type=lambda text: text.split(","),
        action="extend",
        metavar="NAME[,NAME …]",
        help="style of the dance (default any); several for the dancers in turn",
    )
    dance.add_argument("--seed", type=seed, default=0, metavar="N", help="another seed, another dance (default 0)")
    show = parser.add_argument_group("show")
    show.add_argument("--duration", type=seconds, metavar="S", help="end after so many seconds")
    show.add_argument("--stats", type=Path, metavar="PATH", help="write what was measured, as JSON")
    return parser


def _preview(wanted: bool | None) -> list[PoseSink]:
    """The preview where it is wanted and possible."""
    if wanted is None and not display_available():
        print("no display: no preview", file=sys.stderr)
        wanted = False
    return [] if wanted is False else [PreviewSink()]


def _senders(arguments: argparse.Namespace) -> list[list[PoseSink]]:
    """Who takes the poses of each dancer: VMC knows one avatar to a port; a flat address names the dancer."""
    targets = list(dict.fromkeys(parse_target(text) for text in arguments.osc or [f"127.0.0.1:{VMC_PORT}"]))
    numbers = range(arguments.dancers)
    if arguments.protocol == "flat":
        bundles = not arguments.no_bundles
        return [[FlatSender(host, port, dancer=k + 1, bundles=bundles) for host, port in targets] for k in numbers]
    taken = sorted((host, port + k) for host, port in targets for k in numbers)
    for one, next_one in itertools.pairwise(taken):
        if one == next_one:
            raise ReceiverError(f"receiver {one[0]}:{one[1]}: would get two dances; dancer 2 goes to the next port")
    chest = not arguments.no_upper_chest
    return [
        [VmcSender(host, port + k, travel=arguments.travel, upper_chest=chest) for host, port in targets]
        for k in numbers
    ]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collections, and priority over what else runs here, where the system grants it."""
    # A collection in mid-show would halt the dance for as long as it takes to look at every object. Nothing in a show
    # makes cycles that would need it; those of sounddevice are collected where they arise, in microphone.py.
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(-10)
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def obey(show: Show, command: str, time: float) -> bool:
    """Do what the performer commanded at ``time`` seconds of audio; whether it could be done."""
    tracker = show.stream.extractor.tracker
    match command:
        case "tap":
            tracker.tap(time)
        case "one":
            tracker.set_downbeat(time)
        case "half":
            return tracker.scale_tempo(0.5)
        case "double":
            return tracker.scale_tempo(2.0)
        case "quit":
            show.stop()
    return True


def run(arguments: argparse.Namespace) -> None:
    """Run the show that ``arguments`` describe.

    Raises:
        InputError, ModelError, ReceiverError, OSError: something that the user can mend.
    """
    senders = _senders(arguments)
    if arguments.stats:
        arguments.stats.open("a").close()  # an error now, rather than after the show
    tracker = make_tracker(arguments.beat_engine, arguments.bpm_range, arguments.midi_port)
    extractor = FeatureExtractor(tracker)
    model = DanceModel(arguments.model, arguments.provider, arguments.dancers)
    dancers = side_by_side(model, arguments.style or [ANY_STYLE], arguments.seed, arguments.latency_offset / 1000.0)
    with contextlib.ExitStack() as stack:
        with quiet_libraries():
            source = open_source(arguments.input, arguments.device, arguments.mute, arguments.duration)
        stack.callback(tracker.close)
        controls = Controls(*(parse_target(arguments.control) if arguments.control else ()))
        stack.callback(controls.close)
        previews = _preview(arguments.preview)
        stack.enter_context(quiet_libraries())
        sinks = stack.enter_context(PerDancer([Sinks(senders[0] + previews), *map(Sinks, senders[1:])]))
        show = Show(source, DanceStream(dancers, arguments.fps, extractor), sinks)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: show.stop())
        notes = [note for note in (model.note, source.note) if note]
        status = StatusLine(show, list(itertools.chain(*senders)), model.provider, notes)

        def each_turn() -> None:
            for command, moment in controls.take():
                if not obey(show, command, show.position(moment)):
                    status.tell(f"{command}: that tempo is out of --bpm-range")
            status.update()

        stack.callback(status.close)
        stack.enter_context(_undisturbed())
        show.run(each_turn)
    if arguments.stats:
        lost = sum(sender.lost for sender in itertools.chain(*senders))
        arguments.stats.write_text(json.dumps(show.statistics() | {"poses_lost": lost}, indent=1) + "\n")


@command("dancerev-live")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.list_devices:
        print(list_devices(), *list_ports(), sep="\n")
        return 0
    if arguments.input is None:
        parser.error("--input is missing: mic, demo, or a music file")
    run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
