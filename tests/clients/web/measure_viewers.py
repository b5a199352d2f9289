"""Measure the page, in the folder tests/clients/web: ``PYTHONPATH=../../helpers python measure_viewers.py [SECONDS]``.

Three viewers in a real browser; prints how many poses a second were sent, and for each viewer how many were applied and
how long after they were sent.
"""

import contextlib
import sys
import tempfile
import time

import numpy as np
from chromium import Chromium
from test_page import READY, Performance
from walking import walk

from dancerev.clients.web.server import WebServer

STATE = "[dancerev.stats().applied[0], performance.now()]"


def main(seconds):
    with (
        tempfile.TemporaryDirectory() as folder,
        Chromium(folder, (320, 180)) as browser,
        contextlib.closing(WebServer(port=0)) as server,
        Performance(server, walk(3.0)) as playing,
    ):
        pages = [browser.open(f"{server.name}?obs=1") for _ in range(3)]
        for page in pages:
            page.until(READY)
        time.sleep(5.0)
        before, sent, lost, start = [page.run(STATE) for page in pages], playing.sent, server.lost, time.time()
        time.sleep(seconds)
        after = [page.run(STATE) for page in pages]
        print(f"sent {(playing.sent - sent) / (time.time() - start):.2f} a second, lost {server.lost - lost} in all")
        for page, (first, begin), (last, end) in zip(pages, before, after, strict=True):
            latency = np.array(page.run("dancerev.stats().latency"))[-int(last - first) :]
            p50, p99 = np.percentile(latency, [50, 99])
            print(f"applied {1000 * (last - first) / (end - begin):.2f} a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
