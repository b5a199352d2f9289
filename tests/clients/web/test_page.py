"""The page in a real browser: what it shows of what is sent."""

import contextlib
import io
import json
import subprocess
import threading
import time
from pathlib import Path
from shutil import copytree, which

import numpy as np
import pygame
import pytest
from chromium import Chromium
from control_table import Change, Table
from vrm_file import OPTIONAL, write_vrm
from walking import walk

from dancerev.clients.avatar import read_vrm
from dancerev.clients.web.server import WebServer
from dancerev.model.features import BeatState
from dancerev.model.hands_and_face import FINGERS, finger_parent
from dancerev.model.skeleton import BONES, FEET, INDEX, forward_kinematics

WEB = Path(__file__).parents[3] / "clients" / "web"
READY = "window.dancerev && !dancerev.stats().loading && dancerev.stats().applied.some((n) => n > 10)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium"), (480, 270)) as running:
        yield running


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.close_pages()


class Performance:
    """A dance sent at 30 poses a second, round and round, from a thread of its own."""

    def __init__(self, server, dance, dancers=1):
        self._server, self._dance, self._dancers = server, dance, dancers
        self._stopped = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        start = time.perf_counter()
        while not self._stopped.is_set():
            now = self.sent / 30
            self._stopped.wait(max(start + now - time.perf_counter(), 0.0))
            pose = self._dance[self.sent % len(self._dance)]
            for dancer in range(self._dancers):
                self._server.send(type(pose)(now, pose.rotations, pose.root, pose.contacts, dancer))
            self._server.send_music(BeatState(now, 2 * now % 1, 0.5, 1.0, int(2 * now) % 4), 0.3, 0.7)
            self.sent += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()


def joints(page, dancer=0):
    """The time of the newest pose and the place of each joint; a body that was just put on has no pose yet."""
    page.until(f"(() => {{ try {{ dancerev.joints({dancer}); return true; }} catch {{ return false; }} }})()")
    shown = page.run(f"dancerev.joints({dancer})")
    return shown["time"], {name: np.array(place) for name, place in shown["joints"].items()}


def await_fit(page, dance, rig):
    """Wait until the poses come that are fitted to the avatar: the page has to name its joints first."""
    deadline = time.monotonic() + 30
    while True:
        at, shown = joints(page)
        expected = rig.positions(rig.fit(dance[round(at * 30) % len(dance)]))[INDEX["Head"]]
        if np.abs(shown["Head"] - expected).max() < 2e-3:
            return
        assert time.monotonic() < deadline, (shown["Head"], expected)
        time.sleep(0.1)


def picture(png):
    """(height, width, 4) RGBA of PNG bytes."""
    surface = pygame.image.load(io.BytesIO(png), "shot.png")
    rgba = pygame.image.tobytes(surface, "RGBA")
    return np.frombuffer(rgba, dtype=np.uint8).reshape(surface.get_height(), surface.get_width(), 4)


@pytest.mark.slow
def test_the_built_in_figure_stands_where_the_dancer_does(browser):
    dance = walk(3.0)
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, dance):
        page = browser.open(server.name)
        page.until(READY)
        moved = set()
        for _ in range(5):
            at, shown = joints(page)
            expected = dance[round(at * 30) % len(dance)].positions()
            for bone, name in enumerate(BONES):
                np.testing.assert_allclose(shown[name], expected[bone], atol=1e-3)
            moved.add(at)
            time.sleep(0.2)
        assert len(moved) > 1
        assert page.errors == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "height", "missing"),
    [(0, 0.9, ()), (1, 1.6, OPTIONAL), (0, 2.2, OPTIONAL), (1, 2.2, ())],
)
def test_an_avatar_that_is_dropped_in_dances_as_our_kinematics_say(browser, tmp_path, version, height, missing):
    """Against three-vrm's own skeleton: the page reads the joints, we read the file."""
    path = tmp_path / "avatar.vrm"
    write_vrm(path, version, height, seed=7, missing=missing, waist=0.24)
    rig = read_vrm(path)
    dance = walk(3.0)
    ankle = np.mean([rig.joints[BONES[ankle]][1] for ankle, _ in FEET])
    planted = 0
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, dance):
        page = browser.open(server.name)
        page.until(READY)
        page.drop(path)
        page.until("dancerev.stats().avatars === 1 && !dancerev.stats().loading")
        await_fit(page, dance, rig)
        for _ in range(6):
            at, shown = joints(page)
            pose = dance[round(at * 30) % len(dance)]
            fitted = rig.fit(pose)
            places, turns = forward_kinematics(fitted.rotations, fitted.root, rig.offsets)
            expected = {BONES[bone]: places[bone] for bone in rig.bones}
            hands = {side: turns[INDEX[f"{side}Hand"]] for side in ("Left", "Right")}
            assert set(shown) == set(rig.joints)
            for name, place in expected.items():
                np.testing.assert_allclose(shown[name], place, atol=2e-3)
            for finger, name in enumerate(FINGERS):  # flat hands: every finger in a line with the hand
                reach = rig.joints[name] - rig.joints[finger_parent(finger)]
                turn = hands["Left" if name.startswith("Left") else "Right"]
                axis = np.cross(turn[:3], reach)
                turned = reach + 2 * (turn[3] * axis + np.cross(turn[:3], axis))
                np.testing.assert_allclose(shown[name] - shown[finger_parent(finger)], turned, atol=2e-3)
            for side, (foot, _) in enumerate(FEET):
                if pose.contacts[side] == 1.0:
                    planted += 1
                    assert shown[BONES[foot]][1] == pytest.approx(ankle, abs=5e-3)
            time.sleep(0.15)
        assert planted > 3
        assert page.errors == []


