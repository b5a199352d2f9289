"""Folders of key points: written as OpenPose writes them, read with one person followed and gaps closed."""

import json
import time

import numpy as np
import pytest

from dancerev.errors import InputError
from dancerev.model import body25
from dancerev.model.body25 import JOINTS
from dancerev.model.openpose import read_openpose, write_openpose


@pytest.fixture
def keypoints(dancing):
    """Some dance as key points (60, 25, 2)."""
    return body25.project(*dancing.dance(np.arange(0.0, 4.0, 0.6), 2.0, 30.0))


def write(folder, frames):
    """Files of frames, each a list of people (25, 3)."""
    folder.mkdir(exist_ok=True)
    for i, people in enumerate(frames):
        content = {"version": 1.2, "people": [{"pose_keypoints_2d": np.asarray(p).ravel().tolist()} for p in people]}
        (folder / f"frame{i:06d}_keypoints.json").write_text(json.dumps(content))
    return folder


def scored(points, score=0.8):
    return np.concatenate([points, np.full((*points.shape[:-1], 1), score)], axis=-1)


def test_files_are_those_of_openpose_and_come_back(keypoints, tmp_path):
    write_openpose(tmp_path / "dance", keypoints)
    assert [p.name for p in tmp_path.iterdir()] == ["dance"]
    assert len(list((tmp_path / "dance").iterdir())) == 60
    content = json.loads((tmp_path / "dance/frame000059_keypoints.json").read_text())
    assert content["version"] == 1.2
    (person,) = content["people"]
    lengths = {name: len(values) for name, values in person.items()}
    assert lengths == {
        "pose_keypoints_2d": 75,
        "face_keypoints_2d": 210,
        "hand_left_keypoints_2d": 63,
        "hand_right_keypoints_2d": 63,
        "pose_keypoints_3d": 0,
        "face_keypoints_3d": 0,
        "hand_left_keypoints_3d": 0,
        "hand_right_keypoints_3d": 0,
    }
    assert person["pose_keypoints_2d"][2::3] == [0.8] * 25
    assert not any(person["face_keypoints_2d"])
    read = read_openpose(tmp_path / "dance")
    np.testing.assert_allclose(read.points, keypoints, atol=1e-3)
    np.testing.assert_array_equal(read.scores, 0.8)
    assert str(read.mended) == "60 frames in pixels of 1280x720"


def test_a_folder_that_holds_a_dance_is_left_alone(keypoints, tmp_path):
    write_openpose(tmp_path, keypoints)
    with pytest.raises(InputError, match="another dance"):
        write_openpose(tmp_path, keypoints[:5])
    assert len(read_openpose(tmp_path).points) == 60


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("pixels of 1280x720", lambda p: p),
        ("pixels of 1920x1080", lambda p: 1.5 * p),
        ("[0, 1]", lambda p: p / (1280, 720)),
        ("[-1, 1]", lambda p: 2 * p / (1280, 720) - 1),
    ],
)
def test_units_are_told_apart(keypoints, tmp_path, unit, place):
    frames = [[scored(place(points))] for points in keypoints]
    missing = place(np.zeros((1, 2)))[0] if unit == "[-1, 1]" else np.zeros(2)
    frames[10][0][4] = [*missing, 0.0]
    read = read_openpose(write(tmp_path / "dance", frames))
    assert f"in {unit}" in str(read.mended)
    expected = keypoints.copy()
    expected[10, 4] = (keypoints[9, 4] + keypoints[11, 4]) / 2
    np.testing.assert_allclose(read.points, expected, atol=1e-6)
    assert read.scores[10, 4] == 0


def test_an_upright_picture_keeps_its_shape(keypoints, tmp_path):
    points = (keypoints - [640, 0]) * 2.0 + [540, 240]  # 1080 wide, 1920 high
    read = read_openpose(write(tmp_path / "dance", [[scored(p)] for p in points]), size=(1080, 1920))
    legs = [np.linalg.norm(p[:, 10] - p[:, 11], axis=-1) for p in (read.points, keypoints)]
    np.testing.assert_allclose(legs[0] / legs[1], 2 * 720 / 1920)


