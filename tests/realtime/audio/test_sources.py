"""Sound comes in whole, in time and in the order it was heard, whatever files, devices and drivers do."""

import gc
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from signals import write_wav

from dancerev.errors import InputError
from dancerev.realtime.audio import capture, devices, microphone, playback, sources
from dancerev.realtime.audio import timeline as timelines
from dancerev.realtime.audio.clock import SAMPLE_RATE, AudioClock
from dancerev.realtime.audio.decode import decode, decode_stereo, duration
from dancerev.realtime.audio.devices import Device

FORMATS = {
    "wav": ("pcm_s16le", 44100, "s16"),
    "24.wav": ("pcm_s24le", 48000, "s32"),
    "float.wav": ("pcm_f32le", 96000, "flt"),
    "flac": ("flac", 22050, "s16"),
    "mp3": ("libmp3lame", 44100, "s16p"),
    "m4a": ("aac", 48000, "fltp"),
    "ogg": ("libopus", 48000, "flt"),
}


def music(seconds, rate, channels=1):
    """(channels, n) float: a chirp under a beat, different in every channel."""
    time = np.arange(round(seconds * rate)) / rate
    chirp = 0.4 * np.sin(2 * np.pi * (200 * time + 100 * time**2)) * (0.3 + 0.7 * (time % 0.5 < 0.2))
    return np.stack([chirp * (1 - 0.2 * channel) for channel in range(channels)])


def alignment(heard, expected, within):
    """By how many samples ``heard`` is later than ``expected``, up to ``within``, and their correlation then."""
    heard, expected = (np.asarray(signal, dtype=np.float64) - np.mean(signal) for signal in (heard, expected))
    size = len(heard) + len(expected)
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(expected, size)), size)
    lags = np.arange(-within, within + 1)
    best = int(np.argmax(cross[lags]))
    return int(lags[best]), cross[lags[best]] / np.sqrt(np.sum(heard**2) * np.sum(expected**2))


def part(samples, begin, end):
    """From ``begin`` to ``end`` seconds."""
    return samples[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def write(path, samples, rate, codec, sample_format, layout="stereo"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame) if frame.samples else []:
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while block := fifo.read(size, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


def wav(path, seconds=1.0, rate=SAMPLE_RATE, channels=1):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    return write(path, music(seconds, rate, channels), rate, "pcm_s16le", "s16", layout)


# --- decoding


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_music_back(tmp_path, name):
    codec, rate, sample_format = FORMATS[name]
    path = write(tmp_path / f"song.{name}", music(2.0, rate, 2), rate, codec, sample_format)
    heard = np.concatenate(list(decode(path)))
    expected = music(2.0, SAMPLE_RATE, 2).mean(axis=0)
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(len(expected), abs=0.06 * SAMPLE_RATE)  # coders pad their last frame
    assert duration(path) == pytest.approx(2.0, abs=0.06)
    lag, match = alignment(heard, expected, 100)
    assert abs(lag) <= 1
    assert match > 0.98


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (1, 11025), (2, 32000), (6, 44100), (1, 192000)])
def test_any_rate_and_channels(tmp_path, channels, rate):
    path = wav(tmp_path / "song.wav", 1.5, rate, channels)
    mono = np.concatenate(list(decode(path)))
    stereo = np.concatenate(list(decode_stereo(path, SAMPLE_RATE)))
    assert len(mono) == pytest.approx(1.5 * SAMPLE_RATE, abs=2)
    np.testing.assert_array_equal(stereo.mean(axis=1), mono)
    lag, match = alignment(mono, music(1.5, SAMPLE_RATE)[0], 100)
    assert lag == 0
    assert match > 0.98


def test_stereo_is_kept(tmp_path):
    left_right = music(1.0, 48000, 2) * [[1.0], [0.0]]
    path = write(tmp_path / "song.flac", left_right, 48000, "flac", "s16")
    stereo = np.concatenate(list(decode_stereo(path, 48000)))
    assert np.abs(stereo[:, 0]).max() > 0.3
    assert np.abs(stereo[:, 1]).max() < 0.001


def test_decoding_streams(tmp_path):
    path = wav(tmp_path / "song.wav", 20.0)
    blocks = decode(path)
    assert max(len(block) for block in blocks) < SAMPLE_RATE


