"""Training of the original Dance Revolution network on our corpus, by its own recipe: L1, Adam, its curriculum."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..corpus.shards import Corpus, DanceSequence, load_corpus
from ..evaluation.generate_offline import begin_pose, dance
from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..network.original import OriginalConfig, OriginalNetwork, own_frames
from ..pose import POSE_SIZE, ROTATIONS
from .data import Batch, CorpusTensors, Songs, Windows, music_of
from .train import held_out_songs, steps_done
from .validation import SongValidation, keep_checkpoints, report_resuming, stop_early


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


def train_original(arguments: argparse.Namespace) -> Path:
    """Run the training that the ``arguments`` of ``dancerev-train`` describe, going on from its last checkpoint.

    Returns:
        The finished checkpoint.

    Raises:
        CorpusError: the corpus cannot be used, or all its dances are shorter than a window.
        ValueError: what lies in the folder is not such a training.
    """
    corpus = load_corpus(arguments.data, "train")
    songs = held_out_songs(arguments.data)
    config = OriginalConfig(features=FEATURE_SIZE, pose=POSE_SIZE, pose_width=POSE_SIZE, hidden=arguments.hidden)
    last: Path = arguments.out / "last.ckpt"
    step = steps_done(last, config)
    module = OriginalTraining(config, corpus, arguments.steps, arguments.own_poses, arguments.learning_rate)
    assert module.corpus is not None
    windows = Windows(module.corpus, arguments.frames, arguments.batch, arguments.seed, step)
    lightning.seed_everything(arguments.seed + step, verbose=False)  # states and dropout do not come again either
    trainer = lightning.Trainer(
        max_steps=arguments.steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=arguments.devices,
        precision=arguments.precision,
        logger=CSVLogger(arguments.out, name="log"),
        callbacks=[
            keep_checkpoints(arguments.out),
            *stop_early(songs),
            TQDMProgressBar(refresh_rate=20),
        ],
        val_check_interval=arguments.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=arguments.log_every,
    )
    report_resuming(trainer, last, step)
    trainer.fit(
        module,
        DataLoader(windows, batch_size=None),
        DataLoader(Songs(songs), batch_size=None, collate_fn=list) if songs else None,
        ckpt_path=last if last.exists() else None,
    )
    finished: Path = arguments.out / "original.ckpt"
    trainer.save_checkpoint(last)
    trainer.save_checkpoint(finished, weights_only=True)
    return finished
