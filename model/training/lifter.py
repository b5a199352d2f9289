"""Train the lifter on projections of a corpus: ``python -m dancerev.model.training.lifter``.

Every batch shows real takes through other cameras: any heading, a little from above or below, near or far, with
perspective; bodies of other proportions; noise, and key points that stay where they were a frame ago.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dancerev.command_line import ArgumentParser, command, seed, whole_number
from dancerev.errors import CorpusError, reason

from .. import rotation
from ..body25 import BONES_OF, JOINTS, OFFSETS_OF
from ..network.body_loss import matrices_from_6d
from ..network.checkpoint import write_checkpoint
from ..network.lifter import CONTACTS, FRAME_RATE, HEIGHT, ROTATIONS, VECTOR_SIZE, Lifter, LifterConfig
from ..skeleton import BONES, INDEX, MIRROR, PARENTS, REST_OFFSETS

Array = npt.NDArray[Any]

_NAME = "dancerev.model.training.lifter"

FRAMES, BATCH = 120, 32
NOISE = 0.012
"""Standard deviation of the key points' error, metres at the body."""

HELD = 0.03
"""Share of the key points that stay where they were a frame before, as trackers leave them."""


@dataclass(frozen=True)
class Takes:
    """Real dance at FRAME_RATE.

    Attributes:
        rotations: (T, 22, 3, 3) float32 local rotations, all takes one after the other.
        root: (T, 3) metres, of the hips.
        contacts: (T, 2).
        starts: (N,) frames at which a window of FRAMES lies within one take.
    """

    rotations: Tensor
    root: Tensor
    contacts: Tensor
    starts: Array


def load_takes(path: Path) -> Takes:
    """Read ``real_train.npz`` or ``real_test.npz`` of a corpus.

    Raises:
        CorpusError: there is no such file, or it is of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in ("rotations", "root", "contacts", "lengths", "fps")}
    except (OSError, KeyError, ValueError) as error:
        raise CorpusError(f"{path}: not the real dance of a corpus of dancerev-prepare ({reason(error)})") from error
    every = max(1, round(float(data["fps"]) / FRAME_RATE))
    kept, starts, count = [], [], 0
    for end, length in zip(np.cumsum(data["lengths"]), data["lengths"], strict=True):
        frames = np.arange(end - length, end, every)
        kept.append(frames)
        starts.append(count + np.arange(max(0, len(frames) - FRAMES)))
        count += len(frames)
    frames, windows = np.concatenate(kept), np.concatenate(starts)
    if not len(windows):
        raise CorpusError(f"{path}: no take is longer than {FRAMES / FRAME_RATE:.1f} s")
    return Takes(
        torch.from_numpy(rotation.to_matrix(data["rotations"][frames]).astype(np.float32)),
        torch.from_numpy(data["root"][frames].astype(np.float32)),
        torch.from_numpy(data["contacts"][frames].astype(np.float32)),
        windows,
    )


_LEVELS: list[list[int]] = []
"""Bones by their depth below the hips."""
for _bone in range(1, len(BONES)):
    _depth, _above = 0, PARENTS[_bone]
    while _above > 0:
        _depth, _above = _depth + 1, PARENTS[_above]
    while len(_LEVELS) <= _depth:
        _LEVELS.append([])
    _LEVELS[_depth].append(_bone)


def kinematics(rotations: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Forward kinematics about the hips.

    Args:
        rotations: (B, T, 22, 3, 3) local.
        offsets: (B or 1, 1, 22, 3) metres from the parent's joint.

    Returns:
        positions (B, T, 22, 3) relative to the hips, and global rotations (B, T, 22, 3, 3).
    """
    places, turned = [rotations.new_zeros(*rotations.shape[:2], 3)] * len(BONES), list(rotations.unbind(dim=2))
    for bones in _LEVELS:
        above = [PARENTS[bone] for bone in bones]
        frames = torch.stack([turned[bone] for bone in above], dim=2)
        moved = (frames @ offsets[:, :, bones, :, None]).squeeze(-1)
        composed = frames @ rotations[:, :, bones]
        for i, bone in enumerate(bones):
            places[bone] = places[above[i]] + moved[:, :, i]
            turned[bone] = composed[:, :, i]
    return torch.stack(places, dim=2), torch.stack(turned, dim=2)


