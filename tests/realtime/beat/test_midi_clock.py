"""A MIDI clock gives the beat: exactly, though its ticks jitter, and for ever, though they stop."""

import sys
import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from signals import write_wav

from dancerev.errors import InputError
from dancerev.realtime import listen, live
from dancerev.realtime.audio.clock import AudioClock
from dancerev.realtime.beat import midi_input as midi
from dancerev.realtime.beat.midi_clock import MidiTracker
from dancerev.realtime.beat.midi_input import MidiInput

START = 1.0  # seconds; the first tick
FRAME = 1.0 / 15.0


def message(kind, **fields):
    return SimpleNamespace(type=kind, **fields)


def ticks(bpm, beats, start=START):
    return start + np.arange(round(24 * beats)) * 60.0 / bpm / 24.0


def follow(clock, commands=(), seconds=None, tracker=None):
    """The states of a tracker that hears ticks at ``clock`` (seconds) and ``commands``: (seconds, message)."""
    tracker = tracker or MidiTracker()
    due = [*commands, *((float(tick), message("clock")) for tick in clock)]
    due.sort(key=lambda each: each[0])
    states = []
    for frame in range(1, int(15 * (seconds or clock[-1] - 0.05)) + 1):
        while due and due[0][0] <= frame * FRAME:
            moment, what = due.pop(0)
            tracker.receive(what, moment)
        states.append(tracker.update(SimpleNamespace(time=frame * FRAME)))
    return states


def after(states, time):
    return [state for state in states if state.time > time]


def errors(states, bpm, beat=START):
    """Seconds by which the states' phase is off where there was a beat at ``beat``."""
    beats = np.array([(state.time - beat) * bpm / 60.0 - state.phase for state in states])
    return np.abs((beats + 0.5) % 1.0 - 0.5) * 60.0 / bpm


STARTED = ((START - 0.005, message("start")),)


@pytest.mark.parametrize("bpm", [60.0, 97.3, 120.0, 174.0])
def test_a_steady_clock_is_exact(bpm):
    states = after(follow(ticks(bpm, 16), STARTED), START + 0.6)
    assert errors(states, bpm).max() < 1e-6
    assert all(state.bpm == pytest.approx(bpm, rel=1e-6) for state in states)
    assert states[-1].confidence > 0.95
    assert states[-1].bar_confidence > 0.95


@pytest.mark.parametrize("bpm", [60.0, 120.0, 174.0])
@pytest.mark.parametrize("seed", range(3))
def test_jitter_moves_the_phase_by_less_than_3_ms(bpm, seed):
    rng = np.random.default_rng(seed)
    clock = ticks(bpm, 40)
    shaken = np.maximum.accumulate(clock + rng.uniform(-0.003, 0.003, len(clock)))
    states = after(follow(shaken, STARTED), START + 1.0)
    assert errors(states, bpm).max() < 0.003
    assert all(state.bpm == pytest.approx(bpm, rel=0.01) for state in states)
    late = clock + (rng.random(len(clock)) < 0.1) * rng.uniform(0.0, 0.010, len(clock))
    states = after(follow(np.maximum.accumulate(late), STARTED), START + 1.0)
    assert errors(states, bpm).max() < 0.002


@pytest.mark.parametrize("before", [60.0, 118.0, 120.0, 128.0, 170.0])
@pytest.mark.parametrize("jitter", [0.0, 0.003])
def test_a_tempo_step_is_followed_within_two_beats(before, jitter):
    first = ticks(before, 12)
    step = first[-1] + 60.0 / before / 24.0
    clock = np.concatenate([first, ticks(124.0, 16, step)])
    clock = np.maximum.accumulate(clock + np.random.default_rng(0).uniform(-jitter, jitter, len(clock)))
    states = after(follow(clock, STARTED), step + 2 * 60.0 / 124.0)
    assert errors(states, 124.0, step).max() < 0.003
    assert all(state.bpm == pytest.approx(124.0, rel=0.01) for state in states)
    assert states[-1].beat_in_bar == 3  # no beat was lost on the way


def test_start_begins_a_bar_at_once_although_the_clock_ran_before():
    clock = np.concatenate([ticks(120, 5.3, 0.1), ticks(120, 9, 0.1 + 5.3 / 2 + 0.013)])  # and begins its ticks anew
    one = 0.1 + 5.3 / 2 + 0.013
    states = after(follow(clock, [(one - 0.002, message("start"))]), one)
    assert errors(states, 120, one).max() < 1e-3
    assert [state.beat_in_bar for state in states] == [int((state.time - one) * 2.0) % 4 for state in states]


