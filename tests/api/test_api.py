"""The library as its README shows it: one photo, many photos, a run; typed, and wrong use is an error of ours."""

from __future__ import annotations

import inspect
import typing
from datetime import UTC, datetime

import numpy as np
import pytest

import s2st_aug
from s2st_aug import open_run
from s2st_aug.api import load_method, translate_files
from s2st_aug.errors import ConfigError, ModelError, RunFolderError, S2STError, UnreadableImage, UsageError
from s2st_aug.images import encode_png
from s2st_aug.storage.decisions import Decision, to_table
from s2st_aug.testing.reviewed_runs import FakeRun, make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", FakeRun(scenes=3, statuses=("ok", "ok", "rejected", "failed")))


def test_a_run_gives_its_rows_pictures_and_what_people_decided(run):
    opened = open_run(run.path)
    assert (len(opened), opened.domains) == (6, ["night", "rain"])
    rows = list(opened.rows(domain="night", status="ok"))
    assert [r["scene_id"] for r in rows] == sorted(r["scene_id"] for r in rows) and rows
    assert opened.image(rows[0]).shape == opened.source(rows[0]).shape == (72, 128, 3)
    assert not np.array_equal(opened.image(rows[0]), opened.source(rows[0]))
    run.append_decisions(
        to_table([Decision(rows[0]["variant_id"], None, "reject", "ann", datetime(2026, 1, 1, tzinfo=UTC))])
    )
    assert {k: d.decision for k, d in opened.decisions().items()} == {(rows[0]["variant_id"], None): "reject"}
    assert "6 rows" in repr(opened)


def test_wrong_use_of_a_run_is_one_line(run, tmp_path):
    opened = open_run(str(run.path))
    with pytest.raises(UsageError, match="did you mean 'night'"):
        list(opened.rows(domain="nihgt"))
    failed = next(opened.rows(status="failed"))
    with pytest.raises(RunFolderError, match="has no image"):
        opened.image(failed)
    with pytest.raises(RunFolderError, match="not a run folder"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"to": "night", "model": "street-mni"}, ModelError),
        ({"to": "night", "preset": "quick"}, ConfigError),
    ],
)
def test_wrong_use_of_translate_is_an_error_of_ours(arguments, error):
    with pytest.raises(error) as caught:
        s2st_aug.translate(np.zeros((72, 128, 3), np.uint8), **arguments)
    assert isinstance(caught.value, S2STError) and "\n" not in str(caught.value)


def test_a_photo_is_translated_at_its_own_size_and_a_broken_file_comes_back_with_its_error(tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (70, 130, 3), np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(photo))
    one = s2st_aug.translate(tmp_path / "photo.png", "night", preset="draft", rng_key=7)
    assert one.shape == photo.shape and one.dtype == np.uint8 and one.mean() < photo.mean()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (found,) = translate_files(None, [tmp_path / "broken.png"], ["night"])
    assert isinstance(found.error, UnreadableImage) and found.variants == {}


