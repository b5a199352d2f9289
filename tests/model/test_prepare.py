"""The command makes a corpus that a training can read: whole, split by take and song, resumable, and clear in error."""

import json
import pickle

import numpy as np
import pytest

from dancerev.model import aist, pose, skeleton
from dancerev.model.corpus import load_corpus
from dancerev.model.features import FEATURE_NAMES, FEATURE_SIZE
from dancerev.model.music import find_grid
from dancerev.model.pairs import find_pairs
from dancerev.model.prepare import main
from dancerev.model.songs import split_of
from dancerev.model.takes import find_motion

TRAIN, TEST = (next(n for n in map(str, range(99)) if split_of(n) == split) for split in ("train", "test"))


@pytest.fixture(scope="module")
def material(dancing, tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    (folder / "waltz").mkdir()
    for number in range(3):
        dancing.write_dance(folder / "waltz" / f"take_{number}.bvh", seed=number)
    (folder / "music").mkdir()
    dancing.write_song(folder / "music" / "one.wav", bpm=100.0, source=TRAIN)
    dancing.write_song(folder / "music" / "two.wav", bpm=112.0, source=TEST)
    return folder


@pytest.fixture(scope="module")
def prepared(material, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    arguments = [f"waltz={material / 'waltz'}", "--music", str(material / "music"), "--out", str(out)]
    arguments += ["--hours", "0.03", "--held-out", "take_2"]
    main(arguments)
    return out, arguments


def test_sequences_are_whole_and_agree_with_themselves(prepared):
    corpus = load_corpus(prepared[0], "train")
    assert corpus.styles == ("waltz",)
    assert len(corpus.sequences) >= 2
    for sequence in corpus.sequences:
        count = len(sequence.pose)
        assert sequence.features.shape == (count, FEATURE_SIZE)
        assert sequence.pose.shape == (count, pose.POSE_SIZE)
        assert np.isfinite(sequence.features).all()
        assert np.isfinite(sequence.pose).all()
        # Place and heading are what the pose vectors add up to.
        decoder = pose.PoseDecoder(tuple(sequence.place[0]), float(sequence.heading[0]))
        first = sequence.pose[0].copy()
        first[pose.TURN], first[pose.TRAVEL] = 0.0, 0.0
        poses = [decoder.decode(vector) for vector in [first, *sequence.pose[1:]]]
        np.testing.assert_allclose([p.root[[0, 2]] for p in poses], sequence.place, atol=0.01)
        assert min(p.positions()[:, 1].min() for p in poses) > -0.03


def test_the_network_hears_the_beat_on_which_the_dancer_steps(prepared):
    sine, cosine = (FEATURE_NAMES.index(name) for name in ("step_sin", "step_cos"))
    for sequence in load_corpus(prepared[0], "train").sequences:
        rows = np.rint(sequence.beats * pose.FRAME_RATE).astype(int)
        rows = rows[(rows > 60) & (rows < len(sequence.features))]
        angle = np.arctan2(sequence.features[rows, sine].astype(float), sequence.features[rows, cosine].astype(float))
        assert np.abs(angle).mean() < 2 * np.pi * 0.12


def test_splits_share_neither_take_nor_song(prepared):
    takes = {
        split: {take for s in load_corpus(prepared[0], split).sequences for take in s.take.split("+")}
        for split in ("train", "test")
    }
    assert takes["test"] == {"take_2"}
    assert not takes["train"] & takes["test"]
    manifest = json.loads((prepared[0] / "manifest.json").read_text())
    assert {song["name"]: song["split"] for song in manifest["songs"]} == {"one": "train", "two": "test"}
    assert set(manifest["provenance"]) == {"waltz", "music"}
    for take in manifest["takes"]:
        assert {"mended", "cut", "kept", "floor_tilt"} <= set(take["cleaning"])
    with np.load(prepared[0] / "real_test.npz") as real:
        assert real["take"].tolist() == ["take_2"]
        assert real["rotations"].shape == (real["lengths"].sum(), len(skeleton.BONES), 4)


def test_statistics_are_those_of_the_training_split(prepared):
    corpus = load_corpus(prepared[0], "train")
    rows = np.concatenate([s.pose for s in corpus.sequences]).astype(float)
    np.testing.assert_allclose(corpus.pose_mean, rows.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(corpus.pose_std, rows.std(axis=0), atol=1e-3)


def test_a_second_run_makes_the_same_and_nothing_twice(prepared):
    out, arguments = prepared
    kept = {path: path.stat().st_mtime_ns for path in (out / "work").rglob("*.npz")}
    before = load_corpus(out, "train").sequences
    main([*arguments, "--workers", "2"])
    after = load_corpus(out, "train").sequences
    assert {path: path.stat().st_mtime_ns for path in (out / "work").rglob("*.npz")} == kept
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.pose, other.pose)
        np.testing.assert_array_equal(one.features, other.features)


def test_bvh_and_song_of_one_name_are_a_pair(dancing, tmp_path):
    folder = tmp_path / "tango"
    folder.mkdir()
    audio, _ = dancing.clicks(14.0, 100.0)
    for name in (f"{TRAIN}", f"{TEST}"):
        dancing.write_dance(folder / f"{name}.bvh", seconds=12.0)
        dancing.write_wav(folder / f"{name}.wav", audio)
    main(["--pairs", str(folder), "--out", str(tmp_path / "out")])
    train = load_corpus(tmp_path / "out", "train")
    assert train.styles == ("tango",)
    assert [s.take for s in train.sequences] == [TRAIN, TRAIN]
    assert [s.mirrored for s in train.sequences] == [False, True]
    assert [s.take for s in load_corpus(tmp_path / "out", "test").sequences] == [TEST, TEST]
    # Nothing is re-timed: the same moment of song and dance, one frame ahead.
    assert 11.0 * pose.FRAME_RATE < len(train.sequences[0].pose) <= 12.0 * pose.FRAME_RATE


def test_a_manifest_says_what_belongs_together(dancing, tmp_path):
    audio, _ = dancing.clicks(14.0, 100.0)
    dancing.write_wav(tmp_path / "song.wav", audio)
    dancing.write_dance(tmp_path / "dance.bvh", seconds=6.0)
    entry = {"motion": "dance.bvh", "music": "song.wav", "style": "waltz", "split": "test", "bpm": 100, "offset": 2.0}
    (tmp_path / "manifest.json").write_text(json.dumps({"pairs": [entry]}))
    (pair,) = find_pairs(str(tmp_path))
    assert (pair.style, pair.split, pair.bpm, pair.offset, pair.song.name) == ("waltz", "test", 100.0, 2.0, "song.wav")
    (tmp_path / "manifest.json").write_text('{"pairs": [{"motion": "dance.bvh"}]}')
    with pytest.raises(ValueError, match=r"manifest\.json: damaged \('music'\)"):
        find_pairs(str(tmp_path))
    (tmp_path / "manifest.json").write_text(json.dumps({"pairs": [entry | {"music": "none.wav"}]}))
    with pytest.raises(OSError, match=r"there is no file none\.wav"):
        find_pairs(str(tmp_path))


def write_aist(dancing, folder, name, frames=600):
    (folder / "motions").mkdir(parents=True, exist_ok=True)
    (folder / "wav").mkdir(exist_ok=True)
    time = np.arange(frames) / 60.0
    poses = np.zeros((frames, 72))
    poses[:, 3 * 16 + 2] = -1.2 + 0.4 * np.sin(7 * time)  # left arm down and swinging
    poses[:, 3 * 17 + 2] = 1.2 + 0.4 * np.sin(7 * time)
    place = np.stack([20 * np.sin(time), np.full(frames, 90.0), 0 * time], axis=1)
    content = {"smpl_poses": poses, "smpl_trans": place, "smpl_scaling": np.array([93.0]), "smpl_loss": 0.0}
    (folder / "motions" / f"{name}.pkl").write_bytes(pickle.dumps(content))
    audio, _ = dancing.clicks(12.0, aist.describe(name)[2], start=0.21)
    dancing.write_wav(folder / "wav" / f"{aist.describe(name)[1]}.wav", audio)


def test_aist_takes_come_with_genre_tempo_and_beats(dancing, tmp_path):
    write_aist(dancing, tmp_path, "gBR_sBM_cAll_d04_mBR2_ch01")
    write_aist(dancing, tmp_path, "gHO_sBM_cAll_d20_mHO1_ch02")
    assert [(p.style, p.bpm) for p in find_pairs(str(tmp_path))] == [("break", 100.0), ("house", 115.0)]
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "crossmodal_train.txt").write_text("gBR_sBM_cAll_d04_mBR2_ch01\n")
    (tmp_path / "splits" / "crossmodal_test.txt").write_text("gHO_sBM_cAll_d20_mHO1_ch02\n")
    main(["--pairs", str(tmp_path), "--out", str(tmp_path / "out")])
    corpus = load_corpus(tmp_path / "out", "train")
    assert corpus.styles == ("break", "house")
    sequence = corpus.sequences[0]
    assert sequence.tempo == 100.0
    np.testing.assert_allclose(np.diff(sequence.beats), 0.6, atol=1e-4)
    phase = (sequence.beats + 2.0 / 15.0 - 0.21) % 0.6
    assert np.minimum(phase, 0.6 - phase).max() < 0.08
    assert np.ptp(sequence.place[:, 0]) == pytest.approx(2 * 20 / 93 * 0.82 / 0.78, rel=0.1)
    left = skeleton.INDEX["LeftHand"]
    assert poses_of(sequence)[:, left, 1].max() < 1.2
    (test,) = {s.style for s in load_corpus(tmp_path / "out", "test").sequences}
    assert test == 1


def poses_of(sequence):
    decoder = pose.PoseDecoder()
    return np.array([decoder.decode(vector).positions() for vector in sequence.pose])


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    path = tmp_path / "take.pkl"
    path.write_bytes(pickle.dumps({"smpl_poses": Harm()}))
    with pytest.raises(ValueError, match=r"take\.pkl: not an AIST\+\+ motion"):
        aist.read_motion(path)


def test_takes_of_one_choreography_stay_together():
    names = ["gBR_sFM_cAll_d04_mBR2_ch01", "gBR_sFM_cAll_d05_mBR2_ch01", "gBR_sFM_c01_d06_mBR2_ch01"]
    assert len({aist.dance_of(name) for name in names}) == 1
    assert aist.dance_of("gBR_sFM_cAll_d04_mBR2_ch02") != aist.dance_of(names[0])


def test_the_grid_of_a_song_of_known_tempo_is_found(dancing):
    audio, beats = dancing.clicks(20.0, 97.0, start=0.33)
    found = find_grid(audio, 97.0)
    assert np.abs(found[:, None] - beats).min(axis=0).max() < 0.015


def test_motion_arguments_name_style_and_rate(dancing, tmp_path):
    (tmp_path / "cmu_salsa").mkdir()
    dancing.write_dance(tmp_path / "cmu_salsa" / "x.bvh", seconds=1.0)
    (source,) = find_motion(f"{tmp_path / 'cmu_salsa'}@60")
    assert (source.style, source.name, source.fps, source.origin) == ("salsa", "x", 60.0, "cmu_salsa")
    (source,) = find_motion(f"polka={tmp_path / 'cmu_salsa' / 'x.bvh'}")
    assert (source.style, source.fps) == ("polka", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to prepare"),
        (["no/such/place"], "no/such/place: there is no such file or folder"),
        (["{m}/waltz"], "style unknown; write STYLE="),
        (["waltz={m}/music", "--music", "{m}/music"], "no BVH file in it"),
        (["waltz={m}/waltz@fast", "--music", "{m}/music"], "'fast' is not a number"),
        (["waltz={m}/waltz"], "no music to dance to"),
        (["waltz={m}/waltz", "--music", "{m}/nowhere"], "nowhere: there is no such folder"),
        (["waltz={m}/waltz", "--music", "{m}/waltz"], "no song with a .beats.json"),
        (["waltz={m}/waltz", "--grooves", "{m}/music/one.wav", "--soundfont", "{m}/music/one.wav"], "not a zip file"),
        (["waltz={m}/waltz", "--grooves", "{m}/music/one.wav", "--soundfont", "no.sf2"], "there is no such soundfont"),
        (["waltz={m}/waltz", "--music", "{m}/music", "--held-out", "take"], "no usable take is left"),
        (["--pairs", "{m}/music"], "no pairs of motion and music"),
        (["waltz={m}/waltz", "--music", "{m}/music", "--hours", "0"], "must be above 0"),
    ],
)
def test_bad_input_gets_one_line(material, tmp_path, capsys, arguments, message):
    filled = [argument.format(m=material) for argument in arguments]
    with pytest.raises(SystemExit) as caught:
        main([*filled, "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert sum("dancerev-prepare:" in line for line in lines) == 1


def test_a_rig_that_cannot_be_mapped_is_named(material, tmp_path, capsys):
    text = (material / "waltz" / "take_0.bvh").read_text().replace("LeftHand", "LeftClaw")
    (tmp_path / "odd.bvh").write_text(text)
    arguments = [f"waltz={tmp_path / 'odd.bvh'}", "--music", str(material / "music"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "odd.bvh: no joint found for LeftHand" in capsys.readouterr().err
