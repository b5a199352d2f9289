"""Shards round-trip, and a folder of the wrong kind is refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dancerev.errors import CorpusError
from dancerev.model.corpus.shards import DanceSequence, load_corpus, load_shard, save_shard
from dancerev.model.features import FEATURE_SIZE, FEATURE_VERSION
from dancerev.model.pose import POSE_SIZE


def made_sequence(rng, frames, take):
    return DanceSequence(
        features=rng.normal(size=(frames, FEATURE_SIZE)).astype(np.float16),
        pose=rng.normal(size=(frames, POSE_SIZE)).astype(np.float32),
        place=rng.normal(size=(frames, 2)).astype(np.float32),
        heading=rng.normal(size=frames).astype(np.float32),
        speed=rng.uniform(0.1, 2.0, size=frames).astype(np.float32),
        phrase=float(rng.integers(2)),
        style=int(rng.integers(2)),
        take=take,
        mirrored=bool(rng.integers(2)),
        tempo=float(rng.uniform(80, 160)),
        beats=np.sort(rng.uniform(0, frames / 15, size=frames // 8)).astype(np.float32),
    )


def write_manifest(folder, **changes):
    sizes = {"feature": FEATURE_SIZE, "pose": POSE_SIZE}
    manifest = {
        "feature_version": FEATURE_VERSION,
        "styles": ["one", "two"],
        "statistics": {f"{name}_{kind}": [0.0] * size for name, size in sizes.items() for kind in ("mean", "std")}
        | {"style_speed": [0.5, 0.6]},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    sequences = [made_sequence(rng, frames, f"take {frames}") for frames in (40, 7, 100)]
    save_shard(tmp_path / "train_000.npz", sequences[:2])
    save_shard(tmp_path / "train_001.npz", sequences[2:])
    write_manifest(tmp_path)
    corpus = load_corpus(tmp_path, "train")
    assert corpus.styles == ("one", "two")
    assert len(corpus.sequences) == 3
    for read, written in zip(corpus.sequences, sequences, strict=True):
        for name in DanceSequence.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert load_corpus(tmp_path, "test").sequences == []


def test_refusals(tmp_path):
    with pytest.raises(CorpusError, match="dancerev-prepare"):
        load_corpus(tmp_path, "train")
    write_manifest(tmp_path, feature_version=-1)
    with pytest.raises(CorpusError, match="version -1"):
        load_corpus(tmp_path, "train")
    short = {f"{n}_{k}": [0.0] for n in ("feature", "pose") for k in ("mean", "std")}
    write_manifest(tmp_path, statistics=short | {"style_speed": [0.5, 0.6]})
    with pytest.raises(CorpusError, match="size"):
        load_corpus(tmp_path, "train")


VERSION = {"feature_version": FEATURE_VERSION}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "nested too deep"),
        ("\xff", "not JSON"),
        (json.dumps(VERSION), "no statistics"),
        (json.dumps(VERSION | {"statistics": []}), "no statistics"),
        (json.dumps(VERSION | {"statistics": {"feature_mean": ["a"]}}), "no statistics"),
    ],
)
def test_damaged_manifests_are_told_in_one_line(tmp_path, content, reason):
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(CorpusError, match=reason) as error:
        load_corpus(tmp_path, "train")
    assert "\n" not in str(error.value)


def test_damaged_shards_are_told_by_name_in_one_line(tmp_path):
    path = tmp_path / "train_000.npz"
    save_shard(path, [made_sequence(np.random.default_rng(0), 40, "take")])
    whole = path.read_bytes()
    middle = len(whole) // 2
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for content in (
        whole[:3000],  # as a full disk leaves it
        b"",
        b"no zip",
        whole[:middle] + bytes(64) + whole[middle + 64 :],
        (tmp_path / "other.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="dancerev-prepare") as error:
            load_shard(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_a_style_or_a_shape_that_the_corpus_has_not_is_told_in_one_line(tmp_path):
    write_manifest(tmp_path)
    good = made_sequence(np.random.default_rng(0), 40, "take")
    for change, reason in (({"style": 2}, "style"), ({"pose": good.pose[:, :5]}, "pose"), ({"tempo": "x"}, "tempo")):
        save_shard(tmp_path / "train_000.npz", [replace(good, **change)])
        with pytest.raises(CorpusError, match=reason) as error:
            load_corpus(tmp_path, "train")
        assert "\n" not in str(error.value)
