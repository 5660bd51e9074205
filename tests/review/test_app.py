"""The real App in headless Chromium.

Slices and boxes are seen, variants are rejected by form and by key, export leaves them out.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.feed import free_port
from s2st_aug.storage.decisions import from_table
from s2st_aug.testing.reviewed_runs import FakeRun, make_run

pytestmark = pytest.mark.app
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 240_000  # ms
BEFORE_THE_APP = """
localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true");  // FiftyOne's advertisement covers what is below it
window.addEventListener("keydown", (e) => setTimeout(() => { window.taken ||= e.defaultPrevented; }), true);
"""


@pytest.fixture(scope="module")
def page(mongo):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.add_init_script(BEFORE_THE_APP)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def app(mongo, tmp_path_factory):
    """A run, pushed, and the App on it; gives the run, the dataset and the page's address."""
    from s2st_aug.review.app import install_plugin, running
    from s2st_aug.review.fiftyone_session import connect
    from s2st_aug.review.push import open_dataset, push

    run = make_run(tmp_path_factory.mktemp("app") / "run", FakeRun(scenes=4, size=(640, 360), statuses=("ok",)))
    push(run)
    fo = connect()
    install_plugin(fo)
    dataset = open_dataset(fo, run)
    port = free_port()
    with running(fo, port=port):
        yield run, dataset, f"http://127.0.0.1:{port}/datasets/{dataset.name}"
    fo.delete_dataset(dataset.name)


def eventually(check, seconds=PATIENCE / 1000):
    """The value of `check()` once it is true; fails after a while with what it was last."""
    end = time.monotonic() + seconds
    while not (value := check()) and time.monotonic() < end:
        time.sleep(0.3)
    assert value
    return value


def visit(page, address):
    """Open the dataset's page."""
    page.goto(address)
    page.wait_for_selector("[data-cy=looker]")


def open_next(page):
    """Shift+N until a sample is open: the key is nobody's before the App has loaded our plugin."""
    modal = page.locator("[data-cy=modal]")
    end = time.monotonic() + PATIENCE / 1000
    while modal.count() == 0 and time.monotonic() < end:
        page.keyboard.press("Shift+N")
        with contextlib.suppress(Exception):
            page.wait_for_function("window.taken", timeout=1000)
            modal.wait_for(timeout=15_000)
    assert modal.count() == 1, "Shift+N never opened a sample"
    page.get_by_text("S2ST review").first.click()  # the panel's tab, or it is shown already
    return page.wait_for_selector("[data-cy=s2st-slider]")


def journals(dataset):
    from s2st_aug.review.push import flat

    view = flat(dataset)
    view.reload()
    return {s.variant_id: [e["decision"] for e in s.journal] for s in view if s.variant_id and s.journal}


def test_groups_show_their_slices_and_boxes(app, page):
    _, _, address = app
    visit(page, address)
    page.locator("[data-cy=looker]").first.click()
    page.wait_for_selector("[data-cy=modal]")
    eventually(lambda: page.locator("[data-cy=modal] [data-cy=looker], [data-cy=modal] canvas").count() >= 3)
    eventually(lambda: "boxes\n5" in page.locator("[data-cy=modal]").inner_text())


