"""Parity of an exported step graph with its network, over random features and over real music.

Three computations of one dance are compared: the network over the whole sequence at once, as in training; the network
frame by frame; and the graph in ONNX Runtime frame by frame. *Teacher-forced*, all three receive the reference poses
and codes, so errors do not accumulate. *Free-running*, each receives its own last pose and samples its own codes, as
in a show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dancerev.model.corpus.song import extract_features
from dancerev.model.features import BEAT, FEATURE_SIZE
from dancerev.model.network.dance_network import Conditions, DanceNetwork, State
from dancerev.model.network.free_run import gumbel
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, rest_vector
from dancerev.model.step_format import DANCERS, INPUTS, POSE_OUTPUT, STATE, state_names
from dancerev.realtime.audio.decode import decode
from dancerev.realtime.audio.sources import demo_path
from dancerev.realtime.providers import import_onnxruntime

onnxruntime = import_onnxruntime()

Array = npt.NDArray[np.float32]

TEACHER_FORCED_LIMIT = 1e-5
FREE_RUNNING_LIMIT = 1e-3
"""Largest differences allowed, in the units of the pose vector (metres, radians, parts of unit vectors)."""

PROOF_FRAMES = 9000
"""Frames of the whole proof: ten minutes, half to random features and half to the demo track."""


def random_features(frames: int, seed: int = 0) -> Array:
    """(frames, FEATURE_SIZE) of no music at all: in [0, 1], and in [−1, 1] those of the beat."""
    features = np.random.default_rng(seed).random((frames, FEATURE_SIZE), dtype=np.float32)
    features[:, BEAT] = 2.0 * features[:, BEAT] - 1.0
    return features


def demo_features(frames: int) -> Array:
    """(frames, FEATURE_SIZE) of the demo track, heard by the live feature extractor, from the start again and again."""
    samples = np.concatenate(list(decode(demo_path())))
    features = extract_features(samples)[0].astype(np.float32)
    return np.resize(features, (frames, FEATURE_SIZE))


class StepSession:
    """A step graph in ONNX Runtime, run with arrays: plain, where the stage's session is quick.

    Attributes:
        zeros: every input by name, zero, for ``dancers`` dancers.
        state: the names of those that are state.
    """

    def __init__(self, path: Path, dancers: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name(DANCERS, dancers)
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        self.zeros: dict[str, npt.NDArray[Any]] = {
            x.name: np.zeros(x.shape, types[x.type]) for x in self._session.get_inputs()
        }
        self.state = state_names(self.zeros)

    def step(self, given: dict[str, npt.NDArray[Any]]) -> tuple[Array, dict[str, npt.NDArray[Any]]]:
        """Return the pose vectors (dancers, POSE_SIZE) and the new state by the names of the inputs."""
        out, *state = self._session.run([POSE_OUTPUT, *(f"new_{name}" for name in self.state)], given)
        return out, dict(zip(self.state, state, strict=True))


def as_arrays(names: tuple[str, ...], tensors: tuple[Tensor, ...] | State) -> dict[str, npt.NDArray[Any]]:
    """Tensors by name, as ONNX Runtime takes them."""
    return dict(zip(names, (x.numpy() for x in tensors), strict=True))


def movement(network: DanceNetwork, frames: int, dancers: int, generator: torch.Generator) -> Tensor:
    """(dancers, frames, POSE_SIZE) smooth movement of the size that the network is used to, to feed it with."""
    time = torch.arange(frames) / FRAME_RATE
    rate = 0.1 + 1.5 * torch.rand(dancers, 1, POSE_SIZE, 4, generator=generator)  # Hz
    start = torch.rand(dancers, 1, POSE_SIZE, 4, generator=generator)
    swing = torch.sin(2 * torch.pi * (rate * time[:, None, None] + start)).sum(-1)
    return network.denormalize_pose(swing * 0.5**0.5)


def _conditions(network: DanceNetwork, features: Array, dancers: int, generator: torch.Generator) -> Conditions:
    """Music (T, FEATURE_SIZE) and made-up controls, the same style and phrase throughout."""
    frames = len(features)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    style = torch.softmax(noise(dancers, 1, len(network.config.styles)), -1)
    return Conditions(
        torch.from_numpy(features)[None].expand(dancers, -1, -1),
        style.expand(-1, frames, -1),
        noise(dancers, frames, 2),
        F.normalize(noise(dancers, frames, 2), dim=-1),
        noise(dancers, frames, 1),
        torch.sigmoid(noise(dancers, 1, 1)).expand(-1, frames, -1),
    )


def frame_of(conditions: Conditions, t: int) -> Conditions:
    """Frame ``t``, as :meth:`DanceNetwork.step` takes it."""
    return Conditions(*(given[:, t] for given in conditions))


@torch.no_grad()
def teacher_forced(
    network: DanceNetwork,
    path: Path,
    features: Array,
    dancers: int = 1,
    seed: int = 0,
    advance: Callable[[float], None] = lambda _: None,
) -> dict[str, float]:
    """Return the largest differences over ``features`` (T, FEATURE_SIZE), poses and codes given.

    ``advance`` is called with 1 after every frame.

    Returns:
        by name, of any pose number: the network's ``step`` against its whole-sequence ``forward``; the graph against
        ``forward`` and against ``step``, its state its own but for the pose; and single steps of the graph, each from
        the network's state.
    """
    session = StepSession(path, dancers)
    generator = torch.Generator().manual_seed(seed)
    frames = len(features)
    conditions = _conditions(network, features, dancers, generator)
    poses = movement(network, frames + 1, dancers, generator)
    made, _, _ = network(conditions, poses, torch.zeros(frames, dtype=torch.bool))
    whole = network.denormalize_pose(made)
    codes = network.codebook.index(network.posterior(conditions.features, network.normalize_pose(poses[:, 1:]))[0])

    worst = dict.fromkeys(("step, forward", "graph, forward", "graph, step", "single graph steps, step"), 0.0)

    def note(name: str, one: Any, other: Any) -> None:
        worst[name] = max(worst[name], float(np.abs(np.asarray(one) - np.asarray(other)).max()))

    state = network.initial_state(poses[:, 0])
    theirs = as_arrays(STATE, state)
    for t in range(frames):
        # The draw that lands on the given code, whatever the prior thinks of it.
        noise = 1e6 * F.one_hot(codes[:, t], network.config.codes).float()
        given = frame_of(conditions, t)
        state = state._replace(pose=poses[:, t])
        theirs["pose"] = poses[:, t].numpy()
        arrays = as_arrays(INPUTS, (*given, noise))
        single, _ = session.step(arrays | as_arrays(STATE, state))
        out, theirs = session.step(arrays | theirs)
        pose, state = network.step(given, noise, state)
        note("step, forward", pose, whole[:, t])
        note("graph, forward", out, whole[:, t])
        note("graph, step", out, pose)
        note("single graph steps, step", single, pose)
        advance(1.0)
    return worst


@torch.no_grad()
def free_running(network: DanceNetwork, path: Path, features: Array, dancers: int = 1, seed: int = 0) -> float:
    """Return the largest difference of a pose number over (T, FEATURE_SIZE), each fed with its own poses and codes."""
    session = StepSession(path, dancers)
    generator = torch.Generator().manual_seed(seed)
    conditions = _conditions(network, features, dancers, generator)
    state = network.initial_state(torch.from_numpy(rest_vector())[None].repeat(dancers, 1))
    theirs = as_arrays(STATE, state)
    worst = 0.0
    for t in range(len(features)):
        noise = gumbel(dancers, network.config.codes, generator)
        given = frame_of(conditions, t)
        out, theirs = session.step(as_arrays(INPUTS, (*given, noise)) | theirs)
        pose, state = network.step(given, noise, state)
        worst = max(worst, float(np.abs(out - pose.numpy()).max()))
    return worst


def prove(
    network: DanceNetwork, path: Path, advance: Callable[[float], None] = lambda _: None
) -> Iterator[tuple[str, float, float]]:
    """Yield what is compared, the largest difference found, and the largest allowed.

    ``advance`` is called with 1 after every frame, :data:`PROOF_FRAMES` times.
    """
    frames = PROOF_FRAMES // 2
    for music, features in (("random", random_features(frames)), ("demo track", demo_features(frames))):
        for name, worst in teacher_forced(network, path, features, advance=advance).items():
            yield f"{name}: teacher-forced, {frames} frames, {music}", worst, TEACHER_FORCED_LIMIT
        worst = free_running(network, path, features[:300])
        yield f"graph, step: free-running, 300 frames, {music}", worst, FREE_RUNNING_LIMIT
