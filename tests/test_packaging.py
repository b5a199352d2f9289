"""What is shipped is whole: the source distribution, the wheel, and the metadata, wherever Python is started."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHIPPED = ("api", "model", "realtime", "clients", "export")


def tracked(*patterns):
    """Files of the repository, or of this source distribution."""
    git = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a clone of the repository")
    return git.stdout.split()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Paths of the source distribution and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.mark.slow
def test_the_source_distribution_holds_tests_unity_and_all_markdown(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for pattern in ("*.md", "tests", "clients/unity", "examples", "*.py", "LICENSE", "NOTICE", "*.onnx", "*.npz"):
        missing = set(tracked(pattern)) - names
        assert not missing, (pattern, sorted(missing)[:10])


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_runs_anywhere(distributions, tmp_path):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
        metadata = message_from_string(archive.read(next(n for n in names if n.endswith("/METADATA"))).decode())
        archive.extractall(tmp_path / "site")
    for folder in SHIPPED:
        package = "dancerev" if folder == "api" else f"dancerev/{folder}"
        for path in tracked(f"{folder}/*.py"):
            assert f"{package}/{path.removeprefix(f'{folder}/')}" in names
    assert not [name for name in names if name.startswith(("tests", "examples"))]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().count("# dancerev")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import dancerev\n"
        f"assert dancerev.__file__.startswith({str(tmp_path)!r}), dancerev.__file__\n"
        "from dancerev.realtime.audio.sources import demo_path\n"
        "block = next(iter(dancerev.decode(demo_path())))\n"
        "stream = dancerev.DanceStream(dancerev.Dancer(dancerev.DanceModel()))\n"
        "assert stream.begin() and stream.push(block)\n"
    )
    for folder in (ROOT, tmp_path, Path("/")):
        subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)


def test_the_metadata_names_pythons_and_true_addresses():
    classifiers = PROJECT["classifiers"]
    for minor in (11, 12, 13, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    assert all(url.startswith("https://") for url in PROJECT["urls"].values())


def test_links_of_the_readme_work_outside_of_the_repository():
    """A package index shows the README, but has none of the files beside it; of pictures it shows their texts."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [
        link for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", text) if not link.startswith(("https://", "#"))
    ]


def test_links_between_documents_lead_somewhere():
    for path in map(Path, tracked("*.md")):
        text = (ROOT / path).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not link.startswith(("https://", "http://", "mailto:")):
                assert (ROOT / path.parent / link).exists(), f"{path}: {link}"


def test_commands_and_scripts_are_the_same():
    from dancerev.commands import COMMANDS

    scripts = {name.removeprefix("dancerev-") for name in PROJECT["scripts"] if name != "dancerev"}
    assert scripts == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in PROJECT["scripts"] if name != "dancerev"])
def test_every_package_that_a_command_needs_is_named_in_an_extra(name):
    from dancerev.commands import COMMANDS

    extra = COMMANDS[name.removeprefix("dancerev-")].extra
    assert extra is None or extra in PROJECT["optional-dependencies"]
