"""One dancer: what is heard goes in, a body comes out, one frame ahead of the music."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dancerev.model.features import AcousticFrame, network_input
from dancerev.model.pose import FRAME_RATE, Pose, PoseDecoder, rest_pose
from dancerev.realtime.postprocess import PostProcessor
from dancerev.realtime.session import ANY_STYLE, DanceModel
from dancerev.realtime.stage import StageKeeper


class Dancer:
    """The network, its place on the stage, and the checks that keep its body a body.

    Attributes:
        style: (styles,) weights.
        lead: seconds by which the dance is ahead of the music.
        temperature: of the draws.
        stage: keeps the dancer on it.
        place: where the dancer is.
        body: the last check of every pose.
    """

    def __init__(
        self,
        model: DanceModel,
        style: str = ANY_STYLE,
        seed: int = 0,
        lead: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        """Make a dancer.

        Args:
            model: the network; used by this dancer alone.
            style: one of the model's, or "any".
            seed: of the draws that decide what to dance.
            lead: seconds by which the dance is to be ahead of the music, to make up for delays after it.
            temperature: of the draws; below 1 the dancer does the likely, above 1 the unlikely.

        Raises:
            ModelError: unknown style.
        """
        self.style = model.style_vector(style)
        self.lead = lead
        self.temperature = temperature
        self._model = model
        self._random = np.random.default_rng(seed)
        self.stage = StageKeeper()
        self.place = PoseDecoder()
        self.body = PostProcessor()
        self._last: npt.NDArray[np.float32] | None = None

    def before_the_music(self) -> list[Pose]:
        """The stance in which the dance begins: the poses until the network's first, for times 0 and 1/15 s."""
        return [self.body.process(rest_pose(time)) for time in (0.0, 1.0 / FRAME_RATE)]

    def hear(self, frame: AcousticFrame) -> Pose:
        """The pose for one frame after ``frame``. Always a valid one, whatever comes out of the network."""
        # Counted in whole frames, so that times stay on the grid exactly however long the show.
        time = (round(frame.time * FRAME_RATE) + 1) / FRAME_RATE
        vector = self._model.step(
            network_input(frame, time + self.lead),
            self.style,
            self.place.to_centre(),
            self.temperature * self._random.gumbel(size=self._model.codes),
        )
        if np.isfinite(vector).all():
            self._last = vector.copy()
        else:
            # What it remembers is as broken as what it says: it starts afresh from where the body is.
            self._model.reset(self._last)
        return self.body.process(self.place.decode(self.stage.correct(vector, self.place), time))
