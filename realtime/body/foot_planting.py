"""Feet that stay where they were put down, and above the floor.

A planted foot is locked at the ball of the foot: place on the floor and heading. The sole is flat; a heel that is
clearly raised stays raised. The leg follows by two-bone inverse kinematics. Where the leg is too short for the
lock, the hips come down a little; the lock is let go when the dancer has moved too far from it.

When a foot is planted or let go, what it was shown as and what it is to be differ, in place and in velocity. That
difference is kept as an offset which dies away like a critically damped spring, so that feet neither jump nor slide
(inertialised blending: Bollo, "Inertialization: High-performance animation transitions in Gears of War", GDC 2018,
which uses a quintic).
"""

from __future__ import annotations

import math

from dancerev.model.curves import smoothstep
from dancerev.model.skeleton import ANKLE_HEIGHT, TOE_HEIGHT

from .scalar_kinematics import OFFSETS, Body, Leg, Quaternion, Vector, conjugate, exp, log, multiply, rotate, yaw

_ZERO: Vector = (0.0, 0.0, 0.0)
_IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)

# A foot is planted when the network is surer than the first number that it is, and let go below the second.
_PLANT_CONTACT, _RELEASE_CONTACT = 0.6, 0.4
_PLANT_HEIGHT, _RELEASE_HEIGHT = 0.06, 0.12  # metres of the sole above the floor
_PLANT_SPEED = 1.5  # m/s, of the slower end of the foot: above, it is not yet down
_PLANT_OFFSET = 0.04  # metres: how far from where it should be a foot may be to be planted
_RELEASE_DISTANCE = 0.12  # metres between where the foot is locked and where it wants to be
_RELEASE_TURN = math.radians(45.0)
_SPRING = 26.0  # 1/s: an offset falls to a quarter in 0.1 s; at 30 a kick out of a planted stance reached 15.6 m/s
_NEGLIGIBLE = 1e-4  # metres or radians

_FLAT = math.atan2(ANKLE_HEIGHT - TOE_HEIGHT, OFFSETS[Leg("Left").toes][2])
"""Radians by which the line from ankle to toe points down when the sole is flat."""
_HEEL_DOWN, _HEEL_UP = 0.0, math.radians(12.0)  # raised less is flat, raised more is on the toes

_TOE_CLEARANCE, _ANKLE_CLEARANCE = 0.01, 0.05  # metres above the floor of a foot in the air

_MAX_DROP = 0.06  # metres that the hips come down for a leg too short
_DROP_SPEED = 0.6  # m/s
_DROP_TIME = 0.1  # seconds in which the hips come up again


