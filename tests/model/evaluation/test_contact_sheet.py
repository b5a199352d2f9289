"""Pictures and films open again, have the length of the dance, and show the body where it is."""

import av
import numpy as np
import pygame
import pytest
from signals import write_wav

from dancerev.model.evaluation.contact_sheet import contact_sheet, render_video
from dancerev.model.pose import rest_pose


def stroll(frames):
    positions = np.tile(rest_pose().positions(), (frames, 1, 1))
    positions[:, :, 0] += np.linspace(-1.0, 1.0, frames)[:, None]
    return positions


def inked(picture):
    """Which pixels (height, width) are not paper or lines."""
    return np.asarray(picture, dtype=int).min(axis=-1) < 180


@pytest.mark.parametrize("count", [1, 5, 40])
def test_contact_sheet_shows_every_pose_and_the_path(tmp_path, count):
    path = tmp_path / "sheet.png"
    contact_sheet(stroll(30), path, fps=15, count=count, columns=4, title="a stroll")
    picture = pygame.surfarray.array3d(pygame.image.load(path)).swapaxes(0, 1)
    cells = min(count, 30) + 1
    columns = min(4, cells)
    assert picture.shape == (-(-cells // columns) * 210 + 24, columns * 150, 3)
    for i in range(cells):
        row, column = divmod(i, columns)
        assert inked(picture[24 + row * 210 :, column * 150 :][:210, :150]).sum() > 100


def test_unwritable_sheet_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="sheet"):
        contact_sheet(stroll(3), tmp_path / "missing" / "sheet.png")


def test_film_has_every_frame_and_its_sound(tmp_path):
    song = tmp_path / "song.wav"
    write_wav(song, 0.25 * np.sin(np.arange(3 * 22_050) * 0.1), 22_050)
    path = tmp_path / "film.mp4"
    render_video(stroll(30), 15, path, audio=song, size=(160, 120))
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with av.open(str(path)) as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert len(frames) == 30
    assert frames[0].shape == (120, 160, 3)
    assert all(inked(frame).sum() > 50 for frame in frames)
    assert len(sound) / 44_100 == pytest.approx(2.0, abs=0.1)
    assert np.abs(sound).max() > 0.1


def test_a_file_without_sound_is_refused(tmp_path):
    silent = tmp_path / "silent.mp4"
    render_video(stroll(3), 15, silent, size=(64, 64))
    with pytest.raises(ValueError, match="no sound"):
        render_video(stroll(3), 15, tmp_path / "film.mp4", audio=silent, size=(64, 64))
    with pytest.raises(OSError, match="nothing"):
        render_video(stroll(3), 15, tmp_path / "film.mp4", audio=tmp_path / "nothing.ogg", size=(64, 64))
