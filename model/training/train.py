"""``dancerev-train``: teach the network to dance from a folder that ``dancerev-prepare`` made."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from dancerev.command_line import ArgumentParser, command, seed, whole_number
from dancerev.errors import ModelError

from ..corpus.shards import DanceSequence, load_corpus
from ..network.checkpoint import load_checkpoint
from ..network.config import DanceConfig
from ..network.original import OriginalConfig, load_original
from ..pose import FRAME_RATE
from . import dance_revolution
from .config import TrainingConfig
from .dance_module import DanceTraining
from .data import Songs, Windows
from .prior_module import prior_windows, train_prior
from .validation import keep_checkpoints, report_resuming, stop_early

_DEFAULTS: dict[str, dict[str, Any]] = {
    "dance": {"out": Path("runs/dance"), "batch": 48, "frames": 96, "learning_rate": 1e-3},
    "original": {"out": Path("runs/original"), "batch": 32, "frames": 900, "learning_rate": 1e-4},
    dance_revolution.NAME: {"out": Path("runs/dance-revolution"), "batch": 32, "frames": 900, "learning_rate": 1e-4},
}
"""Where the networks differ in what they are trained with."""


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
    last = out / "last.ckpt"
    step = steps_done(last, network)
    module = DanceTraining(network, corpus, config)
    assert module.corpus is not None
    windows = Windows(module.corpus, config.frames, config.batch, config.seed, step, config.unnamed, config.unfaced)
    prior_windows(module.corpus, config)  # what is too short for the second stage is told before the first
    lightning.seed_everything(config.seed + step, verbose=False)  # noise and dropout do not come again either
    trainer = lightning.Trainer(
        max_steps=config.steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=1.0,
        logger=CSVLogger(out, name="log"),
        callbacks=[
            keep_checkpoints(out),
            EMAWeightAveraging(decay=0.995),
            *stop_early(songs, config.patience),
            TQDMProgressBar(refresh_rate=20),
        ],
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.log_every,
    )
    report_resuming(trainer, last, step)
    trainer.fit(
        module,
        DataLoader(windows, batch_size=None),
        DataLoader(Songs(songs), batch_size=None, collate_fn=list) if songs else None,
        ckpt_path=last if last.exists() else None,
    )
    trainer.save_checkpoint(last)
    if not trainer.is_global_zero:
        return last
    return train_prior(load_checkpoint(last), corpus, module.corpus, out, config)


def train(arguments: argparse.Namespace) -> Path:
    """Run the training that ``arguments`` describe, going on from its last checkpoint where there is one.

    Returns:
        The finished checkpoint.
    """
    torch.set_float32_matmul_precision("high")
    if arguments.network == "original":
        from .original import train_original

        return train_original(arguments)
    chosen = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(TrainingConfig)
        if hasattr(arguments, field.name)
    }
    return train_dance(arguments.data, arguments.out, TrainingConfig(**chosen))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dancerev-train", description=__doc__)
    parser.add_argument("data", type=Path, help="folder made by dancerev-prepare")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for checkpoints and logs; a training that was stopped there goes on (default runs/NETWORK)",
    )
    count = whole_number(1)
    parser.add_argument("--steps", type=count, default=10_000, help="batches to train on (default %(default)s)")
    parser.add_argument("--prior-steps", type=count, default=600, help="batches for the prior, after those")
    parser.add_argument("--prior-batch", type=count, default=24, help="windows of 32 s in those (default %(default)s)")
    parser.add_argument("--batch", type=count, help="windows in a batch (default 48; of the original 32)")
    parser.add_argument(
        "--frames", type=count, help="frames in a window, 15 a second (default 96; of the original 900)"
    )
    parser.add_argument("--learning-rate", type=float, help="at its height (default 0.001; of the original 0.0001)")
    parser.add_argument("--validate-every", type=count, default=1000, metavar="STEPS", help="(default %(default)s)")
    parser.add_argument("--log-every", type=count, default=50, metavar="STEPS", help="(default %(default)s)")
    parser.add_argument("--devices", type=count, default=1, help="processes or GPUs (default %(default)s)")
    parser.add_argument("--precision", default="32-true", help="as Lightning names it (default %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--look-ahead",
        type=whole_number(0),
        default=0,
        metavar="FRAMES",
        help="music to come that is heard: for offline use only",
    )
    parser.add_argument(
        "--network", choices=("dance", "original"), default="dance", help="ours, or the original to compare"
    )
    original = parser.add_argument_group("only with --network original")
    original.add_argument("--hidden", type=count, default=1024, help="width of its LSTM (default %(default)s)")
    original.add_argument(
        "--own-poses",
        type=whole_number(0),
        default=30,
        metavar="N",
        help="own poses fed in a row at the end of the curriculum; 0 is teacher forcing (default %(default)s)",
    )
    dance_revolution.add_options(parser)
    return parser


@command("dancerev-train")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name, value in _DEFAULTS[arguments.preset or arguments.network].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.out.exists() and not arguments.out.is_dir():
        parser.error(f"-o {arguments.out}: not a folder")
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
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
