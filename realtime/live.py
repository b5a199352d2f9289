"""``dancerev-live``: music in, a dancing humanoid out over VMC, for as long as you like."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dancerev.clients.flat_osc import FlatSender
from dancerev.clients.preview.preview import display_available
from dancerev.clients.preview.sink import PreviewSink
from dancerev.clients.recorders.recorder import Recorder, Recorders, open_recorder
from dancerev.clients.sink import PerDancer, PoseSink, Sinks
from dancerev.clients.vmc import VmcSender
from dancerev.clients.vrchat import VrchatSender
from dancerev.command_line import ENDING_SIGNALS, SAME_SIGNAL, command
from dancerev.errors import InputError, ReceiverError
from dancerev.model.whole_file import check_writable, write_text

from .audio.devices import quiet_libraries
from .audio.sources import list_devices, open_source
from .beat.engines import make_tracker
from .beat.link import LinkSender
from .beat.midi_input import MidiInput, list_ports
from .body.hands_and_face import HandsAndFace
from .control_actions import ControlActions
from .dance_model import ANY_STYLE, DanceModel
from .dancer import side_by_side
from .features import FeatureExtractor
from .notes import NoteWriter, log_to
from .performance.cues import CueList, read_cues
from .performance.keys import Keys
from .performance.midi_control import MidiControl
from .performance.osc_control import OscControl
from .performance.performance import Performance
from .show import Show
from .show_config import ShowConfig, live_parser, parse_arguments, show_config, write_settings
from .status import StatusLine
from .stream import DanceStream


def _vmc(config: ShowConfig, host: str, port: int, dancer: int) -> PoseSink:
    """Make a VMC sender: a receiver knows one avatar per port."""
    return VmcSender(
        host,
        port + dancer,
        travel=config.travel,
        upper_chest=config.upper_chest,
        avatar=config.rig,
        bones=config.bones,
        turned=config.turned,
    )


def _flat(config: ShowConfig, host: str, port: int, dancer: int) -> PoseSink:
    """Make a sender of flat OSC, whose addresses name the dancer."""
    return FlatSender(host, port, dancer=dancer + 1, bundles=config.bundles)


def _vrchat(config: ShowConfig, host: str, port: int, dancer: int) -> PoseSink:
    """Make a sender for VRChat, which has one user per port."""
    return VrchatSender(host, port + dancer, height=config.height)


SENDERS: dict[str, Callable[[ShowConfig, str, int, int], PoseSink]] = {"vmc": _vmc, "flat": _flat, "vrchat": _vrchat}
"""``--protocol`` → the sender of one dancer (from 0) to a receiver."""


def _senders(config: ShowConfig) -> list[list[PoseSink]]:
    """Return the senders of each dancer."""
    if config.protocol != "flat":
        taken = sorted((host, port + k) for host, port in config.receivers for k in range(config.dancers))
        for one, next_one in itertools.pairwise(taken):
            if one == next_one:
                raise ReceiverError(f"receiver {one[0]}:{one[1]}: would get two dances; dancer 2 goes to the next port")
    make = SENDERS[config.protocol]
    return [[make(config, host, port, k) for host, port in config.receivers] for k in range(config.dancers)]


NO_PREVIEW = "no display: no preview"


def _preview(config: ShowConfig) -> list[PoseSink]:
    """Return the preview where it is wanted and possible."""
    wanted = display_available() if config.preview is None else config.preview
    return [PreviewSink(config.rig)] if wanted else []


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


def _stop_on_signals(show: Show) -> None:
    """End the show, with all that has to be finished, on Ctrl-C, on a closed terminal and on a shutdown.

    A signal that comes over a second after the first ends the program at once, as finishing may hang.
    """
    first = math.inf

    def stop(number: int, _: object) -> None:
        nonlocal first
        first = min(first, time.perf_counter())
        if time.perf_counter() - first > SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        show.stop()

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _make_stream(config: ShowConfig, model: DanceModel) -> DanceStream:
    tracker = make_tracker(config.beat_engine, config.bpm_range, config.midi_port)
    lead = float(config.controls["offset"] or 0.0) / 1000.0
    for style in config.styles:
        model.style_vector(style)  # of a dancer who is not on stage too
    if len(config.styles) > config.dancers:
        count = "1 dancer" if config.dancers == 1 else f"{config.dancers} dancers"
        mixed = ",".join(f"{style}:{1 / len(config.styles):.2g}" for style in config.styles)
        blend = f", or blend them: {mixed}" if not any(":" in style for style in config.styles) else ""
        raise InputError(f"--style: {len(config.styles)} styles for {count}; give --dancers too{blend}")
    dancers = side_by_side(model, config.styles or ("",), config.seed, lead)
    extras = [
        HandsAndFace(config.seed + number, model.styles, hands=config.hands, face=config.face)
        for number in range(config.dancers if config.hands or config.face else 0)
    ]
    return DanceStream(dancers, config.fps, FeatureExtractor(tracker), extras)


def _web_page(config: ShowConfig, performance: Performance, writer: NoteWriter) -> list[PoseSink]:
    """Return the page for browsers, where it is wanted; its address is shown, beyond this machine as a QR code too."""
    if config.web is None:
        return []
    try:
        from dancerev.clients.web.server import WebServer, qr_code
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        raise InputError(f"--web: {name} is missing: pip install 'dancerev[web]'") from None
    page = WebServer(*config.web, dancers=config.dancers, avatar=config.avatar, controls=performance)
    writer.note(f"the dance is at {page.name}, its controls at {page.name}control")
    if page.token:
        writer.write(qr_code(page.name) + "\n")
    return [page]


def _add_surfaces(config: ShowConfig, performance: Performance, actions: ControlActions, writer: NoteWriter) -> None:
    """Open every surface that the options name; an address or a port that cannot be had raises."""
    if config.cues is not None:
        performance.surfaces.append(CueList(performance, read_cues(config.cues, actions.check), actions.next_pose_time))
    if config.control is not None:
        performance.surfaces.append(OscControl(performance, *config.control, config.control_reply))
    if config.midi_control is not None:
        port = MidiInput(config.midi_control, answers=True)
        performance.surfaces.append(MidiControl(performance, port, config.midi_map, writer.note, port.send))
    performance.surfaces.append(Keys(performance, lambda line: writer.write(f"{line}\n")))


def run(config: ShowConfig) -> bool:
    """Run the show that ``config`` describes; return whether all that was recorded is in its files.

    Raises:
        InputError, ModelError, ReceiverError, OSError: something that the user can mend.
    """
    sources = [Path(config.input), Path(config.model), *(path for path in (config.avatar, config.cues) if path)]
    for path in (config.stats, config.save_settings):
        if path:
            check_writable(path, sources)
    with contextlib.closing(NoteWriter()) as writer, log_to(writer):
        return _run(config, writer)


def _run(config: ShowConfig, writer: NoteWriter) -> bool:
    with contextlib.ExitStack() as stack:
        senders = _senders(config)
        sinks = stack.enter_context(PerDancer([Sinks(each) for each in senders]))
        model = DanceModel(config.model, config.provider, config.dancers)
        stream = _make_stream(config, model)
        stack.callback(stream.extractor.tracker.close)
        with quiet_libraries():
            source = stack.enter_context(open_source(config.input, config.device, config.mute, config.duration))
        first = sinks.sinks[0]
        assert isinstance(first, Sinks)
        first.sinks += _preview(config)
        stack.enter_context(quiet_libraries())
        show = Show(source, stream, sinks)
        stack.callback(show.sinks.close)  # with the recording
        recorders: list[Recorder | Recorders] = []

        def record(text: str) -> PoseSink:
            recorders.append(open_recorder(text, config.fps, config.dancers))
            return recorders[-1]

        actions = ControlActions(show, record, config.styles)
        controls = config.controls | ({"record": config.record} if config.record else {})
        performance = Performance(actions.actions(), actions.beat, actions.start_values() | controls)
        stack.callback(performance.close)
        performance.suggest("style", (*model.styles, ANY_STYLE))
        no_preview = NO_PREVIEW if config.preview is None and not display_available() else None
        for note in (model.note, source.note, config.receiver_note, no_preview):
            if note:
                writer.note(note)
        status = StatusLine(show, performance, list(itertools.chain(*senders)), model.provider, writer)
        stack.callback(status.close)
        actions.say = writer.note
        for page in _web_page(config, performance, writer):
            stack.callback(page.close)
            show.sinks.sinks.append(page)
        if config.link:
            show.sinks.sinks.append(LinkSender(show.heard_at))
        _add_surfaces(config, performance, actions, writer)
        actions.begin(controls)
        _stop_on_signals(show)

        def on_tick() -> None:
            performance.tick()
            actions.tick()
            status.update()

        with _undisturbed():
            show.run(on_tick)
        if actions.recording:
            writer.note(f"finishing {actions.recording}")
    if config.stats:
        lost = sum(sender.lost for sender in itertools.chain(*senders))
        text = json.dumps(show.statistics() | {"poses_lost": lost}, indent=1) + "\n"
        write_text(config.stats, text)
    if config.save_settings:
        write_settings(config.save_settings, config, performance.values, _midi_map(performance))
    for recorder in recorders:
        recorder.wait()
    return not any(recorder.error for recorder in recorders)  # each has told its own


def _midi_map(performance: Performance) -> dict[str, str]:
    return next((surface.map for surface in performance.surfaces if isinstance(surface, MidiControl)), {})


@command("dancerev-live")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = live_parser(__doc__)
    arguments = parse_arguments(parser, argv)
    if arguments.list_devices:
        print(list_devices(), *list_ports(), sep="\n")
        return 0
    if arguments.list_styles:
        print(*DanceModel(arguments.model).styles, ANY_STYLE, sep="\n")
        return 0
    if arguments.input is None:
        parser.error("--input is missing: mic, demo, or a music file")
    return 0 if run(show_config(arguments)) else 2


if __name__ == "__main__":
    sys.exit(main())
