"""The tables of the documents are those that the code makes, and the options that they name exist."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

from dancerev.commands import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "docs" / "make_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["controls.md", "osc.md"])
def test_a_table_is_the_one_that_the_code_makes(tables, name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert tables.with_table(text, tables.DOCUMENTS[name]()) == text, "run python docs/make_tables.py"


def commands(text):
    """(command, options) of every line of a shell block that calls one of ours."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for call in line.partition("#")[0].split("&&"):
                if match := re.match(r"\s*dancerev-(\w+)", call):
                    yield match[1], re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", call)


def help_of(name):
    """What a command prints for ``--help``, with all its options."""
    text = io.StringIO()
    main = importlib.import_module(COMMANDS[name].module).main
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        main(["--help"])
    if "--help-all" in text.getvalue():
        with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
            main(["--help-all"])
    return text.getvalue()


@pytest.mark.slow  # where PyTorch has not been imported yet
@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*.md")))
def test_every_option_that_a_document_names_exists(path):
    known = {}
    for name, options in commands((ROOT / path).read_text(encoding="utf-8")):
        if name in ("train", "export", "prepare", "evaluate", "bench"):
            pytest.importorskip("torch", reason="needs the extra train")
        if name not in known:
            known[name] = help_of(name)
        for option in options:
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known[name]), f"{path}: dancerev-{name} {option}"
