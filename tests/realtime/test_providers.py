"""What runs where: options, fallback that is said, engines kept in the user's cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from dancerev.realtime import providers
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.providers import CPU, CUDA, PROVIDERS, TENSORRT, cache_folder, wanted_providers


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "dancerev"


@pytest.mark.parametrize(
    ("provider", "names"),
    [("auto", [CPU]), ("cpu", [CPU]), ("cuda", [CUDA, CPU]), ("tensorrt", [TENSORRT, CUDA, CPU])],
)
def test_each_falls_back_on_the_next(cache, provider, names):
    assert provider in PROVIDERS
    assert [name for name, _ in wanted_providers(provider)] == names


def test_the_cache_is_where_the_platform_keeps_such_files(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "dancerev"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "dancerev"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "C:\\Local")
    assert cache_folder() == Path("C:\\Local") / "dancerev"


def test_engines_are_kept(cache):
    options = dict(wanted_providers("tensorrt"))[TENSORRT]
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_dir()
    assert folder.is_relative_to(cache)
    assert options["trt_timing_cache_path"] == str(folder)
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "True"


def test_a_cache_that_cannot_be_written_stops_no_show(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(providers, "cache_folder", lambda: tmp_path / "file")
    assert "trt_engine_cache_enable" not in dict(wanted_providers("tensorrt"))[TENSORRT]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_runs_is_what_is_said(cache, monkeypatch, capsys, provider):
    """The session is given the options, and names the provider that the library took, whichever that is here."""
    given = []
    session = onnxruntime.InferenceSession

    def noted(path, options, providers):
        given.append(providers)
        return session(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    model = DanceModel(provider=provider)
    assert given == [wanted_providers(provider)]
    wanted = given[0][0][0]
    if model.provider == wanted:
        assert model.note is None
    else:
        asked = f"are the driver and dancerev[{provider}] installed?"
        assert model.note == f"{wanted} does not load here ({asked}): {model.provider} runs instead"
    assert capsys.readouterr().out == ""
    pose = model.step(
        np.zeros(26), model.style_vector("any"), np.zeros(2), np.zeros(2), 0.0, 0.0, np.zeros(model.codes)
    )
    assert np.isfinite(pose).all()


def test_onnx_runtime_keeps_nothing_about_its_user(tmp_path):
    """No file in the home folder: its telemetry is off before it is loaded."""
    program = (
        "import socket, os\n"
        "from dancerev.realtime.dance_model import DanceModel\n"
        "DanceModel()\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == b""
    assert not list(tmp_path.rglob("*.db*"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_onnx_runtime_asks_nobody_on_the_network(tmp_path):
    """Its telemetry looks up a host ten seconds after the first session was made, and again at the end."""
    program = "import time; from dancerev.realtime.dance_model import DanceModel; DanceModel(); time.sleep(15)"
    log = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log]
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([*trace, sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr
    asked = [line for line in log.read_text(errors="replace").splitlines() if "AF_INET" in line or "events" in line]
    assert asked == []
