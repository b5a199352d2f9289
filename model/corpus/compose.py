"""Dances composed to music: pulses of takes laid on the beats of a song, joined by steps, resting in its silences.

A dance is a chain of stretches. Each stretch plays one take on the beat; where it ends, the take and the beat
that continue it best are chosen (like body, like velocity, a way that leads back to the stage centre, and a body that
faces the audience, which is towards +Z), and over one beat the body passes from one to the other while the feet step
across one after the other. Stretches end with a phrase of eight dance beats. In a dance of strict phrases a stretch is
one phrase or two, and comes again as often as not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from .. import pose, rotation
from ..curves import smoothsteps
from ..kinematic_beats import alignment, joint_speed, kinematic_beats
from ..skeleton import ANKLE_HEIGHT, BONES, FEET, INDEX, REST_OFFSETS, TOE_HEIGHT, forward_kinematics
from .ik import place_ankles
from .motion import Motion
from .motion_beats import Pulse

Array = npt.NDArray[Any]

FPS = 60

_LOOK_AHEAD = 12  # beats of the way that a continuation is judged by
_STAGE = 1.0  # metres from the centre that cost nothing
_TURNS = np.deg2rad([-75.0, -45.0, -20.0, 0.0, 20.0, 45.0, 75.0])
_FEWEST, _MOST = 12, 40  # beats of one stretch
_EFFORT = 0.4  # what an octave of difference in liveliness from the one wanted costs
_PHRASE = 8  # dance beats
_AGAIN, _EARLIER = 0.5, 0.25  # how often a strict phrase is the one before it again, or the one before that
_JOINABLE = 0.45  # metres of the body, as compared by _shape, over which a figure can be joined to its own beginning
_FACING = 0.35  # what a stretch costs that turns away from the audience by 110 degrees
_AWAY, _LONGEST_AWAY = np.deg2rad(110.0), 2.5  # radians from the audience, and the seconds after which a stretch ends
_EDGE, _FEWEST_BEFORE_EDGE = 1.6, 4  # metres from the centre that end a stretch, and the beats it gets all the same
_LIFT = 0.06  # metres a stepping foot rises
_WARP = 1.33  # how much faster or slower the finished dance is played between two beats to land on them
_REACTION, _SETTLE, _WAKE = 0.2, 1.0, 0.7  # seconds until the dancer reacts, comes to rest, is dancing again


@dataclass(frozen=True)
class Body:
    """Poses at :data:`FPS`: rotations (T, 22, 4), root (T, 3), contacts (T, 2)."""

    rotations: Array
    root: Array
    contacts: Array

    def __len__(self) -> int:
        return len(self.root)

    def placed(self, turn: float, pivot: Array, place: Array) -> Body:
        """Return the body turned by ``turn`` radians about ``pivot`` (x, z), which moves to ``place`` (x, z)."""
        moved = Motion(self.rotations, self.root, self.contacts, FPS).placed(turn, pivot)
        return Body(moved.rotations, moved.root + np.array([place[0], 0.0, place[1]]), self.contacts)


@dataclass(frozen=True)
class Entry:
    """A beat of a pulse at which a stretch may begin.

    Attributes:
        pulse: index into the repertoire.
        beat: index of the beat.
        shape: (132,) joint positions in the facing frame, and a tenth of their velocities.
        way: (12, 2) the hips' way over the next beats, from here, in the facing frame.
        facing: (12,) radians that the chest is turned against the hips of here, over the next beats.
        effort: metres that a joint moves in a beat, on average over the next phrase.
        loop: (2,) how unlike the body is one phrase and two phrases later, as compared by _shape.
    """

    pulse: int
    beat: int
    shape: Array
    way: Array
    facing: Array
    effort: float
    loop: Array


class Repertoire:
    """The pulses of one style at one rate, and where one may pass from any of them into any other."""

    def __init__(self, names: list[str], pulses: list[Pulse]) -> None:
        self.names, self.pulses = names, pulses
        entries = [entry for index in range(len(pulses)) for entry in self._entries(index)]
        self.pulse = np.array([entry.pulse for entry in entries])
        self.beat = np.array([entry.beat for entry in entries])
        self.shape = np.stack([entry.shape for entry in entries])
        self.way = np.stack([entry.way for entry in entries])
        self.facing = np.stack([entry.facing for entry in entries])
        self.loop = np.stack([entry.loop for entry in entries])
        self.effort = np.log2([max(entry.effort, 1e-3) for entry in entries])
        # Short takes would hardly ever be danced were every beat as likely as any other.
        weight = 1.0 / np.sqrt(np.bincount(self.pulse)[self.pulse])
        self.weight = weight / weight.sum()

    def _entries(self, index: int) -> list[Entry]:
        pulse = self.pulses[index]
        times = pulse.seconds_at(np.arange(len(pulse.beats)))
        rotations, root, _ = pulse.motion.at(times)
        ahead = pulse.motion.at(np.minimum(times + 0.1, pulse.motion.seconds))
        headings = rotation.yaw_of(rotations[:, 0])
        chest = _chest_heading(rotations, root)
        shapes = _shape(rotations, root, ahead[0], ahead[1])
        moved = np.cumsum(joint_speed(pulse.motion.positions(), pulse.motion.fps).mean(axis=1)) / pulse.motion.fps
        moved = np.interp(times, (np.arange(len(moved)) + 1.0) / pulse.motion.fps, moved)
        entries = []
        for beat in range(max(1, len(times) - 5)):
            later = np.minimum(beat + np.arange(1, _LOOK_AHEAD + 1), len(times) - 1)
            way = rotation.rotate(rotation.from_yaw(-headings[beat]), root[later] - root[beat])[:, [0, 2]]
            phrase = min(beat + _PHRASE, len(times) - 1)
            effort = float(moved[phrase] - moved[beat]) / max(phrase - beat, 1)
            facing, loop = chest[later] - headings[beat], _unlikeness(shapes, beat)
            entries.append(Entry(index, beat, shapes[beat], way, facing, effort, loop))
        return entries

    def full_way(self, entry: int) -> Array:
        """(N, 2) the hips' way from an entry's beat over all beats that follow, in the facing frame."""
        pulse, beat = self.pulses[self.pulse[entry]], int(self.beat[entry])
        rotations, root, _ = pulse.motion.at(pulse.seconds_at(np.arange(beat, len(pulse.beats))))
        return _turned((root - root[0])[:, [0, 2]], -float(rotation.yaw_of(rotations[0, 0])))

    def full_facing(self, entry: int) -> Array:
        """(N,) radians that the chest is turned against the hips of an entry's beat, over all beats that follow."""
        pulse, beat = self.pulses[self.pulse[entry]], int(self.beat[entry])
        rotations, root, _ = pulse.motion.at(pulse.seconds_at(np.arange(beat, len(pulse.beats))))
        return _chest_heading(rotations, root) - float(rotation.yaw_of(rotations[0, 0]))

    def remaining(self) -> Array:
        """(M,) beats from each entry to the end of its pulse."""
        return np.array([len(self.pulses[i].beats) for i in self.pulse]) - 1 - self.beat


