"""Curves between given points: smoothstep and the Catmull-Rom spline."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def smoothstep(t: float) -> float:
    """Return 3t² − 2t³ for ``t`` in [0, 1], 0 below and 1 above: a step without a jerk at its ends."""
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def smoothsteps(t: Array) -> Array:
    """Return :func:`smoothstep` of every number of an array."""
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def catmull_rom(values: Array, first: Array, t: Array) -> Array:
    """Return the Catmull-Rom spline through ``values`` (Catmull & Rom, 1974).

    Args:
        values: (T, ...) points at whole places; the first and the last stand for those beyond.
        first: (N,) whole places.
        t: (N,) in [0, 1], how far on to the next place.

    Returns:
        (N, ...) points.
    """
    last = len(values) - 1
    p0, p1, p2, p3 = (values[np.clip(first + i, 0, last)] for i in (-1, 0, 1, 2))
    t = t.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))))