def test_stop_lets_confidence_fall_and_continue_goes_on_where_it_was():
    going = ticks(120, 6)  # two beats into the second bar
    stop = going[-1] + 0.01
    again = stop + 3.3
    commands = [*STARTED, (stop, message("stop")), (again - 0.01, message("continue"))]
    states = follow(np.concatenate([going, ticks(120, 8, again)]), commands)
    stopped = [state for state in after(states, stop) if state.time < again - 0.01]
    assert (np.diff([state.confidence for state in stopped]) < 0.0).all()
    assert stopped[-1].confidence < 0.6
    assert errors(stopped, 120).max() < 1e-3  # the beat runs on
    resumed = after(states, again)
    assert errors(resumed, 120, again).max() < 1e-3
    assert (resumed[0].beat_in_bar, resumed[-1].confidence > 0.95) == (2, True)


def test_the_song_position_says_where_the_clock_goes_on():
    commands = [(0.5, message("stop")), (0.6, message("songpos", pos=4 * 4 + 5)), (0.9, message("continue"))]
    states = after(follow(ticks(120, 8), commands), START)
    assert errors(states, 120, START - 0.125).max() < 1e-3  # five sixteenths into a bar
    assert states[0].beat_in_bar == 1
    assert states[-1].bar_confidence > 0.95


@pytest.mark.parametrize("lost", [1, 3, 20, 24 * 8])
def test_lost_ticks_are_not_lost_beats(lost):
    clock = np.delete(ticks(120, 40), np.arange(240, 240 + lost))
    states = follow(clock, STARTED)
    assert errors(after(states, START + 0.6), 120).max() < 1e-3
    assert states[-1].beat_in_bar == 3
    assert states[-1].confidence > 0.95
    if lost > 48:
        assert min(state.confidence for state in after(states, 5.0)) < 0.6


def test_ticks_that_are_held_up_and_then_come_all_at_once_change_nothing():
    clock = ticks(120, 20)
    clock[200:210] = clock[210]
    states = after(follow(clock, STARTED), START + 0.6)
    assert errors(states, 120).max() < 1e-3
    assert states[-1].beat_in_bar == 3


def test_a_clock_without_start_knows_the_tempo_and_the_performer_the_beat():
    tracker = MidiTracker()
    states = follow(ticks(120, 8, 0.013), (), 4.0, tracker)
    assert states[-1].bpm == pytest.approx(120.0)
    assert states[-1].confidence == pytest.approx(0.5, abs=0.05)
    assert states[-1].bar_confidence == 0.0
    for tap in (2.51, 3.0, 3.49):
        tracker.tap(tap)
    state = tracker.update(SimpleNamespace(time=4.0))
    assert errors([state], 120, 0.013 + 24 * 6 / 48).max() < 0.03
    tracker.set_downbeat(3.52)
    state = tracker.update(SimpleNamespace(time=4.1))
    assert (state.beat_in_bar, state.bar_confidence > 0.0) == (1, True)


def test_a_running_clock_knows_better_than_taps_but_not_which_is_the_one():
    tracker = MidiTracker()
    follow(ticks(120, 12), STARTED, 5.0, tracker)
    for tap in (3.2, 3.9, 4.6):
        tracker.tap(tap)
    tracker.set_downbeat(4.45)
    state = tracker.update(SimpleNamespace(time=5.1))
    assert errors([state], 120).max() < 1e-3
    assert state.beat_in_bar == 1


def test_taps_set_tempo_and_phase_where_no_clock_comes():
    tracker = MidiTracker()
    follow([], (), 3.0, tracker)
    for tap in (1.0, 1.6, 2.2, 2.8):
        tracker.tap(tap)
    state = tracker.update(SimpleNamespace(time=3.0))
    assert state.bpm == pytest.approx(100.0)
    assert state.phase == pytest.approx(0.2 / 0.6)
    assert state.confidence > 0.3


