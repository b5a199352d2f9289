"""The speed that is measured is that of the dances, and the stage asks for a size by it."""

from pathlib import Path

import numpy as np
import torch

from dancerev.export.export import export_step
from dancerev.model.corpus.shards import Corpus, DanceSequence
from dancerev.model.features import ACTIVITY, FEATURE_SIZE
from dancerev.model.network.config import VIGOUR_INPUTS, DanceConfig
from dancerev.model.network.dance_network import DanceNetwork
from dancerev.model.pose import POSE_SIZE
from dancerev.model.training.calibrate import measure_vigour
from dancerev.realtime.dance_model import DanceModel

TINY = DanceConfig(styles=("one", "two"), width=16, heads=2, feed_forward=16, window=8, hidden=16)


def corpus(speeds):
    rng = np.random.default_rng(0)
    features = rng.random((500, FEATURE_SIZE)).astype(np.float16)
    features[:, ACTIVITY] = 1.0
    rows = np.zeros((500, 2), np.float32)
    sequence = DanceSequence(
        features, np.zeros((500, POSE_SIZE), np.float32), rows, rows[:, 0], rows[:, 0] + 1, 0.0, 0, "", False, 100.0,
        np.arange(30, dtype=np.float32),
    )  # fmt: skip
    numbers = [np.zeros(n, np.float32) for n in (FEATURE_SIZE, FEATURE_SIZE, POSE_SIZE, POSE_SIZE)]
    return Corpus(TINY.styles, [sequence], *numbers, np.array(speeds, np.float32), {})


def test_twice_the_real_speed_is_an_octave_less():
    torch.manual_seed(0)
    network = DanceNetwork(TINY)
    network.pose_std.fill_(0.05)
    one, other = measure_vigour(network, corpus([0.5, 0.5])), measure_vigour(network, corpus([0.5, 1.0]))
    assert one.shape == (2, len(VIGOUR_INPUTS))
    assert (one.diff(dim=1) >= 0.0).all()
    torch.testing.assert_close(other, one - torch.tensor([[0.0], [1.0]]), atol=1e-5, rtol=0.0)


def test_the_stage_inverts_what_was_measured(tmp_path: Path):
    network = DanceNetwork(TINY)
    inputs = torch.tensor(VIGOUR_INPUTS)
    network.vigour_reached[:] = torch.stack([inputs / 2 - 0.25, inputs])
    export_step(network, tmp_path / "model.onnx")
    model = DanceModel(str(tmp_path / "model.onnx"))
    assert model.vigour_input(model.style_vector("one"), 0.0) == 0.5
    assert model.vigour_input(model.style_vector("two"), -1.0) == -1.0
    assert model.vigour_input(model.style_vector("one"), 9.0) == VIGOUR_INPUTS[-1]
    between = model.vigour_input(model.style_vector("one:1,two:1"), 0.0)
    assert 0.0 < between < 0.5
