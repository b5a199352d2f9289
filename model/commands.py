"""The commands that prepare, train and judge; they may need what ``pip install 'dancerev[train]'`` brings."""

from __future__ import annotations

from .command_line import run_with_extra


def prepare() -> int:
    """``dancerev-prepare``; returns the exit code."""
    return run_with_extra("dancerev-prepare", "dancerev.model.prepare", "train")


def train() -> int:
    """``dancerev-train``; returns the exit code."""
    return run_with_extra("dancerev-train", "dancerev.model.train", "train")


def evaluate() -> int:
    """``dancerev-evaluate``; returns the exit code."""
    return run_with_extra("dancerev-evaluate", "dancerev.model.evaluate", "train")
