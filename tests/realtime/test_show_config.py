"""Options come from the command line and a settings file; what is saved is what is read back."""

import pytest

from dancerev.errors import DancerevError
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
    first = config("--osc", "10.0.0.1:1", "--style", 'odd "name" \\', "--bpm-range", "80-160", "--mute", "--fps", "60")
    values = {name: first.controls.get(name) for name in ("seed", "offset", "fps")} | {"style": 'odd "name" \\'}
    values |= {"vigour": 1.2, "temperature": 1.0, "phrase": 0.5, "face": 0.0, "radius": 2.5, "crew": "canon"}
    values |= {"canon": 2.0, "formation": "line", "quantise": "now"}
    write_settings(path, first, values, {"cc 7": "radius"})
    again = config("--settings", path)
    assert (again.receivers, again.styles, again.bpm_range, again.mute, again.fps) == (
        first.receivers,
        first.styles,
        first.bpm_range,
        True,
        60,
    )
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