@pytest.mark.slow
def test_in_obs_there_are_the_dancers_and_nothing_else(browser):
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, walk(3.0)):
        page = browser.open(f"{server.name}?obs=1")
        page.until(READY)
        time.sleep(1.0)
        shown = picture(page.screenshot(transparent=True))
        assert (shown[..., 3] == 0).mean() > 0.7
        solid = shown[..., 3] > 250
        assert 0.005 < solid.mean() < 0.3
        assert shown[solid][:, :3].std() > 20  # shaded, not a blot
        assert (shown[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()
        assert page.errors == []


@pytest.mark.slow
def test_the_page_shows_stage_and_figure(browser):
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, walk(3.0), dancers=1):
        page = browser.open(server.name)
        page.until(READY)
        time.sleep(1.0)
        shown = picture(page.screenshot())
        assert (shown[..., 3] == 255).all()
        middle = shown[40:230, 190:290, :3].max(axis=-1)
        assert (middle > 150).mean() > 0.02  # the bright figure in a dark hall
        page.run("document.querySelector('[data-camera=close]').click()")
        time.sleep(0.5)
        nearer = picture(page.screenshot())
        assert np.abs(nearer.astype(int) - shown).mean() > 3.0


@pytest.mark.slow
def test_several_dancers_stand_side_by_side(browser, tmp_path):
    write_vrm(tmp_path / "one.vrm", 1, 1.2)
    dance = walk(3.0)
    server = WebServer(port=0, dancers=3, avatar=tmp_path / "one.vrm")
    with contextlib.closing(server), Performance(server, dance, dancers=3):
        page = browser.open(server.name)
        page.until("window.dancerev && dancerev.stats().applied.length === 3 && dancerev.stats().avatars === 1")
        page.until("dancerev.stats().applied.every((n) => n > 10)")
        rig = read_vrm(tmp_path / "one.vrm")
        await_fit(page, dance, rig)
        for dancer in range(3):
            at, shown = joints(page, dancer)
            expected = rig.positions(rig.fit(dance[round(at * 30) % len(dance)]))
            np.testing.assert_allclose(shown["Head"], expected[INDEX["Head"]], atol=2e-3)
        assert page.errors == []


@pytest.mark.slow
def test_a_file_that_is_no_avatar_leaves_the_dance_as_it_is(browser, tmp_path):
    (tmp_path / "broken.vrm").write_bytes(b"glTF and then nothing")
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, walk(3.0)):
        page = browser.open(server.name)
        page.until(READY)
        page.drop(tmp_path / "broken.vrm")
        page.until("!document.getElementById('note').hidden")
        assert "cannot be shown" in page.run("document.getElementById('note').textContent")
        before = page.run("dancerev.stats().applied[0]")
        page.until(f"dancerev.stats().applied[0] > {before} + 10")
        assert page.run("dancerev.stats().avatars") == 0


@pytest.mark.slow
def test_a_show_that_starts_again_is_found_again(browser):
    server = WebServer(port=0)
    with Performance(server, walk(3.0)):
        page = browser.open(server.name)
        page.until(READY)
    server.close()
    page.until("!dancerev.stats().online")
    with contextlib.closing(WebServer(port=server.port)) as again, Performance(again, walk(3.0)):
        before = page.run("dancerev.stats().applied[0]")
        page.until(f"dancerev.stats().online && dancerev.stats().applied[0] > {before} + 10")


