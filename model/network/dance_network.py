"""The dancer's network: a causal local-attention encoder of the music and an LSTM decoder of the body.

Beyond Dance Revolution (Huang et al., ICLR 2021), whose encoder and decoder it keeps in kind: attention looks
back only, with relative positions; the LSTM reads the music at its input; and what the dancer *chooses* to do
is a discrete code for every half step. In training the code is read off the motion to come (finite scalar
quantisation, Mentzer et al., ICLR 2024); on stage it is drawn from a prior that has heard the music and knows the
codes so far. A regression alone answers an uncertain future with its mean, and
sways on the spot; given a code there is little left to be uncertain about.

``forward`` runs whole sequences for training, ``step`` one frame with explicit state for the stage; both give
the same poses. Vectors are normalised inside, so both speak in the units of ``dancerev.model.features`` and
``dancerev.model.pose``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import BEAT, BEAT_FEATURES, FEATURE_SIZE, STEP_COS, STEP_SIN
from ..pose import CONTACTS, POSE_SIZE, TRAVEL, TURN
from .block_attention import local_attention

PRIOR_CODE_DROPOUT, PRIOR_MUSIC_DROPOUT = 0.1, 0.3
"""Of what the prior sees in training of the code before and of the music, so that it leans on the beat, which every
song has, and not on how the songs sounded to which it learned to dance."""


@dataclass(frozen=True)
class DanceConfig:
    """Sizes of the network.

    Attributes:
        styles: names of the styles, in the order of the style vector.
        width, layers, heads, feed_forward: of the encoder.
        window: frames of music that attention sees, the present one included.
        look_ahead: frames of music that it sees beyond; more than none dances offline only, to compare with.
        hidden, lstm_layers: of the decoder.
        levels: values per dimension of a code; their product is the number of codes.
        code_width: of what the decoder is told of a code and how far its half step has come.
        prior_hidden: of the prior's LSTM.
        dropout: in training, everywhere.
    """

    styles: tuple[str, ...] = ("salsa", "indian", "modern", "martial")
    width: int = 128
    layers: int = 2
    heads: int = 4
    feed_forward: int = 256
    window: int = 60
    look_ahead: int = 0
    hidden: int = 384
    lstm_layers: int = 2
    levels: tuple[int, ...] = (5, 5, 5, 5)
    code_width: int = 96
    prior_hidden: int = 256
    dropout: float = 0.05

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return math.prod(self.levels)


class State(NamedTuple):
    """All that the network remembers between frames; B dancers, L encoder layers, M LSTM layers.

    Attributes:
        cached_key: (L, B, window − 1, width) keys of the frames before, oldest first.
        cached_value: (L, B, window − 1, width).
        hidden: (M, B, hidden).
        cell: (M, B, hidden).
        pose: (B, POSE_SIZE) the last pose emitted, as a pose vector.
        code: (B, len(levels)) the code being danced, each number in [−1, 1].
        half: (B,) 1 in the first half of a step, −1 in the second, 0 before the first frame.
        prior_hidden, prior_cell: (B, prior_hidden) of the prior.
        processed: (B,) int64, frames so far, counted up to the window.
    """

    cached_key: Tensor
    cached_value: Tensor
    hidden: Tensor
    cell: Tensor
    pose: Tensor
    code: Tensor
    half: Tensor
    prior_hidden: Tensor
    prior_cell: Tensor
    processed: Tensor


class LocalAttention(nn.Module):
    """Self-attention over the last ``window`` frames, with a learned bias for every age and head.

    Causal, unless ``look_ahead`` lets it see so many frames to come: their age is below 0, and there is no ``step``.
    """

    def __init__(self, width: int, heads: int, window: int, look_ahead: int = 0) -> None:
        super().__init__()
        self.heads, self.window, self.look_ahead = heads, window, look_ahead
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        # Slopes as in ALiBi (Press et al., ICLR 2022) to begin with, free to move.
        slopes = 2.0 ** -torch.arange(1.0, heads + 1)
        self.age_bias = nn.Parameter(-slopes[:, None] * torch.arange(-float(look_ahead), float(window)).abs())

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Queries (B, Q, W), keys and values (B, K, W), bias (…, heads, Q, K) → (B, Q, W)."""
        batch, queries, width = query.shape
        split = (batch, -1, self.heads, width // self.heads)
        q, k, v = (x.reshape(split).transpose(1, 2) for x in (query, key, value))
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5 + bias, dim=-1)
        return self.output((weights @ v).transpose(1, 2).reshape(batch, queries, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        query, key, value = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        attended = local_attention(query, key, value, self.window - 1, self.look_ahead, self.age_bias)
        return self.output(attended.transpose(1, 2).flatten(2))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, width) and the caches (B, window − 1, width) → output and the moved-on caches.

        The cache slides rather than wraps: the age of every slot is then fixed, and moving 60 short rows
        costs less than the gather that a wrapped index would need.
        """
        keys = torch.cat([keys, self.key(x)[:, None]], dim=1)
        values = torch.cat([values, self.value(x)[:, None]], dim=1)
        age = torch.arange(self.window - 1, -1, -1, device=x.device)
        unheard = (age > processed[:, None])[:, None, None, :]
        bias = self.age_bias.flip(1)[:, None, :].masked_fill(unheard, -1e9)
        return self._attend(self.query(x)[:, None], keys, values, bias)[:, 0], keys[:, 1:], values[:, 1:]


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer around :class:`LocalAttention`."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.attention = LocalAttention(config.width, config.heads, config.window, config.look_ahead)
        self.attention_norm = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.feed_forward),
            nn.GELU(),
            nn.Linear(config.feed_forward, config.width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(x))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, width); see :meth:`LocalAttention.step`."""
        attended, keys, values = self.attention.step(self.attention_norm(x), keys, values, processed)
        x = x + attended
        return x + self.feed_forward(x), keys, values


class MusicEncoder(nn.Module):
    """Acoustic features to a description of the music at every frame."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.input = nn.Linear(FEATURE_SIZE, config.width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features (B, T, FEATURE_SIZE) → (B, T, width)."""
        x = self.input(features)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def step(self, features: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, FEATURE_SIZE) with caches (L, B, window − 1, width)."""
        x = self.input(features)
        new_keys, new_values = [], []
        for i, layer in enumerate(self.layers):
            x, key, value = layer.step(x, keys[i], values[i], processed)  # type: ignore[operator]
            new_keys.append(key)
            new_values.append(value)
        return self.norm(x), torch.stack(new_keys), torch.stack(new_values)


class MotionEncoder(nn.Module):
    """Reads off the motion what is danced in every half step; used in training only."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        width = 192
        layers: list[nn.Module] = [nn.Conv1d(POSE_SIZE, width, 5, padding=2), nn.GELU()]
        for _ in range(2):
            layers += [nn.Conv1d(width, width, 3, padding=1), nn.GELU()]
        self.frames = nn.Sequential(*layers)
        # Normalised, so that the first codes already differ.
        self.output = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, len(config.levels)))

    def forward(self, poses: Tensor, part: Tensor, place: Tensor) -> Tensor:
        """What is danced in each half step: the mean over its frames, and how they change.

        Args:
            poses: (B, T, POSE_SIZE) normalised.
            part: (B, T) int64, numbers the half steps from 0 on.
            place: (B, T, 2) from :func:`half_steps`.

        Returns:
            (B, parts, len(levels)), unbounded.
        """
        frames = self.frames(poses.transpose(1, 2)).transpose(1, 2)
        share = F.one_hot(part).to(frames.dtype).transpose(1, 2)
        share = share / share.sum(dim=2, keepdim=True).clamp(min=1.0)
        return self.output(torch.cat([share @ frames, share @ (frames * place[..., 1:])], dim=-1))


