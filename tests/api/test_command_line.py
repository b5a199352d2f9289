"""How commands end: a user's mistake is one line, a bug keeps its traceback."""

import argparse
import io
import signal
import sys

import pytest

from dancerev.command_line import command, deferred_interrupt, seconds, seed, whole_number
from dancerev.errors import DancerevError, ModelError


def ending(error):
    @command("dancerev-x")
    def main():
        raise error

    return main


@pytest.mark.parametrize("error", [DancerevError("no"), ModelError("no"), FileNotFoundError("no")])
def test_a_users_mistake_is_one_line(error, capsys):
    assert ending(error)() == 2
    assert capsys.readouterr().err == "dancerev-x: no\n"


@pytest.mark.parametrize("name", [None, "dance.npz"])
def test_the_systems_number_of_an_error_is_not_shown(name, capsys):
    assert ending(OSError(28, "No space left on device", name))() == 2
    place = "" if name is None else f"{name}: "
    assert capsys.readouterr().err == f"dancerev-x: {place}No space left on device\n"


def test_ctrl_c_is_silent(capsys):
    assert ending(KeyboardInterrupt())() == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ValueError, match="shapes differ"):
        ending(ValueError("shapes differ"))()


@pytest.mark.parametrize(
    ("parse", "text", "taken"),
    [
        (seed, str(2**32 - 1), 2**32 - 1),
        (seed, str(2**32), None),
        (whole_number(1), "0", None),
        (whole_number(1), "1" + 30 * "0", None),
        (whole_number(1), 5000 * "9", None),
        (whole_number(1, 3), "3", 3),
        (whole_number(1, 3), "4", None),
        (seconds, "0.5", 0.5),
        (seconds, "1e308", None),
        (seconds, "inf", None),
        (seconds, 5000 * "9", None),
    ],
)
def test_numbers_have_bounds(parse, text, taken):
    if taken is not None:
        assert parse(text) == taken
        return
    with pytest.raises(argparse.ArgumentTypeError) as error:
        parse(text)
    assert len(str(error.value)) < 120


def test_text_that_the_terminal_lacks_is_escaped(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)

    @command("dancerev-x")
    def main():
        print("ダンス.npz")
        return 0

    assert main() == 0
    terminal.flush()
    assert b"\\u30c0" in terminal.buffer.getvalue()


def test_a_closed_stderr_changes_no_exit_code(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert ending(ModelError("no"))() == 2


def test_an_interrupt_waits_for_the_end_of_the_body():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    done = []

    def interrupted():
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_that_ends_the_program_lets_it_clean_up(name, capsys):
    number = getattr(signal, name)
    signal.signal(number, signal.SIG_DFL)
    done = []

    @command("dancerev-x")
    def main():
        try:
            with deferred_interrupt():
                signal.raise_signal(number)
                done.append("body")
        finally:
            signal.raise_signal(number)  # as ``timeout`` does, to the program and to its group
            done.append("cleaned")
        return 0

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 128 + number
    assert done == ["body", "cleaned"]
    assert signal.getsignal(number) is signal.SIG_DFL
    assert capsys.readouterr() == ("", "")
