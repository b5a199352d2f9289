"""Annotations of music are read as they are written, and what can be no annotation is refused in one line."""

import numpy as np
import pytest

from dancerev.errors import InputError
from dancerev.model.beats_file import Annotation, read_beats, write_beats


def test_what_is_written_reads_back(tmp_path):
    before = Annotation(np.arange(8) / 2.0, 120.0, "a", np.array([[4.0, 5.0]]), np.array([0.0, 2.0]))
    write_beats(tmp_path / "a.beats.json", before)
    after = read_beats(tmp_path / "a.beats.json")
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value)


def test_beats_come_with_tempo_source_and_silences(tmp_path):
    path = tmp_path / "a.beats.json"
    path.write_text('{"beats": [1, 2, 3, 4], "bpm": 60, "source": "b", "silences": [[0, 0.5], [3.5, 3.8]]}')
    known = read_beats(path)
    assert (known.bpm, known.beats.tolist(), known.source) == (60.0, [1.0, 2.0, 3.0, 4.0], "b")
    assert known.silences.tolist() == [[0.0, 0.5], [3.5, 3.8]]
    for more in ("", ', "silences": []', ', "silences": null'):
        path.write_text(f'{{"beats": [1, 2, 3, 4]{more}}}')
        assert read_beats(path).silences.shape == (0, 2)


@pytest.mark.parametrize(
    "silences", ["[1, 2]", "[[2, 1]]", "[[1, 1]]", "[[0, 2], [1, 3]]", "[[NaN, 1]]", "[[1, 2, 3]]", '[["a", "b"]]']
)
def test_silences_that_cannot_be_are_refused(tmp_path, silences):
    (tmp_path / "a.beats.json").write_text(f'{{"beats": [1, 2, 3, 4], "silences": {silences}}}')
    with pytest.raises(InputError, match=r"a\.beats\.json: ") as caught:
        read_beats(tmp_path / "a.beats.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", '{"beats": [1, 2]}', '{"beats": [1, 2, 3, 2]}', '{"beats": "1234"}', '{"beats": [1, 2, 3, NaN]}',
        '{"beats": [1, 2, 3, 4], "bpm": -60}', '{"beats": [-1, 2, 3, 4]}', '{"beats": [1, 2, 2.001, 4]}',
        '{"beats": [1, 2, 3, 1e400]}', '{"beats": [1, 2, 3, 1' + 400 * "0" + "]}", '{"beats": [1, 2, 3, 4e9]}',
        '{"beats": [1, 2, 3, 4], "bpm": 0.001}', '{"beats": [1, 2, 3, 4], "bpm": 1e300}',
        '{"beats": [1, 2, 3, 4], "bpm": 1e-300}', '{"beats": [1, 2, 3, 4], "bpm": NaN}',
        '{"beats": [0, 50, 100, 150]}', '{"beats": [0, 0.12, 0.24, 0.36]}', '{"beats": [0, 9, 18, 27], "bpm": 120}',
        '{"beats": [[1, 2], [3, 4]]}', "[1, 2, 3, 4]", "null", 100_000 * "[", '{"beats":' * 100_000,
    ],
)  # fmt: skip
def test_damaged_beats_are_refused(tmp_path, text):
    (tmp_path / "a.beats.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.beats\.json: "):
        read_beats(tmp_path / "a.beats.json")