def test_a_person_reviews_in_the_app_and_export_follows(app, page, tmp_path):
    from s2st_aug.cli import main
    from s2st_aug.review.app import first_view
    from s2st_aug.review.pull import pull

    run, dataset, address = app
    visit(page, address + first_view(dataset))
    eventually(lambda: page.locator("[data-cy=looker]").count() == 8)

    open_next(page)  # the variant of the most doubt, in the saved view
    panel = page.locator("[data-cy=s2st-panel]")
    assert (
        "undecided" in panel.inner_text() and "0 of 8 decided" in page.locator("[data-cy=s2st-progress]").inner_text()
    )
    sources = [image.get_attribute("src") for image in page.locator("[data-cy=s2st-slider] img").all()]
    assert len(sources) == 2 and len(set(sources)) == 2
    assert page.locator("[data-cy=s2st-slider] rect").count() == 5

    page.keyboard.press("Shift+R")
    eventually(lambda: list(journals(dataset).values()) == [["reject"]])
    rejected = next(iter(journals(dataset)))
    shown = page.locator("[data-cy=s2st-slider] img").first  # a decision opens the next undecided variant
    eventually(lambda: shown.get_attribute("src") != sources[0])
    eventually(lambda: page.locator("[data-cy=s2st-decision]").inner_text() == "undecided")
    assert page.locator("[data-cy=s2st-advance]").is_checked()
    page.keyboard.press("`")  # the operator browser
    page.keyboard.type("S2ST: reject")
    page.get_by_text("S2ST: reject variant").first.click()
    page.get_by_text("In your words").wait_for()
    page.get_by_role("button", name="Execute").click()
    eventually(lambda: sorted(journals(dataset).values()) == [["reject"], ["reject"]])

    page.keyboard.press("Shift+U")
    undone = eventually(lambda: [v for v, taken in journals(dataset).items() if taken == ["reject", "undo"]])
    page.keyboard.press("Shift+A")
    eventually(lambda: journals(dataset)[undone[0]] == ["reject", "undo", "accept"])

    visit(page, f"{address}?view=decided")  # a saved view; the App's own sidebar and tags
    eventually(lambda: page.locator("[data-cy=looker]").count() == 2)
    page.locator("[data-cy=looker]").first.click()
    eventually(lambda: re.search(r"(accept|reject)\ndecision", page.locator("[data-cy=modal]").inner_text()))

    assert (pull(run).new, pull(run).new) == (4, 0)
    by_variant = {(d.variant_id, d.decision): d for d in from_table(run.read_decisions())}
    assert (rejected, "reject") in by_variant and by_variant[(undone[0], "reject")].reason == "label no longer true"
    with pytest.raises(SystemExit) as stop:
        main(["export", str(run.path), "--format", "bdd100k", "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    names = {row["variant_id"]: row["image"].rpartition("/")[2] for row in run.read_manifest().to_pylist()}
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4 + 8 - 1 and names[rejected]


@pytest.fixture
def curated(mongo, tmp_path_factory):
    """Three rendered streets as somebody's own dataset in an App that may queue; its page, and FiftyOne's folder."""
    from s2st_aug.formats import load_card, read_objects, read_scenes
    from s2st_aug.procedural.write import write_scenes
    from s2st_aug.review.app import install_plugin, running
    from s2st_aug.review.fiftyone_session import connect

    folder = tmp_path_factory.mktemp("curated")
    write_scenes(folder / "scenes", 3, "bdd100k", ("day",), (320, 180), 0, val_share=0)
    fo = connect()
    dataset = fo.Dataset("my own streets", persistent=True)
    root, card = folder / "scenes/day", load_card("bdd100k")
    for scene in read_scenes(card, root, "train"):
        boxes = [(o.category, o.bbox) for o in read_objects(card, root, scene) if o.kind == "box"]
        labels = [
            fo.Detection(label=what, bounding_box=[x1 / 320, y1 / 180, (x2 - x1) / 320, (y2 - y1) / 180])
            for what, (x1, y1, x2, y2) in boxes
        ]
        dataset.add_sample(fo.Sample(str(root / scene.image), ground_truth=fo.Detections(detections=labels)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIFTYONE_DEFAULT_DATASET_DIR", str(folder / "fiftyone"))
        install_plugin(fo)
        port = free_port()
        with running(fo, port=port):
            yield f"http://127.0.0.1:{port}/datasets/{dataset.name}", folder / "fiftyone"
    for name in fo.list_datasets():
        fo.delete_dataset(name)


def ask_to_translate(page, address, selected):
    """Select some samples and open the operator's form; gives its dialog."""
    visit(page, address)
    for number in selected:
        page.locator("[data-cy=looker]").nth(number).hover()
        page.locator("[data-cy=looker]").nth(number).locator("[data-cy^=looker-checkbox-]").first.click()
    form = page.locator("[role=dialog]")
    page.keyboard.press("`")
    page.keyboard.type("S2ST: translate")
    page.get_by_text("S2ST: translate selected").first.click()
    form.get_by_text(f"The selected images ({len(selected)})").wait_for()
    return form


def choose(page, form, how):
    """Execute or Schedule, whichever of them the App offers first (it remembers the last)."""
    form.locator("button").last.click()  # the arrow beside the button
    page.locator("li", has_text=how).first.click()
    form.get_by_role("button", name=how).click()


@pytest.mark.slow
def test_selected_samples_are_translated_in_the_app_and_their_variants_are_opened(curated, page):
    from s2st_aug.api import open_run

    address, folder = curated
    form = ask_to_translate(page, address, (0, 1))
    choose(page, form, "Execute")
    form.get_by_text("starting Ray").wait_for()
    page.wait_for_url("**/datasets/s2st-my-own-streets-translated-*", timeout=4 * PATIENCE)
    eventually(lambda: page.locator("[data-cy=looker]").count() == 2)
    assert [row["domain"] for row in open_run(folder / "my-own-streets-translated").rows()] == ["night", "night"]

    form = ask_to_translate(page, address, (2,))  # another state of the view, into the same run folder
    choose(page, form, "Execute")
    page.get_by_text("holds another state of this view").wait_for()


@pytest.mark.slow
def test_what_is_queued_in_the_app_is_run_by_fiftyones_own_service(curated, page):
    from s2st_aug.api import open_run
    from s2st_aug.review.fiftyone_session import connect

    address, folder = curated
    form = ask_to_translate(page, address, (2,))
    form.locator("input").last.fill("queued")  # a relative path starts at FiftyOne's folder
    choose(page, form, "Schedule")
    page.get_by_text("successfully scheduled").wait_for()

    connect()
    from fiftyone.operators.delegated import DelegatedOperationService

    (queued,) = DelegatedOperationService().list_operations()
    service = subprocess.Popen(
        [Path(sys.executable).parent / "fiftyone", "delegated", "launch"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        done = ("completed", "failed")
        eventually(lambda: DelegatedOperationService().get(queued.id).run_state in done, 4 * PATIENCE / 1000)
    finally:
        service.terminate()
        service.wait()
    found = DelegatedOperationService().get(queued.id)
    assert (found.run_state, found.result.error) == ("completed", None)
    assert found.result.result["dataset"].startswith("s2st-queued-")
    assert found.status.progress == 1
    assert len(list(open_run(folder / "queued").rows())) == 1
