"""The dance in a browser: a page that shows it, for a screen or for OBS, and a page that controls it.

``server.py`` serves both and sends poses over a WebSocket (``frames.py``: the bytes). The pages are written in ``src/``
and bundled by ``build.mjs`` into ``page/``, which is what is installed.
"""

WEB_PORT = 8539
"""The default port of the page."""
