"""Files are whole or as they were before, and what cannot be written is found out before the work."""

import os
from pathlib import Path

import pytest

from dancerev.errors import InputError
from dancerev.model.whole_file import check_name, check_writable, write_npz, write_text, write_whole

resource = pytest.importorskip("resource", reason="Windows limits no files")


@pytest.fixture
def few_bytes():
    """A disk on which a file gets 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_picture(path):
    pygame = pytest.importorskip("pygame")
    from dancerev.model.picture import write_picture as write

    write(path, pygame.image.frombytes(os.urandom(120_000), (200, 200), "RGB"))


def write_checkpoint(path):
    pytest.importorskip("lightning")
    from dancerev.model.training.fit import WholeCheckpoints

    WholeCheckpoints().save_checkpoint({"epoch": 1, "bytes": os.urandom(5000)}, str(path))


WRITERS = {
    "text.json": lambda path: write_text(path, "x" * 5000),
    "arrays.npz": lambda path: write_npz(path, {"x": os.urandom(5000)}),
    "picture.png": write_picture,
    "last.ckpt": write_checkpoint,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_by_name_and_leaves_the_old_file(tmp_path, few_bytes, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=name) as error:
        WRITERS[name](path)
    assert error.value.errno
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [(name, b"old")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_is_told_by_name_and_stays():
    with pytest.raises(OSError, match="/dev/full"):
        write_text(Path("/dev/full"), "x")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", WRITERS)
def test_what_fits_replaces_the_old_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    WRITERS[name](path)
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def killed(partial):
        partial.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, killed)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_no_file_has_are_refused_also_in_folders_that_are_made_later(tmp_path):
    for folder in (tmp_path, tmp_path / "later"):
        check_name(folder / "fine.npz")
        with pytest.raises(OSError, match=r"(?i)name too long"):
            check_name(folder / ("x" * 300))


def test_nothing_is_written_over_what_is_read(tmp_path):
    song = tmp_path / "song.mp4"
    song.touch()
    (tmp_path / "again.mp4").symlink_to(song)
    check_name(tmp_path / "other.mp4", [song])
    for name in ("song.mp4", "again.mp4", "../" + tmp_path.name + "/song.mp4"):
        with pytest.raises(InputError, match="is read from"):
            check_name(tmp_path / name, [song])


def test_whether_a_file_can_be_written_is_found_out_without_leaving_one(tmp_path):
    there = tmp_path / "there"
    there.write_text("old")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("there", "new", "link"):
        check_writable(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for name in ("none/new", "pipe", "."):
        with pytest.raises((OSError, InputError)):
            check_writable(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "there"]
    assert there.read_text() == "old"
