"""What each control does to a stream: gently where it blends, at once where it shall, and panic undoes it all."""

import time

import numpy as np
import pytest

from dancerev.errors import DancerevError
from dancerev.realtime.audio.clock import AudioClock
from dancerev.realtime.control_actions import ControlActions
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import side_by_side
from dancerev.realtime.performance import CONTROLS, Performance
from dancerev.realtime.show import Show
from dancerev.realtime.stream import DanceStream


class Source:
    """A source whose clock is the wall clock."""

    note, xruns, ended = None, 0, False

    def __init__(self):
        self.clock = AudioClock(time.perf_counter())


class Sink:
    """Takes nothing."""

    def send(self, pose):
        pass


class Desk:
    """Two dancers, their controls, and time that passes by hand."""

    def __init__(self, monkeypatch, styles=()):
        self.now = time.perf_counter()
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        model = DanceModel(dancers=2)
        self.names = model.styles
        self.styles = styles or ("",)
        self.stream = DanceStream(side_by_side(model, self.styles))
        self.show = Show(Source(), self.stream, Sink())
        self.actions = ControlActions(self.show, None, styles)
        self.performance = Performance(self.actions.actions(), self.actions.beat, self.actions.start_values())
        self.answers = []
        self.performance.subscribe(self.answers.append)
        self.stream.begin()

    def set(self, name, value=None):
        self.performance.request(name, value)
        self.performance.tick()

    def wait(self, seconds):
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.performance.tick()
            self.actions.tick()

    def dance(self, frames=1):
        poses = []
        for _ in range(frames):
            poses += self.stream.push(np.zeros(1600, dtype=np.float32))[0]
        return poses


@pytest.fixture
def desk(monkeypatch):
    return Desk(monkeypatch)


def test_every_control_has_an_action_or_is_read_by_others(desk):
    assert set(CONTROLS) - set(desk.actions.actions()) == {"quantise"}


def test_a_style_blends_through_the_weights_between(desk):
    first, second = desk.names[:2]
    desk.set("blend", 0)
    desk.set("style", first)
    desk.wait(0.04)
    desk.set("blend", 2.0)
    desk.set("style", second)
    seen = []
    for _ in range(5):
        seen.append(desk.stream.dancers[1].style[[0, 1]].tolist())
        desk.wait(0.5)
    np.testing.assert_allclose(seen, [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]], atol=0.02)


@pytest.mark.parametrize("style", ["polka", "salsa:x", "salsa:-1", "salsa:1e308,modern:1e308", "99", "9" * 5000])
def test_an_unknown_style_is_refused_and_changes_nothing(desk, style):
    before = [dancer.style.copy() for dancer in desk.stream.dancers]
    desk.set("style", style)
    desk.wait(3.0)
    assert not desk.answers[-1].accepted
    np.testing.assert_array_equal(before, [dancer.style for dancer in desk.stream.dancers])


def test_styles_go_round(desk):
    seen = []
    for _ in range(len(desk.names) + 1):
        desk.set("style", "next")
        seen.append(desk.performance.values["style"])
    assert set(seen) == {*desk.names, "any"}


@pytest.mark.parametrize(
    ("name", "value"), [("vigour", 1.3), ("temperature", 0.2), ("energy_follow", 0.1), ("phrase", 0.9)]
)
def test_a_knob_glides(desk, name, value):
    dancer = desk.stream.dancers[0]
    before = getattr(dancer, name)
    desk.set(name, value)
    desk.wait(1.0)
    assert getattr(dancer, name) == pytest.approx((before + value) / 2, abs=0.03)
    desk.wait(1.5)
    assert getattr(dancer, name) == pytest.approx(value)


def test_the_offset_moves_by_a_tenth_of_the_time(desk):
    desk.set("offset", 100)
    desk.wait(0.5)
    assert desk.stream.dancers[0].lead == pytest.approx(0.05, abs=0.003)
    desk.wait(1.0)
    assert desk.stream.dancers[1].lead == 0.1


def test_the_rate_of_poses_changes_between_frames(desk):
    assert len(desk.dance(2)) == 2 * 2 * 2
    desk.set("fps", 60)
    poses = desk.dance(2)
    assert len(poses) == 2 * 4 * 2
    times = [pose.time for pose in poses if not pose.dancer]
    np.testing.assert_allclose(np.diff(times), 1 / 60, atol=1e-9)


def test_mirror_turns_the_audience_too(desk):
    desk.set("face", 30)
    desk.set("mirror", True)
    assert desk.stream.dancers[0].face == pytest.approx(-np.radians(30))
    desk.set("mirror", False)
    assert desk.stream.dancers[0].face == pytest.approx(np.radians(30))


def test_a_tempo_out_of_range_is_refused(desk):
    for _ in range(4):
        desk.set("half")
    assert "out of --bpm-range" in desk.answers[-1].message


def test_panic_shows_the_rest_pose_next_and_undoes_everything(monkeypatch):
    desk = Desk(monkeypatch, ("salsa", "modern") if "salsa" in DanceModel().styles else tuple(DanceModel().styles[:2]))
    styles = [dancer.style.copy() for dancer in desk.stream.dancers]
    desk.set("style", desk.names[-1])
    for name, value in {"vigour": 0.5, "radius": 5, "freeze": 1, "crew": "mirror", "fps": 60, "offset": 80}.items():
        desk.set(name, value)
    desk.wait(3.0)
    desk.dance(20)
    for dancer in desk.stream.dancers:
        dancer.decoder.place[:] = 1.0
    start = dict(desk.performance._start)
    desk.set("panic", 1)
    poses = desk.dance(1)
    for pose in poses:
        middle = desk.stream.dancers[pose.dancer].middle
        assert np.hypot(*(pose.root - middle)[[0, 2]]) < 0.2
    desk.wait(3.0)
    assert desk.performance.values == start
    np.testing.assert_array_equal(styles, [dancer.style for dancer in desk.stream.dancers])
    assert desk.stream.dancers[0].bounds.radius == desk.performance.values["radius"] == 1.25
    assert desk.stream.dancers[0].lead == 0.0


def test_recording_without_a_recorder_is_refused(desk):
    desk.set("record", "dance.bvh")
    assert not desk.answers[-1].accepted
    desk.set("record", "stop")
    assert desk.answers[-1].accepted


def test_what_is_refused_is_a_users_error(desk):
    action = desk.actions.actions()["learn"]
    with pytest.raises(DancerevError, match="no control"):
        action("volume", 0.0)


def test_a_control_that_the_weights_do_not_know_is_said_once(desk, monkeypatch):
    said = []
    desk.actions.say = said.append
    monkeypatch.setattr(desk.stream.dancers[0].model, "controls", frozenset({"phrase"}))
    for name in ("vigour", "vigour", "phrase", "face"):
        desk.set(name, 0.5)
    assert [line.split(":")[0] for line in said] == ["vigour", "face"]
