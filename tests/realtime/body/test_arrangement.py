"""What a performer imposes shows in the poses, without a jump; and left alone, nothing changes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from dancerev.model import rotation
from dancerev.model.pose import FRAME_RATE, Pose, PoseDecoder, rest_pose
from dancerev.model.skeleton import BONES
from dancerev.realtime.body.arrangement import CREWS, FORMATIONS, SPACING, Arrangement, formation, mirrored
from dancerev.realtime.body.post_process import MAX_JOINT_SPEED, PostProcessor

PERIOD = 0.5


def swing(dancer, time):
    """A dance of its own for each dancer: arms, legs and hips swing, one-sidedly; it also turns and walks about."""
    phases = np.arange(len(BONES)) * 0.7 + dancer
    axes = np.stack([np.cos(phases), np.sin(phases), np.cos(2 * phases)], axis=1)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return rotation.from_axis_angle(axes, 0.3 * np.sin(2.0 * math.pi * time + phases)).astype(np.float32)


class Crew:
    """Dancers whose decoders walk as a dance does, arranged and post-processed frame by frame."""

    def __init__(self, count):
        middles = formation("line", count)
        self.dancers = [SimpleNamespace(decoder=PoseDecoder(), middle=middle.copy()) for middle in middles]
        self.bodies = [PostProcessor() for _ in self.dancers]
        self.arrangement = Arrangement()
        self.frame = 0

    def step(self):
        """The decoded poses, and the poses shown."""
        self.frame += 1
        time = self.frame / FRAME_RATE
        poses = []
        for k, dancer in enumerate(self.dancers):
            place = dancer.decoder
            place.heading = math.remainder(place.heading + 0.02 * (k + 1), math.tau)
            place.place += 0.03 * np.array([math.sin(place.heading), math.cos(place.heading)])
            rotations = swing(k, time)
            rotations[0] = rotation.from_yaw(np.float32(place.heading))
            root = np.array([place.place[0], 0.92, place.place[1]], dtype=np.float32)
            poses.append(Pose(time, rotations, root, np.ones(2, dtype=np.float32)))
        own = list(poses)
        arranged = self.arrangement.apply(self.dancers, poses, PERIOD)
        return own, arranged

    def run(self, seconds):
        return [self.step() for _ in range(round(seconds * FRAME_RATE))]


def same(a, b, tolerance=1e-4):
    turned = np.abs(np.sum(a.rotations * b.rotations, axis=-1))
    return turned.min() > 1 - tolerance and np.abs(a.root - b.root).max() < tolerance


def test_left_alone_it_changes_nothing():
    for own, arranged in Crew(3).run(2.0):
        assert all(a is b for a, b in zip(own, arranged, strict=True))


def test_unison():
    crew = Crew(3)
    crew.run(1.0)
    crew.arrangement.crew = "unison"
    crew.run(6.0)
    for own, arranged in crew.run(1.0):
        assert all(same(pose, own[0]) for pose in arranged)


def test_canon_is_the_first_dancer_some_beats_later():
    crew = Crew(3)
    crew.arrangement.canon = 1.0
    history = crew.run(3.0)
    crew.arrangement.crew = "canon"
    history += crew.run(6.0)
    delay = round(PERIOD * FRAME_RATE)
    for index in range(len(history) - 10, len(history)):
        arranged = history[index][1]
        for k in range(3):
            earlier = history[index - k * delay][0][0]
            mid = rotation.slerp(earlier.rotations, history[index - k * delay - k][0][0].rotations, 0.5)
            assert np.abs(np.sum(arranged[k].rotations * mid, axis=-1)).min() > 0.99  # 7.5 frames a beat


@pytest.mark.parametrize("crew", CREWS)
def test_a_single_dancer_dances_as_alone_in_every_crew(crew):
    alone = Crew(1)
    alone.arrangement.crew = crew
    for own, arranged in alone.run(6.0)[-10:]:
        assert same(arranged[0], own[0])


def test_mirror_crew_and_mirror():
    crew = Crew(2)
    crew.arrangement.crew = "mirror"
    crew.run(6.0)
    own, arranged = crew.step()
    assert same(arranged[0], own[0])
    assert same(arranged[1], mirrored(own[0]))
    alone = Crew(1)
    alone.run(1.0)
    alone.arrangement.mirror = True
    alone.run(2.0)
    own, arranged = alone.step()
    assert same(arranged[0], mirrored(own[0]))


def test_mirrored_twice_is_the_same():
    pose = Crew(1).step()[0][0]
    assert same(mirrored(mirrored(pose)), pose, 1e-6)
    positions, reflected = pose.positions(), mirrored(pose).positions()
    swapped = [BONES.index(name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")) for name in BONES]
    np.testing.assert_allclose(reflected[swapped], positions * [-1, 1, 1], atol=1e-5)


def test_freeze_holds_and_breathes_and_the_dance_goes_on_from_there():
    crew = Crew(1)
    (_, (before,)) = crew.run(2.0)[-1]
    crew.arrangement.freeze = True
    held = [arranged[0] for _, arranged in crew.run(5.0)][10:]
    assert max(np.abs(pose.root - before.root).max() for pose in held) < 1e-5
    turned = [np.abs(np.sum(pose.rotations * before.rotations, axis=-1)) for pose in held]
    assert np.min(turned) > math.cos(math.radians(1.0))
    assert len({pose.rotations.tobytes() for pose in held}) > 10  # it breathes
    crew.arrangement.freeze = False
    own, arranged = crew.run(1.5)[-1]
    assert same(arranged[0], own[0])
    assert np.hypot(*(arranged[0].root - before.root)[[0, 2]]) < 1.0  # it did not walk on behind the scenes


def test_rest_comes_to_rest_where_it_is_and_blackout_parks():
    crew = Crew(1)
    (_, (before,)) = crew.run(3.0)[-1]
    crew.arrangement.rest = True
    (_, (resting,)) = crew.run(2.0)[-1]
    np.testing.assert_allclose(resting.root[[0, 2]], before.root[[0, 2]], atol=1e-4)
    arms = [BONES.index(name) for name in ("LeftUpperArm", "RightUpperArm")]
    np.testing.assert_allclose(np.abs(resting.rotations[arms]), np.abs(rest_pose().rotations[arms]), atol=1e-4)
    crew.arrangement.blackout = True
    (_, (parked,)) = crew.run(5.0)[-1]
    np.testing.assert_allclose(parked.root, rest_pose().root, atol=1e-4)
    assert abs(float(rotation.yaw_of(parked.rotations[0]))) < 1e-4


@pytest.mark.parametrize("name", FORMATIONS)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_formations_have_room(name, count):
    places = formation(name, count)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + 99 * np.eye(count)
    assert places.shape == (count, 3)
    np.testing.assert_allclose(places[:, 0].mean(), 0.0, atol=1e-6)
    assert distances.min() > 0.99 * SPACING if name != "together" else not places.any()


def test_dancers_walk_into_another_formation():
    crew = Crew(3)
    crew.step()
    crew.arrangement.formation = "circle"
    before = [dancer.middle.copy() for dancer in crew.dancers]
    crew.step()
    moved = [np.linalg.norm(dancer.middle - old) for dancer, old in zip(crew.dancers, before, strict=True)]
    assert 0.0 < max(moved) < 1.0 / FRAME_RATE
    crew.run(10.0)
    np.testing.assert_allclose([dancer.middle for dancer in crew.dancers], formation("circle", 3), atol=1e-5)


def test_nothing_jumps_whatever_is_switched():
    """After post-processing, no joint is faster than the limit at any of 60 switches."""
    rng = np.random.default_rng(0)
    crew = Crew(3)
    switches = [("crew", name) for name in CREWS] + [("formation", name) for name in FORMATIONS]
    switches += [(name, on) for name in ("mirror", "freeze", "rest", "blackout") for on in (True, False)]
    last, fastest = None, 0.0
    for _ in range(60):
        name, value = switches[rng.integers(len(switches))]
        setattr(crew.arrangement, name, value)
        for _, arranged in crew.run(0.4):
            shown = [
                body.process(Pose(pose.time, pose.rotations, pose.root + dancer.middle, pose.contacts))
                for body, dancer, pose in zip(crew.bodies, crew.dancers, arranged, strict=True)
            ]
            positions = np.array([pose.positions() for pose in shown])
            assert np.isfinite(positions).all()
            if last is not None:
                fastest = max(fastest, np.linalg.norm(positions - last, axis=-1).max() * FRAME_RATE)
            last = positions
    assert fastest < 1.3 * MAX_JOINT_SPEED  # planting feet adds a little


def test_a_restart_shows_the_next_pose_at_once():
    crew = Crew(1)
    crew.arrangement.freeze = True
    crew.run(2.0)
    crew.arrangement.freeze = False
    crew.arrangement.restart()
    own, arranged = crew.step()
    assert arranged[0] is own[0]
