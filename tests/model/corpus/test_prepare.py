"""The command makes a corpus that a training can read: whole, split by take and song, resumable, and clear in error."""

import itertools
import json
import os
import pickle
import shutil
import sys
import wave
import zipfile

import numpy as np
import pytest

from dancerev.errors import DancerevError
from dancerev.model import pose, skeleton
from dancerev.model.beats.prepare import grooves_of
from dancerev.model.corpus import aist
from dancerev.model.corpus.prepare import main
from dancerev.model.corpus.recorded_pairs import find_pairs
from dancerev.model.corpus.shards import load_corpus
from dancerev.model.corpus.song import find_grid
from dancerev.model.corpus.songs import Grooves, Piece, check_songs, find_songs, prepare_songs, rests_of, split_of
from dancerev.model.corpus.takes import find_motion, prepare_takes
from dancerev.model.features import FEATURE_NAMES, FEATURE_SIZE

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
    assert main(arguments) == 0
    return out, arguments


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *itertools.product(("songs", "takes", "pulses"), (b"", b"PK\x03\x04 and no more", "cut")),
        *(("songs", "other"), ("takes", "other")),
    ],
)
def test_a_damaged_file_that_is_kept_is_named(prepared, tmp_path, capsys, kind, damage):
    out = tmp_path / "out"
    shutil.copytree(prepared[0], out)
    path = sorted((out / "work" / kind).glob("*.npz"))[0]
    if damage == "other":
        np.savez(path, something=np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else damage)
    capsys.readouterr()
    assert main([*prepared[1], "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"dancerev-prepare: {path}: damaged; delete it, and it is made again\n"
    path.unlink()
    assert main([*prepared[1], "--out", str(out)]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_no_unicode_are_names_of_takes_and_songs(dancing, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for folder in ("waltz", "music"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        dancing.write_dance(tmp_path / "waltz" / f"{name}{number}.bvh", seed=number)
    dancing.write_song(tmp_path / "music" / f"{name}.wav", bpm=100.0, source=TRAIN)
    arguments = [f"waltz={tmp_path / 'waltz'}", "--music", str(tmp_path / "music"), "--hours", "0.02"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert name in next(iter(load_corpus(tmp_path / "out", "train").sequences)).take


def test_bvh_and_song_of_one_name_are_a_pair(dancing, tmp_path):
    folder = tmp_path / "tango"
    folder.mkdir()
    for seed, name in enumerate((TRAIN, TEST)):
        dancing.write_dance(folder / f"{name}.bvh", seconds=12.0, seed=seed)
        dancing.write_wav(folder / f"{name}.wav", dancing.clicks(14.0, 100.0 + seed)[0])
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
    with pytest.raises(OSError, match=r"there is no file \S+none\.wav"):
        find_pairs(str(tmp_path))


def write_pairs(dancing, folder, *entries, **motions):
    """A folder of pairs: BVH of so many seconds and a seed each, and a manifest; songs are named by their tempo."""
    folder.mkdir()
    for name, (seconds, seed) in motions.items():
        dancing.write_dance(folder / f"{name}.bvh", seconds=seconds, seed=seed)
    for entry in entries:
        audio, _ = dancing.clicks(14.0, float(entry["music"].removesuffix(".wav")))
        dancing.write_wav(folder / entry["music"], audio)
    (folder / "manifest.json").write_text(json.dumps({"pairs": entries}))


def test_pairs_of_one_name_in_two_folders_keep_their_own_split(dancing, tmp_path):
    for place, split, tempo in (("one", "test", 100), ("two", "train", 110)):
        entry = {"motion": "01.bvh", "music": f"{tempo}.wav", "split": split}
        write_pairs(dancing, tmp_path / place, entry, **{"01": (12.0, tempo)})
    main(["--pairs", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")])
    styles = {
        split: [corpus.styles[s.style] for s in corpus.sequences]
        for split in ("train", "test")
        for corpus in [load_corpus(tmp_path / "out", split)]
    }
    assert styles == {"train": ["two", "two"], "test": ["one", "one"]}


def test_pairs_that_share_a_song_or_a_dance_are_of_one_split(dancing, tmp_path):
    """Also where the song or the dance lies there twice, in another folder and under another name."""
    songs = [60 + number for number in range(24)]
    entries = [{"motion": f"a{song}.bvh", "music": f"{song}.wav"} for song in songs]
    entries += [{"motion": f"b{song}.bvh", "music": f"{song}.wav"} for song in songs]
    names = [entry["motion"].removesuffix(".bvh") for entry in entries]
    write_pairs(dancing, tmp_path / "x", *entries, **{name: (0.5, seed) for seed, name in enumerate(names)})
    by_song = {}
    for pair in find_pairs(str(tmp_path / "x")):
        by_song.setdefault(pair.song.name, set()).add(pair.split)
    assert all(len(splits) == 1 for splits in by_song.values())
    assert set.union(*by_song.values()) == {"train", "test"}

    (tmp_path / "y").mkdir()
    shutil.copy(tmp_path / "x" / "60.wav", tmp_path / "y" / "copy.wav")
    shutil.copy(tmp_path / "x" / "a61.bvh", tmp_path / "y" / "copy.bvh")
    splits = {(pair.origin, pair.name): pair.split for pair in find_pairs(*(str(tmp_path / folder) for folder in "xy"))}
    assert len({splits[key] for key in (("x", "a60"), ("x", "b60"), ("x", "a61"), ("x", "b61"), ("y", "copy"))}) == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_without_a_split_follow_the_one_whose_song_they_share(dancing, tmp_path, split):
    entries = [{"motion": "a.bvh", "music": "100.wav"}, {"motion": "b.bvh", "music": "100.wav", "split": split}]
    write_pairs(dancing, tmp_path / "x", *entries, a=(0.5, 0), b=(0.5, 1))
    assert [pair.split for pair in find_pairs(str(tmp_path / "x"))] == [split, split]


def test_pairs_of_one_name_in_one_folder_are_refused(dancing, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        dancing.write_dance(tmp_path / place / "x.bvh", seconds=0.5)
    dancing.write_wav(tmp_path / "x.wav", dancing.clicks(1.0, 100.0)[0])
    with pytest.raises(ValueError, match=r"a/x\.bvh and .*b/x\.bvh: two dances of one name"):
        find_pairs(str(tmp_path))
    (tmp_path / "b" / "x.bvh").unlink()
    dancing.write_wav(tmp_path / "b" / "x.wav", dancing.clicks(1.0, 100.0)[0])
    with pytest.raises(ValueError, match=r"b/x\.wav and .*x\.wav: two songs of one name"):
        find_pairs(str(tmp_path))


def test_a_pair_is_made_again_when_motion_song_rate_or_tempo_change(dancing, tmp_path):
    entry = {"motion": "a.bvh", "music": "100.wav"}
    write_pairs(dancing, tmp_path / "x", entry, a=(0.5, 0))

    def files(**changes):
        (tmp_path / "x" / "manifest.json").write_text(json.dumps({"pairs": [entry | changes]}))
        (pair,) = find_pairs(str(tmp_path / "x"))
        return pair.take_file, pair.song_file

    before = files()
    assert files(offset=1.0) == before
    assert [one == other for one, other in zip(files(fps=30), before, strict=True)] == [False, True]
    assert [one == other for one, other in zip(files(bpm=90), before, strict=True)] == [True, False]
    dancing.write_dance(tmp_path / "x" / "a.bvh", seconds=0.5, seed=1)
    dancing.write_wav(tmp_path / "x" / "100.wav", dancing.clicks(14.0, 90.0)[0])
    assert not set(files()) & set(before)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"fps": value} for value in (0, 0.01, 1e300, float("nan"))),
        *({"bpm": value} for value in (-90, 0.001, 1e-300, 1e300, float("inf"))),
        *({"offset": value} for value in (float("nan"), 1e300)),
    ],
)
def test_numbers_of_a_manifest_that_cannot_be_are_refused(dancing, tmp_path, wrong):
    write_pairs(dancing, tmp_path / "x", {"motion": "a.bvh", "music": "100.wav", **wrong}, a=(0.5, 0))
    with pytest.raises(DancerevError, match=r"manifest\.json: .*(fps|tempo|offset)"):
        find_pairs(str(tmp_path / "x"))


def test_numbers_of_a_manifest_are_kept(dancing, tmp_path):
    entry = {"motion": "a.bvh", "music": "100.wav", "fps": 1000, "bpm": 20, "offset": -2.5}
    write_pairs(dancing, tmp_path / "x", entry, a=(0.5, 0))
    (pair,) = find_pairs(str(tmp_path / "x"))
    assert (pair.fps, pair.bpm, pair.offset) == (1000.0, 20.0, -2.5)


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
    names += ["gBR_sFM_cAll_d04_mBR3_ch01"]  # to another song
    assert len({aist.dance_of(name) for name in names}) == 1
    assert aist.dance_of("gBR_sFM_cAll_d04_mBR2_ch02") != aist.dance_of(names[0])


def test_the_grid_of_a_song_of_known_tempo_is_found(dancing):
    audio, beats = dancing.clicks(20.0, 97.0, start=0.33)
    found = find_grid(audio, 97.0)
    assert np.abs(found[:, None] - beats).min(axis=0).max() < 0.015
    (only,) = find_grid(audio[:24_000], 20.0)  # a second of it, and beats of three
    assert 0.0 <= only < 1.0


def test_motion_arguments_name_style_and_rate(dancing, tmp_path):
    (tmp_path / "cmu_salsa").mkdir()
    dancing.write_dance(tmp_path / "cmu_salsa" / "x.bvh", seconds=1.0)
    (source,) = find_motion(f"{tmp_path / 'cmu_salsa'}@60")
    assert (source.style, source.name, source.fps, source.origin) == ("salsa", "x", 60.0, "cmu_salsa")
    (source,) = find_motion(f"polka={tmp_path / 'cmu_salsa' / 'x.bvh'}")
    assert (source.style, source.fps) == ("polka", None)
    (tmp_path / "cmu_salsa" / "x.bvh").rename(tmp_path / "cmu_salsa" / "X.BVH")
    (source,) = find_motion(str(tmp_path / "cmu_salsa"))
    assert source.name == "X"


def test_a_take_is_made_again_when_its_file_or_its_rate_has_changed(dancing, tmp_path):
    (tmp_path / "takes").mkdir()
    dancing.write_dance(tmp_path / "x.bvh", seconds=6.0)

    def seconds(rate=""):
        (take,) = prepare_takes(find_motion(f"waltz={tmp_path / 'x.bvh'}{rate}"), tmp_path / "takes", [], 1)
        return sum(segment.seconds for segment in take.segments)

    assert seconds("@60") == pytest.approx(6.0, abs=0.5)
    assert seconds("@30") == pytest.approx(12.0, abs=1.0)
    dancing.write_dance(tmp_path / "x.bvh", seconds=4.0)
    assert seconds("@60") == pytest.approx(4.0, abs=0.5)


def test_takes_of_one_name_and_style_are_refused(dancing, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        dancing.write_dance(tmp_path / place / "x.bvh", seconds=0.5)
    with pytest.raises(ValueError, match=r"a/x\.bvh and .*b/x\.bvh: two takes of one name and style"):
        prepare_takes(find_motion(f"waltz={tmp_path}"), tmp_path, [], 2)


def test_songs_of_one_name_are_refused(dancing, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        dancing.write_song(tmp_path / place / "x.wav", seconds=3.0)
    songs = {place: find_songs(tmp_path / place) for place in ("a", "b")}
    with pytest.raises(ValueError, match=r"a/x\.wav and .*b/x\.wav: two songs of one name"):
        check_songs(songs["a"] + songs["b"], None)
    with pytest.raises(ValueError, match="a: holds music to dance to; name another folder"):
        check_songs(songs["a"], tmp_path / "b" / ".." / "a")
    check_songs(songs["a"], tmp_path / "b")


def test_a_song_is_heard_again_when_its_file_or_its_beats_have_changed(dancing, tmp_path):
    def tempo():
        (song,) = prepare_songs(find_songs(tmp_path), None, tmp_path, None, 1)
        return song.bpm, len(song.features)

    dancing.write_song(tmp_path / "x.wav", seconds=4.0, bpm=100.0)
    before = tempo()
    assert before[0] == 100.0
    dancing.write_song(tmp_path / "x.wav", seconds=4.0, bpm=110.0)
    assert tempo()[0] == 110.0
    dancing.write_wav(tmp_path / "x.wav", dancing.clicks(8.0, 100.0)[0])
    assert tempo()[1] > 1.5 * before[1]


def test_a_silent_part_of_a_song_is_not_danced_to(dancing, tmp_path):
    dancing.write_song(tmp_path / "x.wav", seconds=20.0, bpm=120.0)
    path = tmp_path / "x.beats.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"silences": [[8.1, 12.0], [13.1, 15.0]]}))
    (song,) = prepare_songs(find_songs(tmp_path), None, tmp_path, None, 1)
    # Two beats between two silences are too few to dance to.
    np.testing.assert_array_equal(song.silences, [[8.1, 15.0]])
    np.testing.assert_allclose(song.beats, [*np.arange(0.0, 8.1, 0.5), *np.arange(15.0, 19.9, 0.5)])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"silences": [[1.0, 20.0]]}))
    with pytest.raises(ValueError, match=r"x\.wav: fewer than 4 beats in a row"):
        prepare_songs(find_songs(tmp_path), None, tmp_path, None, 1)


@pytest.mark.parametrize(
    ("silences", "rests"),
    [
        ([], []),
        ([[0.0, 2.0]], [[0.0, 2.0]]),
        ([[1.0, 2.0]], [[0.0, 2.0]]),
        ([[5.0, 6.0], [12.0, 14.0]], [[5.0, 6.0], [12.0, 14.0]]),
        ([[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]], [[5.0, 10.0]]),
        ([[5.0, 6.0], [18.0, 30.0]], [[5.0, 6.0], [18.0, 20.0]]),
        ([[5.0, 6.0], [19.5, 20.0]], [[5.0, 6.0]]),
        ([[17.0, 18.5]], [[17.0, 20.0]]),
    ],
)
def test_between_rests_there_is_enough_to_dance_to(silences, rests):
    silences = np.array(silences).reshape(-1, 2)
    beats = np.arange(0.0, 20.0, 0.5)
    for start, stop in silences:
        beats = beats[(beats < start) | (beats >= stop)]
    np.testing.assert_array_equal(rests_of(silences, beats, 20.0), np.array(rests).reshape(-1, 2))


def test_held_out_music_is_written_whenever_it_is_asked_for(prepared, tmp_path):
    """Also from a corpus whose songs are all kept already; as what it is, with silences and source."""
    held_out = tmp_path / "held_out"
    main([*prepared[1], "--held-out-music", str(held_out)])
    assert {file.name for file in held_out.iterdir()} == {"two.wav", "two.beats.json"}
    assert grooves_of(held_out) == {TEST}
    (piece,) = find_songs(held_out)
    assert piece.split == "test"
    with wave.open(str(held_out / "two.wav")) as file:
        assert file.getnframes() == 30 * 24_000


def test_rendered_held_out_music_names_its_groove(tmp_path, monkeypatch):
    """By its path inside the data set, as the training of the ear leaves it out."""
    from dancerev.model.corpus import render_music as music_render

    groove = "drummer1/session1/1_rock_100_beat_4-4.mid"
    with zipfile.ZipFile(tmp_path / "groove.zip", "w") as archive:
        archive.writestr(f"groove/{groove}", b"")
    (tmp_path / "font.sf2").write_bytes(b"")
    clip = music_render.Clip(np.zeros(240_000, dtype=np.float32), np.arange(2.0, 10.0, 0.5), [(0.0, 2.0)])
    monkeypatch.setattr(music_render, "read_groove", lambda data: None)
    monkeypatch.setattr(music_render, "render", lambda *args, **options: clip)
    grooves = Grooves(tmp_path / "groove.zip", tmp_path / "font.sf2", 1, 0)
    piece = Piece("clip000_120", "test", "groove.zip", groove=f"groove/{groove}", bpm=120.0)
    (song,) = prepare_songs([piece], grooves, tmp_path, tmp_path / "music", 1)
    assert grooves_of(tmp_path / "music") == {groove}
    content = json.loads((tmp_path / "music" / "clip000_120.beats.json").read_text())
    assert (content["bpm"], content["silences"], len(content["beats"])) == (120.0, [[0.0, 2.0]], 16)
    np.testing.assert_array_equal(song.silences, [[0.0, 2.0]])


def test_real_dance_of_an_earlier_run_does_not_stay(prepared, tmp_path):
    out, arguments = tmp_path / "out", prepared[1]
    shutil.copytree(prepared[0], out)
    arguments = [str(out) if argument == str(prepared[0]) else argument for argument in arguments]
    main(arguments[:-2])  # nothing is held out any more
    assert not (out / "real_test.npz").exists()
    with np.load(out / "real_train.npz") as real:
        assert {"take_0", "take_1", "take_2"} == set(real["take"].tolist())


def test_what_cannot_be_made_leaves_the_corpus_as_it_was(prepared, monkeypatch):
    out, arguments = prepared
    kept = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    monkeypatch.setattr("dancerev.model.corpus.prepare.make_dances", lambda *_: iter(()))
    assert main([*arguments, "--held-out", "take_1"]) == 2
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == kept


def test_a_damaged_member_of_a_zip_is_named(dancing, material, tmp_path, capsys):
    dancing.write_dance(tmp_path / "x.bvh", seconds=2.0)
    path = tmp_path / "salsa.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "x.bvh", "in/x.bvh")
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)
    assert main([str(path), "--music", str(material / "music"), "--out", str(tmp_path / "out")]) == 2
    assert "dancerev-prepare: " in (error := capsys.readouterr().err)
    assert "salsa.zip/in/x.bvh: cannot be unpacked" in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to prepare"),
        (["no/such/place"], "no/such/place: there is no such file or folder"),
        (["{m}/waltz"], "unknown; write STYLE="),
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
        (["waltz={m}/waltz", "--music", "{m}/music", "--hours", "inf"], "must be above 0"),
        *((["waltz={m}/waltz@" + r, "--music", "{m}/music"], "from 1 to 1000") for r in ("0.01", "1e300", "inf", "0")),
        (["waltz={m}/waltz", "tango={m}/waltz", "--music", "{m}/music", "{m}/music"], "two songs of one name"),
        (["waltz={m}/waltz", "waltz={m}/waltz/take_0.bvh", "--music", "{m}/music"], "two takes of one name"),
    ],
)
def test_bad_input_gets_one_line(material, tmp_path, capsys, arguments, message):
    filled = [argument.format(m=material) for argument in arguments]
    assert main([*filled, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert sum("dancerev-prepare:" in line for line in lines) == 1


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--hours", "x", "--out", "out"], ["--seed", "-1"]])
def test_a_bad_option_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("dancerev-prepare: ")
    assert error.count("\n") == 1


def test_a_rig_that_cannot_be_mapped_is_named(material, tmp_path, capsys):
    text = (material / "waltz" / "take_0.bvh").read_text().replace("LeftHand", "LeftClaw")
    (tmp_path / "odd.bvh").write_text(text)
    arguments = [f"waltz={tmp_path / 'odd.bvh'}", "--music", str(material / "music"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "odd.bvh: no joint found for LeftHand" in capsys.readouterr().err
