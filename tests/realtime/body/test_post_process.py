"""Whatever comes in, a possible body goes out: finite, within its speed, above the floor, its planted feet still."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dancerev.model import rotation, skeleton
from dancerev.model.corpus.ik import place_ankles
from dancerev.model.pose import POSE_SIZE, TRAVEL, TURN, Pose, PoseDecoder, encode, rest_pose
from dancerev.realtime.body import scalar_kinematics as body
from dancerev.realtime.body.interpolate import PoseInterpolator
from dancerev.realtime.body.post_process import MAX_JOINT_SPEED, PostProcessor, limit_joints
from dancerev.realtime.body.stage_bounds import StageBounds

ANKLES = [ankle for ankle, _ in skeleton.FEET]
TOES = [toe for _, toe in skeleton.FEET]
HIPS = skeleton.INDEX["Hips"]


def stack(poses):
    """Joint positions (T, 22, 3)."""
    rotations, root = np.array([p.rotations for p in poses]), np.array([p.root for p in poses])
    return skeleton.forward_kinematics(rotations.astype(np.float64), root.astype(np.float64))[0]


def process_all(poses, **stages):
    processor = PostProcessor(**stages)
    return [processor.process(pose) for pose in poses]


BENT = rest_pose().rotations.astype(np.float64)
for _side in ("Left", "Right"):
    BENT[skeleton.INDEX[_side + "UpperLeg"]] = [math.sin(-0.3), 0.0, 0.0, math.cos(-0.3)]
    BENT[skeleton.INDEX[_side + "LowerLeg"]] = [math.sin(0.6), 0.0, 0.0, math.cos(0.6)]


def walk(seconds=6.0, fps=15, speed=0.7, period=1.2, slide=0.0):
    """A walk along +Z whose planted feet stand exactly still; ``slide`` m/s pulls the whole body sideways."""
    times = np.arange(int(seconds * fps)) / fps
    rest = rest_pose()
    rotations = np.tile(BENT, (len(times), 1, 1))
    root = np.tile(rest.root.astype(np.float64), (len(times), 1))
    root[:, 1] -= 0.06 + 0.01 * np.cos(4.0 * np.pi * times / period)
    root[:, 2] = speed * times
    ankles, contacts = np.zeros((len(times), 2, 3)), np.zeros((len(times), 2))
    stride = speed * period
    for side, shift in enumerate((0.0, 0.5)):
        phase = times / period + shift
        step, within = np.floor(phase), phase - np.floor(phase)
        swing = np.clip((within - 0.6) / 0.4, 0.0, 1.0)
        ankles[:, side, 0] = 0.09 - 0.18 * side
        ankles[:, side, 1] = skeleton.ANKLE_HEIGHT + 0.1 * np.sin(np.pi * swing) ** 2
        ankles[:, side, 2] = stride * (step - shift + 0.3 + swing**2 * (3.0 - 2.0 * swing))
        contacts[:, side] = within < 0.6
    feet = np.tile([0.0, 0.0, 0.0, 1.0], (len(times), 2, 1))
    rotations = place_ankles(rotations, root, ankles, feet)
    root[:, 0] += slide * times
    return [
        Pose(t, q.astype(np.float32), r.astype(np.float32), c.astype(np.float32))
        for t, q, r, c in zip(times, rotations, root, contacts, strict=True)
    ]


def standing(seconds, sway, fps=15, contact=1.0):
    """A dancer with bent knees on two flat feet, its hips moved by ``sway`` (t → x, y, z)."""
    times = np.arange(int(seconds * fps)) / fps
    rest = rest_pose()
    rotations = np.tile(BENT, (len(times), 1, 1))
    root = rest.root.astype(np.float64) + [0.0, -0.05, 0.0]
    ankles = np.tile(rest.positions()[ANKLES].astype(np.float64), (len(times), 1, 1))
    rotations = place_ankles(
        rotations, np.tile(root, (len(times), 1)), ankles, np.tile([0, 0, 0, 1.0], (len(times), 2, 1))
    )
    moved = [root + np.array(sway(t)) for t in times]
    contacts = np.full(2, contact, dtype=np.float32)
    return [
        Pose(t, q.astype(np.float32), r.astype(np.float32), contacts)
        for t, q, r in zip(times, rotations, moved, strict=True)
    ]


def assert_valid(pose):
    assert pose.is_finite()
    assert pose.rotations.shape == (22, 4)
    assert pose.rotations.dtype == pose.root.dtype == pose.contacts.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(pose.rotations, axis=-1), 1.0, atol=1e-5)
    assert pose.contacts.min() >= 0.0
    assert pose.contacts.max() <= 1.0


ANYTHING = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, 2.0**-100, 2.0**100, math.nan, math.inf, -math.inf])


@st.composite
def garbage(draw):
    count = draw(st.integers(1, 12))
    poses = []
    for k in range(count):
        if draw(st.booleans()):
            good = rest_pose()
            rotations, root = good.rotations.copy(), good.root.copy()
            rotations[draw(st.integers(0, 21))] = draw(hnp.arrays(np.float32, 4, elements=ANYTHING))
        else:
            rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
            scale = draw(st.sampled_from([0.0, 1e-20, 1.0, 1e20]))
            rotations = (scale * rng.normal(size=(22, 4))).astype(np.float32)
            root = draw(hnp.arrays(np.float32, 3, elements=ANYTHING))
        poses.append(Pose(k / 15, rotations, root, draw(hnp.arrays(np.float32, 2, elements=ANYTHING))))
    return poses


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(garbage())
def test_garbage_in_a_valid_body_above_the_floor_out(poses):
    out = process_all(poses)
    assert [pose.time for pose in out] == [pose.time for pose in poses]
    for pose in out:
        assert_valid(pose)
        assert pose.positions()[:, 1].min() > -1e-4


@pytest.mark.parametrize("stages", [{}, {"limits": False, "plant_feet": False, "floor": False}])
def test_no_joint_runs_however_wild_the_poses(stages):
    rng = np.random.default_rng(0)
    poses = []
    for k in range(100):
        rotations = rotation.normalize(rng.normal(size=(22, 4))).astype(np.float32)
        poses.append(
            Pose(
                k / 15,
                rotations,
                rng.normal(size=3, scale=3.0).astype(np.float32),
                rng.uniform(size=2).astype(np.float32),
            )
        )
    given_, out = stack(poses), stack(process_all(poses, **stages))
    speed = [np.linalg.norm(np.diff(positions, axis=0), axis=-1).max() * 15 for positions in (given_, out)]
    assert speed[0] > 5 * MAX_JOINT_SPEED
    assert speed[1] < (MAX_JOINT_SPEED * 1.001 if stages else 2.0 * MAX_JOINT_SPEED)


def test_broken_poses_are_bridged_by_the_last_good_one():
    poses = walk(2.0)
    broken = Pose(poses[10].time, np.full((22, 4), np.nan, dtype=np.float32), poses[10].root, poses[10].contacts)
    before, bridged = process_all(poses[:11])[9:11], process_all([*poses[:10], broken])
    np.testing.assert_allclose(bridged[9].rotations, before[0].rotations)
    np.testing.assert_allclose(bridged[10].root, bridged[9].root, atol=0.01)
    assert bridged[10].time == poses[10].time


def test_a_broken_first_pose_becomes_the_stance():
    out = process_all(
        [Pose(0.0, np.zeros((22, 4), np.float32), np.full(3, np.nan, np.float32), np.zeros(2, np.float32))]
    )
    np.testing.assert_allclose(out[0].rotations, rest_pose().rotations, atol=1e-4)


def test_clean_motion_passes_nearly_unchanged():
    poses = walk()
    moved = np.linalg.norm(stack(process_all(poses)) - stack(poses), axis=-1)
    assert np.median(moved) < 1e-5
    assert moved.max() < 0.01


def test_a_stance_is_left_as_it_is_and_processing_twice_changes_nothing_more():
    poses = standing(3.0, lambda t: (0.0, 0.0, 0.0))
    once = process_all(poses)
    np.testing.assert_allclose(stack(once), stack(poses), atol=1e-3)
    np.testing.assert_allclose(stack(process_all(once)), stack(once), atol=1e-3)


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_planted_feet_stand_still_while_the_hips_move(fps):
    sway = standing(6.0, lambda t: (0.05 * math.sin(4 * t), 0.02 * math.sin(7 * t), 0.04 * math.cos(3 * t) - 0.04), fps)
    given_, out = stack(sway), stack(process_all(sway))
    for joints in (ANKLES, TOES):
        assert np.ptp(given_[:, joints], axis=0).max() > 0.05
        settled = out[fps // 2 :, joints]
        assert np.linalg.norm(settled - settled[0], axis=-1).max() < 0.002


def test_without_contact_or_when_switched_off_feet_go_where_they_are_sent():
    def sway(t):
        return (0.05 * math.sin(4 * t), 0.0, 0.0)

    for poses, stages in ((standing(3.0, sway, contact=0.0), {}), (standing(3.0, sway), {"plant_feet": False})):
        np.testing.assert_allclose(stack(process_all(poses, **stages)), stack(poses), atol=1e-4)


def skating(positions, fps):
    """Share of the frames with the foot on the floor in which the ankle slides faster than 0.3 m/s."""
    slides = grounded = 0
    for ankle, toe in skeleton.FEET:
        down = (positions[1:, ankle, 1] <= 0.08) & (positions[1:, toe, 1] <= 0.05)
        speed = np.linalg.norm(np.diff(positions[:, ankle][:, [0, 2]], axis=0), axis=-1) * fps
        slides, grounded = slides + np.sum(down & (speed > 0.3)), grounded + np.sum(down)
    return slides / grounded


def test_a_sliding_walk_is_brought_to_stand_also_after_interpolation():
    poses = walk(slide=0.32, period=0.6)
    assert skating(stack(poses), 15) > 0.9
    processor, interpolator = PostProcessor(), PoseInterpolator(30)
    out = [shown for pose in poses for shown in interpolator.push(processor.process(pose))]
    assert skating(stack(out), 30) < 0.2


def test_nothing_jumps_when_feet_are_planted_and_let_go():
    """Feet dragged along under a contact that comes and goes, and a lock that is too far away to hold."""
    fps = 30
    poses = standing(8.0, lambda t: (0.3 * t, 0.0, 0.1 * math.sin(2 * t)), fps)
    poses = [Pose(p.time, p.rotations, p.root, np.full(2, float(k % 23 < 15), np.float32)) for k, p in enumerate(poses)]
    positions = [stack(poses), stack(process_all(poses))]
    speed = [np.linalg.norm(np.diff(p, axis=0), axis=-1) * fps for p in positions]
    assert speed[1].max() < speed[0].max() + 1.5
    change = np.abs(np.diff(np.diff(positions[1][:, TOES], axis=0), axis=0)).max() * fps
    assert change < 1.5  # m/s from frame to frame


def test_no_joint_below_the_floor():
    """A dancer who sinks half a metre into the floor and comes up again."""
    poses = standing(4.0, lambda t: (0.0, -0.5 * math.sin(math.pi * t / 4) ** 2, 0.0))
    lowest = [
        stack(out)[..., 1].min()
        for out in (poses, process_all(poses), process_all(poses, floor=False, plant_feet=False))
    ]
    assert lowest[0] < -0.4
    assert lowest[1] > -1e-4
    assert lowest[2] < -0.4


def test_a_lying_body_is_lifted_smoothly():
    rest = rest_pose()
    poses = []
    for k in range(60):
        tilt = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), min(k / 30, 1.0) * math.pi / 2)
        rotations = rest.rotations.copy()
        rotations[0] = tilt
        poses.append(
            Pose(
                k / 15,
                rotations,
                np.array([0.0, 0.92 - 0.9 * min(k / 30, 1.0), 0.0], np.float32),
                np.zeros(2, np.float32),
            )
        )
    out = stack(process_all(poses))
    assert out[..., 1].min() > -1e-4
    np.testing.assert_allclose(np.diff(out[:, HIPS, 1]), np.diff(stack(poses)[:, HIPS, 1]), atol=0.05)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_joint_limits_hold_and_are_kept(seed):
    rng = np.random.default_rng(seed)
    rotations = [tuple(q) for q in rotation.normalize(rng.normal(size=(22, 4))).tolist()]
    limit_joints(rotations)
    for side in ("Left", "Right"):
        x, _, _, w = rotations[skeleton.INDEX[side + "LowerLeg"]]
        bend = math.remainder(2 * math.atan2(x, w), math.tau)
        assert math.radians(-5.001) < bend < math.radians(165.001)
    again = rotations.copy()
    limit_joints(again)
    np.testing.assert_allclose(np.abs(np.sum(np.array(again) * np.array(rotations), axis=-1)), 1.0, atol=1e-3)


def test_knees_do_not_bend_forwards_and_heads_do_not_turn_round():
    rotations = [tuple(q) for q in rest_pose().rotations.tolist()]
    rotations[skeleton.INDEX["LeftLowerLeg"]] = (math.sin(-0.4), 0.0, 0.0, math.cos(-0.4))
    rotations[skeleton.INDEX["Head"]] = (0.0, math.sin(1.3), 0.0, math.cos(1.3))
    limit_joints(rotations)
    assert rotations[skeleton.INDEX["LeftLowerLeg"]][0] == pytest.approx(math.sin(math.radians(-2.5)))
    assert rotations[skeleton.INDEX["Head"]][1] == pytest.approx(math.sin(math.radians(45.0)))


def test_causal_and_deterministic():
    poses = walk(slide=0.3)
    whole, part = process_all(poses), process_all(poses[:40])
    for a, b in zip(whole[:40], part, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)


def test_the_pose_given_is_not_changed():
    pose = standing(1.0, lambda t: (0.0, -0.3, 0.0))[0]
    rotations, root = pose.rotations.copy(), pose.root.copy()
    process_all([pose, pose])
    np.testing.assert_array_equal(pose.rotations, rotations)
    np.testing.assert_array_equal(pose.root, root)


def test_plain_kinematics_agree_with_numpy():
    rng = np.random.default_rng(0)
    rotations, root = rotation.normalize(rng.normal(size=(22, 4))), rng.normal(size=3)
    positions, globals_ = skeleton.forward_kinematics(rotations, root)
    plain = body.Body([tuple(q) for q in rotations.tolist()], tuple(root.tolist()))
    np.testing.assert_allclose(plain.positions, positions, atol=1e-6)
    np.testing.assert_allclose(plain.globals_, globals_, atol=1e-6)


def test_leg_reaches_the_ankle_and_agrees_with_the_array_version():
    rng = np.random.default_rng(1)
    rest = rest_pose()
    for _ in range(50):
        rotations = rest.rotations.astype(np.float64)
        for bone in ("LeftUpperLeg", "LeftLowerLeg"):
            angle = rng.uniform(0.4, 1.0) * (-1 if bone == "LeftUpperLeg" else 1.5)
            rotations[skeleton.INDEX[bone]] = [math.sin(angle / 2), 0.0, 0.0, math.cos(angle / 2)]
        root = rest.root.astype(np.float64)
        ankles = skeleton.forward_kinematics(rotations, root)[0][ANKLES]
        ankles[0] += rng.uniform(-0.03, 0.03, size=3)
        foot = rotation.from_yaw(rng.uniform(-0.5, 0.5))
        plain = body.Body([tuple(q) for q in rotations.tolist()], tuple(root.tolist()))
        leg = body.Leg("Left")
        leg.place(plain, tuple(ankles[0].tolist()), tuple(foot.tolist()))
        bent = np.array(plain.rotations)
        assert np.linalg.norm(ankles[0] - plain.positions[leg.upper]) < leg.reach
        again, globals_ = skeleton.forward_kinematics(bent, root)
        np.testing.assert_allclose(again[leg.foot], ankles[0], atol=1e-6)
        np.testing.assert_allclose(again, plain.positions, atol=1e-6)
        np.testing.assert_allclose(np.abs(globals_[leg.foot] @ foot), 1.0, atol=1e-9)
        same = place_ankles(rotations, root, ankles, np.stack([foot, [0.0, 0.0, 0.0, 1.0]]))
        other = skeleton.forward_kinematics(same, root)[0]
        np.testing.assert_allclose(again[leg.lower], other[leg.lower], atol=0.02)


class Path(PoseDecoder):
    """The decoder's path alone, so that half an hour takes no minute."""

    def decode(self, vector, time=0.0):
        x, z = (float(value) for value in vector[TRAVEL])
        sine, cosine = math.sin(self.heading), math.cos(self.heading)
        self.place += cosine * x + sine * z, cosine * z - sine * x
        self.heading = math.remainder(self.heading + float(vector[TURN][0]), math.tau)


