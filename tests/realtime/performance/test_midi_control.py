"""MIDI pads and knobs reach the same controls; which is which can be learnt. Messages are mido's own."""

import mido
import pytest

from dancerev.realtime.performance import CONTROLS, Performance
from dancerev.realtime.performance.midi_control import FIRST_KNOB, MidiControl, default_map


class Port:
    """Stands for an open MIDI input."""

    def __init__(self):
        self.messages, self.closed = [], False

    def poll(self):
        while self.messages:
            yield self.messages.pop(0), 0.0

    def close(self):
        self.closed = True


@pytest.fixture
def desk():
    performance, port, said = Performance(), Port(), []
    surface = MidiControl(performance, port, None, said.append)
    performance.surfaces.append(surface)

    def play(kind, **values):
        port.messages.append(mido.Message(kind, **values))
        performance.tick()

    return performance, surface, play, said


def place(name):
    return next(int(source.split()[1]) for source, control in default_map().items() if control == name)


def test_the_same_show_as_by_other_surfaces(desk):
    performance, _, play, _ = desk
    play("control_change", control=place("vigour"), value=68)
    for name in ("mirror", "freeze"):
        play("note_on", note=place(name), velocity=100)
        play("note_off", note=place(name))
    play("note_on", note=place("crew"), velocity=100)
    play("note_on", note=place("formation"), velocity=100)
    values = performance.values
    assert values["vigour"] == pytest.approx(0.8, abs=0.01)
    assert (values["mirror"], values["freeze"], values["crew"], values["formation"]) == (True, True, "unison", "v")
    play("note_on", note=place("freeze"), velocity=0)  # a note let go as some keyboards send it
    assert performance.values["freeze"] is True
    play("note_on", note=place("freeze"), velocity=1)
    assert performance.values["freeze"] is False


def test_every_control_but_texts_has_a_place():
    placed = set(default_map().values())
    assert placed == {row.name for row in CONTROLS.values() if row.kind not in ("text", "integer")} - {"quit"}
    assert all(0 <= int(source.split()[1]) < 128 for source in default_map())


def test_a_knob_covers_the_range(desk):
    performance, _, play, _ = desk
    for value, wanted in ((0, 0.0), (127, 1.5)):
        play("control_change", control=place("vigour"), value=value)
        assert performance.values["vigour"] == pytest.approx(wanted)


def test_a_knob_is_learnt(desk):
    performance, surface, play, said = desk
    performance.request("learn", "temperature")
    performance.tick()
    play("control_change", control=99, value=30, channel=5)
    assert surface.map["cc 99"] == "temperature"
    assert "cc 99 is temperature" in said[-1]
    play("control_change", control=99, value=127)
    assert performance.values["temperature"] == 1.5
    assert list(surface.map.values()).count("temperature") == 1


def test_a_map_from_the_settings_counts():
    performance, port = Performance(), Port()
    surface = MidiControl(performance, port, {f"cc {FIRST_KNOB}": "radius", "note 1": "panic"})
    assert surface.map[f"cc {FIRST_KNOB}"] == "radius"
    assert surface.map["note 1"] == "panic"
    surface.close()
    assert port.closed


def test_other_messages_do_nothing(desk):
    performance, _, play, _ = desk
    before = performance.values
    for kind in ("clock", "start", "pitchwheel", "program_change", "aftertouch"):
        play(kind)
    play("note_on", note=0, velocity=64)
    play("control_change", control=127, value=64)
    assert performance.values == before


def test_pads_and_faders_follow_the_other_surfaces():
    performance, sent = Performance(), []
    performance.surfaces.append(MidiControl(performance, Port(), None, answer=sent.append))
    for name, value in (("vigour", 0.75), ("mirror", True), ("mirror", False), ("tap", 1), ("style", "any")):
        performance.request(name, value, "web")
        performance.tick()
    performance.request("vigour", 0.3, "midi")  # the knob itself
    performance.tick()
    pad = place("mirror")
    assert [message.bytes()[1:] for message in sent] == [[place("vigour"), 64], [pad, 127], [pad, 0]]


def test_a_controller_that_was_pulled_out_is_no_error():
    def gone(message):
        raise OSError("gone")

    performance = Performance()
    performance.surfaces.append(MidiControl(performance, Port(), None, answer=gone))
    performance.request("vigour", 0.75, "web")
    performance.tick()
    assert performance.values["vigour"] == 0.75
