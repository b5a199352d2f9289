"""The options of ``dancerev-live``: one frozen object, from the command line and a settings file."""

from __future__ import annotations

import argparse
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dancerev.clients.avatar import AvatarRig, read_vrm
from dancerev.clients.receivers import RECEIVERS, bone_mask, preset
from dancerev.clients.udp import VMC_PORT, parse_target
from dancerev.clients.vrchat import DANCER_HEIGHT, VRCHAT_PORT
from dancerev.clients.web import WEB_PORT
from dancerev.command_line import ArgumentParser, seconds, seed, whole_number
from dancerev.errors import InputError, ReceiverError, quoted
from dancerev.model.whole_file import write_text

from .beat.engines import LIVE_ENGINES, bpm_range
from .beat.tracker import MAX_BPM, MIN_BPM
from .performance.table import CONTROLS, Value
from .providers import PROVIDERS

MAX_DANCERS = 64

_MIDI_SOURCE = re.compile(r"(note|cc) (\d\d?|1[01]\d|12[0-7])", re.ASCII)

_COMMON = (
    "input device list_devices osc receiver avatar web preview style list_styles model dancers seed control duration"
)
"""Options that ``--help`` shows; ``--help-all`` shows the others too."""

_CONTROLS = ("vigour", "temperature", "phrase", "face", "radius", "crew", "canon", "formation", "quantise")
"""Controls whose start value is an option of the same name."""

_OF_SEVERAL = ("crew", "canon", "formation")
"""Those among them that do nothing with one dancer."""

_UNSAVED = {"settings", "save_settings", "list_devices", "list_styles", "duration", "stats", "help_all"}
"""Options that no settings file holds."""


@dataclass(frozen=True)
class ShowConfig:
    """What a show is made of. The names are those of the options.

    Attributes:
        controls: start values of controls that are options too.
        midi_map: (kind, number) as text, such as "cc 20" or "note 36" → control, from the settings file.
        given: the options as text, as far as they were given, for ``--save-settings``.
    """

    input: str
    device: str | None
    mute: bool
    receivers: tuple[tuple[str, int], ...]
    protocol: str
    travel: Literal["hips", "root"]
    upper_chest: bool
    bundles: bool
    avatar: Path | None
    rig: AvatarRig | None
    bones: frozenset[str] | None
    turned: bool
    receiver_note: str
    hands: bool
    face: bool
    height: float
    web: tuple[str, int] | None
    preview: bool | None
    fps: int
    beat_engine: str
    midi_port: str | None
    link: bool
    bpm_range: tuple[float, float]
    control: tuple[str, int] | None
    control_reply: int | None
    midi_control: str | None
    cues: Path | None
    model: str
    provider: str
    dancers: int
    styles: tuple[str, ...]
    seed: int
    duration: float | None
    record: str | None
    stats: Path | None
    save_settings: Path | None
    controls: dict[str, Value]
    midi_map: dict[str, str]
    given: dict[str, Any]


def milliseconds(text: str) -> float:
    """Milliseconds of ``--latency-offset``; ``ArgumentTypeError`` for others."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -500.0 <= value <= 500.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not between -500 and 500 ms")
    return value


def _control(name: str) -> Any:
    """Return a parser of a control's value on the command line."""

    def parse(text: str) -> Value:
        try:
            return CONTROLS[name].parse(text, CONTROLS[name].default)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def live_parser(description: str | None) -> ArgumentParser:
    """Return the parser of ``dancerev-live``."""
    parser = ArgumentParser(prog="dancerev-live", description=description, common=_COMMON.split())
    _add_sound(parser)
    _add_poses(parser)
    _add_avatar(parser)
    _add_dance(parser)
    _add_hand(parser)
    show = parser.add_argument_group("show")
    show.add_argument("--duration", type=seconds, metavar="S", help="end after so many seconds")
    show.add_argument("--record", metavar="OUT", help="record the dance to a file")
    show.add_argument("--stats", type=Path, metavar="PATH", help="write what was measured, as JSON")
    return parser


