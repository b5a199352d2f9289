"""Shared by all tests: what needs PyTorch, or another package of an extra, is skipped where that is not installed."""

import importlib.util
import os
import re
from collections import Counter

import pytest

# Two processes of tests, each with a thread for every core, hinder each other tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

OPTIONAL = ("torch", "lightning", "onnx", "onnxscript", "librosa")
"""Packages of the extras ``train`` and ``original``, without which most tests can run."""

MISSING = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Report a module of tests as skipped where its imports end at a package that is not installed."""
    report = yield
    found = re.search(r"No module named '(\w+)", str(report.longrepr)) if report.failed else None
    if found and found[1] in MISSING:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {found[1]}")
    return report


def pytest_ignore_collect(collection_path):
    """Leave out the tests of the export, which share a network of PyTorch."""
    return True if "torch" in MISSING and collection_path.parts[-2:] == ("tests", "export") else None


def pytest_collection_modifyitems(items):
    """Begin with the files that have most slow tests, lest one of two processes ends with them alone."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
