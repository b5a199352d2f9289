"""What a performer imposes on the dance: crew, formation, mirror, freeze, rest, blackout.

It works on the decoded poses at 15 Hz, before post-processing, which then keeps joints within their speed and feet
planted whatever is switched. The dancers go on dancing underneath; where they stand follows what is shown, so that a
dancer who is let go dances on from there.

Every switch leaves a difference between what was shown and what is to be shown. It is kept as an offset that fades out
(inertialised blending, as in :mod:`~dancerev.realtime.body.foot_planting`), so that nothing jumps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dancerev.model import rotation
from dancerev.model.curves import smoothstep
from dancerev.model.pose import FRAME_RATE, Pose, PoseDecoder, rest_pose
from dancerev.model.skeleton import BONES, INDEX

Array = npt.NDArray[Any]

CREWS = ("free", "unison", "canon", "mirror")
FORMATIONS = ("line", "v", "circle", "together")
SPACING = 2.5
"""Metres from dancer to dancer in a formation."""

FADE = 0.6  # seconds in which a difference in rotation fades out
GLIDE = 0.6  # metres a second at which a difference in place does
LONGEST_CANON = 20.0  # seconds
DELAY_RATE = 0.2  # by how much a canon's copy runs faster or slower while its delay changes
BREATH_SECONDS, BREATH = 4.0, math.radians(1.5)  # of a dancer who stands still

_SWAPPED = np.array(
    [INDEX[name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")] for name in BONES]
)
_REFLECT_ROTATION = np.array([1.0, -1.0, -1.0, 1.0], dtype=np.float32)
_REFLECT_PLACE = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
_SIDE = np.array([1.0, 0.0, 0.0], dtype=np.float32)


class Placed(Protocol):
    """A dancer, as far as its place goes."""

    decoder: PoseDecoder
    middle: npt.NDArray[np.float32]  # (3,) metres: centre of the dancer's own part of the stage


def mirrored(pose: Pose) -> Pose:
    """Return the pose seen in a mirror in the plane x = 0: left and right change places."""
    return replace(
        pose,
        rotations=pose.rotations[_SWAPPED] * _REFLECT_ROTATION,
        root=pose.root * _REFLECT_PLACE,
        contacts=pose.contacts[::-1].copy(),
    )


def formation(name: str, count: int) -> npt.NDArray[np.float32]:
    """(count, 3) metres: where each dancer's part of the stage has its centre; the audience is on +Z.

    Args:
        name: one of :data:`FORMATIONS`. In a V the middle is nearest to the audience; together all are at the centre,
            for programs with one avatar each.
        count: number of dancers.
    """
    places = np.zeros((count, 3), dtype=np.float32)
    if name == "together":
        return places
    line = (np.arange(count) - (count - 1) / 2.0) * SPACING
    if name == "circle" and count > 1:
        radius = SPACING / (2.0 * math.sin(math.pi / count))
        angles = 2.0 * math.pi * np.arange(count) / count
        places[:, 0], places[:, 2] = radius * np.sin(angles), radius * np.cos(angles)
        return places
    places[:, 0] = line
    if name == "v":
        places[:, 2] = np.abs(line).max() * 0.3 - 0.6 * np.abs(line)
    return places


class _Transition:
    """The difference between what was shown and what is to be shown, fading out."""

    def __init__(self, shown: Pose, wanted: Pose) -> None:
        self._turned = rotation.multiply(shown.rotations, rotation.conjugate(wanted.rotations))
        self._moved = shown.root - wanted.root
        self._left = 1.0

    def step(self) -> bool:
        """Let one frame pass; whether there is nothing left to fade."""
        self._left = max(self._left - 1.0 / (FADE * FRAME_RATE), 0.0)
        distance = float(np.hypot(self._moved[0], self._moved[2]))
        shorter = max(distance - GLIDE / FRAME_RATE, 0.0)
        self._moved = self._moved * np.float32(shorter / distance if distance > 0.0 else 0.0)
        return self._left == 0.0 and shorter == 0.0

    def apply(self, wanted: Pose) -> Pose:
        """Return the pose to show instead of ``wanted``."""
        share = smoothstep(self._left)
        turned = rotation.slerp(np.broadcast_to(rotation.IDENTITY, self._turned.shape), self._turned, share)
        return replace(
            wanted,
            rotations=rotation.multiply(turned, wanted.rotations).astype(np.float32),
            root=(wanted.root + self._moved).astype(np.float32),
        )


class Arrangement:
    """Changes the poses of one frame of all dancers. Its attributes may be set between two frames.

    Attributes:
        crew: "free": each dances by itself; "unison": all dance as the first does; "canon": each dances as the first
            did ``canon`` beats per place before; "mirror": every second one is the mirror image of the first.
        canon: beats from dancer to dancer in a canon.
        formation: one of :data:`FORMATIONS`.
        mirror: all are mirrored.
        freeze: all hold their pose, and breathe.
        rest: all come to rest where they are.
        blackout: all are parked at the centre of their part of the stage, in the rest pose.
    """

    def __init__(self) -> None:
        """Make one that changes nothing."""
        self.crew, self.canon, self.formation = CREWS[0], 2.0, FORMATIONS[0]
        self.mirror = self.freeze = self.rest = self.blackout = False
        self.restart()

    def restart(self) -> None:
        """Forget what was shown; the next poses are shown at once, without a transition."""
        self._mode: tuple[Any, ...] = ()
        self._shown: list[Pose] = []
        self._held: list[Pose] = []  # what is shown while something holds the dancers
        self._transitions: list[_Transition | None] = []
        self._past: deque[Pose] = deque(maxlen=round(LONGEST_CANON * FRAME_RATE))  # of the first dancer
        self._delays: list[float] = []  # frames

    def apply(self, dancers: Sequence[Placed], poses: list[Pose], period: float) -> list[Pose]:
        """Return the poses (one of each dancer, about its own centre) to show in place of ``poses``.

        Args:
            dancers: whose place follows what is shown.
            poses: of one instant.
            period: seconds from beat to beat.
        """
        self._past.append(poses[0])
        if len(poses) > 1:
            self._move_to_formation(dancers)
        hold = "blackout" if self.blackout else "rest" if self.rest else "freeze" if self.freeze else ""
        mode = (self.crew, self.canon, self.mirror, hold)
        first = not self._shown
        changed = not first and mode != self._mode
        if first and mode == ("free", self.canon, False, ""):
            self._mode = mode
        elif first:
            changed, self._shown = True, list(poses)
        if not changed and mode[0] == "free" and not (mode[2] or hold) and not any(self._transitions):
            self._mode, self._shown = mode, poses
            return poses
        if changed:
            self._begin(dancers, poses, mode, hold)
        self._mode = mode
        wanted = self._held_poses(poses) if hold else self._arranged(poses, period, changed)
        if changed:
            self._transitions = [_Transition(a, b) for a, b in zip(self._shown, wanted, strict=True)]
        self._place(dancers, wanted, hold)
        self._shown = [self._faded(index, pose) for index, pose in enumerate(wanted)]
        return self._shown

    def _begin(self, dancers: Sequence[Placed], poses: list[Pose], mode: tuple[Any, ...], hold: str) -> None:
        """Another mode begins: what it starts from."""
        was_mirrored = self._mode[2] if self._mode else False
        if mode[2] != was_mirrored:  # the dance underneath changes sides, so that what is shown stays where it is
            for index, dancer in enumerate(dancers):
                dancer.decoder.place[0] *= -1.0
                dancer.decoder.heading *= -1.0
                poses[index] = _turned_about(poses[index], dancer.decoder)
        if hold == "freeze":
            self._held = list(self._shown)
        elif hold == "rest":
            self._held = [_resting(pose.root, float(rotation.yaw_of(pose.rotations[0]))) for pose in self._shown]
        elif hold:
            self._held = [rest_pose() for _ in poses]

    def _held_poses(self, poses: list[Pose]) -> list[Pose]:
        breath = BREATH * math.sin(2.0 * math.pi * poses[0].time / BREATH_SECONDS)
        turn = rotation.from_axis_angle(_SIDE, np.float32(breath))
        held = []
        for pose, still in zip(poses, self._held, strict=True):
            rotations = still.rotations.copy()
            rotations[INDEX["Chest"]] = rotation.multiply(rotations[INDEX["Chest"]], turn)
            held.append(replace(still, time=pose.time, rotations=rotations))
        return held

    def _arranged(self, poses: list[Pose], period: float, changed: bool) -> list[Pose]:
        if self.crew == "canon":
            self._delay(len(poses), period, changed)
        arranged = []
        for index, own in enumerate(poses):
            match self.crew:
                case "unison":
                    pose = poses[0]
                case "mirror":
                    pose = mirrored(poses[0]) if index % 2 else poses[0]
                case "canon":
                    pose = self._delayed(self._delays[index])
                case _:
                    pose = own
            pose = mirrored(pose) if self.mirror else pose
            arranged.append(replace(pose, time=own.time))
        return arranged

    def _delay(self, count: int, period: float, changed: bool) -> None:
        wanted = [min(k * self.canon * period, LONGEST_CANON) * FRAME_RATE for k in range(count)]
        if changed or len(self._delays) != count:
            self._delays = wanted
        pairs = zip(self._delays, wanted, strict=True)
        self._delays = [now + min(max(then - now, -DELAY_RATE), DELAY_RATE) for now, then in pairs]

    def _delayed(self, frames: float) -> Pose:
        """Return the first dancer's pose so many frames ago, or its oldest."""
        frames = min(frames, len(self._past) - 1.0)
        newer = self._past[-1 - math.floor(frames)]
        older = self._past[-1 - math.ceil(frames)]
        share = np.float32(frames - math.floor(frames))
        return replace(
            newer,
            rotations=rotation.slerp(newer.rotations, older.rotations, share).astype(np.float32),
            root=newer.root + share * (older.root - newer.root),
        )

    def _place(self, dancers: Sequence[Placed], wanted: list[Pose], hold: str) -> None:
        """Let the dance underneath stand where what is shown stands."""
        for index, (dancer, pose) in enumerate(zip(dancers, wanted, strict=True)):
            if not hold and (self.crew == "free" or not index):
                continue
            shown = mirrored(pose) if self.mirror else pose
            dancer.decoder.place[:] = shown.root[0], shown.root[2]
            dancer.decoder.heading = float(rotation.yaw_of(shown.rotations[0]))

    def _faded(self, index: int, wanted: Pose) -> Pose:
        transition = self._transitions[index] if self._transitions else None
        if transition is None:
            return wanted
        shown = transition.apply(wanted)
        if transition.step():
            self._transitions[index] = None
        return shown

    def _move_to_formation(self, dancers: Sequence[Placed]) -> None:
        for dancer, place in zip(dancers, formation(self.formation, len(dancers)), strict=True):
            way = place - dancer.middle
            distance = float(np.hypot(way[0], way[2]))
            if distance > 1e-6:
                dancer.middle = dancer.middle + way * np.float32(min(1.0, GLIDE / FRAME_RATE / distance))


def _turned_about(pose: Pose, decoder: PoseDecoder) -> Pose:
    """Return the pose where ``decoder`` stands now, with its heading."""
    turn = rotation.from_yaw(np.float32(decoder.heading - float(rotation.yaw_of(pose.rotations[0]))))
    rotations = pose.rotations.copy()
    rotations[0] = rotation.multiply(turn, rotations[0])
    x, z = decoder.place.tolist()
    return replace(pose, rotations=rotations, root=np.array([x, pose.root[1], z], dtype=np.float32))


def _resting(root: Array, heading: float) -> Pose:
    """Return the rest pose at the place of ``root``, facing ``heading``."""
    pose = rest_pose()
    pose.rotations[0] = rotation.multiply(rotation.from_yaw(np.float32(heading)), pose.rotations[0])
    return replace(pose, root=np.array([root[0], pose.root[1], root[2]], dtype=np.float32))