def _chest_heading(rotations: Array, root: Array) -> Array:
    """(N,) radians about +Y: where the chest faces."""
    return rotation.yaw_of(forward_kinematics(rotations, root)[1][:, INDEX["UpperChest"]])


def _unlikeness(shapes: Array, beat: int) -> Array:
    """(2,) metres between the body at ``beat`` and one and two phrases later; infinite where the take ends before."""
    later = [beat + _PHRASE, beat + 2 * _PHRASE]
    return np.array([_distance(shapes[i], shapes[beat]) if i < len(shapes) else np.inf for i in later])


def _distance(a: Array, b: Array) -> float:
    return float(np.sqrt(((a - b) ** 2).sum() / len(BONES)))


def _shape(rotations: Array, root: Array, later_rotations: Array, later_root: Array) -> Array:
    """(N, 132) what two bodies are compared by."""
    back = rotation.from_yaw(-rotation.yaw_of(rotations[:, 0]))[:, None]
    ground = root * np.array([1.0, 0.0, 1.0])
    now = forward_kinematics(rotations, root)[0] - ground[:, None]
    then = forward_kinematics(later_rotations, later_root)[0] - ground[:, None]
    now, then = rotation.rotate(back, now), rotation.rotate(back, then)
    return np.concatenate([now.reshape(len(now), -1), (then - now).reshape(len(now), -1)], axis=1)


