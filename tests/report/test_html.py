from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.errors import RunFolderError, UsageError
from s2st_aug.images import encode_png
from s2st_aug.report import html, kid, ranking, summary
from s2st_aug.report.embed import SIZES, fitting_size
from s2st_aug.report.html import write_report
from s2st_aug.report.review_page import write_review_page
from s2st_aug.storage.run_folder import RunFolder


class Page(HTMLParser):
    """Tags of a page in order, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t in names]


@pytest.fixture
def page(run: Path) -> str:
    return write_report(run).read_text()


@pytest.mark.parametrize("write", [write_report, write_review_page])
def test_the_page_needs_nothing_but_itself(run: Path, write: Callable[[Path], Path]) -> None:
    text = write(run).read_text()
    found = Page(text)
    assert not found.of("link", "iframe", "object", "embed")
    assert all(
        (a.get("src") or "data:").startswith("data:image/jpeg;base64,") or not a.get("src")
        for a in found.of("img", "script")
    )
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)


@pytest.mark.parametrize("write", [write_report, write_review_page])
def test_the_page_can_be_read_without_seeing_it(run: Path, write: Callable[[Path], Path]) -> None:
    text = write(run).read_text()
    found = Page(text)
    assert found.of("html")[0]["lang"] == "en"
    assert all(a.get("alt") for a in found.of("img"))
    labelled = {a.get("for") for a in found.of("label")}
    for a in found.of("input", "select"):
        inside_label = re.search(
            rf'<label>[^<]*(<input[^>]*checkbox[^>]*>|<(input|select)[^>]*id="{a.get("id")}")', text
        )
        assert a.get("aria-label") or a.get("id") in labelled or inside_label, a
    assert all(a.get("scope") in ("col", "row") for a in found.of("th"))
    levels = [int(t[1]) for t, _ in found.tags if t in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_every_section_says_what_the_manifest_says(page: str) -> None:
    for section in (
        "summary",
        "measures",
        "classes",
        "reasons",
        "worst",
        "failures",
        "distance",
        "cost",
        "provenance",
    ):
        assert f'id="{section}"' in page
    assert page.count('class="after"') == 15  # 16 rows, one failed, none shown twice
    assert "UnreadableImage: &lt;truncated&gt; &amp; torn" in page
    assert "lost: 1 x traffic light" in page
    assert "666666666666" in page


def test_text_from_outside_cannot_become_markup(run: Path) -> None:
    folder = RunFolder(run)
    rows = folder.read_manifest().to_pylist()
    from s2st_aug.records.manifest import MANIFEST_SCHEMA
    from s2st_aug.storage.run_folder import parquet_bytes

    rows[0]["scene_id"] = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    import pyarrow as pa

    folder.store.write_many(
        {"manifest/00000000.parquet": parquet_bytes(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))}
    )
    for write in (write_report, write_review_page):
        text = write(run).read_text()
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_pictures_shrink_until_they_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    grey = np.full((720, 1280, 3), 128, np.uint8)
    assert fitting_size([grey], 80, html.BUDGET) == SIZES[0]
    width, quality = fitting_size([noise], 80, html.BUDGET)
    assert (width, quality) != SIZES[0]
    from s2st_aug.report.embed import data_uri

    assert 80 * len(data_uri(noise, width, quality)) < 15e6


def test_a_thousand_variants_stay_under_15_mb(run_maker: Callable[[int], Path]) -> None:
    assert write_report(run_maker(500)).stat().st_size < 15e6


def test_worst_and_best_share_no_row(run: Path) -> None:
    rows = RunFolder(run).read_manifest().to_pylist()
    worst, best = ranking.worst_and_best(rows, 5)
    assert [ranking.score(r) for r in worst] == sorted(ranking.score(r) for r in worst)
    assert ranking.score(worst[-1]) <= ranking.score(best[-1])
    assert not {r["variant_id"] for r in worst} & {r["variant_id"] for r in best}
    whole = {**rows[2], "strength": 1.0, "structure": 0.9}
    lost = [{**o, "verdict": "lost"} for o in whole["objects"]]
    assert (
        ranking.score({**whole, "objects": lost})
        == 0
        < ranking.score({**whole, "strength": 0.5})
        < ranking.score(whole)
    )


def test_summary_counts_by_domain_class_and_size(run: Path) -> None:
    table = RunFolder(run).read_manifest()
    night, rain = summary.domain_lines(table, ["night", "rain"])
    assert (night.statuses, rain.statuses["rejected"]) == ({"ok": 6, "rejected": 1, "failed": 1}, 2)
    lights = [c for c in summary.class_lines(table) if c.category == "traffic light"]
    assert [(c.size, c.total, c.counts["lost"]) for c in lights] == [("all", 15, 3), ("small", 15, 3)]
    assert summary.size_of([0, 0, 32, 32]) == "medium"
    assert summary.size_of([0, 0, 31, 32]) == "small"
    assert summary.domain_lines(table.slice(0, 0)) == summary.class_lines(table.slice(0, 0)) == []


def test_reasons_that_differ_in_a_measured_number_alone_are_one_kind() -> None:
    counted = [
        ("structure_raw 0.08 < 0.1", 9),
        ("structure_raw -0.01 < 0.1", 1),
        ("tiny: a side below 10 px", 30),
        ("2 lamps at 4, 5", 1),
    ]
    assert summary.kinds_of(counted) == [
        ("tiny: a side below 10 px", 30),
        ("structure_raw … < 0.1", 10),
        ("2 lamps at 4, 5", 1),
    ]


def test_distance_is_nought_for_the_same_photos_and_grows_with_the_difference() -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)]
    a, b = kid.features(photos[:20]), kid.features(photos[20:])
    dark = kid.features([(p // 3).astype(np.uint8) for p in photos[:20]])
    same, other = kid.distance(a, b), kid.distance(dark, b)
    assert 20 * abs(same.value) < other.value
    assert other.warning is not None
    assert "20 images" in other.warning
    assert np.allclose(kid.features(photos[:2]), a[:2])


def test_references_without_spread_give_a_distance_of_ordinary_size() -> None:
    rng = np.random.default_rng(0)
    nights = [rng.integers(0, 6, (48, 64, 3), dtype=np.uint8) for _ in range(12)]
    days = [rng.integers(60, 256, (48, 64, 3), dtype=np.uint8) for _ in range(12)]
    dusks = [p // 4 for p in days]
    target, *others = (kid.features(photos) for photos in (nights, dusks, days))
    near, far = (kid.distance(other, target).value for other in others)
    assert 0 < near < far < 100


def test_the_report_names_the_distance_its_network_and_its_warning(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):
        (photos / f"{i}.png").write_bytes(encode_png(np.full((36, 64, 3), 20 + 9 * i, np.uint8)))
    assert "fewer than eight accepted variants" in write_report(run, references={"night": photos}).read_text()


def test_distance_section_with_enough_variants(run_maker: Callable[[int], Path], tmp_path: Path) -> None:
    run = run_maker(16)
    text = write_report(run, references={"rain": run / "images/rain"}).read_text()
    assert kid.NETWORK in text
    assert "below 500 this distance is an indication at best" in text


def test_a_run_without_its_sources_still_has_a_page(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    assert 'class="compare alone"' in write_report(run).read_text()


def test_out_goes_where_it_is_told_and_leaves_the_run_alone(run: Path, tmp_path: Path) -> None:
    assert write_report(run, out=tmp_path / "page.html") == tmp_path / "page.html"
    assert not (run / "report.html").exists()
    with pytest.raises(UsageError, match="is not a folder"):
        write_report(run, out=tmp_path / "no/such/page.html")


def test_an_empty_manifest_is_one_clear_line(run: Path) -> None:
    for part in (run / "manifest").glob("*.parquet"):
        part.unlink()
    with pytest.raises(RunFolderError, match="no rows yet"):
        write_report(run)
    with pytest.raises(RunFolderError, match="nothing to review"):
        write_review_page(run)


def test_the_command_tells_what_was_made_and_what_to_try(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["report", str(run)]) == 0
    shown = capsys.readouterr().out
    for part in ("night", "rain", "contact_sheet.png", "report.html", f"verify {run}", "review push", "export"):
        assert part in shown
    assert run_group(build_group(), ["report", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [d["domain"] for d in found["domains"]] == ["night", "rain"]


def test_references_must_be_folders(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_group(build_group(), ["report", str(run), "--references", "night=/no/such"]) == 2
    assert "DOMAIN=DIR" in capsys.readouterr().err


def test_what_report_cannot_use_is_refused_before_anything_is_drawn(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "overlays", ignore_errors=True)
    photos, few = tmp_path / "photos", tmp_path / "few"
    for folder, count in ((photos, 8), (few, 7)):
        folder.mkdir()
        for i in range(count):
            (folder / f"{i}.png").write_bytes(encode_png(np.full((36, 64, 3), 20 + 9 * i, np.uint8)))
    for options, message in (
        (["--references", f"nigth={photos}"], "the run has no domain 'nigth'; did you mean 'night'?"),
        (["--references", f"night={few}"], "found 7 photos, a distance needs 8 or more"),
        (["--references", f"night={photos}", "--references", f"night={photos}"], "night is named twice"),
        (["--references", f"night={photos}", "--review"], "shows no distances"),
        (["--out", str(tmp_path)], "a folder; expected the name of a file"),
    ):
        assert run_group(build_group(), ["report", str(run), *options]) == 2
        assert message in capsys.readouterr().err
    assert not (run / "overlays").exists()
    assert not (run / "contact_sheet.png").exists()


def test_a_distance_that_cannot_be_measured_is_not_another_one(
    run_maker: Callable[[int], Path], tmp_path: Path
) -> None:
    run = run_maker(16)
    photos = tmp_path / "photos"
    shutil.copytree(run / "images/rain", photos)
    shutil.rmtree(tmp_path / "data")
    [line] = html.report_context(RunFolder(run), {"rain": photos})["distances"]
    assert line.sources is None
    cells = write_report(run, references={"rain": photos}).read_text().partition('id="distance"')[2]
    assert '<td class="n">n/a</td>' in cells
    for image in (run / "images/rain").rglob("*.png"):
        image.unlink()
    assert html.report_context(RunFolder(run), {"rain": photos})["distances"] == []


def test_the_verdict_and_the_pictures_come_before_any_table(page: str) -> None:
    assert page.index('class="verdict"') < page.index('class="after"') < page.index("<table")
    assert "of 16 variants passed the checks" in page and "cannot be judged" in page
    assert "All 15 variants" in page and 'id="best"' not in page, "worst and best are for runs of more than 24"


def test_a_long_run_shows_its_worst_and_its_best(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "FEW", 4)
    page = html.render("report.html.j2", **html.report_context(RunFolder(run), {}))
    assert 'id="best"' in page and "All 15" not in page


def test_a_class_has_one_spelling_and_its_ignored_labels_are_counted() -> None:
    rows = [
        ("traffic light", "keep"),
        ("traffic_light", "ignore"),
        ("Traffic Light", "lost"),
        ("traffic light", "keep"),
    ]
    objects = [{"category": c, "verdict": v, "bbox": [0.0, 0.0, 9.0, 9.0]} for c, v in rows]
    (line, small) = summary.class_lines(pa.table({"objects": [objects]}))
    assert (line.category, line.counts) == ("traffic light", {"keep": 2, "ignore": 1, "lost": 1})
    assert small.size == "small"


def test_a_note_is_no_reason_for_a_rejection(run: Path, tmp_path: Path) -> None:
    """`note: strength rejects nothing` headed the reasons why images were rejected, and stood in every caption."""
    note = "note: strength rejects nothing, its discriminant was never tested elsewhere"
    for part in (run / "manifest").glob("*.parquet"):
        table = pq.read_table(part)
        rows = [{**r, "reasons": r["reasons"] + [note] * (r["status"] != "failed")} for r in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), part)
    pages = [write_report(run).read_text(), write_review_page(run, out=tmp_path / "review.html").read_text()]
    assert not any("rejects nothing" in page for page in pages)
    assert all(reason != note for reason, _ in summary.reason_counts(RunFolder(run).read_manifest(), "rejected"))


def test_after_a_page_to_review_on_the_next_command_reads_its_decisions(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "review.html"
    assert run_group(build_group(), ["report", str(run), "--review", "--out", str(page)]) == 0
    shown = capsys.readouterr().out
    assert f"review pull {run} --file decisions.json" in shown
    assert f"--out {run}-export --accepted-only" in shown
    assert "review push" not in shown


def test_a_caption_counts_every_label_as_the_reasons_do(run: Path) -> None:
    """Those without a box too: stuff is one entry a class."""
    for part in (run / "manifest").glob("*.parquet"):
        table = pq.read_table(part)
        rows = table.to_pylist()
        for row in rows:
            row["objects"][0:1] = [{**o, "kind": "stuff"} for o in row["objects"][0:1]]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), part)
    counts = {r["scene_id"]: len(r["objects"]) for r in RunFolder(run).read_manifest().to_pylist() if r["image"]}
    captions = re.findall(r"<figcaption>(.+?), .*?; *\n?(\d+) labels?", write_report(run).read_text(), re.S)
    assert captions and all(int(labels) == counts[scene_id] for scene_id, labels in captions)
