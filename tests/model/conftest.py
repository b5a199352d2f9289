"""The makers of motion and music, as the fixture ``dancing``."""

from types import SimpleNamespace

import pytest
from dances import dance, write_dance
from signals import clicks, write_song, write_wav


@pytest.fixture(scope="session")
def dancing():
    """Functions of ``tests/helpers``: dance, write_dance, clicks, write_song, write_wav."""
    return SimpleNamespace(
        dance=dance, write_dance=write_dance, clicks=clicks, write_song=write_song, write_wav=write_wav
    )
