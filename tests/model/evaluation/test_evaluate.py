"""The command reads what the other commands write, says what is wrong in one line, and its JSON is its table."""

import json
import math

import numpy as np
import pytest

from dancerev.errors import InputError
from dancerev.model.evaluation.evaluate import Dance, evaluate, main, read_dance, read_real
from dancerev.model.evaluation.metrics import evaluate_dance
from dancerev.model.pose import rest_pose
from dancerev.model.skeleton import BONES

REST = rest_pose()
TEMPI = (60.0, 72.0, 81.0, 159.0, 162.0, 171.0, 180.0)


def swaying(seconds=12.0, fps=30, bpm=120.0, width=0.05):
    """Positions of a body that sways from side to side and stops for an instant on every beat."""
    times = np.arange(int(seconds * fps) + 1) / fps
    positions = np.tile(REST.positions().astype(np.float64), (len(times), 1, 1))
    height = positions[..., 1] * (1 + np.arange(22) / 100)
    positions[..., 0] += width * np.cos(np.pi * times * bpm / 60)[:, None] * height
    return positions


@pytest.fixture
def dance_file(tmp_path):
    path = tmp_path / "sway.npz"
    beats = np.arange(0.0, 12.0, 0.5) + 0.25
    np.savez(path, fps=30, joint_names=np.array(BONES), positions=swaying().astype(np.float32), beats=beats)
    return path


@pytest.fixture
def real_file(tmp_path):
    path = tmp_path / "real.npz"
    frames = 8 * 60
    rng = np.random.default_rng(0)
    root = np.tile(REST.root, (2 * frames, 1)) + np.cumsum(rng.normal(size=(2 * frames, 3), scale=0.003), axis=0)
    np.savez(
        path,
        rotations=np.tile(REST.rotations, (2 * frames, 1, 1)),
        root=root.astype(np.float32),
        contacts=np.zeros((2 * frames, 2), np.float32),
        lengths=[frames, frames],
        take=["a", "b"],
        fps=60,
    )
    return path


def test_true_beats_replace_the_heard_ones(dance_file, tmp_path):
    truth = tmp_path / "truth.beats.json"
    truth.write_text(json.dumps({"bpm": 120, "beats": np.arange(0.0, 12.0, 0.5).tolist()}))
    np.testing.assert_allclose(read_dance(dance_file).beats[:2], [0.25, 0.75])
    np.testing.assert_allclose(read_dance(dance_file, truth).beats[:2], [0.0, 0.5])
    folder = tmp_path / "beats"
    folder.mkdir()
    truth.rename(folder / "sway.beats.json")
    np.testing.assert_allclose(read_dance(dance_file, folder).beats[:2], [0.0, 0.5])


def write_dance(path, bpm=120.0, width=0.05):
    path.parent.mkdir(exist_ok=True)
    np.savez(path, fps=30, joint_names=np.array(BONES), positions=swaying(bpm=bpm, width=width), beats=np.zeros(0))


@pytest.fixture
def groups(tmp_path):
    """Two folders of dances, one on the beat and one off it, and their music of 96 and 126 beats a minute."""
    music = tmp_path / "music"
    music.mkdir()
    for name, bpm in (("slow", 96.0), ("fast", 126.0)):
        beats = np.arange(0.0, 12.0, 60.0 / bpm).tolist()
        (music / f"{name}.beats.json").write_text(json.dumps({"bpm": bpm, "beats": beats, "silences": [[0.0, 3.0]]}))
        for seed in (0, 1):
            write_dance(tmp_path / "live" / f"{name}__salsa__seed{seed}.npz", bpm, width=0.05 + 0.02 * seed)
            write_dance(tmp_path / "other" / f"{name}__seed{seed}.npz", 0.77 * bpm)
    write_dance(tmp_path / "live" / "slow__modern__seed0.npz", 96.0)
    return tmp_path


