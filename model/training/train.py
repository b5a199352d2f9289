"""``dancerev-train``: teach the network to dance from a folder that ``dancerev-prepare`` made."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import warnings
from pathlib import Path

import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from dancerev.command_line import command
from dancerev.errors import InputError

from ..corpus.shards import load_corpus
from ..network.checkpoint import load_checkpoint
from ..network.config import DanceConfig
from . import dance_revolution
from .config import TrainingConfig
from .dance_module import DanceTraining
from .data import Windows
from .fit import LAST, fit, held_out_songs, seed_at, steps_done
from .options import parse
from .original import train_original
from .prior_module import prior_windows, train_prior


def train_dance(data: Path, out: Path, config: TrainingConfig) -> Path:
    """Train our own network, body and prior, going on from the last checkpoint in ``out`` where there is one.

    Args:
        data: folder made by ``dancerev-prepare``.
        out: folder for checkpoints and logs.
        config: all that can be chosen.

    Returns:
        The finished checkpoint.

    Raises:
        CorpusError: the corpus cannot be used, or all its dances are shorter than a window.
        ValueError: what lies in ``out`` is not such a training.
    """
    corpus = load_corpus(data, "train")
    songs = held_out_songs(data)
    network = DanceConfig(styles=tuple(corpus.styles), look_ahead=config.look_ahead)
    last = out / LAST
    step = steps_done(last, network)
    seed_at(config, step)
    module = DanceTraining(network, corpus, config)
    assert module.corpus is not None
    windows = Windows(module.corpus, config.frames, config.batch, config.seed, step, config.unnamed, config.unfaced)
    prior_windows(module.corpus, config)  # what is too short for the second stage is told before the first
    trainer = fit(
        module, windows, songs, out, config, step, callbacks=[EMAWeightAveraging(decay=0.995)], gradient_clip=1.0
    )
    if not trainer.is_global_zero:
        return last
    return train_prior(load_checkpoint(last), corpus, module.corpus, out, config)


def train(arguments: argparse.Namespace) -> Path:
    """Run the training that ``arguments`` describe, going on from its last checkpoint where there is one.

    Returns:
        The finished checkpoint.
    """
    torch.set_float32_matmul_precision("high")
    chosen = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(TrainingConfig)
        if hasattr(arguments, field.name)
    }
    config = TrainingConfig(**chosen)
    if arguments.network == "original":
        return train_original(arguments.data, arguments.out, config, arguments.hidden, arguments.own_poses)
    return train_dance(arguments.data, arguments.out, config)


@command("dancerev-train")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = parse(argv)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    most = torch.cuda.device_count() or 2 * (os.cpu_count() or 1)
    if arguments.devices > most:
        raise InputError(f"--devices {arguments.devices}: this machine can train on {most} at most")
    if arguments.preset:
        finished = dance_revolution.train_preset(arguments)
        print(f"trained: {finished}; next: {dance_revolution.next_command(arguments, finished)}")
        return 0
    finished = train(arguments)
    following = f"python -m dancerev.model.evaluation.generate_offline {finished} --music FOLDER -o DIR"
    if arguments.network == "dance":
        following = f"{following} --ours" if arguments.look_ahead else f"dancerev-export {finished} -o model.onnx"
    print(f"trained: {finished}; next: {following}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
