"""The original's 438 features against numbers of librosa 0.8 and 0.11, on music that is a formula."""

import json
from pathlib import Path

import numpy as np
import pytest

from dancerev.model.network.original_features import HOP, PARTS, SAMPLE_RATE, SIZE, extract

pytest.importorskip("librosa")

GOLDEN = json.loads((Path(__file__).parent / "golden_features.json").read_text())
"""Made independently of the module, with librosa 0.11: ``2020`` with its old paddings and bands put back."""


def music(seconds=20):
    """(N,) two bars of a minor chord with clicks every half second, every fourth one louder."""
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    samples = sum(0.1 / k * np.sin(2 * np.pi * f * k * time) for f in (220.0, 261.6256, 329.6276) for k in (1, 2, 3))
    decay = np.arange(1536) / SAMPLE_RATE
    click = np.exp(-60 * decay) * np.sin(2 * np.pi * 3000 * decay)
    for n in range(2 * seconds):
        start = round(7680 * n)
        samples[start : start + 1536] += (0.8 if n % 4 == 0 else 0.4) * click
    return samples.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("definition", ["2020", "present"])
def test_equals_the_golden_numbers(definition):
    features, golden = extract(music(), definition), GOLDEN[definition]
    assert features.shape == tuple(golden["shape"]) == (1 + 20 * SAMPLE_RATE // HOP, SIZE)
    beats = np.flatnonzero(features[:, PARTS["beat"]])
    assert beats[:5].tolist() == golden["first beats"]
    assert len(beats) == golden["beats"]
    for name, columns in PARTS.items():
        tolerance = 1e-2 if name == "chroma" else 1e-3
        part, expected = features[:, columns].astype(np.float64), golden[name]
        assert part.mean() == pytest.approx(expected["mean"], rel=tolerance, abs=1e-6), name
        assert part.std() == pytest.approx(expected["std"], rel=tolerance), name
        first = expected["frame 100"]
        np.testing.assert_allclose(part[100, : len(first)], first, rtol=tolerance, atol=tolerance)


def test_what_it_cannot_use_is_refused():
    with pytest.raises(ValueError, match="shorter than a second"):
        extract(np.zeros(SAMPLE_RATE - 1))
    with pytest.raises(ValueError, match="2020, present"):
        extract(np.zeros(SAMPLE_RATE), "1999")


@pytest.mark.slow
def test_silence_has_no_beats_and_no_nan():
    features = extract(np.zeros(3 * SAMPLE_RATE))
    assert np.isfinite(features).all()
    assert features[:, PARTS["beat"]].sum() == 0
