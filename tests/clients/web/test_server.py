"""The server of the page without a browser: who is let in, what is sent, and what slow or hostile visitors change."""

import contextlib
import gc
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from control_table import Change, Table
from vrm_file import joints_of, write_vrm
from walking import walk
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dancerev.clients.avatar import AvatarRig
from dancerev.clients.web import server as web_server
from dancerev.clients.web.frames import MUSIC, POSE
from dancerev.clients.web.server import MAX_CONNECTIONS, WebServer
from dancerev.errors import InputError
from dancerev.model.features import BeatState
from dancerev.model.pose import rest_pose

RATE = 30.0


@pytest.fixture
def server():
    with contextlib.closing(WebServer(port=0)) as running:
        yield running


def origin(server):
    return server.name.rstrip("/").removesuffix(f"/{server.token}" if server.token else "")


def viewer(server, **options):
    """A page's connection, after its greeting."""
    address = f"{server.name}socket".replace("http:", "ws:")
    opening = connect(
        address, origin=options.pop("origin", origin(server)), compression=None, max_queue=None, **options
    )
    connection = opening.__enter__()
    connection.greeting = json.loads(connection.recv(timeout=10))
    return connection


def get(address, **headers):
    """Status, headers and body of a request."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def dance(server, seconds, each=lambda: None):
    """Send poses at 30 a second for so long; how many."""
    start = time.perf_counter()
    for n, pose in enumerate(walk(seconds)):
        each()
        while time.perf_counter() < start + n / RATE:
            time.sleep(0.001)
        server.send(pose)
    return n + 1


LAST = 1000.0
"""Seconds of the dance's time at which its last pose is."""


def shown(server, page):
    """How many poses a page has been sent, up to one that is sent now and has to arrive."""
    server.send(rest_pose(LAST))
    count, last = 0, 0.0
    while last != LAST:
        message = page.recv(timeout=20)
        if isinstance(message, bytes) and message[0] == 1:
            count, last = count + 1, np.frombuffer(message, dtype=POSE)[0]["time"]
    return count


def test_the_page_is_served_with_a_policy_that_allows_nothing_from_elsewhere(server):
    for path, kind in (("", "text/html"), ("viewer.js", "text/javascript"), ("style.css", "text/css")):
        status, headers, body = get(server.name + path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert len(body) == int(headers["Content-Length"]) > 100
    assert get(server.name)[2].startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    "path",
    [
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/server.py",
        "page/../server.py",
        "/etc/passwd",
        "//etc/passwd",
        "viewer.js/",
        "server.py",
        "control",
        "avatar.vrm",
        "index.html%00",
    ],
)
def test_nothing_else_is_served(server, path):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"import" not in answer


def test_other_sites_and_rebound_names_are_refused(server):
    for wrong in ("http://evil.example", f"http://evil.example:{server.port}", "null", None):
        with pytest.raises(InvalidStatus) as error:
            viewer(server, origin=wrong)
        assert error.value.response.status_code == 403
    assert get(server.name, Host=f"evil.example:{server.port}")[0] == 421
    assert get(server.name, Host="127.0.0.1:1")[0] == 421


def test_beyond_this_machine_every_address_needs_the_token():
    with contextlib.closing(WebServer("0.0.0.0", port=0)) as server:
        assert len(server.token) >= 20
        local = f"http://127.0.0.1:{server.port}"
        assert get(f"{local}/{server.token}/")[0] == 200
        for path in ("/", "/viewer.js", "/socket", "/wrong/", f"/{server.token[:-1]}/", f"/{server.token}x/viewer.js"):
            assert get(local + path)[0] == 403
        with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{server.port}/socket", origin=local):
            pass
        with connect(f"ws://127.0.0.1:{server.port}/{server.token}/socket", origin=local) as page:
            assert json.loads(page.recv(timeout=10))["type"] == "hello"


def test_poses_and_music_arrive_as_they_were_sent(server):
    page = viewer(server)
    pose = walk(0.1)[2]
    server.send(pose)
    frame = np.frombuffer(page.recv(timeout=10), dtype=POSE)[0]
    assert (frame["kind"], frame["dancer"], frame["time"]) == (1, 0, pose.time)
    assert abs(frame["sent"] / 1000.0 - time.time()) < 10.0
    for part in ("rotations", "root", "contacts"):
        np.testing.assert_array_equal(frame[part], getattr(pose, part))
    np.testing.assert_array_equal(frame["fingers"], np.tile([0, 0, 0, 1], (30, 1)))
    server.send_music(BeatState(3.0, 0.25, 0.5, 0.9, beat_in_bar=2, beats_per_bar=3), 0.4, 0.6)
    music = np.frombuffer(page.recv(timeout=10), dtype=MUSIC)[0]
    assert (music["kind"], music["time"], music["beats"], music["beats_per_bar"]) == (2, 3.0, 2.25, 3)
    page.close()


