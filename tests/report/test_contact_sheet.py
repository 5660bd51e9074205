from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from s2st_aug.errors import RunFolderError
from s2st_aug.images import read_image
from s2st_aug.report.contact_sheet import contact_sheet, spread, write_contact_sheet
from s2st_aug.report.palette import PAPER, STATUSES, VERDICTS
from s2st_aug.report.sheet import CAPTION, GAP, HEADER, LEGEND, TITLE, VERDICT_LEGEND, SheetCell, draw_sheet
from s2st_aug.storage.run_folder import RunFolder

WIDTH, HEIGHT = 384, 216


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top = TITLE + HEADER + row * (HEIGHT + CAPTION + GAP)
    left = GAP + column * (WIDTH + GAP)
    return sheet[top : top + HEIGHT, left : left + WIDTH]


def share_of(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(picture.astype(int) - colour).max(-1) < 8).mean())


def test_the_sheet_has_a_row_per_scene_and_a_column_per_domain(run: Path) -> None:
    path = write_contact_sheet(run)
    assert path == run / "contact_sheet.png"
    sheet = read_image(path)
    assert b"Synthetic" in path.read_bytes()
    assert sheet.shape[1] == GAP + 3 * (WIDTH + GAP)
    assert cell(sheet, 0, 0).mean() > cell(sheet, 0, 2).mean() > cell(sheet, 0, 1).mean()


def test_verdicts_and_rejected_images_stand_out(run: Path) -> None:
    sheet = contact_sheet(RunFolder(run))
    lost, rejected = VERDICTS["lost"].colour, STATUSES["rejected"].colour
    assert share_of(cell(sheet, 3, 1), lost) > 0 and share_of(cell(sheet, 0, 1), lost) == 0
    assert share_of(cell(sheet, 3, 1), rejected) > 0.01 and share_of(cell(sheet, 0, 1), rejected) == 0


def test_the_source_of_a_failed_row_still_shows_its_labels(run: Path) -> None:
    assert share_of(cell(contact_sheet(RunFolder(run)), 7, 0), VERDICTS["keep"].colour) > 0


def test_limit_takes_scenes_evenly(run: Path) -> None:
    assert spread(["a", "b", "c", "d", "e"], 3) == ["a", "c", "e"]
    assert contact_sheet(RunFolder(run), limit=2).shape[0] < contact_sheet(RunFolder(run), limit=3).shape[0]


def test_a_moved_run_without_its_dataset_is_still_drawn(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    sheet = contact_sheet(RunFolder(run), limit=1)
    assert cell(sheet, 0, 0).std() < 30 < cell(sheet, 0, 2).std()


def test_no_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        write_contact_sheet(tmp_path)


@pytest.mark.parametrize(("columns", "lines"), [(1, 3), (2, 2), (3, 1)])
def test_the_legend_of_a_narrow_sheet_goes_on_in_another_line(columns: int, lines: int) -> None:
    bare, sheet = (
        draw_sheet("title", ["night"] * columns, [[SheetCell(None)] * columns], legend=legend)
        for legend in ((), VERDICT_LEGEND)
    )
    assert (sheet[:, -GAP:] == PAPER).all(), "the legend runs over the right margin"
    assert len(sheet) - len(bare) == lines * LEGEND
