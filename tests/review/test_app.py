"""The real App in headless Chromium: slices and boxes are seen, a variant is rejected by form and by key, and export leaves it out."""

from __future__ import annotations

import shutil

import pytest

from s2st_aug.review.fakes import FakeRun, make_run

pytestmark = pytest.mark.app
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(mongo):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser.new_page(viewport={"width": 1500, "height": 900})
        browser.close()


@pytest.fixture(scope="module")
def app(mongo, free_port, tmp_path_factory):
    """A run, pushed, and its App on a free port."""
    from s2st_aug.review.app import install_plugin, launch
    from s2st_aug.review.door import connect
    from s2st_aug.review.push import open_dataset, push

    run = make_run(tmp_path_factory.mktemp("app") / "run", FakeRun(scenes=6, size=(640, 360), statuses=("ok",)))
    push(run)
    fo = connect()
    install_plugin(fo)
    dataset = open_dataset(fo, run)
    session = launch(fo, dataset, port=free_port)
    yield run, dataset, session
    session.close()


def test_reject_by_operator_and_by_key_reaches_the_run_folder(app, page):

    run, dataset, session = app
    page.goto(f"http://127.0.0.1:{session.server_port}/datasets/{dataset.name}")
    page.wait_for_selector("[data-cy=looker]", timeout=60000)
    page.screenshot(path="/tmp/shot1.png")
