"""What a training reads: the corpus as tensors on the device that trains, and random windows of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from dancerev.errors import CorpusError

from .. import rotation
from ..corpus.shards import Corpus, DanceSequence
from ..features import FEATURE_SIZE
from ..network.dance_network import Conditions

Array = npt.NDArray[Any]


class Batch(NamedTuple):
    """B windows of T frames: what the dancer is given, and the poses (B, T + 1, POSE_SIZE) that come of it."""

    given: Conditions
    poses: Tensor


class Pick(NamedTuple):
    """Which windows make a batch.

    Attributes:
        start: (B,) int64 first row of each window in :class:`CorpusTensors`.
        frames: (T,) int64, 0 … T − 1.
        named: (B,) bool, whether the window says its style.
        faced: (B,) bool, whether it says where the audience is.
    """

    start: Tensor
    frames: Tensor
    named: Tensor
    faced: Tensor


class CorpusTensors:
    """All dances of a split, one after the other, as tensors on one device.

    A window is a gather on the device: no process has to prepare it, and nothing is copied to a GPU in training.

    Attributes:
        first: (N,) row at which each dance begins.
        length: (N,) rows of each dance.
        style: (N,) of each dance.
    """

    def __init__(self, corpus: Corpus) -> None:
        """Copy the sequences of ``corpus``.

        Raises:
            CorpusError: there are none.
        """
        sequences = corpus.sequences
        if not sequences:
            raise CorpusError("no dances to train on; make the folder again with dancerev-prepare")
        self.styles = len(corpus.styles)
        self.length = np.array([len(s.pose) for s in sequences], dtype=np.int64)
        self.first = np.cumsum(self.length) - self.length
        self.style = np.array([s.style for s in sequences], dtype=np.int64)
        heading = np.concatenate([s.heading for s in sequences])
        place = np.concatenate([s.place for s in sequences])
        of_style = corpus.style_speed[np.repeat(self.style, self.length)]
        vigour = np.log2(np.concatenate([s.speed for s in sequences]) / of_style)
        self._features = torch.from_numpy(np.concatenate([s.features for s in sequences]))
        self._pose = torch.from_numpy(np.concatenate([s.pose for s in sequences]))
        self._controls = torch.from_numpy(
            np.concatenate([in_facing_frame(-place, heading), audience_of(heading), vigour[:, None]], axis=1)
        ).float()
        self._style = torch.from_numpy(np.repeat(self.style, self.length))
        self._phrase = torch.from_numpy(
            np.repeat(np.array([s.phrase for s in sequences], dtype=np.float32), self.length)
        )

    def to(self, device: torch.device) -> None:
        """Move everything to ``device``."""
        for name in ("_features", "_pose", "_controls", "_style", "_phrase"):
            setattr(self, name, getattr(self, name).to(device))

    def window(self, pick: Pick) -> Batch:
        """Return the windows ``pick``, which is on the same device."""
        rows = pick.start[:, None] + pick.frames
        # What the dancer sees of the stage is where the pose before left it.
        before = self._controls[rows - 1]
        style = torch.nn.functional.one_hot(self._style[rows], self.styles).float() * pick.named[:, None, None]
        given = Conditions(
            self._features[rows].float(),
            style,
            before[..., :2],
            before[..., 2:4] * pick.faced[:, None, None],
            self._controls[rows][..., 4:],
            self._phrase[rows][..., None],
        )
        return Batch(given, self._pose[torch.cat([rows[:, :1] - 1, rows], dim=1)])


def in_facing_frame(vector: Array, heading: Array) -> Array:
    """(T, 2) vectors x and z of the world, as a dancer of ``heading`` (T,) radians sees them."""
    sine, cosine = np.sin(heading), np.cos(heading)
    return np.stack(rotation.turn_floor(vector[:, 0], vector[:, 1], -sine, cosine), axis=-1)


def audience_of(heading: Array) -> Array:
    """(T, 2) the direction to the audience, towards +Z, as a dancer of ``heading`` (T,) radians sees it."""
    return np.stack([-np.sin(heading), np.cos(heading)], axis=-1)


class Windows(IterableDataset[Pick]):
    """Endless batches of random windows, rare styles more often than their share."""

    def __init__(
        self,
        corpus: CorpusTensors,
        frames: int,
        batch: int,
        seed: int,
        step: int = 0,
        unnamed: float = 0.0,
        unfaced: float = 0.0,
    ) -> None:
        """Choose from ``corpus``.

        Args:
            corpus: the dances.
            frames: in a window.
            batch: windows in a batch.
            seed: of the choices.
            step: at which the training goes on: what it has seen before does not come again in a row.
            unnamed: share of the windows that do not say their style.
            unfaced: share of the windows that do not say where the audience is.

        Raises:
            CorpusError: no sequence is as long as a window.
        """
        self._usable = np.flatnonzero(corpus.length > frames + 1)
        if not len(self._usable):
            raise CorpusError(f"no dance has {frames} frames and two more; try fewer --frames")
        self.frames, self.batch, self.seed, self.step = frames, batch, seed, step
        self.unnamed, self.unfaced = unnamed, unfaced
        self._first, self._length = corpus.first[self._usable], corpus.length[self._usable]
        style = corpus.style[self._usable]
        share = np.bincount(style, self._length, corpus.styles)
        # The square root lies between every style alike and every second alike: rare styles are not worn out.
        weight = self._length / np.sqrt(share[style])
        self._weight = weight / weight.sum()

    def __iter__(self) -> Iterator[Pick]:
        worker = get_worker_info()
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        rng = np.random.default_rng(
            [self.seed, self.step, rank, worker.id if worker else 0, torch.initial_seed() % 2**31]
        )
        while True:
            chosen = rng.choice(len(self._usable), self.batch, p=self._weight)
            start = self._first[chosen] + rng.integers(1, self._length[chosen] - self.frames)
            yield Pick(
                torch.from_numpy(start),
                torch.arange(self.frames),
                torch.from_numpy(rng.random(self.batch) >= self.unnamed),
                torch.from_numpy(rng.random(self.batch) >= self.unfaced),
            )


class Songs(Dataset[list[DanceSequence]]):
    """One batch of all the held-out songs."""

    def __init__(self, songs: list[DanceSequence]) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list[DanceSequence]:
        return self.songs


def music_of(songs: list[DanceSequence]) -> npt.NDArray[np.float32]:
    """(B, T, FEATURE_SIZE) the songs in one batch, silence after the shorter ones."""
    music = np.zeros((len(songs), max(len(s.features) for s in songs), FEATURE_SIZE), dtype=np.float32)
    for row, song in zip(music, songs, strict=True):
        row[: len(song.features)] = song.features
    return music
