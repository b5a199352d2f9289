"""How commands end: a user's mistake is one line, a bug keeps its traceback."""

import io
import signal
import sys

import pytest

from dancerev.command_line import command, deferred_interrupt
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


def test_ctrl_c_is_silent(capsys):
    assert ending(KeyboardInterrupt())() == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ValueError, match="shapes differ"):
        ending(ValueError("shapes differ"))()


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
