"""Any file of music is opened whatever its name, and keeps its time whatever its time stamps and damage."""

import os
import shutil
import struct
import threading

import numpy as np
import pytest
from signals import SAMPLE_RATE, click_times, clicks, encode, write_wav

from dancerev.errors import InputError
from dancerev.realtime.audio.decode import decode, duration


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Six seconds of clicks as wav and flac, and when they come."""
    folder = tmp_path_factory.mktemp("song")
    audio, beats = clicks(6.0, 120.0, 0.5)
    encode(folder / "song.flac", audio, "flac", "s16")
    return write_wav(folder / "song.wav", audio), folder / "song.flac", beats


def samples(path, **options):
    return np.concatenate(list(decode(path, **options)))


@pytest.mark.parametrize(
    "name",
    [
        "AC:DC - x.wav", "http:x.wav", "-lead.wav", "100%d.wav", "it's \"q\".wav", "ダンス é.wav", " s p .wav",
        "x" * 246 + ".wav", os.fsdecode(b"not utf-8 \xff.wav"),
    ],
)  # fmt: skip
def test_any_file_name_is_opened(song, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    try:
        shutil.copy(song[0], tmp_path / name)
    except OSError:
        pytest.skip("this file system has no such names")
    assert len(samples(name)) == 6 * SAMPLE_RATE
    assert duration(name) == pytest.approx(6.0)


def test_sound_that_begins_late_in_a_film_is_preceded_by_silence(song, tmp_path):
    audio, beats = clicks(6.0, 120.0, 0.5)
    encode(tmp_path / "late.mkv", audio, "flac", "s16", start=3.0, picture_seconds=9)
    np.testing.assert_allclose(click_times(samples(tmp_path / "late.mkv")), beats + 3.0, atol=0.003)


def test_a_hole_in_a_damaged_file_is_silent_and_the_rest_keeps_its_time(song, tmp_path):
    damaged = bytearray(song[1].read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    (tmp_path / "hole.flac").write_bytes(damaged)
    notes = []
    found = click_times(samples(tmp_path / "hole.flac", report=notes.append))
    assert 8 <= len(found) < len(song[2])
    assert max(np.abs(song[2] - time).min() for time in found) < 0.003
    assert len(notes) == 1
    assert "damaged" in notes[0]


def test_a_cut_file_is_used_as_far_as_it_goes_with_one_note(song, tmp_path):
    (tmp_path / "cut.flac").write_bytes(song[1].read_bytes()[:-3000])
    notes = []
    audio = samples(tmp_path / "cut.flac", report=notes.append)
    assert 4.0 < len(audio) / SAMPLE_RATE < 6.0
    assert len(notes) == 1


@pytest.mark.parametrize("rate", [1, 999, 10**9, 2**31 - 1])
def test_a_sample_rate_that_no_music_has_is_refused(song, tmp_path, rate):
    wild = bytearray(song[0].read_bytes())
    wild[24:28] = struct.pack("<I", rate)
    (tmp_path / "wild.wav").write_bytes(wild)
    with pytest.raises(InputError, match=f"{rate} samples a second"):
        samples(tmp_path / "wild.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -1e38])
def test_samples_beyond_all_measure_are_bounded(tmp_path, value):
    audio = 0.1 * np.ones(SAMPLE_RATE, dtype=np.float32)
    audio[6000:7000] = value
    encode(tmp_path / "wild.wav", audio, "pcm_f32le", "flt")
    found = samples(tmp_path / "wild.wav")
    assert len(found) == SAMPLE_RATE
    assert np.abs(found).max() < 6.0
    np.testing.assert_allclose(found[12000:], 0.1, atol=1e-3)


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{song}\n#EXT-X-ENDLIST\n",
    "list.m3u": "#EXTM3U\n{song}\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{song}'\n",
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_nothing(song, tmp_path, name):
    (tmp_path / name).write_text(PLAYLISTS[name].format(song=song[0]))
    with pytest.raises(InputError, match="not a music file"):
        samples(tmp_path / name)


def test_a_file_that_may_not_be_read_is_told_so(song, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(song[0]), "open", forbidden)
    with pytest.raises(InputError, match=r"song\.wav cannot be read: Permission denied"):
        samples(song[0])


def test_a_pipe_is_read_once(song, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(song[0].read_bytes()))
    writer.start()
    assert duration(pipe) is None
    assert len(samples(pipe)) == 6 * SAMPLE_RATE
    writer.join()
