"""The training of Dance Revolution as published, for ``dancerev-train --preset dance-revolution``.

BODY_25 in two dimensions, L1, Adam, and its dynamic auto-condition: in epoch e the decoder is fed int(λ e) of its own
poses, then ``condition`` real ones, and so on (Huang et al., ICLR 2021, section 3.4). Unlike there, the features are
normalised; the statistics become part of the first layer when a checkpoint is written, in the original's own format.

``--live`` trains the variant that dances live: our live features in place of the 438, attention that looks back only,
no absolute positions. ``dancerev-export`` makes it a step graph.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from dancerev.errors import CorpusError

from ..body25 import FIRST_POSE
from ..corpus.flat_corpus import FlatSequence, load_flat
from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..network.original import OriginalConfig, OriginalNetwork, own_frames, save_published
from .fit import WholeCheckpoints

_VALIDATED = 450  # frames of each held-out dance

Batch = tuple[Tensor, Tensor]


class Windows(Dataset[Batch]):
    """All windows of some sequences, one after the other, and one that ends with the sequence: nothing is lost."""

    def __init__(self, sequences: list[FlatSequence], frames: int, live: bool) -> None:
        """Cut sequences into windows.

        Args:
            sequences: of the corpus.
            frames: of a window.
            live: take the live features.

        Raises:
            CorpusError: no sequence is as long as a window.
        """
        self.sequences, self.frames, self.live = sequences, frames, live
        self.windows = [
            (number, start)
            for number, sequence in enumerate(sequences)
            for start in sorted({*range(0, len(sequence.pose) - frames + 1, frames), len(sequence.pose) - frames})
            if start >= 0
        ]
        if not self.windows:
            longest = max((len(s.pose) for s in sequences), default=0)
            raise CorpusError(f"no dance has {frames} frames, the longest has {longest}; try fewer --frames")

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        """Music (T, features) and poses (T, 50) of a window."""
        number, start = self.windows[index]
        sequence, frames = self.sequences[number], slice(start, start + self.frames)
        music = sequence.live if self.live else sequence.features
        return torch.from_numpy(music[frames]), torch.from_numpy(sequence.pose[frames])


class FlatTraining(lightning.LightningModule):
    """Loss, curriculum and validation around :class:`OriginalNetwork` with BODY_25."""

    begin: Tensor

    def __init__(self, config: OriginalConfig, growth: float, condition: int, learning_rate: float) -> None:
        super().__init__()
        self.save_hyperparameters(
            {"original": dataclasses.asdict(config), "feature_version": FEATURE_VERSION, "growth": growth}
            | {"condition": condition, "learning_rate": learning_rate}
        )
        self.network = OriginalNetwork(config)
        self.growth, self.condition, self.learning_rate = growth, condition, learning_rate
        self.register_buffer("begin", torch.from_numpy(FIRST_POSE), persistent=False)

    def normalize_with(self, sequences: list[FlatSequence], live: bool) -> None:
        """Take the mean and deviation of the features of ``sequences``."""
        music = np.concatenate([s.live if live else s.features for s in sequences]).astype(np.float64)
        self.network.feature_mean.copy_(torch.from_numpy(music.mean(axis=0)))
        self.network.feature_std.copy_(torch.from_numpy(music.std(axis=0).clip(min=0.05)))

    def predicted(self, music: Tensor, poses: Tensor, own: int) -> Tensor:
        """Return the poses one frame ahead (B, T − 1, 50), the decoder fed ``own`` of its own between the real ones."""
        memory = self.network.initial_memory(len(music))
        frames = own_frames(music.shape[1] - 1, own, self.condition)
        return self.network(music[:, :-1], poses[:, :-1], frames, self.begin, memory)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """L1 of a batch: music frame t and pose t give pose t + 1."""
        music, poses = batch
        own = int((self.current_epoch + 1) * self.growth)
        loss = F.l1_loss(self.predicted(music, poses, own), poses[:, 1:])
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(music))
        self.log("own", float(own), on_step=False, on_epoch=True, batch_size=len(music))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """L1 on held-out dance fed real poses, and how much the network moves when left alone, against real dance."""
        music, poses = batch
        music, poses = music[:, :_VALIDATED], poses[:, :_VALIDATED]
        self.log("held_out_l1", F.l1_loss(self.predicted(music, poses, 0), poses[:, 1:]), batch_size=len(music))
        alone = self.network.generate(music, self.begin, self.network.initial_memory(len(music)))
        share = alone.diff(dim=1).abs().mean() / poses.diff(dim=1).abs().mean().clamp(min=1e-6)
        self.log("free_movement", share, batch_size=len(music))

    def configure_optimizers(self) -> Any:
        """Return Adam over what learns; the table of positions does not."""
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.learning_rate)


class SavePublished(lightning.Callback):
    """Writes ``epoch_N.pt`` in the original's own format every so many epochs, and at the end."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the checkpoint where it is due."""
        epoch = trainer.current_epoch + 1
        if trainer.is_global_zero and (epoch % self.every == 0 or epoch == trainer.max_epochs):
            assert isinstance(pl_module, FlatTraining)
            path = self.folder / f"epoch_{epoch}.pt"
            save_published(pl_module.network, path, epoch, pl_module.condition, pl_module.growth)


