"""How likely it is that a beat or a downbeat falls now, by a small learned network: the bar pointer's observation.

A temporal convolutional network (Bai, Kolter & Koltun, 2018), made causal for the stage: Davies & Böck (EUSIPCO 2019)
find beats with one as well as with recurrent networks. Plain NumPy; ``dancerev.model.beats.train`` trains such weights,
and beat_network.md says how those in ``beat_network.npz`` were trained.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..spectrum import HOP_RATE, HOPS, LAG, MELS

FloatArray = npt.NDArray[np.float32]

WEIGHTS = Path(str(resources.files("dancerev.model") / "pretrained" / "beat_network.npz"))

RATE = 60
"""Steps of the network per second; two spectra each."""
STEPS = HOPS * RATE // HOP_RATE
"""Steps per block."""
DELAY = 2 / RATE
"""Seconds after a beat at which the network says so: by then its onset has been heard."""
CLASSES = ("no beat", "beat", "downbeat")
INPUTS = 2 * MELS

MEL_COMPRESSION = 1e3  # amplitude of a mel band is logarithmic down to 30 dB under the loud level, linear below
RISE_HOPS = 2  # over which a rise of power is taken


def network_input(mel: FloatArray) -> FloatArray:
    """Return (STEPS, INPUTS) float32: compressed level and rise of every mel band, at RATE.

    Args:
        mel: (LAG + HOPS, MELS) as in :class:`~dancerev.realtime.spectrum.SpectralBlock`.
    """
    compressed = 0.5 * np.log1p(MEL_COMPRESSION * mel)
    rise = np.maximum(compressed[LAG:] - compressed[LAG - RISE_HOPS : -RISE_HOPS], 0.0)
    level = compressed[LAG:].reshape(STEPS, -1, MELS).mean(axis=1)
    return np.concatenate([level, rise.reshape(STEPS, -1, MELS).max(axis=1)], axis=1).astype(np.float32)


class BeatNetwork:
    """The network with what it remembers, one block after another.

    Args:
        weights: what :func:`dancerev.model.beats.train.export` wrote.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        with np.load(weights) as data:
            self._input_weight: FloatArray = data["input_weight"]
            self._input_bias: FloatArray = data["input_bias"]
            self._output_weight: FloatArray = data["output_weight"]
            self._output_bias: FloatArray = data["output_bias"]
            taps = int(data["taps"])
            self._layers = [
                _Layer(
                    taps, int(dilation), *(data[f"{name}_{index}"] for name in ("weight", "bias", "mix", "mix_bias"))
                )
                for index, dilation in enumerate(data["dilations"])
            ]

    def process(self, mel: FloatArray) -> FloatArray:
        """Return (STEPS, len(CLASSES)) log-probabilities, DELAY late.

        Args:
            mel: (LAG + HOPS, MELS), of the next block.
        """
        hidden = np.maximum(network_input(mel) @ self._input_weight + self._input_bias, 0.0)
        skip = np.zeros_like(hidden)
        for layer in self._layers:
            seen = layer.process(hidden)
            skip += seen
            hidden = hidden + seen
        logits = np.maximum(skip, 0.0) @ self._output_weight + self._output_bias
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class _Layer:
    """A causal dilated convolution over past steps, a rectifier, and a mixture of its channels."""

    def __init__(
        self, taps: int, dilation: int, weight: FloatArray, bias: FloatArray, mix: FloatArray, mix_bias: FloatArray
    ) -> None:
        self._weight, self._bias, self._mix, self._mix_bias = weight, bias, mix, mix_bias
        self._span = (taps - 1) * dilation
        # Long enough that what is remembered is seldom moved back to its beginning.
        self._past: FloatArray = np.zeros((2 * self._span + 64 * STEPS, weight.shape[0] // taps), dtype=np.float32)
        self._back = [dilation * tap for tap in range(taps - 1, -1, -1)]
        self._now = self._span

    def process(self, hidden: FloatArray) -> FloatArray:
        if self._now + STEPS > len(self._past):
            self._past[: self._span] = self._past[self._now - self._span : self._now]
            self._now = self._span
        now = self._now
        self._past[now : now + STEPS] = hidden
        seen = np.concatenate([self._past[now - back : now - back + STEPS] for back in self._back], axis=1)
        self._now += STEPS
        return np.maximum(seen @ self._weight + self._bias, 0.0) @ self._mix + self._mix_bias
