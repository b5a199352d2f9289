"""``dancerev-train``: teach the network to dance from a folder that ``dancerev-prepare`` made."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import sys
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset

from dancerev.command_line import ArgumentParser, command, seed, whole_number
from dancerev.errors import CorpusError, ModelError

from ..corpus.shards import Corpus, DanceSequence, load_corpus
from ..evaluation.metrics import evaluate_dance
from ..features import FEATURE_SIZE, FEATURE_VERSION
from ..network.body_loss import body_loss, displacement, joints
from ..network.checkpoint import load_checkpoint
from ..network.dance_network import DanceConfig, DanceNetwork
from ..network.free_run import free_run
from ..network.original import OriginalConfig, load_original
from ..pose import FRAME_RATE, ROTATIONS
from ..skeleton import forward_kinematics

UNNAMED_STYLE = 0.1
"""Share of the windows that do not say their style, so that the network can dance in no style in particular."""

PRIOR_FRAMES = 480
"""Length of the stretches from which the prior learns: 32 s."""

PATIENCE = 4
"""Validations in a row that may be no better than the best before."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "dance": {"out": Path("runs/dance"), "batch": 48, "frames": 96, "learning_rate": 1e-3},
    "original": {"out": Path("runs/original"), "batch": 32, "frames": 900, "learning_rate": 1e-4},
}
"""Where the networks differ in what they are trained with."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class Windows(IterableDataset[Batch]):
    """Endless batches of random windows, every style as often as any other.

    A batch is features (B, T, FEATURE_SIZE), style (B, styles), stage (B, T, 2) and poses (B, T + 1, POSE_SIZE), as
    :meth:`DanceNetwork.forward` takes them.
    """

    def __init__(
        self, sequences: list[DanceSequence], styles: int, frames: int, batch: int, seed: int, step: int = 0
    ) -> None:
        """``step`` is that at which the training goes on: what it has seen before does not come again in a row.

        Raises:
            CorpusError: no sequence is as long as a window.
        """
        if not sequences:
            raise CorpusError("no dances to train on; make the folder again with dancerev-prepare")
        self.sequences = [s for s in sequences if len(s.pose) > frames + 1]
        if not self.sequences:
            raise CorpusError(f"no dance has {frames} frames and two more; try fewer --frames")
        self.styles, self.frames, self.batch, self.seed, self.step = styles, frames, batch, seed, step
        self.stage = [_centre_seen_from(s.place, s.heading) for s in self.sequences]
        length = np.array([len(s.pose) for s in self.sequences], dtype=np.float64)
        style = np.array([s.style for s in self.sequences])
        share = np.array([length[style == i].sum() for i in range(styles)])
        # The square root lies between every style alike and every second alike: rare styles are not worn out.
        weight = length / np.sqrt(share[style])
        self.weight = weight / weight.sum()

    def __iter__(self) -> Any:
        worker = torch.utils.data.get_worker_info()
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        seeds = [self.seed, self.step, rank, worker.id if worker else 0, torch.initial_seed() % 2**31]
        rng = np.random.default_rng(seeds)
        while True:
            items = [self._window(rng, i) for i in rng.choice(len(self.sequences), self.batch, p=self.weight)]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True))

    def _window(self, rng: np.random.Generator, index: int) -> tuple[npt.NDArray[np.float32], ...]:
        sequence = self.sequences[index]
        start = int(rng.integers(1, len(sequence.pose) - self.frames))
        now, before = slice(start, start + self.frames), slice(start - 1, start + self.frames - 1)
        style = np.zeros(self.styles, dtype=np.float32)
        if rng.random() > UNNAMED_STYLE:
            style[sequence.style] = 1.0
        poses = sequence.pose[start - 1 : start + self.frames]
        return sequence.features[now].astype(np.float32), style, self.stage[index][before], poses.astype(np.float32)


class Songs(Dataset[list[DanceSequence]]):
    """One batch of all the held-out songs."""

    def __init__(self, songs: list[DanceSequence]) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list[DanceSequence]:
        return self.songs


def _centre_seen_from(place: npt.NDArray[np.float32], heading: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The stage centre in the dancer's frame (T, 2), metres, from places (T, 2) and headings (T,)."""
    sine, cosine = np.sin(heading), np.cos(heading)
    x, z = -place[:, 0], -place[:, 1]
    return np.stack([cosine * x - sine * z, sine * x + cosine * z], axis=-1).astype(np.float32)


def mean_speed(vectors: npt.NDArray[Any]) -> float:
    """m/s, of all joints of a dance of pose vectors (T, POSE_SIZE)."""
    poses = torch.from_numpy(vectors.astype(np.float32))
    place = joints(poses)
    return FRAME_RATE * float(displacement(place[:-1], place[1:], poses[1:]).norm(dim=-1).mean())


