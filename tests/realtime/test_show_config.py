"""Options come from the command line and a settings file; what is saved is what is read back."""

import os
from pathlib import Path

import pytest

from dancerev.errors import DancerevError
from dancerev.realtime.performance import CONTROLS
from dancerev.realtime.show_config import live_parser, parse_arguments, show_config, write_settings


def config(*arguments):
    return show_config(parse_arguments(live_parser(""), ["--input", "demo", *map(str, arguments)]))


def test_the_settings_stand_where_the_command_line_says_nothing(tmp_path):
    path = tmp_path / "show.toml"
    path.write_text(
        'style = "salsa"\nseed = 7\nosc = ["10.0.0.1:1", "10.0.0.2:2"]\nmute = true\npreview = false\n'
        'bpm-range = "80-160"\n'
        'vigour = 0.5\n[midi]\n"cc 1" = "vigour"\n'
    )
    read = config("--settings", path, "--seed", "9")
    assert read.styles == ("salsa",)
    assert read.seed == 9
    assert read.receivers == (("10.0.0.1", 1), ("10.0.0.2", 2))
    assert (read.mute, read.preview, read.bpm_range) == (True, False, (80.0, 160.0))
    assert read.controls["vigour"] == 0.5
    assert read.midi_map == {"cc 1": "vigour"}


def test_what_is_saved_is_read_back(tmp_path):
    path = tmp_path / "saved.toml"
    first = config(
        "--osc", "10.0.0.1:1", "--style", 'odd "name" \\', "--bpm-range", "80-160", "--fps", "60", "--dancers", 2
    )
    values = {name: first.controls.get(name) for name in ("seed", "offset", "fps")} | {"style": 'odd "name" \\'}
    values |= {"vigour": 1.2, "temperature": 1.0, "phrase": 0.5, "face": 0.0, "radius": 2.5, "crew": "canon"}
    values |= {"canon": 2.0, "formation": "line", "quantise": "now"}
    write_settings(path, first, values, {"cc 7": "radius"})
    again = config("--settings", path)
    for name in ("receivers", "styles", "bpm_range", "fps", "dancers"):
        assert getattr(again, name) == getattr(first, name)
    assert (again.controls["vigour"], again.controls["crew"]) == (1.2, "canon")
    assert again.midi_map == {"cc 7": "radius"}