def test_any_method_translates_files_and_says_what_the_checks_say(tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (70, 130, 3), np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(photo))
    loaded = load_method(["night", "rain", "night"], method="histogram", settings={"share": 0.5})
    assert loaded.domains == ("night", "rain")
    files = [tmp_path / "photo.png", tmp_path / "gone.png"]
    found, gone = translate_files(loaded.translator, files, loaded.domains, judge=loaded.judge)
    assert found.judgements.keys() == found.variants.keys() == {"night", "rain"}
    assert all(j.strength is not None and j.structure is not None for j in found.judgements.values())
    assert gone.photo is None and not gone.judgements
    (bare,) = translate_files(loaded.translator, files[:1], ["rain"])
    assert np.array_equal(bare.variants["rain"].image, found.variants["rain"].image) and not bare.judgements


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "histogramm"}, "did you mean 'histogram'"),
        ({"method": "histogram", "settings": {"preset": "draft"}}, "method.preset: unknown key"),
        ({"settings": {"preset": "fast"}}, "unknown preset 'fast'"),
    ],
)
def test_wrong_use_of_a_method_is_one_line(arguments, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        load_method(["night"], **arguments)
    assert message in str(error.value)


@pytest.mark.parametrize("name", [n for n in dir(s2st_aug) if not n.startswith("__")])
def test_every_public_name_is_typed_and_documented(name):
    found = getattr(s2st_aug, name)
    functions = [found if inspect.isfunction(found) else type(found).__call__]  # a package that can be called
    if inspect.isclass(found):
        functions = [f for n, f in inspect.getmembers(found, inspect.isfunction) if not n.startswith("_")]
    assert inspect.getdoc(found) and functions
    for function in functions:
        assert inspect.getdoc(function), function
        annotated = {
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.annotation is not inspect.Parameter.empty
        }
        assert annotated == set(inspect.signature(function).parameters) - {"self"}
        assert "return" in typing.get_type_hints(function) or function.__annotations__.get("return")


def test_validate_judges_any_two_pictures_with_labels_as_plain_mappings(run):
    opened = open_run(run.path)
    row = next(iter(opened.rows(domain="night", status="ok")))
    source = opened.source(row)
    labels = [{"category": "car", "bbox": [8, 8, 60, 40]}, {"category": "rider", "bbox": [70, 20, 90, 60]}]
    same = s2st_aug.validate(source, source, labels, domain="night")
    assert same.structure == pytest.approx(1, abs=0.05) and same.strength is not None and same.strength < 0.3
    assert [o.category for o in same.objects] == ["car", "rider"]
    assert s2st_aug.validate(source, source, domain="snow").strength is None
    with pytest.raises(UsageError, match="label 0: expected `category` and `bbox`"):
        s2st_aug.validate(source, source, [{"bbox": [1, 2]}], domain="night")
    with pytest.raises(UsageError, match="one size"):
        s2st_aug.validate(source, source[:40], domain="night")


@pytest.mark.parametrize(
    ("box", "why"),
    [([60, 40, 8, 8], "no width"), ([900, 8, 950, 40], "outside the image"), ([-50, 8, -8, 40], "outside the image")],
)
def test_validate_trusts_no_label_that_a_run_would_not(run, box, why):
    source = open_run(run.path).source(next(iter(open_run(run.path).rows(status="ok"))))
    (found,) = s2st_aug.validate(source, source, [{"category": "car", "bbox": box}], domain="night").objects
    assert (found.verdict, found.structure) == ("ignore", None) and why in found.reason


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([{"category": "car", "bbox": [1, 2, float("nan"), 9]}], "label 0: expected .*four finite numbers"),
        ([{"category": "car", "bbox": [-1e9, -1e9, 1e9, 1e9]}], "label 0: expected .*four finite numbers"),
        ([{"category": "car", "bbox": [1, 2, 9, 9], "object_id": 7}] * 2, "labels 0 and 1 have one object_id, '7'"),
    ],
)
def test_validate_refuses_labels_that_are_none(labels, told):
    street = np.zeros((72, 128, 3), np.uint8)
    with pytest.raises(UsageError, match=told):
        s2st_aug.validate(street, street, labels, domain="night")


@pytest.mark.parametrize(("pixels", "told"), [((72, 128, 3), "float64, 72x128x3"), ((72, 128), "float64, 72x128")])
def test_validate_refuses_pixels_that_are_not_rgb_bytes(pixels, told):
    street = np.zeros((72, 128, 3), np.uint8)
    with pytest.raises(UsageError, match=f"variant: expected RGB pixels as uint8.*got {told}"):
        s2st_aug.validate(street, np.zeros(pixels), domain="night")


def test_augment_refuses_before_anything_is_started(tmp_path):
    from s2st_aug.testing.datasets import make_config, make_dataset

    config = make_config(make_dataset(tmp_path / "data", 1))
    with pytest.raises(UsageError, match="needs `run`"):
        s2st_aug.augment(config)
    with pytest.raises(ConfigError, match="Config file not found"):
        s2st_aug.augment(tmp_path / "no.yaml")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_augment_tells_its_progress_and_export_takes_its_run(tmp_path):
    from s2st_aug.testing.datasets import make_config, make_dataset

    config, seen = make_config(make_dataset(tmp_path / "data", 2), domains=["night"]), []
    summary = s2st_aug.augment(config, tmp_path / "run", on_progress=seen.append)
    assert summary.exit_code == 0 and seen[-1].done == 2
    assert s2st_aug.export_run(tmp_path / "run", "bdd100k", tmp_path / "out").real == 2
    from s2st_aug import export  # by the command's name, with places as text

    assert export(str(tmp_path / "run"), "coco", str(tmp_path / "coco")).real == 2
