"""Films become data. The landmark models are not part of the package; a stand-in takes their place but in one test."""

import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from dances import dance

from dancerev.clients.preview.body25_picture import pictures as drawn
from dancerev.errors import CorpusError, InputError
from dancerev.model import body25
from dancerev.model.bvh import read_bvh
from dancerev.model.corpus import dancerevolution, video
from dancerev.model.corpus.flat_corpus import load_flat
from dancerev.model.corpus.pose_landmarks import Square, cut_out, read_models
from dancerev.model.corpus.prepare import main
from dancerev.model.openpose import read_openpose

SECONDS = 4


def write_film(path, pictures, fps=30, seconds=SECONDS):
    """A film with a tone; the pictures are (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("h264", rate=Fraction(fps))
        sound = film.add_stream("aac", rate=24_000, layout="mono")
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "ultrafast", "crf": "10"}
        samples = 0.3 * np.sin(np.arange(24_000 * seconds) / 10.0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.rate = 24_000
        film.mux([*sound.encode(frame), *sound.encode(None)])
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode(None))


class StandIn:
    """Knows the dance of a film by heart; sees nobody in black pictures."""

    def __init__(self, models):
        self.detections, self._at = 1, -1

    def track(self, picture):
        self._at += 1
        points = body25.project(*dance(np.arange(0.0, SECONDS + 1.0, 0.6), SECONDS, 30.0))
        row = np.c_[points[self._at % len(points)] * picture.shape[1] / 1280, np.full(25, 0.9)]
        return row if picture.max() > 40 else None


@pytest.fixture
def prepared(monkeypatch):
    monkeypatch.setattr(video, "PoseTracker", StandIn)
    monkeypatch.setattr(video, "read_models", lambda path: (b"", b""))
    features = np.zeros((1 + 30 * SECONDS, 438), dtype=np.float32)
    monkeypatch.setattr(dancerevolution.original_features, "extract", lambda samples, definition: features)


@pytest.mark.slow
def test_films_become_key_points_takes_and_a_corpus(prepared, tmp_path, capsys):
    points = body25.project(*dance(np.arange(0.0, SECONDS + 1.0, 0.6), SECONDS, 30.0))
    shown = list(drawn(points, (640, 360)))
    shown[50] = np.zeros_like(shown[50])
    for name in ("a", "b"):
        write_film(tmp_path / f"films/jazz/{name}.mp4", shown)
    write_film(tmp_path / "films/empty.mp4", [np.zeros((360, 640, 3), np.uint8)] * 60, seconds=2)
    out = tmp_path / "out"
    assert main(["--video", str(tmp_path / "films"), "--pose-models", "x", "--out", str(out)]) == 0
    report = capsys.readouterr().out
    assert "1 frames without the person" in report
    assert "left out: any/empty: shows nobody in 60 of 60 pictures" in report
    read = read_openpose(out / "keypoints/jazz/a")
    kept = np.delete(np.arange(len(points)), 50)
    np.testing.assert_allclose(read.points[kept], points[kept], atol=0.01)
    take = read_bvh(out / "takes/jazz/a.bvh")
    assert len(take.positions) == len(points)
    with wave.open(str(out / "takes/jazz/a.wav")) as sound:
        assert sound.getnframes() == pytest.approx(24_000 * SECONDS, abs=2400)
    assert [len(load_flat(out, split).sequences) for split in ("train", "test")] == [2, 2]


@pytest.mark.slow
def test_films_train_the_original_network(prepared, tmp_path):
    pytest.importorskip("torch")
    from dancerev.model.training.train import main as train

    shown = list(drawn(body25.project(*dance(np.arange(0.0, SECONDS + 1.0, 0.6), SECONDS, 30.0)), (640, 360)))
    for name in ("a", "b"):
        write_film(tmp_path / f"films/jazz/{name}.mp4", shown)
    out = tmp_path / "out"
    assert main(["--video", str(tmp_path / "films"), "--pose-models", "x", "--out", str(out)]) == 0
    small = ["--layers", "1", "--hidden", "16", "--batch", "2", "--frames", "60", "--epochs", "2"]
    assert train([str(out), "-o", str(tmp_path / "run"), "--preset", "dance-revolution", *small]) == 0
    assert list((tmp_path / "run").glob("epoch_*.pt"))


@pytest.mark.parametrize("fps", [25, 60])
def test_pictures_come_thirty_a_second_whatever_the_film_has(tmp_path, fps):
    grey = [np.full((64, 64, 3), 4 * (i % 60), np.uint8) for i in range(2 * fps)]
    write_film(tmp_path / "x.mp4", grey, fps, 2)
    levels = [round(picture.mean() / 4) for picture in video.pictures(tmp_path / "x.mp4")]
    assert len(levels) == pytest.approx(60, abs=1)
    expected = [int(k * fps / 30 + 1e-6) % 60 for k in range(len(levels))]
    assert np.abs(np.array(levels) - expected).max() <= 1


def test_what_cannot_be_used_is_answered_in_one_line(tmp_path, capsys):
    (tmp_path / "films").mkdir()
    command = ["--video", str(tmp_path / "films"), "--out", str(tmp_path / "out")]
    for more, reason in (
        ([], "npm pack @mediapipe/pose"),
        (["--pose-models", str(tmp_path)], "no films in it"),
        (["films", "--pose-models", "x"], "and nothing else"),
    ):
        assert main([*more, *command]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
    (tmp_path / "films/x.mp4").write_text("no film")
    assert main([*command, "--pose-models", str(tmp_path)]) == 2
    assert "not the package @mediapipe/pose" in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be read as a film"):
        list(video.pictures(tmp_path / "films/x.mp4"))
    (tmp_path / "films/x.mkv").write_text("no film")
    with pytest.raises(CorpusError, match="any/x"):
        video.find_films(tmp_path / "films")


def test_a_turned_square_comes_back():
    square = Square.about(np.array([300.0, 200.0]), np.array([380.0, 140.0]))
    assert square.side == pytest.approx(250.0)
    points = np.array([[0.5, 0.5], [0.5, 0.1]])
    centre, top = square.to_picture(points)
    np.testing.assert_allclose(centre, [300, 200])
    np.testing.assert_allclose(top, [380, 140])
    places = square.places(100)
    np.testing.assert_allclose(places[49:51, 49:51].mean(axis=(0, 1)), [300, 200])


def test_a_picture_is_cut_out_where_it_is():
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    picture[80:120, 140:180] = 255
    cut = cut_out(picture, Square(160.0, 100.0, 80.0, 0.0), 40)
    assert cut[20, 20].tolist() == [1, 1, 1]
    assert cut[:9].max() < 0.01
    assert cut_out(picture, Square(0.0, 0.0, 80.0, 0.0), 40)[:20, :20].max() == 0


@pytest.mark.slow
@pytest.mark.skipif("MEDIAPIPE_POSE" not in os.environ, reason="MEDIAPIPE_POSE names no @mediapipe/pose package")
def test_the_real_models_see_nobody_in_a_wall():
    pytest.importorskip("ai_edge_litert")
    from dancerev.model.corpus.pose_landmarks import PoseTracker

    tracker = PoseTracker(read_models(Path(os.environ["MEDIAPIPE_POSE"])))
    assert tracker.track(np.full((360, 640, 3), 90, np.uint8)) is None
    assert tracker.detections == 1
