"""Dance Revolution whole: from its own data to a network that dances live, its films, and its evaluation."""

import json

import numpy as np
import pytest
from dances import dance
from receiver import Receiver, live, messages
from signals import write_song

from dancerev.export.export import main as export
from dancerev.model import body25
from dancerev.model.bvh import read_bvh
from dancerev.model.corpus.prepare import main as prepare
from dancerev.model.evaluation import style_classifier
from dancerev.model.evaluation.evaluate import main as evaluate
from dancerev.model.evaluation.generate_original import main as generate
from dancerev.model.training.train import main as train
from dancerev.realtime.convert import main as convert

pytest.importorskip("librosa")

SECONDS, BPM = 5, {"calm": 60.0, "fast": 120.0}


def write_clip(data, style, number):
    """A song and its film in 1080p: with a bystander, frames without anybody, and a wrist that is lost for long."""
    (data / "audio" / style).mkdir(parents=True, exist_ok=True)
    write_song(data / "audio" / style / f"{number}.wav", SECONDS, BPM[style])
    (data / "audio" / style / f"{number}.beats.json").rename(data / f"{style}{number}.beats.json")
    beats = np.arange(0.0, SECONDS + 2.0, 60.0 / BPM[style])
    points = 1.5 * body25.project(*dance(beats, SECONDS, 30.0, number))
    folder = data / "json" / style / str(number)
    folder.mkdir(parents=True)
    for i, frame in enumerate(points):
        person = np.c_[frame, np.full(25, 0.8)]
        if number == 1 and 30 <= i < 70:
            person[4] = 0.0
        people = [person]
        if number == 2:
            people.insert(i % 2, np.c_[0.6 * points[0] + [1200.0, 300.0], np.full(25, 0.8)])
        if number == 3 and 50 <= i < 53:
            people = []
        content = {"version": 1.2, "people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people]}
        (folder / f"frame{i:06d}_keypoints.json").write_text(json.dumps(content))


def address_space(datagrams):
    return {address for _, data in datagrams for address, _, _ in messages(data)}


@pytest.mark.slow
def test_from_its_data_to_a_live_dance_in_three_dimensions(tmp_path, capsys):
    data, corpus, runs = tmp_path / "data", tmp_path / "corpus", tmp_path / "runs"
    for style in BPM:
        for number in range(4):
            write_clip(data, style, number)
    assert prepare([str(data), "--format", "dancerevolution", "--out", str(corpus)]) == 0
    report = capsys.readouterr().out
    assert "pixels of 1920x1080; one of 2 people followed" in report
    assert "3 frames without the person" in report
    assert "over 40 frames at most" in report
    assert "train: 12 sequences of 6 songs" in report

    short = ["--preset", "dance-revolution", "--batch", "4", "--frames", "60", "--hidden", "16", "--window", "8"]
    assert train([str(corpus), "-o", str(runs / "paper"), *short, "--epochs", "2"]) == 0
    assert train([str(corpus), "-o", str(runs / "live"), *short, "--epochs", "2", "--live"]) == 0
    graph = tmp_path / "live.onnx"
    assert export([str(runs / "live/live.ckpt"), "-o", str(graph)]) == 0

    song = data / "audio/fast/0.wav"
    dances = tmp_path / "dances"
    checkpoint = ["--model", str(runs / "paper/epoch_2.pt")]
    assert generate([str(song), *checkpoint, "-o", str(dances), "--seeds", "2"]) == 0
    assert (dances / "0__seed0.mp4").stat().st_size > 10_000
    assert convert([str(dances / "0__seed0"), str(tmp_path / "lifted.bvh")]) == 0
    assert len(read_bvh(tmp_path / "lifted.bvh").positions) == pytest.approx(30 * SECONDS, abs=2)

    receiver = Receiver()
    show = live("--input", song, "--mute", "--no-preview", "--model", graph, "--osc", f"127.0.0.1:{receiver.port}")
    try:
        _, err = show.communicate(timeout=120)
    finally:
        receiver.close()
    assert show.returncode == 0, err
    assert {"/VMC/Ext/Root/Pos", "/VMC/Ext/Bone/Pos"} <= address_space(receiver.datagrams)
    hands = [
        params[1:4]
        for _, datagram in receiver.datagrams
        for address, _, params in messages(datagram)
        if address == "/VMC/Ext/Bone/Pos" and params[0] == "LeftLowerArm"
    ]
    assert len(hands) > 15 * SECONDS

    judge = tmp_path / "classifier.pt"
    assert style_classifier.main([str(corpus), "-o", str(judge), "--epochs", "20"]) == 0
    capsys.readouterr()
    (tmp_path / "music").mkdir()
    (data / "fast0.beats.json").rename(tmp_path / "music/0.beats.json")
    groups = ["--group", f"paper={dances}", "--paper", str(judge), "--music", str(tmp_path / "music")]
    assert evaluate(groups) == 0
    assert "multimod." in capsys.readouterr().out
