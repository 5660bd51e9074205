from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pyarrow as pa
import pytest

from s2st_aug.images import encode_png, read_image
from s2st_aug.records.verdicts import Judgement, ObjectVerdict
from s2st_aug.report.evidence import CHECKS, read_evidence, write_evidence
from s2st_aug.report.html import write_report
from s2st_aug.report.overlay import draw_overlay
from s2st_aug.report.palette import VERDICTS
from s2st_aug.report.review_page import write_review_page
from s2st_aug.storage.run_folder import RunFolder, parquet_bytes


def rejected(run):
    return [r for r in RunFolder(run).read_manifest().to_pylist() if r["status"] == "rejected"]


def test_each_rejected_variant_gets_a_picture_that_shows_why_and_no_other(run):
    found = write_evidence(run)
    drawn = sorted(p.relative_to(run).as_posix() for p in (run / "overlays").rglob("*.jpg"))
    assert drawn == sorted(r["image"].replace("images/", "overlays/").replace(".png", ".jpg") for r in rejected(run))
    assert found.overlays == len(drawn) > 0
    picture = read_image(run / drawn[0])
    assert picture.shape[1] == 1280
    assert (np.abs(picture[:360, 640:].astype(int) - VERDICTS["lost"].colour).max(-1) < 40).any(), (
        "the lost label is framed in the report's own colour"
    )


@pytest.mark.parametrize("kind", ["box", "stuff", "polyline"])
def test_what_a_variant_is_rejected_for_is_framed_whatever_its_kind(kind):
    grey = np.full((90, 160, 3), 90, np.uint8)
    lost = ObjectVerdict(
        "1", kind, "traffic sign", (20.0, 30.0, 60.0, 70.0), "lost", "moved: by 9 px", 0.4, 0.4, 3.0, 9.0
    )
    picture = draw_overlay(grey, grey, Judgement("rejected", ("lost: 1 x traffic sign",), (lost,), (), 0.7, 0.5, 0.8))
    assert (picture[:360] == VERDICTS["lost"].colour).all(-1).any()


def test_the_page_links_the_pictures_and_says_that_nothing_was_calibrated(run):
    write_evidence(run)
    page = write_report(run).read_text()
    assert "not calibrated" in page
    assert all(
        f'href="{r["image"].replace("images/", "overlays/").replace(".png", ".jpg")}"' in page for r in rejected(run)
    )


def test_the_review_page_shows_why_each_rejected_variant_was(run):
    def shown():
        text = write_review_page(run).read_text()
        items = json.loads(re.search(r"const data = (.*);", text)[1])["items"]
        return {i["variant_id"] for i in items if i["why"]}

    assert shown() == set()
    write_evidence(run)
    assert shown() == {r["variant_id"] for r in rejected(run)} != set()


def test_what_every_variant_got_is_reported_for_its_domain_alone(run_maker):
    run = run_maker(12)
    rng = np.random.default_rng(0)
    for path in sorted((run.parent / "data").rglob("*.png")):
        path.write_bytes(
            encode_png(
                cv2.resize(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
            )
        )
    for domain in ("night", "rain"):
        for path in sorted((run / "images" / domain).rglob("*.png")):
            image = read_image(run.parent / "data/images/100k/train" / path.name) // 2
            path.write_bytes(
                encode_png(
                    cv2.ellipse(image, (160, 188), (130, 40), 0, 180, 360, (200, 200, 205), -1)
                    if domain == "rain"
                    else image
                )
            )
    found = write_evidence(run)
    assert found.common["rain"]
    assert found.common["rain"][0].bbox[1] > 100
    assert found.common["night"] == []
    assert "share structure that their sources do not have" in write_report(run).read_text()


def test_neighbouring_frames_of_a_video_are_measured_for_flicker(run):
    folder = RunFolder(run)
    table = folder.read_manifest()
    names = [s.replace("train/", "train/video-a/") for s in table["scene_id"].to_pylist()]
    at = table.schema.get_field_index("scene_id")
    folder.store.write_many(
        {"manifest/00000000.parquet": parquet_bytes(table.set_column(at, "scene_id", pa.array(names)))}
    )
    found = write_evidence(run)
    assert {(f.domain, f.video) for f in found.flicker} == {("night", "video-a"), ("rain", "video-a")}
    assert all(f.frames >= 7 and f.flicker > 0 for f in found.flicker)
    assert read_evidence(folder)["flicker"][0]["video"] == "video-a"
    assert "Flicker of videos" in write_report(run).read_text()


def test_a_run_that_was_not_looked_at_says_nothing(run):
    assert read_evidence(RunFolder(run)) == {"overlays": 0, "common": {}, "flicker": []}
    assert not (run / CHECKS).exists()
