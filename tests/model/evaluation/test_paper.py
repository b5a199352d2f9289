"""The paper's metrics on dances whose style, beats and likeness are known."""

import json

import numpy as np
import pytest
from dances import dance

from dancerev.errors import InputError
from dancerev.model import body25
from dancerev.model.body25 import to_vectors
from dancerev.model.corpus.flat_corpus import FlatSequence, save_flat
from dancerev.model.dance_file import Dance, write_dance
from dancerev.model.evaluation import style_classifier
from dancerev.model.evaluation.evaluate import main
from dancerev.model.evaluation.paper import FlatDance, evaluate, hits, motion_beats, on_the_beat
from dancerev.model.openpose import write_openpose

SECONDS = 10.0
PERIODS = {"calm": 1.2, "fast": 0.5}


def film(style, seed, fps=15.0):
    beats = np.arange(0.0, SECONDS + 3.0, PERIODS[style])
    return body25.project(*dance(beats, SECONDS, fps, seed))


def sequence(style, seed):
    pose = to_vectors(film(style, seed)).astype(np.float32)
    return FlatSequence(f"{style}/{style}{seed}", style, np.zeros((len(pose), 438), np.float32), pose, pose[:0])


@pytest.fixture(scope="module")
def judge_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train = [sequence(style, seed) for style in PERIODS for seed in range(6)]
    test = [sequence(style, seed) for style in PERIODS for seed in (6, 7)]
    save_flat(folder / "corpus", {"train": train, "test": test}, {"songs": {}})
    command = [str(folder / "corpus"), "-o", str(folder / "classifier.pt"), "--epochs", "40"]
    assert style_classifier.main(command) == 0
    return folder / "classifier.pt"


def dances(style, songs, seeds, beats=None):
    return [
        FlatDance(f"{style}{song}__seed{seed}", film(style, 10 * song + seed), beats)
        for song in songs
        for seed in seeds
    ]


@pytest.mark.slow
def test_finds_the_style_and_what_is_like_real_dance(judge_file):
    judge = style_classifier.load(judge_file)
    assert judge.styles == ("calm", "fast")
    assert judge.accuracy > 0.8
    right = evaluate(dances("fast", (6, 7), (0, 1)) + dances("calm", (6, 7), (0, 1)), judge)
    named_wrong = [FlatDance(f"x__fast__seed{i}", film("calm", i)) for i in range(4)]
    assert right["accuracy"] > 0.8
    assert evaluate(named_wrong, judge)["accuracy"] < 0.4
    shaken = [
        FlatDance(d.name, d.keypoints + np.random.default_rng(0).normal(0, 60, d.keypoints.shape))
        for d in dances("fast", (6, 7), (0, 1))
    ]
    assert right["fid"] < evaluate(shaken, judge)["fid"]
    same = [FlatDance(f"calm6__seed{i}", film("calm", 0)) for i in (0, 1)]
    spread = evaluate([*same, FlatDance("fast6__seed0", film("fast", 1))], judge)
    assert spread["multimodality"] == pytest.approx(0.0, abs=1e-6)
    assert spread["diversity"] > 0.1
    assert np.isnan(evaluate(same[:1], judge)["diversity"])


def test_beats_of_the_body_are_found_and_counted():
    beats = np.arange(0.0, SECONDS, PERIODS["calm"])
    on = FlatDance("a", film("calm", 0), beats)
    found = motion_beats(on.keypoints)
    assert hits(found, beats) > 0.75
    result = on_the_beat(on)
    assert result["hit_rate"] == hits(found, beats)
    assert 0.05 < result["hit_chance"] < 0.35  # 0.2 s of 1.2 s are within the tolerance
    assert result["coverage"] == pytest.approx(len(found) / len(beats))
    off = on_the_beat(FlatDance("a", film("calm", 0), beats[:-1] + 0.6))
    assert off["hit_rate"] < result["hit_rate"] / 2
    assert np.isnan(hits(np.zeros(0), beats))
    assert hits(found, np.zeros(0)) == 0.0
    assert on_the_beat(FlatDance("a", film("calm", 0))) == {}


def test_the_size_in_the_picture_does_not_matter():
    points = film("fast", 3)
    np.testing.assert_allclose(motion_beats(points), motion_beats(0.4 * points + 200.0), atol=1e-6)


def test_the_command_takes_key_points_and_our_own_dances(judge_file, tmp_path, capsys):
    (tmp_path / "music").mkdir()
    for name in ("fast1", "calm2"):
        write_openpose(tmp_path / f"flat/{name}__seed0", film(name[:4], 1, 30.0))
        beats = np.arange(0.0, SECONDS, PERIODS[name[:4]]).tolist()
        (tmp_path / f"music/{name}.beats.json").write_text(json.dumps({"beats": beats}))
    rotations, root = dance(np.arange(0.0, 13.0, 0.5), SECONDS, 30.0, 2)
    (tmp_path / "ours").mkdir()
    contacts = np.zeros((len(root), 2), bool)
    write_dance(tmp_path / "ours/fast1.npz", Dance(30, rotations.astype("f4"), root.astype("f4"), contacts))
    groups = ["--group", f"flat={tmp_path / 'flat'}", "--group", f"ours={tmp_path / 'ours'}"]
    results = tmp_path / "results.json"
    command = [*groups, "--paper", str(judge_file), "--music", str(tmp_path / "music"), "--json", str(results)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "hits ±100 ms" in out
    assert "held-out clips" in out
    report = json.loads(results.read_text())
    assert report["flat"]["coverage"] == pytest.approx(1.0, abs=0.3)
    assert report["ours"]["multimodality"] is None
    assert main(["--group", f"x={tmp_path / 'music'}", "--paper", str(judge_file)]) == 2
    assert "neither folders of key points" in capsys.readouterr().err
    assert main(["--group", f"x={tmp_path / 'ours'}", "--paper", str(results)]) == 2
    assert "not a classifier" in capsys.readouterr().err


def test_names_give_song_and_style():
    one, two = FlatDance("song__a__jazz__seed12", np.zeros(0)), FlatDance("song", np.zeros(0))
    assert (one.song, one.style) == ("song", "a__jazz")
    assert (two.song, two.style) == ("song", None)


def test_too_short_dances_and_one_style_are_refused(judge_file, tmp_path, capsys):
    with pytest.raises(InputError, match=r"3\.3 s"):
        evaluate([FlatDance("a", film("calm", 0)[:40])], style_classifier.load(judge_file))
    save_flat(tmp_path, {"train": [sequence("calm", 0)], "test": [sequence("calm", 1)]}, {"songs": {}})
    assert style_classifier.main([str(tmp_path)]) == 2
    assert "a classifier needs two" in capsys.readouterr().err
