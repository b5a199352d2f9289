"""Keys and OSC reach the show with the moment they came; a button let go does nothing; garbage is survived."""

import os
import pty
import socket
import sys
import termios
import time

import pytest
from pythonosc.udp_client import SimpleUDPClient

from dancerev.errors import ReceiverError
from dancerev.realtime.performance import Controls


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def taken(controls, count, patience=2.0):
    commands, until = [], time.perf_counter() + patience
    while len(commands) < count and time.perf_counter() < until:
        commands += controls.take()
        time.sleep(0.01)
    return commands


@pytest.fixture
def terminal(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def test_osc_messages_of_an_independent_sender(monkeypatch):
    port = free_port()
    monkeypatch.setattr(sys, "stdin", None)
    controls = Controls("127.0.0.1", port)
    client = SimpleUDPClient("127.0.0.1", port)
    before = time.perf_counter()
    client.send_message("/dancerev/tap", 1.0)
    client.send_message("/dancerev/tap", 0.0)  # let go
    client.send_message("/dancerev/one", [])
    client.send_message("/else", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as garbage:
        garbage.sendto(b"/dancerev/half\0\0,q", ("127.0.0.1", port))
        garbage.sendto(os.urandom(100), ("127.0.0.1", port))
    client.send_message("/dancerev/half", 1)
    client.send_message("/dancerev/double", True)
    client.send_message("/dancerev/quit", 1)
    commands = taken(controls, 5)
    assert [command for command, _ in commands] == ["tap", "one", "half", "double", "quit"]
    assert all(before <= moment <= time.perf_counter() for _, moment in commands)
    controls.close()


def test_keys(terminal):
    controls = Controls()
    time.sleep(0.1)
    os.write(terminal, b"t1HxD q")
    assert [command for command, _ in taken(controls, 6)] == ["tap", "one", "half", "double", "tap", "quit"]
    controls.close()


def test_arrows_and_function_keys_are_no_commands(terminal):
    controls = Controls()
    time.sleep(0.1)
    os.write(terminal, b"\x1b[D\x1b[H\x1bOH\x1b[1~\x1b[15~\x1b[1;5C\x1bdq")
    assert [command for command, _ in taken(controls, 2, 0.3)] == ["quit"]
    controls.close()


def test_the_terminal_gets_its_mode_back(terminal):
    before = termios.tcgetattr(terminal)
    controls = Controls()
    time.sleep(0.1)
    assert termios.tcgetattr(terminal) != before
    controls.close()
    assert termios.tcgetattr(terminal) == before


def test_without_terminal_and_address_there_is_nothing_to_wait_for(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    controls = Controls()
    assert list(controls.take()) == []
    controls.close()


def test_an_address_that_is_taken_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ReceiverError, match="cannot listen on 127"):
            Controls("127.0.0.1", other.getsockname()[1])
