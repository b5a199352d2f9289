"""Whole sequence, step and graph give the same dance, and the proof of it notices when they do not."""

import copy

import numpy as np
import onnx
import onnx.reference
import pytest
import torch

from dancerev.export import export
from dancerev.export.parity import (
    FED_BACK_LIMIT,
    TEACHER_FORCED_LIMIT,
    StepSession,
    demo_features,
    fed_back,
    random_features,
    teacher_forced,
)
from dancerev.model.step_format import INPUTS, POSE_OUTPUT, state_names
from dancerev.realtime.dance_model import DanceModel, model_path


@pytest.mark.parametrize(
    ("music", "frames", "dancers"), [(random_features, 4500, 1), (demo_features, 1200, 1), (random_features, 240, 3)]
)
def test_teacher_forced(network, exported, music, frames, dancers):
    differences = teacher_forced(network, exported, music(frames), dancers)
    assert max(differences.values()) <= TEACHER_FORCED_LIMIT, differences


@pytest.mark.parametrize(("music", "dancers"), [(random_features, 2), (demo_features, 1)])
def test_fed_back(network, exported, music, dancers):
    assert fed_back(network, exported, music(300), dancers) <= FED_BACK_LIMIT


def test_another_network_is_found_out(network, exported):
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.output_known.weight[0, 0] += 0.01
    differences = teacher_forced(other, exported, random_features(40))
    assert differences["step, forward"] <= TEACHER_FORCED_LIMIT
    assert min(d for name, d in differences.items() if "graph" in name) > TEACHER_FORCED_LIMIT
    assert fed_back(other, exported, random_features(300)) > FED_BACK_LIMIT


def test_verify_tells_and_ends_accordingly(network, exported, monkeypatch, capsys):
    for worst, code in ((1e-6, 0), (1e-2, 1), (float("nan"), 1)):
        monkeypatch.setattr(export, "prove", lambda *_, worst=worst: [("this, that", worst, 1e-3)])
        assert export.verify(network, exported) == code
        printed = capsys.readouterr()
        assert "this, that" in printed.out
        assert printed.err.count("\n") == code


def test_the_bundled_model_is_run_as_its_file_says():
    """The stage's session, optimised, in place, without copies, against an interpreter of the file: another program."""
    model = DanceModel(str(model_path("default")))
    interpreter = onnx.reference.ReferenceEvaluator(str(model_path("default")))
    zeros = StepSession(model_path("default")).zeros
    state = {name: zeros[name] for name in state_names(zeros)}
    stance = np.random.default_rng(0).normal(size=state["pose"].shape).astype(np.float32)
    model.reset(stance)
    state["pose"] = stance
    rng, style = np.random.default_rng(1), model.style_vector(model.styles[0])
    for heard in demo_features(150)[60:]:
        given = (heard, style, rng.normal(size=2), rng.gumbel(size=model.codes))
        rows = {name: np.asarray(x, np.float32)[None] for name, x in zip(INPUTS, given, strict=True)}
        out, *new = interpreter.run([POSE_OUTPUT, *(f"new_{name}" for name in state)], rows | state)
        state = dict(zip(state, new, strict=True))
        np.testing.assert_allclose(model.step(*given), out, atol=FED_BACK_LIMIT)
