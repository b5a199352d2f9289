"""Augmentation changes the sound and the tempo of music, and its beats move with it."""

import numpy as np
import pytest
import torch

from dancerev.model.beats.augment import (
    ROWS,
    Augmentation,
    change_to,
    draw_pieces,
    join,
    label,
    mixed,
    network_inputs,
    plain_window,
    window,
)
from dancerev.model.beats.spectra import Piece, mel_levels
from dancerev.realtime.audio.clock import SAMPLE_RATE
from dancerev.realtime.beat.beat_network import DELAY, RATE, network_input
from dancerev.realtime.spectrum import FRAME_SAMPLES, HOP_RATE, MELS, Spectrum

CPU = torch.device("cpu")


def pulses(bpm=100.0, seconds=60.0, group="real", per_bar=4):
    """A piece that is silent but for short pulses on its beats."""
    beats = np.arange(0.5, seconds - 1.0, 60.0 / bpm)
    mel = np.zeros((int(seconds * HOP_RATE), MELS), dtype=np.uint8)
    for beat in beats:
        mel[int(np.ceil(beat * HOP_RATE)) :][:3] = 120
    return Piece(group, mel, beats, np.arange(len(beats)) % per_bar == 0)


def onsets(power):
    """Seconds at which the power of (T, MELS) rises, by the rows complete at 1 / HOP_RATE, 2 / HOP_RATE, …"""
    energy = power.sum(dim=1)
    loud = (energy > 0.3 * energy.quantile(0.98)).int()
    return (np.flatnonzero(np.diff(loud.numpy(), prepend=0) > 0) + 1) / HOP_RATE


def marked(batch, index=0):
    """Seconds of the beats that the labels mark."""
    share = 1.0 - batch.labels[index, :, 0]
    peaks = [k for k in range(1, len(share) - 1) if share[k] >= 0.4 and share[k - 1] < share[k] >= share[k + 1]]
    return (np.array(peaks) + 1) / RATE - DELAY


@pytest.mark.parametrize("speed", [0.83, 1.0, 1.2])
def test_a_change_of_tempo_moves_beats_with_onsets(speed):
    piece = pulses()
    batch = plain_window(piece, 7.3, speed, 10 * RATE)
    found, told = onsets(mixed(batch)[0]), marked(batch)
    assert len(told) == pytest.approx(10.0 * speed * 100.0 / 60.0, abs=1.5)
    # One time step of the labels and one row of the spectra apart at most.
    assert all(np.abs(found - beat).min() < 1.0 / RATE + 1.0 / HOP_RATE + 1e-3 for beat in told[told < 9.8])
    expected = (piece.beats - 7.3) / speed
    assert all(np.abs(expected - beat).min() < 1.0 / RATE for beat in told)
    counted = batch.truth.counted[0] > 0
    np.testing.assert_allclose(batch.truth.period[0][counted], 0.6 / speed, rtol=1e-5)


def test_augmentation_keeps_beats_where_they_are():
    """Through every equaliser, room and noise the pulses stay the strongest rises."""
    batch = join([plain_window(pulses(bpm), 3.0, 1.0, 8 * RATE) for bpm in np.linspace(70, 180, 24)], CPU)
    power = Augmentation(CPU, 0)(batch)
    assert torch.isfinite(power).all()
    assert (power >= 0.0).all()
    assert (power - mixed(batch)).abs().max() > 0.1
    rise = network_inputs(power)[..., MELS:].sum(dim=2)
    for index in range(24):
        near = [rise[index, max(0, round(beat * RATE)) :][:4].max() for beat in marked(batch, index)[:-1]]
        assert np.median(near) > 2.0 * rise[index].mean()


def test_one_seed_augments_alike():
    batch = join([plain_window(pulses(), 3.0, 1.0, 5 * RATE)] * 2, CPU)
    torch.testing.assert_close(Augmentation(CPU, 1)(batch), Augmentation(CPU, 1)(batch), rtol=0, atol=0)
    assert not torch.equal(Augmentation(CPU, 1)(batch), Augmentation(CPU, 2)(batch))


@pytest.mark.parametrize("fade", [0.0, 2.0])
def test_after_a_change_the_beats_are_the_second_ones(fade):
    first, second = (plain_window(pulses(bpm, per_bar=bar), 2.0, 1.0, 10 * RATE) for bpm, bar in ((90, 4), (150, 3)))
    batch = change_to(first, second, 5.0, fade)
    time = (torch.arange(10 * RATE) + 1) / RATE - DELAY
    for part, source in ((time < 5.0, first), (time >= 5.0, second)):
        torch.testing.assert_close(batch.labels[0][part], source.labels[0][part])
        torch.testing.assert_close(batch.truth.metre[0][part], source.truth.metre[0][part])
    rows = (torch.arange(10 * RATE * ROWS) + 1) / HOP_RATE
    before, after = rows < 5.0 - fade / 2 - 0.01, rows > 5.0 + fade / 2 + 0.01
    torch.testing.assert_close(mixed(batch)[0][before], mixed(first)[0][before])
    torch.testing.assert_close(mixed(batch)[0][after], mixed(second)[0][after])
    near = (time - 5.0).abs() < 0.3
    assert batch.truth.counted[0][near].sum() == 0
    assert batch.truth.counted[0][time > 7.0].all()


def test_the_inputs_are_those_of_the_show():
    """From stored spectra, as from audio, but for the rounding."""
    rng = np.random.default_rng(0)
    samples = rng.normal(scale=0.1, size=8 * SAMPLE_RATE).astype(np.float32)
    samples *= 0.3 + (np.arange(len(samples)) % 12_000 < 2_000)
    spectrum = Spectrum()
    parts = samples.reshape(-1, FRAME_SAMPLES)
    live = np.concatenate([network_input(spectrum.process(part).mel) for part in parts])
    beats = np.arange(0.0, 8.0, 0.5)
    piece = Piece("real", mel_levels(samples), beats, np.zeros(len(beats), dtype=bool))
    batch = plain_window(piece, 0.0, 1.0, len(live))
    stored = network_inputs(mixed(batch))[0].numpy()
    assert np.abs(stored - live)[2 * RATE :].mean() < 0.01
    assert live.std() > 0.1


def test_windows_vary_and_repeat_with_their_seed():
    pieces = [pulses(bpm, group=group) for bpm, group in ((80, "real"), (120, "tunes"), (140, "midi"))]

    def make(seed):
        rng = np.random.default_rng(seed)
        draw = draw_pieces(pieces, rng)
        return [window(draw, 6 * RATE, rng) for _ in range(40)]

    first, second = make(3), make(3)
    assert all(torch.equal(one.levels, other.levels) for one, other in zip(first, second, strict=True))
    periods = {round(float(batch.truth.period[0, 100]), 3) for batch in first}
    assert len(periods) > 10
    assert any((batch.fade < 1.0).any() for batch in first)
    assert any((batch.duck < 1.0).any() for batch in first)


def test_labels_are_triangles_late_by_the_delay():
    beats, downbeats = np.array([0.5, 1.0, 1.5]), np.array([True, False, False])
    labels = label(beats, downbeats, 2 * RATE)
    times = (np.arange(2 * RATE) + 1) / RATE
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-6)
    for kind, which in ((1, ~downbeats), (2, downbeats)):
        triangle = labels[:, kind] > 0.0
        assert all(np.min(np.abs(beats[which] + DELAY - time)) < 0.025 for time in times[triangle])
        assert (labels[:, kind] > 0.6).sum() == which.sum()
        np.testing.assert_allclose(labels[:, kind].max(), 1.0, atol=1e-6)
