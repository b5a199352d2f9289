"""The preview shows the dancer where the dancer is, and its command answers mistakes in one line."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from dancerev.clients.flat_osc import FlatSender
from dancerev.clients.preview.preview import display_available, launch_preview, main
from dancerev.clients.vmc import VmcSender, to_unity
from dancerev.model import rotation
from dancerev.model.features import BeatState
from dancerev.model.pose import Pose, rest_pose
from dancerev.model.skeleton import INDEX, REST_OFFSETS

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
pygame = pytest.importorskip("pygame")

from dancerev.clients.preview import render  # noqa: E402
from dancerev.clients.preview.vmc_receiver import Body, VmcReceiver, body_from_local  # noqa: E402

SIZE = (960, 540)


@pytest.fixture(autouse=True)
def same_priority(monkeypatch):
    """The command lowers that of its process, which here runs other tests too."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


def body_of(pose):
    offsets = REST_OFFSETS.copy()
    offsets[0] = pose.root
    rotations, offsets = to_unity(pose.rotations.astype(np.float64), offsets.astype(np.float64))
    return body_from_local(offsets, rotations, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


def picture(body, camera, size=SIZE, **options):
    """(width, height, 3) int."""
    surface = pygame.Surface(size)
    render.draw(surface, body, camera, **options)
    return pygame.surfarray.array3d(surface).astype(int)


def changed_by(body, camera, threshold=60):
    """(width, height) bool: the pixels that the dancer changes by more than ``threshold`` of 255."""
    return np.abs(picture(body, camera) - picture(None, camera)).max(axis=-1) > threshold


def test_the_stage_is_drawn_without_a_dancer():
    empty = picture(None, render.Camera())
    assert empty.std() > 3.0
    assert empty.max() < 200


def test_every_joint_is_covered_and_the_rest_is_not():
    body = body_of(rest_pose())
    camera = render.Camera(yaw=0.0)
    changed = changed_by(body, camera)
    view = camera.view(SIZE)
    pixels = view.project(view.to_camera(body.positions)).astype(int)
    for joint, (x, y) in enumerate(pixels.tolist()):
        assert changed[x - 5 : x + 6, y - 5 : y + 6].any(), joint
    x, y = np.nonzero(changed)
    assert x.min() > pixels[:, 0].min() - 40
    assert x.max() < pixels[:, 0].max() + 40
    assert y.min() > pixels[:, 1].min() - 70
    assert y.max() < pixels[:, 1].max() + 40
    assert 0.02 < changed.mean() < 0.2


def test_the_head_is_above_the_feet_and_the_left_hand_on_our_right():
    view = render.Camera(yaw=0.0).view(SIZE)
    pixels = view.project(view.to_camera(body_of(rest_pose()).positions))
    assert pixels[INDEX["Head"], 1] < pixels[INDEX["Hips"], 1] < pixels[INDEX["LeftFoot"], 1]
    assert pixels[INDEX["LeftHand"], 0] > SIZE[0] / 2 > pixels[INDEX["RightHand"], 0]


def test_the_dancer_in_the_mirror_is_the_mirrored_picture():
    camera, mirror = render.Camera(yaw=0.0), render.Camera(yaw=0.0, mirror=True)
    pose = rest_pose()
    pose.rotations[INDEX["LeftUpperArm"]] = rotation.IDENTITY
    straight, mirrored = (changed_by(body_of(pose), seen_by, 20) for seen_by in (camera, mirror))
    unlike = straight ^ straight[::-1]
    assert (mirrored ^ straight[::-1]).sum() < 0.3 * unlike.sum()  # the lamps are not mirrored
    points = body_of(pose).positions
    there, here = (view.project(view.to_camera(points)) for view in (mirror.view(SIZE), camera.view(SIZE)))
    np.testing.assert_allclose(there, here * [-1.0, 1.0] + [SIZE[0], 0.0], atol=1e-6)


def test_what_is_nearer_covers_what_is_farther():
    """An arm stretched towards the camera hides the chest; stretched away it is hidden."""

    def pointing(angle):
        pose = rest_pose()
        turn = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)
        pose.rotations[INDEX["RightUpperArm"]] = turn
        return body_of(pose)

    camera = render.Camera(yaw=-0.25, pitch=0.0)
    view = camera.view(SIZE)
    cyan = {}
    for name, angle in (("forward", np.pi / 2), ("back", -np.pi / 2)):
        body = pointing(angle)
        hand = view.project(view.to_camera(body.positions[INDEX["RightHand"]])).astype(int)
        r, _, b = picture(body, camera)[hand[0] - 6 : hand[0] + 7, hand[1] - 6 : hand[1] + 7].reshape(-1, 3).T
        cyan[name] = ((b - r) > 50).mean()
    assert cyan["forward"] > 0.4
    assert cyan["back"] < 0.1


