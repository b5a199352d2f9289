"""One body in plain floats: kinematics for a single pose, where the cost of a numpy call would dominate.

A quaternion is a tuple (x, y, z, w), a vector a tuple (x, y, z) in metres; both follow ``model.rotation``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dancerev.model.skeleton import BONES, INDEX, PARENTS, REST_OFFSETS

Quaternion = tuple[float, float, float, float]
Vector = tuple[float, float, float]

OFFSETS: tuple[Vector, ...] = tuple((float(x), float(y), float(z)) for x, y, z in REST_OFFSETS)

_SHORTEST_LEG = 0.15  # metres from hip joint to ankle, the knee bent as far as it goes

_CHAIN = tuple((PARENTS[bone], *OFFSETS[bone]) for bone in range(1, len(BONES)))


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation b followed by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: Quaternion) -> Quaternion:
    """Return the inverse of a unit quaternion."""
    return -q[0], -q[1], -q[2], q[3]


def rotate(q: Quaternion, v: Vector) -> Vector:
    """``v`` turned by ``q``."""
    x, y, z, w = q
    vx, vy, vz = v
    tx, ty, tz = 2.0 * (y * vz - z * vy), 2.0 * (z * vx - x * vz), 2.0 * (x * vy - y * vx)
    return vx + w * tx + y * tz - z * ty, vy + w * ty + z * tx - x * tz, vz + w * tz + x * ty - y * tx


def normalize(q: Quaternion) -> Quaternion:
    """Return unit quaternion; ``q`` must not be zero."""
    x, y, z, w = q
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    return x * scale, y * scale, z * scale, w * scale


def between(a: Vector, b: Vector) -> Quaternion:
    """Return the shortest turn from the direction of ``a`` to that of ``b``; the identity if one has none."""
    ax, ay, az = a
    bx, by, bz = b
    length = math.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
    if length < 1e-12:
        return 0.0, 0.0, 0.0, 1.0
    w = length + ax * bx + ay * by + az * bz
    if w < 1e-6 * length:  # opposite: any axis at right angles does
        return normalize((0.0, az, -ay, 0.0)) if abs(ax) < abs(ay) + abs(az) else normalize((-az, 0.0, ax, 0.0))
    return normalize((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx, w))


def blend(a: Quaternion, b: Quaternion, t: float) -> Quaternion:
    """From ``a`` (t = 0) to ``b`` (t = 1) the shorter way round, by normalised linear interpolation."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    s = 1.0 - t
    if ax * bx + ay * by + az * bz + aw * bw < 0.0:
        t = -t
    x, y, z, w = s * ax + t * bx, s * ay + t * by, s * az + t * bz, s * aw + t * bw
    square = x * x + y * y + z * z + w * w
    if square < 1e-12:  # half way between opposite rotations: stay
        return a
    scale = 1.0 / math.sqrt(square)
    return x * scale, y * scale, z * scale, w * scale


def yaw(angle: float) -> Quaternion:
    """Return a turn by ``angle`` radians about +Y."""
    return 0.0, math.sin(angle / 2.0), 0.0, math.cos(angle / 2.0)


def log(q: Quaternion) -> Vector:
    """Return the rotation vector of a unit quaternion, radians, at most π long."""
    x, y, z, w = q
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 * math.atan2(sine, abs(w)) / sine if sine > 1e-9 else 2.0
    if w < 0.0:
        scale = -scale
    return x * scale, y * scale, z * scale


def exp(v: Vector) -> Quaternion:
    """Return the unit quaternion of a rotation vector in radians."""
    x, y, z = v
    angle = math.sqrt(x * x + y * y + z * z)
    scale = math.sin(angle / 2.0) / angle if angle > 1e-9 else 0.5
    return x * scale, y * scale, z * scale, math.cos(angle / 2.0)


def forward_kinematics(rotations: Sequence[Quaternion], root: Vector) -> tuple[list[Vector], list[Quaternion]]:
    """World positions and global rotations of the 22 joints from their local rotations and the hips' place."""
    positions = [root]
    globals_ = [rotations[0]]
    for bone, (parent, ox, oy, oz) in enumerate(_CHAIN, start=1):
        ax, ay, az, aw = globals_[parent]
        px, py, pz = positions[parent]
        tx, ty, tz = 2.0 * (ay * oz - az * oy), 2.0 * (az * ox - ax * oz), 2.0 * (ax * oy - ay * ox)
        positions.append(
            (
                px + ox + aw * tx + ay * tz - az * ty,
                py + oy + aw * ty + az * tx - ax * tz,
                pz + oz + aw * tz + ax * ty - ay * tx,
            )
        )
        bx, by, bz, bw = rotations[bone]
        globals_.append(
            (
                aw * bx + ax * bw + ay * bz - az * by,
                aw * by - ax * bz + ay * bw + az * bx,
                aw * bz + ax * by - ay * bx + az * bw,
                aw * bw - ax * bx - ay * by - az * bz,
            )
        )
    return positions, globals_


