"""The lifter's graph does what its network does, and the network frame by frame what it does at once."""

import pytest
import torch

from dancerev.errors import ModelError
from dancerev.export.export_lifter import export_lifter, load_lifter, main
from dancerev.model.network.lifter import CONTACTS, Lifter, LifterConfig
from dancerev.realtime.body.lifter import Lifter as LiveLifter


@pytest.fixture
def lifter():
    torch.manual_seed(0)
    return Lifter(LifterConfig(hidden=12, layers=2)).eval()


def film(frames=40, batch=2):
    generator = torch.Generator().manual_seed(0)
    figure = 300.0 + 100.0 * torch.randn(batch, 1, 25, 2, generator=generator)
    return figure + torch.randn(batch, frames, 25, 2, generator=generator).cumsum(dim=1)


@torch.no_grad()
def test_frame_by_frame_equals_at_once(lifter):
    points = film()
    whole, _ = lifter(points)
    whole[..., CONTACTS] = whole[..., CONTACTS].sigmoid()
    state, made = lifter.initial_state(2), []
    for frame in points.unbind(dim=1):
        vector, moved, state = lifter.step(frame, state)
        made.append(vector)
    torch.testing.assert_close(torch.stack(made, dim=1), whole, atol=1e-5, rtol=1e-5)
    expected = (points[:, -1, 8, 0] - points[:, -2, 8, 0]) / state.size[:, 0]
    torch.testing.assert_close(moved[:, 0], expected)


@torch.no_grad()
def test_is_causal_and_does_not_depend_on_the_size_of_the_picture(lifter):
    points = film()
    before, _ = lifter(points)
    larger, _ = lifter(2.5 * points + 77.0)
    torch.testing.assert_close(larger, before, atol=1e-4, rtol=1e-4)
    points[:, 20:] += torch.randn(2, 20, 25, 2)
    torch.testing.assert_close(lifter(points)[0][:, :20], before[:, :20])


@pytest.mark.slow
def test_exports_and_is_refused_where_it_is_another_kind(lifter, tmp_path, capsys):
    checkpoint, graph = tmp_path / "lifter.pt", tmp_path / "lifter.onnx"
    torch.save({"config": {"hidden": 12, "layers": 2}, "weights": lifter.state_dict()}, checkpoint)
    assert main([str(checkpoint), "-o", str(graph)]) == 0
    assert "equals the network" in capsys.readouterr().out
    assert LiveLifter(graph).lift(film()[0, 0].numpy(), 0.0).rotations.shape == (22, 4)
    assert export_lifter(load_lifter(checkpoint), graph) <= 1e-4
    torch.save([1], tmp_path / "other.pt")
    assert main([str(tmp_path / "other.pt"), "-o", str(tmp_path / "x.onnx")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ModelError, match="not a model that ONNX Runtime can load"):
        LiveLifter(checkpoint)