def test_a_dance_is_named_after_its_song_style_and_seed(groups):
    for name, style in (("slow__salsa__seed1", "salsa"), ("slow__modern__seed0", "modern")):
        dance = read_dance(groups / "live" / f"{name}.npz", groups / "music")
        assert (dance.name, dance.style, dance.bpm) == (name, style, 96.0)
        np.testing.assert_allclose(np.diff(dance.beats), 60 / 96)
        np.testing.assert_array_equal(dance.silences, [[0.0, 3.0]])
    assert read_dance(groups / "other" / "fast__seed0.npz", groups / "music").style is None
    heard = read_dance(groups / "live" / "slow__salsa__seed1.npz")
    assert heard.bpm is None
    assert heard.silences is None


def test_the_tempo_is_that_of_the_beats_where_the_file_does_not_tell(dance_file, tmp_path):
    truth = tmp_path / "truth.beats.json"
    truth.write_text(json.dumps({"beats": np.arange(0.0, 12.0, 0.6).tolist()}))
    dance = read_dance(dance_file, truth)
    assert dance.bpm == pytest.approx(100.0)
    assert dance.silences.shape == (0, 2)


def test_groups_stand_in_one_table_beside_real_dance(groups, real_file, capsys):
    out, sheets = groups / "report.json", groups / "sheets"
    arguments = ["--group", f"ours={groups / 'live'}", "--group", f"theirs={groups / 'other'}"]
    arguments += ["--music", str(groups / "music"), "--real", str(real_file)]
    assert main([*arguments, "--json", str(out), "--sheets", str(sheets)]) == 0
    report = json.loads(out.read_text())
    assert list(report) == ["ours", "theirs"]
    ours, theirs = report["ours"], report["theirs"]
    assert len(ours["dances"]) == 5
    assert len(theirs["dances"]) == 4
    # Each group is what it would be alone.
    alone = evaluate(
        [read_dance(p, groups / "music") for p in sorted((groups / "live").iterdir())], read_real(real_file)
    )
    assert ours["mean"]["pfc"] == pytest.approx(alone["mean"]["pfc"])
    assert ours["comparison"]["fid_k"] == pytest.approx(alone["comparison"]["fid_k"])
    assert ours["mean"]["bas"] > 0.8 > theirs["mean"]["bas"]
    assert {band: row["dances"] for band, row in ours["tempo"].items()} == {"80–100": 3, "120–140": 2}
    assert {style: row["dances"] for style, row in ours["style"].items()} == {"salsa": 4, "modern": 1}
    scores = [ours["dances"][f"slow__{name}"]["bas"] for name in ("salsa__seed0", "salsa__seed1", "modern__seed0")]
    assert ours["tempo"]["80–100"]["bas"] == pytest.approx(np.mean(scores))
    assert theirs["style"] == {}
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line for line in lines[1:4] if line}
    real = [line for line in lines if line.startswith("real")]
    assert f"{theirs['comparison']['fid_g']:.2f}" in table["theirs"]
    assert any(f"{ours['comparison']['div_k_real']:.2f}" in line for line in real)
    heading = next(number for number, line in enumerate(lines) if "80–100 BPM" in line)
    assert "salsa" in lines[heading]
    assert f"{ours['tempo']['80–100']['bas']:.3f} / {ours['tempo']['80–100']['bas_chance']:.3f}" in lines[heading + 1]
    assert "– / –" in lines[heading + 2]
    assert (sheets / "ours" / "fast__salsa__seed0.png").stat().st_size > 1000


def test_rest_while_the_music_is_silent_is_no_freezing(groups):
    arrays = dict(np.load(groups / "other" / "slow__seed0.npz"))
    arrays["positions"][:90] = arrays["positions"][90]
    path = groups / "other" / "slow__seed5.npz"
    np.savez(path, **arrays)
    silent, heard = (evaluate([read_dance(path, music)], [])["mean"] for music in (groups / "music", None))
    assert silent["freezing"] == 0.0
    assert heard["freezing"] > 0.1


