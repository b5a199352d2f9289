"""A recording never waits, holds what was danced, and can be read whenever the program is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import av
import numpy as np
import pytest
from dances import dance as synthetic

from dancerev.clients.recorders import recorder as recording
from dancerev.clients.recorders.formats import READERS, SUFFIXES
from dancerev.clients.recorders.recorder import Recorder, open_recorder
from dancerev.errors import InputError
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose
from dancerev.realtime.convert import read

FPS = 30


def poses(seconds, start=0.0, fps=FPS):
    rotations, root = synthetic(np.arange(0.0, seconds + 2.0, 0.5), seconds, fps)
    feet = np.ones(2, np.float32)
    return [
        Pose(start + index / fps, turned.astype(np.float32), place.astype(np.float32), feet)
        for index, (turned, place) in enumerate(zip(rotations, root, strict=True))
    ]


def count(path):
    """Poses in a file."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as film:
            return sum(1 for _ in film.decode(video=0))
    return len(read(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_sent_is_in_the_file(tmp_path, suffix):
    sent = poses(2.0, start=3.0)
    with Recorder(tmp_path / f"show{suffix}") as recorder:
        for pose in sent:
            recorder.send(pose)
    assert recorder.error is None
    assert list(tmp_path.iterdir()) == [tmp_path / f"show{suffix}"]
    assert count(tmp_path / f"show{suffix}") == len(sent)
    if suffix != ".mp4":
        joints = [0, *range(4, 22)]  # VMD has no UpperChest
        expected = np.array([pose.positions() for pose in sent])
        np.testing.assert_allclose(read(recorder.path).positions[:, joints], expected[:, joints], atol=1e-3)


def test_beats_and_markers_are_kept_in_seconds_of_the_recording(tmp_path):
    with Recorder(tmp_path / "show.npz") as recorder:
        for pose in poses(3.0, start=10.0):
            recorder.send(pose)
            beats = int(pose.time / 0.5 + 1e-6)
            phase = pose.time / 0.5 - beats
            recorder.send_music(BeatState(pose.time, phase, 0.5, 0.9, beats % 3, 3, 0.75), 0.0, 0.3)
            if pose.time == pytest.approx(11.0):
                recorder.mark(pose.time, "drop")
    dance = READERS[".npz"](recorder.path)
    np.testing.assert_allclose(dance.beats, np.arange(0.5, 3.0, 0.5), atol=0.01)
    assert dance.bpm == pytest.approx(120.0)
    assert dance.beat_in_bar.tolist() == [0, 1, 2, 0, 1]  # beat 21 of the music, and on
    assert dance.beats_per_bar.tolist() == [3] * 5
    np.testing.assert_allclose(dance.bar_confidence, 0.75)
    assert dance.marks == ((pytest.approx(1.0), "drop"),)


def test_left_out_poses_are_held_and_other_rates_keep_the_time(tmp_path):
    sent = poses(1.0) + poses(2.0, fps=60)[60:]
    with Recorder(tmp_path / "show.npz") as recorder:
        for pose in sent[:10] + sent[16:]:
            recorder.send(pose)
    dance = READERS[".npz"](recorder.path)
    assert len(dance) == 60
    for frame in (9, 16, 29, 45, 59):
        source = sent[frame] if frame < 30 else sent[30 + 2 * (frame - 30)]
        np.testing.assert_allclose(dance.rotations[frame], source.rotations, atol=0.03)


def test_no_recording_overwrites_another(tmp_path):
    for name in ("show", "show-2", "show-3"):
        with Recorder(tmp_path / "show.bvh") as recorder:
            recorder.send(poses(0.1)[0])
        assert recorder.path == tmp_path / f"{name}.bvh"


@pytest.mark.parametrize("name", ["show.txt", "show", "none/show.npz"])
def test_what_cannot_be_recorded_is_refused_at_once(tmp_path, name):
    with pytest.raises(InputError):
        Recorder(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".bvh", ".vrma", ".vmd"])
def test_a_disk_that_is_full_from_the_start_is_told_with_the_name_and_nothing_is_left(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file may hold a byte
    try:
        with pytest.raises(OSError, match="show") as told:
            Recorder(tmp_path / f"show{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"show{suffix}" in str(told.value.filename)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
def test_a_journal_on_a_full_disk_is_told_with_its_name(tmp_path):
    with recording.Journal(tmp_path / "show.journal", FPS) as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._file.fileno())
        os.close(full)
        with pytest.raises(OSError, match="No space left on device") as told:
            journal.append([recording.record(poses(0.1)[0])])
    assert told.value.filename == str(tmp_path / "show.journal")


@pytest.mark.parametrize("fps", [1e-310, 0.5, 2000.0, float("nan")])
def test_a_journal_of_an_odd_rate_is_refused(tmp_path, fps):
    with recording.Journal(tmp_path / "show.journal", fps) as journal:
        journal.append([recording.record(poses(0.1)[0])])
        with pytest.raises(InputError, match="no pose"):
            read(journal.path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 0.0])
def test_a_journal_with_a_pose_that_is_none_is_refused(tmp_path, value):
    with recording.Journal(tmp_path / "show.journal", FPS) as journal:
        rows = [recording.record(pose) for pose in poses(0.5)]
        rows[3]["rotations"][5] = value
        journal.append(rows)
        with pytest.raises(InputError, match="rotation"):
            read(journal.path)


def test_a_film_that_cannot_be_written_is_told_and_leaves_no_empty_file(tmp_path, caplog):
    recorder = Recorder(tmp_path / "show.mp4")
    os.killpg(recorder._output._program.pid, signal.SIGKILL)
    recorder.path.touch()
    recorder.close()
    recorder.wait()
    assert str(recorder.path) in recorder.error
    assert recorder.error in caplog.text
    assert not recorder.path.exists()


@pytest.mark.parametrize("suffix", [".npz", ".bvh"])
def test_a_full_disk_ends_the_recording_with_a_note_and_never_the_show(tmp_path, suffix, monkeypatch):
    recorder = Recorder(tmp_path / f"show{suffix}")
    sent = poses(4.0)
    for pose in sent[:60]:
        recorder.send(pose)
    wait_for(lambda: can_be_counted(recorder.path) and count(recorder.path) == 60)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder._output, "append", full)
    for pose in sent[60:]:
        recorder.send(pose)
    wait_for(lambda: recorder.error)
    recorder.send(sent[-1])
    assert "No space left on device" in recorder.error
    assert recorder.lost >= 1
    recorder.close()
    recorder.wait()
    assert count(recorder.path) == 60


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_disk_that_hangs_holds_nobody_up(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(recording._Whole, "append", lambda *_: release.wait())
    monkeypatch.setattr(recording, "_WAITING", 30)
    recorder = Recorder(tmp_path / "show.npz")
    began = time.monotonic()
    for pose in poses(10.0):
        recorder.send(pose)
    assert time.monotonic() - began < 2.0
    assert recorder.lost >= 200
    assert len(recorder._rows) <= 30
    recorder.close()
    release.set()
    recorder.wait()


def test_several_dancers_have_a_file_each(tmp_path):
    group = open_recorder(str(tmp_path / "show.npz"), FPS, 2)
    for pose in poses(1.0):
        group.send(pose)
        group.send(replace(pose, dancer=1))
    group.close()
    for recorder in group.sinks:
        recorder.wait()
        assert count(recorder.path) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["show-dancer1.npz", "show-dancer2.npz"]


def test_one_file_of_several_that_cannot_be_ends_the_others(tmp_path, monkeypatch):
    before = set(threading.enumerate())
    opened, open_journal = [], recording.Journal

    def failing(path, fps):
        if len(opened) == 2:
            raise OSError(24, "Too many open files")
        opened.append(open_journal(path, fps))
        return opened[-1]

    monkeypatch.setattr(recording, "Journal", failing)
    with pytest.raises(OSError, match="Too many open files"):
        open_recorder(str(tmp_path / "show.npz"), FPS, 3)
    assert len(opened) == 2
    for thread in set(threading.enumerate()) - before:
        thread.join(30.0)
        assert not thread.is_alive()
    assert not list(tmp_path.iterdir())


def test_whatever_a_writer_raises_is_the_trouble_of_the_recording(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("no room for the dance")

    monkeypatch.setitem(recording.WRITERS, ".npz", fail)
    with Recorder(tmp_path / "show.npz") as recorder:
        recorder.send(poses(0.1)[0])
    assert "no room for the dance" in recorder.error
    assert count(tmp_path / ".show.npz.journal") == 1


@pytest.mark.parametrize("suffix", [".vmd", ".vrma"])
def test_formats_that_are_made_in_memory_are_written_once(tmp_path, monkeypatch, suffix):
    write, written = recording.WRITERS[suffix], []
    monkeypatch.setitem(recording.WRITERS, suffix, lambda path, dance: (written.append(len(dance)), write(path, dance)))
    with Recorder(tmp_path / f"show{suffix}") as recorder:
        sent = poses(1.0)
        recorder.send(sent[0])
        wait_for(lambda: not recorder._rows)  # has gone to the journal, and would have been published
        time.sleep(0.3)
        for pose in sent[1:]:
            recorder.send(pose)
    assert written == [30]


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="Windows has no sessions of processes")
def test_what_the_terminal_sends_does_not_reach_the_program_of_a_film(tmp_path):
    recorder = Recorder(tmp_path / "show.mp4")
    program = recorder._output._program
    try:
        assert os.getsid(program.pid) != os.getsid(0)
        assert os.getpriority(os.PRIO_PROCESS, program.pid) >= 10
    finally:
        program.kill()
        recorder.close()
        recorder.wait()
    assert "the film could not be written" in recorder.error


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no processes")
@pytest.mark.parametrize("seconds", [1.0, 20.0])  # what the pipe holds, and more
def test_a_film_program_that_hangs_does_not_keep_the_show_from_ending(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(recording, "_PATIENCE", 0.5)
    recorder = Recorder(tmp_path / "show.mp4")
    program = recorder._output._program
    try:
        program.send_signal(signal.SIGSTOP)
        for pose in poses(seconds):
            recorder.send(pose)
        recorder.close()
        recorder._thread.join(20.0)
        assert not recorder._thread.is_alive()
    finally:
        program.kill()
    assert recorder.error


@pytest.mark.parametrize(("suffix", "package"), [(".vrma", "pygltflib"), (".mp4", "pygame")])
def test_a_missing_package_is_told_when_the_recording_begins(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"{package} is missing"):
        Recorder(tmp_path / f"show{suffix}")
    assert not list(tmp_path.iterdir())


SHOW = """
import sys, time
from pathlib import Path
import numpy as np
from dancerev.clients.recorders.recorder import Recorder
from dancerev.model.pose import Pose, rest_pose
rest = rest_pose()
recorder = Recorder(Path(sys.argv[1]))
began, sent = time.monotonic(), 0
print("recording", flush=True)
while True:
    while sent / 30 <= time.monotonic() - began:
        recorder.send(Pose(sent / 30, rest.rotations, rest.root, rest.contacts))
        sent += 1
        print(sent, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seconds", [1.9, 3.3])
def test_a_killed_show_leaves_a_file_that_lacks_a_second_at_most(tmp_path, suffix, seconds):
    path = tmp_path / f"show{suffix}"
    show = subprocess.Popen([sys.executable, "-c", SHOW, str(path)], stdout=subprocess.PIPE, text=True)
    sent = 0
    assert show.stdout.readline() == "recording\n"
    while sent < seconds * 30:
        sent = int(show.stdout.readline())
    show.kill()
    left, _ = show.communicate()
    sent = max([sent, *map(int, left.split())])
    if suffix == ".mp4":  # its program draws what it has been given, and ends
        wait_for(lambda: can_be_counted(path) and count(path) >= sent - 38)
    if suffix not in (".vrma", ".vmd"):
        assert count(path) >= sent - 38  # 30, and what a busy machine's thread may be late
    if suffix not in (".bvh", ".mp4"):
        assert count(tmp_path / f".show{suffix}.journal") >= sent - 15


def can_be_counted(path):
    try:
        return count(path) > 0
    except (InputError, av.FFmpegError, OSError):
        return False
