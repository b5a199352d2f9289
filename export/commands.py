"""The commands that export and measure; they may need what ``pip install 'dancerev[train]'`` brings."""

from __future__ import annotations

from dancerev.model.command_line import run_with_extra


def export() -> int:
    """``dancerev-export``; returns the exit code."""
    return run_with_extra("dancerev-export", "dancerev.export.export", "train")


def bench() -> int:
    """``dancerev-bench``; returns the exit code."""
    return run_with_extra("dancerev-bench", "dancerev.export.bench", "train")