def _add_sound(parser: ArgumentParser) -> None:
    sound = parser.add_argument_group("sound and beat")
    sound.add_argument("--input", metavar="mic|system|demo|PATH", help="a microphone, what the computer plays, a song")
    sound.add_argument("--device", metavar="NAME|INDEX", help="sound device, by number or part of its name")
    sound.add_argument("--list-devices", action="store_true", help="list sound devices and MIDI inputs")
    sound.add_argument("--mute", action="store_true", help="dance to the file without playing it")
    sound.add_argument("--beat-engine", choices=LIVE_ENGINES, default="own", help="beat tracker (default own)")
    sound.add_argument("--link", action="store_true", help="send the beat to the programs on Ableton Link")
    sound.add_argument("--midi-port", metavar="NAME", help="MIDI clock of --beat-engine midi, by part of its name")
    sound.add_argument(
        "--bpm-range",
        type=bpm_range,
        default=(MIN_BPM, MAX_BPM),
        metavar="MIN-MAX",
        help=f"tempi (default {MIN_BPM:g}-{MAX_BPM:g})",
    )
    sound.add_argument(
        "--latency-offset",
        type=milliseconds,
        default=0.0,
        metavar="MS",
        help="dance this much ahead of the beat, for delays after us (default 0)",
    )


def _add_poses(parser: ArgumentParser) -> None:
    out = parser.add_argument_group("poses")
    out.add_argument(
        "--osc",
        metavar="HOST:PORT",
        action="append",
        help=f"a receiver; repeatable (default 127.0.0.1:{VMC_PORT})",
    )
    out.add_argument("--protocol", choices=("vmc", "flat", "vrchat"), default="vmc", help="default vmc")
    out.add_argument("--travel", choices=("hips", "root"), help="vmc: what moves over the stage (default hips)")
    out.add_argument("--no-upper-chest", action="store_true", help="vmc: for receivers or avatars without that bone")
    out.add_argument("--no-bundles", action="store_true", help="flat: one value to a datagram")
    out.add_argument("--fps", type=int, choices=(30, 60), default=30, help="poses a second (default %(default)s)")
    out.add_argument(
        "--preview", action=argparse.BooleanOptionalAction, default=None, help="a window with the (first) dancer"
    )


def _height(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.3 <= value <= 3.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a height from 0.3 to 3 m")
    return value


def _add_avatar(parser: ArgumentParser) -> None:
    avatar = parser.add_argument_group("avatar")
    avatar.add_argument("--avatar", type=Path, metavar="FILE.vrm", help="fit the dance to this avatar (VRM 0 or 1)")
    avatar.add_argument("--receiver", metavar="NAME", help=f"what the receiver needs: {', '.join(RECEIVERS)}")
    avatar.add_argument(
        "--web",
        nargs="?",
        const="127.0.0.1",
        metavar="[HOST:]PORT",
        help="a page that shows the dance, for browsers and OBS, and one that controls it",
    )
    avatar.add_argument("--no-hands", action="store_true", help="no fingers")
    avatar.add_argument("--no-face", action="store_true", help="no blinking, gaze, mouth and breath")
    avatar.add_argument("--only", metavar="PARTS", help="vmc: send head, face, arms, hands, trunk, legs or bones only")
    avatar.add_argument("--except", dest="without", metavar="PARTS", help="vmc: send all but these")
    avatar.add_argument("--height", type=_height, metavar="M", help="vrchat: your height there (default 1.7)")


def _avatar_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of :class:`ShowConfig` that say to whom the dance goes, and on which body."""
    chosen = preset(arguments.receiver) if arguments.receiver is not None else None
    port = VRCHAT_PORT if arguments.protocol == "vrchat" else VMC_PORT if chosen is None else chosen.port
    targets = arguments.osc or [f"127.0.0.1:{port}"]
    return {
        "receivers": tuple(dict.fromkeys(parse_target(text, port) for text in targets)),
        "travel": arguments.travel or ("hips" if chosen is None else chosen.travel),
        "upper_chest": not arguments.no_upper_chest and (chosen is None or chosen.upper_chest),
        "turned": chosen is not None and chosen.turned,
        "receiver_note": "" if chosen is None or not chosen.note else f"{chosen.title}: {chosen.note}",
        "avatar": arguments.avatar,
        "rig": None if arguments.avatar is None else read_vrm(arguments.avatar),
        "bones": bone_mask(arguments.only, arguments.without),
        "hands": not arguments.no_hands,
        "face": not arguments.no_face,
        "height": arguments.height or DANCER_HEIGHT,
        "web": _listening_address("--web", arguments.web, WEB_PORT),
    }


def _add_dance(parser: ArgumentParser) -> None:
    dance = parser.add_argument_group("dance")
    dance.add_argument(
        "--style", action="append", metavar="NAME", help="style; several, with commas, for several dancers"
    )
    dance.add_argument("--list-styles", action="store_true", help="list the styles of the model")
    dance.add_argument("--model", default="default", metavar="NAME|PATH", help="bundled or exported model")
    dance.add_argument("--provider", choices=PROVIDERS, default="auto", help="what computes (default auto)")
    dance.add_argument(
        "--dancers",
        type=whole_number(1, MAX_DANCERS),
        default=1,
        metavar="N",
        help="how many (default 1); 2 goes to the next port, …",
    )
    dance.add_argument("--together", action="store_true", help="every dancer at the centre, for one-avatar programs")
    dance.add_argument("--seed", type=seed, default=0, metavar="N", help="another seed, another dance (default 0)")
    for name in _CONTROLS[:-1]:
        row = CONTROLS[name]
        limits = ", ".join(row.choices) if row.choices else f"{row.low:g} to {row.high:g} {row.unit}".strip()
        dance.add_argument(
            f"--{name}", type=_control(name), metavar="X", help=f"{row.help}: {limits} (default {row.default})"
        )


def _add_hand(parser: ArgumentParser) -> None:
    hand = parser.add_argument_group("control; in the terminal, ? lists the keys")
    hand.add_argument("--control", metavar="[HOST:]PORT", help="listen for OSC: /dancerev/NAME, see docs/controls.md")
    hand.add_argument(
        "--control-reply", type=whole_number(1, 65535), metavar="PORT", help="where OSC controllers listen for answers"
    )
    hand.add_argument("--midi-control", metavar="NAME", help="MIDI notes and knobs, by part of the port's name")
    hand.add_argument("--cues", type=Path, metavar="FILE.toml", help="what to do at a time, bar or marker")
    hand.add_argument("--quantise", type=_control("quantise"), metavar="WHEN", help="now, beat or bar (default now)")
    hand.add_argument("--settings", type=Path, metavar="FILE.toml", help="options from a file, by the same names")
    hand.add_argument("--save-settings", type=Path, metavar="FILE.toml", help="write the options when the show ends")


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of a settings file.

    Raises:
        InputError: it is no TOML.
    """
    try:
        # A name of a file may have bytes that are no UTF-8; those that have none are read as ever.
        return tomllib.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:  # of the syntax, the encoding, or a number of too many digits
        raise InputError(f"{path}: no TOML ({error})") from None


def settings_arguments(settings: dict[str, Any], path: Path) -> list[str]:
    """Return the settings as they would stand on the command line.

    Raises:
        InputError: a value that no option takes.
    """
    arguments = []
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        if name == "midi":
            continue
        if any("\0" in item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)):
            raise InputError(f"{path}: {name}: a text with a NUL, which no file or address has")
        if value is True:
            arguments.append(option)
        elif value is False:
            arguments += ["--no-preview"] if name == "preview" else []
        elif isinstance(value, list):
            arguments += [f"{option}={item}" for item in value]
        elif isinstance(value, str | int | float):
            arguments.append(f"{option}={value}")
        else:
            raise InputError(f"{path}: {name} is neither a text nor a number")
    return arguments


