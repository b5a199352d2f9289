"""Cue lists: each cue is done once, when its time, bar or marker comes; a bad one is named in one line."""

import pytest

from dancerev.errors import InputError
from dancerev.realtime.performance import Performance
from dancerev.realtime.performance.cues import CueList, read_cues


@pytest.fixture
def cues(tmp_path):
    def write(text):
        path = tmp_path / "show.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_cues_are_done_at_their_time_bar_and_marker(cues):
    path = cues(
        "[[cue]]\nat = 2.5\nvigour = 0.5\n"
        '[[cue]]\nbar = 3\ncrew = "canon"\ncanon = 1\n'
        '[[cue]]\nmarker = "drop"\nfreeze = true\n'
    )
    performance, now = Performance(), [0.0]
    performance.surfaces.append(CueList(performance, read_cues(path), lambda: now[0]))
    done = []
    performance.subscribe(lambda change: done.append((now[0], change.name, change.value)))
    for frame in range(60):
        now[0], performance.bars = frame / 15, frame // 10
        performance.tick()
    assert done[:2] == [(30 / 15, "crew", "canon"), (30 / 15, "canon", 1.0)]
    assert done[2] == (pytest.approx(38 / 15), "vigour", 0.5)
    assert len(done) == 3
    for _ in range(2):  # a marker may come again
        performance.request("marker", "drop")
        performance.tick()
        performance.tick()
    assert [name for _, name, _ in done[3:]] == ["marker", "freeze", "marker", "freeze"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[cue]", "no TOML"),
        ("a = " + "[" * 5000, "no TOML"),
        ("a = 1" + "0" * 5000, "no TOML"),
        ("speed = 1", "holds .*cue"),
        ("[cue]\nat = 1", "holds .*cue"),
        ("[[cue]]\nvigour = 1", "cue 1: give one of at, bar and marker"),
        ("[[cue]]\nat = 1\nbar = 2", "cue 1: give one of at, bar and marker"),
        ("[[cue]]\nat = -1", "at is a number of seconds from 0"),
        ("[[cue]]\nat = nan", "at is a number of seconds from 0"),
        ("[[cue]]\nat = inf", "at is a number of seconds from 0"),
        ("[[cue]]\nbar = 0", "bar is a whole number from 1"),
        ("[[cue]]\nbar = 1.5", "bar is a whole number from 1"),
        ("[[cue]]\nmarker = 3", "marker is a text"),
        ('[[cue]]\nat = 1\nwhen = "soon"', "when is now, beat or bar"),
        ("[[cue]]\nat = 1\nvolume = 1", "there is no control 'volume'"),
        ('[[cue]]\nat = 1\ntap = "maybe"', "cue 1: tap: 'maybe' is neither on nor off"),
        ("[[cue]]\nat = 1\nfreeze = [1]", "cue 1: freeze: .* is neither on nor off"),
        ("[[cue]]\nat = 1\nstyle = {salsa = 1}", "cue 1: style: .* is no text"),
        ("[[cue]]\nat = 1\n[[cue]]\nat = 2\nvigour = 9", "cue 2: vigour: 9 is not a number from 0 to 1.5"),
    ],
)
def test_a_bad_cue_is_named_in_one_line(cues, text, reason):
    path = cues(text)
    with pytest.raises(InputError, match=reason) as error:
        read_cues(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
