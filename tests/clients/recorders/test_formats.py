"""A dance keeps its joints in every format, as other programs read it."""

import contextlib
import json
import struct
from dataclasses import replace

import av
import numpy as np
import pytest
from dances import dance as synthetic
from gltflib import GLTF
from mmd_bone_tools.vmd import load_vmd
from mmd_model import pose as posed_model
from vrm_file import write_vrm

from dancerev.clients.avatar import read_vrm
from dancerev.clients.gltf import read_accessor, read_glb
from dancerev.clients.recorders.film import Film, write_film
from dancerev.clients.recorders.formats import READERS, SUFFIXES, save
from dancerev.errors import InputError
from dancerev.model.bvh import read_bvh
from dancerev.model.dance_file import Dance, check_length
from dancerev.model.skeleton import BONES, INDEX, PARENTS, forward_kinematics
from dancerev.model.whole_file import write_whole
from dancerev.realtime.convert import main, read

SECONDS = 3.0


@pytest.fixture(scope="module")
def dance():
    """Three seconds at 30 frames a second: a dancer who swings, bends, twists and walks."""
    rotations, root = synthetic(np.arange(0.0, 6.0, 0.5), SECONDS, 30.0)
    rng = np.random.default_rng(1)
    time = np.arange(len(root)) / 30.0
    for bone in range(1, len(BONES)):
        reach = 0.06 if bone == INDEX["UpperChest"] else 0.15  # up to 12° about each axis, the others 34°
        turn = reach * np.sin(time[:, None] * rng.uniform(1, 4, 3) + rng.uniform(0, 6, 3))
        small = np.concatenate([turn, np.ones((len(time), 1))], axis=1)
        rotations[:, bone] = multiply(rotations[:, bone], small / np.linalg.norm(small, axis=1, keepdims=True))
    beats = np.arange(0.25, SECONDS, 0.5)
    contacts = np.stack([time % 1 < 0.5, time % 1 >= 0.5], axis=1)
    return Dance(30.0, rotations.astype(np.float32), root.astype(np.float32), contacts, beats, 120.0, ((1.0, "drop"),))


def multiply(a, b):
    """Products (T, 4) of quaternions xyzw, by the textbook."""
    (ax, ay, az, aw), (bx, by, bz, bw) = a.T, b.T
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=1,
    )


def distance(one, other):
    """Largest distance in metres between joints (T, J, 3)."""
    return np.linalg.norm(one - other, axis=-1).max()


def test_npz_holds_everything(dance, tmp_path):
    save(dance, tmp_path / "dance.npz")
    arrays = np.load(tmp_path / "dance.npz")
    assert distance(arrays["positions"], dance.positions) < 1e-6
    after = READERS[".npz"](tmp_path / "dance.npz")
    for name in ("rotations", "root", "contacts", "beats"):
        np.testing.assert_allclose(getattr(after, name), getattr(dance, name), atol=1e-6)
    assert (after.fps, after.bpm, after.marks) == (30.0, 120.0, ((1.0, "drop"),))


