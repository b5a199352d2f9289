"""What is not a model for this program is refused in one line, quickly, whatever it is instead."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dancerev.errors import ModelError
from dancerev.model.step_format import METADATA_KEY
from dancerev.realtime.dance_model import DanceModel, model_path
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.stream import DanceStream

BUNDLED = model_path("default")


def metadata_of(model):
    return next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)


def change(**values):
    def apply(model):
        entry = metadata_of(model)
        entry.value = json.dumps(json.loads(entry.value) | values)

    return apply


def text(value):
    def apply(model):
        metadata_of(model).value = value

    return apply


def no_metadata(model):
    del model.metadata_props[:]


def renamed(side, name, new):
    def apply(model):
        for value in getattr(model.graph, side):
            if value.name == name:
                value.name = new
        for node in model.graph.node:
            names = node.input if side == "input" else node.output
            names[:] = [new if each == name else each for each in names]

    return apply


def reshaped(name, shape, kind=TensorProto.FLOAT):
    """The input becomes one that nothing reads, of another shape, and the old one a constant."""

    def apply(model):
        graph = model.graph
        old = next(value for value in graph.input if value.name == name)
        dims = [d.dim_value or 1 for d in old.type.tensor_type.shape.dim]
        old_type = old.type.tensor_type.elem_type
        dtype = np.int64 if old_type == TensorProto.INT64 else np.float32
        for node in graph.node:
            node.input[:] = [f"{name}_constant" if each == name else each for each in node.input]
        graph.initializer.append(numpy_helper.from_array(np.zeros(dims, dtype), f"{name}_constant"))
        old.CopyFrom(helper.make_tensor_value_info(name, kind, shape))

    return apply


def dropped_output(name):
    def apply(model):
        kept = [value for value in model.graph.output if value.name != name]
        del model.graph.output[:]
        model.graph.output.extend(kept)

    return apply


def never_ends(model):
    """A loop of 2^62 turns stands between the pose and its output."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["pose_before" if each == "new_pose_vector" else each for each in node.output]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [1, 138]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, [1, 138]),
        ],
    )
    graph.initializer.append(numpy_helper.from_array(np.array(2**62, np.int64), "turns"))
    graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    graph.node.append(helper.make_node("Loop", ["turns", "yes", "pose_before"], ["new_pose_vector"], body=body))


def not_finite(model):
    for node in model.graph.node:
        node.output[:] = ["pose_before" if each == "new_pose_vector" else each for each in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))
    model.graph.node.append(helper.make_node("Mul", ["pose_before", "nan"], ["new_pose_vector"]))


CHANGES = {
    "no metadata": no_metadata,
    "not JSON": text("{"),
    "a list": text("[]"),
    "a number": text("7"),
    "nested JSON": text("[" * 100_000),
    "huge number": text('{"codes": ' + "9" * 5000 + "}"),
    "no format": change(format_version=None),
    "future format": change(format_version=99),
    "odd format": change(format_version={"a": [1] * 1000}),
    "other features": change(features=["loudness"]),
    "other bones": change(bones=["Hips"]),
    "other rate": change(frame_rate=60),
    "other pose": change(pose_size=3),
    "no styles": change(styles=[]),
    "styles a text": change(styles="salsa"),
    "styles numbers": change(styles=[1, 2, 3, 4]),
    "styles twice": change(styles=["a", "a", "b", "c"]),
    "too many styles": change(styles=["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]),
    "no codes": change(codes=None),
    "codes a text": change(codes="625"),
    "codes true": change(codes=True),
    "other codes": change(codes=7),
    "negative codes": change(codes=-1),
    "odd default": change(default_style="polka"),
    "odd vigour": change(vigour=["much"]),
    "vigour of one style": change(vigour={"inputs": [-1.0, 1.0], "reached": [[-1.0, 1.0]]}),
    "NaN vigour": change(vigour={"inputs": [-1.0, 1.0], "reached": [[-1.0, float("nan")]] * 4}),
    "vigour beyond float": change(vigour={"inputs": [-1.0, 10**400], "reached": [[-1.0, 1.0]] * 4}),
    "short vigour": change(vigour={"inputs": [-1.0], "reached": [[-1.0]] * 4}),
    "no noise": renamed("input", "noise", "loudness"),
    "no style": renamed("input", "style", "fashion"),
    "no pose out": renamed("output", "new_pose_vector", "result"),
    "state lost": dropped_output("new_pose"),
    "features wide": reshaped("features", [1, 27]),
    "features flat": reshaped("features", [26]),
    "features whole": reshaped("features", [1, 26], TensorProto.INT64),
    "state huge": reshaped("half", [1 << 20, 1 << 20]),
    "state text": reshaped("half", [1], TensorProto.STRING),
    "state of any size": reshaped("half", ["anything"]),
    "several dancers": reshaped("style", [3, 4]),
    "not finite": not_finite,
    "never ends": never_ends,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_model_for_us_is_refused_in_one_line(tmp_path, name):
    model = onnx.load(BUNDLED)
    CHANGES[name](model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError) as error:
        DanceModel(str(path))
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"ONNX", b"text\n" * 1000], ids=range(4))
def test_what_is_no_onnx_at_all(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        DanceModel(str(path))
    assert "\n" not in str(error.value)


def test_a_step_that_fails_in_a_show_is_told_and_the_dancers_hold(monkeypatch):
    stream = DanceStream(Dancer())
    model = stream.dancers[0].model
    frame = np.zeros(1600, dtype=np.float32)
    stream.push(frame)

    def fail(binding):
        raise ModelError("one step of the network takes more than 1 s")

    guarded = model._guard.run
    monkeypatch.setattr(model._guard, "run", fail)
    poses, _ = stream.push(frame)
    assert all(pose.is_finite() for pose in poses)
    assert model.fault == "one step of the network takes more than 1 s"
    monkeypatch.setattr(model._guard, "run", guarded)
    model.fault = None
    poses, _ = stream.push(frame)
    assert all(pose.is_finite() for pose in poses)
    assert model.fault is None
