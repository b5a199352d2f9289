"""A contact sheet opens again and shows every pose and the path."""

import numpy as np
import pygame
import pytest

from dancerev.model.evaluation.contact_sheet import contact_sheet
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


def test_a_title_of_a_name_that_is_no_utf8_is_drawn(tmp_path):
    contact_sheet(stroll(3), tmp_path / "sheet.png", title="caf\udce9")
    assert (tmp_path / "sheet.png").exists()


def test_unwritable_sheet_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="sheet"):
        contact_sheet(stroll(3), tmp_path / "missing" / "sheet.png")