def compose(
    repertoire: Repertoire,
    beats: Array,
    silences: list[tuple[float, float]],
    seconds: float,
    rng: np.random.Generator,
    first: Callable[[Array], int] = lambda beats: 0,
    strict: bool = False,
) -> tuple[Body, list[str]]:
    """Return a dance for a whole piece of music.

    Args:
        repertoire: what may be danced, made for the rate of ``beats``.
        beats: (N,) rising seconds at which the dancer steps; none in silences.
        silences: (start, stop) in seconds, rising.
        seconds: length of the dance.
        rng: chooses; the same state gives the same dance.
        first: which of the first eight of some dance beats (N,) in seconds begins a phrase.
        strict: whether phrases come again.

    Returns:
        poses at :data:`FPS` for 0 … ``seconds``, and the names of the takes used.
    """
    frames = int(np.ceil(seconds * FPS)) + 1
    dance = _Dance(repertoire, rng, frames)
    edge = 0.0
    for start, stop in [*silences, (seconds, seconds)]:
        inside = beats[(beats >= edge - 1e-6) & (beats < start + 1e-6)]
        if len(inside) >= 4 and start > edge:
            dance.dance(edge, min(start + _REACTION, seconds), inside, first(inside), strict)
        if stop > start:
            dance.rest(start + _REACTION if start > 0.0 else 0.0, stop)
        edge = stop
    return on_beat(dance.body(), beats, silences), dance.used


def on_beat(body: Body, beats: Array, silences: list[tuple[float, float]], rounds: int = 2) -> Body:
    """Return the dance with its kinematic beats on ``beats``, from which joining and blending moved them.

    Time is warped smoothly, between two beats by no more than a third; in silences not at all.
    """
    seconds = (len(body) - 1) / FPS
    still = [edge for start, stop in silences for edge in (start + _REACTION, start + _REACTION + _SETTLE, stop)]
    best, reached = body, -1.0
    for _ in range(rounds + 1):
        motion = Motion(body.rotations, body.root, body.contacts, FPS)
        found = kinematic_beats(motion.positions(), FPS)
        if alignment(beats, found) <= reached or len(found) == 0:
            break
        best, reached = body, alignment(beats, found)
        nearest = found[np.abs(found[:, None] - beats).argmin(axis=0)]
        period = np.minimum(np.diff(beats, prepend=-np.inf), np.diff(beats, append=np.inf))
        moved = np.where(np.abs(nearest - beats) < 0.3 * period, nearest, beats)
        near_silence = np.zeros(len(beats), dtype=bool)
        for edge in still:
            near_silence |= np.abs(beats - edge) < 0.3
        moved[near_silence] = beats[near_silence]
        rate = np.diff(moved) / np.diff(beats)
        bad = (rate > _WARP) | (rate < 1.0 / _WARP)
        hold = np.concatenate([[False], bad]) | np.concatenate([bad, [False]])
        moved[hold] = beats[hold]
        fixed = np.array([0.0, *[t for t in still if np.abs(beats - t).min() > 0.05 and 0.0 < t < seconds], seconds])
        inside = (beats > 0.02) & (beats < seconds - 0.02)
        places, order = np.unique(np.concatenate([beats[inside], fixed]), return_index=True)
        targets = np.concatenate([moved[inside], fixed])[order]
        if (np.diff(targets) <= 0.0).any():
            break
        warp = PchipInterpolator(places, targets)
        body = Body(*motion.at(warp(np.arange(len(body)) / FPS)))
    return best


