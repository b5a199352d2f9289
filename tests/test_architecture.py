"""Imports go one way. A package may import what stands above it in LAYERS, and itself; nothing else.

Imports inside functions count too, so that no lazy import hides a cycle. Only ``if TYPE_CHECKING`` is left out.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"api": "dancerev", **{name: f"dancerev.{name}" for name in ("model", "realtime", "clients", "export")}}

LAYERS = (
    ("dancerev",),
    ("dancerev.model",),
    ("dancerev.clients", "dancerev.model.network", "dancerev.realtime.audio", "dancerev.realtime.body"),
    ("dancerev.clients.preview", "dancerev.clients.web", "dancerev.realtime.spectrum"),
    ("dancerev.clients.recorders", "dancerev.realtime.beat"),
    ("dancerev.realtime.features", "dancerev.realtime.performance"),
    ("dancerev.realtime.step", "dancerev.model.corpus"),
    ("dancerev.realtime.show", "dancerev.model.beats"),
    ("dancerev.realtime",),  # the commands: live, generate, listen
    ("dancerev.model.evaluation",),
    ("dancerev.model.training", "dancerev.export"),
)

ROOMS = {
    # Modules at the top of realtime that are a layer of their own.
    **{
        f"dancerev.realtime.{name}": "dancerev.realtime.step"
        for name in ("providers", "step_guard", "dance_model", "dancer", "stream")
    },
    **{f"dancerev.realtime.{name}": "dancerev.realtime.show" for name in ("notes", "stats", "status", "show")},
    "dancerev.realtime.demo": "dancerev.realtime.audio",
    "dancerev.model.pretrained": "dancerev.model",
}

HEAVY = {"torch", "lightning", "scipy"}
"""Packages that nothing on the live path imports."""


def modules():
    """Dotted name → path of every module of the project."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name, source, known, package=False):
    """Dotted names of all modules, of this project or not, that a module imports."""
    tree = ast.parse(source)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    here = name.split(".") if package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{target}.{alias.name}" if f"{target}.{alias.name}" in known else target


def room(name):
    """The entry of LAYERS to which a module belongs: the longest that its name starts with."""
    while name not in ROOMS and not any(name in layer for layer in LAYERS):
        name = name.rpartition(".")[0]
    return ROOMS.get(name, name)


def level(name):
    return next(index for index, layer in enumerate(LAYERS) if room(name) in layer)


def wrong(name, source, known, package=False):
    """Imports of a module that go the wrong way."""
    for target in imports(name, source, known, package):
        if target.split(".")[0] != "dancerev":
            continue
        if (room(target) != room(name) and level(target) >= level(name)) or (
            name.startswith("dancerev.clients") and target.startswith("dancerev.realtime")
        ):
            yield f"{name} imports {target}"


def test_imports_go_one_way():
    known = modules()
    found = [
        line
        for name, path in known.items()
        for line in wrong(name, path.read_text(encoding="utf-8"), known, path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("dancerev.clients.vmc", "from dancerev.realtime.audio import clock"),
        ("dancerev.model.pose", "def f():\n    from .corpus.song import Song"),
        ("dancerev.realtime.audio.ring", "from ..spectrum import HOP"),
        ("dancerev.realtime.beat.tracker", "import dancerev.realtime.features"),
        ("dancerev.model.corpus.takes", "from ..training import train"),
    ],
)
def test_an_import_the_wrong_way_is_found(name, source):
    assert list(wrong(name, source, modules()))


def test_type_checking_imports_do_not_count():
    source = "if TYPE_CHECKING:\n    from dancerev.realtime.show import Show"
    assert not list(wrong("dancerev.clients.vmc", source, modules()))


def test_the_live_path_imports_nothing_heavy():
    known = modules()
    live, todo = set(), ["dancerev.realtime.live", "dancerev.realtime.listen", "dancerev.realtime.generate"]
    while todo:
        name = todo.pop()
        if name in live or name not in known:
            continue
        live.add(name)
        path = known[name]
        for target in imports(name, path.read_text(encoding="utf-8"), known, path.name == "__init__.py"):
            assert target.split(".")[0] not in HEAVY, f"{name} imports {target}"
            todo.append(target)
    assert "dancerev.realtime.dance_model" in live  # or the walk has missed the path


def test_the_list_of_packages_is_the_tree():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    tree = {name for name, path in modules().items() if path.name == "__init__.py"}
    data = {"dancerev.model.pretrained", "dancerev.realtime.demo", "dancerev.clients.web.page"}  # without modules
    assert listed - data == tree - data
    assert {"dancerev.model.pretrained", "dancerev.realtime.demo"} <= listed


def test_importing_dancerev_is_quick_and_loads_nothing_large():
    program = (
        "import sys, time; start = time.process_time(); import dancerev; spent = time.process_time() - start\n"
        "large = {'torch', 'onnxruntime', 'pygame', 'numpy', 'av', 'sounddevice', 'scipy'} & set(sys.modules)\n"
        "assert not large, large\n"
        "assert spent < 0.2, spent\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_name_of_the_front_door_is_there():
    import dancerev

    for name in dancerev.__all__:
        assert getattr(dancerev, name) is not None
    with pytest.raises(AttributeError):
        _ = dancerev.no_such_name