class Body:
    """A pose whose joints can be moved.

    Attributes:
        rotations: local rotation of each bone.
        positions: world position of each joint; the first is the root.
        globals_: global rotation of each bone.
    """

    def __init__(self, rotations: Sequence[Quaternion], root: Vector) -> None:
        self.rotations = list(rotations)
        self.positions, self.globals_ = forward_kinematics(rotations, root)

    def lowest(self, joints: Sequence[int]) -> float:
        """Height in metres of the lowest of ``joints``."""
        positions = self.positions
        return min([positions[joint][1] for joint in joints])

    def lift(self, height: float) -> None:
        """Move the whole body up by ``height`` metres."""
        self.positions = [(x, y + height, z) for x, y, z in self.positions]


class Leg:
    """Two-bone inverse kinematics of one leg."""

    def __init__(self, side: str) -> None:
        """``side`` is ``"Left"`` or ``"Right"``."""
        self.upper, self.lower, self.foot, self.toes = (
            INDEX[side + part] for part in ("UpperLeg", "LowerLeg", "Foot", "Toes")
        )
        self.thigh, self.shin = math.hypot(*OFFSETS[self.lower]), math.hypot(*OFFSETS[self.foot])
        self.reach = 0.999 * (self.thigh + self.shin)
        """Metres from hip joint to ankle with the knee all but straight."""

    def place(self, body: Body, ankle: Vector, foot: Quaternion) -> None:
        """Bends the leg until its ankle is at ``ankle``, and turns the foot to the global rotation ``foot``.

        The knee stays in the plane that it bends in; an ankle out of reach stops on the way to it.
        """
        positions, globals_, rotations = body.positions, body.globals_, body.rotations
        hx, hy, hz = positions[self.upper]
        kx, ky, kz = positions[self.lower]
        ax, ay, az = positions[self.foot]
        old_upper, old_lower = globals_[self.upper], globals_[self.lower]
        old_thigh, old_shin = (kx - hx, ky - hy, kz - hz), (ax - kx, ay - ky, az - kz)

        nx, ny, nz = ankle[0] - hx, ankle[1] - hy, ankle[2] - hz
        wanted = math.sqrt(nx * nx + ny * ny + nz * nz)
        if wanted < 1e-6:
            nx, ny, nz, wanted = 0.0, -1.0, 0.0, 1.0
        nx, ny, nz = nx / wanted, ny / wanted, nz / wanted
        length = min(max(wanted, _SHORTEST_LEG), self.reach)
        # The side to which the knee points, once the whole leg is aimed at the new place. A nearly straight leg hardly
        # shows it: the thigh's forward axis has a say.
        aim = between((ax - hx, ay - hy, az - hz), (nx, ny, nz))
        fx, fy, fz = rotate(old_upper, (0.0, 0.0, 0.05))
        px, py, pz = rotate(aim, (old_thigh[0] + fx, old_thigh[1] + fy, old_thigh[2] + fz))
        along = px * nx + py * ny + pz * nz
        px, py, pz = px - along * nx, py - along * ny, pz - along * nz
        aside = max(math.sqrt(px * px + py * py + pz * pz), 1e-9)
        # The knee by the law of cosines: how far along the line to the ankle, and how far beside it.
        along = (self.thigh**2 - self.shin**2 + length * length) / (2.0 * length)
        scale = math.sqrt(max(self.thigh**2 - along * along, 0.0)) / aside
        new_thigh = (along * nx + scale * px, along * ny + scale * py, along * nz + scale * pz)
        new_knee = (hx + new_thigh[0], hy + new_thigh[1], hz + new_thigh[2])
        new_ankle = (hx + length * nx, hy + length * ny, hz + length * nz)
        new_shin = (new_ankle[0] - new_knee[0], new_ankle[1] - new_knee[1], new_ankle[2] - new_knee[2])

        upper = multiply(between(old_thigh, new_thigh), old_upper)
        lower = multiply(between(old_shin, new_shin), old_lower)
        rotations[self.upper] = multiply(conjugate(globals_[PARENTS[self.upper]]), upper)
        rotations[self.lower] = multiply(conjugate(upper), lower)
        rotations[self.foot] = multiply(conjugate(lower), foot)
        globals_[self.upper], globals_[self.lower], globals_[self.foot] = upper, lower, foot
        globals_[self.toes] = multiply(foot, rotations[self.toes])
        tx, ty, tz = rotate(foot, OFFSETS[self.toes])
        positions[self.lower], positions[self.foot] = new_knee, new_ankle
        positions[self.toes] = (new_ankle[0] + tx, new_ankle[1] + ty, new_ankle[2] + tz)
