"""The bench measures what it says: every stage, both ways, and the same cost late in a dance as early."""

import json
import sys
import time

import numpy as np
import pytest

from dancerev.export.bench import (
    FRAME,
    STAGES,
    Stopwatch,
    after_an_hour,
    bench,
    generation,
    main,
    measure,
    original_way,
    verdict,
)
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.dance_model import DanceModel
from dancerev.realtime.dancer import Dancer
from dancerev.realtime.stream import DanceStream


def noise(seconds):
    return np.random.default_rng(0).normal(scale=0.1, size=round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_a_stage_within_another_is_counted_once():
    class Work:
        def outer(self):
            time.sleep(0.01)
            self.inner()

        def inner(self):
            time.sleep(0.02)

    work, watch = Work(), Stopwatch()
    watch.watch("outer", work, "outer")
    watch.watch("inner", work, "inner", within="outer")
    work.outer()
    (frame,) = watch.frames
    assert frame["inner"] >= 0.02
    assert 0.01 <= frame["outer"] < frame["inner"]


@pytest.mark.slow
@pytest.mark.parametrize("dancers", [1, 4])
def test_every_stage_is_measured_as_a_part_of_the_frame(exported, dancers):
    network = DanceModel(str(exported), dancers=dancers)
    table = measure(network, noise(4), paced=False)
    assert list(table) == [*STAGES, FRAME]
    assert all(0.0 < row["p50"] <= row["p99"] for row in table.values())
    for stage in ("features", "beat", "step", "post", "interpolate"):
        assert table[stage]["p50"] < table[FRAME]["p50"]
    assert "step" not in vars(network)  # the stopwatch is taken off again


def test_generation_is_of_a_frame(exported):
    network = DanceModel(str(exported))
    began = time.process_time()
    mean = generation(network, noise(8))
    assert 0.0 < 120 * mean <= 1000.0 * (time.process_time() - began)


@pytest.mark.slow
def test_paced_takes_its_time(exported):
    began = time.perf_counter()
    measure(DanceModel(str(exported)), noise(1), paced=True)
    assert time.perf_counter() - began >= 1.0


@pytest.mark.slow
def test_a_frame_costs_late_what_it_did_early(exported):
    late = after_an_hour(lambda: DanceStream(Dancer(DanceModel(str(exported)))), noise(8), age=1500)
    assert late["ratio"] == pytest.approx(1.0, abs=0.1)  # on a machine that others use; the command is for the 5 %


@pytest.mark.slow
def test_growing_cost_is_found_out(exported):
    class Growing(DanceStream):
        def push(self, samples):
            sum(range(300 * self.frames))
            return super().push(samples)

    late = after_an_hour(lambda: Growing(Dancer(DanceModel(str(exported)))), noise(2), age=300)
    assert late["ratio"] > 1.1


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main(["--seconds", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in STAGES)
    report = json.loads(out.read_text())
    assert report["provider"] == "CPUExecutionProvider"
    assert report["threads"] == 1
    assert report["dancers"]["1"]["times_real_time"] > 1.0
    assert report["original"]["times_our_step"] > 1.0
    assert all(f"note: {note}\n" in printed for note in report["notes"])
    assert main(["--model", "nosuch"]) == 2
    assert capsys.readouterr().err.startswith("dancerev-bench: ")


def test_the_original_way_takes_longer_for_more():
    """As its loop over frames does."""
    short, long = original_way(noise(1)), original_way(noise(6))
    assert 0.0 < short["dancing"] * 15 < long["dancing"] * 90
    assert 0.0 < short["hearing"] * 15 < long["hearing"] * 90
    assert long["ms_per_frame"] == pytest.approx(long["dancing"] + long["hearing"])


@pytest.mark.slow
def test_without_torch_the_original_way_is_left_out(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    report = bench(str(exported), "cpu", seconds=1.0, hour=False)
    assert report["original"] is None
    (note,) = report["notes"]
    assert "needs the extra train" in note
    assert list(report["dancers"]) == ["1", "16"]


@pytest.mark.parametrize(("milliseconds", "word"), [(3.0, "fits"), (40.0, "little"), (70.0, "too slow")])
def test_the_verdict_is_in_words(milliseconds, word):
    assert word in verdict(16, milliseconds)