def test_wrong_groups_are_told_in_one_line(groups, dance_file, capsys):
    live = f"ours={groups / 'live'}"
    for arguments, reason in (
        ([], "either dances or groups"),
        ([str(dance_file), "--group", live], "either dances or groups"),
        (["--group", str(groups)], "NAME=FOLDER"),
        (["--group", f"none={groups / 'music'}"], "no dances"),
        (["--group", live, "--group", live], "the same name"),
        (["--group", live, "--music", str(groups / "live")], "slow.beats.json|fast.beats.json"),
    ):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err
        assert code == 2
        assert error.count("\n") == 1
        assert any(part in error for part in reason.split("|"))


def test_real_takes_are_told_apart(real_file):
    takes = read_real(real_file)
    assert [take.name for take in takes] == ["a", "b"]
    assert [take.positions.shape for take in takes] == [(480, 22, 3)] * 2
    assert takes[0].beats is None


def test_command_prints_a_table_and_writes_the_same_as_json(dance_file, real_file, tmp_path, capsys):
    out, sheets = tmp_path / "report.json", tmp_path / "sheets"
    assert main([str(dance_file), "--real", str(real_file), "--json", str(out), "--sheets", str(sheets)]) == 0
    report = json.loads(out.read_text())
    printed = capsys.readouterr().out
    expected = evaluate_dance(read_dance(dance_file).positions, 30, read_dance(dance_file).beats)
    assert report["dances"]["sway"]["pfc"] == pytest.approx(expected["pfc"])
    assert f"{expected['bas']:.3f}" in printed
    assert f"FID_k {report['comparison']['fid_k']:.2f}" in printed
    assert report["dances"]["sway"]["loop"] == pytest.approx(1.0, abs=0.04)
    assert "bas" not in report["real"]
    assert (sheets / "sway.png").stat().st_size > 1000