class Codebook(nn.Module):
    """Finite scalar quantisation: each dimension of a code is rounded to one of a few levels in [−1, 1]."""

    radix: Tensor
    reach: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        sizes = torch.tensor(levels)
        if (sizes % 2 == 0).any():
            raise ValueError("each dimension of a code needs an odd number of levels, so that 0 is one of them")
        self.register_buffer("reach", (sizes - 1) / 2.0, persistent=False)
        self.register_buffer("radix", torch.cumprod(sizes, 0) // sizes, persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        """Unbounded (..., D) → levels in [−1, 1], with the gradient of the bounded value (straight through)."""
        bounded = torch.tanh(x) * self.reach
        return (bounded + (bounded.round() - bounded).detach()) / self.reach

    def index(self, code: Tensor) -> Tensor:
        """Quantised (..., D) → (...) int64."""
        return ((code * self.reach + self.reach).round().long() * self.radix).sum(-1)

    def code(self, index: Tensor) -> Tensor:
        """(...) int64 → quantised (..., D)."""
        digits = index[..., None] // self.radix % (2 * self.reach.long() + 1)
        return (digits - self.reach) / self.reach


def half_steps(features: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the dancer's step frames are, by their features (..., FEATURE_SIZE), not normalised.

    Returns:
        (...) 1 in the first half of the step and −1 in the second; (..., 2) how far the half has come: sine and cosine
        of an angle from 0 to π.
    """
    sine, cosine = features[..., STEP_SIN], features[..., STEP_COS]
    half = torch.where(sine >= 0.0, torch.ones_like(sine), -torch.ones_like(sine))
    return half, torch.stack([half * sine, half * cosine], dim=-1)


def lstm_cell(lstm: nn.LSTM, layer: int, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One time step of one layer: input (B, …) → hidden and cell (B, hidden)."""
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    input_weight, input_bias, weight, bias = (getattr(lstm, f"{name}_l{layer}") for name in names)
    gates = F.linear(x, input_weight, input_bias) + F.linear(hidden, weight, bias)
    enter, forget, candidate, leave = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


class DanceNetwork(nn.Module):
    """Music and the last pose in, the pose one frame ahead out."""

    feature_mean: Tensor
    feature_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.config = config
        for name, size in (("feature", FEATURE_SIZE), ("pose", POSE_SIZE)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.encoder = MusicEncoder(config)
        self.motion_encoder = MotionEncoder(config)
        self.codebook = Codebook(config.levels)
        # A code is but a few numbers; spread out, with the place in its half step, it weighs as much as the rest.
        self.code_features = nn.Sequential(
            nn.Linear(len(config.levels) + 2, 128), nn.GELU(), nn.Linear(128, config.code_width), nn.GELU()
        )
        heard = config.width + len(BEAT_FEATURES) + len(config.styles) + 2
        known = heard + config.code_width
        self.lstm = nn.LSTM(known + POSE_SIZE, config.hidden, config.lstm_layers, batch_first=True)
        self.output = nn.Linear(config.hidden, POSE_SIZE)
        self.output_known = nn.Linear(known, POSE_SIZE, bias=False)
        # How much of the last pose stays: all of a rotation or a height, none of a velocity or a contact.
        keep = torch.ones(POSE_SIZE)
        for part in (TURN, TRAVEL, CONTACTS):
            keep[part] = 0.0
        self.keep = nn.Parameter(keep)
        # The prior sees codes and music but no poses: one that sees them takes a body at rest for the will to rest.
        self.prior_code = nn.Linear(len(config.levels), 64)
        self.prior_lstm = nn.LSTM(64 + heard, config.prior_hidden, batch_first=True)
        self.prior_output = nn.Sequential(nn.Dropout(2 * config.dropout), nn.Linear(config.prior_hidden, config.codes))
        with torch.no_grad():
            # An open forget gate to begin with: Jozefowicz et al., ICML 2015.
            for layer in range(config.lstm_layers):
                getattr(self.lstm, f"bias_hh_l{layer}")[config.hidden : 2 * config.hidden].fill_(1.0)
            self.output.weight.mul_(0.1)
            self.output_known.weight.mul_(0.1)

    def normalize_pose(self, pose: Tensor) -> Tensor:
        """Pose vectors in their own units → zero mean, unit scale."""
        return (pose - self.pose_mean) / self.pose_std

    def denormalize_pose(self, pose: Tensor) -> Tensor:
        """Inverse of :meth:`normalize_pose`."""
        return pose * self.pose_std + self.pose_mean

    def normalize_features(self, features: Tensor) -> Tensor:
        """Acoustic features → zero mean, unit scale."""
        return (features - self.feature_mean) / self.feature_std

    def posterior(self, features: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
        """The codes danced.

        Args:
            features: (B, T, FEATURE_SIZE), not normalised.
            poses: (B, T, POSE_SIZE) normalised.

        Returns:
            (B, T, len(levels)) quantised, the same over all frames of a half step; (B, T) bool, where one begins.
        """
        half, place = half_steps(features)
        due = torch.cat([torch.ones_like(half[:, :1]), half.diff(dim=1)], dim=1) != 0.0
        part = due.cumsum(dim=1) - 1
        codes = self.codebook.quantize(self.motion_encoder(poses, part, place))
        return codes.gather(1, part[..., None].expand(-1, -1, codes.shape[-1])), due

    def _heard(self, music: Tensor, features: Tensor, style: Tensor, stage: Tensor) -> Tensor:
        """(..., heard) what decoder and prior know besides codes: music (..., width), the beat, style and stage."""
        return torch.cat([music, features[..., BEAT], style, stage], dim=-1)

    def lstm_step(
        self, x: Tensor, hidden: Sequence[Tensor] | Tensor, cell: Sequence[Tensor] | Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One frame (B, known + POSE_SIZE) through the layers of ``self.lstm``, written out so that it exports.

        ``hidden`` and ``cell`` hold a (B, hidden) for each layer, and so does what comes back.
        """
        new_hidden: list[Tensor] = []
        new_cell: list[Tensor] = []
        for layer in range(self.config.lstm_layers):
            x, moved = lstm_cell(self.lstm, layer, x, hidden[layer], cell[layer])
            new_cell.append(moved)
            new_hidden.append(x)
        return new_hidden, new_cell

    def emit(self, hidden: Tensor, known: Tensor, last: Tensor) -> Tensor:
        """Normalised pose (..., POSE_SIZE) from the top of the LSTM, what it knew, and the pose before."""
        return self.keep * last + self.output(hidden) + self.output_known(known)

    @torch.no_grad()
    def _fed_poses(self, known: Tensor, real: Tensor, own: Tensor, noise: float) -> Tensor:
        """What the decoder is fed (B, T, POSE_SIZE): its own last pose at the frames of ``own``, else the real one."""
        fed = real[:, :-1] + noise * torch.randn_like(real[:, :-1]) if noise else real[:, :-1].clone()
        choices = own.tolist()
        zero = real.new_zeros(len(real), self.config.hidden)
        hidden, cell = [zero] * self.config.lstm_layers, [zero] * self.config.lstm_layers
        last_own = len(choices) - 1 - choices[::-1].index(True) if True in choices else 0
        for t in range(last_own):
            hidden, cell = self.lstm_step(torch.cat([known[:, t], fed[:, t]], dim=-1), hidden, cell)
            if choices[t + 1]:
                made = self.emit(hidden[-1], known[:, t], fed[:, t])
                fed[:, t + 1] = made + noise * torch.randn_like(made) if noise else made
        return fed

    def forward(
        self, features: Tensor, style: Tensor, stage: Tensor, poses: Tensor, own: Tensor, noise: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Whole sequences, the codes read off the motion itself.

        Args:
            features: (B, T, FEATURE_SIZE) music.
            style: (B, styles) weights.
            stage: (B, T, 2) the stage centre in the dancer's frame before each pose, metres.
            poses: (B, T + 1, POSE_SIZE) real motion; frame t + 1 is what hearing frame t should produce.
            own: (T,) bool, True where the decoder is fed its own last pose rather than the real one (at t = 0
                it is always the real one). Own poses are fed without gradient, as in the paper.
            noise: standard deviation of Gaussian noise on the poses fed, in normalised units.

        Returns:
            poses (B, T, POSE_SIZE) normalised; and of the N half steps that begin, one dance after the other: prior
            logits (N, codes) and code indices (N,).
        """
        real = self.normalize_pose(poses)
        codes, due = self.posterior(features, real[:, 1:])
        style = style[:, None].expand(-1, features.shape[1], -1)
        heard = self._heard(self.encoder(self.normalize_features(features)), features, style, stage)
        _, place = half_steps(features)
        known = torch.cat([heard, self.code_features(torch.cat([codes, place], dim=-1))], dim=-1)
        # Own poses are fed without gradient, so they can be made beforehand, and the LSTM then run over whole sequences
        # by the library's fused kernel: training through the loop is several times slower.
        fed = self._fed_poses(known, real, own, noise)
        hidden, _ = self.lstm(torch.cat([known, fed], dim=-1))
        made = self.emit(hidden, known, fed)
        codes = codes.detach()
        return made, self.prior_logits(codes, heard, due), self.codebook.index(codes[due])

    def prior_logits(self, codes: Tensor, heard: Tensor, due: Tensor) -> Tensor:
        """Logits (N, codes) of the code of each of the N half steps that begin, given those before and what is heard.

        Args:
            codes: (B, T, len(levels)) quantised, at every frame the one danced.
            heard: (B, T, heard).
            due: (B, T) bool, where a half step begins.
        """
        before = F.pad(codes, (0, 0, 1, 0))[:, :-1]
        music, others = heard[..., : self.config.width], heard[..., self.config.width :]
        music = F.dropout(music, PRIOR_MUSIC_DROPOUT, self.training)
        code = F.dropout(F.gelu(self.prior_code(before)), PRIOR_CODE_DROPOUT, self.training)
        hidden, _ = self.prior_lstm(torch.cat([code, music, others], dim=-1))
        return self.prior_output(hidden[due])

    def code_likelihood(self, features: Tensor, style: Tensor, stage: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
        """Prior logits (N, codes) and the codes' indices (N,) of the half steps; only the prior gets a gradient.

        Arguments as for :meth:`forward`; the sequences may be much longer, as no pose is made.
        """
        with torch.no_grad():
            codes, due = self.posterior(features, self.normalize_pose(poses[:, 1:]))
            style = style[:, None].expand(-1, codes.shape[1], -1)
            heard = self._heard(self.encoder(self.normalize_features(features)), features, style, stage)
        return self.prior_logits(codes, heard, due), self.codebook.index(codes[due])

    def initial_state(self, pose: Tensor) -> State:
        """The state before the first frame; ``pose`` (B, POSE_SIZE) is the vector of the stance to start from."""
        config, batch = self.config, pose.shape[0]
        cache = pose.new_zeros(config.layers, batch, config.window - 1, config.width)
        memory = pose.new_zeros(config.lstm_layers, batch, config.hidden)
        code = pose.new_zeros(batch, len(config.levels))
        prior = pose.new_zeros(batch, config.prior_hidden)
        return State(
            cache,
            cache.clone(),
            memory,
            memory.clone(),
            pose,
            code,
            pose.new_zeros(batch),
            prior,
            prior.clone(),
            torch.zeros(batch, dtype=torch.int64, device=pose.device),
        )

    def step(
        self,
        features: Tensor,
        style: Tensor,
        stage: Tensor,
        noise: Tensor,
        state: State,
        music: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One frame.

        Args:
            features: (B, FEATURE_SIZE).
            style: (B, styles) weights.
            stage: (B, 2) the stage centre in the dancer's frame, metres.
            noise: (B, codes) what is added to the prior's logits where a code is due, before the largest is taken.
                Standard Gumbel noise draws from the prior as it is; scaled by less than 1, it prefers what is likely.
            state: what the step before returned.
            music: (B, width) of this frame from the encoder, where the whole music was encoded before.

        Returns:
            the pose vector (B, POSE_SIZE) one frame ahead, and the new state.
        """
        keys, values = state.cached_key, state.cached_value
        if music is None:
            music, keys, values = self.encoder.step(self.normalize_features(features), keys, values, state.processed)
        last = self.normalize_pose(state.pose)
        half, place = half_steps(features)
        heard = self._heard(music, features, style, stage)
        prior_hidden, prior_cell = lstm_cell(
            self.prior_lstm,
            0,
            torch.cat([F.gelu(self.prior_code(state.code)), heard], dim=-1),
            state.prior_hidden,
            state.prior_cell,
        )
        # Gumbel-max (Maddison, Tarlow & Minka, NeurIPS 2014): with the same noise, music heard a little differently
        # draws another code only where two were nearly tied.
        drawn = self.codebook.code((self.prior_output(prior_hidden) + noise).argmax(-1)).to(state.code.dtype)
        code = torch.where((half != state.half)[:, None], drawn, state.code)
        known = torch.cat([heard, self.code_features(torch.cat([code, place], dim=-1))], dim=-1)
        hidden, cell = self.lstm_step(torch.cat([known, last], dim=-1), state.hidden, state.cell)
        pose = self.denormalize_pose(self.emit(hidden[-1], known, last))
        processed = (state.processed + 1).clamp(max=self.config.window)
        return pose, State(
            keys, values, torch.stack(hidden), torch.stack(cell), pose, code, half, prior_hidden, prior_cell, processed
        )
