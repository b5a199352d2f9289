"""The network of Dance Revolution (Huang et al., ICLR 2021) as it was published, to compare ours with. Torch.

Its second version: the encoder's self-attention sees a window on both sides. What sets it apart from
:mod:`~dancerev.model.network.dance_network`: absolute positions, music that reaches only the output, and LSTM layers
that lag: each reads the output of the layer below of one frame *before*. Modules have the names of its
checkpoints. :func:`load_original` reads these, and those of the first version, whose network computes the same.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dancerev.errors import ModelError

from .block_attention import local_attention
from .checkpoint import UNREADABLE, check_feature_version, reason, write_checkpoint

LAYERS = 3
"""LSTM layers of the decoder."""


@dataclass(frozen=True)
class OriginalConfig:
    """Sizes of the network; the defaults are those of its published checkpoint.

    Attributes:
        features: numbers per frame of music.
        pose: numbers per pose.
        width, layers, heads, feed_forward: of the encoder.
        key_width: of the keys, queries and values of one head.
        window: frames that attention sees before, and as many after, the present one.
        look_ahead: frames that it sees after the present one, where that is not the window; 0 is causal.
        positions: frames that have a position of their own; longer music is encoded in overlapping windows. 0 is no
            positions, for music without an end.
        pose_width: of a pose once embedded.
        hidden: of the decoder.
        dropout: in training, everywhere.
    """

    features: int = 438
    pose: int = 50
    width: int = 200
    layers: int = 1
    heads: int = 8
    feed_forward: int = 1024
    key_width: int = 64
    window: int = 900
    positions: int = 4500
    pose_width: int = 50
    hidden: int = 1024
    dropout: float = 0.1
    look_ahead: int | None = None

    @property
    def after(self) -> int:
        """Frames that attention sees after the present one."""
        return self.window if self.look_ahead is None else self.look_ahead


class Memory(NamedTuple):
    """What the decoder remembers: hidden and cell, each (LAYERS, B, hidden)."""

    hidden: Tensor
    cell: Tensor


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, with the residual and the norm after it."""

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.heads, self.before, self.after = config.heads, config.window, config.after
        inner = config.heads * config.key_width
        self.w_qs = nn.Linear(config.width, inner)
        self.w_ks = nn.Linear(config.width, inner)
        self.w_vs = nn.Linear(config.width, inner)
        for projection in (self.w_qs, self.w_ks, self.w_vs):
            nn.init.normal_(projection.weight, std=(2.0 / (config.width + config.key_width)) ** 0.5)
        self.fc = nn.Linear(inner, config.width)
        nn.init.xavier_normal_(self.fc.weight)
        self.layer_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        query, key, value = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.w_qs, self.w_ks, self.w_vs)
        )
        dropout = self.dropout.p if self.training else 0.0
        attended = local_attention(query, key, value, self.before, self.after, dropout=dropout)
        return self.layer_norm(x + self.dropout(self.fc(attended.transpose(1, 2).flatten(2))))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame (B, width); see :meth:`Encoder.step`."""
        keys = torch.cat([keys, self.w_ks(x)[:, None]], dim=1)
        values = torch.cat([values, self.w_vs(x)[:, None]], dim=1)
        query, key, value = (y.unflatten(-1, (self.heads, -1)) for y in (self.w_qs(x), keys, values))
        scores = torch.einsum("bhd,bthd->bht", query, key) * key.shape[-1] ** -0.5
        age = torch.arange(keys.shape[1] - 1, -1, -1, device=x.device)
        scores = scores.masked_fill((age > processed[:, None])[:, None], -1e9)
        attended = torch.einsum("bht,bthd->bhd", torch.softmax(scores, dim=-1), value).flatten(1)
        return self.layer_norm(x + self.fc(attended)), keys[:, 1:], values[:, 1:]


class FeedForward(nn.Module):
    """Two layers at every frame, as convolutions of width 1, with the residual and the norm after them."""

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.w_1 = nn.Conv1d(config.width, config.feed_forward, 1)
        self.w_2 = nn.Conv1d(config.feed_forward, config.width, 1)
        self.layer_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        made = self.w_2(F.relu(self.w_1(x.transpose(1, 2)))).transpose(1, 2)
        return self.layer_norm(x + self.dropout(made))


class EncoderLayer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.slf_attn = SelfAttention(config)
        self.pos_ffn = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        return self.pos_ffn(self.slf_attn(x))


class Encoder(nn.Module):
    """Whole music to a description of it at every frame, looking back and ahead."""

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.reach = config.layers * max(config.window, config.after)
        self.src_emb = nn.Linear(config.features, config.width)
        if config.positions:
            table = sinusoids(config.positions + 1, config.width)
            table[0] = 0.0  # of padding; positions count from 1
            self.position_enc = nn.Embedding(*table.shape)
            self.position_enc.weight = nn.Parameter(table, requires_grad=False)
        self.longest = config.positions
        self.layer_stack = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, features: Tensor) -> Tensor:
        """Encode music (B, T, features) → (B, T, width).

        Music longer than the table of positions is encoded in windows of that length. They overlap by all that a frame
        can see, or by half of them, and the middle of each is kept; positions count from the start of each window.
        """
        frames, longest = features.shape[1], self.longest
        if not longest or frames <= longest:
            return self._encode(features)
        margin = min(self.reach, longest // 4)
        stride = longest - 2 * margin
        parts = []
        for start in range(0, frames, stride):
            low = min(max(start - margin, 0), frames - longest)
            parts.append(self._encode(features[:, low : low + longest])[:, start - low : start - low + stride])
        return torch.cat(parts, dim=1)

    def _encode(self, features: Tensor) -> Tensor:
        """As :meth:`forward`, of at most as many frames as there are positions."""
        x = self.src_emb(features)
        if self.longest:
            x = x + self.position_enc(torch.arange(features.shape[1], device=features.device) + 1)
        for layer in self.layer_stack:
            x = layer(x)
        return x

    def step(self, features: Tensor, keys: Tensor, values: Tensor, processed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode one frame, where the encoder is causal and has no positions.

        Args:
            features: (B, features).
            keys: (layers, B, window, heads · key_width) of the frames before, oldest first.
            values: likewise.
            processed: (B,) int64, frames so far, counted up to the window.

        Returns:
            (B, width), and the new keys and values.
        """
        x, new_keys, new_values = self.src_emb(features), [], []
        for i, layer in enumerate(self.layer_stack):
            x, key, value = layer.slf_attn.step(x, keys[i], values[i], processed)  # type: ignore[operator, union-attr]
            x = layer.pos_ffn(x[:, None])[:, 0]  # type: ignore[operator]
            new_keys.append(key)
            new_values.append(value)
        return x, torch.stack(new_keys), torch.stack(new_values)