def test_nan_becomes_null(dance_file, tmp_path):
    arrays = dict(np.load(dance_file))
    np.savez(dance_file, **{**arrays, "beats": np.zeros(0)})
    out = tmp_path / "report.json"
    assert main([str(dance_file), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["dances"]["sway"]["bas"] is None


def test_mean_of_dances_and_shortest_loop():
    dances = [Dance("a", swaying(bpm=120), 30.0), Dance("b", swaying(bpm=60, width=0.1), 30.0)]
    report = evaluate(dances, [])
    a, b = report["dances"]["a"], report["dances"]["b"]
    assert report["mean"]["mean_speed"] == pytest.approx((a["mean_speed"] + b["mean_speed"]) / 2)
    assert report["mean"]["loop"] == min(a["loop"], b["loop"])
    assert not any(math.isnan(value) for value in report["mean"].values())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"no zip", "not an .npz file"),
        ({"x": 1}, "it lacks"),
        ({"fps": 30, "joint_names": np.array(["Hips"]), "positions": np.zeros((5, 1, 3))}, "skeleton"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.zeros((1, 22, 3))}, "fewer than two"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.zeros((5, 21, 3))}, "shape (frames, 22, 3)"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.zeros(())}, "shape (frames, 22, 3)"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.full((5, 22, 3), "x")}, "no numbers"),
        ({"fps": 30, "joint_names": np.array(BONES), "positions": np.full((5, 22, 3), np.nan)}, "not all finite"),
        ({"fps": 0, "joint_names": np.array(BONES), "positions": np.zeros((5, 22, 3))}, "fps"),
        ({"fps": np.nan, "joint_names": np.array(BONES), "positions": np.zeros((5, 22, 3))}, "fps"),
        ({"fps": [30, 30], "joint_names": np.array(BONES), "positions": np.zeros((5, 22, 3))}, "fps"),
    ],
)
def test_what_is_not_a_dance_is_told_in_one_line(tmp_path, capsys, content, reason):
    path = tmp_path / "dance.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dancerev-evaluate: ")
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lengths": [480, 470]}, "belong together"),
        ({"lengths": [960]}, "belong together"),
        ({"lengths": [-480, 1440]}, "lengths"),
        ({"root": np.zeros((960, 2))}, "root"),
        ({"root": np.full((960, 3), np.inf)}, "root"),
        ({"rotations": np.full((960, 22, 4), np.nan)}, "rotations"),
        ({"fps": -60}, "fps"),
        ({"lengths": np.array([2**63, 2**63 + 960], dtype=np.uint64)}, "lengths"),
        ({"styles": ["salsa"]}, "styles"),
        ({"styles": ["salsa"], "style": [0, 1]}, "styles"),
        ({"rotations": np.zeros((960, 22, 4))}, "no direction"),
    ],
)
def test_what_is_no_real_dance_is_told_in_one_line(dance_file, real_file, capsys, change, reason):
    np.savez(real_file, **(dict(np.load(real_file)) | change))
    assert main([str(dance_file), "--real", str(real_file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dancerev-evaluate: {real_file}: ")
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", [{"beats": np.zeros(9)}, {"contacts": np.full((361, 2), "x")}])
def test_beats_at_one_time_and_contacts_that_are_none_are_left_out(dance_file, change):
    np.savez(dance_file, **{**np.load(dance_file), **change})
    assert main([str(dance_file)]) == 0


def test_too_little_dance_to_compare_is_told_in_one_line(dance_file, real_file, capsys):
    arrays = dict(np.load(real_file))
    short = {name: arrays[name][:300] for name in ("rotations", "root", "contacts")}
    np.savez(real_file, **{**arrays, **short, "lengths": [300], "take": ["a"]})
    assert main([str(dance_file), "--real", str(real_file)]) == 2
    *_, error = capsys.readouterr().err.splitlines()  # after the bar
    assert error == "dancerev-evaluate: too little dance to compare: at least 7.5 s on both sides"


def test_a_dance_in_silence_alone_is_too_little_to_compare():
    silent = Dance("a", swaying(), 30.0, silences=np.array([[0.0, 60.0]]))
    with pytest.raises(InputError, match="too little dance"):
        evaluate([silent], [Dance("real", swaying(), 30.0)])


@pytest.mark.parametrize(("option", "name"), [("--json", "none/x.json"), ("--sheets", "sway.npz/sheets")])
def test_where_nothing_can_be_written_is_told_before_the_work(dance_file, tmp_path, monkeypatch, capsys, option, name):
    monkeypatch.setattr("dancerev.model.evaluation.evaluate.read_dance", pytest.fail)
    assert main([str(dance_file), option, str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["..", "../x", "/tmp/x", "a\\b"])
def test_a_group_that_would_be_drawn_elsewhere_is_refused(groups, capsys, name):
    with pytest.raises(SystemExit):
        main([f"--group={name}={groups / 'live'}", f"--sheets={groups / 'sheets'}"])
    assert capsys.readouterr().err.count("\n") == 1
    assert not (groups / "sheets").exists()


def test_dances_of_one_name_are_refused_rather_than_dropped(groups, capsys):
    same = [str(groups / folder / "slow__seed0.npz") for folder in ("other", "again")]
    write_dance(groups / "again" / "slow__seed0.npz")
    assert main(same) == 2
    error = capsys.readouterr().err
    assert "2 dances have the same name, slow__seed0" in error
    assert error.count("\n") == 1


def test_every_tempo_that_is_heard_has_a_band():
    dances = [Dance(str(bpm), swaying(bpm=120), 30.0, np.arange(0.0, 12.0, 60 / bpm), bpm=bpm) for bpm in TEMPI]
    counts = {band: row["dances"] for band, row in evaluate(dances, [])["tempo"].items()}
    assert counts == {"60–80": 2, "80–100": 1, "140–160": 1, "160–180": 2, "180–200": 1}


def test_bad_beats_and_bad_real_dance_are_told_in_one_line(dance_file, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    for arguments in (["--music", str(bad)], ["--music", str(tmp_path / "none.json")], ["--real", str(dance_file)]):
        assert main([str(dance_file), *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
