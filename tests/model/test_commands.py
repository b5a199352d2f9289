"""Commands whose packages are not installed say which extra brings them."""

import subprocess
import sys

import pytest

MISSING = """
import sys
for name in ("torch", "lightning", "scipy", "onnx"):
    sys.modules[name] = None
from dancerev.model import commands as model
from dancerev.export import commands as export
sys.argv = ["command", "--help"]
sys.exit({call}())
"""


@pytest.mark.parametrize("call", ["model.prepare", "model.train", "export.export"])
def test_a_missing_extra_is_named_in_one_line(call):
    done = subprocess.run([sys.executable, "-c", MISSING.format(call=call)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"dancerev-{call.partition('.')[2]}: ")
    assert "pip install 'dancerev[train]'" in done.stderr


@pytest.mark.parametrize("call", ["model.prepare", "model.train", "model.evaluate", "export.export", "export.bench"])
def test_every_command_explains_itself(call):
    group, name = call.split(".")
    script = f"import sys; from dancerev.{group} import commands; sys.argv = ['x', '--help']; commands.{name}()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: dancerev-{name} ")
