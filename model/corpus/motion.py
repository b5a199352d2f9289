"""A motion of our skeleton: poses at a constant rate, and how to cut, re-time and turn them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import rotation, skeleton
from ..curves import catmull_rom

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Motion:
    """Poses at a constant rate.

    Attributes:
        rotations: (T, 22, 4) float64 local unit quaternions xyzw.
        root: (T, 3) float64 world position of the hips, metres.
        contacts: (T, 2) float64, left and right foot planted, 0 … 1.
        fps: frames per second.
    """

    rotations: Array
    root: Array
    contacts: Array
    fps: float

    def __len__(self) -> int:
        return len(self.root)

    @property
    def seconds(self) -> float:
        """Time from the first to the last pose."""
        return (len(self) - 1) / self.fps

    def positions(self) -> Array:
        """(T, 22, 3) world positions of the joints, metres."""
        return skeleton.forward_kinematics(self.rotations, self.root)[0]

    def cut(self, start: int, stop: int) -> Motion:
        """Return the frames from ``start`` up to and without ``stop``."""
        return replace(
            self, rotations=self.rotations[start:stop], root=self.root[start:stop], contacts=self.contacts[start:stop]
        )

    def mirrored(self) -> Motion:
        """Reflected in the plane x = 0."""
        rotations, root = skeleton.mirror(self.rotations, self.root)
        return replace(self, rotations=rotations, root=root, contacts=self.contacts[:, ::-1])

    def placed(self, turn: float, centre: Array) -> Motion:
        """Return the motion turned by ``turn`` radians about the vertical through ``centre`` (x, z), now the origin."""
        yaw = rotation.from_yaw(turn)
        rotations = self.rotations.copy()
        rotations[:, 0] = rotation.multiply(yaw, rotations[:, 0])
        root = rotation.rotate(yaw, self.root - np.array([centre[0], 0.0, centre[1]]))
        return replace(self, rotations=rotations, root=root)

    def at(self, times: Array) -> tuple[Array, Array, Array]:
        """Rotations (N, 22, 4), root (N, 3) and contacts (N, 2) at ``times`` (N,) seconds, clamped to the motion.

        Rotations go along the sphere, the root along a Catmull-Rom spline, contacts to the nearer frame.
        """
        place = np.clip(np.asarray(times, dtype=np.float64) * self.fps, 0.0, len(self) - 1)
        first = np.minimum(place.astype(int), max(len(self) - 2, 0))
        second = np.minimum(first + 1, len(self) - 1)
        t = place - first
        rotations = rotation.slerp(self.rotations[first], self.rotations[second], t[:, None])
        root = catmull_rom(self.root, first, t)
        return rotations, root, self.contacts[np.rint(place).astype(int)]

    def resampled(self, fps: float) -> Motion:
        """Return the same motion at another rate."""
        count = int(np.floor(self.seconds * fps + 1e-6)) + 1
        return Motion(*self.at(np.arange(count) / fps), fps)


def runs(mask: Array) -> list[tuple[int, int]]:
    """Return (start, stop) of the stretches in which ``mask`` (T,) bool holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