def sinusoids(positions: int, width: int) -> Tensor:
    """(positions, width) absolute positions as sines and cosines (Vaswani et al., NeurIPS 2017, section 3.5)."""
    rates = 10_000.0 ** (-2.0 * (torch.arange(width, dtype=torch.float64) // 2) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()


class Decoder(nn.Module):
    """Three LSTM layers fed with the last pose; each layer receives it one frame later than the one below."""

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.hidden = config.hidden
        self.tgt_emb = nn.Linear(config.pose, config.pose_width)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm1 = nn.LSTMCell(config.pose_width, config.hidden)
        self.lstm2 = nn.LSTMCell(config.hidden, config.hidden)
        self.lstm3 = nn.LSTMCell(config.hidden, config.hidden)

    @property
    def cells(self) -> tuple[nn.LSTMCell, ...]:
        """The layers, the first fed with the pose."""
        return self.lstm1, self.lstm2, self.lstm3

    def step(self, embedded: Tensor, memory: Memory) -> Memory:
        """One frame, (B, pose_width)."""
        inputs = (embedded, memory.hidden[0], memory.hidden[1])
        moved = [
            cell(x, (memory.hidden[i], memory.cell[i]))
            for i, (cell, x) in enumerate(zip(self.cells, inputs, strict=True))
        ]
        return Memory(torch.stack([hidden for hidden, _ in moved]), torch.stack([cell for _, cell in moved]))

    def forward(self, embedded: Tensor, memory: Memory) -> Tensor:
        """Return a whole sequence (B, T, pose_width) → hidden states (B, T, hidden) of the last layer.

        A layer's input is known before it runs, so that each runs over all frames in the library's fused kernel.
        """
        x = embedded
        for i, cell in enumerate(self.cells):
            weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
            start = [memory.hidden[i : i + 1], memory.cell[i : i + 1]]
            out, _, _ = torch.lstm(x, start, weights, True, 1, 0.0, self.training, False, True)
            x = torch.cat([memory.hidden[i][:, None], out[:, :-1]], dim=1)
        return out


class OriginalNetwork(nn.Module):
    """Whole music and the last pose in, the pose one frame ahead out.

    Features are normalised inside; poses come and go normalised, by :meth:`normalize_pose`. As published nothing is
    normalised: the statistics are then 0 and 1.
    """

    feature_mean: Tensor
    feature_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor

    def __init__(self, config: OriginalConfig) -> None:
        super().__init__()
        self.config = config
        for name, size in (("feature", config.features), ("pose", config.pose)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.linear = nn.Linear(config.hidden + config.width, config.pose)

    def normalize_pose(self, pose: Tensor) -> Tensor:
        """Pose vectors in their own units → zero mean, unit scale."""
        return (pose - self.pose_mean) / self.pose_std

    def denormalize_pose(self, pose: Tensor) -> Tensor:
        """Inverse of :meth:`normalize_pose`."""
        return pose * self.pose_std + self.pose_mean

    def encode(self, features: Tensor) -> Tensor:
        """Music (B, T, features) in its own units → (B, T, width)."""
        return self.encoder((features - self.feature_mean) / self.feature_std)

    def initial_memory(self, batch: int, generator: torch.Generator | None = None) -> Memory:
        """Draw from N(0, 1) what makes one dance differ from another, in the original's order: cells come first."""
        draws = [torch.randn(batch, self.config.hidden, generator=generator) for _ in range(2 * LAYERS)]
        cell, hidden = torch.split(torch.stack(draws).to(self.feature_mean.device), LAYERS)
        return Memory(hidden, cell)

    def emit(self, hidden: Tensor, music: Tensor) -> Tensor:
        """Return the pose (..., pose), from the last layer (..., hidden) and the encoded music (..., width)."""
        return self.linear(torch.cat([hidden, music], dim=-1))

    def forward(self, features: Tensor, poses: Tensor, own: Tensor, begin: Tensor, memory: Memory) -> Tensor:
        """Whole sequences, in training.

        Args:
            features: (B, T, features) music.
            poses: (B, T, pose) normalised, the real pose before each frame.
            own: (T,) bool, True where the decoder is fed its own last pose rather than the real one; without
                gradient, as in the paper.
            begin: (pose,) normalised, its own pose before the first frame.
            memory: at the start.

        Returns:
            poses (B, T, pose) normalised; frame t is what hearing frame t made.
        """
        music = self.encode(features)
        # One draw of dropout for both passes: then they agree.
        keep = self.decoder.dropout(music.new_ones(*poses.shape[:2], self.config.pose_width))
        fed = self._fed(music, poses, own, begin, memory, keep)
        return self.emit(self.decoder(self.decoder.tgt_emb(fed) * keep, memory), music)

    @torch.no_grad()
    def _fed(self, music: Tensor, poses: Tensor, own: Tensor, begin: Tensor, memory: Memory, keep: Tensor) -> Tensor:
        """Return what the decoder is fed (B, T, pose): the real poses, or at the frames of ``own`` its own."""
        choices = own.tolist()
        fed = poses.clone()
        last = begin.expand(len(poses), -1)
        last_own = len(choices) - 1 - choices[::-1].index(True) if True in choices else -1
        for t in range(last_own + 1):
            if choices[t]:
                fed[:, t] = last
            memory = self.decoder.step(self.decoder.tgt_emb(fed[:, t]) * keep[:, t], memory)
            last = self.emit(memory.hidden[-1], music[:, t])
        return fed

    @torch.no_grad()
    def generate(self, features: Tensor, begin: Tensor, memory: Memory) -> Tensor:
        """Dances to whole pieces of music, the network fed with nothing but its own poses.

        Args:
            features: (B, T, features).
            begin: (pose,) normalised, the fixed pose to begin with.
            memory: of :meth:`initial_memory`.

        Returns:
            (B, T, pose) normalised.
        """
        last, made = begin.expand(len(features), -1), []
        for music in self.encode(features).unbind(dim=1):
            memory = self.decoder.step(self.decoder.tgt_emb(last), memory)
            last = self.emit(memory.hidden[-1], music)
            made.append(last)
        return torch.stack(made, dim=1)


def own_frames(frames: int, own: int, real: int = 10) -> Tensor:
    """(frames,) bool, the dynamic auto-condition of the paper: ``own`` times True, ``real`` times False, and again."""
    return torch.arange(frames) % (own + real) < own


def load_original(path: str | Path) -> OriginalNetwork:
    """Load the network of a checkpoint, in evaluation mode.

    Args:
        path: a checkpoint of the original's training (``model``, ``args``, ``epoch``), of its second or first version,
            or one of ``dancerev-train --network original``.

    Raises:
        ModelError: no such checkpoint, or trained on features of another version; one line.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        network = _published(checkpoint) if "args" in checkpoint else _ours(checkpoint)
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: not a checkpoint of the original network (no file of tensors alone)") from error
    except UNREADABLE as error:
        raise ModelError(f"{path}: not a checkpoint of the original network ({reason(error)})") from error
    if "args" not in checkpoint:  # as published it takes other features altogether
        check_feature_version(checkpoint["hyper_parameters"], path)
    return network.eval()


def _ours(checkpoint: dict[str, Any]) -> OriginalNetwork:
    """Return the network of a checkpoint of ``dancerev-train --network original``."""
    network = OriginalNetwork(OriginalConfig(**checkpoint["hyper_parameters"]["original"]))
    network.load_state_dict({name.removeprefix("network."): x for name, x in checkpoint["state_dict"].items()})
    return network


def _published(checkpoint: dict[str, Any]) -> OriginalNetwork:
    """Return the network of a checkpoint of the original's training."""
    arguments = checkpoint["args"]
    weights = {name.removeprefix("module."): x for name, x in checkpoint["model"].items()}
    if hasattr(arguments, "encoder_hidden_size"):
        config, weights = _first_version(arguments), _renamed(weights)
    else:
        config = _second_version(arguments)
    network = OriginalNetwork(config)
    statistics = {name: x for name, x in network.named_buffers() if "." not in name}
    network.load_state_dict(statistics | weights)
    return network


def save_published(network: OriginalNetwork, path: Path, epoch: int, condition: int, growth: float) -> None:
    """Write a checkpoint in the format of the original's second version, which its own code reads too.

    What normalises the features becomes part of the first layer.

    Args:
        network: whose poses are not normalised, with one width for feed-forward and LSTM.
        path: of the checkpoint.
        epoch: at which it is written.
        condition: real poses in a row of its curriculum.
        growth: λ of its curriculum.
    """
    config = network.config
    weights = {name: x.detach().cpu().clone() for name, x in network.state_dict().items()}
    mean, std = weights.pop("feature_mean"), weights.pop("feature_std")
    del weights["pose_mean"], weights["pose_std"]
    weights["encoder.src_emb.weight"] /= std
    weights["encoder.src_emb.bias"] -= weights["encoder.src_emb.weight"] @ mean
    args = argparse.Namespace(
        d_frame_vec=config.features,
        frame_emb_size=config.width,
        d_model=config.width,
        d_pose_vec=config.pose,
        pose_emb_size=config.pose_width,
        d_inner=config.hidden,
        d_k=config.key_width,
        d_v=config.key_width,
        n_head=config.heads,
        n_layers=config.layers,
        dropout=config.dropout,
        max_seq_len=config.positions,
        condition_step=condition,
        sliding_windown_size=config.window,
        lambda_v=growth,
    )
    model = {f"module.{name}": x for name, x in weights.items()}
    write_checkpoint(path, {"model": model, "args": args, "epoch": epoch})


def _second_version(args: Any) -> OriginalConfig:
    """Sizes from the command line that the original's training keeps in its checkpoints."""
    if args.d_k != args.d_v:
        raise ModelError(f"keys of {args.d_k} and values of {args.d_v} numbers a head")
    return OriginalConfig(
        features=args.d_frame_vec,
        pose=args.d_pose_vec,
        width=args.frame_emb_size,
        layers=args.n_layers,
        heads=args.n_head,
        feed_forward=args.d_inner,
        key_width=args.d_k,
        window=args.sliding_windown_size,
        positions=args.max_seq_len,
        pose_width=args.pose_emb_size,
        hidden=args.d_inner,
        dropout=args.dropout,
    )


def _first_version(args: Any) -> OriginalConfig:
    """As :func:`_second_version`, of the first version, where several sizes are one."""
    width, hidden = args.encoder_hidden_size, args.decoder_hidden_size
    if width % args.num_heads:
        raise ModelError(f"{args.num_heads} heads do not divide {width} numbers")
    return OriginalConfig(
        features=args.frame_dim,
        pose=args.pose_dim,
        width=width,
        layers=args.num_layers,
        heads=args.num_heads,
        feed_forward=width,
        key_width=width // args.num_heads,
        window=args.window_size,
        positions=args.max_seq_len,
        pose_width=hidden,
        hidden=hidden,
        dropout=args.dropout,
    )


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the first version by the names of the second.

    Those of Longformer's global attention are left out: its encoder never uses them.
    """
    names = {"self_attn.query": "slf_attn.w_qs", "self_attn.key": "slf_attn.w_ks", "self_attn.value": "slf_attn.w_vs"}
    names |= {"fc": "slf_attn.fc", "layer_norm": "slf_attn.layer_norm"}
    renamed = {}
    for name, value in weights.items():
        before, _, after = name.partition("layer_stack.")
        layer, _, rest = after.partition(".")
        module, _, kind = rest.rpartition(".")
        if module in names:
            renamed[f"{before}layer_stack.{layer}.{names[module]}.{kind}"] = value
        elif not module.endswith("_global"):
            renamed[name] = value
    return renamed
