"""The exported step does what the network does, and the stage refuses what it cannot dance with."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
import torch

from dancerev.errors import ModelError
from dancerev.export import export
from dancerev.export.export import main
from dancerev.model.features import FEATURE_SIZE, FEATURE_VERSION
from dancerev.model.network.dance_network import Conditions, DanceNetwork
from dancerev.model.pose import rest_vector
from dancerev.model.step_format import METADATA_KEY
from dancerev.model.whole_file import write_whole
from dancerev.realtime.dance_model import DanceModel


@pytest.mark.slow
def test_the_session_runs_the_same_steps(network, exported):
    """IO binding over two swapped states gives what feeding arrays back by hand gives in torch."""
    model = DanceModel(str(exported), provider="cpu")
    assert model.provider == "CPUExecutionProvider"
    assert model.note is None
    rng = np.random.default_rng(0)
    state, style = None, model.style_vector("two")
    for _ in range(40):
        features = rng.random(FEATURE_SIZE, dtype=np.float32)
        stage = rng.normal(size=2).astype(np.float32)
        noise = rng.gumbel(size=model.codes).astype(np.float32)
        audience, vigour, phrase = rng.normal(size=2), rng.normal(size=1), rng.random(1)
        given = [np.asarray(x, np.float32) for x in (features, style, stage, audience, vigour, phrase)]
        ours = model.step(*given, noise)
        with torch.no_grad():
            if state is None:
                state = network.initial_state(torch.from_numpy(rest_vector())[None])
            conditions = Conditions(*(torch.from_numpy(x)[None] for x in given))
            theirs, state = network.step(conditions, torch.from_numpy(noise)[None], state)
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_reset_starts_the_same_dance_again(exported):
    model = DanceModel(str(exported))
    given = np.ones(FEATURE_SIZE), model.style_vector("any"), np.zeros(2), np.zeros(2), 0.0, 0.0, np.zeros(model.codes)
    first = [model.step(*given).copy() for _ in range(5)]
    model.reset()
    again = [model.step(*given).copy() for _ in range(5)]
    np.testing.assert_array_equal(first, again)


def test_a_batch_of_dancers_dances_as_each_would_alone(exported):
    """One step for all; what one is given does not reach another."""
    rng = np.random.default_rng(1)
    together, alone = DanceModel(str(exported), dancers=3), [DanceModel(str(exported)) for _ in range(3)]
    style = np.array([alone[0].style_vector(name) for name in ("one", "any", "two")])
    for _ in range(30):
        features = rng.random((3, FEATURE_SIZE), dtype=np.float32)
        stage, audience = rng.normal(size=(2, 3, 2))
        vigour, phrase = rng.normal(size=(2, 3, 1))
        given = features, style, stage, audience, vigour, phrase, rng.gumbel(size=(3, together.codes))
        poses = together.step(*given)
        for k, model in enumerate(alone):
            single = model.step(*(rows[k] for rows in given))
            np.testing.assert_allclose(poses[k : k + 1], single, atol=1e-5)


def test_a_graph_for_so_many_dancers_is_not_danced_by_others(exported, tmp_path):
    model = onnx.load(exported)
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = 3
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "three.onnx")
    DanceModel(str(tmp_path / "three.onnx"), dancers=3)
    with pytest.raises(ModelError, match="dances with 3 at a time, not with 1; export it again"):
        DanceModel(str(tmp_path / "three.onnx"))


def test_styles(exported):
    model = DanceModel(str(exported))
    assert model.styles == ("one", "two")
    np.testing.assert_array_equal(model.style_vector("one"), [1, 0])
    np.testing.assert_array_equal(model.style_vector("any"), [0, 0])
    with pytest.raises(ModelError, match="unknown style 'three'; this model has one, two, or any"):
        model.style_vector("three")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format_version": 99}, "another format version 99"),
        ({"feature_version": 0}, "another feature version 0"),
        ({"bones": ["Hips"]}, "another bones"),
        ({"frame_rate": 30}, "another frame rate 30"),
    ],
)
def test_a_model_for_something_else_is_refused(exported, tmp_path, change, complaint):
    model = onnx.load(exported)
    metadata = {p.key: p.value for p in model.metadata_props}
    metadata[METADATA_KEY] = json.dumps(json.loads(metadata[METADATA_KEY]) | change)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=complaint):
        DanceModel(str(tmp_path / "other.onnx"))


def test_files_of_another_kind_are_refused(exported, tmp_path):
    with pytest.raises(ModelError, match="not a bundled model"):
        DanceModel("nosuch")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="not a model that ONNX Runtime can load"):
        DanceModel(str(tmp_path / "text.onnx"))
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="not one of dancerev-export"):
        DanceModel(str(tmp_path / "bare.onnx"))


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"",
        pickle.dumps(slice(3), protocol=2),  # what torch will not load
        {"model": {}},
        {"hyper_parameters": {"config": {"phrase": 4}}, "state_dict": {}},  # of an earlier network
        {"hyper_parameters": {"config": {}}, "state_dict": {"network.output.bias": torch.zeros(3)}},
    ],
)
def test_export_of_no_checkpoint_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "no.ckpt"
    torch.save(content, path) if isinstance(content, dict) else path.write_bytes(content)
    assert main([str(path), "-o", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a checkpoint of dancerev-train" in error


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04 cut", "zip of something else", None])
def test_what_is_no_checkpoint_is_found_without_pytorch(tmp_path, monkeypatch, content):
    """That takes many seconds to import."""
    source = tmp_path / "bad.pt"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content:
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("readme.txt", content)
    else:
        source = tmp_path / "missing.onnx"
    script = "import sys; from dancerev.commands import export; sys.exit(export() + 9 * ('torch' in sys.modules))"
    command = [sys.executable, "-c", script, str(source), "-o", str(tmp_path / "x.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert str(source) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ModelError("{draft}: differs")])
def test_what_fails_is_told_of_the_file_that_was_asked_for(network, tmp_path, monkeypatch, capsys, error):
    save_checkpoint(tmp_path / "a.ckpt", network)

    def fail(network, path, licence):
        if isinstance(error, OSError):
            write_whole(path, raising(error))
        raise ModelError(str(error).format(draft=path))

    monkeypatch.setattr(export, "export_step", fail)
    out = tmp_path / "dance.onnx"
    assert main([str(tmp_path / "a.ckpt"), "-o", str(out)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"dancerev-export: {out}: ")
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def raising(error):
    def write(_):
        raise error

    return write


def save_checkpoint(path, network, **hyper_parameters):
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    kept = {"config": asdict(network.config), "feature_version": FEATURE_VERSION} | hyper_parameters
    torch.save({"state_dict": weights, "hyper_parameters": kept}, path)


@pytest.mark.parametrize("version", [2, FEATURE_VERSION + 1])
def test_weights_of_other_features_are_refused(network, tmp_path, capsys, version):
    """Else the graph would say that it knows the features of this program."""
    path, out = tmp_path / "a.ckpt", tmp_path / "a.onnx"
    save_checkpoint(path, network, feature_version=version)
    assert main([str(path), "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"features of version {version}, this program has {FEATURE_VERSION}" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_network_that_looks_ahead_is_refused(network, tmp_path, capsys):
    save_checkpoint(tmp_path / "ahead.ckpt", DanceNetwork(replace(network.config, look_ahead=5)))
    assert main([str(tmp_path / "ahead.ckpt"), "-o", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert "generate_offline --ours" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("length", [0, 100, 40_000])
def test_a_damaged_model_is_one_line(exported, tmp_path, capsys, length):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(exported.read_bytes()[:length])
    assert main([str(path), "-o", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert f"{path}: " in error
    assert error.count("\n") == 1


def test_what_fails_leaves_the_file_that_was_there(network, exported, tmp_path, monkeypatch, capsys):
    out, checkpoint = tmp_path / "dance.onnx", tmp_path / "a.ckpt"
    out.write_text("of yesterday")
    save_checkpoint(checkpoint, network)
    monkeypatch.setattr(export, "export_step", lambda network, path, licence: shutil.copyfile(exported, path))
    monkeypatch.setattr(export, "prove", lambda *_: [("this, that", 1.0, 1e-3)])
    assert main([str(checkpoint), "-o", str(out), "--verify"]) == 1
    assert main([str(exported), "-o", str(out), "--verify"]) == 2

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "in_precision", full)
    assert main([str(checkpoint), "-o", str(out), "--precision", "int8"]) == 2
    assert out.read_text() == "of yesterday"
    assert {path.name for path in tmp_path.iterdir()} == {"dance.onnx", "a.ckpt"}
    os.mkfifo(tmp_path / "pipe")
    for nowhere in (tmp_path, tmp_path / "none" / "dance.onnx", tmp_path / "pipe"):
        capsys.readouterr()
        assert main([str(checkpoint), "-o", str(nowhere)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"dancerev-export: {nowhere}: ")
        assert error.count("\n") == 1
    assert (tmp_path / "pipe").is_fifo()