def drift(keeper, minutes, travel, decoder):
    """Places (T, 2) and turns of a dancer whose travel at frame k is ``travel(k)`` in its own facing frame."""
    rest = rest_pose()
    vector = encode(rest.rotations[None], rest.root[None], rest.contacts[None])[0]
    places, turns = [], []
    for k in range(int(minutes * 60 * 15)):
        vector[TRAVEL] = travel(k)
        kept = keeper.correct(vector, decoder)
        before = decoder.heading
        decoder.decode(kept)
        places.append(decoder.place.copy())
        turns.append(math.remainder(decoder.heading - before, math.tau))
    return np.array(places), np.array(turns)


@pytest.mark.parametrize("kind", ["ahead", "aside", "wandering", "wild"])
def test_never_leaves_the_stage_in_half_an_hour(kind):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(27001, 2)) * (0.05 if kind == "wandering" else 5.0)
    travel = {
        "ahead": lambda k: (0.0, 0.1),
        "aside": lambda k: (-0.07, 0.0),
        "wandering": lambda k: (0.02 + noise[k, 0], noise[k, 1]),
        "wild": lambda k: noise[k],
    }[kind]
    places, turns = drift(StageBounds(2.5), 30, travel, Path())
    same, _ = drift(StageBounds(2.5), 0.2, travel, PoseDecoder())
    np.testing.assert_allclose(places[: len(same)], same, atol=1e-4)
    assert np.linalg.norm(places, axis=1).max() <= 2.5 + 1e-6
    if kind != "wild":
        assert np.abs(turns).max() * 15 < 1.001  # radians a second
        # It turns back rather than march on the spot at the edge.
        assert np.median(np.linalg.norm(places[1000:], axis=1)) < 2.25
        assert np.median(np.linalg.norm(np.diff(places, axis=0), axis=1)) > 0.05