def parse_arguments(parser: ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line, before those of the settings file that it names."""
    arguments = parser.parse_args(argv)
    if arguments.settings is None:
        _refuse_what_does_nothing(parser, arguments)
        return arguments
    settings = read_settings(arguments.settings)
    merged = parser.parse_args(settings_arguments(settings, arguments.settings))
    no_defaults = argparse.Namespace(**dict.fromkeys(vars(arguments)))  # argparse keeps what is there, even None
    for name, value in vars(parser.parse_args(argv, no_defaults)).items():
        if value is not None:
            setattr(merged, name, value)
    merged.midi_map = settings.get("midi", {})
    _refuse_what_does_nothing(parser, merged)
    return merged


def _refuse_what_does_nothing(parser: ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program where an option was given that does nothing together with the others."""
    protocol = arguments.protocol
    if arguments.input in ("mic", "system"):
        parser.refuse(arguments, "--mute", f"with --input {arguments.input}, which plays nothing")
    if arguments.mute:
        parser.refuse(arguments, "--device", "with --mute")
    if protocol != "vmc":
        needs_vmc = "--receiver --travel --no-upper-chest --only --except"
        parser.refuse(arguments, needs_vmc, f"with --protocol {protocol}")
        if arguments.web is None and arguments.preview is False:
            parser.refuse(arguments, "--avatar", f"with --protocol {protocol} and neither --web nor --preview")
    if protocol != "flat":
        parser.refuse(arguments, "--no-bundles", "without --protocol flat")
    if protocol != "vrchat":
        parser.refuse(arguments, "--height", "without --protocol vrchat")
    if arguments.control is None:
        parser.refuse(arguments, "--control-reply", "without --control")
    if arguments.beat_engine == "link":
        parser.refuse(arguments, "--link", "with --beat-engine link, where the beat comes from")
    if arguments.dancers == 1:
        options = " ".join(f"--{name}" for name in (*_OF_SEVERAL, "together"))
        parser.refuse(arguments, options, "with one dancer")
    if arguments.together:
        parser.refuse(arguments, "--formation", "with --together")


def show_config(arguments: argparse.Namespace) -> ShowConfig:
    """Return the configuration of a show.

    Raises:
        ReceiverError: a receiver that cannot exist.
        InputError: no input, or a MIDI map that is none.
    """
    if arguments.input is None:
        raise InputError("--input is missing: mic, demo, or a music file")
    styles = [name.strip() for text in arguments.style or [] for name in _split_styles(text)]
    midi_map = getattr(arguments, "midi_map", {})
    if not _is_midi_map(midi_map):
        raise InputError(f'{arguments.settings}: [midi] maps "cc 20" or "note 36" (0 to 127) to the name of a control')
    controls = {name: getattr(arguments, name) for name in _CONTROLS if getattr(arguments, name) is not None}
    if arguments.together:
        controls["formation"] = "together"
    controls |= {"offset": arguments.latency_offset, "seed": arguments.seed, "fps": str(arguments.fps)}
    return ShowConfig(
        input=arguments.input,
        device=arguments.device,
        mute=arguments.mute,
        **_avatar_fields(arguments),
        protocol=arguments.protocol,
        bundles=not arguments.no_bundles,
        preview=arguments.preview,
        fps=arguments.fps,
        beat_engine=arguments.beat_engine,
        midi_port=arguments.midi_port,
        link=arguments.link,
        bpm_range=arguments.bpm_range,
        control=_listening_address("--control", arguments.control),
        control_reply=arguments.control_reply,
        midi_control=arguments.midi_control,
        cues=arguments.cues,
        model=arguments.model,
        provider=arguments.provider,
        dancers=arguments.dancers,
        styles=tuple(styles),
        seed=arguments.seed,
        duration=arguments.duration,
        record=arguments.record,
        stats=arguments.stats,
        save_settings=arguments.save_settings,
        controls=controls,
        midi_map=midi_map,
        given={name: value for name, value in vars(arguments).items() if name not in {*_UNSAVED, "midi_map"}},
    )


def _is_midi_map(value: object) -> bool:
    return isinstance(value, dict) and all(
        _MIDI_SOURCE.fullmatch(source) and isinstance(name, str) and name in CONTROLS for source, name in value.items()
    )


def _split_styles(text: str) -> list[str]:
    """Styles of several dancers, with commas; one dancer's weights (``NAME:WEIGHT,…``) stay together."""
    return [text] if ":" in text else text.split(",")


def _listening_address(option: str, text: str | None, default_port: int | None = None) -> tuple[str, int] | None:
    """Host and port of ``PORT`` (on this machine), ``HOST:PORT`` or, where there is a default port, ``HOST``."""
    if text is None:
        return None
    with_port = text.isdigit() or (":" in text and text.rpartition(":")[2].isdigit())
    if default_port is None and not with_port:
        raise InputError(f"{option}: {quoted(text)} has no port; expected PORT or HOST:PORT")
    try:
        return parse_target(f"127.0.0.1:{text}" if text.isdigit() else text, default_port or VMC_PORT)
    except ReceiverError as error:
        raise InputError(f"{option}: {str(error).replace('receiver ', '')}") from None


def write_settings(path: Path, config: ShowConfig, values: Mapping[str, Value], midi_map: Mapping[str, str]) -> None:
    """Write the options that were given, and what the performer made of them, for ``--settings``.

    Args:
        path: a TOML file, which is written over.
        config: of the show.
        values: of the controls, when it ended.
        midi_map: of the MIDI surface; empty without one.

    Raises:
        OSError: it cannot be written.
    """
    settings = {name: value for name, value in config.given.items() if value is not None}
    settings.pop("together", None)  # what it stands for is the value of formation
    alone = _OF_SEVERAL if config.dancers == 1 else ()
    changed = (name for name in _CONTROLS if values[name] != CONTROLS[name].default and name not in alone)
    settings |= {name: values[name] for name in changed}
    settings |= {"seed": values["seed"], "style": values["style"], "latency_offset": values["offset"]}
    settings["fps"] = int(str(values["fps"]))
    settings["bpm_range"] = "{:g}-{:g}".format(*config.bpm_range)
    lines = [f"{name.replace('_', '-')} = {_toml(value)}" for name, value in settings.items()]
    if midi_map:
        lines += ["", "[midi]", *(f"{_toml(source)} = {_toml(name)}" for source, name in midi_map.items())]
    text = "\n".join(lines) + "\n"
    write_text(path, text, "surrogateescape")


def _toml(value: object) -> str:
    """Return a TOML value; JSON's texts are TOML's, but for the delete character."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