def test_half_double_and_a_range_scale_the_clock():
    for factor in (0.5, 2.0):
        tracker = MidiTracker(40.0, 240.0)
        follow(ticks(100, 8), STARTED, 4.0, tracker)
        assert tracker.scale_tempo(factor)
        state = tracker.update(SimpleNamespace(time=4.0))
        assert state.bpm == pytest.approx(100.0 * factor)
        assert errors([state], 100 * factor).max() < 1e-6
        tracker.scale_tempo(1.0 / factor)
        assert tracker.update(SimpleNamespace(time=4.0)).bpm == pytest.approx(100.0)
    assert not MidiTracker(90.0, 150.0).scale_tempo(0.5)
    with pytest.raises(ValueError, match=r"halved \(0.5\) or doubled \(2\)"):
        tracker.scale_tempo(3.0)
    assert follow(ticks(220, 8), STARTED, tracker=MidiTracker(80.0, 160.0))[-1].bpm == pytest.approx(110.0)
    assert follow(ticks(220, 8), STARTED, tracker=MidiTracker(90.0, 100.0))[-1].bpm == pytest.approx(220.0)


def test_moments_are_brought_into_audio_time():
    tracker, clock = MidiTracker(), AudioClock(-0.25)
    tracker.heard_at = clock.heard_at
    states = follow(ticks(120, 8), STARTED, 5.0, tracker)
    assert errors(after(states, 2.0), 120, START + 0.25).max() < 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_garbage_never_raises_and_never_gives_a_broken_state(seed):
    rng = np.random.default_rng(seed)
    kinds = ["clock"] * 20 + ["start", "stop", "continue", "songpos", "note_on", "sysex", "reset", ""]
    tracker, moment = MidiTracker(), 0.0
    for frame in range(1, 600):
        for _ in range(rng.integers(30)):
            moment += rng.choice([0.0, 1e-9, 0.001, 0.02, 0.02, 0.02, -0.3, 2.0])
            tracker.receive(message(str(rng.choice(kinds)), pos=int(rng.integers(16384))), moment)
        if rng.random() < 0.2:
            rng.choice([tracker.tap, tracker.set_downbeat])(frame * FRAME)
            tracker.scale_tempo(rng.choice([0.5, 2.0]))
        state = tracker.update(SimpleNamespace(time=frame * FRAME))
        assert 0.0 <= state.phase < 1.0
        assert 0.0 <= state.confidence <= 1.0
        assert 0.1 < state.period < 4.0
        assert state.beat_in_bar in range(4)


class FakePort:
    """A port of mido, but for the wire: takes bytes, gives messages."""

    there: ClassVar = []
    opened: ClassVar = []

    def __init__(self, name, callback):
        import mido

        if name not in self.there:
            raise OSError(f"unknown port {name!r}")
        self.name, self.callback, self.closed = name, callback, False
        self.parser = mido.Parser()
        self.opened.append(self)

    def close(self):
        self.closed = True

    def send(self, data):
        self.parser.feed(data)
        for each in self.parser:
            self.callback(each)


@pytest.fixture
def ports(monkeypatch):
    mido = pytest.importorskip("mido")
    names = ["Midi Through:Midi Through Port-0 14:0", "Drum Machine:Clock 20:0", "Other"]
    monkeypatch.setattr(FakePort, "there", names)
    monkeypatch.setattr(FakePort, "opened", [])
    monkeypatch.setattr(mido, "get_input_names", lambda: FakePort.there)
    monkeypatch.setattr(mido, "open_input", FakePort)
    return FakePort


@pytest.fixture
def silence(tmp_path):
    return str(write_wav(tmp_path / "silence.wav", np.zeros(24000 * 5)))


@pytest.mark.slow
def test_from_the_bytes_of_a_clock_to_the_tempo_on_the_screen(ports, silence, capsys):
    def drum_machine():
        while not ports.opened:
            time.sleep(0.01)
        begin = time.perf_counter() + 0.1
        port = ports.opened[0]
        port.send(b"\xf0\x01\xfa\xf8\xff\x90")  # garbage, but for the start
        for tick in range(1, 24 * 6):
            time.sleep(max(0.0, begin + tick * 60.0 / 150.0 / 24.0 - time.perf_counter()))
            port.send(b"\xf8" if tick % 7 else b"\xf8\x90\x3c\x40")

    threading.Thread(target=drum_machine, daemon=True).start()
    arguments = ["--input", silence, "--mute", "--duration", "2", "--beat-engine", "midi", "--midi-port", "machine"]
    assert listen.main(arguments) == 0
    words = capsys.readouterr().out.split()
    assert float(words[words.index("BPM,") - 1]) == pytest.approx(150.0, rel=0.02)
    assert float(words[words.index("%") - 1]) > 80.0
    assert ports.opened[0].name == "Drum Machine:Clock 20:0"
    assert ports.opened[0].closed


