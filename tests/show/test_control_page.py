"""The performer's panel in a real browser changes a running show."""

import socket
from pathlib import Path

import pytest
from chromium import Chromium
from receiver import live

STYLE, FREEZE = (
    "document.querySelector('[data-control=style] input')",
    "document.querySelector('[data-control=freeze]')",
)


@pytest.mark.slow
def test_the_panel_changes_the_style_and_every_panel_shows_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    show = live("--input", "demo", "--mute", "--no-preview", "--web", address, "--osc", "127.0.0.1:9")
    try:
        assert f"http://{address}/control" in show.stderr.readline()
        with Chromium(Path(tmp_path) / "chromium", (420, 860)) as browser:
            panel, other = (browser.open(f"http://{address}/control") for _ in range(2))
            for page in (panel, other):
                page.until(f"{STYLE} && {FREEZE}")
            panel.run(f"({STYLE}.value = 'salsa', {STYLE}.onchange())")
            other.until(f"{STYLE}.value === 'salsa'")
            panel.run(f"{FREEZE}.click()")
            other.until(f"{FREEZE}.classList.contains('on')")
            panel.run(f"({STYLE}.value = 'nonsense', {STYLE}.onchange())")
            panel.until("document.getElementById('note').textContent.includes('unknown style')")
            assert panel.run(f"{STYLE}.value") == "salsa"
            assert panel.errors == other.errors == []
    finally:
        show.terminate()
        show.communicate(timeout=30)
