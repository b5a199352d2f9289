"""Shared by all tests: the modules that need PyTorch are left out where it is not installed."""

import importlib.util
import re

WITHOUT_TORCH = importlib.util.find_spec("torch") is None
BUILT_ON_TORCH = r"torch|lightning|onnx|onnxscript|dancerev\.(model\.(network|training|beats)|export)"
NEEDS_TORCH = re.compile(rf"^\s*(import|from) ({BUILT_ON_TORCH})\b", re.MULTILINE)


def pytest_ignore_collect(collection_path):
    """Ignore a module that imports PyTorch, or a package built on it, where the extra ``train`` is not installed."""
    if WITHOUT_TORCH and collection_path.suffix == ".py" and collection_path.name != "conftest.py":
        return bool(NEEDS_TORCH.search(collection_path.read_text(encoding="utf-8"))) or None
    return True if WITHOUT_TORCH and collection_path.parts[-2:] == ("tests", "export") else None
