"""OSC controllers: whatever they send is read or ignored, and every one of them sees every change."""

import os
import socket
import struct
import time

import pytest
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

from dancerev.errors import ReceiverError
from dancerev.realtime.performance import Performance, osc_control
from dancerev.realtime.performance.osc_control import OscControl


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Controller:
    """Sends bytes and takes answers, which python-osc reads."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.target = ("127.0.0.1", port)

    def send(self, address, *values):
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        self.socket.sendto(builder.build().dgram, self.target)

    def answers(self):
        found = {}
        try:
            while True:
                message = OscMessage(self.socket.recv(65536))
                found[message.address] = message.params
        except TimeoutError:
            return found


@pytest.fixture
def desk():
    """A performance, the surface, its port, and the answers so far."""
    performance, answers, port = Performance(), [], free_port()
    performance.subscribe(answers.append)
    surface = OscControl(performance, "127.0.0.1", port)
    yield performance, surface, port, answers
    surface.close()


def until(performance, wanted, patience=5.0):
    end = time.perf_counter() + patience
    while not wanted() and time.perf_counter() < end:
        performance.tick()
        time.sleep(0.005)
    assert wanted()


def test_messages_of_an_independent_sender(desk):
    performance, _, port, answers = desk
    client = SimpleUDPClient("127.0.0.1", port)
    client.send_message("/dancerev/vigour", 0.5)
    client.send_message("/dancerev/tap", 0.0)  # let go
    client.send_message("/dancerev/freeze", True)
    client.send_message("/dancerev/style", "salsa")
    client.send_message("/dancerev/fps", 60)
    client.send_message("/else", 1)
    client.send_message("/dancerev/one", [])
    until(performance, lambda: len(answers) >= 5)
    got = {answer.name: answer.value for answer in answers}
    assert got == {"vigour": 0.5, "freeze": True, "style": "salsa", "fps": "60", "one": None}
    assert all(answer.surface.startswith("osc 127.0.0.1:") for answer in answers)


def test_bundles_patterns_and_messages_without_type_tags(desk):
    performance, _, port, answers = desk
    bundle = OscBundleBuilder(time.time() + 3600)  # of the future; time tags are ignored
    for address in ("/dancerev/{freeze,rest}", "/dancerev/mir*"):
        builder = OscMessageBuilder(address)
        builder.add_arg(1)
        bundle.add_content(builder.build())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bundle.build().dgram, ("127.0.0.1", port))
        sender.sendto(b"/dancerev/one\0\0\0", ("127.0.0.1", port))
        sender.sendto(b"/dancerev/vigour\0\0\0\0" + struct.pack(">f", 0.25), ("127.0.0.1", port))
    until(performance, lambda: len(answers) >= 5)
    assert {answer.name for answer in answers} == {"freeze", "rest", "mirror", "one", "vigour"}
    assert performance.values["vigour"] == 0.25


def test_when_may_be_said_last(desk):
    performance, _, port, answers = desk
    Controller(port).send("/dancerev/vigour", 0.5, "bar")
    until(performance, lambda: answers)
    assert performance.values["vigour"] == 0.5  # without a beat nothing waits


def test_damage_is_quiet_and_does_not_last(desk, capfd):
    performance, surface, port, answers = desk
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for size in (1, 4, 100, 1400):
            sender.sendto(os.urandom(size), ("127.0.0.1", port))
        sender.sendto(b"#bundle\0" + struct.pack(">Qi", 1, -4) + b"/a\0\0,\0\0\0", ("127.0.0.1", port))
        sender.sendto(b"#bundle\0" * 100, ("127.0.0.1", port))
        sender.sendto(b"/dancerev/" + b"*" * 200 + b"\0\0", ("127.0.0.1", port))
    Controller(port).send("/dancerev/vigour", 0.5)
    until(performance, lambda: answers)
    assert performance.values["vigour"] == 0.5
    assert surface.ignored == 7
    assert capfd.readouterr() == ("", "")


def test_two_controllers_see_each_others_changes_and_their_own_mistakes(desk):
    performance, _, port, answers = desk
    one, two = Controller(port), Controller(port)
    two.send("/dancerev/refresh")
    time.sleep(0.2)
    shown = two.answers()
    assert shown["/dancerev/vigour"] == [1.0]
    assert shown["/dancerev/crew"] == ["free"]
    one.send("/dancerev/vigour", 0.75)
    until(performance, lambda: answers)
    time.sleep(0.2)
    assert one.answers() == two.answers() == {"/dancerev/vigour": [0.75]}
    two.send("/dancerev/crew", "duet")
    until(performance, lambda: len(answers) >= 2)
    time.sleep(0.2)
    assert "duet" in two.answers()["/dancerev/error"][0]


def test_answers_go_to_another_port_where_asked():
    performance, port = Performance(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5.0)
        surface = OscControl(performance, "127.0.0.1", port, listener.getsockname()[1])
        Controller(port).send("/dancerev/refresh")
        assert OscMessage(listener.recv(65536)).address.startswith("/dancerev/")
        surface.close()


@pytest.mark.slow
def test_a_flood_is_cut_and_the_last_word_counts(desk, monkeypatch):
    """Two seconds of datagrams as fast as they can be sent: few are read, and a later one is still understood."""
    performance, surface, port, _ = desk
    read = []
    take = surface._take
    monkeypatch.setattr(surface, "_take", lambda *arguments: (read.append(1), take(*arguments)))
    sender = Controller(port)
    began = time.perf_counter()
    while time.perf_counter() - began < 2.0:
        for k in range(100):
            sender.send("/dancerev/vigour", k / 100)
        performance.tick()
    most = osc_control.MOST_DATAGRAMS * (time.perf_counter() - began + 0.2) / osc_control.PER_SECONDS
    assert len(read) <= most
    time.sleep(0.2)
    sender.send("/dancerev/vigour", 1.25)
    until(performance, lambda: performance.values["vigour"] == 1.25)


def test_a_bundle_of_refreshes_is_answered_once(desk, monkeypatch):
    performance, surface, port, _ = desk
    sent = []
    monkeypatch.setattr(surface, "_send", lambda message, addresses: sent.extend(addresses if message else []))
    bundle = OscBundleBuilder(0)
    for _ in range(150):
        bundle.add_content(OscMessageBuilder("/dancerev/refresh").build())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bundle.build().dgram, ("127.0.0.1", port))
        until(performance, lambda: sent)
        time.sleep(4 * osc_control.PER_SECONDS)
    assert len(sent) <= len(performance.values)


def test_an_address_that_is_taken_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ReceiverError, match="cannot listen on '127"):
            OscControl(Performance(), "127.0.0.1", other.getsockname()[1])