class _Spring:
    """A vector that dies away, critically damped."""

    def __init__(self) -> None:
        self.value: Vector = _ZERO
        self.velocity: Vector = _ZERO

    def decay(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        if self.value is _ZERO:
            return
        fade = math.exp(-_SPRING * seconds)
        value, velocity = [], []
        for x, v in zip(self.value, self.velocity, strict=True):
            push = (v + _SPRING * x) * seconds
            value.append(fade * (x + push))
            velocity.append(fade * (v - _SPRING * push))
        if max(map(abs, value)) < _NEGLIGIBLE and max(map(abs, velocity)) < _SPRING * _NEGLIGIBLE:
            self.value = self.velocity = _ZERO
        else:
            self.value, self.velocity = (value[0], value[1], value[2]), (velocity[0], velocity[1], velocity[2])


class _Foot:
    """What is remembered of one foot."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.planted = False
        self.lock: tuple[float, float, float] = _ZERO  # x, z of the toe joint, and heading
        self.offset = _Spring()  # of the toe joint: where it is shown less where it is wanted, metres
        self.turned = _Spring()  # the same of the foot's rotation, a rotation vector in radians
        self.source: tuple[Vector, Vector, Quaternion] | None = None  # ankle, toe and rotation as they last came in
        self.toe: Vector = _ZERO  # where the toe joint and
        self.rotation: Quaternion = _IDENTITY  # how the foot shall be in this pose

    def process(self, body: Body, contact: float, seconds: float) -> None:
        """Find where the foot shall be: sets ``toe`` and ``rotation``."""
        ankle, toe = body.positions[self.leg.foot], body.positions[self.leg.toes]
        coming = body.globals_[self.leg.foot]
        shown_toe, shown_rotation = self.toe, self.rotation
        self.offset.decay(seconds)
        self.turned.decay(seconds)
        wanted, turned = self._locked(ankle, toe) if self.planted else (toe, coming)
        self.toe = _add(wanted, self.offset.value)
        self.rotation = multiply(exp(self.turned.value), turned) if self.turned.value is not _ZERO else turned
        if self.source is not None:
            moving = _rate(shown_toe, self.toe, seconds)
            turning = _turning(shown_rotation, self.rotation, seconds)
            if self.planted:
                if self._is_to_let_go(ankle, toe, contact):
                    self._let_go(ankle, toe, coming, moving, turning, seconds)
            elif contact >= _PLANT_CONTACT and self._is_down(ankle, toe, seconds):
                self._plant(ankle, toe, moving)
        self.source = ankle, toe, coming

    def _plant(self, ankle: Vector, toe: Vector, moving: Vector) -> None:
        self.planted = True
        x, _, z = rotate(self.rotation, (0.0, 0.0, 1.0))
        self.lock = (self.toe[0], self.toe[2], math.atan2(x, z))
        wanted, turned = self._locked(ankle, toe)
        # A foot set down stops at once, as feet do; only what is left of its height and tilt dies away.
        height = self.toe[1] - wanted[1]
        self.offset.value = (0.0, height, 0.0)
        self.offset.velocity = (0.0, max(moving[1], -_SPRING * abs(height)), 0.0)
        self.turned.value = log(multiply(self.rotation, conjugate(turned)))
        self.turned.velocity = _ZERO

    def _let_go(
        self, ankle: Vector, toe: Vector, coming: Quaternion, moving: Vector, turning: Vector, seconds: float
    ) -> None:
        assert self.source is not None
        self.planted = False
        self.offset.value = _subtract(self.toe, toe)
        self.offset.velocity = _subtract(moving, _rate(self.source[1], toe, seconds))
        self.turned.value = log(multiply(self.rotation, conjugate(coming)))
        self.turned.velocity = _subtract(turning, _turning(self.source[2], coming, seconds))

    def is_moved(self) -> bool:
        """Whether the foot shall be elsewhere than it comes in."""
        return self.planted or self.turned.value is not _ZERO or self.offset.value is not _ZERO

    def ankle(self) -> Vector:
        """Where the ankle shall be."""
        x, y, z = rotate(self.rotation, OFFSETS[self.leg.toes])
        return self.toe[0] - x, self.toe[1] - y, self.toe[2] - z

    def raise_from_floor(self) -> bool:
        """Lift the foot as far as it shall be below the floor; return whether that was needed."""
        below = max(_TOE_CLEARANCE - self.toe[1], _ANKLE_CLEARANCE - self.ankle()[1])
        if below <= _NEGLIGIBLE:
            return False
        self.toe = (self.toe[0], self.toe[1] + below, self.toe[2])
        return True

    def _locked(self, ankle: Vector, toe: Vector) -> tuple[Vector, Quaternion]:
        """Toe joint and rotation of the planted foot, the heel raised as it comes in."""
        level = math.hypot(toe[0] - ankle[0], toe[2] - ankle[2])
        pitch = math.atan2(ankle[1] - toe[1], level) - _FLAT
        pitch *= smoothstep((pitch - _HEEL_DOWN) / (_HEEL_UP - _HEEL_DOWN))
        rotation = multiply(yaw(self.lock[2]), (math.sin(pitch / 2.0), 0.0, 0.0, math.cos(pitch / 2.0)))
        return (self.lock[0], TOE_HEIGHT, self.lock[1]), rotation

    def _is_down(self, ankle: Vector, toe: Vector, seconds: float) -> bool:
        assert self.source is not None
        (ax, _, az), (tx, _, tz), _ = self.source
        moved = min(math.hypot(ankle[0] - ax, ankle[2] - az), math.hypot(toe[0] - tx, toe[2] - tz))
        return (
            _sole_height(ankle, toe) < _PLANT_HEIGHT
            and moved < _PLANT_SPEED * seconds
            and math.hypot(*self.offset.value) < _PLANT_OFFSET
        )

    def _is_to_let_go(self, ankle: Vector, toe: Vector, contact: float) -> bool:
        x, z, heading = self.lock
        turned = math.remainder(math.atan2(toe[0] - ankle[0], toe[2] - ankle[2]) - heading, math.tau)
        return (
            contact < _RELEASE_CONTACT
            or _sole_height(ankle, toe) > _RELEASE_HEIGHT
            or math.hypot(toe[0] - x, toe[2] - z) > _RELEASE_DISTANCE
            or abs(turned) > _RELEASE_TURN
        )


class FootPlanter:
    """Plants both feet of one dancer."""

    def __init__(self) -> None:
        self._feet = _Foot(Leg("Left")), _Foot(Leg("Right"))
        self._drop = 0.0  # metres by which the hips are held down

    @property
    def contacts(self) -> tuple[float, float]:
        """1 for the left and the right foot where it is planted, else 0."""
        left, right = self._feet
        return float(left.planted), float(right.planted)

    def process(self, body: Body, contacts: tuple[float, float], floor: bool, seconds: float) -> None:
        """Move the legs of ``body``, ``seconds`` after the body before.

        Args:
            body: as it comes; changed.
            contacts: how surely the left and the right foot are planted, 0 … 1.
            floor: whether a foot below the floor is lifted out of it.
            seconds: since the last body.
        """
        need = 0.0
        moved = []
        for foot, contact in zip(self._feet, contacts, strict=True):
            foot.process(body, contact, seconds)
            moved.append((floor and foot.raise_from_floor()) or foot.is_moved())
            if foot.planted:
                need = max(need, self._missing(body.positions[foot.leg.upper], foot.ankle(), foot.leg.reach))
        self._drop = max(
            min(need, self._drop + _DROP_SPEED * seconds), self._drop * math.exp(-seconds / _DROP_TIME), 0.0
        )
        if self._drop > _NEGLIGIBLE:
            body.lift(-self._drop)
            moved = [True, True]
        for foot, is_moved in zip(self._feet, moved, strict=True):
            if is_moved:
                foot.leg.place(body, foot.ankle(), foot.rotation)

    @staticmethod
    def _missing(hip: Vector, ankle: Vector, reach: float) -> float:
        """How far the hip joint must come down for the ankle to be in reach, at most :data:`_MAX_DROP`."""
        aside = math.hypot(hip[0] - ankle[0], hip[2] - ankle[2])
        if aside >= reach:
            return _MAX_DROP
        return min(max(hip[1] - ankle[1] - math.sqrt(reach * reach - aside * aside), 0.0), _MAX_DROP)


def _sole_height(ankle: Vector, toe: Vector) -> float:
    """Metres from the floor to the lower end of the sole."""
    return min(ankle[1] - ANKLE_HEIGHT, toe[1] - TOE_HEIGHT)


def _add(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _subtract(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _rate(before: Vector, now: Vector, seconds: float) -> Vector:
    return (now[0] - before[0]) / seconds, (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds


def _turning(before: Quaternion, now: Quaternion, seconds: float) -> Vector:
    return _rate(_ZERO, log(multiply(now, conjugate(before))), seconds)
