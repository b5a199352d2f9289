"""BVH is read whatever its channel order, what we write reads back the same, and a damaged file is named as such."""

import numpy as np
import pytest

from dancerev.model import rotation
from dancerev.model.bvh import parse_bvh, read_bvh, write_bvh
from dancerev.model.skeleton import BONES, forward_kinematics

TEXT = """HIERARCHY
ROOT base
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT arm one
  {
    OFFSET 0 2 0
    CHANNELS 3 Yrotation Xrotation Zrotation
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0083333
1 2 3 90 0 0 0 0 0
0 0 0 0 0 90 10 20 30
"""


def test_channels_act_in_the_order_in_which_they_stand():
    bvh = parse_bvh(TEXT)
    assert bvh.names == ("base", "arm one", "arm one_End")
    assert bvh.parents == (-1, 0, 1)
    assert bvh.frame_time == pytest.approx(1 / 120, rel=1e-4)
    positions, _ = bvh.forward_kinematics()
    np.testing.assert_allclose(positions[0], [[1, 2, 3], [-1, 2, 3], [-1, 3, 3]], atol=1e-9)
    np.testing.assert_allclose(positions[1, 1], [0, 0, 2], atol=1e-9)
    y, x, z = (
        rotation.from_axis_angle(np.eye(3)[axis], np.deg2rad(angle)) for axis, angle in ((1, 10), (0, 20), (2, 30))
    )
    expected = rotation.multiply(y, rotation.multiply(x, z))
    assert abs(np.dot(bvh.rotations[1, 1], expected)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n{", " {"),
        ("\n  {", "{"),
        ("\n    {\n      OFFSET 1 0 0\n    }\n  }", " { OFFSET 1 0 0 } }"),
        ("arm one", "arm {1}"),
        ("ROOT base", "ROOT MOTION"),
        ("arm one", "MOTION_arm"),
        ("}\nMOTION\n", "} MOTION "),
        ("MOTION", " MOTION "),
        ("\n", "\r\n"),
        ("\n", "\r"),
    ],
)
def test_every_usual_layout_is_read(old, new):
    bvh, other = parse_bvh(TEXT), parse_bvh(TEXT.replace(old, new))
    assert other.parents == bvh.parents
    assert not any(name.endswith("{") for name in other.names)
    np.testing.assert_array_equal(other.offsets, bvh.offsets)
    np.testing.assert_array_equal(other.rotations, bvh.rotations)


def test_what_is_written_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    rotations = rotation.normalize(rng.normal(size=(20, len(BONES), 4)))
    rotations[3, 5] = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2)  # gimbal lock
    root = rng.normal(size=(20, 3))
    write_bvh(tmp_path / "dance.bvh", rotations, root, 30.0)
    bvh = read_bvh(tmp_path / "dance.bvh")
    assert bvh.frame_time == pytest.approx(1 / 30, rel=1e-5)
    order = [bvh.names.index(bone) for bone in BONES]
    dots = np.abs(np.sum(bvh.rotations[:, order] * rotations, axis=-1))
    assert dots.min() > 1 - 1e-9
    positions, _ = bvh.forward_kinematics()
    np.testing.assert_allclose(positions[:, order] / 100.0, forward_kinematics(rotations, root)[0], atol=1e-4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "MThd", "not a BVH file"),
        (lambda text: text[: text.index("MOTION")], "not a BVH file"),
        (lambda text: text.replace("Frame Time: 0.0083333", ""), "Frame Time"),
        (lambda text: text.replace("0.0083333", "0"), "frame time must be above 0"),
        (lambda text: text.replace("0.0083333", "nan"), "'nan' is not a finite number"),
        (lambda text: text.replace("0.0083333", "inf"), "'inf' is not a finite number"),
        (lambda text: text.replace("OFFSET 0 2 0", "OFFSET 0 nan 0"), "'nan' is not a finite number"),
        (lambda text: text[: text.rindex("0 0 0 0 0 90")], "9 motion values, expected 2 frames × 9 channels"),
        (lambda text: text.replace("1 2 3 90", "1 2 x 90"), "not a number"),
        (lambda text: text.replace("1 2 3 90", "1 2 nan 90"), "not finite"),
        (lambda text: text.replace("Xposition", "Wposition"), "unknown channel 'Wposition'"),
        (lambda text: text.replace("OFFSET 0 2 0", "OFFSET 0 2"), "unexpected 'OFFSET 0 2'"),
        (lambda text: text.replace("  }\n}\nMOTION", "}\nMOTION"), "incomplete"),
    ],
)
def test_a_damaged_file_is_named_as_such(tmp_path, damage, message):
    path = tmp_path / "bad.bvh"
    path.write_text(damage(TEXT))
    with pytest.raises(ValueError, match=message) as caught:
        read_bvh(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