@pytest.mark.slow
def test_three_viewers_get_every_pose_in_time(browser):
    """Or it is counted as lost; that a busy machine loses some is no fault of ours."""
    with contextlib.closing(WebServer(port=0)) as server, Performance(server, walk(3.0)) as playing:
        pages = [browser.open(f"{server.name}?obs=1") for _ in range(3)]
        for page in pages:
            page.until(READY)
        time.sleep(2.0)
        before = [page.run("dancerev.stats().applied[0]") for page in pages]
        sent, lost = playing.sent, server.lost
        time.sleep(6.0)
        after = [page.run("dancerev.stats().applied[0]") for page in pages]
        applied = [other - one for one, other in zip(before, after, strict=True)]
        sent, lost = playing.sent - sent, server.lost - lost
        assert sum(applied) + lost >= 3 * sent - 40  # but for those under way, which are few
        assert min(applied) >= 0.5 * sent


def test_the_control_page_is_made_from_the_table_and_asks_for_changes(browser):
    table = Table()
    table.table = lambda: [
        {"name": "style", "kind": "text", "choices": ["any", "salsa"], "value": "any", "help": "the style"},
        {"name": "crew", "kind": "choice", "choices": ["free", "canon"], "value": "free", "help": "how they relate"},
        {"name": "vigour", "kind": "number", "low": 0, "high": 1.5, "unit": "", "value": 1.0, "help": "size"},
        {"name": "freeze", "kind": "switch", "value": False, "help": "stand still"},
        {"name": "tap", "kind": "trigger", "value": None, "help": "tap the tempo"},
        {"name": "seed", "kind": "integer", "low": 0, "high": float("inf"), "unit": "", "value": 0, "help": "seed"},
    ]
    with contextlib.closing(WebServer(port=0, controls=table)) as server, Performance(server, walk(1.0)):
        page = browser.open(f"{server.name}control")
        page.until("document.querySelectorAll('[data-control]').length === 6")
        page.run("document.querySelector('[data-control=freeze]').click()")
        page.run("document.querySelectorAll('[data-control=style] button')[1].click()")
        for place, value, event in (("crew] select", "'canon'", "onchange"), ("vigour] input", "0.5", "oninput")):
            found = f"document.querySelector('[data-control={place}')"
            page.run(f"(({found}).value = {value}, ({found}).{event}())")
        page.run("document.querySelector('[data-control=tap]').onpointerdown()")
        deadline = time.monotonic() + 20
        while len(table.asked) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        asked = {name: value for name, value, _ in table.asked}
        vigour = pytest.approx(0.5, abs=0.01)
        assert asked == {"freeze": True, "style": "salsa", "crew": "canon", "vigour": vigour, "tap": None}
        table.tell(Change)
        page.until("document.querySelector('[data-control=style] input').value === 'salsa'")
        page.until("document.querySelector('[data-control=style] .on').textContent === 'salsa'")
        page.until("document.getElementById('bpm').textContent === '120.0 BPM'")
        assert page.errors == []


@pytest.mark.slow
def test_the_page_is_what_its_sources_make(tmp_path):
    """Rebuilds the bundle where node is there and the packages can be had."""
    if not (which("npm") and which("node")):
        pytest.skip("needs node and npm")
    sources = copytree(WEB, tmp_path / "web", ignore=lambda *_: {"node_modules", "__pycache__"})
    got = subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=sources, capture_output=True, text=True)
    if got.returncode:
        assert "EINTEGRITY" not in got.stderr
        assert "package.json and package-lock.json" not in got.stderr
        pytest.skip(f"npm cannot get the packages: {got.stderr.strip().splitlines()[-1:]}")
    subprocess.run(["node", "build.mjs", "built"], cwd=sources, check=True, capture_output=True)
    for name in ("viewer.js", "control.js", "LICENSES.txt"):
        assert (sources / "built" / name).read_bytes() == (WEB / "page" / name).read_bytes(), f"npm run build: {name}"


def test_the_page_runs_in_the_browser_of_an_older_obs():
    """OBS 28 brings Chromium 103; the syntax is that of 2019 (esbuild's target), and no newer global is used."""
    for name in ("viewer.js", "control.js"):
        text = (WEB / "page" / name).read_text()
        for newer in ("structuredClone", "Array.fromAsync", ".findLast(", ".toSorted(", ".hasOwn(", "at(-1)"):
            assert newer not in text
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
