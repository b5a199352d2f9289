"""A two-dimensional dancer and the lifter as one step graph, which dances live like any other, in three dimensions.

The dancer is the original network of ``dancerev-train --preset dance-revolution --live``. The graph has the format of
:mod:`dancerev.model.step_format`: our features in, our pose vector out. Style, stage and noise have no effect.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from dancerev.errors import ModelError
from dancerev.model import rotation
from dancerev.model.body25 import FIRST_POSE, HEIGHT, JOINTS, MID_HIP, WIDTH
from dancerev.model.features import FEATURE_NAMES, FEATURE_SIZE, FEATURE_VERSION
from dancerev.model.network import lifter as lifting
from dancerev.model.network.body_loss import matrices_from_6d
from dancerev.model.network.checkpoint import UNREADABLE
from dancerev.model.network.lifter import Lifter, LifterConfig, LifterState
from dancerev.model.network.original import Memory, OriginalNetwork, load_original
from dancerev.model.pose import FRAME_RATE, POSE_SIZE
from dancerev.model.skeleton import BONES
from dancerev.model.step_format import DANCERS, FORMAT_VERSION, POSE_OUTPUT
from dancerev.realtime.body.lifter import body_size, lifter_path

from .graph import save_proved, trace

INPUTS = ("features", "style", "stage", "noise")
STATE = ("keys", "values", "hidden", "cell", "flat", "processed", "lifter_hidden", "size", "hips", "yaw", "pose")
"""Of the graph, in order; each state ``x`` comes out as ``new_x``."""

STYLE = "dance-revolution"
"""The one style of such a graph."""

LARGEST_DIFFERENCE = 1e-3
"""Allowed between graph and network over PROOF_FRAMES frames, each fed its own poses."""

PROOF_FRAMES = 150


class FlatStep(nn.Module):
    """One step of dancer and lifter for any number of dancers."""

    begin: Tensor
    start: Tensor

    def __init__(self, network: OriginalNetwork, lifter: Lifter) -> None:
        super().__init__()
        self.network, self.lifter, self.metres = network, lifter, body_size()
        self.register_buffer("begin", torch.from_numpy(FIRST_POSE))
        memory = network.initial_memory(1, torch.Generator().manual_seed(0))
        self.register_buffer("start", torch.stack([memory.hidden, memory.cell]))

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """Return zeros, the state before the first frame: STATE in order."""
        config = self.network.config
        cache = (config.layers, batch, config.window, config.heads * config.key_width)
        memory = (self.start.shape[1], batch, config.hidden)
        shapes = (cache, cache, memory, memory, (batch, 2 * len(JOINTS)))  # a tensor each: the exporter sees aliases
        dancer = (torch.zeros(shape) for shape in shapes)
        processed, yaw = torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, 1)
        return (*dancer, processed, *self.lifter.initial_state(batch), yaw, torch.zeros(batch, POSE_SIZE))

    def dance(
        self,
        features: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
        cell: Tensor,
        flat: Tensor,
        processed: Tensor,
    ) -> tuple[Tensor, ...]:
        """Dance in two dimensions: the vector before (B, 50), the vector now, and the new state of the dancer."""
        network, first = self.network, (processed == 0)[:, None]
        hidden, cell = (torch.where(first, start, now) for start, now in zip(self.start, (hidden, cell), strict=True))
        last = torch.where(first, self.begin, flat)
        normal = (features - network.feature_mean) / network.feature_std
        music, keys, values = network.encoder.step(normal, keys, values, processed)
        memory = network.decoder.step(network.decoder.tgt_emb(last), Memory(hidden, cell))
        now = network.emit(memory.hidden[-1], music)
        processed = (processed + 1).clamp(max=network.config.window)
        return last, now, keys, values, memory.hidden, memory.cell, now, processed

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Map INPUTS and STATE in order → the pose vector and the new state."""
        features, _, _, _, *state = inputs
        last, now, *dancer = self.dance(features, *state[:6])
        before, after = keypoints(last), keypoints(now)
        # The lifter has 30 frames per second: a mid-point comes between.
        _, first_move, seen = self.lifter.step((before + after) / 2.0, LifterState(*state[6:9]))
        vector, second_move, seen = self.lifter.step(after, seen)
        pose, yaw = pose_vector(vector, self.metres * (first_move + second_move), state[9])
        # The show keeps the last pose in the state, though this dancer does not need it.
        return pose, *dancer, *seen, yaw, pose + 0.0


def keypoints(vectors: Tensor) -> Tensor:
    """Vectors (B, 50) of :mod:`dancerev.model.body25` → key points (B, 25, 2) in pixels."""
    places = vectors.reshape(-1, len(JOINTS), 2)
    hips = places[:, MID_HIP : MID_HIP + 1]
    places = torch.cat([places[:, :MID_HIP] + hips, hips, places[:, MID_HIP + 1 :] + hips], dim=1)
    return (places + 1.0) / 2.0 * places.new_tensor([float(WIDTH), float(HEIGHT)])


