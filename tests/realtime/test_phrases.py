"""Of every two phrases the second may be the first once more, but only what was danced to music in one style."""

import numpy as np
import pytest

from dancerev.realtime.dancer import Phrases

STREET, SALSA = np.eye(2, dtype=np.float32)


def danced(share, steps=64, style=lambda step: STREET, activity=lambda step: 1.0, seed=0):
    """(steps,) whether each dance step is to be that of eight ago."""
    phrases, again = Phrases(np.random.default_rng(seed)), []
    for step in range(steps):
        phrases.step(share)
        again.append(phrases.again(style(step), activity(step)))
    return np.array(again)


def test_free_phrases_never_come_again():
    assert not danced(0.0).any()


def test_strict_phrases_come_in_pairs_and_never_three_times():
    again = danced(1.0).reshape(4, 2, 8)
    assert not again[:, 0].any()
    assert again[1:, 1].all()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_share_is_how_many_of_the_second_phrases_repeat(share):
    again = danced(share, steps=16 * 2000)[8::16]
    assert again.mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("silent", range(16, 32))
def test_rest_does_not_come_again(silent):
    again = danced(1.0, activity=lambda step: 0.0 if step == silent else 1.0)
    assert not again[max(silent, 24) : 32].any()
    assert again[40:48].all()


@pytest.mark.parametrize("changed", range(17, 32))
def test_another_style_dances_nothing_of_the_one_before(changed):
    again = danced(1.0, style=lambda step: STREET if step < changed else SALSA)
    assert not again[changed:32].any()
    assert again[40:48].all()


def test_a_style_that_glides_is_another():
    again = danced(1.0, style=lambda step: STREET + step / 64 * (SALSA - STREET))
    assert not again.any()