class SongValidation(lightning.LightningModule):
    """Validation by what a network dances to whole songs when it is left to itself."""

    def log_dances(self, dances: Iterable[npt.NDArray[Any]], songs: list[DanceSequence]) -> None:
        """Logs the means of all metrics over ``dances``, each (T, 22, 3) metres at FRAME_RATE, to the ``songs``.

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

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Songs stay where they are: who dances takes what it needs of them."""
        if isinstance(batch[0], DanceSequence):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def music_of(songs: list[DanceSequence]) -> npt.NDArray[np.float32]:
    """(B, T, FEATURE_SIZE) the songs in one batch, nothing to be heard after the shorter ones."""
    music = np.zeros((len(songs), max(len(s.features) for s in songs), FEATURE_SIZE), dtype=np.float32)
    for heard, song in zip(music, songs, strict=True):
        heard[: len(song.features)] = song.features
    return music


def stop_early(songs: list[DanceSequence]) -> list[EarlyStopping]:
    """Ends a training whose free-running dances to the held-out ``songs``, if any, get no better."""
    return [EarlyStopping("free_score", mode="max", patience=PATIENCE)] if songs else []


def keep_checkpoints(folder: Path) -> ModelCheckpoint:
    """Writes the latest state to ``last.ckpt`` now and then, over the one before: there a later run looks for it."""
    return ModelCheckpoint(
        folder, save_last=True, train_time_interval=timedelta(minutes=3), enable_version_counter=False
    )


def tell_of_resuming(trainer: lightning.Trainer, last: Path, step: int) -> None:
    """One line, if the training does not begin anew."""
    if step and trainer.is_global_zero:
        print(f"going on from {last} at step {step}", flush=True)


class Training(SongValidation):
    """Losses, curriculum and validation around :class:`DanceNetwork`."""

    def __init__(
        self, config: DanceConfig, corpus: Corpus | None = None, steps: int = 10_000, learning_rate: float = 1e-3
    ) -> None:
        """``steps`` is the length of the curriculum and of the learning-rate schedule."""
        super().__init__()
        self.save_hyperparameters(
            {
                "config": dataclasses.asdict(config),
                "feature_version": FEATURE_VERSION,
                "steps": steps,
                "learning_rate": learning_rate,
            }
        )
        self.network = DanceNetwork(config)
        self.steps, self.learning_rate = steps, learning_rate
        if corpus is not None:
            for name in ("feature_mean", "feature_std", "pose_mean", "pose_std"):
                getattr(self.network, name).copy_(torch.from_numpy(getattr(corpus, name)))
            # A joint that hardly moves would otherwise count, and tremble, as much as one that dances.
            self.network.pose_std[ROTATIONS].clamp_(min=0.1)
            self.network.feature_std.clamp_(min=0.05)

    def own_poses(self, frames: int) -> Tensor:
        """(frames,) bool: the dynamic auto-condition curriculum of Dance Revolution, section 3.4.

        Stretches of the network's own poses alternate with 10 real ones; the former grow from 0 to the whole window.
        They grow early, in the first third of the training: as long as the decoder sees real poses it reads the
        movement off them rather than off the code, and stands still when left to itself.
        """
        longest = int(2.0 * frames * min(1.0, self.global_step / (0.3 * self.steps)))
        cycle = longest + 10
        phase = int(np.random.default_rng(self.global_step).integers(cycle))  # the same whether it was resumed or not
        return torch.tensor([(t + phase) % cycle < longest for t in range(frames)])

    def training_step(self, batch: Batch, index: int) -> Tensor:
        features, style, stage, poses = batch
        own = self.own_poses(features.shape[1])
        made, logits, codes = self.network(features, style, stage, poses, own, noise=0.03)
        with torch.autocast(self.device.type, enabled=False):  # half precision is millimetres of a body
            made, logits = made.float(), logits.float()
            reconstruction = F.smooth_l1_loss(made, self.network.normalize_pose(poses[:, 1:]), beta=0.5)
            body = body_loss(self.network.denormalize_pose(made), poses[:, 1:])
            prior = F.cross_entropy(logits, codes)
        movement = 4.0 * body.position + 16.0 * body.velocity + 2.0 * body.slide
        speed = 8.0 * body.speed + 16.0 * body.pulse + 16.0 * body.level
        loss = reconstruction + movement + speed + 0.05 * prior
        self.log_dict(
            {
                "reconstruction": reconstruction,
                "position_cm": 100.0 * body.position,
                "velocity_cm": 100.0 * body.velocity,
                "speed_cm": 100.0 * body.speed,
                "pulse_cm": 100.0 * body.pulse,
                "level_cm": 100.0 * body.level,
                "slide_cm": 100.0 * body.slide,
                "prior": prior,
                "codes_used": float(codes.unique().numel()),
                "own": own.float().mean(),
            }
        )
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[DanceSequence], index: int) -> None:
        """Free-running dances to music never heard; the metrics are means over them."""
        style = np.eye(len(self.network.config.styles), dtype=np.float32)[[s.style for s in batch]]
        rotations, root = free_run(self.network, music_of(batch), style)
        self.log_dances(forward_kinematics(rotations, root)[0], batch)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=1e-4, betas=(0.9, 0.98))

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / 200)
            return warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class PriorTraining(lightning.LightningModule):
    """Second stage: the prior alone, on stretches long enough for a dance to have a form; all else is frozen."""

    def __init__(self, network: DanceNetwork, steps: int) -> None:
        super().__init__()
        self.save_hyperparameters(
            {"config": dataclasses.asdict(network.config), "feature_version": FEATURE_VERSION, "steps": steps}
        )
        self.network, self.steps = network.requires_grad_(False), steps
        for part in (network.prior_code, network.prior_lstm, network.prior_output):
            part.requires_grad_(True)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        self.network.train()
        self.network.encoder.eval()
        logits, codes = self.network.code_likelihood(*batch)
        loss = F.cross_entropy(logits, codes)
        self.log("prior", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        learning = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=2e-3, weight_decay=1e-2)
        # Not 0.1 sharp: of 10 steps that is a rise of no length, by which the scheduler divides.
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=self.steps, pct_start=0.101)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def prior_windows(corpus: Corpus, seed: int) -> Windows:
    """What the prior learns from: stretches of PRIOR_FRAMES, or as long as the longest dance allows."""
    longest = max((len(s.pose) for s in corpus.sequences), default=0)
    return Windows(corpus.sequences, len(corpus.styles), min(PRIOR_FRAMES, longest - 2), 24, seed)


