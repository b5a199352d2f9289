"""Our network two-sided and offline: it hears so many frames to come and no more, and else is the same network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dancerev.model.evaluation.generate_offline import dance_ours
from dancerev.model.features import FEATURE_SIZE
from dancerev.model.network.config import DanceConfig
from dancerev.model.network.dance_network import Conditions, DanceNetwork
from dancerev.model.network.free_run import free_run
from dancerev.model.pose import POSE_SIZE

TINY = DanceConfig(styles=("a",), width=16, layers=1, heads=2, feed_forward=16, window=5, look_ahead=3, hidden=16)


def tiny(**changes):
    torch.manual_seed(0)
    return DanceNetwork(replace(TINY, **changes)).eval()


def test_music_is_heard_so_far_ahead_and_no_farther():
    network, features = tiny(), torch.randn(1, 24, FEATURE_SIZE)
    before = network.encoder(features)
    features[:, 12] += 1.0
    changed = (network.encoder(features) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(12 - 3, 12 + 5))


def test_frames_to_come_weigh_less_the_farther_they_are():
    bias = tiny().encoder.layers[0].attention.age_bias[0]
    assert bias.argmax() == 3
    assert bias[2] == bias[4]


def test_without_it_nothing_changes():
    """The causal network given its music beforehand dances what it dances frame by frame."""
    network, features = tiny(look_ahead=0), torch.randn(2, 30, FEATURE_SIZE)
    state = slow = network.initial_state(torch.zeros(2, POSE_SIZE))
    controls = torch.ones(2, 1), torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 1), torch.zeros(2, 1)
    noise = torch.zeros(2, network.config.codes)
    heard = network.encoder(network.normalize_features(features))
    with torch.no_grad():
        for t in range(30):
            fast_pose, state = network.step(Conditions(features[:, t], *controls), noise, state, heard[:, t])
            slow_pose, slow = network.step(Conditions(features[:, t], *controls), noise, slow)
            torch.testing.assert_close(fast_pose, slow_pose, atol=1e-4, rtol=1e-4)


def test_dances_offline_to_what_it_hears_ahead():
    network = tiny()
    music = np.random.default_rng(0).random((1, 30, FEATURE_SIZE), dtype=np.float32)
    style = np.zeros((1, 1), dtype=np.float32)
    rotations, _ = free_run(network, music, style)
    later = music.copy()
    later[0, 23:] += 1.0
    other, _ = free_run(network, later, style)
    changed = np.abs(rotations - other).max(axis=(0, 2, 3)) > 1e-7
    assert changed.nonzero()[0][0] == 20
    assert len(dance_ours(network, music[0])) == 30


def test_frame_by_frame_it_cannot_run():
    network = tiny()
    state = network.initial_state(torch.zeros(1, POSE_SIZE))
    given = Conditions(torch.zeros(1, FEATURE_SIZE), *(torch.zeros(1, size) for size in (1, 2, 2, 1, 1)))
    with pytest.raises(RuntimeError):
        network.step(given, torch.zeros(1, 625), state)