@pytest.mark.parametrize("pull", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("heading", [-3.0, 2.5, math.pi])
def test_a_back_is_turned_round_also_where_the_network_turns_the_other_way(heading, pull):
    keeper, decoder = StageBounds(2.5), Path((0.0, 0.0), heading)
    rest = rest_pose()
    vector = encode(rest.rotations[None], rest.root[None], rest.contacts[None])[0]
    away, longest, turns = 0.0, 0.0, []
    for _ in range(60 * 15):
        vector[TURN] = math.copysign(pull / 15, decoder.heading)  # radians a frame, away from the audience
        before = decoder.heading
        decoder.decode(keeper.correct(vector, decoder, face=0.0))
        turns.append(math.remainder(decoder.heading - before, math.tau))
        away = away + 1 / 15 if abs(decoder.heading) > math.radians(110.0) else 0.0
        longest = max(longest, away)
    assert longest < 4.5
    assert np.abs(turns).max() * 15 < 2.61  # radians a second: no spin


def test_a_back_stays_turned_where_there_is_no_audience():
    keeper, decoder = StageBounds(2.5), Path((0.0, 0.0), 3.0)
    rest = rest_pose()
    vector = encode(rest.rotations[None], rest.root[None], rest.contacts[None])[0]
    for _ in range(10 * 15):
        decoder.decode(keeper.correct(vector, decoder))
    assert decoder.heading == pytest.approx(3.0)


def test_inside_the_stage_nothing_changes():
    keeper, decoder = StageBounds(2.5), PoseDecoder((1.0, 1.0), 0.7)
    vector = np.random.default_rng(0).normal(size=POSE_SIZE, scale=0.05).astype(np.float32) + np.float32(0.1)
    np.testing.assert_allclose(keeper.correct(vector, decoder), vector, atol=1e-7)


def test_travel_fades_towards_the_edge_and_bends_homewards():
    keeper = StageBounds(2.0)
    vector = np.zeros(POSE_SIZE, dtype=np.float32)
    vector[TRAVEL] = 0.05, 0.05
    kept = [keeper.correct(vector, PoseDecoder((0.0, z), 0.0)) for z in (1.0, 1.4, 1.7, 2.0)]
    outwards = [float(v[TRAVEL][1]) for v in kept]
    assert outwards == sorted(outwards, reverse=True)
    assert outwards[0] == pytest.approx(0.05)
    assert outwards[-1] == pytest.approx(0.0, abs=1e-3)
    turns = [float(v[TURN][0]) for v in kept]
    assert turns == sorted(turns)
    assert turns[0] == 0.0
    assert turns[-1] > 0.05


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float32, POSE_SIZE, elements=ANYTHING))
def test_a_broken_vector_never_poisons_the_path(vector):
    keeper, decoder, processor = StageBounds(), PoseDecoder(), PostProcessor()
    for k, v in enumerate((vector, np.full(POSE_SIZE, 0.1, np.float32), vector)):
        with np.errstate(all="ignore"):
            pose = decoder.decode(keeper.correct(v, decoder), k / 15)
        assert np.isfinite(decoder.place).all()
        assert math.isfinite(decoder.heading)
        assert_valid(processor.process(pose))


def test_a_stage_needs_a_radius():
    with pytest.raises(ValueError, match="radius"):
        StageBounds(0.0)