def train_prior(network: DanceNetwork, windows: Windows, out: Path, steps: int, precision: Any = "32-true") -> Path:
    """Teach the prior of a trained network which codes follow which, to what music.

    Returns:
        The checkpoint ``dance.ckpt`` in ``out``, of the whole network.
    """
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=precision,
        gradient_clip_val=1.0,
        logger=CSVLogger(out, name="log_prior"),
        enable_checkpointing=False,
        callbacks=[TQDMProgressBar(refresh_rate=20)],
        log_every_n_steps=10,
    )
    trainer.fit(PriorTraining(network, steps), DataLoader(windows, batch_size=None))
    finished = out / "dance.ckpt"
    trainer.save_checkpoint(finished, weights_only=True)
    return finished


def steps_done(last: Path, config: DanceConfig | OriginalConfig) -> int:
    """The step at which a training of a network of ``config`` goes on from the checkpoint ``last``; 0 without one.

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
    parser.add_argument("--network", choices=tuple(_DEFAULTS), default="dance", help="ours, or the original to compare")
    original = parser.add_argument_group("only with --network original")
    original.add_argument("--hidden", type=count, default=1024, help="width of its LSTM (default %(default)s)")
    original.add_argument(
        "--own-poses",
        type=whole_number(0),
        default=30,
        metavar="N",
        help="own poses fed in a row at the end of the curriculum; 0 is teacher forcing (default %(default)s)",
    )
    return parser


def train(arguments: argparse.Namespace) -> Path:
    """Run the training that ``arguments`` describe, going on from its last checkpoint where there is one.

    Returns:
        The finished checkpoint.
    """
    if arguments.network == "original":
        from .original import train_original

        return train_original(arguments)
    corpus = load_corpus(arguments.data, "train")
    held_out = [s for s in load_corpus(arguments.data, "test").sequences if not s.mirrored]
    config = DanceConfig(styles=tuple(corpus.styles), look_ahead=arguments.look_ahead)
    last: Path = arguments.out / "last.ckpt"
    step = steps_done(last, config)
    styles = len(corpus.styles)
    windows = Windows(corpus.sequences, styles, arguments.frames, arguments.batch, arguments.seed, step)
    for_prior = prior_windows(corpus, arguments.seed)
    lightning.seed_everything(arguments.seed + step, verbose=False)  # noise and dropout do not come again either
    minute = 60 * FRAME_RATE
    songs = [dataclasses.replace(s, features=s.features[:minute]) for s in held_out if len(s.pose) >= minute // 6][:16]
    trainer = lightning.Trainer(
        max_steps=arguments.steps,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=arguments.devices,
        precision=arguments.precision,
        gradient_clip_val=1.0,
        logger=CSVLogger(arguments.out, name="log"),
        callbacks=[
            keep_checkpoints(arguments.out),
            EMAWeightAveraging(decay=0.995),
            *stop_early(songs),
            TQDMProgressBar(refresh_rate=20),
        ],
        val_check_interval=arguments.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=arguments.log_every,
    )
    tell_of_resuming(trainer, last, step)
    trainer.fit(
        Training(config, corpus, arguments.steps, arguments.learning_rate),
        DataLoader(windows, batch_size=None),
        DataLoader(Songs(songs), batch_size=None, collate_fn=list) if songs else None,
        ckpt_path=last if last.exists() else None,
    )
    trainer.save_checkpoint(last)
    if not trainer.is_global_zero:
        return last
    return train_prior(load_checkpoint(last), for_prior, arguments.out, arguments.prior_steps, arguments.precision)


@command("dancerev-train")
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name, value in _DEFAULTS[arguments.network].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.out.exists() and not arguments.out.is_dir():
        parser.error(f"-o {arguments.out}: not a folder")
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    finished = train(arguments)
    following = f"python -m dancerev.model.evaluation.generate_offline {finished} --music FOLDER -o DIR"
    if arguments.network == "dance":
        following = f"{following} --ours" if arguments.look_ahead else f"dancerev-export {finished} -o model.onnx"
    print(f"trained: {finished}; next: {following}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
