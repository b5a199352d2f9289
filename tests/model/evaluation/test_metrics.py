"""The metrics give the true value where it is known, and mean the same at any frame rate."""

import math

import numpy as np
import pytest

from dancerev.model import kinematic_beats, skeleton
from dancerev.model.evaluation import metrics
from dancerev.model.pose import rest_pose

REST = rest_pose().positions().astype(np.float64)
LEFT, LEFT_TOE = skeleton.FEET[0]
RIGHT, RIGHT_TOE = skeleton.FEET[1]


def still(seconds=10.0, fps=60):
    return np.tile(REST, (int(seconds * fps) + 1, 1, 1))


def pulsing(beats, seconds, fps):
    """A body that moves one way and another and stands still for an instant exactly on each beat."""
    times = np.arange(int(seconds * fps) + 1) / fps
    phase = np.interp(times, beats, np.arange(len(beats)))
    positions = still(seconds, fps)
    positions[:, :, 0] += 0.1 * np.cos(np.pi * phase)[:, None]
    return positions


def wandering(seed, seconds=30.0, fps=60, scale=1.0):
    """Smooth aimless motion of every joint about the rest pose."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * fps) + 1) / fps
    rate, phase = rng.uniform(0.2, 1.5, (5, 22, 3)), rng.uniform(0, 2 * np.pi, (5, 22, 3))
    waves = np.sin(2 * np.pi * rate[None] * times[:, None, None, None] + phase[None]).sum(axis=1)
    return still(seconds, fps) + 0.03 * scale * waves


@pytest.mark.parametrize("fps", [15, 30, 60])
@pytest.mark.parametrize("bpm", [80, 120])
def test_motion_that_stops_on_the_beat_is_aligned_and_half_a_period_later_is_not(fps, bpm):
    beats = np.arange(0.2, 20.0, 60 / bpm)
    motion = metrics.kinematic_beats(pulsing(beats, 20.0, fps), fps)
    inside = beats[1:-1]
    assert metrics.beat_alignment(motion, inside) > 0.95
    assert metrics.motion_to_music_alignment(motion, beats) > 0.95
    assert metrics.beat_alignment(motion, inside + 30 / bpm) < 0.01


def test_kinematic_beats_are_found_where_they_are_and_at_the_same_times_at_any_rate():
    beats = np.cumsum(np.random.default_rng(0).uniform(0.5, 0.8, 20))
    found = {fps: metrics.kinematic_beats(pulsing(beats, beats[-1], fps), fps) for fps in (15, 30, 60)}
    for fps in found:
        # The smoothing pulls a minimum between uneven neighbours a little to one side.
        np.testing.assert_allclose(found[fps], beats[1:-1], atol=0.05)
        np.testing.assert_allclose(found[fps], found[60], atol=0.005)


def test_alignment_is_the_mean_of_known_gaussians():
    motion, music = np.array([1.0, 2.0]), np.array([1.0, 2.05, 3.1])
    expected = (1.0 + math.exp(-0.5) + math.exp(-0.5 * 22**2)) / 3
    assert metrics.beat_alignment(motion, music) == pytest.approx(expected)
    assert metrics.motion_to_music_alignment(motion, music) == pytest.approx((1.0 + math.exp(-0.5)) / 2)


def test_music_without_beats_has_no_score_and_motion_without_beats_scores_nothing():
    assert math.isnan(metrics.beat_alignment(np.array([1.0]), np.zeros(0)))
    assert metrics.beat_alignment(np.zeros(0), np.array([1.0, 2.0])) == 0.0
    assert math.isnan(metrics.motion_to_music_alignment(np.zeros(0), np.array([1.0, 2.0])))


def test_fast_music_is_danced_to_every_other_beat():
    beats = np.arange(0.0, 30.0, 60 / 160)
    for half in (beats[0::2], beats[1::2]):
        assert metrics.beat_alignment(half, beats) == pytest.approx(1.0)
    slow = np.arange(0.0, 30.0, 60 / 120)
    assert metrics.beat_alignment(slow[::2], slow) == pytest.approx(0.5, abs=0.02)


def test_chance_level_is_what_a_random_shift_scores():
    """Motion and music of one steady period: the mean of the Gaussian over a period, whatever the phase."""
    beats = np.arange(0.25, 60.0, 0.5)
    offsets = np.linspace(-0.25, 0.25, 10001)
    expected = np.mean(np.exp(-0.5 * (offsets / kinematic_beats.BEAT_WIDTH) ** 2))
    for motion in (beats, beats + 0.1):
        assert metrics.chance_alignment(motion, beats, 60.0, draws=1000) == pytest.approx(expected, abs=0.03)
    assert metrics.chance_alignment(beats, beats, 60.0) == metrics.chance_alignment(beats, beats, 60.0)


def test_a_body_that_stands_still_is_frozen_and_nothing_else():
    result = metrics.evaluate_dance(still(), 60, np.arange(0, 10, 0.5))
    assert result["freezing"] == 1.0
    for name in ("bas", "mean_speed", "max_speed", "foot_skating", "pfc", "floor_penetration", "motion_beats"):
        assert result[name] == 0.0
    assert result["stage_radius"] == pytest.approx(0.0)


def test_freezing_counts_the_still_windows():
    positions = still(20.0)
    positions[600:, :, 2] += 0.5 * np.arange(601)[:, None] / 60
    share = metrics.freezing(positions, 60)
    assert share == pytest.approx(0.5, abs=0.03)
    assert metrics.freezing(positions[600:], 60) == 0.0


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_rest_in_a_silence_and_shortly_after_is_no_freezing(fps):
    """Still from 8 to 12 s. Windows of 1 s that lie in it and touch no silence, nor the 2 s after it, count."""
    times = np.arange(20 * fps + 1) / fps
    positions = still(20.0, fps)
    positions[:, :, 2] += 0.5 * (np.minimum(times, 8.0) + np.maximum(times - 12.0, 0.0))[:, None]
    plain = metrics.freezing(positions, fps)
    assert plain == pytest.approx(3.2 / 19, abs=0.03)
    assert metrics.freezing(positions, fps, np.array([[8.0, 10.0]])) == 0.0
    assert metrics.freezing(positions, fps, np.array([[8.0, 9.0]])) == pytest.approx(0.1 / 15, abs=0.02)
    assert metrics.freezing(positions, fps, np.array([[7.0, 8.0]])) == pytest.approx(1.1 / 15, abs=0.02)
    elsewhere = metrics.freezing(positions, fps, np.array([[0.0, 2.0], [16.0, 17.0]]))
    assert elsewhere == pytest.approx(3.2 / 11, abs=0.03)
    assert math.isnan(metrics.freezing(positions, fps, np.array([[0.0, 20.0]])))
    assert metrics.evaluate_dance(positions, fps, None, np.array([[8.0, 10.0]]))["freezing"] == 0.0


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_speeds_are_in_metres_a_second(fps):
    positions = still(5.0, fps)
    positions[:, 9, 0] += 2.2 * np.arange(len(positions)) / fps
    result = metrics.evaluate_dance(positions, fps)
    assert result["max_speed"] == pytest.approx(2.2)
    assert result["mean_speed"] == pytest.approx(0.1)
    assert "bas" not in result


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_a_sliding_foot_skates_and_a_lifted_one_does_not(fps):
    sliding = still(5.0, fps)
    sliding[:, [LEFT, LEFT_TOE], 2] += 0.5 * np.arange(len(sliding))[:, None] / fps
    assert metrics.foot_skating(sliding, fps) == pytest.approx(0.5)  # the other foot stands
    sliding[:, [RIGHT, RIGHT_TOE], 2] -= 0.5 * np.arange(len(sliding))[:, None] / fps
    assert metrics.foot_skating(sliding, fps) == pytest.approx(1.0)
    slow = still(5.0, fps)
    slow[:, :, 0] += 0.2 * np.arange(len(slow))[:, None] / fps
    assert metrics.foot_skating(slow, fps) == 0.0
    sliding[:, :, 1] += 0.2
    assert metrics.foot_skating(sliding, fps) == 0.0


def test_physical_foot_contact_is_what_its_formula_gives():
    """Both feet move 0.03 m a frame at 30 fps; the root is pushed upwards in one frame of the middle."""
    positions = still(2.0, 30)
    positions[:, [LEFT, LEFT_TOE, RIGHT, RIGHT_TOE], 0] += 0.03 * np.arange(61)[:, None]
    positions[31:, 0, 1] += 0.1 * np.arange(30)
    assert metrics.physical_foot_contact(positions, 30) == pytest.approx(1e4 * 0.03**2 / 59, rel=1e-6)
    positions[:, [LEFT]] = positions[:1, [LEFT]]  # one end of a foot that stands is enough
    assert metrics.physical_foot_contact(positions, 30) == pytest.approx(0.0)


def test_stage_radius_and_floor():
    positions = still(2.0)
    positions[50, :, 0] += 3.0
    positions[50, :, 2] += 4.0
    assert metrics.stage_radius(positions) == pytest.approx(5.0, abs=1e-6)
    positions[:, 9, 1] = -0.03
    assert metrics.floor_penetration(positions) == pytest.approx(0.03)


def test_loops_are_found_and_free_motion_has_none():
    free = wandering(0, seconds=60.0, fps=15)
    assert metrics.shortest_loop(free, 15) is None
    loop = np.tile(free[:90], (10, 1, 1))
    assert metrics.shortest_loop(loop, 15) == pytest.approx(6.0)
    assert metrics.evaluate_dance(loop, 15)["repetition"] > 0.99
    # Turning on the spot meanwhile does not hide it.
    angle = 0.05 * np.arange(len(loop))[:, None]
    x, z = loop[..., 0].copy(), loop[..., 2].copy()
    loop[..., 0], loop[..., 2] = np.cos(angle) * x + np.sin(angle) * z, np.cos(angle) * z - np.sin(angle) * x
    assert metrics.shortest_loop(loop, 15) == pytest.approx(6.0)


def test_frechet_distance_between_known_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200_000, 3))
    spread = np.array([2.0, 0.5, 1.0])
    b = rng.normal(size=(200_000, 3)) * spread + [1.0, -2.0, 0.0]
    expected = 5.0 + np.sum((1.0 - spread) ** 2)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=0.01)
    assert metrics.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert metrics.frechet_distance(a @ turn, b @ turn) == pytest.approx(metrics.frechet_distance(a, b), rel=1e-6)


def test_frechet_distance_of_fewer_samples_than_dimensions():
    a = np.random.default_rng(0).normal(size=(8, 40))
    assert metrics.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-5)
    assert metrics.frechet_distance(a, a + 1.0) == pytest.approx(40.0, rel=1e-4)


def test_diversity_is_the_mean_distance_of_pairs():
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert metrics.diversity(corners) == pytest.approx((3 + 4 + 5) / 3)


def test_kinetic_features_of_steady_and_accelerated_motion():
    times = np.arange(121) / 60
    joints = np.zeros((121, 24, 3))
    joints[:, 2] = np.stack([3.0 * times, -2.0 * times, 4.0 * times], axis=-1)
    joints[:, 5, 1] = 0.5 * 6.0 * times**2
    features = metrics.kinetic_features(joints).reshape(24, 3)
    np.testing.assert_allclose(features[2], [25.0, 4.0, 0.0], atol=1e-6)
    assert features[5, 2] == pytest.approx(6.0)
    assert features[5, 0] == 0.0
    assert np.abs(np.delete(features, [2, 5], axis=0)).max() == 0.0


def test_geometric_features_name_what_the_body_does():
    stance = metrics.geometric_features(metrics.smpl_joints(still(1.0)))
    assert stance.shape == (32,)
    assert set(np.unique(stance)) <= {0.0, 1.0}
    assert stance[[6, 7, 19, 20]].sum() == 0.0  # arms and legs are straight
    assert stance[[12, 13, 21, 22, 31]].sum() == 0.0  # and slow
    kicked = still(1.0)
    kicked[:, [RIGHT, RIGHT_TOE], 1] += 0.5
    raised = metrics.geometric_features(metrics.smpl_joints(kicked))
    assert (stance[16], raised[16]) == (0.0, 1.0)
    fast = still(1.0)
    fast[:, skeleton.INDEX["RightHand"], 0] -= 2.0 * np.arange(61) / 60
    assert metrics.geometric_features(metrics.smpl_joints(fast))[12] == 1.0


# Joints of the mean body by which the published code scales its thresholds (metres).
PUBLISHED = {
    "left shoulder": (1.99113488e-01, 2.36807942e-01, -1.80702247e-02),
    "left elbow": (4.54445392e-01, 2.21158922e-01, -4.10167128e-02),
    "right shoulder": (-1.91692337e-01, 2.36928746e-01, -1.23055102e-02),
    "left hip": (5.64076714e-02, -3.23069185e-01, 1.09197125e-02),
    "right hip": (-6.24834076e-02, -3.31302464e-01, 1.50412619e-02),
}


@pytest.mark.parametrize(
    ("ours", "one", "other"),
    [
        (metrics._UPPER_ARM, "left shoulder", "left elbow"),
        (metrics._SHOULDERS, "left shoulder", "right shoulder"),
        (metrics._HIPS, "left hip", "right hip"),
    ],
)
def test_thresholds_are_scaled_by_the_published_body(ours, one, other):
    assert ours == pytest.approx(np.linalg.norm(np.subtract(PUBLISHED[one], PUBLISHED[other])), abs=1e-5)


def test_two_features_tell_of_the_chest_that_leaves_the_belly_whatever_the_wrists_do():
    """The published calls name a wrist as a fourth joint, which their move does not read."""
    raised = still(1.0)
    raised[:, [skeleton.INDEX["RightHand"], skeleton.INDEX["LeftHand"]], 1] += 1.0 * np.arange(61)[:, None] / 60
    assert metrics.geometric_features(metrics.smpl_joints(raised))[[4, 5]].tolist() == [0.0, 0.0]
    stretched = still(1.0)
    stretched[:, skeleton.INDEX["UpperChest"], 1] += 1.0 * np.arange(61) / 60
    assert metrics.geometric_features(metrics.smpl_joints(stretched))[[4, 5]].tolist() == [1.0, 1.0]


def test_smpl_joints_keep_ours_and_add_hands():
    joints = metrics.smpl_joints(still(0.1))
    assert joints.shape == (7, 24, 3)
    np.testing.assert_array_equal(joints[0, 0], REST[0])
    hand, wrist, elbow = joints[0, 22], REST[skeleton.INDEX["LeftHand"]], REST[skeleton.INDEX["LeftLowerArm"]]
    assert np.linalg.norm(hand - elbow) == pytest.approx(np.linalg.norm(wrist - elbow) + 0.08)


def test_resampling_keeps_smooth_motion_and_its_ends():
    fine, coarse = wandering(1, 10.0, 60), wandering(1, 10.0, 15)
    up = metrics.resample(coarse, 15, 60)
    assert up.shape == fine.shape
    np.testing.assert_allclose(up, fine, atol=0.01)
    np.testing.assert_allclose(up[::4], coarse, atol=1e-9)


def test_clips_do_not_depend_on_where_the_dancer_stands():
    dance = wandering(2)
    kinetic, geometric = metrics.clip_features(dance, 60)
    assert kinetic.shape == (11, 72)
    assert geometric.shape == (11, 32)
    moved = metrics.clip_features(dance + [5.0, 0.0, -3.0], 60)
    np.testing.assert_allclose(moved[0], kinetic, atol=1e-6)


def test_comparison_tells_like_from_unlike_and_rich_from_poor():
    real = [(wandering(seed), 60.0) for seed in range(4)]
    same = metrics.compare_dances(real, real)
    assert same["fid_k"] == pytest.approx(0.0, abs=1e-3)
    assert same["fid_g"] == pytest.approx(0.0, abs=1e-3)
    assert same["div_k"] == pytest.approx(same["div_k_real"])
    like = metrics.compare_dances([(wandering(seed), 60.0) for seed in range(10, 14)], real)
    dull = metrics.compare_dances([(wandering(seed, scale=0.2), 60.0) for seed in range(10, 14)], real)
    assert 0.0 < like["fid_k"] < dull["fid_k"]
    assert dull["div_k"] < 0.3 * dull["div_k_real"]
    with pytest.raises(ValueError, match="too little dance"):
        metrics.compare_dances([(wandering(0, 3.0), 60.0)], real)


def test_a_feature_that_real_dance_never_shows_does_not_blow_up_the_distance():
    real = [(wandering(seed, scale=0.5), 60.0) for seed in range(3)]
    features = np.concatenate([metrics.clip_features(*dance)[1] for dance in real])
    lying = [(wandering(9)[..., [0, 2, 1]], 60.0)]
    assert (features.std(axis=0) == 0.0).any()
    assert metrics.compare_dances(lying, real)["fid_g"] < 1e6


def test_a_dance_needs_frames():
    with pytest.raises(ValueError, match="two frames"):
        metrics.evaluate_dance(REST[None], 60)


def test_every_number_is_finite_for_short_and_long_dances():
    for seconds in (0.1, 0.5, 3.0, 40.0):
        dance = wandering(3, seconds, 15)
        result = metrics.evaluate_dance(dance, 15, np.arange(0.0, seconds, 0.4))
        # Two beats of 0.4 s are one of the dance, and a repeat is known of a dance twice as long.
        unknown = {f"repeats_{count}" for count in (8, 16, 32) if 2 * 0.8 * count > seconds}
        if seconds < 0.2:  # too short for repeats to be looked for, and for a beat of its own
            unknown = {"bas_motion"}
        assert {name for name, value in result.items() if not math.isfinite(value)} == unknown


def test_speed_is_that_of_the_dance_and_not_of_the_rest():
    """At rest from 4 to 8 s, in a silence from 4 to 6 s."""
    place = np.cumsum(np.where((np.arange(360) < 120) | (np.arange(360) >= 240), 0.02, 0.0))
    positions = np.zeros((360, 22, 3))
    positions[..., 0] = place[:, None]
    silences = np.array([[4.0, 6.0]])
    assert metrics.evaluate_dance(positions, 30.0)["mean_speed"] == pytest.approx(0.4, rel=0.01)
    assert metrics.evaluate_dance(positions, 30.0, silences=silences)["mean_speed"] == pytest.approx(0.6, rel=0.01)
    silent = metrics.evaluate_dance(positions, 30.0, silences=np.array([[0.0, 12.0]]))
    assert np.isnan(silent["mean_speed"])
