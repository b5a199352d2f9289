"""A show played by OSC, by keys and by a cue list, and what an independent receiver sees of it."""

import contextlib
import os
import pty
import re
import socket
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.udp_client import SimpleUDPClient
from receiver import Pacer, Receiver, frames, live

from dancerev.clients.vmc import to_unity
from dancerev.model import rotation
from dancerev.model.skeleton import BONES, forward_kinematics
from dancerev.realtime.performance import CONTROLS

DANCERS = 3
FASTEST = 16.0  # m/s of a joint between two shown poses, see MAX_JOINT_SPEED


def free_port(count=1):
    """The first of ``count`` UDP ports in sequence that are free."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                for k in range(1, count):
                    other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    other.bind(("127.0.0.1", port + k))
            except OSError:
                continue
            return port


class Desk(SimpleUDPClient):
    """A controller with two-way OSC: sends, and keeps the answers."""

    def __init__(self, port):
        super().__init__("127.0.0.1", port)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(0.2)
        self.values = {}

    def listen(self, seconds=0.3):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            with contextlib.suppress(TimeoutError):
                message = OscMessage(self._sock.recv(65536))
                name = message.address.removeprefix("/dancerev/")
                self.values[name] = message.params[0]

    def set(self, name, *values, wait=5.0):
        """Send, and wait until the show answers; the moment when it was sent."""
        self.values.pop(name, None)
        sent = time.perf_counter()
        self.send_message(f"/dancerev/{name}", list(values))
        until = sent + wait
        while name not in self.values and time.perf_counter() < until:
            self.listen(0.05)
        assert name in self.values, f"no answer to {name}; {self.values.get('error')}"
        return sent


class Audience:
    """Receivers of all dancers; what they show as arrays."""

    def __init__(self):
        self.port = free_port(DANCERS)
        self.receivers = [Receiver(self.port + k) for k in range(DANCERS)]
        self.read = [(0, []) for _ in range(DANCERS)]  # datagrams read, and the frames in them

    def frames(self, dancer):
        """All frames of a dancer so far; each datagram is read once."""
        count, found = self.read[dancer]
        datagrams = self.receivers[dancer].datagrams
        last = next(
            (k for k in range(len(datagrams), count, -1) if b"/VMC/Ext/Blend/Apply" in datagrams[k - 1][1]), count
        )
        found += frames(datagrams[count:last])
        self.read[dancer] = last, found
        return found

    def close(self):
        for receiver in self.receivers:
            receiver.close()

    def shown(self, dancer, since=0.0):
        """Arrivals (T,), rotations (T, 22, 4) and root (T, 3) of a dancer."""
        found = [(when, frame) for when, frame in self.frames(dancer) if when >= since]
        bones = [{a[0]: a[1:] for _, a in frame["/VMC/Ext/Bone/Pos"]} for _, frame in found]
        values = np.array([[bone[name] for name in BONES] for bone in bones])
        rotations, roots = to_unity(values[:, :, 3:], values[:, 0, :3])
        return np.array([when for when, _ in found]), rotations, roots

    def together(self, dancers):
        """Rotations (dancers, 22, 4) of the last moment that several of them have in common."""
        seen = []
        for dancer in dancers:
            _, rotations, _ = self.shown(dancer)
            stamps = [frame["/VMC/Ext/T"][0][1][0] for _, frame in self.frames(dancer)]
            seen.append(dict(zip(stamps, rotations, strict=False)))
        last = max(set.intersection(*map(set, seen)))
        return np.array([each[last] for each in seen])

    def last(self, dancer):
        _, rotations, roots = self.shown(dancer, time.perf_counter() - 1.0)
        return rotations[-1], roots[-1]


def moves(rotations, roots, joints=slice(None)):
    """Metres (T - 1,) by which the fastest joint moves from pose to pose."""
    positions, _ = forward_kinematics(rotations, roots)
    return np.linalg.norm(np.diff(positions[:, joints], axis=0), axis=-1).max(axis=1)


ARMS = [BONES.index(f"{side}{part}Arm") for side in ("Left", "Right") for part in ("Upper", "Lower")]
UPPER = [BONES.index(name) for name in ("Head", "LeftHand", "RightHand")]


@contextlib.contextmanager
def running(*arguments, audience):
    control = free_port()
    process = live(
        *("--input", "demo", "--mute", "--no-preview", "--no-hands", "--no-face", "--dancers", DANCERS),
        *("--osc", f"127.0.0.1:{audience.port}", "--control", f"127.0.0.1:{control}", *arguments),
    )
    before = len(audience.receivers[0].datagrams)
    try:
        while len(audience.receivers[0].datagrams) == before and process.poll() is None:
            time.sleep(0.05)
        yield process, Desk(control)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.fixture
def audience():
    audience = Audience()
    yield audience
    audience.close()


@pytest.mark.slow
def test_a_show_over_osc_touches_every_control(audience, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where recordings go that are asked for over the network
    with Pacer() as pacer, running(audience=audience) as (_, desk):
        begun = time.perf_counter()
        desk.send_message("/dancerev/refresh", [])
        desk.listen(1.0)
        touched = set(desk.values)
        assert touched >= {name for name, row in CONTROLS.items() if row.kind != "trigger"}
        time.sleep(6.0)
        slack = 0.1 + 3.0 * pacer.lateness(0.98)

        # freeze: within 100 ms nobody moves but to breathe
        sent = desk.set("freeze", 1)
        time.sleep(1.5)
        for dancer in range(DANCERS):
            arrivals, rotations, roots = audience.shown(dancer, sent)
            moving = moves(rotations, roots, UPPER) > 0.01  # feet are still being planted
            assert arrivals[1:][moving].max(initial=sent) - sent <= slack
        desk.set("freeze", 0)
        time.sleep(1.0)
        arrivals, rotations, roots = audience.shown(0, time.perf_counter() - 0.8)
        assert moves(rotations, roots).max() > 0.01

        desk.set("crew", "unison")
        time.sleep(5.0)
        turns = audience.together([0, 1])[:, ARMS]  # legs are planted, each for itself
        assert abs(np.sum(turns[0] * turns[1], axis=-1)).min() > 0.98
        desk.set("crew", "mirror")
        desk.set("crew", "canon")
        desk.set("canon", 1.0)
        desk.set("formation", "circle")
        time.sleep(3.0)
        desk.set("formation", "line")
        desk.set("crew", "free")

        desk.set("fps", "60")
        time.sleep(2.0)
        stamps = [frame["/VMC/Ext/T"][0][1][0] for _, frame in audience.frames(0)[-30:]]
        assert np.median(np.diff(stamps)) == pytest.approx(1 / 60, abs=1e-3)
        desk.set("fps", "30")

        for name, value in {
            "style": "any",
            "blend": 1.0,
            "vigour": 0.8,
            "energy_follow": 0.5,
            "temperature": 0.7,
            "phrase": 0.6,
            "seed": 5,
            "mirror": 1,
            "face": 20.0,
            "radius": 3.0,
            "offset": 50.0,
            "nudge": 15.0,
            "hold": 1,
            "marker": "drop",
            "learn": "vigour",
            "quantise": "beat",
        }.items():
            desk.set(name, value)
            assert desk.values[name] == (value if isinstance(value, str) else pytest.approx(value))
        desk.set("quantise", "now")
        for name in ("tap", "one", "next", "centre"):
            desk.set(name)
        desk.send_message("/dancerev/half", [])
        desk.listen()
        desk.set("double")

        desk.set("record", "show.npz")
        twiddle(desk, begun + 50.0)
        desk.set("formation", "line")
        desk.set("record", "stop")

        sent = desk.set("rest", 1)
        time.sleep(2.0)
        rotations, _ = audience.last(1)
        heading = rotation.multiply(rotation.from_yaw(-rotation.yaw_of(rotations[0])), rotations[0])
        assert abs(heading[3]) > 0.99  # upright
        desk.set("blackout", 1)
        time.sleep(4.0)
        _, root = audience.last(0)
        np.testing.assert_allclose(root[[0, 2]], [-2.5, 0.0], atol=0.02)
        before_panic = time.perf_counter()
        desk.send_message("/dancerev/vigour", 99.0)  # refused
        desk.listen()
        assert "99" in desk.values["error"]
        desk.set("panic", 1)
        desk.send_message("/dancerev/refresh", [])
        desk.listen(1.0)
        assert (desk.values["vigour"], desk.values["blackout"], desk.values["mirror"]) == (1.0, 0, 0)
        assert time.perf_counter() - begun > 60.0 - 5.0
        desk.set("quit")
    recorded = list(tmp_path.glob("*.npz"))
    assert len(recorded) == DANCERS
    assert all(len(np.load(path)["root"]) > 60 for path in recorded)
    for dancer in range(DANCERS):
        arrivals, rotations, roots = audience.shown(dancer)
        assert np.isfinite(rotations).all()
        moved = moves(rotations, roots)
        steps = np.diff([frame["/VMC/Ext/T"][0][1][0] for _, frame in audience.frames(dancer)])
        fastest = (moved / np.maximum(steps, 1e-3))[arrivals[1:] < before_panic]
        assert fastest.max() < FASTEST
    gaps = np.diff(audience.shown(0)[0])
    assert np.percentile(gaps, 99) < 1 / 29 + 0.01 + 3.0 * pacer.lateness(0.99)


def twiddle(desk, until):
    """Turn a knob or press a button at random, three times a second; the show answers what it took."""
    rng = np.random.default_rng(0)
    knobs = ["vigour", "temperature", "phrase", "seed", "mirror", "face", "radius", "crew", "formation", "offset"]
    while time.perf_counter() < until:
        control = CONTROLS[knobs[int(rng.integers(len(knobs)))]]
        value = control.scaled(float(rng.random()))
        value = int(value) if isinstance(value, bool) else value
        desk.set(control.name, value)
        assert desk.values[control.name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-3))
        time.sleep(0.3)


SHOW = {"vigour": 0.8, "mirror": True, "crew": "unison", "freeze": True, "formation": "v"}
"""What every surface is to bring about."""


def state_of(desk):
    desk.send_message("/dancerev/refresh", [])
    desk.listen(1.0)
    return {name: desk.values.get(name) for name in SHOW}


def expected():
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in SHOW.items()}


@pytest.mark.slow
def test_the_same_show_by_a_cue_list_and_its_settings_are_saved(audience, tmp_path):
    (tmp_path / "cues.toml").write_text(
        "[[cue]]\nat = 1.0\nvigour = 0.8\nmirror = true\n"
        '[[cue]]\nbar = 2\ncrew = "unison"\nfreeze = true\n'
        '[[cue]]\nmarker = "drop"\nformation = "v"\n'
    )
    saved = tmp_path / "saved.toml"
    with running("--cues", tmp_path / "cues.toml", "--save-settings", saved, audience=audience) as (_, desk):
        desk.set("marker", "drop")
        until = time.perf_counter() + 20.0
        while state_of(desk) != expected() and time.perf_counter() < until:
            pass
        assert state_of(desk) == expected()
    settings = tomllib.loads(saved.read_text())
    assert (settings["vigour"], settings["crew"], settings["formation"]) == (0.8, "unison", "v")
    with running("--settings", saved, audience=audience) as (_, desk):
        again = state_of(desk)
    assert (again["vigour"], again["crew"], again["formation"]) == (pytest.approx(0.8), "unison", "v")


@pytest.mark.slow
def test_the_same_show_by_keys(audience):
    """In a terminal of its own; the desk only reads what the keys brought about."""
    ours, theirs = pty.openpty()
    control = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "dancerev.realtime.live", "--input", "demo", "--mute", "--no-preview"]
        + ["--dancers", str(DANCERS), "--osc", f"127.0.0.1:{audience.port}", "--control", f"127.0.0.1:{control}"],
        stdin=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    while not audience.receivers[0].datagrams and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    desk = Desk(control)
    for key in b"--mwfo":
        os.write(ours, bytes([key]))
        time.sleep(0.3)
        os.read(ours, 65536)
    assert state_of(desk) == expected()
    os.write(ours, b"q")
    time.sleep(0.3)
    assert b"once more" in os.read(ours, 65536)
    os.write(ours, b"q")
    try:
        assert process.wait(timeout=10) == 0
        screen = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search(rb"danced 0:\d\d with 3 dancers", screen)
