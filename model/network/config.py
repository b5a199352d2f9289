"""Sizes of the dance network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..styles import STYLES

VIGOUR_INPUTS: tuple[float, ...] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Values of the input ``vigour`` at which the speed of free-running dances is measured."""


@dataclass(frozen=True)
class DanceConfig:
    """Sizes of the network.

    Attributes:
        styles: names of the styles, in the order of the style vector.
        width, layers, heads, feed_forward: of the encoder.
        window: frames of music that attention sees, the present one included.
        look_ahead: frames of music that it sees beyond; more than none dances offline only, to compare with.
        hidden, lstm_layers: of the decoder.
        levels: values per dimension of a code; their product is the number of codes.
        code_width: of what the decoder is told of a code and how far its half step has come.
        code_hidden: of the layer between.
        motion_width: of the motion encoder.
        prior_code_width: of what the prior is told of a code.
        prior_hidden: of the prior's LSTM.
        memory: how many half steps ago the codes lie of which the prior is reminded: 8 and 16 steps.
        code_dropout, music_dropout: of what the prior sees in training of the code before and of the music, so that it
            leans on the beat, which every song has, and not on how the songs sounded to which it learned to dance.
        dropout: in training, everywhere.
    """

    styles: tuple[str, ...] = STYLES
    width: int = 128
    layers: int = 2
    heads: int = 4
    feed_forward: int = 256
    window: int = 60
    look_ahead: int = 0
    hidden: int = 384
    lstm_layers: int = 2
    levels: tuple[int, ...] = (5, 5, 5, 5)
    code_width: int = 96
    code_hidden: int = 128
    motion_width: int = 192
    prior_code_width: int = 64
    prior_hidden: int = 256
    memory: tuple[int, ...] = (16, 32)
    code_dropout: float = 0.1
    music_dropout: float = 0.3
    dropout: float = 0.05

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return math.prod(self.levels)
