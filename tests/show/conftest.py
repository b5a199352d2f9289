"""What the end-to-end tests share."""

import os

import pytest
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
