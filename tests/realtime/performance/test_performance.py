"""A request from any surface is parsed by the table, waits for the beat where it shall, acts once, and is answered."""

import json
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dancerev.errors import InputError
from dancerev.model.features import BeatState
from dancerev.realtime.performance import CONTROLS, Performance
from dancerev.realtime.performance.performance import MOST_TAPS


class Desk:
    """A performance whose actions note what they were asked, and its answers."""

    def __init__(self, beat=lambda: None, values=None):
        self.done, self.answers = [], []

        def action(name):
            return lambda value, moment: self.done.append((name, value)) or value

        self.performance = Performance({name: action(name) for name in CONTROLS}, beat, values)
        self.performance.subscribe(self.answers.append)

    def ask(self, *arguments, **keywords):
        self.performance.request(*arguments, **keywords)
        self.performance.tick()


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("freeze", "0", False),
        ("freeze", 0.0, False),
        ("freeze", False, False),
        ("freeze", "off", False),
        ("freeze", "1", True),
        ("freeze", 1.0, True),
        ("freeze", "On", True),
        ("freeze", None, True),  # toggles
        ("vigour", "0.5", 0.5),
        ("vigour", 1, 1.0),
        ("vigour", True, 1.0),
        ("vigour", "+", 1.1),
        ("fps", 60.0, "60"),
        ("fps", "60", "60"),
        ("fps", None, "60"),  # the next choice
        ("crew", "Canon", "canon"),
        ("seed", 7.0, 7),
        ("style", " salsa ", "salsa"),
    ],
)
def test_what_a_surface_sends_is_read_by_the_table(name, raw, value):
    desk = Desk()
    desk.ask(name, raw, "test")
    assert desk.done == [(name, pytest.approx(value))]
    assert desk.performance.values[name] == pytest.approx(value)
    (answer,) = desk.answers
    assert (answer.name, answer.accepted, answer.surface) == (name, True, "test")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("vigour", 1.6),
        ("vigour", -0.1),
        ("vigour", float("nan")),
        ("vigour", "loud"),
        ("vigour", None),
        ("vigour", [1]),
        ("seed", 1.5),
        ("seed", 10**400),
        ("crew", "duet"),
        ("freeze", "perhaps"),
        ("style", "x" * 2000),
        ("style", "a\nb"),
        ("tap", "maybe"),
        ("volume", 1),
    ],
)
def test_a_bad_value_is_refused_with_a_line_and_changes_nothing(name, raw):
    desk = Desk()
    before = desk.performance.values
    desk.ask(name, raw)
    (answer,) = desk.answers
    assert not answer.accepted
    assert name in answer.message
    assert "\n" not in answer.message
    assert desk.done == []
    assert desk.performance.values == before
    assert desk.performance.refused == 1


@pytest.mark.parametrize("raw", [0, 0.0, False, "0", "off", ""])
def test_a_button_let_go_does_nothing(raw):
    desk = Desk()
    desk.ask("tap", raw)
    assert desk.done == desk.answers == []


def test_an_action_may_refuse():
    def refuse(value, moment):
        raise InputError("style: unknown")

    performance, answers = Performance({"style": refuse}), []
    performance.subscribe(answers.append)
    performance.request("style", "polka")
    performance.tick()
    assert (answers[0].accepted, answers[0].message, answers[0].value) == (False, "style: unknown", "")


def test_a_system_error_of_an_action_is_a_refusal():
    def full(value, moment):
        raise OSError(28, "No space left on device", value)

    performance, answers = Performance({"record": full}), []
    performance.subscribe(answers.append)
    performance.request("record", "show.npz")
    performance.tick()
    assert (answers[0].accepted, answers[0].message) == (False, "record: No space left on device")
    assert performance.values["record"] == "stop"


@pytest.mark.parametrize("surface", ["osc 10.0.0.9:9000", "web"])
@pytest.mark.parametrize("name", ["/etc/show.npz", "../show.npz", "a/b.npz", "..\\show.npz", "C:show.npz"])
def test_over_the_network_a_recording_goes_into_the_current_folder(surface, name):
    desk = Desk()
    desk.ask("record", name, surface)
    assert not desk.answers[-1].accepted
    assert "bare file name" in desk.answers[-1].message
    assert desk.done == []
    for allowed in ("show.npz", "start", "stop"):
        desk.ask("record", allowed, surface)
    desk.ask("record", name, "cues")
    assert [value for _, value in desk.done] == ["show.npz", "start", "stop", name]


class Surface:
    """Notes that it was polled and closed, and may fail in both."""

    def __init__(self, fails):
        self.fails, self.calls = fails, []

    def poll(self):
        self.calls.append("poll")
        if self.fails:
            raise RuntimeError("pulled out")

    def close(self):
        self.calls.append("close")
        if self.fails:
            raise RuntimeError("pulled out")


