"""Quaternion and 6-D rotation arithmetic in numpy.

Quaternions are stored xyzw (as in glTF, Unity and VMC), rotate vectors actively, and compose right to
left: ``multiply(a, b)`` applies ``b`` first. Every function broadcasts over leading dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0], dtype=np.float32)


def normalize(quaternion: Array) -> Array:
    """Unit quaternion (..., 4); a zero or non-finite one becomes the identity."""
    length = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    usable = np.isfinite(length) & (length > 1e-8)
    unit = quaternion / np.where(usable, length, 1.0)
    return np.where(usable, unit, IDENTITY.astype(quaternion.dtype))


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product a·b of quaternions (..., 4): the rotation b followed by a."""
    ax, ay, az, aw = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bx, by, bz, bw = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=-1,
    )


def conjugate(quaternion: Array) -> Array:
    """Inverse of a unit quaternion (..., 4)."""
    return quaternion * np.array([-1.0, -1.0, -1.0, 1.0], dtype=quaternion.dtype)


def rotate(quaternion: Array, vector: Array) -> Array:
    """Vector (..., 3) rotated by a unit quaternion (..., 4)."""
    axis, w = quaternion[..., :3], quaternion[..., 3:]
    t = 2.0 * np.cross(axis, vector)
    return vector + w * t + np.cross(axis, t)


def from_axis_angle(axis: Array, angle: npt.ArrayLike) -> Array:
    """Quaternion (..., 4) of a turn by ``angle`` radians (...) about a unit ``axis`` (..., 3)."""
    half = np.asarray(angle)[..., None] / 2.0
    return np.concatenate(
        [
            axis * np.sin(half),
            np.broadcast_to(np.cos(half), (*np.broadcast_shapes(axis.shape[:-1], half.shape[:-1]), 1)),
        ],
        axis=-1,
    )


def from_yaw(angle: npt.ArrayLike) -> Array:
    """Quaternion (..., 4) of a turn by ``angle`` radians about +Y (from +Z towards +X)."""
    half = np.asarray(angle) / 2.0
    zero = np.zeros_like(half)
    return np.stack([zero, np.sin(half), zero, np.cos(half)], axis=-1)


def yaw_of(quaternion: Array) -> Array:
    """Heading (...) in radians of a quaternion (..., 4): its twist about +Y (swing-twist), in (-π, π]."""
    angle = 2.0 * np.arctan2(quaternion[..., 1], quaternion[..., 3])
    return np.asarray(np.arctan2(np.sin(angle), np.cos(angle)))


def between(a: Array, b: Array) -> Array:
    """Shortest-arc quaternion (..., 4) that turns unit vector ``a`` (..., 3) onto unit vector ``b``."""
    cosine = np.sum(a * b, axis=-1, keepdims=True)
    cross = np.cross(a, b)
    # Opposite vectors have no unique arc: turn about any axis at right angles to a.
    helper = np.where(np.abs(a[..., :1]) < 0.9, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    fallback = np.concatenate([np.cross(a, helper), np.zeros_like(cosine)], axis=-1)
    general = np.concatenate([cross, 1.0 + cosine], axis=-1)
    return normalize(np.where(cosine < -1.0 + 1e-6, fallback, general))


def slerp(a: Array, b: Array, t: npt.ArrayLike) -> Array:
    """Spherical interpolation (..., 4) from ``a`` (t = 0) to ``b`` (t = 1) along the shorter arc."""
    t = np.asarray(t)[..., None] if np.ndim(t) else np.asarray(t)
    cosine = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(cosine < 0.0, -b, b)
    cosine = np.clip(np.abs(cosine), 0.0, 1.0)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    near = sine < 1e-4
    safe = np.where(near, 1.0, sine)
    weight_a = np.where(near, 1.0 - t, np.sin((1.0 - t) * angle) / safe)
    weight_b = np.where(near, t, np.sin(t * angle) / safe)
    return normalize(weight_a * a + weight_b * b)


def to_matrix(quaternion: Array) -> Array:
    """Rotation matrix (..., 3, 3) of a unit quaternion (..., 4)."""
    x, y, z, w = (quaternion[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(matrix: Array) -> Array:
    """Unit quaternion (..., 4) with w ≥ 0 of a rotation matrix (..., 3, 3).

    Bar-Itzhack's eigenvector-free variant: of the four equivalent formulas, take the best conditioned.
    """
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Rows of 4·q·qᵀ; the row with the largest diagonal loses the least precision.
    products = np.stack(
        [
            np.stack(
                [
                    1 + xx - yy - zz,
                    m[..., 0, 1] + m[..., 1, 0],
                    m[..., 0, 2] + m[..., 2, 0],
                    m[..., 2, 1] - m[..., 1, 2],
                ],
                -1,
            ),
            np.stack(
                [
                    m[..., 0, 1] + m[..., 1, 0],
                    1 - xx + yy - zz,
                    m[..., 1, 2] + m[..., 2, 1],
                    m[..., 0, 2] - m[..., 2, 0],
                ],
                -1,
            ),
            np.stack(
                [
                    m[..., 0, 2] + m[..., 2, 0],
                    m[..., 1, 2] + m[..., 2, 1],
                    1 - xx - yy + zz,
                    m[..., 1, 0] - m[..., 0, 1],
                ],
                -1,
            ),
            np.stack(
                [
                    m[..., 2, 1] - m[..., 1, 2],
                    m[..., 0, 2] - m[..., 2, 0],
                    m[..., 1, 0] - m[..., 0, 1],
                    1 + xx + yy + zz,
                ],
                -1,
            ),
        ],
        axis=-2,
    )
    diagonal = np.stack([products[..., i, i] for i in range(4)], axis=-1)
    best = np.argmax(diagonal, axis=-1)[..., None, None]
    quaternion = normalize(np.take_along_axis(products, best, axis=-2)[..., 0, :])
    return np.where(quaternion[..., 3:] < 0.0, -quaternion, quaternion)


def to_6d(quaternion: Array) -> Array:
    """First two columns (..., 6) of the rotation matrix: the continuous encoding of Zhou et al., CVPR 2019."""
    matrix = to_matrix(quaternion)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def from_6d(encoded: Array) -> Array:
    """Unit quaternion (..., 4) of a 6-D encoding (..., 6), by Gram–Schmidt (Zhou et al., CVPR 2019)."""
    first, second = encoded[..., :3], encoded[..., 3:]
    x = first / np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-8)
    y = second - np.sum(x * second, axis=-1, keepdims=True) * x
    y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-8)
    return from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))