class _Dance:
    """A dance as it is being put together, always filled up to ``self.frame``."""

    def __init__(self, repertoire: Repertoire, rng: np.random.Generator, frames: int) -> None:
        self.repertoire, self.rng, self.frames = repertoire, rng, frames
        self.rotations = np.tile(rotation.IDENTITY.astype(float), (frames, len(BONES), 1))
        self.root = np.zeros((frames, 3))
        self.contacts = np.zeros((frames, 2))
        self.filled = 0
        self.used: list[str] = []
        self.recent: list[int] = []

    def body(self) -> Body:
        return Body(self.rotations, self.root, self.contacts)

    def rest(self, start: float, stop: float) -> None:
        """Comes to rest from ``start`` on and stands until the dance wakes after ``stop``."""
        first = round(start * FPS)
        last = min(round((stop + _REACTION + _WAKE) * FPS) + 1, self.frames)
        standing = _stance(last - first, self.rng)
        self._join(standing, first, round(_SETTLE * FPS), 0.0, at_feet=True)

    def dance(self, start: float, stop: float, beats: Array, phrase: int = 0, strict: bool = False) -> None:
        """Dances from ``start`` to ``stop`` on ``beats``, of which number ``phrase`` begins a phrase."""
        period = float(np.diff(beats).mean())
        now, end = start + (_REACTION / 2 if self.filled else 0.0), min(stop, self.frames / FPS)
        # The count goes on evenly before the first and after the last beat, for as long as is danced.
        before = max(8, int(np.ceil((beats[0] - now) / period)) + 2)
        after = max(8, int(np.ceil((end - beats[-1]) / period)) + 2)
        early, late = np.arange(before, 0, -1), np.arange(1, after + 1)
        grid = np.concatenate([beats[0] - period * early, beats, beats[-1] + period * late])
        count = np.arange(-before, len(beats) + after)
        blend = _WAKE
        figures: list[int] = []
        while now < end:
            first = round(now * FPS)
            begin = float(np.interp(first / FPS, grid, count))
            left = float(np.interp(end, grid, count)) - begin
            entry, turn = self._next_figure(first, figures) if strict else self._choose(first)
            figures.append(entry)
            whole = int(np.ceil(begin - 1e-6))
            length = self._length(entry, first, turn, whole - phrase, period, strict)
            if left - length < 3.0:
                length = min(int(self.repertoire.remaining()[entry]), int(np.ceil(left)) + 2)
            # One beat longer than the next stretch's start: over it, the two are blended.
            last_time = min(float(np.interp(whole + length, count, grid)), end + _SETTLE + 0.2)
            last = min(round(last_time * FPS) + 1, self.frames)
            times = np.arange(first, max(last, first + 2)) / FPS
            place = np.interp(times, grid, count) - whole + self.repertoire.beat[entry]
            pulse = self.repertoire.pulses[self.repertoire.pulse[entry]]
            body = Body(*pulse.motion.at(pulse.seconds_at(np.maximum(place, 0.0))))
            self._join(body, first, round(blend * FPS), turn)
            self.recent = [*self.recent[-2:], int(self.repertoire.pulse[entry])]
            name = self.repertoire.names[self.repertoire.pulse[entry]]
            if name not in self.used:
                self.used.append(name)
            if last_time >= end:
                break
            now = float(np.interp(whole + length - 1, count, grid))
            blend = last_time - now

    def _length(self, entry: int, first: int, turn: float, count: int, period: float, strict: bool) -> int:
        """Beats of a stretch: as many as chosen, possible and facing the audience, up to the last beat of a phrase."""
        heading = self._stands_at(first)[1] + turn
        longest = min(
            int(self.repertoire.remaining()[entry]),
            self._beats_inside(entry, first, turn),
            _beats_facing(self.repertoire.full_facing(entry) + heading, period),
        )
        wanted = int(self.rng.integers(1, 3)) * _PHRASE if strict else int(self.rng.integers(_FEWEST, _MOST + 1))
        length = min(longest, wanted)
        # The next stretch begins one beat before the end, on the last beat of a phrase.
        over = (count + length) % _PHRASE
        return length - over if length - over >= _FEWEST_BEFORE_EDGE else length

    def _stands_at(self, frame: int) -> tuple[Array, float]:
        """Place (2,) and heading at ``frame``, or where a dance begins."""
        if self.filled <= frame:
            return np.zeros(2), 0.0
        return self.root[frame, [0, 2]], float(rotation.yaw_of(self.rotations[frame, 0]))

    def _next_figure(self, first: int, figures: list[int]) -> tuple[int, float]:
        """Entry and turn of a strict phrase: the one before again, or the one before that, or a new one."""
        draw = self.rng.random()
        back = 1 if draw < _AGAIN else 2 if draw < _AGAIN + _EARLIER else 0
        # Three times is often enough.
        if back and len(figures) >= back and figures[-3:].count(figures[-back]) < 3:
            entry = figures[-back]
            turn, cost = self._best_turn(entry, first)
            if cost < _JOINABLE:
                return entry, turn
        loops = np.minimum(self.repertoire.loop.min(axis=1), 1.0)
        return self._choose(first, 0.5 * loops)

    def _best_turn(self, entry: int, first: int) -> tuple[float, float]:
        """How far an entry is best turned at frame ``first``, and how unlike the body there is to its beginning."""
        place, heading = self._stands_at(first)
        cost = self._turn_costs(np.array([entry]), place, heading, _TURNS)[:, 0]
        unlike = _distance(self._shape_at(first), self.repertoire.shape[entry]) if self.filled > first else 0.0
        return float(_TURNS[int(np.argmin(cost))]), unlike

    def _shape_at(self, first: int) -> Array:
        after = min(first + 6, self.filled - 1)
        return _shape(
            self.rotations[first : first + 1], self.root[first : first + 1],
            self.rotations[after : after + 1], self.root[after : after + 1],
        )[0]  # fmt: skip

    def _choose(self, first: int, more: Array | float = 0.0) -> tuple[int, float]:
        """Entry that continues best from frame ``first``, and how far it is turned; ``more`` (M,) is added cost."""
        stage = self.repertoire
        cost = self.rng.exponential(0.05, size=len(stage.beat)) + more
        cost += 0.2 * np.isin(stage.pulse, self.recent)
        # The best of all would nearly always be a calm one, which joins with everything: one is drawn, and one of its
        # liveliness is sought.
        wanted = stage.effort[self.rng.choice(len(cost), p=stage.weight)]
        cost += _EFFORT * np.abs(stage.effort - wanted)
        turns = np.zeros(1)
        if self.filled > first:
            cost += np.sqrt(((stage.shape - self._shape_at(first)) ** 2).sum(axis=1) / len(BONES))
            turns = _TURNS
        total = cost + self._turn_costs(np.arange(len(cost)), *self._stands_at(first), turns)
        best = int(np.argmin(total))
        return best % len(cost), float(turns[best // len(cost)])

    def _turn_costs(self, entries: Array, place: Array, heading: float, turns: Array) -> Array:
        """Return the cost (turns, entries) of ways and facing of entries that are turned, from a place and heading."""
        stage = self.repertoire
        way = np.stack([_turned(stage.way[entries], heading + turn) + place for turn in turns])
        outside = np.maximum(np.linalg.norm(way, axis=-1) - _STAGE, 0.0)
        away = np.abs(_wrapped(stage.facing[entries][None] + heading + turns[:, None, None]))
        facing = _FACING * np.square(away / _AWAY).mean(axis=2)
        return outside.mean(axis=2) + outside[..., -1] + 0.08 * np.abs(turns)[:, None] + facing

    def _beats_inside(self, entry: int, first: int, turn: float) -> int:
        """Beats from an entry, begun at frame ``first`` and turned, until the way leaves the stage."""
        way = self.repertoire.full_way(entry)
        place, heading = self._stands_at(first)
        outside = np.linalg.norm(_turned(way, heading + turn) + place, axis=-1) > _EDGE
        outside[:_FEWEST_BEFORE_EDGE] = False
        return int(np.argmax(outside)) if outside.any() else len(outside)

    def _join(self, body: Body, first: int, blend: int, turn: float, at_feet: bool = False) -> None:
        """Continues with ``body`` from frame ``first``, passing over to it within ``blend`` frames."""
        last = min(first + len(body), self.frames)
        overlap = min(max(self.filled - first, 0), blend, last - first)
        heading = float(rotation.yaw_of(body.rotations[0, 0]))
        if overlap < 2:
            place = self.rng.uniform(-0.3, 0.3, size=2)
            chest = float(np.angle(np.exp(1j * _chest_heading(body.rotations[::6], body.root[::6])).mean()))
            body = body.placed(float(self.rng.uniform(-0.5, 0.5)) - chest, body.root[0, [0, 2]], place)
            self._write(body, first, last)
            return
        middle = overlap // 2
        own = slice(first, first + overlap)
        target = float(rotation.yaw_of(self.rotations[first + middle, 0]))
        place = self.root[first + middle, [0, 2]]
        if at_feet:
            place = self._between_feet(first + middle)
        heading = float(rotation.yaw_of(body.rotations[middle, 0]))
        body = body.placed(target + turn - heading, body.root[middle, [0, 2]], place)
        before = Body(self.rotations[own].copy(), self.root[own].copy(), self.contacts[own].copy())
        self._write(body, first, last)
        ahead = Body(body.rotations[:overlap], body.root[:overlap], body.contacts[:overlap])
        passed = _pass_over(before, ahead)
        self.rotations[own], self.root[own], self.contacts[own] = passed.rotations, passed.root, passed.contacts

    def _between_feet(self, frame: int) -> Array:
        positions, _ = forward_kinematics(self.rotations[frame], self.root[frame])
        return np.asarray(positions[[pair[0] for pair in FEET]].mean(axis=0)[[0, 2]])

    def _write(self, body: Body, first: int, last: int) -> None:
        count = last - first
        self.rotations[first:last] = body.rotations[:count]
        self.root[first:last] = body.root[:count]
        self.contacts[first:last] = body.contacts[:count]
        self.filled = max(self.filled, last) if last < self.filled else last


def _beats_facing(facing: Array, period: float) -> int:
    """Beats until a dancer, whose chest faces ``facing`` (N,) at each, has been turned away for too long."""
    longest = max(int(_LONGEST_AWAY / period), 1)
    run = 0
    for beat, away in enumerate(np.abs(_wrapped(facing)) > _AWAY):
        run = run + 1 if away else 0
        if run > longest and beat >= _FEWEST_BEFORE_EDGE:
            return beat
    return len(facing)


def _wrapped(angle: Array) -> Array:
    return np.asarray(np.arctan2(np.sin(angle), np.cos(angle)))


def _turned(points: Array, angle: float) -> Array:
    """Points (..., 2) of the floor, x and z, turned by ``angle`` radians about the centre."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.stack(rotation.turn_floor(points[..., 0], points[..., 1], sine, cosine), axis=-1)


def _pass_over(before: Body, after: Body) -> Body:
    """From one body to the other over their common length; the feet step across, one after the other."""
    t = (np.arange(len(before)) + 1.0) / (len(before) + 1.0)
    weight = smoothsteps(t)
    rotations = _steady_slerp(before.rotations, after.rotations, weight[:, None])
    root = before.root + weight[:, None] * (after.root - before.root)
    old, old_turn = forward_kinematics(before.rotations, before.root)
    new, new_turn = forward_kinematics(after.rotations, after.root)
    hips = forward_kinematics(rotations, root)[0][:, [INDEX["LeftUpperLeg"], INDEX["RightUpperLeg"]]]
    ankles = np.empty((len(t), 2, 3))
    feet = np.empty((len(t), 2, 4))
    contacts = np.empty((len(t), 2))
    # The foot that bears less steps first.
    leading = int(before.contacts[: len(t) // 2 + 1, 0].mean() > before.contacts[: len(t) // 2 + 1, 1].mean())
    for foot, (ankle, _) in enumerate(FEET):
        start = 0.05 if foot == leading else 0.5
        step = smoothsteps((t - start) / 0.45)
        distance = float(np.linalg.norm((new[:, ankle] - old[:, ankle])[len(t) // 2, [0, 2]]))
        lift = min(_LIFT, 0.5 * distance) * 4.0 * step * (1.0 - step)
        ankles[:, foot] = _swing(hips[:, foot], old[:, ankle], new[:, ankle], step[:, None])
        ankles[:, foot, 1] += lift
        feet[:, foot] = _steady_slerp(old_turn[:, ankle], new_turn[:, ankle], step)
        contacts[:, foot] = np.where(step < 0.02, before.contacts[:, foot], after.contacts[:, foot])
        if distance > 0.02:
            contacts[(step >= 0.02) & (step <= 0.98), foot] = 0.0
    ankles[..., 1] += np.maximum(0.0, -_sole_heights(ankles, feet))
    # The hips must not be further from an ankle than the leg is long.
    sink = _overreach(rotations, root, ankles)
    root[:, 1] -= sink
    return Body(place_ankles(rotations, root, ankles, feet), root, contacts)


def _sole_heights(ankles: Array, feet: Array) -> Array:
    """(T, 2) metres from the floor to the lower end of each sole, of ankles (T, 2, 3) and feet (T, 2, 4)."""
    toes = np.stack(
        [ankles[:, foot] + rotation.rotate(feet[:, foot], REST_OFFSETS[toe]) for foot, (_, toe) in enumerate(FEET)],
        axis=1,
    )
    return np.minimum(ankles[..., 1] - ANKLE_HEIGHT, toes[..., 1] - TOE_HEIGHT)


def _swing(hip: Array, start: Array, stop: Array, t: Array) -> Array:
    """Ankle (T, 3) on its way from ``start`` to ``stop``: round the hip, so that a kicking leg comes down in an arc."""
    a, b = start - hip, stop - hip
    long_a, long_b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    arc = rotation.between(a / long_a, b / long_b)
    part = rotation.slerp(np.broadcast_to(rotation.IDENTITY, arc.shape), arc, t[:, 0])
    return np.asarray(hip + rotation.rotate(part, a / long_a) * (long_a + t * (long_b - long_a)))


def _steady_slerp(a: Array, b: Array, t: Array) -> Array:
    """Slerp of two movements (T, ..., 4) that goes the same way round in all frames, the shorter one at the middle."""
    a, b = _without_sign_flips(a), _without_sign_flips(b)
    middle = len(a) // 2
    b = np.where(np.sum(a[middle] * b[middle], axis=-1) < 0.0, -1.0, 1.0)[..., None] * b
    angle = np.arccos(np.clip(np.sum(a * b, axis=-1), -1.0, 1.0))
    sine = np.maximum(np.sin(angle), 1e-6)
    near = np.broadcast_to(sine < 1e-3, angle.shape)
    weight_a = np.where(near, 1.0 - t, np.sin((1.0 - t) * angle) / sine)
    weight_b = np.where(near, t, np.sin(t * angle) / sine)
    return rotation.normalize(weight_a[..., None] * a + weight_b[..., None] * b)


def _without_sign_flips(quaternions: Array) -> Array:
    """Return the same rotations (T, ..., 4), each with the sign nearer to the one before."""
    flips = np.where(np.sum(quaternions[1:] * quaternions[:-1], axis=-1) < 0.0, -1.0, 1.0)
    signs = np.concatenate([np.ones((1, *flips.shape[1:])), np.cumprod(flips, axis=0)])
    return np.asarray(quaternions * signs[..., None])


def _overreach(rotations: Array, root: Array, ankles: Array) -> Array:
    """(T,) metres by which the hips are too high for the ankles, smoothed so that they do not jerk."""
    positions, _ = forward_kinematics(rotations, root)
    hips = positions[:, [INDEX["LeftUpperLeg"], INDEX["RightUpperLeg"]]]
    aside = np.linalg.norm((hips - ankles)[..., [0, 2]], axis=-1)
    allowed = np.sqrt(np.maximum(0.815**2 - aside**2, 0.01))
    excess = np.maximum((hips - ankles)[..., 1] - allowed, 0.0).max(axis=1)
    peak = min(float(excess.max()), 0.15)
    return np.asarray(peak * np.sin(np.pi * (np.arange(len(excess)) + 1) / (len(excess) + 1)) ** 0.5)


def _stance(frames: int, rng: np.random.Generator) -> Body:
    """Standing at ease: arms hanging, feet under the hips, breathing, the weight shifting a little."""
    still = pose.rest_pose()
    rotations = np.tile(still.rotations.astype(float), (frames, 1, 1))
    root = np.tile(still.root.astype(float), (frames, 1))
    time = np.arange(frames) / FPS + rng.uniform(0.0, 10.0)
    breath = np.sin(2 * np.pi * time / rng.uniform(3.5, 5.0))
    shift = np.sin(2 * np.pi * time / rng.uniform(5.0, 9.0))
    right, up, front = np.eye(3)
    lean = rng.uniform(0.0, 0.04)

    def turn(bone: str, axis: Array, angle: Array | float) -> None:
        index = INDEX[bone]
        rotations[:, index] = rotation.multiply(rotations[:, index], rotation.from_axis_angle(axis, angle))

    turn("Chest", right, lean + 0.010 * breath)
    turn("UpperChest", right, 0.5 * lean - 0.012 * breath)
    turn("Spine", front, 0.015 * shift)
    turn("Head", right, rng.uniform(-0.05, 0.10) - lean)
    turn("Head", up, rng.uniform(-0.15, 0.15) + 0.05 * shift)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        turn(f"{side}LowerArm", up, -sign * rng.uniform(0.15, 0.35) + 0.01 * breath)
        turn(f"{side}UpperArm", front, -sign * (rng.uniform(-0.05, 0.10) - 0.01 * breath))
    root[:, 1] -= 0.012
    root[:, 0] += 0.012 * shift
    feet, turns = forward_kinematics(still.rotations.astype(float), still.root.astype(float))
    spread = rng.uniform(0.0, 0.03)
    ankles = np.tile(feet[[pair[0] for pair in FEET]] + np.array([[spread, 0, 0], [-spread, 0, 0]]), (frames, 1, 1))
    toes_out = rotation.from_yaw(np.array([1.0, -1.0]) * rng.uniform(0.05, 0.2))
    soles = np.tile(rotation.multiply(toes_out, turns[[pair[0] for pair in FEET]]), (frames, 1, 1))
    return Body(place_ankles(rotations, root, ankles, soles), root, np.ones((frames, 2)))
