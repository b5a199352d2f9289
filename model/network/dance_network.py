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

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import BEAT, BEAT_FEATURES, FEATURE_SIZE, STEP_COS, STEP_SIN
from ..pose import CONTACTS, POSE_SIZE, TRAVEL, TURN
from .attention import MusicEncoder
from .codebook import Codebook
from .config import VIGOUR_INPUTS, DanceConfig

CONTROL_SIZE = 5
"""Numbers in stage, audience and vigour."""

AGAIN = 12.0
"""What a phrase that comes again adds to the logit of the code danced eight counts ago: enough to outdo the noise
nearly always, but not the prior where the music has changed."""


class Conditions(NamedTuple):
    """What the dancer is given; B dancers, T frames, which :meth:`DanceNetwork.step` has not.

    Attributes:
        features: (B, T, FEATURE_SIZE) of the music, not normalised.
        style: (B, T, styles) weights.
        stage: (B, T, 2) the stage centre in the dancer's frame before the pose, metres.
        audience: (B, T, 2) the direction to the audience in that frame, x and z of a unit vector; 0 for none.
        vigour: (B, T, 1) log2 of the mean joint speed against that of the style.
        phrase: (B, T, 1) how strictly the phrase before, eight counts ago, comes again now, 0 … 1.
    """

    features: Tensor
    style: Tensor
    stage: Tensor
    audience: Tensor
    vigour: Tensor
    phrase: Tensor


class State(NamedTuple):
    """All that the network remembers between frames; B dancers, L encoder layers, M LSTM layers.

    Attributes:
        cached_key: (L, B, window − 1, width) keys of the frames before, oldest first.
        cached_value: (L, B, window − 1, width).
        hidden: (M, B, hidden).
        cell: (M, B, hidden).
        pose: (B, POSE_SIZE) the last pose emitted, as a pose vector.
        code: (B, len(levels)) the code being danced, each number in [−1, 1].
        past: (B, max(memory), len(levels)) the codes danced before, oldest first.
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
    past: Tensor
    half: Tensor
    prior_hidden: Tensor
    prior_cell: Tensor
    processed: Tensor


class MotionEncoder(nn.Module):
    """Reads off the motion what is danced in every half step; used in training only."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        width = config.motion_width
        layers: list[nn.Module] = [nn.Conv1d(POSE_SIZE, width, 5, padding=2), nn.GELU()]
        for _ in range(2):
            layers += [nn.Conv1d(width, width, 3, padding=1), nn.GELU()]
        self.frames = nn.Sequential(*layers)
        # Normalised, so that the first codes already differ.
        self.output = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, len(config.levels)))

    def forward(self, poses: Tensor, part: Tensor, place: Tensor) -> Tensor:
        """Return what is danced in each half step: the mean over its frames, and how they change.

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


def half_steps(features: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the dancer's step frames are, by their features (..., FEATURE_SIZE), not normalised.

    Returns:
        (...) 1 in the first half of the step and −1 in the second; (..., 2) how far the half has come: sine and cosine
        of an angle from 0 to π.
    """
    sine, cosine = features[..., STEP_SIN], features[..., STEP_COS]
    half = torch.where(sine >= 0.0, torch.ones_like(sine), -torch.ones_like(sine))
    return half, torch.stack([half * sine, half * cosine], dim=-1)


