"""Files that are damaged, hostile or of another kind are refused in one line, quickly and within bounds."""

import contextlib
import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from jobs import die, double

from dancerev.errors import CorpusError, DancerevError
from dancerev.model.bvh import parse_bvh
from dancerev.model.corpus import aist, songs
from dancerev.model.corpus.parallel import in_parallel
from dancerev.model.corpus.recorded_pairs import find_pairs
from dancerev.model.corpus.takes import Take, note_if_empty

HEAD = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
}
"""
ROW = "0 0 0 0 0 0\n"


def bvh(frames=2, frame_time="0.0333333", head=HEAD, rows=None):
    return f"{head}MOTION\nFrames: {frames}\nFrame Time: {frame_time}\n{2 * ROW if rows is None else rows}"


BAD_BVH = {
    "frames of nothing": (bvh(10**8, rows=""), "more than the file can hold"),
    "frames that no number holds": (bvh("9" * 5000), "Frames"),
    "no channels": (bvh(10**9, head="HIERARCHY\nROOT a\n{\n  OFFSET 0 0 0\n}\n", rows=""), "no joint has a channel"),
    "a frame time of nothing": (bvh(frame_time="1e-300"), "frame time"),
    "a frame time of days": (bvh(frame_time="1e6"), "frame time"),
    "numbers beyond float": (bvh(rows=f"1{400 * '0'} 0 0 0 0 0\n{ROW}"), "not finite"),
    "nested joints": (
        HEAD[:-2] + "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for i in range(50_000)),
        "not a BVH file",
    ),
    "many joints": (
        bvh(head=HEAD[:-2] + "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\n" for i in range(5000)) + "}\n" * 5001), "joints"
    ),
    "an end before any joint": (bvh(head="HIERARCHY\nEnd Site\n{\nOFFSET 0 0 0\n}\n"), "outside of any joint"),
    "wide and long": (
        bvh(200_000, head=HEAD[:-2] + "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\n}}\n" for i in range(1900)) + "}\n",
            rows=ROW * 200_000),
        "more than the file can hold",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BVH)
def test_bvh_is_bounded_by_its_own_size(name):
    text, reason = BAD_BVH[name]
    tracemalloc.start()
    with pytest.raises(DancerevError, match=reason) as caught:
        parse_bvh(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert peak < 10_000_000 + 40 * len(text)


def test_a_frame_time_in_milliseconds_is_understood():
    assert parse_bvh(bvh(frame_time="33.3333")).frame_time == pytest.approx(1 / 30, rel=1e-4)


def test_rows_beyond_the_stated_count_are_left_out():
    """As a recording that was killed leaves them."""
    assert len(parse_bvh(bvh(2, rows=3 * ROW + "0 0")).positions) == 2


def test_a_still_root_above_the_hips_keeps_their_travel():
    """Positions of joints other than the root count, as Blender reads them."""
    head = (
        "HIERARCHY\nROOT World\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n"
        "JOINT Hips\n{\nOFFSET 0 90 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        "JOINT Spine\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n}\n}\n}\n"
    )
    rows = "1 0 0 10 90 0 90 0 0 0 20 0\n1 0 0 50 80 0 0 0 0 0 20 0\n"
    read = parse_bvh(bvh(head=head, rows=rows))
    positions, _ = read.forward_kinematics()
    np.testing.assert_allclose(positions[:, 1], [[11, 90, 0], [51, 80, 0]], atol=1e-9)
    np.testing.assert_allclose(positions[:, 2], [[-9, 90, 0], [51, 100, 0]], atol=1e-9)
    np.testing.assert_allclose(read.offset_pose()[0][2], [0, 110, 0], atol=1e-9)


# --- AIST++


def motion(frames=30):
    return {
        "smpl_poses": np.zeros((frames, 72)),
        "smpl_trans": np.random.default_rng(0).normal(size=(frames, 3)).astype(np.float32),
        "smpl_scaling": np.array([93.8]),
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_arrays_of_any_protocol_are_read(tmp_path, protocol, order):
    content = {name: np.asarray(array, order=order) for name, array in motion().items()}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    read = aist.read_motion(tmp_path / "a.pkl")
    np.testing.assert_allclose(read.positions, content["smpl_trans"] / 93.8, atol=1e-6)


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "code": Calls(print, "owned"),
    "a numpy function": Calls(np.memmap, "/etc/passwd"),
    "objects": np.array([object, 1], dtype=object),
    "text": np.array(["a"]),
    "records": np.zeros(3, dtype=[("a", "f4"), ("b", "O")]),
    "an odd type": Calls(np.dtype, "O8"),
    "a type within a type": Calls(np.dtype, ("f4", (2**31, 2**31))),
    "an array of a shape that it has not": Calls(np.ndarray, (2**40,)),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_holds_plain_numbers_or_is_refused(tmp_path, name, protocol, capsys):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(motion() | {"smpl_poses": HOSTILE[name]}, protocol))
    with pytest.raises(CorpusError, match=r"a\.pkl: ") as caught:
        aist.read_motion(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_damaged_pickles_never_crash(tmp_path):
    good = pickle.dumps(motion(), 4)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(good)
        for at in rng.integers(0, 700, 6):
            damaged[at] = rng.integers(256)
        (tmp_path / "a.pkl").write_bytes(damaged[: rng.integers(50, len(damaged))] if rng.random() < 0.3 else damaged)
        with contextlib.suppress(CorpusError):
            aist.read_motion(tmp_path / "a.pkl")


def test_takes_that_the_publishers_advise_against_are_left_out_and_counted(tmp_path, capsys):
    (tmp_path / "motions").mkdir()
    (tmp_path / "mBR0.wav").write_bytes(b"sound")
    names = [f"gBR_sBM_cAll_d04_mBR0_ch0{number}" for number in (1, 2, 3)]
    for name in names:
        (tmp_path / "motions" / f"{name}.pkl").write_bytes(pickle.dumps(motion()))
    (tmp_path / "ignore_list.txt").write_text(f"{names[1]}\nsome_other_take\n")
    assert [pair.name for pair in find_pairs(str(tmp_path))] == [names[0], names[2]]
    assert "1 takes are left out" in capsys.readouterr().err


# --- archives, manifests, processes


def test_a_member_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bvh", b"0 " * 1000)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    directory = data.index(b"PK\1\2")
    data[directory + 24 : directory + 28] = struct.pack("<I", 3_000_000_000)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CorpusError, match="unpacks to"):
        songs.read_member(tmp_path / "a.zip", "a.bvh")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"pairs": 1}', '{"pairs": [1]}', '{"pairs": [{"motion": "a"}]}', 100_000 * "[",
     '{"pairs": [{"motion": "a", "music": "b", "fps": 1' + 400 * "0" + "}]}", '{"a":' * 100_000],
)  # fmt: skip
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DancerevError, match=r"manifest\.json") as caught:
        find_pairs(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_pairs_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"pairs": []}))
    with pytest.raises(CorpusError, match="no pairs"):
        find_pairs(str(tmp_path))


def test_a_million_workers_are_as_many_as_there_are_jobs():
    assert list(in_parallel(double, [1, 2, 3], 1_000_000, "test")) == [2, 4, 6]


def test_a_killed_worker_is_told_in_one_line():
    with pytest.raises(CorpusError, match="a process was killed"):
        list(in_parallel(die, [1, 2], 2, "test"))


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"seconds": 1.0, "cut": [], "paused": 0.0}, "it lasts 1.0 s"),
        ({"seconds": 20.0, "cut": [(0.0, 15.0)], "paused": 0.0}, "15.0 of 20.0 s are damaged"),
        ({"seconds": 20.0, "cut": [], "paused": 19.0}, "stands still for 19.0 of 20.0 s"),
        ({"seconds": 20.0, "cut": [(0.0, 8.0)], "paused": 8.0}, "too short"),
    ],
)
def test_a_take_of_which_nothing_can_be_used_is_named_with_the_reason(capsys, report, reason):
    take = Take("still", "waltz", "folder", "train", [], report, "still.npz")
    note_if_empty("folder/still.bvh", take)
    error = capsys.readouterr().err
    assert "folder/still.bvh" in error
    assert reason in error
    assert error.count("\n") == 1