def test_one_person_is_followed_whoever_is_listed_first(keypoints, tmp_path):
    frames = []
    for i, points in enumerate(keypoints):
        bystander = keypoints[0] * 0.7 + [700, 190]  # smaller, at the side, stands still
        people = [scored(points), scored(bystander)]
        frames.append(people[:: -1 if i % 3 == 0 else 1])
    for i in range(20, 30):
        frames[i] = [frames[i][1 if i % 3 else 0]]  # the dancer is not found: the other is not taken for him
    read = read_openpose(write(tmp_path / "dance", frames))
    seen = [i for i in range(60) if not 20 <= i < 30]
    np.testing.assert_allclose(read.points[seen], keypoints[seen], atol=1e-6)
    assert read.mended.people == 2
    assert read.mended.absent == 10
    assert read.mended.longest == 10


def test_a_dancer_is_followed_through_a_crowd_at_once(keypoints, tmp_path):
    """Nobody waits for minutes."""
    rng = np.random.default_rng(0)
    crowd = [scored(0.3 * keypoints[0] + place) for place in rng.uniform(0, (1000, 500), (60, 2))]
    frames = [[*crowd[: 1 + i % 60], scored(points)] for i, points in enumerate(keypoints)]
    folder = write(tmp_path / "dance", frames)
    begin = time.process_time()
    read = read_openpose(folder)
    assert time.process_time() - begin < 10.0
    np.testing.assert_allclose(read.points, keypoints, atol=1e-6)


def test_gaps_of_any_length_are_interpolated_and_counted(keypoints, tmp_path):
    frames = [[scored(p)] for p in keypoints]
    for i in range(10, 55):
        frames[i][0][4] = 0.0  # a wrist, for long
    frames[0][0][7, 2] = 0.01  # the other one, unsure: no place to trust
    frames[30] = []
    read = read_openpose(write(tmp_path / "dance", frames))
    share = np.linspace(0, 1, 47)[1:-1, None]
    np.testing.assert_allclose(read.points[10:55, 4], (1 - share) * keypoints[9, 4] + share * keypoints[55, 4])
    np.testing.assert_allclose(read.points[0, 7], keypoints[1, 7])
    np.testing.assert_allclose(read.points[30, 0], (keypoints[29, 0] + keypoints[31, 0]) / 2)
    assert read.mended.absent == 1
    assert read.mended.longest == 45
    assert read.mended.missing == pytest.approx((45 + 1 + 25 - 1) / (60 * 25))


def test_missing_files_keep_the_time(keypoints, tmp_path):
    folder = write(tmp_path / "dance", [[scored(p)] for p in keypoints])
    (folder / "frame000030_keypoints.json").unlink()
    read = read_openpose(folder)
    assert len(read.points) == 60
    np.testing.assert_allclose(read.points[31:], keypoints[31:], atol=1e-6)


def test_joints_that_are_never_seen_stand_at_the_next_one(keypoints, tmp_path):
    frames = scored(keypoints)
    for name in ("LBigToe", "LSmallToe", "LHeel", "LAnkle"):
        frames[:, JOINTS.index(name)] = 0.0
    read = read_openpose(write(tmp_path / "dance", [[p] for p in frames]))
    np.testing.assert_allclose(read.points[:, JOINTS.index("LSmallToe")], keypoints[:, JOINTS.index("LKnee")])
    assert set(read.mended.unseen) == {"LBigToe", "LSmallToe", "LHeel", "LAnkle"}
    assert read.mended.missing == 0


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"people": [{}]}',
        '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
        '{"people": [3]}',
        '{"people": ' + "[" * 50_000,
        '{"people": [{"pose_keypoints_2d": [' + "1e400, " * 74 + "1]}]}",
        '{"people": [{"pose_keypoints_2d": [' + "1e200, " * 74 + "1]}]}",
    ],
)
@pytest.mark.filterwarnings("error")
def test_damaged_files_are_reported_in_one_line(keypoints, tmp_path, content):
    write_openpose(tmp_path, keypoints[:3])
    (tmp_path / "frame000001_keypoints.json").write_text(content)
    with pytest.raises(InputError, match=r"frame000001_keypoints.json: (expected 75 numbers|key points)") as error:
        read_openpose(tmp_path)
    assert "\n" not in str(error.value)


def test_folders_without_anybody_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no .*_keypoints.json"):
        read_openpose(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nobody is in any of the 3 frames"):
        read_openpose(write(tmp_path / "empty", [[], [], []]))