def test_a_failing_surface_or_listener_harms_no_other(caplog):
    def fail(change):
        raise RuntimeError("closed")

    performance, answers = Performance(), []
    performance.subscribe(fail)
    performance.subscribe(answers.append)
    performance.surfaces = [Surface(fails=True), Surface(fails=False)]
    with caplog.at_level(logging.WARNING):
        for value in (0.5, 0.7, 0.9):
            performance.request("vigour", value)
            performance.tick()
        performance.close()
    assert [answer.value for answer in answers] == [0.5, 0.7, 0.9]
    assert performance.surfaces[1].calls == ["poll"] * 3 + ["close"]
    assert len(caplog.records) == 3, "listener, poll and close, each once"


class Music:
    """A beat at 120 BPM, four to the bar, seen frame by frame as a show does."""

    def __init__(self):
        self.frame = 0

    def __call__(self):
        time = self.frame / 15
        beats = time * 2.0 + 1e-9
        state = BeatState(time, beats % 1.0, 0.5, 1.0, int(beats) % 4, 4, 1.0)
        return state, time + 2 / 15


@pytest.mark.parametrize(("when", "seconds"), [("beat", 0.5), ("bar", 2.0)])
def test_a_quantised_control_acts_with_the_pose_of_the_beat(when, seconds):
    """It acts before the pose is made in which the beat falls, and not before."""
    for asked in range(40, 75):
        music = Music()
        desk = Desk(music)
        for music.frame in range(200):
            if music.frame == asked:
                desk.performance.request("mirror", True, when=when)
            for _ in range(3):  # the show turns more often than frames come
                desk.performance.tick()
            if desk.done:
                break
        pose = (music.frame + 2) / 15  # the next to be made
        due = -(-((asked + 1) / 15 + 1e-6) // seconds) * seconds  # the first beat after the last pose made
        assert due <= pose + 1e-6
        assert pose - due < 1 / 15


def test_what_waits_is_said_and_replaced_by_the_next():
    music = Music()
    desk = Desk(music)
    desk.performance.request("quantise", "bar")
    desk.performance.tick()
    desk.performance.request("vigour", 0.5)
    desk.performance.tick()
    assert desk.answers[-1].message == "waits for the bar"
    assert desk.performance.values["vigour"] == 1.0
    desk.performance.request("vigour", 0.7, when="now")
    desk.performance.tick()
    for music.frame in range(60):
        desk.performance.tick()
    assert [done for done in desk.done if done[0] == "vigour"] == [("vigour", 0.7)]


def test_without_a_beat_nothing_waits():
    desk = Desk()
    desk.ask("mirror", True, when="bar")
    assert desk.done == [("mirror", True)]


def test_a_flood_is_coalesced():
    desk = Desk()
    for k in range(10_000):
        desk.performance.request("vigour", k / 10_000)
        desk.performance.request("half")
        desk.performance.request("tap")
        desk.performance.request(f"nothing {k}")
    desk.performance.tick()
    assert [done for done in desk.done if done[0] == "vigour"] == [("vigour", 0.9999)]
    assert len([done for done in desk.done if done[0] == "half"]) == 1
    assert len([done for done in desk.done if done[0] == "tap"]) == MOST_TAPS
    assert len(desk.answers) < 200
    assert desk.performance.dropped > 10_000


def test_panic_brings_everything_back_to_the_start():
    music = Music()
    desk = Desk(music, {"vigour": 0.8, "style": "salsa"})
    for name, value in (("vigour", 1.5), ("freeze", True), ("crew", "canon"), ("style", "house"), ("nudge", 20)):
        desk.ask(name, value)
    desk.performance.request("mirror", True, when="bar")
    desk.performance.tick()
    desk.done.clear()
    desk.ask("panic", 1)
    assert desk.done[-1] == ("panic", None)
    values = desk.performance.values
    assert (values["vigour"], values["freeze"], values["crew"], values["style"]) == (0.8, False, "free", "salsa")
    for music.frame in range(100):
        desk.performance.tick()
    assert ("mirror", True) not in desk.done


def test_the_table_is_plain_data():
    performance = Performance(values={"seed": 3})
    performance.suggest("style", ("salsa", "any"))
    rows = {row["name"]: row for row in json.loads(json.dumps(performance.table()))}
    assert rows["seed"]["value"] == 3
    assert rows["style"]["choices"] == ["salsa", "any"]
    assert list(rows) == list(CONTROLS)


def test_requests_come_from_any_thread():
    desk = Desk()
    threads = [
        threading.Thread(target=lambda: [desk.performance.request("vigour", 0.5) for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        desk.performance.tick()
    desk.performance.tick()
    assert desk.performance.values["vigour"] == 0.5


def test_keys_are_used_once():
    keys = [key for row in CONTROLS.values() for key, _ in row.key]
    assert len(keys) == len(set(keys))
    assert "?" not in keys


@given(st.sampled_from(list(CONTROLS.values())), st.floats(0.0, 1.0))
def test_a_knob_gives_every_value_of_the_range_and_back(row, share):
    value = row.scaled(share)
    if row.kind in ("number", "choice"):
        assert row.parse(value, row.default) == value
    if row.kind == "number":
        assert row.share(value) == pytest.approx(share, abs=1e-9)


@pytest.mark.slow
@given(st.sampled_from(list(CONTROLS)), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_nothing_that_a_surface_sends_raises(name, raw):
    desk = Desk()
    desk.ask(name, raw, "fuzz")
    for answer in desk.answers:
        assert "\n" not in answer.message
