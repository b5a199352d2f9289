"""Whole sequence, step and graph give the same dance, and the proof of it notices when they do not."""

import copy

import numpy as np
import onnx
import onnx.reference
import pytest
import torch

from dancerev.export import export
from dancerev.export.parity import (
    FREE_RUNNING_LIMIT,
    TEACHER_FORCED_LIMIT,
    StepSession,
    demo_features,
    free_running,
    random_features,
    teacher_forced,
)
from dancerev.model.step_format import INPUTS, POSE_OUTPUT, state_names
from dancerev.realtime.dance_model import DanceModel, model_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("music", "frames", "dancers"), [(random_features, 1500, 1), (demo_features, 1200, 1), (random_features, 240, 3)]
)
def test_teacher_forced(network, exported, music, frames, dancers):
    differences = teacher_forced(network, exported, music(frames), dancers)
    assert max(differences.values()) <= TEACHER_FORCED_LIMIT, differences


@pytest.mark.slow
@pytest.mark.parametrize(("music", "dancers"), [(random_features, 2), (demo_features, 1)])
def test_free_running(network, exported, music, dancers):
    assert free_running(network, exported, music(300), dancers) <= FREE_RUNNING_LIMIT


def test_another_network_is_found_out(network, exported):
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.output_known.weight[0, 0] += 0.01
    differences = teacher_forced(other, exported, random_features(40))
    assert differences["step, forward"] <= TEACHER_FORCED_LIMIT
    assert min(d for name, d in differences.items() if "graph" in name) > TEACHER_FORCED_LIMIT
    assert free_running(other, exported, random_features(300)) > FREE_RUNNING_LIMIT


def test_verify_says_whether_they_agree(network, exported, monkeypatch, capsys):
    for worst, agree in ((1e-6, True), (1e-2, False), (float("nan"), False)):
        monkeypatch.setattr(export, "prove", lambda *_, worst=worst: [("this, that", worst, 1e-3)])
        assert export.verify(network, exported) is agree
        printed = capsys.readouterr().out
        assert "this, that" in printed
        assert ("NOT verified" in printed) is not agree


@pytest.mark.slow
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
        noise = rng.gumbel(size=model.codes)
        given = (heard, style, rng.normal(size=2), rng.normal(size=2), rng.normal(size=1), rng.random(1), noise)
        rows = {name: np.asarray(x, np.float32)[None] for name, x in zip(INPUTS, given, strict=True) if name in zeros}
        out, *new = interpreter.run([POSE_OUTPUT, *(f"new_{name}" for name in state)], rows | state)
        state = dict(zip(state, new, strict=True))
        np.testing.assert_allclose(model.step(*given), out, atol=FREE_RUNNING_LIMIT)
