"""No floating: with no foot on the floor, the hips rise and fall as those of a body in flight do.

A network holds a standing foot of a high kick some centimetres above the floor, for as long as the kick lasts. A body
that has left the floor can be no higher than the parabola of its take-off; what is higher is let down, at most until a
foot is on the floor.
"""

from __future__ import annotations

from dancerev.model.skeleton import ANKLE_HEIGHT, FEET, TOE_HEIGHT

from .scalar_kinematics import Body

_GRAVITY = 9.81  # m/s²
_GROUNDED = 0.015  # metres above the floor up to which a sole is on it
_FASTEST_JUMP = 3.0  # m/s upwards: 46 cm high


class Gravity:
    """Lets one floating body down."""

    def __init__(self) -> None:
        self._given: float | None = None  # height of the hips as it last came in
        self._dropped = 0.0  # metres by which the body was last let down
        self._velocity = 0.0  # m/s upwards, in flight
        self._in_flight = False

    def process(self, body: Body, seconds: float) -> None:
        """Lower ``body``, ``seconds`` after the body before, as far as it floats."""
        positions = body.positions
        above = min(min(positions[ankle][1] - ANKLE_HEIGHT, positions[toe][1] - TOE_HEIGHT) for ankle, toe in FEET)
        given = positions[0][1]
        before = given if self._given is None else self._given
        drop = 0.0
        if above > _GROUNDED:
            shown = before - self._dropped
            if self._in_flight:
                highest = shown + (self._velocity - 0.5 * _GRAVITY * seconds) * seconds
                self._velocity -= _GRAVITY * seconds
            else:
                # The mean velocity until now, half a frame ago.
                rising = min((given - before) / seconds, _FASTEST_JUMP)
                highest = shown + rising * seconds
                self._velocity = rising - 0.5 * _GRAVITY * seconds
            drop = min(max(given - highest, 0.0), above)
        if drop > 0.0:
            body.lift(-drop)
        self._in_flight = above - drop > _GROUNDED
        self._given, self._dropped = given, drop
