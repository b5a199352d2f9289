"""Places between two styles, and one run of the command on a short song."""

import numpy as np
import pytest
from signals import write_song

from dancerev.model.evaluation import controls


def test_places_lie_between_the_ends_whatever_stands_across():
    ends = np.array([[1.0, 2.0, 3.0], [5.0, 2.0, 3.0]])
    across = np.array([0.0, 7.0, -7.0])
    features = np.array([ends[0], 0.75 * ends[0] + 0.25 * ends[1] + across, ends[1]])
    np.testing.assert_allclose(controls.places_between(features), [0.0, 0.25, 1.0])


@pytest.mark.slow
def test_the_command_prints_both_tables(tmp_path, monkeypatch, capsys):
    write_song(tmp_path / "song.wav", 10.0)
    monkeypatch.setattr(controls, "SHARES", (0.0, 1.0))
    monkeypatch.setattr(controls, "VIGOURS", (0.6, 1.0))
    assert controls.main([str(tmp_path / "song.wav"), "--seeds", "1", "--seconds", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines if " to " in line] == [["0.00", "1.00"]] * 5
    assert float(next(line for line in lines if line.startswith("modern ") and " to " not in line).split()[1]) < 1.0
