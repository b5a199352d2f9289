"""The commands by name: they explain themselves, and name the extra that they lack."""

import subprocess
import sys

import pytest

from dancerev.commands import COMMANDS

MISSING = """
import sys
for name in ("torch", "lightning", "scipy", "onnx"):
    sys.modules[name] = None
from dancerev import commands
sys.argv = ["command", "--help"]
sys.exit(commands.{name}())
"""


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("name", ["prepare", "train", "export"])
def test_a_missing_extra_is_named_in_one_line(name):
    done = python("-c", MISSING.format(name=name))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"dancerev-{name}: ")
    assert "pip install 'dancerev[train]'" in done.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_and_tells_its_version(name):
    if COMMANDS[name].extra:
        pytest.importorskip("torch", reason="needs an extra")
    done = python("-m", "dancerev", name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: dancerev-{name} ")
    done = python("-m", "dancerev", name, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("dancerev ")


def test_dancerev_alone_lists_the_commands():
    done = python("-m", "dancerev")
    assert done.returncode == 0
    assert all(f"dancerev-{name} " in done.stdout for name in COMMANDS)
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_an_unknown_command_is_refused_in_one_line():
    done = python("-m", "dancerev", "sing")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