@pytest.mark.parametrize("name", ["mp3", "ogg", "flac"])
def test_damage_in_the_middle_is_skipped(tmp_path, name):
    codec, rate, sample_format = FORMATS[name]
    path = write(tmp_path / f"song.{name}", music(6.0, rate, 2), rate, codec, sample_format)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8))
    path.write_bytes(data)
    heard = np.concatenate(list(decode(path)))
    assert np.isfinite(heard).all()
    assert len(heard) >= 5 * SAMPLE_RATE
    before = music(2.5, SAMPLE_RATE, 2).mean(axis=0)
    assert np.corrcoef(heard[: len(before)], before)[0, 1] > 0.98


def test_numbers_that_are_none_are_no_sound(tmp_path):
    samples = music(1.0, 48000, 2)
    samples[:, 20000:20050] = np.nan
    samples[:, 30000] = np.inf
    path = write(tmp_path / "song.wav", samples, 48000, "pcm_f32le", "flt")
    heard = np.concatenate(list(decode(path)))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 2.0


def unusable(tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.wav").write_text("this is not music\n" * 100)
    (tmp_path / "noise.mp3").write_bytes(bytes(1000))
    write_wav(tmp_path / "none.wav", [], 44100)
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return {
        "missing.wav": "no such file",
        ".": "is a folder",
        "empty.mp3": "is empty",
        "text.wav": "not a music file",
        "noise.mp3": "not a music file|no sound that can be decoded",
        "none.wav": "no sound that can be decoded",
        "silent.mp4": "holds no sound",
    }


def test_what_cannot_be_used_is_named_in_one_line(tmp_path):
    for name, reason in unusable(tmp_path).items():
        with pytest.raises(InputError, match=reason) as error:
            sources.open_source(str(tmp_path / name), mute=True)
        assert "\n" not in str(error.value)


# --- music, silently


def play(source, timeout=0.5):
    """All samples, and how late each piece was against the clock, in seconds."""
    source.start()
    pieces, late, heard = [], [], 0
    while not source.ended:
        pieces.append(source.read(timeout))
        heard += len(pieces[-1])
        late.append(time.perf_counter() - source.clock.heard_at(heard / SAMPLE_RATE))
    source.close()
    return np.concatenate(pieces), late


@pytest.mark.slow
def test_music_comes_at_its_own_pace_and_is_what_decode_gives(tmp_path):
    path = wav(tmp_path / "song.wav", 1.0, 44100, 2)
    source = sources.open_source(str(path), mute=True)
    begin = time.perf_counter()
    heard, late = play(source)
    assert 0.95 < time.perf_counter() - begin < 1.3
    np.testing.assert_array_equal(heard, np.concatenate(list(decode(path))))
    assert source.note is None
    assert source.xruns == 0
    assert min(late[:-1]) >= 0.0, "a sample was handed out before it was heard"
    assert np.median(late) < 0.02


def test_reading_without_patience_gives_the_same(tmp_path):
    path = wav(tmp_path / "song.wav", 0.5)
    heard, _ = play(sources.open_source(str(path), mute=True), timeout=0.0)
    np.testing.assert_array_equal(heard, np.concatenate(list(decode(path))))


def test_a_reader_that_slept_gets_all_it_missed(tmp_path):
    source = sources.open_source(str(wav(tmp_path / "song.wav", 1.0)), mute=True)
    source.start()
    time.sleep(0.5)
    assert len(source.read(0.0)) == pytest.approx(0.5 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


def test_duration_ends_the_source_to_the_sample(tmp_path):
    path = wav(tmp_path / "song.wav", 1.0)
    source = sources.open_source(str(path), mute=True, duration=0.3)
    heard, _ = play(source)
    np.testing.assert_array_equal(heard, np.concatenate(list(decode(path)))[: round(0.3 * SAMPLE_RATE)])
    assert len(source.read(0.0)) == 0


# --- the clock


def test_wall_clock_and_its_inverse():
    clock = AudioClock(100.0)
    assert clock.heard_at(2.5) == 102.5
    assert clock.position(102.5) == 2.5


@pytest.mark.parametrize("drift", [-3e-4, 0.0, 3e-4])
def test_bursts_of_blocks_leave_no_jitter(drift):
    rng = np.random.default_rng(1)
    clock, block = AudioClock(0.0), 0.005
    errors = []
    for index in range(12_000):
        audio = index * block
        true = 7.0 + audio * (1 + drift)
        burst = (3 - index % 4) * block  # four blocks at once
        clock.update(audio, true + burst + rng.exponential(0.002))
        if audio > 20.0:
            errors.append(clock.heard_at(audio) - true)
    assert np.std(errors) < 5e-4
    assert np.abs(np.diff(errors)).max() < 1e-4
    assert np.mean(errors) == pytest.approx(0.0095, abs=0.001)  # the mean of what was reported


def test_a_clock_that_lost_its_device_follows_it_again():
    clock = AudioClock(0.0)
    for index in range(200):
        clock.update(index * 0.01, 5.0 + index * 0.01)
    clock.update(2.0, 9.0)
    assert clock.heard_at(2.5) == pytest.approx(9.5, abs=0.01)


# --- the microphone, its driver played by hand

RATE = 48000
MICROPHONE = Device(index=0, name="by hand", api="none", inputs=2, outputs=0, rate=RATE)


class Driver:
    """Calls a capture's callback as PortAudio would, at times of its own."""

    def __init__(self, rate=RATE, inputs=2):
        self.capture = capture.Capture(Device(0, "by hand", "none", inputs, 0, rate))
        self.capture.latency = 0.01
        self.rate = rate
        self.sent = 0

    def send(self, frames, now, monkeypatch, overflow=False, age=0.01):
        """``frames`` (n, channels) arrive at ``now``; the first of them was heard ``age`` + their length before."""
        monkeypatch.setattr(capture.time, "perf_counter", lambda: now)
        times = SimpleNamespace(currentTime=1000.0, inputBufferAdcTime=1000.0 - age - len(frames) / self.rate)
        self.capture.callback(frames, len(frames), times, SimpleNamespace(input_overflow=overflow))
        self.sent += len(frames)


def stereo_music(seconds, rate=RATE):
    return np.ascontiguousarray(np.repeat(music(seconds, rate), 2, axis=0).T.astype(np.float32))


def through_timeline(monkeypatch, chunks, rate=RATE, seconds=2.0):
    """What the timeline makes of ``seconds`` of music that arrive in the given chunks."""
    driver, sound = Driver(rate), stereo_music(seconds, rate)
    timeline = timelines.Timeline(driver.capture, AudioClock(-0.01))
    pieces, at, turn = [], 0, 0
    while at < len(sound):
        block = sound[at : at + chunks[turn % len(chunks)]]
        at, turn = at + len(block), turn + 1
        driver.send(block, at / rate, monkeypatch)
        pieces.append(timeline.advance(driver.capture, at / rate))
    return np.concatenate(pieces), timeline


def test_the_size_of_the_blocks_changes_nothing(monkeypatch):
    whole, _ = through_timeline(monkeypatch, [4096])
    for chunks in ([240], [1, 7, 512], [480, 441]):
        heard, timeline = through_timeline(monkeypatch, chunks)
        size = min(len(heard), len(whole))
        assert size > 1.98 * SAMPLE_RATE
        np.testing.assert_array_equal(heard[:size], whole[:size])
        assert timeline.silence == 0.0


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_the_microphone_is_heard_in_time_at_any_rate(monkeypatch, rate):
    heard, _ = through_timeline(monkeypatch, [rate // 100], rate)
    assert len(heard) > 1.97 * SAMPLE_RATE
    lag, match = alignment(heard, music(2.0, SAMPLE_RATE)[0], 100)
    assert match > 0.98
    assert abs(lag) <= 3  # samples


def test_a_hole_is_filled_with_silence_and_what_comes_too_late_is_dropped(monkeypatch):
    driver, sound = Driver(), stereo_music(3.0)
    timeline = timelines.Timeline(driver.capture, AudioClock(-0.01))
    pieces, counts, waiting = [], [], []
    for index in range(300):
        now = (index + 1) * 0.01
        waiting.append(sound[480 * index : 480 * (index + 1)])
        if not 100 <= index < 150:  # for half a second the driver sleeps; then it hands over all it has
            for block in waiting:
                driver.send(block, now, monkeypatch)
            waiting.clear()
        pieces.append(timeline.advance(driver.capture, now))
        counts.append(sum(map(len, pieces)) / SAMPLE_RATE - now)
    heard, expected = np.concatenate(pieces), music(3.0, SAMPLE_RATE)[0]
    assert min(counts) > -timelines.PATIENCE - 0.04, "audio time fell behind the wall clock"
    assert max(counts) <= 0.0
    assert timeline.silence == pytest.approx(0.5, abs=0.05)
    assert np.abs(heard[int(1.05 * SAMPLE_RATE) : int(1.45 * SAMPLE_RATE)]).max() < 1e-3
    lag, match = alignment(part(heard, 1.6, 2.9), part(expected, 1.6, 2.9), 100)
    assert match > 0.98
    assert abs(lag) <= 3, "the sound is no longer in its place"


def test_another_device_takes_over_in_its_place(monkeypatch):
    first, second = Driver(48000), Driver(44100, inputs=1)
    timeline = timelines.Timeline(first.capture, AudioClock(-0.01))
    sounds = {first: stereo_music(3.0, 48000), second: stereo_music(3.0, 44100)[:, :1]}
    pieces = []
    for index in range(300):
        now = (index + 1) * 0.01
        driver = first if index < 100 else second if index >= 200 else None
        if driver:
            size = driver.rate // 100
            driver.send(sounds[driver][size * index : size * (index + 1)], now, monkeypatch)
        pieces.append(timeline.advance(driver.capture if driver else None, now))
    heard, expected = np.concatenate(pieces), music(3.0, SAMPLE_RATE)[0]
    assert len(heard) == pytest.approx(3.0 * SAMPLE_RATE, abs=0.03 * SAMPLE_RATE)
    assert timeline.silence == pytest.approx(1.0, abs=0.05)
    for begin, end in ((0.1, 0.9), (2.1, 2.9)):
        lag, match = alignment(part(heard, begin, end), part(expected, begin, end), 100)
        assert match > 0.98
        assert abs(lag) <= 0.001 * SAMPLE_RATE


def test_sound_that_the_system_lost_without_a_word_leaves_a_hole_of_its_length(monkeypatch):
    driver, sound = Driver(), stereo_music(4.0)
    timeline = timelines.Timeline(driver.capture, AudioClock(-0.01))
    pieces = []
    for index in range(400):
        if not 100 <= index < 130:
            driver.send(sound[480 * index : 480 * (index + 1)], (index + 1) * 0.01, monkeypatch)
        pieces.append(timeline.advance(driver.capture, (index + 1) * 0.01))
    heard, expected = np.concatenate(pieces), music(4.0, SAMPLE_RATE)[0]
    assert len(heard) == pytest.approx(4.0 * SAMPLE_RATE, abs=0.04 * SAMPLE_RATE)
    lag, match = alignment(part(heard, 2.5, 3.9), part(expected, 2.5, 3.9), SAMPLE_RATE)
    assert match > 0.98
    assert abs(lag) <= 0.001 * SAMPLE_RATE


def test_time_that_was_slept_through_is_left_out(monkeypatch):
    driver, sound = Driver(), stereo_music(4.0)
    clock = AudioClock(-0.01)
    timeline = timelines.Timeline(driver.capture, clock)
    pieces = []
    for index in range(400):
        now = (index + 1) * 0.01 + (3600.0 if index >= 200 else 0.0)
        driver.send(sound[480 * index : 480 * (index + 1)], now, monkeypatch)
        pieces.append(timeline.advance(driver.capture, now))
    heard, expected = np.concatenate(pieces), music(4.0, SAMPLE_RATE)[0]
    assert len(heard) == pytest.approx(4.0 * SAMPLE_RATE, abs=0.05 * SAMPLE_RATE)
    assert clock.position(3604.0) == pytest.approx(4.0, abs=0.05)
    assert alignment(part(heard, 2.5, 3.9), part(expected, 2.5, 3.9), 2000)[1] > 0.98


def test_a_reader_that_slept_loses_the_newest_and_counts_it(monkeypatch):
    driver, sound = Driver(), stereo_music(4.8)
    timeline = timelines.Timeline(driver.capture, AudioClock(-0.01))
    for index in range(480):
        driver.send(sound[480 * index : 480 * (index + 1)], (index + 1) * 0.01, monkeypatch)
    assert driver.capture.xruns == pytest.approx(80, abs=2)
    driver.send(sound[:480], 4.8, monkeypatch, overflow=True)
    heard = timeline.advance(driver.capture, 4.8)
    driver.send(sound[:480], 4.82, monkeypatch)
    heard = np.concatenate([heard, timeline.advance(driver.capture, 4.82)])
    assert len(heard) == pytest.approx(4.8 * SAMPLE_RATE, abs=0.05 * SAMPLE_RATE)


def test_the_callback_keeps_no_memory():
    taken = capture.Capture(MICROPHONE)
    block = np.zeros((9600, 2), dtype=np.float32)  # so large that a copy stands out of what Python itself takes
    times = SimpleNamespace(currentTime=5.0, inputBufferAdcTime=4.99)
    status = SimpleNamespace(input_overflow=False)
    sink = np.empty((9600, 2), dtype=np.float32)
    stamp = np.empty((2, 2))

    def calls(count):
        for _ in range(count):
            taken.callback(block, len(block), times, status)
            taken.ring.read_into(sink)
            taken.stamps.read_into(stamp)

    calls(1000)
    tracemalloc.start()
    calls(10)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    calls(5000)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1000, "memory grows with the number of calls"
    assert peak - before < block.nbytes / 2, "a block's worth of memory was taken on the way"


# --- the microphone whole, on a driver with a thread of its own


class Stream:
    """Stands for a stream of PortAudio: calls back on a thread's own beat, until it is closed or vanishes."""

    latency = 0.02

    def __init__(self, callback, samplerate, blocksize, channels, **_):
        self.callback, self.rate, self.size, self.channels = callback, samplerate, blocksize, channels
        self._stopped = threading.Event()
        type(self).last = self

    def start(self):
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        begin = time.perf_counter()
        for index in range(10_000):
            if self._stopped.wait(max(0.0, begin + (index + 1) * self.size / self.rate - time.perf_counter())):
                return
            self.block()

    @property
    def active(self):
        return not self._stopped.is_set()

    def vanish(self):
        self._stopped.set()

    def abort(self, ignore_errors):
        self._stopped.set()

    def close(self, ignore_errors):
        self._stopped.set()


class Recorder(Stream):
    """An input stream that hears a constant."""

    def block(self):
        times = SimpleNamespace(currentTime=3.0, inputBufferAdcTime=3.0 - 0.01 - self.size / self.rate)
        heard = np.full((self.size, self.channels), 0.5, dtype=np.float32)
        self.callback(heard, self.size, times, SimpleNamespace(input_overflow=False))


def driver_is(monkeypatch, stream):
    for module in (capture, microphone):
        monkeypatch.setattr(module, "portaudio", lambda: SimpleNamespace(InputStream=stream, PortAudioError=OSError))


@pytest.mark.slow
def test_a_microphone_that_vanishes_is_taken_again_by_its_name(monkeypatch):
    there = [Device(3, "USB Microphone (hw:1,0)", "ALSA", 2, 0, 44100), Device(0, "Other", "ALSA", 2, 2, 44100)]
    attempts = []
    monkeypatch.setattr(devices, "devices", lambda: there)
    monkeypatch.setattr(devices, "default_device", lambda kind: there[0])
    monkeypatch.setattr(microphone, "devices", lambda: there)
    monkeypatch.setattr(microphone, "rescan", lambda: attempts.append(len(there)))
    monkeypatch.setattr(microphone, "RETRY_SECONDS", 0.1)
    driver_is(monkeypatch, Recorder)
    source = sources.open_source("mic", device="usb")
    source.start()
    begin, pieces, notes, longest, last = time.perf_counter(), [], set(), 0.0, time.perf_counter()
    while (now := time.perf_counter()) < begin + 2.5:
        if now > begin + 0.8 and len(there) == 2 and not attempts:
            there.pop(0)
            Recorder.last.vanish()
        if now > begin + 1.6 and there[0].name == "Other":
            there.insert(0, Device(7, "USB Microphone (hw:2,0)", "ALSA", 1, 0, 48000))
        pieces.append(source.read(0.05))
        if len(pieces[-1]):
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        notes.add(source.note)
    source.close()
    heard = np.concatenate(pieces)
    assert Recorder.last.rate == 48000, "the device has come back with another number and rate"
    assert len(attempts) >= 2
    assert source.reconnections == 1
    assert len(heard) == pytest.approx(2.5 * SAMPLE_RATE, rel=0.03)
    assert longest < 0.25, "the samples stopped"
    assert notes == {None, "'USB Microphone' is gone: silence until it is back", "'USB Microphone' is back"}
    assert 0.7 < source.silence < 1.4
    for begin, level in ((0.4, 0.5), (1.1, 0.0), (2.3, 0.5)):
        np.testing.assert_allclose(part(heard, begin, begin + 0.1), level, atol=0.01)


@pytest.mark.slow
def test_a_microphone_that_others_hold_leaves_nothing_behind(monkeypatch):
    """With the collector off, as in a show; sounddevice's streams refer to themselves, also where they are refused."""
    device, alive = Device(3, "Microphone", "ALSA", 1, 0, 48000), weakref.WeakSet()

    class Refused:
        def __init__(self, *, callback, **_):
            self.callback, self.itself = callback, self
            alive.add(self)
            raise OSError("device busy")

    monkeypatch.setattr(devices, "devices", lambda: [device])
    monkeypatch.setattr(devices, "default_device", lambda kind: device)
    monkeypatch.setattr(microphone, "devices", lambda: [device])
    monkeypatch.setattr(microphone, "rescan", lambda: None)
    monkeypatch.setattr(microphone, "RETRY_SECONDS", 0.01)
    driver_is(monkeypatch, Recorder)
    source = sources.open_source("mic")
    source.start()
    driver_is(monkeypatch, Refused)
    gc.disable()
    try:
        Recorder.last.vanish()
        time.sleep(2.0)
        assert 1 <= len(alive) <= 2
    finally:
        gc.enable()
        source.close()


def test_a_capture_whose_stream_raises_is_not_alive(monkeypatch):
    driver_is(monkeypatch, Recorder)
    held = capture.open_capture(Device(3, "Microphone", "ALSA", 1, 0, 48000))
    assert held.alive()

    def gone(stream):
        raise OSError("invalid stream pointer")

    monkeypatch.setattr(Recorder, "active", property(gone))
    assert not held.alive()
    held.close()


# --- devices


def test_devices_are_found_by_number_name_or_default(monkeypatch):
    there = [
        Device(0, "HDA Intel: ALC (hw:0,0)", "ALSA", 2, 2, 44100),
        Device(1, "USB Microphone: Audio (hw:2,0)", "ALSA", 1, 0, 48000),
        Device(2, "Monitor of Speakers", "ALSA", 2, 0, 48000),
        Device(3, "HDMI", "ALSA", 0, 8, 48000),
    ]
    monkeypatch.setattr(devices, "devices", lambda: there)
    monkeypatch.setattr(devices, "default_device", lambda kind: there[0])
    assert devices.find_device("input", None) is there[0]
    assert devices.find_device("input", 1) is there[1]
    assert devices.find_device("input", "2") is there[2]
    assert devices.find_device("input", "usb mic") is there[1]
    assert devices.find_device("output", "hdmi") is there[3]
    assert there[1].lasting_name == "USB Microphone: Audio"
    for wanted in ("hdmi", 3, 9, "-1", "nothing like it"):
        with pytest.raises(InputError, match=r"USB Microphone.*Monitor of Speakers"):
            devices.find_device("input", wanted)
    table = devices.list_devices()
    assert all(device.name in table for device in there)
    monkeypatch.setattr(devices, "devices", list)
    with pytest.raises(InputError, match="no input device"):
        devices.find_device("input", None)
    assert "no sound devices" in devices.list_devices()


def test_without_portaudio_music_plays_silently_and_the_microphone_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    path = wav(tmp_path / "song.wav", 0.1)
    source = sources.open_source(str(path))
    heard, _ = play(source)
    assert len(heard) == pytest.approx(0.1 * SAMPLE_RATE, abs=1)
    assert "PortAudio" in source.note
    assert "PortAudio" in sources.list_devices()
    with pytest.raises(InputError, match="PortAudio"):
        sources.open_source("mic")
    with pytest.raises(InputError, match="PortAudio"):
        sources.open_source(str(path), device="speakers")


def test_libraries_are_kept_quiet_and_python_is_not():
    program = (
        "import os, sys\n"
        "from dancerev.realtime.audio.devices import quiet_libraries\n"
        "with quiet_libraries():\n"
        "    os.write(2, b'noise ')\n"
        "    print('words', file=sys.stderr)\n"
        "os.write(2, b'after')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == "words\nafter"


# --- music aloud, its driver played by hand


class Speaker(Stream):
    """An output stream; keeps what is played."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.played, self.heard_at = [], []

    def block(self):
        out = np.full((self.size, self.channels), np.nan, dtype=np.float32)
        times = SimpleNamespace(currentTime=3.0, outputBufferDacTime=3.0 + self.latency)
        self.heard_at.append(time.perf_counter() + self.latency)
        self.callback(out, self.size, times, SimpleNamespace(output_underflow=False))
        self.played.append(out)


LOUDSPEAKER = Device(index=0, name="speakers", api="none", inputs=0, outputs=2, rate=44100)


@pytest.fixture
def speaker(monkeypatch):
    sound = SimpleNamespace(OutputStream=Speaker, PortAudioError=OSError)
    monkeypatch.setattr(playback, "portaudio", lambda: sound)
    monkeypatch.setattr(playback, "rescan", lambda: None)
    monkeypatch.setattr(playback, "devices", list)


@pytest.mark.slow
@pytest.mark.usefixtures("speaker")
def test_music_is_handed_out_as_it_is_played(tmp_path):
    path = wav(tmp_path / "song.wav", 1.0, 48000, 2)
    source = playback.MusicFile(path, LOUDSPEAKER)
    heard, late = play(source)
    np.testing.assert_array_equal(heard, np.concatenate(list(decode(path))))
    played = np.concatenate(Speaker.last.played)
    stereo = np.concatenate(list(decode_stereo(path, 44100)))
    np.testing.assert_array_equal(played[: len(stereo)], stereo)
    assert np.abs(played[len(stereo) :]).max(initial=0.0) == 0.0
    assert source.xruns == 0
    assert source.note is None
    # Handed out when the device takes it, which is before it is heard; the clock says when that is.
    assert -0.06 < np.median(late) < 0.005
    assert source.clock.heard_at(0.5) == pytest.approx(Speaker.last.heard_at[50], abs=0.03)


@pytest.mark.slow
@pytest.mark.usefixtures("speaker")
def test_one_loudspeaker_plays_both_sides(tmp_path):
    path = wav(tmp_path / "song.wav", 1.0, 44100, 2)
    source = playback.MusicFile(path, replace(LOUDSPEAKER, outputs=1))
    heard, _ = play(source)
    np.testing.assert_array_equal(heard, np.concatenate(list(decode(path))))
    played, mono = np.concatenate(Speaker.last.played), np.concatenate(list(decode(path, 44100)))
    np.testing.assert_allclose(played[: len(mono), 0], mono, atol=1e-6)
    assert source.note is None


@pytest.mark.slow
@pytest.mark.usefixtures("speaker")
def test_a_loudspeaker_that_goes_does_not_stop_the_music(tmp_path, monkeypatch):
    path = wav(tmp_path / "song.wav", 1.5, 48000, 2)
    source = playback.MusicFile(path, LOUDSPEAKER)
    monkeypatch.setattr(playback, "STALLED", 0.2)
    monkeypatch.setattr(playback, "WAKING", 0.3)
    begin = time.perf_counter()
    source.start()
    threading.Timer(0.5, Speaker.last.vanish).start()
    heard, waits = [], []
    while not source.ended:
        now = time.perf_counter()
        heard.append(source.read(0.5))
        waits.append(time.perf_counter() - now)
    source.close()
    assert 1.4 < time.perf_counter() - begin < 2.0
    assert max(waits) < 0.2, "the samples stopped"
    np.testing.assert_array_equal(np.concatenate(heard), np.concatenate(list(decode(path))))
    assert "speakers" in source.note


@pytest.mark.usefixtures("speaker")
@pytest.mark.slow
def test_a_loudspeaker_that_comes_back_goes_on_where_the_music_is(tmp_path, monkeypatch):
    path = wav(tmp_path / "song.wav", 4.0, 48000, 2)
    there = [LOUDSPEAKER]
    monkeypatch.setattr(playback, "devices", lambda: there)
    monkeypatch.setattr(playback, "rescan", lambda: None)
    for name, seconds in (("STALLED", 0.2), ("WAKING", 0.3), ("RETRY_SECONDS", 0.1), ("ANSWER_SECONDS", 0.3)):
        monkeypatch.setattr(playback, name, seconds)
    source = playback.MusicFile(path, LOUDSPEAKER)
    source.start()
    first = Speaker.last
    threading.Timer(0.5, first.vanish).start()
    heard, notes = [], []
    while not source.ended:
        heard.append(source.read(0.1))
        if source.note not in notes:
            notes.append(source.note)
    second = Speaker.last
    promised = source.clock.heard_at(3.0)
    source.close()
    np.testing.assert_array_equal(np.concatenate(heard), np.concatenate(list(decode(path))))
    assert notes[-2:] == ["'speakers' is gone: the music is silent until it is back", "'speakers' is back"]
    assert second is not first
    played = np.concatenate(second.played)[:, 0]
    excerpt = part_of(decode_stereo(path, 44100), 3.0, 3.5)
    begun = 3.0 - place_of(excerpt, played) / 44100  # seconds of the song with which it began
    assert second.heard_at[0] + (3.0 - begun) == pytest.approx(promised, abs=0.1)


def part_of(blocks, begin, end):
    return np.concatenate(list(blocks))[round(begin * 44100) : round(end * 44100), 0]


def place_of(excerpt, played):
    """Index in ``played`` where ``excerpt`` stands, sample for sample."""
    windows = np.lib.stride_tricks.sliding_window_view(played, len(excerpt))
    (found,) = np.flatnonzero((windows[:, :: len(excerpt) // 50] == excerpt[:: len(excerpt) // 50]).all(axis=1))
    return int(found)


def refuse(**_):
    raise OSError("device busy")


@pytest.mark.slow
def test_a_sound_system_that_hangs_delays_the_music_for_a_moment_only(tmp_path, monkeypatch):
    hanging = threading.Event()

    def hang(**_):
        hanging.wait(20.0)
        refuse()

    monkeypatch.setattr(playback, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(playback, "rescan", lambda: None)
    monkeypatch.setattr(playback, "devices", list)
    monkeypatch.setattr(playback, "portaudio", lambda: SimpleNamespace(OutputStream=hang, PortAudioError=OSError))
    monkeypatch.setattr(playback, "HUNG", threading.Event())
    source = playback.MusicFile(wav(tmp_path / "song.wav", 0.3), LOUDSPEAKER)
    began = time.perf_counter()
    heard, _ = play(source)
    assert time.perf_counter() - began < 5.0
    assert len(heard) == pytest.approx(0.3 * SAMPLE_RATE, abs=1)
    assert "does not answer" in source.note
    assert playback.HUNG.is_set()
    hanging.set()
    for thread in threading.enumerate():  # while its driver is still the stubbed one
        if thread.name == "player watcher":
            thread.join()


def test_a_microphone_whose_sound_system_hangs_is_refused(monkeypatch):
    hanging = threading.Event()
    monkeypatch.setattr(microphone, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(devices, "HUNG", threading.Event())
    monkeypatch.setattr(microphone, "find_device", lambda *_: hanging.wait(20.0))
    with pytest.raises(InputError, match="does not answer"):
        sources.open_source("mic")
    assert devices.HUNG.is_set()
    hanging.set()


@pytest.mark.slow
def test_a_disk_that_stalls_is_not_noticed_and_one_that_stays_so_leaves_silence(tmp_path, monkeypatch):
    path = wav(tmp_path / "song.wav", 3.0)
    expected = np.concatenate(list(decode(path)))
    stall = [0.5]

    def stalling(path, *_, **__):
        for index, block in enumerate(np.split(expected, range(2400, len(expected), 2400))):
            if index == 10:
                time.sleep(stall[0])
            yield block

    monkeypatch.setattr(playback, "decode", stalling)
    source = playback.MusicFile(path)
    heard, _ = play(source)
    np.testing.assert_array_equal(heard, expected)
    assert source.note is None
    stall[0] = 2.0
    source = playback.MusicFile(path)
    heard, _ = play(source)
    assert len(heard) == len(expected)
    np.testing.assert_array_equal(heard[:24000], expected[:24000])
    assert not heard[24000:30000].any()
    np.testing.assert_array_equal(heard[-6000:], expected[-6000:])
    assert "does not come fast enough" in source.note


def test_a_microphone_of_exact_zeros_is_told(monkeypatch):
    class Muted(Recorder):
        muted = True

        def block(self):
            times = SimpleNamespace(currentTime=3.0, inputBufferAdcTime=2.99)
            level = 0.0 if Muted.muted else 0.1
            heard = np.full((self.size, self.channels), level, dtype=np.float32)
            self.callback(heard, self.size, times, SimpleNamespace(input_overflow=False))

    monkeypatch.setattr(devices, "devices", lambda: [MICROPHONE])
    monkeypatch.setattr(devices, "default_device", lambda kind: MICROPHONE)
    monkeypatch.setattr(microphone, "SILENT_SECONDS", 0.5)
    driver_is(monkeypatch, Muted)
    source = sources.open_source("mic")
    source.start()
    until = time.perf_counter() + 10.0
    while source.note is None and time.perf_counter() < until:
        source.read(0.05)
    assert "gives exact silence" in source.note
    Muted.muted = False
    while source.note is not None and time.perf_counter() < until:
        source.read(0.05)
    assert source.note is None
    source.close()


def test_a_loudspeaker_that_cannot_be_opened_leaves_the_music_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(playback, "portaudio", lambda: SimpleNamespace(OutputStream=refuse, PortAudioError=OSError))
    monkeypatch.setattr(playback, "rescan", lambda: None)
    monkeypatch.setattr(playback, "devices", list)
    source = playback.MusicFile(wav(tmp_path / "song.wav", 0.2), LOUDSPEAKER)
    heard, _ = play(source)
    assert len(heard) == pytest.approx(0.2 * SAMPLE_RATE, abs=1)
    assert "device busy" in source.note