def test_planted_feet_glow_and_lifted_ones_do_not():
    standing = rest_pose()
    flying = Pose(0.0, standing.rotations, standing.root + np.float32([0.0, 0.3, 0.0]), standing.contacts)
    camera = render.Camera(yaw=0.0)
    view = camera.view(SIZE)
    spots = []
    for pose in (standing, flying):
        ankle = body_of(pose).positions[INDEX["RightFoot"]] * [1.0, 0.0, 1.0]
        beside = view.project(view.to_camera(ankle + [0.1, 0.0, 0.05])).astype(int)
        shown = picture(body_of(pose), camera)[beside[0], beside[1]]
        spots.append(shown[1] - shown[0])
    assert spots[0] > spots[1] + 10


def test_the_beat_lights_the_rim_of_the_stage():
    dark, bright = (picture(None, render.Camera(), pulse=pulse) for pulse in (0.0, 1.0))
    brighter = (bright - dark)[..., 1:]  # the light is cyan
    assert brighter.min() >= 0
    assert (brighter > 40).sum() > 1000


def test_a_moving_hand_leaves_a_ribbon_where_it_was():
    def reaching(angle):
        pose = rest_pose()
        pose.rotations[INDEX["LeftUpperArm"]] = rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), angle)
        return body_of(pose)

    camera = render.Camera(yaw=0.0)
    view = camera.view(SIZE)
    trail = [reaching(angle) for angle in np.linspace(-1.0, 0.5, 12)]
    body = reaching(0.6)
    difference = np.abs(picture(body, camera, trail=trail) - picture(body, camera)).max(axis=-1)
    x, y = view.project(view.to_camera(trail[-3].positions[INDEX["LeftHand"]])).astype(int)
    assert difference[x, y] > 20
    np.testing.assert_array_equal(difference[: SIZE[0] // 2], 0)


@pytest.mark.parametrize("size", [(160, 120), (1920, 300), (300, 900)])
def test_any_window_shape_is_drawn(size):
    assert picture(body_of(rest_pose()), render.Camera(), size).max() > 150


@pytest.mark.parametrize("seed", range(4))
def test_any_body_and_camera_are_drawn(seed):
    rng = np.random.default_rng(seed)
    surface = pygame.Surface((320, 180))
    for scale in (1e-3, 1.0, 10.0, 1e5):
        body = Body(rng.normal(size=(22, 3)) * scale, rotation.normalize(rng.normal(size=(22, 4))))
        camera = render.Camera(yaw=rng.uniform(-3, 3), pitch=rng.uniform(0, 1.4), distance=rng.uniform(2, 15))
        camera.follow(body.positions[0], 1.0)
        render.draw(surface, body, camera)
    render.draw(surface, Body(np.full((22, 3), np.nan), body.rotations), render.Camera())


def test_the_camera_follows_smoothly_and_stays_above_the_floor():
    camera = render.Camera()
    for _ in range(600):
        before = camera.target.copy()
        camera.follow(np.array([2.0, 0.5, -1.0]), 1 / 60)
        assert np.abs(camera.target - before).max() < 0.05
    np.testing.assert_allclose(camera.target, [2.0, 0.92, -1.0], atol=1e-3)
    camera.orbit(0.0, -5.0)
    assert camera.view(SIZE).eye[1] > 0.0
    for _ in range(100):
        camera.zoom(0.5)
    assert camera.distance == 2.0


@pytest.fixture
def window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    from dancerev.clients.preview.window import Window

    receiver = VmcReceiver(0)
    pygame.display.init()
    yield Window(receiver, (480, 270)), receiver
    receiver.close()
    pygame.display.quit()


def press(window, key):
    window.handle(pygame.event.Event(pygame.KEYDOWN, key=key))


def shown(window):
    window.show(0.0, 60.0)
    return pygame.surfarray.array3d(pygame.display.get_surface()).astype(int)


def test_keys_freeze_mirror_reset_and_quit(window):
    window, receiver = window
    sender = VmcSender("127.0.0.1", receiver.port)
    sender.send(rest_pose())
    receiver.poll()
    still = shown(window)
    press(window, pygame.K_SPACE)
    moved = rest_pose()
    moved.rotations[INDEX["LeftUpperArm"]] = rotation.IDENTITY
    sender.send(replace(moved, time=0.1))
    receiver.poll()
    middle = (slice(160, 320), slice(40, 240))
    assert np.abs(shown(window)[middle] - still[middle]).max() < 60
    press(window, pygame.K_SPACE)
    time.sleep(0.1)
    assert np.abs(shown(window)[middle] - still[middle]).max() > 60
    before = shown(window)
    for key in (pygame.K_m, pygame.K_PLUS, pygame.K_h):
        press(window, key)
        after = shown(window)
        assert np.abs(after - before).max() > 20
        before = after
    press(window, pygame.K_r)
    press(window, pygame.K_h)
    assert np.abs(shown(window)[middle] - still[middle]).max() > 60
    start = time.monotonic()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))
    window.run(60, 30.0)
    assert time.monotonic() - start < 5.0


