"""Data of Dance Revolution in both of its forms becomes a corpus, and what was mended is reported."""

import json
import re

import numpy as np
import pytest
from dances import dance

from dancerev.errors import CorpusError
from dancerev.model import body25
from dancerev.model.body25 import to_vectors
from dancerev.model.corpus import dancerevolution
from dancerev.model.corpus.flat_corpus import load_flat
from dancerev.model.corpus.prepare import main
from dancerev.model.network import original_features

SECONDS = 6


@pytest.fixture(autouse=True)
def _features(monkeypatch):
    """Features that are quick: the frame's number in every column. The real ones have tests of their own."""

    def numbered(samples, definition="2020"):
        count = 1 + len(samples) // original_features.HOP
        return np.tile(np.arange(count, dtype=np.float32)[:, None], (1, 438))

    monkeypatch.setattr(dancerevolution.original_features, "extract", numbered)


def film(seed):
    return body25.project(*dance(np.arange(0.0, SECONDS + 1.0, 0.6), SECONDS, 30.0, seed))


def write_film(folder, points, unit=1.0, drop=()):
    folder.mkdir(parents=True)
    for i, frame in enumerate(points):
        people = [] if i in drop else [np.c_[unit * frame, np.full(25, 0.8)].ravel().tolist()]
        content = {"version": 1.2, "people": [{"pose_keypoints_2d": person} for person in people]}
        (folder / f"frame{i:06d}_keypoints.json").write_text(json.dumps(content))


@pytest.fixture
def data(tmp_path, dancing):
    """Four songs of one style, one of another; one song without a film, one film without a song."""
    for number in range(5):
        style = "pop_1min" if number == 4 else "hiphop_1min"
        (tmp_path / f"data/audio/{style}").mkdir(parents=True, exist_ok=True)
        dancing.write_song(tmp_path / f"data/audio/{style}/{number}.wav", seconds=SECONDS)
        unit = 1.5 if number == 0 else 1.0
        write_film(tmp_path / f"data/json/{style}/{number}", film(number), unit, (7, 8) if number == 1 else ())
    dancing.write_song(tmp_path / "data/audio/hiphop_1min/alone.wav", seconds=SECONDS)
    write_film(tmp_path / "data/json/hiphop_1min/silent", film(9))
    return tmp_path / "data"


@pytest.mark.slow
def test_songs_and_films_are_paired_by_name_and_kept_in_step(data, tmp_path, capsys):
    out = tmp_path / "corpus"
    assert main([str(data), "--format", "dancerevolution", "--out", str(out)]) == 0
    report = capsys.readouterr().out
    assert "hiphop_1min/0 (t" in report
    assert "pixels of 1920x1080" in report
    assert "2 frames without the person" in report
    assert "hiphop_1min/alone has no key points" in report
    assert "hiphop_1min/silent has no music" in report
    train, test = load_flat(out, "train"), load_flat(out, "test")
    songs = [{s.song for s in split.sequences} for split in (train, test)]
    assert not songs[0] & songs[1]
    assert len(songs[0] | songs[1]) == 5
    assert songs[1] <= {f"hiphop_1min/{i}" for i in range(4)}
    assert len(songs[1]) == 1
    assert len(train.sequences) == 8
    for sequence in [*train.sequences, *test.sequences]:
        number = int(sequence.song[-1])
        frames = sequence.features[:, 0].astype(int)
        assert frames[1] - frames[0] == 2
        expected = to_vectors(film(number))[frames]
        kept = ~np.isin(frames, (7, 8)) if number == 1 else slice(None)
        np.testing.assert_allclose(sequence.pose[kept], expected[kept], atol=1e-5)
        assert sequence.style == ("pop" if number == 4 else "hiphop")


@pytest.mark.slow
def test_the_split_follows_the_seed(data, tmp_path):
    held_out = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "3")):
        assert main([str(data), "--format", "dancerevolution", "--out", str(tmp_path / name), "--seed", seed]) == 0
        held_out.append(load_flat(tmp_path / name, "test").sequences[0].song)
    assert held_out[0] == held_out[1]
    assert len(set(held_out)) > 1


@pytest.mark.parametrize("both", [True, False])
def test_prepared_files_are_read_with_their_split(tmp_path, both):
    vectors = 2.0 * film(0) / (1280, 720) - 1.0
    vectors[10, 4] = -1.0  # a missing wrist
    for split in ("train_1min", "test_1min") if both else ("train_1min",):
        (tmp_path / split).mkdir()
        for song in ("a_1", "b") if split == "train_1min" else ("c",):
            for half in (0, 1):
                content = {
                    "id": f"{song}_{half}",
                    "music_array": np.zeros((90, 438)).tolist(),
                    "dance_array": np.c_[vectors.reshape(len(vectors), -1), np.zeros((len(vectors), 224))][
                        half::2
                    ].tolist(),
                }
                (tmp_path / split / f"ballet_{song}_{half}.json").write_text(json.dumps(content))
    assert main([str(tmp_path), "--format", "dancerevolution", "--out", str(tmp_path / "out")]) == 0
    corpora = {split: load_flat(tmp_path / "out", split).sequences for split in ("train", "test")}
    songs = {split: sorted({s.song for s in sequences}) for split, sequences in corpora.items()}
    if both:
        assert songs == {"train": ["ballet_a_1", "ballet_b"], "test": ["ballet_c"]}
    else:
        assert [len(songs[split]) for split in ("train", "test")] == [1, 1]
    sequence = corpora["train"][0]
    assert sequence.style == "ballet"
    expected = film(0)[0::2].copy()
    expected[5, 4] = (expected[4, 4] + expected[6, 4]) / 2
    np.testing.assert_allclose(sequence.pose, to_vectors(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda d: None, "neither audio/STYLE"),
        (lambda d: [(d / k / "pop").mkdir(parents=True) for k in ("audio", "json")], "nothing in it can be used"),
        (lambda d: (d / "x_0.json").write_text("{"), "nothing in it can be used: .*x_0.json: not id"),
        (lambda d: (d / "x_0.json").write_text('{"id": 1, "music_array": [[1]], "dance_array": [[1]]}'), "438"),
    ],
)
def test_what_is_no_data_is_refused_in_one_line(tmp_path, capsys, make, reason):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    assert main([str(tmp_path / "data"), "--format", "dancerevolution", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(reason, error)
    with pytest.raises(CorpusError):
        load_flat(tmp_path / "out", "train")
