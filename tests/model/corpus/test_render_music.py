"""Rendered music has its beats where it says, keeps silent where it says, and is the same for the same seed."""

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from dancerev.model.corpus.render_music import read_groove, render
from dancerev.realtime.audio.clock import SAMPLE_RATE

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


def groove_file(division=480, bars=2):
    """A MIDI file: bass drum on every beat, hi-hat on every half, running status, a tempo event before them."""
    events = []
    for half in range(8 * bars):
        keys = [42] if half % 2 else [36, 42]
        for key in keys:
            events.append((half * division // 2, bytes([0x99, key, 100])))
            events.append((half * division // 2 + division // 4, bytes([0x99, key, 0])))
    events.sort(key=lambda event: event[0])
    track, now, status = b"\x00\xff\x51\x03\x07\xa1\x20", 0, None
    for tick, message in events:
        delta = tick - now
        track += bytes([0x80 | delta >> 7, delta & 0x7F]) if delta > 127 else bytes([delta])
        track += message if message[0] != status else message[1:]
        now, status = tick, message[0]
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, division) + b"MTrk" + struct.pack(">I", len(track)) + track


def test_the_notes_of_a_groove_are_read_in_beats():
    groove = read_groove(groove_file())
    assert groove.beats == 8
    bass = groove.notes[groove.notes[:, 2] == 36]
    np.testing.assert_allclose(bass[:, 0], np.arange(8))
    np.testing.assert_allclose(bass[:, 1], 0.25)
    assert (groove.notes[:, 2] == 42).sum() == 16


@pytest.mark.parametrize("data", [b"", b"RIFF" + bytes(40), groove_file()[:14] + b"oops" + bytes(20)])
def test_what_is_not_midi_is_refused(data):
    with pytest.raises(ValueError, match="MIDI"):
        read_groove(data)


needs_fluidsynth = pytest.mark.skipif(
    (shutil.which("fluidsynth") is None or not SOUNDFONT.exists()) and "CI" not in os.environ,
    reason="FluidSynth or its sound bank is not installed",
)


@needs_fluidsynth
@pytest.mark.parametrize("seed", [0, 2])
def test_beats_sound_where_they_are_said_to_be(seed):
    clip = render(read_groove(groove_file()), 104.0, 14.0, SOUNDFONT, seed)
    again = render(read_groove(groove_file()), 104.0, 14.0, SOUNDFONT, seed)
    np.testing.assert_array_equal(clip.audio, again.audio)
    assert np.abs(clip.audio).max() <= 1.0
    np.testing.assert_allclose(np.diff(clip.beats), 60.0 / 104.0)
    hop = SAMPLE_RATE // 100
    power = np.square(clip.audio[: len(clip.audio) // hop * hop].reshape(-1, hop)).mean(axis=1)
    rise = np.maximum(np.diff(np.log(power + 1e-9)), 0.0)
    at = np.clip(np.rint(clip.beats * 100).astype(int), 1, len(rise) - 3)
    on = np.max([rise[at + k - 1] for k in range(4)], axis=0)
    off = np.max([rise[np.clip(at + 14 + k, 0, len(rise) - 1)] for k in range(4)], axis=0)
    assert on.mean() > 3 * off.mean()


@needs_fluidsynth
def test_silences_are_silent_and_have_no_beats():
    clip = render(read_groove(groove_file()), 120.0, 16.0, SOUNDFONT, 4, silences=True)
    assert len(clip.breaks) == 2
    loud = np.sqrt(np.square(clip.audio).mean())
    for start, stop in clip.breaks:
        assert 1.5 < stop - start < 7.0
        assert not ((clip.beats > start) & (clip.beats < stop - 0.05)).any()
        inside = clip.audio[round(start * SAMPLE_RATE) + 100 : round(stop * SAMPLE_RATE) - 100]
        assert np.sqrt(np.square(inside).mean()) < 0.1 * loud
