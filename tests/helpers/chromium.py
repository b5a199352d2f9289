"""A real Chromium without a window, driven over the DevTools protocol."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program():
    """Path of the browser; without one the test is skipped, and in CI it fails."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("needs chromium")
        pytest.skip("needs chromium")
    return found


class Chromium:
    """One browser; ``open`` gives pages."""

    def __init__(self, folder, size=(640, 360)):
        self._folder = Path(folder)
        self._size = size
        command = [program(), "--headless=new", "--no-sandbox", "--remote-debugging-port=0"]
        command += [f"--user-data-dir={self._folder}", f"--window-size={size[0]},{size[1]}", "--hide-scrollbars"]
        command += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-sandbox", "--mute-audio"]
        command += ["--no-first-run", "--disable-extensions", "--disable-background-timer-throttling"]
        command += ["--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"]
        self._process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._pages = []
        port = self._folder / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port.exists() and port.read_text().strip()):
            assert time.monotonic() < deadline, "chromium does not start"
            time.sleep(0.05)
        self._port = int(port.read_text().split()[0])

    def open(self, address):
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=60) as answer:
            target = json.load(answer)
        page = Page(target["webSocketDebuggerUrl"], self._size)
        self._pages.append(page)
        page.go(address)
        return page

    def close_pages(self):
        while self._pages:
            self._pages.pop().close()

    def close(self):
        self.close_pages()
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """One tab. ``errors`` collects uncaught exceptions and messages of the console that are errors."""

    def __init__(self, address, size):
        self._socket = connect(
            address, max_size=None, compression=None, open_timeout=60, ping_interval=None
        ).__enter__()
        self._numbers = itertools.count(1)
        self.errors = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )

    def go(self, address):
        self.call("Page.navigate", url=address)

    def call(self, method, **parameters):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message)

    def _note(self, message):
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])

    def run(self, script):
        """Value of a JavaScript expression, which may be a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition} never holds; errors: {self.errors}"
            time.sleep(0.1)

    def screenshot(self, transparent=False):
        """PNG bytes of what is shown."""
        if transparent:
            self.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def drop(self, path):
        """Choose ``path`` in the page's file input, as a user does who opens or drops a file."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def close(self):
        self.call("Page.close")
        self._socket.close()
