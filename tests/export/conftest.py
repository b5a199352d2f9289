"""A tiny network and its graph, for all tests of the export."""

import pytest
import torch

from dancerev.export.export import export_step
from dancerev.model.network.config import DanceConfig
from dancerev.model.network.dance_network import DanceNetwork

TINY = DanceConfig(
    styles=("one", "two"), width=16, heads=2, feed_forward=32, window=9, hidden=24, lstm_layers=3, levels=(3, 5)
)


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(0)
    network = DanceNetwork(TINY).eval()
    network.feature_mean.normal_()
    network.pose_mean.normal_()
    network.pose_std.uniform_(0.1, 0.5)
    return network


@pytest.fixture(scope="session")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_step(network, path, licence="CC0")
    return path
