"""What the end-to-end tests share."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from virtual_microphone import VirtualMicrophone, missing_programs


@pytest.fixture
def virtual_microphone():
    """A :class:`VirtualMicrophone`; where it cannot be had the test is skipped, and in CI it fails."""
    if missing := missing_programs():
        message = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with VirtualMicrophone() as microphone:
        yield microphone