def test_the_command_line_wins_with_the_value_of_a_default_too(tmp_path):
    path = tmp_path / "show.toml"
    path.write_text('seed = 7\nfps = 60\nosc = ["10.0.0.1:1"]\nlatency-offset = 20\nbpm-range = "80-160"\n')
    read = config("--settings", path, "--seed", 0, "--fps", 30, "--osc", "10.0.0.2:2", "--latency-offset", 0)
    assert (read.seed, read.fps, read.receivers) == (0, 30, (("10.0.0.2", 2),))
    assert read.controls["offset"] == 0.0
    assert read.bpm_range == (80.0, 160.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("style = [", "no TOML"),
        ("a = " + "[" * 5000, "no TOML"),
        (f"seed = 1{'0' * 5000}", "no TOML"),
        ('record = "a\\u0000b.npz"', "record: a text with a NUL"),
        ('osc = ["a\\u0000b:1"]', "osc: a text with a NUL"),
        (f"seed = 1{'0' * 4000}", "is not a whole number from 0 to 4294967295"),
        ("duration = 1e308", "'1e+308' is not a number of seconds above 0 and within a year"),
        ("style = {a = 1}", "neither a text nor a number"),
        ("speed = 1", "unrecognized"),
        ("vigour = 9", "not a number from 0 to 1.5"),
        ('[midi]\n"cc 1" = "volume"', "name of a control"),
        ("midi = 3", "name of a control"),
        ('[midi]\n"cc 128" = "vigour"', "0 to 127"),
        ('[midi]\n"note 1 2" = "vigour"', "0 to 127"),
        ('[midi]\n"cc one" = "vigour"', "0 to 127"),
        ('[midi]\nvigour = "cc 1"', "0 to 127"),
        ('[midi]\n"cc 1" = ["vigour"]', "0 to 127"),
    ],
)
def test_bad_settings_are_named_in_one_line(tmp_path, text, reason, capsys):
    path = tmp_path / "show.toml"
    path.write_text(text)
    with pytest.raises((DancerevError, SystemExit)) as error:
        config("--settings", path)
    message = capsys.readouterr().err.strip() or str(error.value)
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "address"), [("9000", ("127.0.0.1", 9000)), ("0.0.0.0:9000", ("0.0.0.0", 9000)), ("[::1]:9", ("::1", 9))]
)
def test_control_listens_on_this_machine_unless_told(text, address):
    assert config("--control", text).control == address
    assert config("--web", text).web == address


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--web 99999", "--web: port 99999 is out of range"),
        ("--web here:x", "--web: 'here:x': port 'x' is not a number"),
        ("--control here", "--control: 'here' has no port"),
        ("--control 9000 --control-reply 99999", "'99999' is not a whole number from 1 to 65535"),
    ],
)
def test_an_address_to_listen_on_that_cannot_be_is_named_with_its_option(options, complaint, capsys):
    with pytest.raises((DancerevError, SystemExit)) as error:
        config(*options.split())
    message = capsys.readouterr().err.strip() or str(error.value)
    assert complaint in message
    assert "receiver" not in message


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--height 1.75", "--height does nothing without --protocol vrchat"),
        ("--protocol flat --height 1.75", "--height does nothing without --protocol vrchat"),
        ("--no-bundles", "--no-bundles does nothing without --protocol flat"),
        ("--protocol flat --travel root", "--travel does nothing with --protocol flat"),
        ("--protocol flat --only legs", "--only does nothing with --protocol flat"),
        ("--protocol vrchat --except face", "--except does nothing with --protocol vrchat"),
        ("--protocol vrchat --no-upper-chest", "--no-upper-chest does nothing with --protocol vrchat"),
        ("--protocol vrchat --receiver warudo", "--receiver does nothing with --protocol vrchat"),
        ("--protocol flat --no-preview --avatar me.vrm", "--avatar does nothing with --protocol flat and neither"),
        ("--control-reply 9001", "--control-reply does nothing without --control"),
        ("--mute --device 1", "--device does nothing with --mute"),
        ("--input mic --mute", "--mute does nothing with --input mic"),
        ("--input system --mute", "--mute does nothing with --input system"),
        ("--beat-engine link --link", "--link does nothing with --beat-engine link"),
        ("--crew canon", "--crew does nothing with one dancer"),
        ("--canon 4", "--canon does nothing with one dancer"),
        ("--formation v", "--formation does nothing with one dancer"),
        ("--together", "--together does nothing with one dancer"),
        ("--dancers 2 --together --formation v", "--formation does nothing with --together"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused_in_one_line(options, why, capsys):
    with pytest.raises(SystemExit) as ended:
        config(*options.split())
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert why in error
    assert error.count("\n") == 1


def test_a_name_that_is_no_utf_8_comes_back_from_the_settings(tmp_path):
    name = os.fsdecode(b"\xff caf\xc3\xa9.toml")
    first = config("--cues", name)
    values = {control: CONTROLS[control].default for control in CONTROLS}
    write_settings(tmp_path / "saved.toml", first, values | {"style": "salsa"}, {})
    assert config("--settings", tmp_path / "saved.toml").cues == Path(name)


def test_a_settings_file_that_a_show_saved_is_never_refused(tmp_path):
    """Its performer has pressed keys that do nothing with one dancer, and moved those who stood together."""
    path = tmp_path / "saved.toml"
    for options, formation in (((), "line"), (("--dancers", 3, "--together"), "v")):
        first = config(*options)
        values = {name: control.default for name, control in CONTROLS.items()} | {"style": "salsa"}
        write_settings(path, first, values | {"crew": "canon", "canon": 4.0, "formation": "v"}, {})
        assert config("--settings", path).controls.get("formation", "line") == formation
