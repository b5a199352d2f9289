"""First stage of the training: the body. Losses, curriculum and validation around the dance network."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..corpus.shards import Corpus, DanceSequence
from ..features import FEATURE_VERSION
from ..network.body_loss import BodyLoss, body_loss
from ..network.config import DanceConfig
from ..network.dance_network import DanceNetwork
from ..network.free_run import free_run
from ..pose import ROTATIONS
from ..skeleton import forward_kinematics
from .config import LossWeights, TrainingConfig
from .data import Batch, CorpusTensors, music_of
from .validation import SongValidation


def weighted(weights: LossWeights, reconstruction: Tensor, body: BodyLoss, prior: Tensor) -> Tensor:
    """Return the loss of its terms."""
    terms = sum(getattr(weights, name) * getattr(body, name) for name in BodyLoss._fields)
    return reconstruction + terms + weights.prior * prior


class DanceTraining(SongValidation):
    """Losses, curriculum and validation around :class:`DanceNetwork`."""

    def __init__(
        self, network: DanceConfig, corpus: Corpus | None = None, training: TrainingConfig | None = None
    ) -> None:
        """Make a network of the sizes ``network``, normalised by the statistics of ``corpus``, to train on it."""
        super().__init__()
        self.training_config = TrainingConfig() if training is None else training
        self.save_hyperparameters(
            {
                "config": dataclasses.asdict(network),
                "feature_version": FEATURE_VERSION,
                "training": dataclasses.asdict(self.training_config),
            }
        )
        self.network = DanceNetwork(network)
        if corpus is not None:
            self.corpus = CorpusTensors(corpus)
            for name in ("feature_mean", "feature_std", "pose_mean", "pose_std"):
                getattr(self.network, name).copy_(torch.from_numpy(getattr(corpus, name)))
            # A joint that hardly moves would otherwise count, and tremble, as much as one that dances.
            self.network.pose_std[ROTATIONS].clamp_(min=0.1)
            self.network.feature_std.clamp_(min=0.05)

    def own_poses(self, frames: int) -> Tensor:
        """(frames,) bool: the dynamic auto-condition curriculum of Dance Revolution, section 3.4.

        Stretches of the network's own poses alternate with 10 real ones; the former grow from 0 to the whole window.
        """
        config = self.training_config
        longest = int(2.0 * frames * min(1.0, self.global_step / (config.curriculum * config.steps)))
        cycle = longest + 10
        phase = int(np.random.default_rng(self.global_step).integers(cycle))  # the same whether it was resumed or not
        return torch.tensor([(t + phase) % cycle < longest for t in range(frames)])

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of one batch."""
        poses = batch.poses
        own = self.own_poses(poses.shape[1] - 1)
        made, logits, codes = self.network(batch.given, poses, own, noise=self.training_config.noise)
        with torch.autocast(self.device.type, enabled=False):  # half precision is millimetres of a body
            made, logits = made.float(), logits.float()
            reconstruction = F.smooth_l1_loss(made, self.network.normalize_pose(poses[:, 1:]), beta=0.5)
            body = body_loss(self.network.denormalize_pose(made), poses[:, 1:])
            prior = F.cross_entropy(logits, codes)
        loss = weighted(self.training_config.weights, reconstruction, body, prior)
        if self.global_step % self.training_config.log_every == 0:
            centimetres = {f"{name}_cm": 100.0 * term for name, term in body._asdict().items()}
            used = float(codes.unique().numel())
            self.log_dict({"reconstruction": reconstruction, **centimetres, "prior": prior, "codes_used": used})
            self.log_dict({"own": own.float().mean(), "loss": loss})
        return loss

    def validation_step(self, batch: list[DanceSequence], index: int) -> None:
        """Free-running dances to music never heard; the metrics are means over them."""
        style = np.eye(len(self.network.config.styles), dtype=np.float32)[[s.style for s in batch]]
        rotations, root = free_run(self.network, music_of(batch), style)
        self.log_dances(forward_kinematics(rotations, root)[0], batch)

    def configure_optimizers(self) -> Any:
        """AdamW, a short warm-up and a cosine."""
        config = self.training_config
        optimizer = torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=1e-4, betas=(0.9, 0.98))

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / 200)
            return warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
