"""A show never waits for who reads what it prints, and ends with everything finished however it is ended."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from receiver import Receiver, frames, notes

LIVE = [sys.executable, "-m", "dancerev.realtime.live", "--input", "demo", "--mute", "--no-preview"]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def target(receiver):
    return ["--osc", f"127.0.0.1:{receiver.port}"]


def wait_for_poses(receiver, process, count=30):
    until = time.perf_counter() + 30.0
    while len(frames(receiver.datagrams)) < count and process.poll() is None and time.perf_counter() < until:
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_show_with_its_statistics(receiver, tmp_path, name):
    stats = tmp_path / "s.json"
    process = subprocess.Popen([*LIVE, *target(receiver), "--stats", stats], stderr=subprocess.PIPE, text=True)
    wait_for_poses(receiver, process)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=20)
    assert (process.returncode, notes(err)) == (0, "")
    assert json.loads(stats.read_text())["poses_sent"] > 0


@pytest.mark.slow
def test_a_hangup_that_is_ignored_is_ignored(receiver):
    """As under nohup."""
    program = (
        "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    process = subprocess.Popen([sys.executable, "-c", program, *LIVE[1:], *target(receiver)], stderr=subprocess.PIPE)
    wait_for_poses(receiver, process)
    process.send_signal(signal.SIGHUP)
    wait_for_poses(receiver, process, len(frames(receiver.datagrams)) + 20)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_ctrl_c_at_the_start_is_silent(delay):
    """From the moment at which the command's own imports begin; before, Python has not come to it."""
    script = Path(sys.executable).parent / "dancerev-live"
    if not script.exists() or not Path("/proc/self/maps").exists():
        pytest.skip("dancerev is not installed with its scripts, or the system does not show what a process has loaded")
    process = subprocess.Popen([script, *LIVE[3:]], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 20.0
    while "numpy" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace"):
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    assert process.returncode in (130, 0, -2)


FEW = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); "  # bytes of any file


@pytest.mark.slow
@pytest.mark.parametrize("record", [False, True])
def test_a_pipe_that_nobody_reads_does_not_stop_the_dance(receiver, tmp_path, record):
    """Full from the beginning; a note has to be written too, and one on a recording that fails."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    program = (FEW if record else "") + "import sys; from dancerev.realtime.live import main; sys.exit(main())"
    more = ["--record", str(tmp_path / "show.bvh")] if record else []
    command = [sys.executable, "-c", program, *LIVE[3:], *target(receiver), "--osc", "[fe80::1%lo]:9", *more]
    process = subprocess.Popen(command, stderr=writing)
    wait_for_poses(receiver, process)
    assert len(frames(receiver.datagrams)) >= 20
    if record:
        time.sleep(1.0)  # the recording fails
    process.terminate()
    assert process.wait(timeout=20) == (2 if record else 0)
    os.close(reading)
    os.close(writing)


@pytest.mark.slow
@pytest.mark.parametrize("closing", ["2>&-", "0<&- 1>&- 2>&-", "2>/dev/full"])
def test_without_a_stderr_it_dances(receiver, closing):
    command = " ".join([*LIVE, *target(receiver), "--duration", "1", closing])
    done = subprocess.run(["bash", "-c", command], timeout=60, check=False)
    assert done.returncode == 0
    assert len(frames(receiver.datagrams)) >= 10


def test_statistics_into_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "stats")
    done = subprocess.run(
        [*LIVE, "--stats", tmp_path / "stats"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is a pipe" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--style", "salsa,foo"), "unknown style 'foo'"),
        (("--stats", "/none/x"), "/none/x: No such file or directory"),
        (("--control", "90000"), "--control: port 90000 is out of range"),
        (("--control", "9" * 5000), "is out of range"),
        (("--web", "9" * 5000), "is out of range"),
        (("--web", "a..b:9000"), "not a host name"),
        (("--settings", "/none/x.toml"), "/none/x.toml: No such file"),
        (("--cues", "/none/x.toml"), "/none/x.toml: No such file"),
        (("--vigour", "9"), "vigour: '9' is not a number from 0 to 1.5"),
        (("--crew", "duet"), "crew: 'duet' is none of free, unison, canon, mirror"),
        (("--dancers", "65"), "1 to 64"),
        (("--height", "1.75"), "--height does nothing without --protocol vrchat"),
        (("--style", "salsa,modern"), "--style: 2 styles for 1 dancer"),
        (("--record", "show"), "show: the name of the dance must end in .npz, .bvh, .vrma, .vmd or .mp4\n"),
    ],
)
def test_mistakes_are_one_line(arguments, complaint):
    done = subprocess.run([*LIVE, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr
    assert "[Errno" not in done.stderr


@pytest.mark.parametrize(
    ("control", "complaint"),
    [
        ('style = "polka"', "unknown style 'polka'"),
        ('style = "salsa:2,polka:1"', "unknown style 'polka'"),
        ('record = "show.wav"', "must end in .npz"),
        ('learn = "volume"', "there is no control 'volume'"),
    ],
)
def test_a_cue_that_the_show_cannot_do_is_told_at_the_start(tmp_path, control, complaint):
    (tmp_path / "cues.toml").write_text(f"[[cue]]\nat = 1\nvigour = 1\n[[cue]]\nat = 3600\n{control}\n")
    command = [*LIVE, "--cues", tmp_path / "cues.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cues.toml: cue 2: " in done.stderr
    assert complaint in done.stderr


@pytest.mark.slow
def test_a_summary_ends_the_show_and_no_other(receiver, tmp_path):
    """Also where nobody looks: the log of a show says how it went."""
    options = [*target(receiver), "--duration", "1"]
    done = subprocess.run([*LIVE, *options], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"danced 0:01 with 1 dancer on \w+: \d+ poses(, \d+ late)?", done.stderr.splitlines()[-1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ["--web", f"127.0.0.1:{taken.getsockname()[1]}"]
        done = subprocess.run([*LIVE, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "danced" not in done.stderr


def test_help_fits_a_screen_and_lists_come_in_full():
    def answer(*arguments):
        done = subprocess.run([*LIVE[:3], *arguments], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.splitlines()

    assert len(answer("--help")) <= 24
    everything = answer("--help-all")
    assert max(map(len, answer("--help") + everything)) <= 80
    assert any("--bpm-range" in line for line in everything)
    assert answer("--list-styles")[-1] == "any"
    assert answer("--version")[0].startswith("dancerev ")