def test_the_tempo_is_shown_while_it_is_told(window, monkeypatch):
    window, receiver = window
    written = []
    monkeypatch.setattr(window, "_write", lambda text, *_, **__: written.append(text))
    VmcSender("127.0.0.1", receiver.port).send(rest_pose())
    FlatSender("127.0.0.1", receiver.port).send_music(BeatState(0.0, 0.25, 0.5, 1.0), 0.0, 0.5)
    receiver.poll()
    window.show(0.0, 60.0)
    assert "120 BPM" in written
    time.sleep(0.6)  # poses go on, but nobody tells of a beat
    written.clear()
    VmcSender("127.0.0.1", receiver.port).send(rest_pose())
    receiver.poll()
    window.show(0.0, 60.0)
    assert "120 BPM" not in written
    assert any("poses/s" in text for text in written)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_the_command_shows_a_dancer_sent_over_loopback(tmp_path):
    port = free_port()
    pictures = {}
    for name in ("empty", "dancing"):
        path = tmp_path / f"{name}.png"
        command = [sys.executable, "-m", "dancerev.clients.preview.preview", "--port", str(port), "--duration", "0.8"]
        with subprocess.Popen(
            [*command, "--screenshot", str(path)],
            env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
            stderr=subprocess.PIPE,
        ) as process:
            sender = VmcSender("127.0.0.1", port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
                while process.poll() is None:
                    if name == "dancing":
                        sender.send(rest_pose(time.monotonic() % 1000.0))
                    thrower.sendto(os.urandom(64), ("127.0.0.1", port))
                    time.sleep(1 / 30)
            assert process.stderr.read() == b""
        assert process.returncode == 0
        pictures[name] = pygame.surfarray.array3d(pygame.image.load(path)).astype(int)
    assert pictures["dancing"].shape == (*SIZE, 3)
    changed = np.abs(pictures["dancing"] - pictures["empty"]).max(axis=-1) > 60
    x, y = np.nonzero(changed[300:660, 60:])
    assert 4000 < len(x) < 60_000
    assert np.ptp(y) > 250


def listens(port, patience=10.0):
    """Whether somebody does within so many seconds."""
    end = time.monotonic() + patience
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)


