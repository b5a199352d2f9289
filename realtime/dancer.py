"""Dancers: what is heard goes in, bodies come out, one frame ahead of the music."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dancerev.model.features import ACTIVITY, STEP_SIN, AcousticFrame, network_input
from dancerev.model.pose import FRAME_RATE, Pose, PoseDecoder, encode, rest_pose

from .body.arrangement import SPACING, Arrangement
from .body.post_process import PostProcessor
from .body.stage_bounds import StageKeeper
from .dance_model import ANY_STYLE, DanceModel

STAGE_RADIUS = 2.5
"""Metres that one dancer has around."""


class Dancer:
    """The network, its place on the stage, and the checks that keep its body a body.

    Attributes:
        model: the network; where several dancers share it, they dance together (:func:`hear_together`).
        style: (styles,) weights.
        lead: seconds by which the dance is ahead of the music.
        temperature: of the draws.
        vigour: size of the movement, 1 as real dancers; nothing in weights that do not know it.
        energy_follow: how much the music's energy drives the vigour, 0 … 1.
        phrase: how strictly figures of 8 counts are repeated, 0 … 1.
        face: direction of the audience, radians about +Y, or None.
        stage: keeps the dancer on it.
        place: where the dancer is, seen from the middle of its own stage.
        middle: (3,) metres, of that stage.
        body: the last check of every pose.
        last: (POSE_SIZE,) the last good vector of the network.
    """

    def __init__(
        self,
        model: DanceModel | None = None,
        style: str = ANY_STYLE,
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
            style: one of the model's, or "any".
            seed: of the draws that decide what to dance.
            lead: seconds by which the dance is to be ahead of the music, to make up for delays after it.
            temperature: of the draws; below 1 the dancer does the likely, above 1 the unlikely.
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
        self.vigour, self.energy_follow, self.phrase = 1.0, 1.0, 0.5
        self.face: float | None = 0.0
        self._random = np.random.default_rng(seed)
        self._half: bool | None = None
        self._noise = np.zeros(model.codes, dtype=np.float32)
        self._number = number
        self.middle = np.array([middle, 0.0, 0.0], dtype=np.float32)
        self.stage = StageKeeper(radius)
        self.place = PoseDecoder()
        self.body = PostProcessor()
        rest = rest_pose()
        self.last: npt.NDArray[np.float32] = encode(rest.rotations[None], rest.root[None], rest.contacts[None])[0]

    def before_the_music(self) -> list[Pose]:
        """The stance in which the dance begins: the poses until the network's first, for times 0 and 1/15 s."""
        return [self.finish(rest_pose(time)) for time in (0.0, 1.0 / FRAME_RATE)]

    def hear(self, frame: AcousticFrame) -> Pose:
        """The pose for one frame after ``frame``, of a dancer who has the model alone."""
        return hear_together([self], frame)[0]

    def draw(self, heard: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(codes,) the noise that decides what to dance next, for what is ``heard`` (FEATURE_SIZE,).

        It is drawn anew for every half step, and not for every frame: a half step that seems to begin a frame earlier
        or later, as through a microphone, then still brings the same. The less activity the music has, the less noise:
        in silence the dancer does the likeliest, and rests.
        """
        half = bool(heard[STEP_SIN] >= 0.0)
        if half is not self._half:
            self._half = half
            self._noise = self._random.gumbel(size=self.model.codes).astype(np.float32)
        return self._noise * np.float32(self.temperature * heard[ACTIVITY])

    def decode(self, vector: npt.NDArray[np.float32], time: float) -> Pose:
        """The pose for ``time`` seconds about the dancer's own centre, before it is post-processed."""
        if np.isfinite(vector).all():
            self.last[:] = vector
        return self.place.decode(self.stage.correct(vector, self.place), time)

    def finish(self, pose: Pose) -> Pose:
        """The decoded ``pose``, or what was made of it, on the stage. Always a valid one."""
        if self.middle.any():
            pose = replace(pose, root=pose.root + self.middle)
        pose = self.body.process(pose)
        return replace(pose, dancer=self._number) if self._number else pose

    def reseed(self, seed: int) -> None:
        """Draw otherwise from here on."""
        self._random = np.random.default_rng(seed)
        self._half = None

    def restart(self) -> None:
        """Stand at the centre at rest, whatever was before."""
        self.place, self.body = PoseDecoder(), PostProcessor()
        self.last[:] = encode(*(part[None] for part in (rest_pose().rotations, rest_pose().root, np.ones(2))))[0]


def hear_together(
    dancers: Sequence[Dancer], frame: AcousticFrame, arrangement: Arrangement | None = None
) -> list[Pose]:
    """The poses for one frame after ``frame``, by one step of the network that all the dancers share.

    Args:
        dancers: who share their model.
        frame: what was heard last.
        arrangement: what the performer imposes on them.
    """
    model = dancers[0].model
    # Counted in whole frames, so that times stay on the grid exactly however long the show.
    time = (round(frame.time * FRAME_RATE) + 1) / FRAME_RATE
    heard = [network_input(frame, time + dancer.lead) for dancer in dancers]
    vectors = model.step(
        heard,
        [dancer.style for dancer in dancers],
        [dancer.place.to_centre() for dancer in dancers],
        [dancer.draw(features) for dancer, features in zip(dancers, heard, strict=True)],
    )
    poses = [dancer.decode(vector, time) for dancer, vector in zip(dancers, vectors, strict=True)]
    if arrangement is not None:
        poses = arrangement.apply(dancers, poses, frame.beat.period)
    poses = [dancer.finish(pose) for dancer, pose in zip(dancers, poses, strict=True)]
    if not np.isfinite(vectors).all():
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
