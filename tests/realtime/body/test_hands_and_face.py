"""Hands that are alive, a face that is a face, and nothing that depends on how the poses come."""

import functools

import numpy as np
import pytest

from dancerev.model.features import ACTIVITY, AUDIO_FEATURES, ENERGY, ONSETS, AcousticFrame, BeatState
from dancerev.model.hands_and_face import BLINK, FACE, FINGERS, GAZE_PITCH, GAZE_YAW, JOY, MOUTH
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.rotation import conjugate, from_yaw, multiply
from dancerev.model.skeleton import BONES, INDEX
from dancerev.realtime.body.hands_and_face import HandsAndFace

FPS = 30


def heard(time, energy=0.7, bpm=120.0):
    audio = np.zeros(len(AUDIO_FEATURES), dtype=np.float32)
    audio[ENERGY], audio[ACTIVITY], audio[ONSETS] = energy, energy > 0.0, 0.3 * energy
    beats = time * bpm / 60.0
    return AcousticFrame(time, audio, BeatState(time, beats % 1, 60.0 / bpm, 1.0, int(beats) % 4))


@functools.cache
def perform(minutes=1.0, seed=0, energy=0.7, styles=("salsa", "martial"), style=(1.0, 0.0), **options):
    extras = HandsAndFace(seed, styles, **options)
    weights = np.array(style, dtype=np.float32)
    rest = rest_pose()
    poses = []
    for n in range(round(minutes * 60 * FPS)):
        pose = Pose(n / FPS, rest.rotations, rest.root, rest.contacts)
        frame = heard(n // 2 / 15, energy) if n > 1 else None
        poses.append(extras.add(pose, frame, weights))
    return poses


def fingers(poses):
    return np.array([pose.fingers for pose in poses])


def faces(poses):
    return np.array([pose.face for pose in poses])


def angles(a, b):
    """Radians between rotations (..., 4)."""
    return 2.0 * np.arccos(np.clip(np.abs(multiply(conjugate(a), b)[..., 3]), 0.0, 1.0))


def test_every_finger_moves_and_is_never_flat():
    rotations = fingers(perform(3.0))
    identity = np.array([0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1.0, atol=1e-5)
    for finger in range(len(FINGERS)):
        assert angles(rotations[:, finger], identity).min() > np.radians(0.8)
        assert np.degrees(np.ptp(angles(rotations[:, finger], identity))) > 8.0
    # Nor do they jump: no joint turns faster than a quick hand does.
    assert np.degrees(angles(rotations[1:], rotations[:-1]).max()) * FPS < 900.0


@pytest.mark.parametrize("seconds", [2.0, 4.0, 8.0, 16.0, 32.0])
def test_no_hand_is_a_loop(seconds):
    """Whatever the period, the hands one period later are somewhere else at most times."""
    rotations = fingers(perform(3.0))
    shift = round(seconds * FPS)
    apart = angles(rotations[shift:], rotations[:-shift]).max(axis=1)
    assert (np.degrees(apart) > 3.0).mean() > 0.9


def test_two_hands_and_two_dancers_are_not_alike():
    rotations = fingers(perform(1.0)).reshape(-1, 2, 15, 4)
    mirrored = rotations[:, 1] * [1, -1, -1, 1]
    assert np.degrees(angles(rotations[:, 0], mirrored)).mean() > 5.0
    assert np.degrees(angles(fingers(perform(1.0, seed=1)), fingers(perform(1.0, seed=2)))).mean() > 5.0


def test_the_style_decides_the_shapes():
    middle = FINGERS.index("LeftMiddleIntermediate")
    identity = np.array([0.0, 0.0, 0.0, 1.0])
    salsa = angles(fingers(perform(3.0))[:, middle], identity).mean()
    martial = angles(fingers(perform(2.0, style=(0.0, 1.0)))[:, middle], identity).mean()
    assert martial > 1.5 * salsa


def test_hands_change_on_the_beat():
    """The quickest moments of the hands come in the half beat after a beat."""
    poses = perform(3.0)
    speed = angles(fingers(poses)[1:], fingers(poses)[:-1]).sum(axis=1)
    quick = 1 + np.flatnonzero(speed > np.percentile(speed, 97))
    phase = (quick / FPS * 2.0 + 1e-6) % 1.0
    assert (phase < 0.5).mean() > 0.85


def test_face_values_are_in_range():
    values = faces(perform(3.0))
    assert values.shape[1] == len(FACE)
    assert values[:, [BLINK, JOY, MOUTH]].min() >= 0.0
    assert values[:, [BLINK, JOY, MOUTH]].max() <= 1.0
    assert np.abs(values[:, [GAZE_YAW, GAZE_PITCH]]).max() < 0.75


@pytest.mark.parametrize("seed", range(3))
def test_eyes_blink_ten_to_twenty_five_times_a_minute(seed):
    closed = faces(perform(3.0, seed=seed))[:, BLINK] > 0.5
    blinks = np.count_nonzero(closed[1:] & ~closed[:-1])
    assert 10 * 3 <= blinks <= 25 * 3
    starts = np.flatnonzero(closed[1:] & ~closed[:-1]) / FPS
    assert np.std(np.diff(starts)) > 0.5  # irregular
    assert closed.mean() < 0.06


def test_eyes_are_on_the_audience_most_of_the_time_and_away_at_times():
    values = faces(perform(3.0))
    # The rest pose faces the audience: straight ahead is at it.
    at_it = np.hypot(values[:, GAZE_YAW], values[:, GAZE_PITCH]) < 0.12
    assert 0.6 < at_it.mean() < 0.95


def test_eyes_keep_to_the_audience_while_the_head_turns():
    extras, rest = HandsAndFace(), rest_pose()
    yaws = 0.4 * np.sin(2.0 * np.arange(60 * FPS) / FPS)
    gazes = []
    for n, yaw in enumerate(yaws):
        rotations = rest.rotations.copy()
        rotations[INDEX["Head"]] = from_yaw(yaw)
        pose = Pose(n / FPS, rotations, rest.root, rest.contacts)
        gazes.append(extras.add(pose, heard(pose.time)).face[GAZE_YAW])
    # But for the moments away, the gaze undoes the turn of the head.
    assert (np.abs(np.array(gazes) + yaws) < 0.12).mean() > 0.6


def test_energy_opens_the_mouth_and_silence_closes_it():
    loud, quiet = faces(perform(1.0, energy=0.9)), faces(perform(1.0, energy=0.0))
    assert loud[:, MOUTH].mean() > 0.15
    assert quiet[:, MOUTH].max() < 0.01
    assert loud[:, JOY].mean() > quiet[:, JOY].mean() + 0.3


def test_the_chest_breathes_and_the_legs_do_not():
    poses = perform(0.5)
    rotations = np.array([pose.rotations for pose in poses])
    changed = np.degrees(angles(rotations, rest_pose().rotations).max(axis=0))
    for bone, name in enumerate(BONES):
        if name in ("UpperChest", "LeftShoulder", "RightShoulder"):
            assert 0.3 < changed[bone] < 3.0
        else:
            assert changed[bone] < 0.01


def test_the_same_dance_has_the_same_hands_and_what_is_off_is_off():
    once, again = (perform.__wrapped__(0.2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(fingers(once), fingers(again))
    np.testing.assert_array_equal(faces(once), faces(again))
    bare = perform(0.1, hands=False, face=False)[-1]
    assert bare.fingers is None
    assert bare.face is None
    np.testing.assert_array_equal(bare.rotations, rest_pose().rotations)


def test_a_dancer_who_stands_still_keeps_the_shapes_of_the_hands():
    extras, rest = HandsAndFace(3), rest_pose()
    poses = []
    for n in range(60 * FPS):
        pose = Pose(n / FPS, rest.rotations, rest.root, rest.contacts)
        poses.append(extras.add(pose, heard(n / FPS), still=n > 10 * FPS))
    later = fingers(poses)[12 * FPS :]
    assert np.degrees(angles(later, later[0])).max() < 25.0  # the tremor alone
    assert np.degrees(angles(later[1:], later[:-1])).max() > 0.0
