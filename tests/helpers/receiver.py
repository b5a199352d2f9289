"""``dancerev-live`` as a user starts it, and an independent receiver of what it sends."""

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time

from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage


class Receiver:
    """Takes datagrams on a port of loopback, a free one by default, and notes when they came."""

    def __init__(self, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        # A busy machine may leave this thread aside for long, and what comes meanwhile has to wait.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        with contextlib.suppress(OSError):  # beyond the system's limit, for who may
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        self.socket.settimeout(0.1)
        self.port = self.socket.getsockname()[1]
        self.datagrams = []
        self.open = True
        self.thread = threading.Thread(target=self.receive)
        self.thread.start()

    def receive(self):
        while self.open:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            self.datagrams.append((time.perf_counter(), data))

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()


def live(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "dancerev.realtime.live", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def notes(err):
    """What a show wrote to stderr, but for its summary and the note that this machine is too busy for it."""
    usual = re.compile(r"poses are left out|^danced \d+:\d\d with ")
    return "".join(line for line in err.splitlines(keepends=True) if not usual.search(line))


def assert_accounted_for(count, statistics, seconds, dancers=1):
    """Every pose of a show at 30 a second was sent or, on a machine that is busy, counted as late.

    Args:
        count: poses that arrived, of all dancers.
        statistics: what ``--stats`` wrote.
        seconds: of sound.
        dancers: how many.
    """
    due = (int(seconds * 15) * 2 + 3) * dancers  # from 0 to a frame after the end
    assert count == statistics["poses_sent"]
    assert due - statistics["late_frames"] <= count <= due


def messages(datagram):
    """(address, type tags, arguments) of every message in a datagram, read by python-osc."""
    for content in OscBundle(datagram):
        assert isinstance(content, OscMessage)
        tags = content.dgram[len(content.address) // 4 * 4 + 4 :].split(b"\0")[0].decode()
        yield content.address, tags, content.params


def frames(datagrams):
    """[(arrival of the last datagram, {address: [(tags, arguments)]})] of the frames that end in Apply."""
    collected, found = {}, []
    for arrival, data in datagrams:
        for address, tags, arguments in messages(data):
            collected.setdefault(address, []).append((tags, arguments))
        if "/VMC/Ext/Blend/Apply" in collected:
            found.append((arrival, collected))
            collected = {}
    return found


class Pacer:
    """Wakes every 1/30 s while it is open and notes how late, which tells how busy the machine is.

    What a show does in real time is held against this, so that no test needs an idle machine.
    """

    def __enter__(self):
        self.late, self.open = [], True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        due = time.perf_counter()
        while self.open:
            due += 1 / 30
            time.sleep(max(due - time.perf_counter(), 0.0))
            self.late.append(time.perf_counter() - due)
            due = max(due, time.perf_counter() - 1 / 30)

    def __exit__(self, *_):
        self.open = False
        self.thread.join()

    def lateness(self, share):
        """Seconds that ``share`` (0 … 1) of the wake-ups do not exceed."""
        return sorted(self.late)[int(share * (len(self.late) - 1))]
