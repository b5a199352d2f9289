"""A real engine from the bundled model, without a graphics card; it takes and gives what the graph does."""

import re

import numpy as np
import onnx
import pytest

from dancerev.errors import ModelError
from dancerev.export import tensorrt_engine
from dancerev.export.export import main
from dancerev.export.tensorrt_engine import BUILDERS, build_engine, graph_tensors, with_dancers
from dancerev.realtime.dance_model import DanceModel, model_path

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 Linux only")


def plan_tensors(engine, names):
    """What the compiled engine says of the tensors ``names``: read from the plan itself, as it opens on a card only."""
    types = {b"float": "float32", b"int64": "int64", b"half": "float16"}
    record = re.compile(rb'tensor=\{[^\n]*? dims=\{ ([\d ]*?) ?\}[^\n]*? name="(\w+)(?:\.\d+)?"[^\n]*? type=(\w+) \}')
    found = {}
    for sizes, name, kind in record.findall(engine):
        if name.decode() in names:
            found[name.decode()] = (types[kind], tuple(map(int, sizes.split())))
    return found


def plan_ports(engine, which):
    """Names of the plan's ``inputs`` or ``outputs``."""
    listed = re.search(rb"\n *" + which + rb"=\{ ([^}]*)\}", engine)[1]
    return {name.decode().split(".")[0] for name in re.findall(rb'"([^"]+)"', listed)}


def test_an_engine_of_the_bundled_model(tmp_path, capsys):
    out = tmp_path / "dance.onnx"
    assert main(["default", "-o", str(out), "--tensorrt"]) == 0
    printed = capsys.readouterr()
    assert "dance.tensorrt-rtx.engine" in printed.out
    engine = (tmp_path / "dance.tensorrt-rtx.engine").read_bytes()
    model = with_dancers(onnx.load(model_path("default")), 1)
    expected = graph_tensors(model)
    assert plan_tensors(engine, expected) == expected
    assert plan_ports(engine, b"inputs") == {x.name for x in model.graph.input}
    assert plan_ports(engine, b"outputs") == {x.name for x in model.graph.output}
    # It holds the weights, all of them: it could not dance without.
    assert len(engine) > sum(onnx.numpy_helper.to_array(x).nbytes for x in model.graph.initializer)


def test_an_engine_for_several_dancers(exported):
    engine = build_engine("tensorrt-rtx", onnx.load(exported), 5)
    expected = graph_tensors(with_dancers(onnx.load(exported), 5))
    assert expected["features"][1][0] == 5
    assert plan_tensors(engine, expected) == expected


def test_static_shapes_are_the_same_dance(exported, tmp_path):
    onnx.save(with_dancers(onnx.load(exported), 2), tmp_path / "two.onnx")
    rng = np.random.default_rng(0)
    models = DanceModel(str(tmp_path / "two.onnx"), dancers=2), DanceModel(str(exported), dancers=2)
    for _ in range(5):
        places = rng.normal(size=2), rng.normal(size=2)  # of the stage's centre and of the audience
        given = rng.random(26), np.zeros(2), *places, 0.3, 0.5, rng.gumbel(size=models[0].codes)
        np.testing.assert_allclose(models[0].step(*given), models[1].step(*given), atol=1e-6)
    with pytest.raises(ModelError, match="for 2 dancers, not 3"):
        with_dancers(onnx.load(tmp_path / "two.onnx"), 3)


def test_what_cannot_be_built_is_said_and_the_rest_is_built(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BUILDERS, "tensorrt", "no_such_package")
    (tmp_path / "x.onnx").write_bytes(exported.read_bytes())
    built, reasons = tensorrt_engine.build_engines(tmp_path / "x.onnx")
    assert [file.name for file in built] == ["x.tensorrt-rtx.engine"]
    assert reasons == ["tensorrt: its Python package no_such_package does not load (No module named 'no_such_package')"]
    monkeypatch.setitem(BUILDERS, "tensorrt-rtx", "no_such_package")
    assert main([str(exported), "-o", str(tmp_path / "y.onnx"), "--tensorrt"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dancerev-export: tensorrt: ")
    assert error.count("\n") == 1
