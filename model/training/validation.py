"""Validation by what a network dances to whole songs when it is left to itself, for both networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch

from ..corpus.shards import DanceSequence
from ..evaluation.metrics import evaluate_dance
from ..network.body_loss import displacement, joints
from ..pose import FRAME_RATE
from .data import Batch, CorpusTensors, Pick


def mean_speed(vectors: npt.NDArray[Any]) -> float:
    """m/s, of all joints of a dance of pose vectors (T, POSE_SIZE)."""
    poses = torch.from_numpy(vectors.astype(np.float32))
    place = joints(poses)
    return FRAME_RATE * float(displacement(place[:-1], place[1:], poses[1:]).norm(dim=-1).mean())


class SongValidation(lightning.LightningModule):
    """A module that trains on windows of a corpus and is validated by free-running dances."""

    corpus: CorpusTensors | None = None

    def log_dances(self, dances: Iterable[npt.NDArray[Any]], songs: list[DanceSequence]) -> None:
        """Log the means of all metrics over ``dances``, each (T, 22, 3) metres at FRAME_RATE, to the ``songs``.

        Of a dance that goes on after its song only the song's part counts.
        """
        rows = [
            evaluate_dance(dance[: len(song.features)], FRAME_RATE, song.beats)
            for dance, song in zip(dances, songs, strict=True)
        ]
        for row, song in zip(rows, songs, strict=True):
            # Beat alignment above chance; what hardly moves is on the beat for nothing.
            row["score"] = (row["bas"] - row["bas_chance"]) * min(1.0, row["mean_speed"] / mean_speed(song.pose))
        for name in rows[0]:
            self.log(f"free_{name}", float(np.nanmean([row[name] for row in rows])), batch_size=len(songs))

    def on_fit_start(self) -> None:
        """Move the corpus to the device that trains."""
        if self.corpus is not None:
            self.corpus.to(self.device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch | Any:
        """Return the windows that were picked; songs stay what they are."""
        if not isinstance(batch, Pick):
            return batch
        assert self.corpus is not None
        return self.corpus.window(batch)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Songs stay where they are: who dances takes what it needs of them."""
        if not isinstance(batch, Pick):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