def test_a_port_that_was_pulled_out_is_opened_again(ports, monkeypatch):
    monkeypatch.setattr(midi, "QUIET", 0.02)
    monkeypatch.setattr(midi, "LOOK", 0.01)
    port = MidiInput()
    assert port.name == "Drum Machine:Clock 20:0"
    time.sleep(0.1)
    assert len(ports.opened) == 1  # silence alone is no reason
    ports.opened[0].send(b"\xf8")
    time.sleep(0.1)
    assert len(ports.opened) == 2  # but silence after sound is, once: it may be a plug out and in
    assert ports.opened[0].closed
    assert [message.type for message, _ in port.poll()] == ["clock"]
    ports.there = ["Other"]
    time.sleep(0.1)
    assert ports.opened[1].closed
    ports.there = ["Other", "Drum Machine:Clock 24:0"]
    until = time.perf_counter() + 2.0
    while len(ports.opened) < 3 and time.perf_counter() < until:
        time.sleep(0.01)
    before = time.perf_counter()
    ports.opened[2].send(b"\xf8")
    [(heard, moment)] = port.poll()
    assert heard.type == "clock"
    assert before <= moment <= time.perf_counter()
    port.close()
    assert ports.opened[2].closed


def test_the_output_for_answers_comes_back_with_its_input_and_is_closed(ports, monkeypatch):
    import mido

    outputs = []

    class Output:
        def __init__(self, name):
            self.name, self.sent, self.closed = name, [], False
            self.send = self.sent.append
            outputs.append(self)

        def close(self):
            self.closed = True

    def until(wanted):
        end = time.perf_counter() + 5.0
        while not wanted() and time.perf_counter() < end:
            time.sleep(0.005)
        assert wanted()

    monkeypatch.setattr(mido, "get_output_names", lambda: FakePort.there)
    monkeypatch.setattr(mido, "open_output", Output)
    monkeypatch.setattr(midi, "QUIET", 0.02)
    monkeypatch.setattr(midi, "LOOK", 0.01)
    port = MidiInput("drum", answers=True)
    port.send("before")
    ports.there = ["Other"]
    until(lambda: outputs[0].closed)
    port.send("meanwhile")
    ports.there = ["Other", "Drum Machine:Clock 24:0"]
    until(lambda: len(outputs) == 2)
    port.send("after")
    port.close()
    assert [output.sent for output in outputs] == [["before"], ["after"]]
    assert outputs[1].name == "Drum Machine:Clock 24:0"
    assert outputs[1].closed


@pytest.mark.parametrize("command", [listen, live])
def test_a_wrong_port_is_answered_in_one_line(command, ports, silence, capsys):
    arguments = ["--input", silence, "--mute", "--midi-port", "organ"]
    for engine, complaint in (("midi", "'Drum Machine:Clock 20:0', 'Other'"), ("own", "for --beat-engine midi")):
        assert command.main([*arguments, "--beat-engine", engine]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("command", [listen, live])
def test_without_the_library_there_is_one_line(command, silence, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mido", None)
    assert command.main(["--input", silence, "--mute", "--beat-engine", "midi"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'dancerev[midi]'" in error
    assert error.count("\n") == 1
    assert midi.list_ports() == []


def test_midi_inputs_are_listed_with_the_sound_devices(ports, capsys):
    assert live.main(["--list-devices"]) == 0
    assert "MIDI input: Drum Machine:Clock 20:0\n" in capsys.readouterr().out


def test_where_the_system_has_midi_a_real_port_is_heard():
    rtmidi = pytest.importorskip("rtmidi")
    try:
        out = rtmidi.MidiOut(name="dancerev test")
        out.open_virtual_port("clock")
        port = MidiInput("dancerev test")
    except (OSError, NotImplementedError, InputError) as error:
        pytest.skip(f"no MIDI here: {error}")
    out.send_message([0xF8])
    time.sleep(0.3)
    assert [heard.type for heard, _ in port.poll()] == ["clock"]
    port.close()