def test_a_launched_preview_ends_when_told(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    port = free_port()
    process = launch_preview(port)
    assert listens(port)
    process.terminate()
    process.wait(5.0)
    process.stdin.close()


def test_a_launched_preview_ends_with_who_launched_it_and_not_by_ctrl_c(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    port = free_port()
    script = (
        "import signal, time, dancerev.clients.preview.preview as preview\n"
        f"preview.launch_preview({port})\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.PIPE)
    assert listens(port)
    os.killpg(parent.pid, signal.SIGINT)  # as the terminal does
    time.sleep(0.5)
    assert listens(port, patience=0.0)
    parent.kill()
    parent.communicate(timeout=10.0)  # which waits until the preview has closed its stderr too
    assert not listens(port, patience=0.0)


@pytest.mark.slow
def test_leaving_by_ctrl_c_saves_the_picture(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dancerev.clients.preview.preview",
            "--port",
            str(port),
            "--screenshot",
            tmp_path / "last.png",
        ],
        env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
        stderr=subprocess.PIPE,
    )
    assert listens(port)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10.0)[1] == b""
    assert process.returncode == 0
    assert pygame.image.load(tmp_path / "last.png").get_size() == SIZE


def test_the_parent_of_a_preview_does_not_load_pygame():
    script = "import sys, dancerev.clients.preview.preview; sys.exit('pygame' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.parametrize("missing", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_without_a_display_the_command_says_so(monkeypatch, capsys, missing):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not display_available()
    assert main(["--port", "40000"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no display" in lines[0]
    monkeypatch.setenv(missing, ":0")
    assert display_available()


def test_a_display_that_does_not_answer_is_none(tmp_path):
    others = ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")
    alone = {name: value for name, value in os.environ.items() if name not in others}
    process = subprocess.run(
        [sys.executable, "-m", "dancerev.clients.preview.preview", "--port", str(free_port()), "--duration", "1"],
        env={**alone, "DISPLAY": ":7777", "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert "no display" in process.stderr


def test_mistakes_found_late_are_told_in_one_line():
    wrong = (["--screenshot", "/no/such/folder/last.png"], ["--listen", "300.1.1.1"])
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dancerev.clients.preview.preview",
                "--port",
                str(free_port()),
                "--duration",
                "0",
                *options,
            ],
            env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
            stderr=subprocess.PIPE,
        )
        for options in wrong
    ]
    for process in processes:
        message = process.communicate(timeout=20)[1].decode()
        assert process.returncode == 2, message
        assert len(message.splitlines()) == 1


def test_ipv6_is_listened_to(monkeypatch):
    try:
        receiver = VmcReceiver(0, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    VmcSender("::1", receiver.port).send(rest_pose())
    receiver.poll()
    receiver.close()
    assert receiver.body is not None


def test_a_taken_port_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "0"],
        ["--port", "65536"],
        ["--port", "x"],
        ["--size", "10x10"],
        ["--fps", "0"],
        ["--duration", "nan"],
        ["--screenshot", "x.gif"],
        ["--screenshot", "/no/such/folder/last.png"],
        ["--listen", "a..b"],
        ["--listen", "a\nb"],
        ["--listen", "x" * 5000],
        ["--port", "9" * 5000],
        ["--size", "9" * 5000 + "x200"],
    ],
)
def test_wrong_options_are_told_in_one_line(monkeypatch, capsys, arguments):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    try:
        code = main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
