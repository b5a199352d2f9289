"""Fewer bits: smaller files of the same contract that dance nearly the same, and the measure that tells how nearly."""

import json

import numpy as np
import onnx
import pytest
from signals import write_wav

from dancerev.export.export import main
from dancerev.export.graph import save
from dancerev.export.parity import demo_features
from dancerev.export.precision import difference, in_precision, precision_of, times
from dancerev.export.tensorrt_engine import graph_tensors, with_dancers
from dancerev.model.step_format import METADATA_KEY
from dancerev.realtime.dance_model import model_path
from dancerev.realtime.generate import main as generate
from dancerev.realtime.providers import CPU, CUDA, TENSORRT


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """The bundled model in every precision, made by the command."""
    folder = tmp_path_factory.mktemp("precision")
    for precision in ("fp32", "fp16", "int8"):
        assert main(["default", "-o", str(folder / f"{precision}.onnx"), "--precision", precision]) == 0
    return folder


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.52), ("int8", 0.55)])
def test_smaller_with_the_same_inputs_outputs_and_metadata(variants, precision, share):
    before, after = (onnx.load(variants / f"{name}.onnx") for name in ("fp32", precision))
    assert after.ByteSize() < share * before.ByteSize()
    assert graph_tensors(with_dancers(after, 1)) == graph_tensors(with_dancers(before, 1))
    one, other = ({p.key: p.value for p in m.metadata_props}[METADATA_KEY] for m in (before, after))
    assert json.loads(one) == json.loads(other)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_model_is_copied_in_the_precision_it_has_and_in_no_other(variants, tmp_path, capsys, precision):
    source, out = variants / f"{precision}.onnx", tmp_path / "copy.onnx"
    assert precision_of(onnx.load(source)) == precision
    for arguments in ([], ["--precision", precision]):
        assert main([str(source), "-o", str(out), *arguments]) == 0
        assert f"{precision}, " in capsys.readouterr().out
        assert out.read_bytes() == source.read_bytes()
    for other in {"fp32", "fp16", "int8"} - {precision} if precision != "fp32" else ():
        assert main([str(source), "-o", str(out), "--precision", other]) == 2
        error = capsys.readouterr().err
        assert f"the model is in {precision}" in error
        assert error.count("\n") == 1
        assert out.read_bytes() == source.read_bytes()


@pytest.mark.slow
def test_only_a_model_in_fp32_is_compared_with_its_variants(variants, tmp_path, capsys):
    (tmp_path / "damaged.onnx").write_bytes((variants / "fp32.onnx").read_bytes()[:1000])
    for source in (variants / "int8.onnx", tmp_path / "damaged.onnx"):
        assert main([str(source), "--compare"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_bundled_variant_is_the_bundled_model_in_8_bits(variants):
    made, bundled = (onnx.load(path) for path in (variants / "int8.onnx", model_path("default", CPU)))
    assert bundled.graph.initializer == made.graph.initializer
    assert bundled.graph.node == made.graph.node
    assert bundled.metadata_props == made.metadata_props


def test_the_processor_gets_8_bits_and_a_graphics_card_or_an_export_32():
    assert model_path("default", CPU).name == "default.int8.onnx"
    for provider in (None, CUDA, TENSORRT):
        assert model_path("default", provider).name == "default.onnx"
    own = str(model_path("default"))
    assert model_path(own, CPU) == model_path("default")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "mean_mm", "max_mm"), [("fp16", 1.0, 10.0), ("int8", 3.0, 30.0)])
def test_the_bodies_stay_together(variants, precision, mean_mm, max_mm):
    apart = difference(variants / "fp32.onnx", variants / f"{precision}.onnx", demo_features(300))
    assert 0.0 < apart["mean_mm"] < mean_mm
    assert apart["mean_mm"] < apart["max_mm"] < max_mm
    assert apart["other_draws"] <= (0.003 if precision == "fp16" else 0.0)  # int8 leaves those of equal input alone


@pytest.mark.slow
def test_a_damaged_variant_is_found_out(variants, tmp_path):
    assert difference(variants / "fp32.onnx", variants / "fp32.onnx", demo_features(60)) == {
        "mean_mm": 0.0,
        "max_mm": 0.0,
        "other_draws": 0.0,
    }
    model = in_precision(onnx.load(variants / "fp32.onnx"), "fp32")
    weight = max(model.graph.initializer, key=lambda x: np.prod(x.dims))
    array = onnx.numpy_helper.to_array(weight).copy()
    array[: len(array) // 8] = 0.0
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    save(model, tmp_path / "damaged.onnx")
    assert difference(variants / "fp32.onnx", tmp_path / "damaged.onnx", demo_features(60))["mean_mm"] > 3.0


def test_every_variant_dances_a_song(variants, tmp_path):
    beats = np.arange(16000 * 5) % 8000
    write_wav(tmp_path / "song.wav", 0.6 * np.sin(beats * 0.03) * np.exp(-beats / 1500), 16000)
    for precision in ("fp16", "int8"):
        out = tmp_path / f"{precision}.npz"
        assert (
            generate(
                [
                    str(tmp_path / "song.wav"),
                    "-o",
                    str(out),
                    "--model",
                    str(variants / f"{precision}.onnx"),
                    "--fps",
                    "15",
                ]
            )
            == 0
        )
        with np.load(out) as dance:
            assert np.isfinite(dance["positions"]).all()


@pytest.mark.slow
def test_times_are_of_every_model(variants):
    spent = times([variants / "fp32.onnx", variants / "int8.onnx"], demo_features(20), paced=False)
    assert [len(each) for each in spent] == [20, 20]
    assert min(each.min() for each in spent) > 0.0
