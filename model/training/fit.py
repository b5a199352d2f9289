"""The run of a training on a corpus: it goes on where it stopped, and is validated by free-running dances."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader

from dancerev.errors import ModelError

from ..corpus.shards import DanceSequence, load_corpus
from ..network.checkpoint import load_checkpoint, write_checkpoint
from ..network.config import DanceConfig
from ..network.original import OriginalConfig, load_original
from ..pose import FRAME_RATE
from .config import TrainingConfig
from .data import Songs, Windows
from .validation import SongValidation

LAST = "last.ckpt"
"""Name of the checkpoint from which a training goes on."""


def held_out_songs(data: Path) -> list[DanceSequence]:
    """Return the dances of the test split whose music validation dances to, a minute of each, 16 at most."""
    minute = 60 * FRAME_RATE
    held_out = [s for s in load_corpus(data, "test").sequences if not s.mirrored and len(s.pose) >= minute // 6]
    return [dataclasses.replace(s, features=s.features[:minute]) for s in held_out][:16]


def steps_done(last: Path, config: DanceConfig | OriginalConfig) -> int:
    """Return the step at which the checkpoint ``last`` resumes training a network of ``config``; 0 without one.

    Raises:
        ModelError: that is no checkpoint to go on from, or of another network, or on features of another version.
    """
    if not last.exists():
        return 0
    try:
        found = (load_checkpoint(last) if isinstance(config, DanceConfig) else load_original(last)).config
        for name, value in dataclasses.asdict(config).items():
            if getattr(found, name) != value:
                raise ModelError(f"{last}: of a network with {name} {getattr(found, name)}, not {value}")
        checkpoint = torch.load(last, map_location="cpu", weights_only=True)
        if "optimizer_states" not in checkpoint:
            raise ModelError(f"{last}: weights alone, from which no training goes on")
    except ValueError as error:
        raise ModelError(f"{error}; give another folder with -o") from error
    return int(checkpoint["global_step"])


def seed_at(config: TrainingConfig, step: int) -> None:
    """Seed all random numbers, before the network is made, so that those after a resumption do not come again."""
    lightning.seed_everything(config.seed + step, verbose=False)


class WholeCheckpoints(TorchCheckpointIO):
    """Write each checkpoint beside the old one, which stays until the new one is whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_checkpoint(Path(path), checkpoint)


def fit(
    module: SongValidation,
    windows: Windows,
    songs: list[DanceSequence],
    out: Path,
    config: TrainingConfig,
    step: int,
    *,
    callbacks: Sequence[Callback] = (),
    gradient_clip: float | None = None,
) -> lightning.Trainer:
    """Train ``module`` from ``step`` to the last one, and write the state to :data:`LAST` in ``out``.

    Args:
        module: to train; it may have all its state from :data:`LAST`.
        windows: batches of the corpus, from ``step`` on.
        songs: to whose music it dances for validation; without any, there is none.
        out: folder for checkpoints and logs.
        config: of the run.
        step: from :func:`steps_done`.
        callbacks: of this training alone.
        gradient_clip: largest norm of the gradient.
    """
    last = out / LAST
    trainer = lightning.Trainer(
        max_steps=config.steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=gradient_clip,
        logger=CSVLogger(out, name="log"),
        callbacks=[
            ModelCheckpoint(
                out, save_last=True, train_time_interval=timedelta(minutes=3), enable_version_counter=False
            ),
            *callbacks,
            *([EarlyStopping("free_score", mode="max", patience=config.patience)] if songs else []),
            TQDMProgressBar(refresh_rate=20),
        ],
        plugins=[WholeCheckpoints()],
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.log_every,
    )
    if step and trainer.is_global_zero:
        print(f"going on from {last} at step {step}", flush=True)
    trainer.fit(
        module,
        DataLoader(windows, batch_size=None),
        DataLoader(Songs(songs), batch_size=None, collate_fn=list) if songs else None,
        ckpt_path=last if last.exists() else None,
    )
    trainer.save_checkpoint(last)
    return trainer
