"""Curves, rotation vectors and whole files: ends, round trips, and an old file that stays."""

import os

import numpy as np
import pytest

from dancerev.model import rotation
from dancerev.model.curves import catmull_rom, smoothstep, smoothsteps
from dancerev.model.whole_file import write_npz, write_whole


def test_a_smoothstep_rises_from_0_to_1():
    t = np.linspace(-0.5, 1.5, 201)
    curve = smoothsteps(t)
    assert curve[0] == 0.0
    assert curve[-1] == 1.0
    assert (np.diff(curve) >= 0.0).all()
    np.testing.assert_allclose([smoothstep(float(x)) for x in t], curve, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (4, 3)])
def test_a_spline_goes_through_its_points_and_straight_lines_stay(shape):
    points = np.random.default_rng(0).normal(size=(9, *shape))
    first = np.arange(8)
    np.testing.assert_allclose(catmull_rom(points, first, np.zeros(8)), points[:8], atol=1e-12)
    np.testing.assert_allclose(catmull_rom(points, first, np.ones(8)), points[1:], atol=1e-12)
    line = np.arange(9.0)[:, None] * np.ones(3)
    middle = catmull_rom(line, np.arange(1, 7), np.full(6, 0.25))
    np.testing.assert_allclose(middle[:, 0], np.arange(1, 7) + 0.25, atol=1e-12)


def test_rotation_vectors_come_back():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(50, 3))
    vectors *= (rng.uniform(0.0, 3.1, 50) / np.linalg.norm(vectors, axis=1))[:, None]
    np.testing.assert_allclose(rotation.log(rotation.exp(vectors)), vectors, atol=1e-9)
    quaternions = rotation.exp(vectors)
    np.testing.assert_allclose(rotation.log(-quaternions), vectors, atol=1e-9)


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(3)})

    def fail(partial):
        partial.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fail)
    assert np.load(path)["x"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_two_programs_that_write_one_file_at_once_disturb_each_other_in_nothing(tmp_path):
    path, partials = tmp_path / "a.npz", []

    def one(partial):
        partials.append(partial)
        partial.write_text("one")
        write_whole(path, other)
        assert path.read_text() == "other"
        assert partial.read_text() == "one"

    def other(partial):
        partials.append(partial)
        partial.write_text("other")

    write_whole(path, one)
    assert path.read_text() == "one"
    assert len(set(partials)) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    partials = []
    write_whole(path, partials.append)
    assert partials == [path]
    assert path.is_fifo()


def test_the_floor_turns_as_the_rotation_about_the_vertical_does():
    rng = np.random.default_rng(2)
    points, angles = rng.normal(size=(20, 3)), rng.uniform(-4.0, 4.0, 20)
    turned = rotation.rotate(rotation.from_yaw(angles), points)
    x, z = rotation.turn_floor(points[:, 0], points[:, 2], np.sin(angles), np.cos(angles))
    np.testing.assert_allclose(np.stack([x, z], axis=1), turned[:, [0, 2]], atol=1e-9)
    back = rotation.turn_floor(x, z, -np.sin(angles), np.cos(angles))
    np.testing.assert_allclose(np.stack(back, axis=1), points[:, [0, 2]], atol=1e-9)
