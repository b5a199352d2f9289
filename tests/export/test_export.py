"""The exported step does what the network does, and the stage refuses what it cannot dance with."""

import json

import numpy as np
import onnx
import pytest
import torch

from dancerev.export.export import export_step, main, parity, rest_vector
from dancerev.model.features import FEATURE_SIZE
from dancerev.model.network import DanceConfig, DanceNetwork
from dancerev.model.step_format import METADATA_KEY
from dancerev.realtime.session import DanceModel, ModelError

TINY = DanceConfig(
    styles=("one", "two"), width=16, heads=2, feed_forward=32, window=9, hidden=24, lstm_layers=3, levels=(3, 5)
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = DanceNetwork(TINY).eval()
    network.feature_mean.normal_()
    return network


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_step(network, path, licence="CC0")
    return path


def test_fed_back_parity(network, exported):
    assert parity(network, exported) < 1e-4


def test_a_batch_of_dancers(network, tmp_path):
    export_step(network, tmp_path / "three.onnx", batch=3)
    assert parity(network, tmp_path / "three.onnx", frames=50) < 1e-4
    with pytest.raises(ModelError, match="dancers 3, this program needs 1"):
        DanceModel(str(tmp_path / "three.onnx"))


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
        ours = model.step(features, style, stage, noise)
        with torch.no_grad():
            if state is None:
                state = network.initial_state(rest_vector())
            theirs, state = network.step(
                torch.from_numpy(features)[None],
                torch.from_numpy(style)[None],
                torch.from_numpy(stage)[None],
                torch.from_numpy(noise)[None],
                state,
            )
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-4)


def test_reset_starts_the_same_dance_again(exported):
    model = DanceModel(str(exported))
    features, style, stage = np.ones(FEATURE_SIZE, np.float32), model.style_vector("any"), np.zeros(2, np.float32)
    noise = np.zeros(model.codes, np.float32)
    first = [model.step(features, style, stage, noise).copy() for _ in range(5)]
    model.reset()
    again = [model.step(features, style, stage, noise).copy() for _ in range(5)]
    np.testing.assert_array_equal(first, again)


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


def test_export_of_no_checkpoint_is_one_line(tmp_path, capsys):
    (tmp_path / "no.ckpt").write_text("hello")
    assert main([str(tmp_path / "no.ckpt"), "-o", str(tmp_path / "x.onnx")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
