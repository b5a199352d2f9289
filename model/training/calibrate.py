"""How large a trained network dances at each value of its input ``vigour``, so that the stage can ask for a size."""

from __future__ import annotations

import numpy as np
import torch

from ..corpus.shards import Corpus
from ..features import ACTIVITY
from ..kinematic_beats import joint_speed
from ..network.config import VIGOUR_INPUTS
from ..network.dance_network import DanceNetwork
from ..network.free_run import free_run
from ..pose import FRAME_RATE
from ..skeleton import forward_kinematics

_SECONDS = 24
_SONGS = 8
_STAGE_LOSS = 0.15  # octaves of speed that bounds and planted feet take away on stage: measured, 216 dances
_SETTLING = 3  # seconds at the start of a dance that do not count


def measure_vigour(network: DanceNetwork, corpus: Corpus, seed: int = 0) -> torch.Tensor:
    """(styles, inputs) log2 of the mean joint speed of dances on stage against that of real dance of the style.

    The dances are free-running; what the stage takes off their speed is known from the bundled weights.

    Args:
        network: trained.
        corpus: whose music is danced to, and whose styles have their real speed.
        seed: of the choice of music, and of the draws.
    """
    rng = np.random.default_rng(seed)
    frames = _SECONDS * FRAME_RATE
    music = []
    for index in rng.permutation(len(corpus.sequences)):
        features = corpus.sequences[index].features.astype(np.float32)
        start = int(rng.integers(0, max(len(features) - frames, 0) + 1))
        part = features[start : start + frames]
        if len(part) == frames and (part[:, ACTIVITY] > 0.5).all():
            music.append(part)
        if len(music) == _SONGS:
            break
    if not music:
        return torch.zeros_like(network.vigour_reached)
    network = network.eval()
    styles = len(network.config.styles)
    heard = np.tile(np.stack(music), (styles, 1, 1))
    style = np.repeat(np.eye(styles, dtype=np.float32), len(music), axis=0)
    reached = np.empty((styles, len(VIGOUR_INPUTS)))
    for column, vigour in enumerate(VIGOUR_INPUTS):
        rotations, root = free_run(network, heard, style, seed, vigour=vigour)
        danced = (forward_kinematics(rotations, root)[0])[:, _SETTLING * FRAME_RATE :]
        speed = np.array([joint_speed(dance, FRAME_RATE).mean() for dance in danced])
        reached[:, column] = np.log2(speed.reshape(styles, -1).mean(axis=1) / corpus.style_speed) - _STAGE_LOSS
    return torch.from_numpy(np.maximum.accumulate(reached, axis=1)).float()
