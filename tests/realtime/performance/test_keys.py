"""Keys in a terminal reach the show; q asks twice; the terminal gets its mode back."""

import os
import pty
import sys
import termios
import time

import pytest

from dancerev.realtime.performance import CONTROLS, Performance
from dancerev.realtime.performance import keys as keys_module
from dancerev.realtime.performance.keys import KEYS, Keys


def pressed(keys, performance, count, patience=5.0):
    """Names of the controls that were asked for, in order, until there are ``count`` or the patience ends."""
    names, until = [], time.perf_counter() + patience
    stop = performance.subscribe(lambda change: names.append(change.name))
    while len(names) < count and time.perf_counter() < until:
        keys.poll()
        performance.tick()
        time.sleep(0.01)
    stop()
    return names


def wait_for_mode(terminal, before):
    until = time.perf_counter() + 5.0
    while termios.tcgetattr(terminal) == before and time.perf_counter() < until:
        time.sleep(0.01)


@pytest.fixture
def terminal(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


@pytest.fixture
def desk(terminal):
    """Keys that are listened to, their performance, and what they said."""
    before = termios.tcgetattr(terminal)
    performance, said = Performance(), []
    keys = Keys(performance, said.append)
    wait_for_mode(terminal, before)
    yield keys, performance, said
    keys.close()


def test_every_key_asks_for_its_control(terminal, desk):
    keys, performance, _ = desk
    for key, (name, _value) in KEYS.items():
        if name != "quit":
            os.write(terminal, key.encode())
            assert name in pressed(keys, performance, 1), key


def test_capitals_and_unknown_keys(terminal, desk):
    keys, performance, _ = desk
    os.write(terminal, "HxD\u00e4".encode())
    assert pressed(keys, performance, 2) == ["half", "double"]


def test_q_asks_twice(terminal, desk):
    keys, performance, said = desk
    os.write(terminal, b"q")
    assert pressed(keys, performance, 1, 0.5) == []
    assert said == ["press q once more to quit"]
    os.write(terminal, b"q")
    assert pressed(keys, performance, 1) == ["quit"]


def test_the_question_mark_lists_the_keys(terminal, desk):
    keys, performance, said = desk
    os.write(terminal, b"?")
    pressed(keys, performance, 1, 0.5)
    listed = "\n".join(said)
    for row in CONTROLS.values():
        assert not row.key or f" {row.name}: {row.help}" in listed


def test_arrows_and_function_keys_are_no_commands(terminal, desk):
    keys, performance, _ = desk
    os.write(terminal, b"\x1b[D\x1b[H\x1bOH\x1b[1~\x1b[15~\x1b[1;5C\x1bdn")
    assert pressed(keys, performance, 2, 0.5) == ["next"]


@pytest.mark.slow
def test_two_thousand_taps_pasted_are_a_few(terminal, desk):
    keys, performance, _ = desk
    os.write(terminal, b"t" * 2000)
    assert 1 <= len(pressed(keys, performance, 2000, 1.0)) <= 2000 // 64 * 4 + 8


def test_the_terminal_gets_its_mode_back(terminal):
    before = termios.tcgetattr(terminal)
    keys = Keys(Performance(), print)
    wait_for_mode(terminal, before)
    assert termios.tcgetattr(terminal) != before
    keys.close()
    assert termios.tcgetattr(terminal) == before


def test_a_terminal_that_is_closed_ends_the_listening(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        keys = Keys(Performance(), print)
        os.close(ours)
        keys._thread.join(5.0)
        assert not keys._thread.is_alive()
        keys.close()


def test_without_a_terminal_there_is_nothing_to_wait_for(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    keys = Keys(Performance(), print)
    keys.poll()
    keys._thread.join(5.0)
    assert not keys._thread.is_alive()
    keys.close()


class Console:
    """Stands for Windows' msvcrt: keys as they are pressed, arrows as two."""

    def __init__(self, pressed):
        self.pressed = list(pressed)

    def kbhit(self):
        return bool(self.pressed)

    def getwch(self):
        return self.pressed.pop(0)


def test_keys_of_a_windows_console(monkeypatch):
    monkeypatch.setattr(keys_module, "msvcrt", Console(["t", "\xe0", "H", "\0", ";", "f"]))
    performance = Performance()
    keys = Keys(performance, print)
    assert pressed(keys, performance, 2) == ["tap", "freeze"]
    keys.close()
