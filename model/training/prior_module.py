"""Second stage of the training: the prior alone, on stretches long enough for a dance to have a form."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..corpus.shards import Corpus
from ..features import FEATURE_VERSION
from ..network.dance_network import DanceNetwork
from .calibrate import measure_vigour
from .config import TrainingConfig
from .data import Batch, CorpusTensors, Windows
from .fit import WholeCheckpoints
from .validation import SongValidation


class PriorTraining(SongValidation):
    """The prior of a trained network; all else is frozen."""

    def __init__(self, network: DanceNetwork, corpus: CorpusTensors, training: TrainingConfig) -> None:
        super().__init__()
        self.save_hyperparameters(
            {
                "config": dataclasses.asdict(network.config),
                "feature_version": FEATURE_VERSION,
                "training": dataclasses.asdict(training),
            }
        )
        self.network, self.corpus, self.training_config = network.requires_grad_(False), corpus, training
        for part in (network.prior_code, network.prior_past, network.prior_lstm, network.prior_output):
            part.requires_grad_(True)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the cross-entropy of one batch."""
        self.network.train()
        self.network.encoder.eval()
        logits, codes = self.network.code_likelihood(batch.given, batch.poses)
        loss = F.cross_entropy(logits, codes)
        self.log("prior", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle."""
        learning = [p for p in self.parameters() if p.requires_grad]
        rate = self.training_config.prior_learning_rate
        optimizer = torch.optim.AdamW(learning, lr=rate, weight_decay=1e-2)
        # Not 0.1 sharp: of 10 steps that is a rise of no length, by which the scheduler divides.
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=self.training_config.prior_steps, pct_start=0.101
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def prior_windows(corpus: CorpusTensors, config: TrainingConfig) -> Windows:
    """Return what the prior learns from: windows of ``prior_frames``, or as long as the longest dance allows."""
    longest = int(corpus.length.max(initial=0))
    frames = min(config.prior_frames, longest - 2)
    return Windows(corpus, frames, config.prior_batch, config.seed, unnamed=config.unnamed, unfaced=config.unfaced)


def train_prior(
    network: DanceNetwork, corpus: Corpus, tensors: CorpusTensors, out: Path, config: TrainingConfig
) -> Path:
    """Teach the prior of a trained network which codes follow which, to what music, and measure its vigour.

    Returns:
        The checkpoint ``dance.ckpt`` in ``out``, of the whole network.
    """
    trainer = lightning.Trainer(
        max_steps=config.prior_steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=1.0,
        logger=CSVLogger(out, name="log_prior"),
        enable_checkpointing=False,
        callbacks=[TQDMProgressBar(refresh_rate=20)],
        plugins=[WholeCheckpoints()],
        log_every_n_steps=10,
    )
    module = PriorTraining(network, tensors, config)
    trainer.fit(module, DataLoader(prior_windows(tensors, config), batch_size=None))
    network.vigour_reached.copy_(measure_vigour(network, corpus, config.seed))
    finished = out / "dance.ckpt"
    trainer.save_checkpoint(finished, weights_only=True)
    return finished
