"""The stage: the dancer's way bends back before its edge, and a broken vector never gets into the path.

This works on the pose vector, before :class:`~dancerev.model.pose.PoseDecoder` integrates it. So the decoder's
place is always the true one, what the network is told of the stage centre is true as well, nothing has to be
written back, and no state grows, however long the dance:

    vector = keeper.correct(vector, decoder)
    pose = decoder.decode(vector, time)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dancerev.model import rotation
from dancerev.model.pose import CONTACTS, FRAME_RATE, HEIGHT, ROTATIONS, TRAVEL, TURN, PoseDecoder, rest_vector

Array = npt.NDArray[Any]

_MAX_TRAVEL = 6.0 / FRAME_RATE  # metres a frame: faster than any dancer, slower than a fault
_MAX_TURN = 12.0 / FRAME_RATE  # radians a frame: two spins a second
_LOWEST, _HIGHEST = 0.05, 1.6  # metres, of the hips: lying, and a high jump
_BEND = 1.5  # radians of turning for each metre travelled, at the edge
_MAX_BEND = 1.0 / FRAME_RATE  # radians a frame, of that turning

_BACK_TURNED = math.radians(95.0)  # from the audience, of the hips; the shoulders may be turned a little further
_PATIENCE = 0.8  # seconds for which the back may be turned before the dancer is turned round
_TURN_BACK = 1.3 / FRAME_RATE  # radians a frame, reached after half a second of turning, and doubled after 1.5 s
_STILL, _FREE = 0.1, 0.4  # activity of the music below which nobody travels, and from which on everybody may


class StageBounds:
    """Keeps the dancer within a circle about the origin."""

    def __init__(self, radius: float = 2.5) -> None:
        """Make a stage of ``radius`` metres; within 60 % of it nothing is changed."""
        self.resize(radius)
        self._good: Array = rest_vector()

    def resize(self, radius: float) -> None:
        """Make the stage one of ``radius`` metres; a dancer outside is led back."""
        if not radius > 0.0:
            raise ValueError(f"the stage needs a radius above 0, not {radius}")
        self.radius = radius
        self.inner = 0.6 * radius
        self._away = 0.0  # seconds for which the back has been turned to the audience

    def correct(
        self, vector: Array, decoder: PoseDecoder, face: float | None = None, activity: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """Return the vector (POSE_SIZE,) to decode in place of ``vector`` where ``decoder`` stands.

        A vector with a number that is not finite is replaced by the last good one, standing still. Beyond the inner
        radius, travel bends homewards (the whole body turns with it), and what still leads outwards is shortened,
        to nothing at the edge. It never leads out of the circle from within. A back that is turned to the audience for
        too long is turned round. In silence the dancer stays where it is.

        Args:
            vector: of the network.
            decoder: where the dancer is.
            face: direction of the audience, radians about +Y; None where there is none.
            activity: of the music, 0 … 1.
        """
        if not np.isfinite(vector).all():
            return self._good.copy()
        vector = np.array(vector, dtype=np.float32)
        vector[HEIGHT] = min(max(float(vector[HEIGHT][0]), _LOWEST), _HIGHEST)
        for part in (HEIGHT, ROTATIONS, CONTACTS):  # all but turn and travel: to stand still in
            self._good[part] = vector[part]
        free = min(max((activity - _STILL) / (_FREE - _STILL), 0.0), 1.0)
        turn = free * min(max(float(vector[TURN][0]), -_MAX_TURN), _MAX_TURN)
        turn += self._turn_back(decoder.heading, face)
        ahead_x, ahead_z = (free * float(value) for value in vector[TRAVEL])
        length = math.hypot(ahead_x, ahead_z)
        if length > _MAX_TRAVEL:
            ahead_x, ahead_z = ahead_x * _MAX_TRAVEL / length, ahead_z * _MAX_TRAVEL / length

        x, z = (float(value) for value in decoder.place)
        sine, cosine = math.sin(decoder.heading), math.cos(decoder.heading)
        step_x, step_z = rotation.turn_floor(ahead_x, ahead_z, sine, cosine)
        distance = math.hypot(x, z)
        nearness = min(max((distance - self.inner) / (self.radius - self.inner), 0.0), 1.0)
        if nearness > 0.0:
            out_x, out_z = x / distance, z / distance
            outwards = step_x * out_x + step_z * out_z
            # Turning about +Y leads from +Z to +X: positive where that turns the step homewards, the shorter way
            # round; a step straight out has no shorter way and takes one.
            homewards = step_x * out_z - step_z * out_x
            bend = _BEND * nearness * (homewards + 0.5 * max(outwards, 0.0))
            turn += min(max(bend, -_MAX_BEND), _MAX_BEND)
            if outwards > 0.0:
                step_x, step_z = step_x - nearness * outwards * out_x, step_z - nearness * outwards * out_z
        reached = math.hypot(x + step_x, z + step_z)
        limit = max(self.radius, distance)
        if reached > limit:
            scale = limit / reached
            step_x, step_z = (x + step_x) * scale - x, (z + step_z) * scale - z
        vector[TURN] = turn
        vector[TRAVEL] = rotation.turn_floor(step_x, step_z, -sine, cosine)
        return vector

    def _turn_back(self, heading: float, face: float | None) -> float:
        """Radians by which the dancer is turned to the audience in this frame."""
        if face is None:
            self._away = 0.0
            return 0.0
        away = math.remainder(heading - face, math.tau)
        if abs(away) < _BACK_TURNED:
            self._away = max(self._away - 3.0 / FRAME_RATE, 0.0)
        else:
            self._away = min(self._away + 1.0 / FRAME_RATE, _PATIENCE + 1.5)
        # It sets in and ends gently, and grows where the network turns the other way.
        overdue = max(self._away - _PATIENCE, 0.0)
        return -math.copysign(_TURN_BACK * (min(overdue / 0.5, 1.0) + max(overdue - 0.5, 0.0)), away)
