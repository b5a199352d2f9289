"""Dancers: what is heard goes in, bodies come out, one frame ahead of the music."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dancerev.errors import ModelError
from dancerev.model.features import ACTIVITY, ENERGY, STEP_SIN, AcousticFrame, network_input
from dancerev.model.pose import FRAME_RATE, POSE_SIZE, Pose, PoseDecoder, rest_pose, rest_vector

from .body.arrangement import SPACING, Arrangement
from .body.idle import Idle
from .body.post_process import PostProcessor
from .body.stage_bounds import StageBounds
from .dance_model import DanceModel

STAGE_RADIUS = 2.5
"""Metres that one dancer has around."""

DEFAULT_PHRASE = 0.5
"""How often phrases are danced twice where nobody says."""


_PHRASE = 8  # dance steps
_VIGOUR = (0.25, 2.0)  # what may be asked for


class Dancer:
    """The network, its place on the stage, and the checks that keep its body a body.

    All public attributes but ``model`` may be set between any two frames.

    Attributes:
        model: the network; where several dancers share it, they dance together (:func:`dance_together`).
        style: (styles,) weights that add up to 1 at most; all zero for a style that is drawn anew for every phrase.
        lead: seconds by which the dance is ahead of the music.
        temperature: of the draws, 0 … 2; below 1 the dancer does the likely, above 1 the unlikely.
        vigour: how large the dance is against real dance of the style, 0.25 … 2.
        energy_follow: how much the music's energy adds to that, 0 … 1.
        face: direction of the audience, radians about +Y, 0 for +Z; None for none.
        middle: (3,) metres, of the dancer's own stage.
        phrase: how often a phrase of eight counts is danced twice, 0 … 1.
        last: (POSE_SIZE,) the last good vector of the network.
    """

    def __init__(
        self,
        model: DanceModel | None = None,
        style: str = "",
        seed: int = 0,
        lead: float = 0.0,
        temperature: float = 1.0,
        number: int = 0,
        middle: float = 0.0,
        radius: float = STAGE_RADIUS,
    ) -> None:
        """Make a dancer.

        Args:
            model: the network; by default the bundled one.
            style: as :meth:`DanceModel.style_vector` reads it; by default the model's default style.
            seed: of the draws that decide what to dance.
            lead: seconds by which the dance is to be ahead of the music, to make up for delays after it.
            temperature: of the draws.
            number: which of the dancers on stage, from 0.
            middle: of the dancer's own stage, metres along +X.
            radius: of it, metres.

        Raises:
            ModelError: unknown style.
        """
        self.model = model = DanceModel() if model is None else model
        self.style = model.style_vector(style)
        self.lead = lead
        self.temperature = temperature
        self.vigour, self.energy_follow = 1.0, 1.0
        self.face: float | None = 0.0
        self.phrase = DEFAULT_PHRASE
        self._random = np.random.default_rng(seed)
        self._walk = StyleWalk(len(model.styles), np.random.default_rng([seed, 1]))
        self._phrases = Phrases(np.random.default_rng([seed, 3]))
        self._energy = MusicEnergy()
        self._half: bool | None = None
        self._noise = np.zeros(model.codes, dtype=np.float32)
        self._activity = 0.0
        self._number = number
        self.middle = np.array([middle, 0.0, 0.0], dtype=np.float32)
        self.bounds = StageBounds(radius)
        self.decoder = PoseDecoder()
        self._idle = Idle(np.random.default_rng([seed, 2]))
        self.post_processor = PostProcessor()
        self.last: npt.NDArray[np.float32] = rest_vector()

    def opening_poses(self) -> list[Pose]:
        """Return the stance in which the dance begins: the poses until the network's first, for times 0 and 1/15 s."""
        return [self.finish(rest_pose(time)) for time in (0.0, 1.0 / FRAME_RATE)]

    def conditions(self, frame: AcousticFrame, time: float) -> tuple[npt.ArrayLike, ...]:
        """Return the network's inputs for the pose for ``time`` seconds, in the order of :meth:`DanceModel.step`."""
        features = network_input(frame, time + self.lead)
        self._activity = float(features[ACTIVITY])
        noise = self._draw(features)
        style = _within(self.style, 0.0, 1.0) if self.style.any() else self._walk.style
        vigour = math.log2(_number(self.vigour, *_VIGOUR, 1.0))
        vigour += _number(self.energy_follow, 0.0, 1.0, 0.0) * self._energy.follow(features)
        # In silence as small as can be: the body is taken to rest, and what is asked of the network need not be large.
        vigour = self.model.vigour_input(style, vigour) * self._activity - 2.0 * (1.0 - self._activity)
        again = float(self._phrases.again(style, self._activity))
        return features, style, self.decoder.to_centre(), self._audience(), vigour, again, noise

    def decode(self, vector: npt.NDArray[np.float32], time: float) -> Pose:
        """Return the pose for ``time`` seconds about the dancer's own centre, before it is post-processed.

        ``vector`` (POSE_SIZE,) is the network's; where it is not finite, the last good one is used.
        """
        if np.isfinite(vector).all():
            self.last[:] = vector
        vector = self.bounds.correct(vector, self.decoder, self._direction(), self._activity)
        return self._idle.apply(self.decoder.decode(vector, time), self._activity, self.decoder.heading)

    def finish(self, pose: Pose) -> Pose:
        """Return the decoded ``pose``, or what was made of it, on the stage. Always a valid one."""
        if self.middle.any():
            pose = replace(pose, root=pose.root + self.middle)
        pose = self.post_processor.process(pose)
        return replace(pose, dancer=self._number) if self._number else pose

    def reseed(self, seed: int) -> None:
        """Draw otherwise from here on."""
        self._random = np.random.default_rng(seed)
        self._half = None

    def restart(self) -> None:
        """Stand at the centre at rest, whatever was before."""
        self.decoder, self.post_processor = PoseDecoder(), PostProcessor()
        self.last[:] = rest_vector()

    def _draw(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(codes,) the noise that decides what to dance next.

        It is drawn anew for every half step, and not for every frame: a half step that seems to begin a frame earlier
        or later, as through a microphone, then still brings the same. The less activity the music has, the less noise:
        in silence the dancer does the likeliest, and rests.
        """
        half = bool(features[STEP_SIN] >= 0.0)
        if half is not self._half:
            self._half = half
            self._noise = self._random.gumbel(size=self.model.codes).astype(np.float32)
            if half:
                self._walk.step()
                self._phrases.step(_number(self.phrase, 0.0, 1.0, 0.0))
        return self._noise * np.float32(_number(self.temperature, 0.0, 2.0, 1.0) * self._activity)

    def _direction(self) -> float | None:
        return None if self.face is None or not math.isfinite(self.face) else self.face

    def _audience(self) -> npt.NDArray[np.float32]:
        """(2,) the direction to the audience in the facing frame, zero for none."""
        face = self._direction()
        if face is None:
            return np.zeros(2, dtype=np.float32)
        angle = face - self.decoder.heading
        return np.array([math.sin(angle), math.cos(angle)], dtype=np.float32)


class StyleWalk:
    """The style of a dancer that was asked for none: another one for every two phrases.

    Attributes:
        style: (styles,) weights.
    """

    def __init__(self, styles: int, rng: np.random.Generator) -> None:
        """Walk among so many ``styles``."""
        self._rng, self._steps, self._last = rng, 0, -1
        self.style = np.zeros(styles, dtype=np.float32)
        self._next()

    def step(self) -> None:
        """One dance step has begun."""
        self._steps += 1
        if self._steps % (2 * _PHRASE) == 0:
            self._next()

    def _next(self) -> None:
        styles = len(self.style)
        others = [style for style in range(styles) if style != self._last or styles == 1]
        self._last = int(self._rng.choice(others))
        self.style[:] = 0.0
        self.style[self._last] = 1.0


class Phrases:
    """Decide which phrases of eight counts are danced again: of every two, the second may be the first once more.

    A phrase is new where the one before was not all danced to music in the present style: what would come again is
    rest, or another style's.
    """

    _SAME_STYLE = 0.02  # sum of the differences of the weights

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw which phrases repeat with ``rng``."""
        self._rng, self._steps, self._again, self._whole = rng, 0, False, False
        self._style: npt.NDArray[np.float32] | None = None

    def step(self, share: float) -> None:
        """One dance step has begun; of the second phrases, this ``share`` repeat the first."""
        if self._steps % _PHRASE == 0:
            second = self._steps // _PHRASE % 2 == 1
            self._again = bool(self._rng.random() < share) and second and self._whole
            self._whole = True
        self._steps += 1

    def again(self, style: npt.NDArray[np.float32], activity: float) -> bool:
        """Whether what is danced now is to be that of eight counts ago; called for every frame.

        Args:
            style: (styles,) the present weights.
            activity: of the music, 0 … 1.
        """
        if self._style is None or np.abs(style - self._style).sum() > self._SAME_STYLE or activity < 0.5:
            self._again = self._whole = False
            self._style = style.copy()
        return self._again


class MusicEnergy:
    """How much livelier the music is now than it has been: a drop makes the dance larger, a break smaller."""

    _FAST, _SLOW = 0.5, 12.0  # seconds
    _GAIN = 4.0  # octaves of speed for the whole range of the feature, 60 dB
    _LEAST, _MOST = -0.7, 0.45  # octaves

    def __init__(self) -> None:
        self._fast: float | None = None
        self._slow = 0.0

    def follow(self, features: npt.NDArray[np.float32]) -> float:
        """Octaves of speed to add, for ``features`` (FEATURE_SIZE,); called once for each frame."""
        energy = float(features[ENERGY])
        if features[ACTIVITY] < 0.5 or not math.isfinite(energy):
            return 0.0
        if self._fast is None:
            self._fast = self._slow = energy
        self._fast += (energy - self._fast) * (1.0 - math.exp(-1.0 / (FRAME_RATE * self._FAST)))
        self._slow += (energy - self._slow) * (1.0 - math.exp(-1.0 / (FRAME_RATE * self._SLOW)))
        return min(max(self._GAIN * (self._fast - self._slow), self._LEAST), self._MOST)


def _number(value: float, least: float, most: float, fallback: float) -> float:
    """``value`` within its range; ``fallback`` where it is no number."""
    return min(max(value, least), most) if math.isfinite(value) else fallback


def _within(weights: npt.NDArray[np.float32], least: float, most: float) -> npt.NDArray[np.float32]:
    """Finite weights within a range that add up to 1 at most."""
    usable = np.clip(np.nan_to_num(weights), least, most)
    return usable / max(float(usable.sum()), 1.0)


def dance_together(
    dancers: Sequence[Dancer], frame: AcousticFrame, arrangement: Arrangement | None = None
) -> list[Pose]:
    """Return the poses for one frame after ``frame``, by one step of the network that all the dancers share.

    Args:
        dancers: who share their model.
        frame: what was heard last.
        arrangement: what the performer imposes on them.
    """
    model = dancers[0].model
    # Counted in whole frames, so that times stay on the grid exactly however long the show.
    time = (round(frame.time * FRAME_RATE) + 1) / FRAME_RATE
    given = [np.array(rows) for rows in zip(*(dancer.conditions(frame, time) for dancer in dancers), strict=True)]
    try:
        vectors = model.step(*(rows if rows.ndim > 1 else rows[:, None] for rows in given))
    except ModelError as error:  # in a show: the dancers hold their last pose, and the next step is tried
        model.fault = str(error)
        vectors = np.full((len(dancers), POSE_SIZE), np.nan, dtype=np.float32)
    poses = [dancer.decode(vector, time) for dancer, vector in zip(dancers, vectors, strict=True)]
    if arrangement is not None:
        poses = arrangement.apply(dancers, poses, frame.beat.period)
    poses = [dancer.finish(pose) for dancer, pose in zip(dancers, poses, strict=True)]
    if not np.isfinite(vectors).all():
        model.fault = model.fault or "the network gives poses that are not finite; the dancers hold their last one"
        # What the network remembers is as broken as what it says: it starts afresh from where the bodies are.
        model.reset(np.array([dancer.last for dancer in dancers]))
    return poses


def side_by_side(model: DanceModel, styles: Sequence[str], seed: int = 0, lead: float = 0.0) -> list[Dancer]:
    """As many dancers as ``model`` is for, the first on the audience's left; of one, a dancer in the middle.

    Args:
        model: the network.
        styles: of the first, the second …; given out again from the start where there are fewer than dancers.
        seed: of the first; each has one more than the one before.
        lead: as of :class:`Dancer`.

    Raises:
        ModelError: unknown style.
    """
    radius = STAGE_RADIUS if model.dancers == 1 else SPACING / 2.0
    return [
        Dancer(
            model,
            styles[k % len(styles)],
            seed + k,
            lead,
            number=k,
            middle=(k - (model.dancers - 1) / 2.0) * SPACING,
            radius=radius,
        )
        for k in range(model.dancers)
    ]