def test_vrma_shows_the_dance_to_another_reader(dance, tmp_path):
    save(dance, tmp_path / "dance.vrma")
    file = GLTF.load_glb(str(tmp_path / "dance.vrma"))
    model, blob = file.model, file.resources[0].data
    bones = model.extensions["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    assert {name: node["node"] for name, node in bones.items()} == {
        bone[0].lower() + bone[1:]: index for index, bone in enumerate(BONES)
    }
    tracks = {}
    for channel in model.animations[0].channels:
        sampler = model.animations[0].samplers[channel.sampler]
        for which in (sampler.input, sampler.output):
            accessor = model.accessors[which]
            view = model.bufferViews[accessor.bufferView]
            values = np.frombuffer(blob, "<f4", view.byteLength // 4, view.byteOffset).reshape(accessor.count, -1)
            tracks[channel.target.node, channel.target.path, which == sampler.input] = values
    np.testing.assert_allclose(tracks[0, "translation", True][:, 0], np.arange(90) / 30.0, atol=1e-6)
    turned, placed = {}, {}
    for index, parent in enumerate(PARENTS):
        local = tracks[index, "rotation", False]
        if parent < 0:
            turned[0], placed[0] = local, tracks[0, "translation", False]
            continue
        offset = np.array([*model.nodes[index].translation, 0.0])
        moved = multiply(multiply(turned[parent], np.tile(offset, (90, 1))), turned[parent] * [-1, -1, -1, 1])
        placed[index] = placed[parent] + moved[:, :3]
        turned[index] = multiply(turned[parent], local)
    assert distance(np.stack(list(placed.values()), axis=1), dance.positions) < 1e-3


def test_vmd_shows_the_dance_on_a_standard_model(dance, tmp_path):
    save(dance, tmp_path / "dance.vmd")
    file = load_vmd(tmp_path / "dance.vmd")
    assert all(len(frame.name.encode("cp932")) <= 15 for frame in file.bones)
    assert {state.name for state in file.ik[0].states if not state.enabled} >= {"左足ＩＫ", "右足ＩＫ"}
    for joint, places in posed_model(tmp_path / "dance.vmd").items():
        if joint != "Spine":
            assert distance(places, dance.positions[:, INDEX[joint]]) < 0.005, joint


def test_bvh_comes_back_to_the_millimetre(dance, tmp_path):
    save(dance, tmp_path / "dance.bvh")
    assert distance(read(tmp_path / "dance.bvh").positions, dance.positions) < 1e-3


@pytest.mark.parametrize("through", [".npz", ".bvh", ".vrma", ".vmd"])
@pytest.mark.parametrize("onto", [".npz", ".bvh", ".vrma", ".vmd"])
def test_every_format_becomes_every_other(dance, tmp_path, through, onto, capsys):
    save(dance, tmp_path / f"one{through}")
    assert main([str(tmp_path / f"one{through}"), str(tmp_path / f"two{onto}")]) == 0
    assert "90 poses at 30 a second" in capsys.readouterr().out
    after = read(tmp_path / f"two{onto}").positions
    joints = [index for index, bone in enumerate(BONES) if bone != "UpperChest"]  # which VMD does not have
    assert distance(after[:, joints], dance.positions[:, joints]) < (0.005 if ".vmd" in (through, onto) else 1e-3)


def test_key_points_are_written_for_each_frame(dance, tmp_path):
    save(dance, tmp_path / "dance.npz")
    assert main([str(tmp_path / "dance.npz"), str(tmp_path / "points"), "--format", "openpose"]) == 0
    files = sorted((tmp_path / "points").iterdir())
    assert len(files) == 90
    assert len(json.loads(files[0].read_text())["people"][0]["pose_keypoints_2d"]) == 75


def test_a_film_has_every_pose_and_its_sound(dance, tmp_path):
    tone = (0.2 * np.sin(np.arange(4 * 44_100) * 0.05)).astype(np.float32)
    blocks = np.array_split(np.stack([tone, tone], axis=1), 50)
    write_film(tmp_path / "film.mp4", dance, iter(blocks))
    with av.open(str(tmp_path / "film.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with av.open(str(tmp_path / "film.mp4")) as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert len(pictures) == 90
    assert np.abs(pictures[0].astype(int) - pictures[45]).max() > 60  # something moves
    assert len(sound) / 44_100 == pytest.approx(SECONDS, abs=0.1)
    assert np.abs(sound).max() == pytest.approx(0.2, abs=0.05)


def test_a_film_without_sound_has_pictures_alone(tmp_path):
    with Film(tmp_path / "film.mp4", 15.0, (64, 64)) as film:
        for _ in range(5):
            film.add(np.zeros((64, 64, 3), np.uint8))
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert not film.streams.audio
        assert sum(1 for _ in film.decode(video=0)) == 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_written_leaves_the_old_file(dance, tmp_path, suffix, monkeypatch):
    path = tmp_path / f"dance{suffix}"
    path.write_bytes(b"precious")
    broken = Dance(30.0, dance.rotations[:, :3], dance.root, dance.contacts)
    with pytest.raises((ValueError, IndexError)):
        save(broken, path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("told_of", [None, "partial", "other"])
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, told_of):
    def write(partial):
        raise OSError(28, "No space left on device", partial if told_of == "partial" else told_of)

    with pytest.raises(OSError, match="No space left") as refused:
        write_whole(tmp_path / "dance.npz", write)
    assert refused.value.filename == ("other" if told_of == "other" else str(tmp_path / "dance.npz"))


@pytest.mark.parametrize("suffix", [".npz", ".bvh", ".vrma", ".vmd", ".journal"])
def test_damaged_files_are_refused_in_one_line(dance, tmp_path, suffix, capsys):
    good = b""
    if suffix != ".journal":
        save(dance, tmp_path / f"good{suffix}")
        good = (tmp_path / f"good{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    cases = [b"", b"\0" * 100, rng.bytes(5000), good[: len(good) // 2], good[:60]]
    for _ in range(15):
        changed = bytearray(good or rng.bytes(200))
        for at in rng.integers(0, min(len(changed), 3000), 20):
            changed[at] = rng.integers(256)
        cases.append(bytes(changed))
    refused = 0
    for case in cases:
        (tmp_path / f"bad{suffix}").write_bytes(case)
        code = main([str(tmp_path / f"bad{suffix}"), str(tmp_path / "out.npz")])
        error = capsys.readouterr().err
        assert code in (0, 2)
        assert error.count("\n") == (1 if code else 0)
        refused += code == 2
    assert refused >= 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.npz", "out.bvh"], "there is no such file"),
        (["here.npz", "out.txt"], "must end in"),
        (["here.npz", "out"], "--format openpose"),
        (["here.npz", "none/out.bvh"], "no such folder"),
        (["here.npz", "out.npz", "--format", "openpose"], "the name of a file"),
        (["here.txt", "out.bvh"], "a dance is read from"),
        ([".", "out.bvh"], "no *_keypoints.json in it"),
        (["here.npz", "here.npz"], "here.npz: is read from, and would be written over"),
        (["here.npz", f"{'o' * 300}.bvh"], "name too long"),
    ],
)
def test_mistakes_are_told_in_one_line(dance, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    save(dance, tmp_path / "here.npz")
    (tmp_path / "here.txt").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert reason.lower() in error.lower()
    assert error.count("\n") == 1


def test_arrays_that_unpack_to_more_than_a_day_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dancerev.model.dance_file._LARGEST", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", rotations=np.zeros(10_000))
    with pytest.raises(InputError, match="unpacks to"):
        READERS[".npz"](tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fps", 1e-6),
        ("fps", 1e300),
        ("fps", 1e-310),
        ("root", np.full((90, 3), 1e300)),
        ("rotations", np.full((90, len(BONES), 4), -1e300)),
        ("bpm", "fast"),
        ("bpm", [120.0]),
        ("bpm", np.nan),
        ("marks", [["1", "2"]]),
        ("marks", [[1.0], [2.0]]),
        ("marks", ["soon"]),
        ("marks", 1.0),
        ("mark_texts", ["more", "texts", "than", "marks"]),
        ("contacts", [["left", "right"]]),
        ("contacts", True),
    ],
)
def test_an_array_of_another_kind_is_refused_in_one_line(dance, tmp_path, capsys, name, value):
    save(dance, tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as good:
        np.savez(tmp_path / "bad.npz", **(dict(good) | {name: np.array(value)}))
    assert main([str(tmp_path / "bad.npz"), str(tmp_path / "out.bvh")]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("frames", "keys", "allowed"),
    [(108_000, 2, True), (120_000, 2, False), (120_000, 121, True), (2_591_001, 121, False), (10**9, 10**9, False)],
)
def test_a_few_key_frames_do_not_make_hours(frames, keys, allowed):
    with contextlib.nullcontext() if allowed else pytest.raises(ValueError, match="key frames"):
        check_length(frames, keys)


@pytest.mark.parametrize("suffix", [".vrma", ".vmd"])
def test_a_key_frame_a_day_later_takes_no_memory(dance, tmp_path, suffix, capsys):
    late = tmp_path / f"late{suffix}"
    save(replace(dance, marks=()), late)
    data = bytearray(late.read_bytes())
    if suffix == ".vmd":
        first = 54 + 15  # header, and the name of the first record
        data[first : first + 4] = struct.pack("<I", 24 * 3600 * 30 - 10)
    else:
        time = np.float32((len(dance) - 1) / dance.fps).tobytes()
        at = data.rindex(time, 0, data.index(np.float32(dance.root[0, 1]).tobytes(), data.index(b"BIN")))
        data[at : at + 4] = np.float32(86_000.0).tobytes()
    late.write_bytes(data)
    assert main([str(late), str(tmp_path / "out.npz")]) == 2
    assert "key frames last" in capsys.readouterr().err


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".vrma", ".vmd", ".npz"])
def test_a_dancer_who_is_nowhere_is_refused(dance, tmp_path, suffix, capsys):
    save(replace(dance, root=dance.root * np.float32(1e30)), tmp_path / f"far{suffix}")
    assert main([str(tmp_path / f"far{suffix}"), str(tmp_path / "out.bvh")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("place", ["rotation", "translation", "key"])
def test_a_vrma_of_infinite_numbers_is_refused_in_one_line(dance, tmp_path, capsys, place, value):
    path = tmp_path / "bad.vrma"
    save(dance, path)
    document, binary = read_glb(path)
    if place == "key":
        key = np.float32(dance.rotations[0, 0]).tobytes()
        binary = binary.replace(key, np.full(4, min(value, 1e38), np.float32).tobytes())
    else:
        document["nodes"][0][place] = [value] * (4 if place == "rotation" else 3)
    text = json.dumps(document).encode()
    chunks = [(text + b" " * (-len(text) % 4), b"JSON"), (binary, b"BIN\0")]
    body = b"".join(struct.pack("<I4s", len(chunk), kind) + chunk for chunk, kind in chunks)
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    assert main([str(path), str(tmp_path / "out.npz")]) == 2
    error = capsys.readouterr().err
    assert "not finite, or far too large" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("times", [0.0, 5.0, -1.0])
def test_key_frames_at_one_time_are_refused(dance, tmp_path, monkeypatch, times):
    monkeypatch.setattr("dancerev.clients.recorders.vrma.np.arange", lambda count: np.full(count, 30.0 * times))
    save(dance, tmp_path / "still.vrma")
    monkeypatch.undo()
    with pytest.raises(InputError, match="all at one time"):
        read(tmp_path / "still.vrma")


@pytest.mark.parametrize("stride", [0, 3, -4])
def test_numbers_that_overlap_are_refused(stride):
    document = {
        "accessors": [{"bufferView": 0, "componentType": 5126, "type": "SCALAR", "count": 2**40}],
        "bufferViews": [{"byteStride": stride}],
    }
    with pytest.raises(ValueError, match="inside another"):
        read_accessor(document, bytes(16), 0)


def test_a_dance_is_converted_for_an_avatar(dance, tmp_path):
    """Other programs' forward kinematics over the file's own offsets lead to the joints of the fitted dance."""
    write_vrm(tmp_path / "a.vrm", 1, 1.1, seed=3)
    rig = read_vrm(tmp_path / "a.vrm")
    save(dance, tmp_path / "dance.npz")
    for suffix in (".npz", ".bvh", ".vrma"):
        out = tmp_path / f"fitted{suffix}"
        assert main([str(tmp_path / "dance.npz"), str(out), "--avatar", str(tmp_path / "a.vrm")]) == 0
    fitted = rig.fit_dance(dance)
    np.testing.assert_allclose(read(tmp_path / "fitted.npz").positions, fitted.positions, atol=1e-5)
    bvh = read_bvh(tmp_path / "fitted.bvh")
    order = [bvh.names.index(bone) for bone in BONES]
    places = forward_kinematics(bvh.rotations[:, order], bvh.positions / 100.0, bvh.offsets[order] / 100.0)[0]
    assert distance(places, fitted.positions) < 1e-3
    nodes = GLTF.load_glb(str(tmp_path / "fitted.vrma")).model.nodes
    np.testing.assert_allclose([node.translation for node in nodes][1:], rig.offsets[1:], atol=1e-6)