def test_a_pose_that_is_not_finite_is_not_sent(server):
    page = viewer(server)
    broken = rest_pose()
    broken.rotations[3] = np.nan
    server.send(broken)
    server.send_music(None, float("nan"), 0.5)
    server.send(rest_pose(2.0))
    assert np.frombuffer(page.recv(timeout=10), dtype=POSE)[0]["time"] == 2.0
    page.close()


def test_a_page_with_an_avatar_gets_poses_fitted_to_it(server):
    joints = joints_of(1.1, seed=2)
    page = viewer(server)
    page.send(json.dumps({"type": "avatars", "avatars": [{"joints": {n: p.tolist() for n, p in joints.items()}}]}))
    rig, pose = AvatarRig(joints), walk(0.5)[10]
    for _ in range(100):
        server.send(pose)
        frame = np.frombuffer(page.recv(timeout=10), dtype=POSE)[0]
        if not np.array_equal(frame["root"], pose.root):
            break
    np.testing.assert_allclose(frame["rotations"], rig.fit(pose).rotations, atol=1e-6)
    np.testing.assert_allclose(frame["root"], rig.fit(pose).root, atol=1e-6)
    page.close()


def test_viewers_of_one_avatar_share_its_fit_and_there_is_a_limit(server):
    """Fitting takes time that the show needs."""

    def wear(page, *seeds):
        avatars = [{"joints": {n: p.tolist() for n, p in joints_of(1.5, seed).items()}} for seed in seeds]
        page.send(json.dumps({"type": "avatars", "avatars": avatars}))
        server.send(rest_pose())
        while not isinstance(message := page.recv(timeout=10), str):
            if not np.array_equal(np.frombuffer(message, dtype=POSE)[0]["root"], rest_pose().root):
                return None
            server.send(rest_pose())
        return json.loads(message)["text"]

    pages = [viewer(server) for _ in range(4)]
    assert wear(pages[0], 1, 2, 3, 4, 5) is None
    assert wear(pages[1], 1, 2, 3, 4, 5) is None
    assert wear(pages[2], 6, 7, 8) is None
    assert "no more than 8 different avatars" in wear(pages[3], 9)
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"type": "avatars"}',
        '{"type": "avatars", "avatars": 7}',
        '{"type": "avatars", "avatars": [{"joints": {"Hips": [1, 2]}}]}',
        '{"type": "avatars", "avatars": [{"joints": {"Hips": [NaN, 0, Infinity]}}]}',
        '{"type": "control", "name": {"a": 1}}',
        "[" * 10000,
        b"\0\1\2",
    ],
)
def test_malformed_messages_change_nothing(server, message):
    page = viewer(server)
    page.send(message)
    server.send(rest_pose(1.0))
    while isinstance(received := page.recv(timeout=10), str):
        assert json.loads(received)["type"] == "note"
    np.testing.assert_array_equal(np.frombuffer(received, dtype=POSE)[0]["root"], rest_pose().root)
    page.close()


def test_an_avatar_that_is_no_humanoid_is_answered(server):
    page = viewer(server)
    page.send(json.dumps({"type": "avatars", "avatars": [{"joints": {"Hips": [0, 1, 0]}}]}))
    assert "not a humanoid" in json.loads(page.recv(timeout=10))["text"]
    page.close()


@pytest.mark.slow
def test_a_large_message_and_a_flood_end_the_connection(server):
    def flood(page):
        for _ in range(100_000):
            page.send("{}")

    def overfill(page):
        page.send("x" * 10_000_000)
        page.recv(timeout=10)

    for attack in (flood, overfill):
        page = viewer(server)
        with pytest.raises(ConnectionClosed):
            attack(page)
    deadline = time.monotonic() + 10
    while server.viewers and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.viewers == 0


@pytest.mark.slow
def test_a_thousand_connections_are_bounded_and_the_dance_goes_on(server):
    page = viewer(server)
    crowd = []

    def arrive():
        for _ in range(20):
            with contextlib.suppress(OSError):
                crowd.append(socket.create_connection(("127.0.0.1", server.port), timeout=1))

    sent = dance(server, 1000 / 20 / RATE, arrive)
    assert len(crowd) > 500
    assert shown(server, page) + server.lost >= sent
    assert sum(_is_open(each) for each in crowd) <= MAX_CONNECTIONS
    for each in crowd:
        each.close()
    page.close()