def pose_vector(lifted: Tensor, moved: Tensor, yaw_before: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pose vector of what was lifted.

    Args:
        lifted: (B, lifter.VECTOR_SIZE), contacts in [0, 1].
        moved: (B, 1) metres to the right of the picture since the frame before.
        yaw_before: (B, 1) radians, the hips' heading then.

    Returns:
        (B, POSE_SIZE) and the heading now (B, 1).
    """
    rotations = matrices_from_6d(lifted[:, lifting.ROTATIONS].reshape(-1, len(BONES), 6))
    hips = rotations[:, 0]
    # The twist about +Y: of a quaternion, twice the angle whose tangent is y / w.
    yaw = torch.atan2(hips[:, 0, 2] - hips[:, 2, 0], hips[:, 0, 0] + hips[:, 2, 2])[:, None]
    turn = torch.atan2(torch.sin(yaw - yaw_before), torch.cos(yaw - yaw_before))
    sine, cosine = torch.sin(yaw)[..., None], torch.cos(yaw)[..., None]
    x, z = rotation.turn_floor(hips[:, 0:1], hips[:, 2:3], -sine, cosine)
    upright = torch.cat([x, hips[:, 1:2], z], dim=1)
    turned = torch.cat([upright[:, None], rotations[:, 1:]], dim=1)
    columns = torch.cat([turned[..., 0], turned[..., 1]], dim=-1).flatten(1)
    travel = torch.cat([torch.cos(yaw_before) * moved, torch.sin(yaw_before) * moved], dim=-1)
    height, contacts = lifted[:, lifting.HEIGHT], lifted[:, lifting.CONTACTS]
    return torch.cat([turn, travel, height, columns, contacts], dim=-1), yaw


def load_flat_network(path: Path) -> OriginalNetwork | None:
    """Load the network of ``--preset dance-revolution --live``; None where the file is of another kind.

    Raises:
        ModelError: an original network that cannot dance live; the message gives the reason.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        known = "original" in checkpoint.get("hyper_parameters", {}) or {"args", "model"} <= checkpoint.keys()
    except (pickle.UnpicklingError, *UNREADABLE):
        return None
    if not known:
        return None
    network = load_original(path)
    config = network.config
    if (config.after, config.positions) != (0, 0):
        raise ModelError(f"{path}: attends to future music; for a show train it with --preset {STYLE} --live")
    if (config.features, config.pose) != (FEATURE_SIZE, 2 * len(JOINTS)):
        sizes = f"{config.features} features and {config.pose} pose numbers"
        raise ModelError(f"{path}: of {sizes}, not {FEATURE_SIZE} and {2 * len(JOINTS)}")
    return network


def bundled_lifter() -> Lifter:
    """Return the network of the bundled lifter, with the weights of its graph."""
    model = onnx.load(lifter_path())
    prefix = "lifter."
    weights = {
        x.name.removeprefix(prefix): torch.from_numpy(onnx.numpy_helper.to_array(x).copy())
        for x in model.graph.initializer
        if x.name.startswith(prefix)
    }
    layers = sum(name.startswith("gru.weight_ih") for name in weights)
    lifter = Lifter(LifterConfig(hidden=weights["gru.weight_hh_l0"].shape[1], layers=layers))
    lifter.load_state_dict(weights)
    return lifter.eval()


def export_flat(network: OriginalNetwork, lifter: Lifter, path: Path, licence: str = "unspecified") -> float:
    """Write the step graph of a dancer and a lifter.

    Returns:
        The largest difference between graph and network over PROOF_FRAMES of noise.

    Raises:
        ModelError: they differ by more than LARGEST_DIFFERENCE.
    """
    step = FlatStep(network.eval(), lifter).eval()
    given = (torch.zeros(2, FEATURE_SIZE), torch.zeros(2, 1), torch.zeros(2, 2), torch.zeros(2, 1))
    one, two = step.initial_state(1), step.initial_state(2)
    axes = [0] * len(INPUTS)
    axes += [next(i for i in range(a.dim()) if a.shape[i] != b.shape[i]) for a, b in zip(one, two, strict=True)]
    outputs = (POSE_OUTPUT, *(f"new_{name}" for name in STATE))
    model = trace(step, (*given, *two), (*INPUTS, *STATE), outputs, _metadata(step, licence), axes)
    return save_proved(model, path, lambda partial: largest_difference(step, partial), LARGEST_DIFFERENCE)


def _metadata(step: FlatStep, licence: str) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "feature_version": FEATURE_VERSION,
        "features": FEATURE_NAMES,
        "bones": BONES,
        "pose_size": POSE_SIZE,
        "frame_rate": FRAME_RATE,
        "styles": [STYLE],
        "default_style": STYLE,
        "codes": 1,
        "licence": licence,
        "parameters": int(sum(p.numel() for p in step.parameters())),
    }


@torch.no_grad()
def largest_difference(step: FlatStep, path: Path) -> float:
    """Run network and graph side by side, each with its own state."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name(DANCERS, 1)
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {x.name for x in session.get_inputs()}
    generator = torch.Generator().manual_seed(0)
    state: tuple[Tensor, ...] = step.initial_state(1)
    arrays = {name: x.numpy() for name, x in zip(STATE, state, strict=True)}
    worst = 0.0
    for _ in range(PROOF_FRAMES):
        features = torch.rand(1, FEATURE_SIZE, generator=generator)
        given = (features, torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1, 1))
        pose, *new = step(*given, *state)
        state = tuple(new)
        fed = {name: x.numpy() for name, x in zip(INPUTS, given, strict=True)} | arrays
        made, *outputs = session.run(None, {name: x for name, x in fed.items() if name in names})
        arrays = dict(zip(STATE, outputs, strict=True))
        worst = max(worst, float(np.abs(made - pose.numpy()).max()))
    return worst
