"""Training of the original Dance Revolution network on our corpus, by its own recipe: L1, Adam, its curriculum."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..corpus.shards import Corpus, DanceSequence, load_corpus
from ..evaluation.generate_offline import begin_pose, dance
from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..network.original import OriginalConfig, OriginalNetwork, own_frames
from ..pose import POSE_SIZE, ROTATIONS
from .config import TrainingConfig
from .data import Batch, CorpusTensors, Windows, music_of
from .fit import LAST, fit, held_out_songs, seed_at, steps_done
from .validation import SongValidation


class OriginalTraining(SongValidation):
    """Loss, curriculum and validation around :class:`OriginalNetwork`."""

    def __init__(
        self,
        config: OriginalConfig,
        corpus: Corpus | None = None,
        steps: int = 10_000,
        own: int = 30,
        learning_rate: float = 1e-4,
    ) -> None:
        """As published, λ = 0.01 of its own poses are added in a row with every epoch, and it dances well after 3,000.

        Here ``own`` poses in a row are reached at the end of ``steps``, whatever an epoch is; 0 is teacher forcing.
        """
        super().__init__()
        self.save_hyperparameters(
            {
                "original": dataclasses.asdict(config),
                "feature_version": FEATURE_VERSION,
                "steps": steps,
                "own": own,
                "learning_rate": learning_rate,
            }
        )
        self.network = OriginalNetwork(config)
        self.steps, self.own, self.learning_rate = steps, own, learning_rate
        if corpus is not None:
            self.corpus = CorpusTensors(corpus)
            for name in ("feature_mean", "feature_std", "pose_mean", "pose_std"):
                getattr(self.network, name).copy_(torch.from_numpy(getattr(corpus, name)))
            # As for our own network: what hardly varies must not count as much as what does.
            self.network.pose_std[ROTATIONS].clamp_(min=0.1)
            self.network.feature_std.clamp_(min=0.05)

    def own_in_a_row(self) -> int:
        """How many of its own poses the decoder is fed between real ones, at this step."""
        return int(self.own * min(1.0, self.global_step / self.steps))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of a batch, with as many own poses as the curriculum has reached."""
        features, poses = batch.given.features, batch.poses
        network = self.network
        real = network.normalize_pose(poses)
        own = own_frames(features.shape[1], self.own_in_a_row())
        memory = network.initial_memory(len(features))
        made = network(features, real[:, :-1], own, begin_pose(network), memory)
        loss = F.l1_loss(made, real[:, 1:])
        self.log("own", own.float().mean())
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[DanceSequence], index: int) -> None:
        """Free-running dances to music never heard; the metrics are means over them."""
        dances = [np.array([pose.positions() for pose in poses]) for poses in dance(self.network, music_of(batch))]
        self.log_dances(dances, batch)

    def configure_optimizers(self) -> Any:
        """Return Adam over the parameters that learn."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=self.learning_rate)


def train_original(data: Path, out: Path, config: TrainingConfig, hidden: int, own: int) -> Path:
    """Train the original network, going on from the last checkpoint in ``out`` where there is one.

    Args:
        data: folder made by ``dancerev-prepare``.
        out: folder for checkpoints and logs.
        config: of the run; what concerns our own network alone does nothing.
        hidden: width of the LSTM.
        own: poses of its own in a row at the end of the curriculum.

    Returns:
        The finished checkpoint.

    Raises:
        CorpusError: the corpus cannot be used, or all its dances are shorter than a window.
        ValueError: what lies in ``out`` is not such a training.
    """
    corpus = load_corpus(data, "train")
    songs = held_out_songs(data)
    network = OriginalConfig(features=FEATURE_SIZE, pose=POSE_SIZE, pose_width=POSE_SIZE, hidden=hidden)
    step = steps_done(out / LAST, network)
    seed_at(config, step)
    module = OriginalTraining(network, corpus, config.steps, own, config.learning_rate)
    assert module.corpus is not None
    windows = Windows(module.corpus, config.frames, config.batch, config.seed, step)
    trainer = fit(module, windows, songs, out, config, step)
    finished = out / "original.ckpt"
    trainer.save_checkpoint(finished, weights_only=True)
    return finished
