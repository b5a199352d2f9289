"""The commands that may need what ``pip install 'dancerev[train]'`` brings: prepare, train, judge, export, measure."""

from __future__ import annotations

from .command_line import run_with_extra


def prepare() -> int:
    """``dancerev-prepare``; returns the exit code."""
    return run_with_extra("dancerev-prepare", "dancerev.model.corpus.prepare", "train")


def train() -> int:
    """``dancerev-train``; returns the exit code."""
    return run_with_extra("dancerev-train", "dancerev.model.training.train", "train")


def evaluate() -> int:
    """``dancerev-evaluate``; returns the exit code."""
    return run_with_extra("dancerev-evaluate", "dancerev.model.evaluation.evaluate", "train")


def export() -> int:
    """``dancerev-export``; returns the exit code."""
    return run_with_extra("dancerev-export", "dancerev.export.export", "train")


def bench() -> int:
    """``dancerev-bench``; returns the exit code."""
    return run_with_extra("dancerev-bench", "dancerev.export.bench", "train")
