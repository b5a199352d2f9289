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
    """Return unit quaternion (..., 4); a zero or non-finite one becomes the identity."""
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
    t = 2.0 * cross(axis, vector)
    return vector + w * t + cross(axis, t)


def cross(a: Array, b: Array) -> Array:
    """Cross product a × b of vectors (..., 3); for single vectors several times as quick as ``np.cross``."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


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
    normal = cross(a, b)
    # Opposite vectors have no unique arc: turn about any axis at right angles to a.
    helper = np.where(np.abs(a[..., :1]) < 0.9, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    fallback = np.concatenate([cross(a, helper), np.zeros_like(cosine)], axis=-1)
    general = np.concatenate([normal, 1.0 + cosine], axis=-1)
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


def turn_floor(x: Any, z: Any, sine: Any, cosine: Any) -> tuple[Any, Any]:
    """Turn (x, z) about +Y by the angle of which ``sine`` and ``cosine`` are; from +Z towards +X.

    Takes floats, arrays and tensors alike. With ``-sine`` it turns back.
    """
    return cosine * x + sine * z, cosine * z - sine * x


def log(quaternion: Array) -> Array:
    """Return the rotation vectors (..., 3), radians, at most π long, of unit quaternions (..., 4)."""
    axis, w = quaternion[..., :3], quaternion[..., 3:]
    sine = np.sqrt(np.add.reduce(axis * axis, axis=-1, keepdims=True))
    angle = 2.0 * np.arctan2(sine, np.abs(w))
    scale = np.where(sine > 1e-6, angle / np.maximum(sine, 1e-6), 2.0)
    return np.asarray(axis * np.copysign(scale, w))  # q and -q are one rotation: the shorter way


def exp(vector: Array) -> Array:
    """Return the unit quaternions (..., 4) of rotation vectors (..., 3), radians; the inverse of :func:`log`."""
    half = 0.5 * np.sqrt(np.add.reduce(vector * vector, axis=-1, keepdims=True))
    return np.concatenate([vector * (0.5 * np.sin(half) / np.maximum(half, 1e-12)), np.cos(half)], axis=-1)


def unit(vector: Array) -> Array:
    """Return vectors (..., n) of length 1 in the same direction; those of length 0 stay."""
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9))


def to_matrix(quaternion: Array) -> Array:
    """Rotation matrix (..., 3, 3) of a unit quaternion (..., 4)."""
    x, y, z, w = (quaternion[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _products_of_matrix() -> tuple[Array, Array]:
    """(9, 16) and (16,): what makes 4·q·qᵀ of a rotation matrix, both row by row."""
    linear, constant = np.zeros((3, 3, 4, 4)), np.zeros((4, 4))
    for i in range(4):
        constant[i, i] = 1.0
        for k in range(3):
            linear[k, k, i, i] = 1.0 if i in (k, 3) else -1.0
    for i, j in ((0, 1), (0, 2), (1, 2)):  # xy, xz and yz
        for at in ((i, j), (j, i)):
            linear[(i, j, *at)] = linear[(j, i, *at)] = 1.0
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):  # xw, yw and zw
        for at in ((i, 3), (3, i)):
            linear[(k, j, *at)], linear[(j, k, *at)] = 1.0, -1.0
    return linear.reshape(9, 16), constant.reshape(16)


_PRODUCTS, _CONSTANT = _products_of_matrix()
_PRODUCTS_32, _CONSTANT_32 = _PRODUCTS.astype(np.float32), _CONSTANT.astype(np.float32)


def from_matrix(matrix: Array) -> Array:
    """Return unit quaternion (..., 4) with w ≥ 0 of a rotation matrix (..., 3, 3).

    Bar-Itzhack's eigenvector-free variant: of the four equivalent formulas, take the best conditioned.
    """
    flat = matrix.reshape(-1, 9)
    single = flat.dtype == np.float32
    # Rows of 4·q·qᵀ; the row with the largest diagonal loses the least precision. All of them are linear in the matrix,
    # and one product is many times as quick as sixteen sums: a stage makes one body at a time.
    products = flat @ (_PRODUCTS_32 if single else _PRODUCTS) + (_CONSTANT_32 if single else _CONSTANT)
    best = products[:, ::5].argmax(axis=1)
    quaternion = products.reshape(-1, 4)[4 * np.arange(len(flat)) + best]
    length = np.sqrt(np.einsum("ni,ni->n", quaternion, quaternion))
    quaternion /= np.copysign(length, quaternion[:, 3])[:, None]
    return quaternion.reshape(*matrix.shape[:-2], 4)


def to_6d(quaternion: Array) -> Array:
    """First two columns (..., 6) of the rotation matrix: the continuous encoding of Zhou et al., CVPR 2019."""
    matrix = to_matrix(quaternion)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def from_6d(encoded: Array) -> Array:
    """Return unit quaternion (..., 4) of a 6-D encoding (..., 6), by Gram–Schmidt (Zhou et al., CVPR 2019)."""
    columns = np.empty((*encoded.shape[:-1], 3, 3), dtype=encoded.dtype)
    x, y = columns[..., 0, :], columns[..., 1, :]
    np.multiply(encoded[..., :3], _inverse_length(encoded[..., :3]), out=x)
    second = encoded[..., 3:]
    np.subtract(second, np.einsum("...i,...i->...", x, second)[..., None] * x, out=y)
    y *= _inverse_length(y)
    columns[..., 2, :] = x.take(_NEXT, -1) * y.take(_LAST, -1) - x.take(_LAST, -1) * y.take(_NEXT, -1)
    return from_matrix(columns.swapaxes(-1, -2))


_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])


def _inverse_length(vector: Array) -> Array:
    """(..., 1) of vectors (..., 3), one of no length counting as very short."""
    return 1.0 / np.maximum(np.sqrt(np.einsum("...i,...i->...", vector, vector)), 1e-8)[..., None]