def _rows(sequence: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (B, T) of a sequence (B, N, D) → (B, T, D)."""
    return sequence.gather(1, index[..., None].expand(-1, -1, sequence.shape[-1]))


_LSTM_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


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
    vigour_reached: Tensor
    """(styles, inputs) log2 of the speed of free-running dances at each of :data:`VIGOUR_INPUTS`, against real dance of
    the style: measured after the training. All zero where it was not."""

    def __init__(self, config: DanceConfig) -> None:
        super().__init__()
        self.config = config
        for name, size in (("feature", FEATURE_SIZE), ("pose", POSE_SIZE)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("vigour_reached", torch.zeros(len(config.styles), len(VIGOUR_INPUTS)))
        self.encoder = MusicEncoder(config)
        self.motion_encoder = MotionEncoder(config)
        self.codebook = Codebook(config.levels)
        # A code is but a few numbers; spread out, with the place in its half step, it weighs as much as the rest.
        self.code_features = nn.Sequential(
            nn.Linear(len(config.levels) + 2, config.code_hidden),
            nn.GELU(),
            nn.Linear(config.code_hidden, config.code_width),
            nn.GELU(),
        )
        heard = config.width + len(BEAT_FEATURES) + len(config.styles) + CONTROL_SIZE
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
        self.prior_code = nn.Linear(len(config.levels), config.prior_code_width)
        self.prior_past = nn.Linear(len(config.memory) * len(config.levels), config.prior_code_width)
        self.prior_lstm = nn.LSTM(2 * config.prior_code_width + heard + 1, config.prior_hidden, batch_first=True)
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

    def posterior(self, features: Tensor, poses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the codes danced.

        Args:
            features: (B, T, FEATURE_SIZE), not normalised.
            poses: (B, T, POSE_SIZE) normalised.

        Returns:
            (B, T, len(levels)) quantised, the same over all frames of a half step; (B, T) bool, where one begins; and
            (B, T, len(memory) · len(levels)) the codes of as many half steps ago, 0 from before the sequence.
        """
        half, place = half_steps(features)
        due = torch.cat([torch.ones_like(half[:, :1]), half.diff(dim=1)], dim=1) != 0.0
        part = due.cumsum(dim=1) - 1
        codes = self.codebook.quantize(self.motion_encoder(poses, part, place))
        farthest = max(self.config.memory)
        before = F.pad(codes, (0, 0, farthest, 0))
        past = torch.cat([_rows(before, part + farthest - ago) for ago in self.config.memory], dim=-1)
        return _rows(codes, part), due, past

    def _heard(self, music: Tensor, given: Conditions) -> Tensor:
        """(..., heard) what decoder and prior know besides codes: music (..., width), the beat and the controls."""
        return torch.cat([music, given.features[..., BEAT], given.style, given.stage, given.audience, given.vigour], -1)

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
        """Return the decoder's input (B, T, POSE_SIZE): its own last pose at frames of ``own``, else the real one."""
        jitter = noise * torch.randn_like(real[:, :-1])
        fed = list((real[:, :-1] + jitter).unbind(1))
        jitter_of, known_of = jitter.unbind(1), known.unbind(1)
        weights = [
            [getattr(self.lstm, f"{name}_l{layer}") for name in _LSTM_WEIGHTS]
            for layer in range(self.config.lstm_layers)
        ]
        zero = real.new_zeros(len(real), self.config.hidden)
        state = [(zero, zero)] * self.config.lstm_layers
        choices = own.tolist()
        last_own = len(choices) - 1 - choices[::-1].index(True) if True in choices else 0
        for t in range(last_own):
            x = torch.cat([known_of[t], fed[t]], dim=-1)
            for layer, parameters in enumerate(weights):
                state[layer] = torch.lstm_cell(x, state[layer], *parameters)  # one fused kernel on a GPU
                x = state[layer][0]
            if choices[t + 1]:
                fed[t + 1] = self.emit(x, known_of[t], fed[t]) + jitter_of[t + 1]
        return torch.stack(fed, dim=1)

    def forward(
        self, given: Conditions, poses: Tensor, own: Tensor, noise: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Whole sequences, the codes read off the motion itself.

        Args:
            given: music and controls.
            poses: (B, T + 1, POSE_SIZE) real motion; frame t + 1 is what hearing frame t should produce.
            own: (T,) bool on the CPU, True where the decoder is fed its own last pose rather than the real one (at
                t = 0 it is always the real one). Own poses are fed without gradient, as in the paper.
            noise: standard deviation of Gaussian noise on the poses fed, in normalised units.

        Returns:
            poses (B, T, POSE_SIZE) normalised; and of the N half steps that begin, one dance after the other: prior
            logits (N, codes) and code indices (N,).
        """
        real = self.normalize_pose(poses)
        codes, due, past = self.posterior(given.features, real[:, 1:])
        heard = self._heard(self.encoder(self.normalize_features(given.features)), given)
        _, place = half_steps(given.features)
        known = torch.cat([heard, self.code_features(torch.cat([codes, place], dim=-1))], dim=-1)
        # Own poses are fed without gradient, so they can be made beforehand, and the LSTM then run over whole sequences
        # by the library's fused kernel: training through the loop is several times slower.
        fed = self._fed_poses(known, real, own, noise)
        hidden, _ = self.lstm(torch.cat([known, fed], dim=-1))
        made = self.emit(hidden, known, fed)
        codes, past = codes.detach(), past.detach()
        return made, self.prior_logits(codes, past, heard, given.phrase, due), self.codebook.index(codes[due])

    def prior_logits(self, codes: Tensor, past: Tensor, heard: Tensor, phrase: Tensor, due: Tensor) -> Tensor:
        """Logits (N, codes) of the code of each of the N half steps that begin, given those before and what is heard.

        Args:
            codes: (B, T, len(levels)) quantised, at every frame the one danced.
            past: (B, T, len(memory) · len(levels)) those of phrases ago.
            heard: (B, T, heard).
            phrase: (B, T, 1).
            due: (B, T) bool, where a half step begins.
        """
        before = F.pad(codes, (0, 0, 1, 0))[:, :-1]
        music, others = heard[..., : self.config.width], heard[..., self.config.width :]
        music = F.dropout(music, self.config.music_dropout, self.training)
        given = torch.cat([music, others], dim=-1)
        hidden, _ = self.prior_lstm(self._prior_input(before, past, given, phrase, self.config.code_dropout))
        return self.prior_output(hidden[due])

    def _prior_input(self, code: Tensor, past: Tensor, heard: Tensor, phrase: Tensor, dropout: float = 0.0) -> Tensor:
        """Return what the prior's LSTM reads: the last code, those of earlier phrases, and the rest."""
        code = F.dropout(F.gelu(self.prior_code(code)), dropout, self.training)
        return torch.cat([code, phrase * F.gelu(self.prior_past(past)), heard, phrase], dim=-1)

    def _again(self, past: Tensor, phrase: Tensor) -> Tensor:
        """Return what is added to the logits (B, codes) by a phrase (B, 1) that is to come again."""
        eight_counts_ago = self.codebook.index(past[:, -self.config.memory[0]])
        codes = torch.arange(self.config.codes, device=past.device)
        return AGAIN * phrase * (eight_counts_ago[:, None] == codes)

    def code_likelihood(self, given: Conditions, poses: Tensor) -> tuple[Tensor, Tensor]:
        """Prior logits (N, codes) and the codes' indices (N,) of the half steps; only the prior gets a gradient.

        Arguments as for :meth:`forward`; the sequences may be much longer, as no pose is made.
        """
        with torch.no_grad():
            codes, due, past = self.posterior(given.features, self.normalize_pose(poses[:, 1:]))
            heard = self._heard(self.encoder(self.normalize_features(given.features)), given)
        return self.prior_logits(codes, past, heard, given.phrase, due), self.codebook.index(codes[due])

    def initial_state(self, pose: Tensor) -> State:
        """Return the state before the first frame; ``pose`` (B, POSE_SIZE) is the stance to start from."""
        config, batch = self.config, pose.shape[0]
        cache = pose.new_zeros(config.layers, batch, config.window - 1, config.width)
        memory = pose.new_zeros(config.lstm_layers, batch, config.hidden)
        code = pose.new_zeros(batch, len(config.levels))
        past = pose.new_zeros(batch, max(config.memory), len(config.levels))
        prior = pose.new_zeros(batch, config.prior_hidden)
        return State(
            cache,
            cache.clone(),
            memory,
            memory.clone(),
            pose,
            code,
            past,
            pose.new_zeros(batch),
            prior,
            prior.clone(),
            torch.zeros(batch, dtype=torch.int64, device=pose.device),
        )

    def step(self, given: Conditions, noise: Tensor, state: State, music: Tensor | None = None) -> tuple[Tensor, State]:
        """One frame.

        Args:
            given: music and controls of this frame, without the dimension of frames.
            noise: (B, codes) what is added to the prior's logits where a code is due, before the largest is taken.
                Standard Gumbel noise draws from the prior as it is; scaled by less than 1, it prefers what is likely.
            state: what the step before returned.
            music: (B, width) of this frame from the encoder, where the whole music was encoded before.

        Returns:
            the pose vector (B, POSE_SIZE) one frame ahead, and the new state.
        """
        keys, values = state.cached_key, state.cached_value
        if music is None:
            features = self.normalize_features(given.features)
            music, keys, values = self.encoder.step(features, keys, values, state.processed)
        last = self.normalize_pose(state.pose)
        half, place = half_steps(given.features)
        due = (half != state.half)[:, None]
        heard = self._heard(music, given)
        past = torch.where(due[..., None], torch.cat([state.past[:, 1:], state.code[:, None]], dim=1), state.past)
        reminded = torch.cat([past[:, -ago] for ago in self.config.memory], dim=-1)
        prior_hidden, prior_cell = lstm_cell(
            self.prior_lstm,
            0,
            self._prior_input(state.code, reminded, heard, given.phrase),
            state.prior_hidden,
            state.prior_cell,
        )
        # Gumbel-max (Maddison, Tarlow & Minka, NeurIPS 2014): with the same noise, music heard a little differently
        # draws another code only where two were nearly tied.
        logits = self.prior_output(prior_hidden) + noise + self._again(past, given.phrase)
        drawn = self.codebook.code(logits.argmax(-1)).to(state.code.dtype)
        code = torch.where(due, drawn, state.code)
        known = torch.cat([heard, self.code_features(torch.cat([code, place], dim=-1))], dim=-1)
        hidden, cell = self.lstm_step(torch.cat([known, last], dim=-1), state.hidden, state.cell)
        pose = self.denormalize_pose(self.emit(hidden[-1], known, last))
        processed = (state.processed + 1).clamp(max=self.config.window)
        return pose, State(
            keys,
            values,
            torch.stack(hidden),
            torch.stack(cell),
            pose,
            code,
            past,
            half,
            prior_hidden,
            prior_cell,
            processed,
        )