def _is_open(connection):
    """Whether the other side has not dropped a connection."""
    connection.settimeout(0.0)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.slow
def test_connections_that_say_nothing_are_dropped(server):
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(5)]
    silent[0].sendall(b"GET / HTTP/1.1\r\nHost: ")
    for each in silent:
        each.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while each.recv(4096):
                pass
        each.close()
    assert get(server.name)[0] == 200


@pytest.mark.slow
def test_a_slow_reader_loses_frames_and_takes_nothing_from_others(server, monkeypatch):
    monkeypatch.setattr(web_server, "STALLED", 2.0)
    fast = viewer(server)
    # Nothing is read of this one, and its system takes little.
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(
        f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {origin(server)}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    while server.viewers < 2:
        time.sleep(0.01)
    sent = dance(server, 8.0)
    assert shown(server, fast) + server.lost >= sent
    while server.viewers > 1:  # the one that takes nothing is sent away
        time.sleep(0.01)
    slow.close()
    fast.close()


def test_what_waits_for_a_server_that_is_held_up_is_bounded_and_the_newest(server):
    """And the show's side does not wait for it."""
    page = viewer(server)
    held_up = threading.Event()
    server._call(held_up.wait, 30.0)
    for n in range(1000):
        server.send(rest_pose(n / RATE))
    waiting, lost = len(server._handed), server.lost
    held_up.set()
    assert waiting <= 60
    assert waiting + lost in (999, 1000)  # one may have been taken before it was held up
    times = []
    while not times or times[-1] < 999 / RATE - 1e-6:
        times.append(np.frombuffer(page.recv(timeout=10), dtype=POSE)[0]["time"])
    page.close()


def test_connections_leave_nothing_behind_where_no_garbage_is_collected(server, monkeypatch):
    monkeypatch.setattr(web_server, "_COLLECTED", 5)
    gc.collect()
    gc.disable()
    try:
        for _ in range(40):
            assert get(server.name + "style.css")[0] == 200
        left = sum(issubclass(type(each), ServerConnection) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left <= 15


def test_an_avatar_file_is_served_as_it_is(tmp_path):
    write_vrm(tmp_path / "any name.vrm", 1)
    with contextlib.closing(WebServer(port=0, avatar=tmp_path / "any name.vrm")) as server:
        page = viewer(server)
        assert page.greeting["avatar"] == "avatar.vrm"
        assert get(server.name + "avatar.vrm")[2] == (tmp_path / "any name.vrm").read_bytes()
        page.close()


@pytest.mark.slow
def test_a_large_avatar_reaches_a_slow_page_whole(tmp_path):
    path = tmp_path / "large.vrm"
    path.write_bytes(np.random.default_rng(0).bytes(3_000_000))
    received = b""
    with contextlib.closing(WebServer(port=0, avatar=path)) as server:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        raw.sendall(f"GET /avatar.vrm HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        while block := raw.recv(100_000):
            received += block
            time.sleep(0.1)
        raw.close()
    assert received.endswith(path.read_bytes())


def test_controls_are_asked_for_and_changes_are_told_to_every_page():
    table = Table()
    with contextlib.closing(WebServer(port=0, controls=table)) as server:
        assert get(server.name + "control")[0] == 200
        pages = [viewer(server), viewer(server)]
        assert pages[0].greeting["controls"] == table.table()
        pages[0].send('{"type": "control", "name": "style", "value": "salsa"}')
        deadline = time.monotonic() + 10
        while not table.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        assert table.asked == [("style", "salsa", "web")]
        table.tell(Change)
        for page in pages:
            told = json.loads(page.recv(timeout=10))
            assert told == {"type": "change", "name": "style", "value": "salsa", "accepted": True, "message": ""}
            page.close()
        server.close()
    assert table.tell is None


def test_a_port_that_is_taken_and_a_file_that_is_missing_are_told_in_one_line(server, tmp_path):
    with pytest.raises(InputError, match=f"web page at '127.0.0.1', port {server.port}: "):
        WebServer(port=server.port)
    with pytest.raises(InputError, match="No such file"):
        WebServer(port=0, avatar=tmp_path / "none.vrm")


def test_after_the_end_the_port_is_free_and_sending_is_no_error():
    server = WebServer(port=0)
    page = viewer(server)
    server.close()
    server.send(rest_pose())
    server.close()
    with pytest.raises(ConnectionClosed):
        page.recv(timeout=10)
    WebServer(port=server.port).close()
