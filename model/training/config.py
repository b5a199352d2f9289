"""What a training of the dance network can be told, with the values that the bundled weights were trained with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the loss.

    They weigh metres, or metres a frame, against the normalised pose vector's smooth L1, which has weight 1.

    Attributes:
        position: of the joints.
        velocity: of their movement from frame to frame.
        slide: of the movement of planted feet.
        ground: of the height of the lower sole: a body that floats or sinks.
        speed: of each joint's speed, blind to its direction.
        pulse: of the mean speed of all joints, whose dips are the beat of a dance.
        level: of the mean speed of a window, so that a dance is not calmer than it should be.
        prior: of the prior's cross-entropy, in nats.
    """

    position: float = 4.0
    velocity: float = 16.0
    slide: float = 8.0
    ground: float = 4.0
    speed: float = 8.0
    pulse: float = 16.0
    level: float = 16.0
    prior: float = 0.05


@dataclass(frozen=True)
class TrainingConfig:
    """A training of the dance network, body and prior; that of the original network takes what concerns it.

    Attributes:
        steps: batches for the body: the length of the curriculum and of the learning-rate schedule.
        batch, frames: windows in a batch, frames in a window, 15 a second.
        learning_rate: at its height.
        prior_steps, prior_batch, prior_frames, prior_learning_rate: of the second stage, which trains the prior alone
            on windows long enough for phrases to come again (480 frames are 32 s).
        noise: standard deviation of what is added to the poses fed, in normalised units.
        curriculum: share of the steps in which the stretches of own poses grow to the whole window. Early: as long as
            the decoder sees real poses it reads the movement off them rather than off the code.
        unnamed, unfaced: share of the windows that do not say their style or where the audience is.
        look_ahead: frames of music to come that are heard; more than none dances offline only.
        validate_every, log_every: steps.
        patience: validations in a row that may be no better than the best before.
        devices, precision, seed: as Lightning takes them.
        weights: of the loss.
    """

    steps: int = 10_000
    batch: int = 48
    frames: int = 96
    learning_rate: float = 1e-3
    prior_steps: int = 600
    prior_batch: int = 24
    prior_frames: int = 480
    prior_learning_rate: float = 2e-3
    noise: float = 0.03
    curriculum: float = 0.3
    unnamed: float = 0.1
    unfaced: float = 0.1
    look_ahead: int = 0
    validate_every: int = 1000
    log_every: int = 50
    patience: int = 4
    devices: int = 1
    precision: str = "32-true"
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)
