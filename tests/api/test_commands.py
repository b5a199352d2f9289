"""The commands by name: they explain themselves, and name the extra that they lack."""

import os
import signal
import subprocess
import sys

import pytest

from dancerev.commands import COMMANDS

MISSING = """
import sys
for name in ("torch", "lightning", "scipy", "onnx", "onnxscript", "joblib", "mido"):
    sys.modules[name] = None
from dancerev import commands
sys.argv = ["command", {arguments}]
sys.exit(commands.{name}())
"""


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("prepare", "motion --out out"),
        ("train", ". --preset dance-revolution"),
        ("evaluate", "a.npz"),
        ("export", "default -o a.onnx"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(name, arguments, tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "dance-revolution 1"}')
    done = python("-c", MISSING.format(name=name, arguments=repr(arguments.split())[1:-1]), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"dancerev-{name}: ")
    assert "pip install 'dancerev[train]'" in done.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_in_a_screen_and_tells_its_version(name):
    """Without its extra too."""

    def answer(argument):
        program = MISSING.format(name=name, arguments=repr(argument))
        done = python("-c", program, env=os.environ | {"COLUMNS": "80"})
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    text = answer("--help")
    assert text.startswith(f"usage: dancerev-{name} ")
    assert text.count("\n") <= 24
    text += answer("--help-all") if "--help-all" in text else ""
    assert max(map(len, text.splitlines())) <= 80
    assert answer("--version").startswith("dancerev ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("train .", "no manifest.json; make the folder with dancerev-prepare"),
        ("train damaged", "manifest.json: not a JSON object"),
        ("train damaged --preset dance-revolution", "no manifest.json that can be read"),
        ("train . --live", "--live does nothing without --preset dance-revolution"),
        ("train . --preset dance-revolution --steps 5", "--steps does nothing with --preset dance-revolution"),
        ("train . --own-poses 5", "--own-poses does nothing without --network original"),
        ("train . --network original --prior-steps 5", "--prior-steps does nothing with --network original"),
        ("prepare --out o", "nothing to prepare"),
        ("prepare a --out o --picture 9x9", "--picture does nothing without --format or --video"),
        ("prepare a --out o --clips 5", "--clips does nothing without --grooves"),
        ("prepare --pairs a --out o --hours 5", "--hours does nothing without motion capture"),
        ("prepare --video a --out o --hours 5", "--hours does nothing with --video"),
        ("prepare a --format dancerevolution --out o --music m", "--music does nothing with --format dancerevolution"),
        ("evaluate", "give either dances or groups of them"),
        ("evaluate a.npz --fps 15", "--fps does nothing without --paper"),
        ("evaluate --group a=b --paper c.pt --real r.npz", "--real does nothing with --paper"),
        ("export a.ckpt", "-o is missing"),
        ("export a.ckpt --compare -o a.onnx", "--out does nothing with --compare"),
        ("export default -o a.onnx --licence MIT", "--licence does nothing with a model that is exported already"),
        ("export default -o a.onnx --dancers 2", "--dancers does nothing without --tensorrt"),
        ("generate s.wav -o o --model a.pt --style salsa", "--style does nothing with a checkpoint of the original"),
        ("generate s.wav -o o --model=a.pt", "torch is missing: pip install 'dancerev[original]'"),
        ("listen --input mic --mute", "--mute does nothing with --input mic"),
        ("listen --input demo --mute --device 1", "--device does nothing with --mute"),
    ],
)
def test_a_mistake_is_told_before_the_long_imports(arguments, complaint, tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("[]")
    name, *others = arguments.split()
    done = python("-c", MISSING.format(name=name, arguments=repr(others)[1:-1]), cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


INTERRUPTED = """
import importlib.abc, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["dancerev-live", "--version"]
from dancerev.scripts import live
sys.exit(live())
"""


@pytest.mark.parametrize("module", ["dancerev.commands", "dancerev.command_line", "argparse", "dancerev.realtime.live"])
def test_ctrl_c_is_silent_from_our_first_import_on(module):
    done = python("-c", INTERRUPTED.format(module=module))
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr == ""


def test_dancerev_alone_lists_the_commands():
    done = python("-m", "dancerev")
    assert done.returncode == 0
    assert all(f"dancerev-{name} " in done.stdout for name in COMMANDS)
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_an_unknown_command_is_refused_in_one_line():
    done = python("-m", "dancerev", "sing")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
