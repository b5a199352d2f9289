"""The style classifier of the paper's evaluation: ``python -m dancerev.model.evaluation.style_classifier``.

A clip of 50 frames of BODY_25 at 15 frames per second goes through a linear layer of 200 and an LSTM of 200, whose last
state is the feature that the Fréchet distance compares, and a linear layer gives the style (as in the original's code).
"""

from __future__ import annotations

import argparse
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dancerev.command_line import ArgumentParser, command, seed, whole_number
from dancerev.errors import CorpusError, ModelError

from ..corpus.flat_corpus import FlatSequence, load_flat
from ..network.checkpoint import UNREADABLE, reason, write_checkpoint

Array = npt.NDArray[Any]

_NAME = "dancerev.model.evaluation.style_classifier"

CLIP = 50
"""Frames of a clip, at 15 frames per second."""

WIDTH = 200
"""Numbers of a feature."""


class StyleClassifier(nn.Module):
    """Clips (B, CLIP, 50) to features (B, WIDTH) and logits (B, styles)."""

    def __init__(self, styles: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(50, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.output = nn.Linear(WIDTH, styles)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        _, (hidden, _) = self.lstm(self.embedding(clips))
        return hidden[0], self.output(hidden[0])


@dataclass(frozen=True)
class Judge:
    """A trained classifier, and the real dance that it was tested on.

    Attributes:
        network: in evaluation mode.
        styles: names, in the order of the logits.
        songs: name of a song → style of the dances to it.
        accuracy: share of the held-out clips whose style it found.
        real: (N, WIDTH) features of the held-out clips.
    """

    network: StyleClassifier
    styles: tuple[str, ...]
    songs: dict[str, str]
    accuracy: float
    real: Array

    @torch.no_grad()
    def features(self, clips: Array) -> tuple[Array, Array]:
        """Features (N, WIDTH) and styles (N,) as indices, of clips (N, CLIP, 50)."""
        hidden, logits = self.network(torch.from_numpy(clips.astype(np.float32)))
        return hidden.numpy().astype(np.float64), logits.argmax(dim=-1).numpy()


def clips_of(vectors: Array) -> Array:
    """(N, CLIP, 50): a dance (T, 50) cut into clips one after the other; what does not fill one is left out."""
    count = len(vectors) // CLIP
    return vectors[: count * CLIP].reshape(count, CLIP, 50)


def _labelled(sequences: list[FlatSequence], styles: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    clips = [clips_of(s.pose) for s in sequences]
    labels = [np.full(len(c), styles.index(s.style)) for c, s in zip(clips, sequences, strict=True)]
    return torch.from_numpy(np.concatenate(clips)), torch.from_numpy(np.concatenate(labels))


def train(arguments: argparse.Namespace) -> Judge:
    """Train on a corpus of two-dimensional dances.

    Raises:
        CorpusError: it has fewer than two styles, or no clips in one of its splits.
    """
    corpus, held_out = load_flat(arguments.data, "train"), load_flat(arguments.data, "test")
    styles = tuple(sorted({s.style for s in corpus.sequences}))
    if len(styles) < 2:
        raise CorpusError(f"{arguments.data}: has one style, {''.join(styles)}, and a classifier needs two")
    known = [s for s in held_out.sequences if s.style in styles]
    if not any(len(s.pose) >= CLIP for s in known) or not any(len(s.pose) >= CLIP for s in corpus.sequences):
        raise CorpusError(f"{arguments.data}: no dances of {CLIP / 15:.1f} s in one of its splits")
    clips, labels = _labelled(corpus.sequences, styles)
    tested, truth = _labelled(known, styles)
    torch.manual_seed(arguments.seed)
    network = StyleClassifier(len(styles))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(arguments.epochs):
        for chosen in torch.split(torch.randperm(len(clips)), 100):
            loss = F.cross_entropy(network(clips[chosen])[1], labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    network.eval()
    with torch.no_grad():
        features, logits = network(tested)
    accuracy = float((logits.argmax(dim=-1) == truth).float().mean())
    songs = {s.song.rpartition("/")[2]: s.style for s in [*corpus.sequences, *held_out.sequences]}
    return Judge(network, styles, songs, accuracy, features.numpy())


def save(judge: Judge, path: Path) -> None:
    """Write a judge."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"styles": list(judge.styles), "songs": judge.songs, "accuracy": judge.accuracy}
    weights = {"weights": judge.network.state_dict(), "real": torch.from_numpy(judge.real)}
    write_checkpoint(path, content | weights)


def load(path: Path) -> Judge:
    """Read what :func:`save` wrote.

    Raises:
        ModelError: it is another kind of file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        network = StyleClassifier(len(content["styles"]))
        network.load_state_dict(content["weights"])
        real = content["real"].double().numpy()
        return Judge(network.eval(), tuple(content["styles"]), dict(content["songs"]), content["accuracy"], real)
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise ModelError(f"{path}: not a classifier of {_NAME} ({reason(error)})") from error


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog=_NAME, description=(__doc__ or "").partition(":")[0])
    parser.add_argument("data", type=Path, help="two-dimensional corpus of dancerev-prepare, of two styles or more")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/classifier.pt"), help="(default %(default)s)")
    parser.add_argument("--epochs", type=whole_number(1), default=60, metavar="N", help="(default %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    return parser


@command(_NAME)
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    judge = train(arguments)
    save(judge, arguments.out)
    print(
        f"{arguments.out}: {', '.join(judge.styles)}; finds the style of {judge.accuracy:.1%} of {len(judge.real)} "
        f"held-out clips (chance {1 / len(judge.styles):.1%})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
