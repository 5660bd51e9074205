"""The pages in a real browser, at desktop and phone width, by keyboard alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s2st_aug.report.html import write_report
from s2st_aug.report.review_page import write_review_page
from s2st_aug.review.pull import pull
from s2st_aug.storage.run_folder import RunFolder

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
pytestmark = pytest.mark.app


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def tab(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    made = context.new_page()
    made.said = []
    made.on("console", lambda m: made.said.append(m.text))
    made.on("pageerror", lambda e: made.said.append(str(e)))
    made.on("request", lambda r: made.said.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
    yield made
    context.close()


def fits(tab: Any) -> bool:
    return tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_report_fits_works_by_keyboard_and_is_silent(run: Path, tab: Any) -> None:
    tab.goto(write_report(run).as_uri())
    assert fits(tab)
    slider = tab.locator("figure input[type=range]").first
    slider.focus()
    for _ in range(10):
        tab.keyboard.press("ArrowRight")
    assert slider.evaluate("e => e.parentElement.querySelector('.compare').style.getPropertyValue('--x')") == "60%"
    tab.locator("#labels").focus()
    tab.keyboard.press("Space")
    assert tab.locator(".compare svg").first.is_hidden()
    assert tab.said == []


def test_decisions_are_taken_by_keyboard_and_saved_as_the_file_that_pull_reads(run: Path, tab: Any) -> None:
    tab.goto(write_review_page(run).as_uri())
    assert fits(tab)
    wide = [tab.locator(part).bounding_box()["width"] for part in ("#slider", "#compare")]
    assert wide[0] == wide[1]  # the slider's thumb stands where the pictures meet
    tab.keyboard.press("a")
    assert "reviewer" in tab.locator("#said").inner_text()
    tab.keyboard.type("ann a")
    tab.locator("#slider").focus()
    first = tab.locator("#title").inner_text()
    tab.keyboard.press("r")
    assert tab.locator("#title").inner_text() != first
    tab.keyboard.press("a")
    tab.keyboard.press("k")
    tab.keyboard.press("u")
    tab.locator("#objects button", has_text="ignore").first.click()
    with tab.expect_download() as download:
        tab.locator("#save").click()
    saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert (saved["schema"], saved["run"]) == (1, "6" * 64)
    assert [d["decision"] for d in saved["decisions"]] == ["reject", "accept", "undo", "ignore"]
    assert [d["object_id"] is None for d in saved["decisions"]] == [True, True, True, False]
    assert all(d["reviewer"] == "ann a" and d["time"].endswith("Z") for d in saved["decisions"])
    pulled = pull(RunFolder(run), file=Path(download.value.path()))
    assert (pulled.new, pulled.rejected, pulled.ignored_objects) == (4, 1, 1)
    assert pull(RunFolder(run), file=Path(download.value.path())).new == 0
    assert tab.said == []