def keypoints_of(positions: Tensor, turned: Tensor, scale: Tensor) -> Tensor:
    """BODY_25 joints (B, T, 25, 3) of a body; ``scale`` (B, 1, 1) is that of head and feet."""
    joints = []
    for name in JOINTS:
        if name in BONES_OF:
            joints.append(positions[:, :, [INDEX[bone] for bone in BONES_OF[name]]].mean(dim=2))
        else:
            bone, offset = OFFSETS_OF[name]
            local = turned.new_tensor(offset)
            joints.append(positions[:, :, INDEX[bone]] + scale * (turned[:, :, INDEX[bone]] @ local))
    return torch.stack(joints, dim=2)


class Projections:
    """Endless batches of takes as cameras see them."""

    def __init__(self, takes: Takes, seed: int, batch: int = BATCH, device: str = "cpu", vary: bool = True) -> None:
        """Draw batches.

        Args:
            takes: what is shown.
            seed: of all draws.
            batch: windows in a batch.
            device: on which they are made.
            vary: bodies of other proportions.
        """
        self.takes, self.batch, self.vary = takes, batch, vary
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device = device
        self.rotations = takes.rotations.to(device)
        self.offsets = torch.from_numpy(REST_OFFSETS).to(device)

    def _uniform(self, low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(*size, generator=self.generator, device=self.device)

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw a batch.

        Returns:
            key points (B, T, 25, 2) pixels; rotations (B, T, 22, 3, 3) with the hips' relative to the camera's heading;
            positions (B, T, 22, 3) of our own skeleton relative to the hips; height (B, T) and contacts (B, T, 2).
        """
        windows = self.rng.choice(self.takes.starts, self.batch)
        frames = torch.from_numpy(windows[:, None] + np.arange(FRAMES))
        root, contacts = self.takes.root[frames].to(self.device), self.takes.contacts[frames].to(self.device)
        rotations = self.rotations[frames.to(self.device)]
        flip = torch.from_numpy(self.rng.random(self.batch) < 0.5).to(self.device)
        mirrored = rotations[:, :, list(MIRROR)] * _reflection(self.device)
        rotations = torch.where(flip[:, None, None, None, None], mirrored, rotations)
        root = torch.where(flip[:, None, None], root * root.new_tensor([-1.0, 1.0, 1.0]), root)
        contacts = torch.where(flip[:, None, None], contacts.flip(-1), contacts)
        heading = _about_y(self._uniform(-math.pi, math.pi, self.batch))
        rotations = torch.cat([(heading[:, None] @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], dim=2)
        truth, _ = kinematics(rotations, self.offsets[None, None])
        walk = (root - root[:, :1]) @ heading.transpose(1, 2)
        return self._seen(rotations, walk), rotations, truth, root[..., 1], contacts

    def _seen(self, rotations: Tensor, walk: Tensor) -> Tensor:
        """Return the key points (B, T, 25, 2) as a camera and a tracker have them."""
        bodies, scale = self._bodies()
        positions, turned = kinematics(rotations, bodies)
        joints = keypoints_of(positions, turned, scale)
        noise = NOISE * torch.randn(joints.shape, generator=self.generator, device=self.device)
        joints = joints + walk[:, :, None] + noise  # the camera looks at where the hips were first
        pitch, distance = self._uniform(-5.0, 20.0, self.batch) * math.pi / 180.0, self._uniform(2.5, 8.0, self.batch)
        sine, cosine = torch.sin(pitch)[:, None, None], torch.cos(pitch)[:, None, None]
        x, y, z = joints.unbind(-1)
        up, ahead = cosine * y - sine * z, sine * y + cosine * z
        away = (distance[:, None, None] - ahead).clamp(min=0.5)
        focal = self._uniform(200.0, 400.0, self.batch)[:, None, None] * distance[:, None, None]
        points = torch.stack([640.0 + focal * x / away, 360.0 - focal * up / away], dim=-1)
        held = torch.rand(points.shape[:-1], generator=self.generator, device=self.device) < HELD
        before = torch.cat([points[:, :1], points[:, :-1]], dim=1)
        return torch.where(held[..., None], before, points)

    def _bodies(self) -> tuple[Tensor, Tensor]:
        """Draw bodies of other proportions: offsets (B, 1, 22, 3), both sides alike, and the head's scale (B, 1, 1)."""
        if not self.vary:
            return self.offsets[None, None].expand(self.batch, -1, -1, -1), torch.ones(1, 1, 1, device=self.device)
        scale = self._uniform(0.85, 1.15, self.batch, len(BONES))
        scale = torch.minimum(scale, scale[:, list(MIRROR)])  # symmetric, whichever side is drawn
        scale = scale * self._uniform(0.95, 1.1, self.batch, 1)
        return self.offsets[None, None] * scale[:, None, :, None], scale[:, INDEX["Head"], None, None]


def _about_y(angle: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) about +Y."""
    sine, cosine, zero, one = torch.sin(angle), torch.cos(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], dim=-1).reshape(-1, 3, 3)


def _reflection(device: str) -> Tensor:
    """(3, 3) signs that reflect a rotation matrix in the plane x = 0."""
    sign = torch.tensor([-1.0, 1.0, 1.0], device=device)
    return sign[:, None] * sign[None, :]


def start_linear(lifter: Lifter, projections: Projections, batches: int = 40) -> None:
    """Set the linear part to the ridge solution, and the statistics of the inputs, from some batches."""
    inputs, targets = [], []
    for _ in range(batches):
        points, rotations, truth, height, contacts = projections.draw()
        with torch.no_grad():
            inputs.append(lifter.inputs(points).flatten(0, 1))
        columns = rotations[..., :2].transpose(-1, -2).flatten(2)  # 6-D: the first two columns
        targets.append(
            torch.cat([columns, height[..., None], 4.0 * contacts - 2.0, truth.flatten(2)], -1).flatten(0, 1)
        )
    x, y = torch.cat(inputs), torch.cat(targets)
    with torch.no_grad():
        lifter.input_mean.copy_(x.mean(dim=0))
        lifter.input_std.copy_(x.std(dim=0).clamp(min=1e-3))
        x = F.pad((x - lifter.input_mean) / lifter.input_std, (0, 1), value=1.0).double()
        ridge = 1e-3 * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        solution = torch.linalg.solve(x.T @ x + ridge, x.T @ y.double()).float()
        lifter.linear.weight.copy_(solution[:-1].T)
        lifter.linear.bias.copy_(solution[-1])


def loss_of(lifter: Lifter, projections: Projections) -> tuple[Tensor, Tensor]:
    """Loss of one batch, and the mean error of the joints in metres after FK."""
    points, rotations, truth, height, contacts = projections.draw()
    vectors, places = lifter(points)
    made = matrices_from_6d(vectors[..., ROTATIONS].unflatten(-1, (len(BONES), 6)))
    positions, _ = kinematics(made, projections.offsets[None, None])
    error = (positions - truth).norm(dim=-1).mean()
    movement = (positions[:, 1:] - positions[:, :-1] - truth[:, 1:] + truth[:, :-1]).norm(dim=-1).mean()
    loss = (
        error
        + 0.5 * (places - truth).norm(dim=-1).mean()
        + 2.0 * movement
        + 0.05 * (made - rotations).abs().mean()
        + 0.2 * (vectors[..., HEIGHT.start] - height).abs().mean()
        + 0.02 * F.binary_cross_entropy_with_logits(vectors[..., CONTACTS], contacts)
    )
    return loss, error


@torch.no_grad()
def evaluate(lifter: Lifter, takes: Takes, batches: int = 24, seed: int = 0) -> dict[str, float]:
    """Errors on takes, each from other cameras, of our own proportions and of others.

    Returns:
        ``mpjpe`` and ``mpjpe_others``: mean error of the joints relative to the hips after FK, millimetres, over the
        second half of every window; ``linear``: of the linear part alone; ``mean``: of always saying the mean pose;
        ``jitter`` and ``jitter_real``: mean length of the second difference, millimetres per frame squared.
    """
    device = str(lifter.input_mean.device)
    sums: dict[str, list[float]] = {}
    for vary in (False, True):
        projections = Projections(takes, seed, device=device, vary=vary)
        for _ in range(batches):
            points, _, truth, _, _ = projections.draw()
            vectors, _ = lifter(points)
            linear = lifter.linear(lifter.inputs(points))[..., VECTOR_SIZE:].unflatten(-1, (len(BONES), 3))
            made = matrices_from_6d(vectors[..., ROTATIONS].unflatten(-1, (len(BONES), 6)))
            positions, _ = kinematics(made, projections.offsets[None, None])
            late = slice(FRAMES // 2, None)
            row = {"mpjpe_others" if vary else "mpjpe": (positions - truth)[:, late].norm(dim=-1).mean()}
            if not vary:
                row["linear"] = (linear - truth)[:, late].norm(dim=-1).mean()
                row["mean"] = (truth - truth.mean(dim=(0, 1))).norm(dim=-1).mean()
                row["jitter"] = positions[:, late].diff(n=2, dim=1).norm(dim=-1).mean()
                row["jitter_real"] = truth[:, late].diff(n=2, dim=1).norm(dim=-1).mean()
            for name, value in row.items():
                sums.setdefault(name, []).append(1000.0 * float(value))
    return {name: float(np.mean(values)) for name, values in sums.items()}


def train(arguments: argparse.Namespace) -> Path:
    """Train for so many minutes, going on from what is there; returns the checkpoint."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    takes = load_takes(arguments.data / "real_train.npz")
    config = LifterConfig(arguments.hidden, arguments.layers)
    lifter = Lifter(config).to(device)
    projections = Projections(takes, arguments.seed, arguments.batch, device)
    torch.manual_seed(arguments.seed)
    if arguments.start is not None:
        lifter.load_state_dict(torch.load(arguments.start, map_location=device, weights_only=True)["weights"])
    else:
        start_linear(lifter, projections)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=arguments.learning_rate, weight_decay=1e-4)
    begin, steps, average = time.monotonic(), 0, math.nan
    while (spent := (time.monotonic() - begin) / (60.0 * arguments.minutes)) < 1.0:
        for group in optimizer.param_groups:
            warm = min(1.0, (steps + 1) / 50)
            group["lr"] = arguments.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * spent)))
        loss, error = loss_of(lifter, projections)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            now = float(error.detach())
            average = now if math.isnan(average) else 0.8 * average + 0.2 * now
        if steps % 500 == 0:
            print(f"step {steps}: {1000 * average:.1f} mm in training", file=sys.stderr, flush=True)
    lifter.eval().to("cpu")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(Path(arguments.out), {"config": asdict(config), "weights": lifter.state_dict()})
    test = arguments.data / "real_test.npz"
    if test.exists():
        results = evaluate(lifter, load_takes(test))
        print(f"{steps} steps; held-out takes: " + ", ".join(f"{name} {value:.1f}" for name, value in results.items()))
    return Path(arguments.out)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog=_NAME, description=(__doc__ or "").partition(":")[0])
    parser.add_argument("data", type=Path, help="corpus of dancerev-prepare: its real_train.npz and real_test.npz")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/lifter.pt"), help="(default %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="to train (default %(default)s)")
    parser.add_argument("--start", type=Path, metavar="LIFTER.pt", help="go on from these weights")
    parser.add_argument("--hidden", type=whole_number(1), default=256, metavar="N", help="(default %(default)s)")
    parser.add_argument("--layers", type=whole_number(1), default=1, metavar="N", help="(default %(default)s)")
    parser.add_argument("--batch", type=whole_number(1), default=BATCH, metavar="N", help="(default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="at its height (default %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    return parser


@command(_NAME)
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    print(f"trained: {train(_parser().parse_args(argv))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