def network_config(arguments: argparse.Namespace) -> OriginalConfig:
    """Sizes as the arguments of ``dancerev-train`` have them."""
    sizes = {"layers": arguments.layers, "window": arguments.window, "hidden": arguments.hidden}
    sizes["feed_forward"] = arguments.hidden
    if arguments.live:
        return OriginalConfig(features=FEATURE_SIZE, positions=0, look_ahead=0, **sizes)
    return OriginalConfig(**sizes)


def train_preset(arguments: argparse.Namespace) -> Path:
    """Run the training that the arguments of ``dancerev-train`` describe, going on from its last checkpoint.

    Returns:
        The finished checkpoint: ``epoch_N.pt`` in the original's format, or ``live.ckpt``.

    Raises:
        CorpusError: the corpus cannot be used.
    """
    corpus, held_out = load_flat(arguments.data, "train"), load_flat(arguments.data, "test")
    if arguments.live:
        if corpus.manifest.get("feature_version") != FEATURE_VERSION:
            raise CorpusError(f"{arguments.data}: live features of another version; make the folder again")
        if not all(len(s.live) for s in corpus.sequences):
            raise CorpusError(f"{arguments.data}: prepared files have no sound, which --live needs")
    lightning.seed_everything(arguments.seed, verbose=False)
    config = network_config(arguments)
    training = FlatTraining(config, arguments.growth, arguments.condition_step, arguments.learning_rate)
    windows = Windows(corpus.sequences, arguments.frames, arguments.live)
    training.normalize_with(corpus.sequences, arguments.live)
    trainer = lightning.Trainer(
        max_epochs=arguments.epochs,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=arguments.devices,
        precision=arguments.precision,
        gradient_clip_val=1.0,
        logger=CSVLogger(arguments.out, name="log"),
        callbacks=[
            ModelCheckpoint(arguments.out, save_last=True, enable_version_counter=False),
            TQDMProgressBar(refresh_rate=20),
            *([] if arguments.live else [SavePublished(arguments.out, arguments.save_every)]),
        ],
        plugins=[WholeCheckpoints()],
        check_val_every_n_epoch=max(1, arguments.save_every // 5),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    last: Path = arguments.out / "last.ckpt"
    validation = None
    usable = [s for s in held_out.sequences if len(s.pose) >= 2 and (len(s.live) or not arguments.live)]
    if usable:
        shortest = min(min(len(s.pose) for s in usable), _VALIDATED)
        validation = DataLoader(Windows(usable, shortest, arguments.live), arguments.batch)
    training_data = DataLoader(windows, arguments.batch, shuffle=True)
    trainer.fit(training, training_data, validation, ckpt_path=last if last.exists() else None)
    if not arguments.live:
        return Path(arguments.out / f"epoch_{arguments.epochs}.pt")
    finished: Path = arguments.out / "live.ckpt"
    trainer.save_checkpoint(finished, weights_only=True)
    return finished


def next_command(arguments: argparse.Namespace, finished: Path) -> str:
    """Return what to do with the finished checkpoint."""
    if arguments.live:
        return f"dancerev-export {finished} -o live.onnx"
    return f"dancerev-generate SONG -o dances/ --model {finished}"
