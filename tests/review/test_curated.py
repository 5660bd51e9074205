"""A FiftyOne dataset or view goes in: as `augment --fiftyone`, and by the operator of the plugin."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from s2st_aug.errors import UsageError
from s2st_aug.formats import load_card, read_objects, read_scenes
from s2st_aug.images import encode_png
from s2st_aug.methods.registry import METHODS
from s2st_aug.testing.reviewed_runs import make_run

pytestmark = pytest.mark.usefixtures("mongo")
W, H = 128, 72


@pytest.fixture
def fo():
    from s2st_aug.review.fiftyone_session import connect

    fo = connect()
    yield fo
    for name in fo.list_datasets():
        fo.delete_dataset(name)


@pytest.fixture
def dataset(fo, tmp_path):
    """Three photos, two of one name, with boxes, a mask, an outline and an open line."""
    made = fo.Dataset("my streets")
    mask = np.zeros((9, 16), bool)
    mask[:, 8:] = True
    labels = [
        fo.Detection(label="car", bounding_box=[0.25, 0.5, 0.125, 0.125]),
        fo.Detection(label="rider", bounding_box=[0.5, 0.25, 0.125, 0.125], mask=mask),
    ]
    lanes = [
        fo.Polyline(label="road", points=[[[0, 0.5], [1, 0.5], [1, 1]]], closed=True),
        fo.Polyline(label="lane", points=[[[0, 0.5], [1, 0.5]]], closed=False),
    ]
    for place in ("a/0001", "b/0001", "b/0002"):
        path = tmp_path / f"photos/{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(np.full((H, W, 3), 90, np.uint8)))
        made.add_sample(
            fo.Sample(
                str(path), tags=["wanted"] if place.startswith("b") else [],
                ground_truth=fo.Detections(detections=labels), lanes=fo.Polylines(polylines=lanes),
            )
        )  # fmt: skip
    made.save_view("wanted", made.match_tags("wanted"))
    return made


def scenes(root):
    card = load_card("coco")
    return {s.scene_id: read_objects(card, root, s) for s in read_scenes(card, root, "train")}


def test_a_view_becomes_a_dataset_with_its_labels_in_pixels(dataset, tmp_path):
    from s2st_aug.review.curated import write_dataset

    found = write_dataset(dataset, tmp_path / "run")
    assert (found.images, found.labels, found.left_out, found.field) == (3, 6, 0, "ground_truth")
    read = scenes(found.root)
    ids = dataset.values("id")
    assert sorted(read) == sorted(["train/0002", *(f"train/{i}_0001" for i in ids[:2])])
    car, rider = read["train/0002"]
    assert (car.category, car.bbox) == ("car", (32, 36, 48, 45))
    assert rider.mask is not None
    assert rider.mask[18:27, 72:80].all() and rider.mask.sum() == 9 * 8


def test_outlines_come_too_and_open_lines_are_counted(dataset, tmp_path):
    from s2st_aug.review.curated import write_dataset

    found = write_dataset(dataset, tmp_path / "run", "lanes")
    assert (found.labels, found.left_out) == (3, 3)
    (road,) = scenes(found.root)["train/0002"]
    assert road.outlines[0].tolist() == [[0, 36], [128, 36], [128, 72]]


def test_masks_are_stretched_over_their_boxes_read_from_files_and_cut_at_the_edge(fo, dataset, tmp_path):
    from s2st_aug.review.curated import write_dataset

    mask = np.zeros((4, 4), bool)
    mask[:, 2:] = True
    cv2.imwrite(str(tmp_path / "mask.png"), (mask * 255).astype(np.uint8))
    sample = dataset.first()
    sample["ground_truth"] = fo.Detections(
        detections=[
            fo.Detection(label="car", bounding_box=[0.5, 0.25, 0.25, 0.5], mask=mask),
            fo.Detection(label="car", bounding_box=[0.5, 0.25, 0.25, 0.5], mask_path=str(tmp_path / "mask.png")),
            fo.Detection(label="bus", bounding_box=[-0.125, -0.25, 0.25, 0.5], mask=mask),
        ]
    )
    sample["lanes"] = fo.Polylines(polylines=[fo.Polyline(label="road", points=[], closed=True)])
    sample.save()
    found = write_dataset(dataset.limit(1), tmp_path / "run")
    own, stored, cut = next(iter(scenes(found.root).values()))
    assert own.mask[18:54, 80:96].all() and own.mask.sum() == 36 * 16
    assert (stored.mask == own.mask).all()
    assert cut.mask[:18, :16].all() and cut.mask.sum() == 18 * 16
    written = json.loads((found.root / "annotations/instances_train.json").read_text())
    assert [a["area"] for a in written["annotations"]] == [576, 576, 288]
    lanes = write_dataset(dataset, tmp_path / "other", "lanes")
    assert (lanes.labels, lanes.left_out) == (2, 3)
    roads = json.loads((lanes.root / "annotations/instances_train.json").read_text())["annotations"]
    assert {a["area"] for a in roads} == {128 * 36 / 2}


def test_the_same_view_is_the_same_dataset_and_a_planned_run_keeps_its_own(dataset, tmp_path):
    from s2st_aug.review.curated import write_dataset

    run = tmp_path / "run"
    first = write_dataset(dataset, run)
    labels = first.root / "annotations/instances_train.json"
    before = labels.read_bytes()
    assert write_dataset(dataset.limit(1), run).images == 1  # a dry run alone keeps nothing
    write_dataset(dataset, run)
    assert labels.read_bytes() == before
    link = first.root / "images/train/0002.png"
    link.unlink()
    link.symlink_to(tmp_path / "another.png")
    write_dataset(dataset, run)
    assert link.readlink() == Path(dataset.last().filepath)
    make_run(run)
    write_dataset(dataset, run)
    with pytest.raises(UsageError, match="holds another state of this view"):
        write_dataset(dataset.limit(1), run)
    link.unlink()
    link.symlink_to(tmp_path / "another.png")
    with pytest.raises(UsageError, match="holds another state of this view"):
        write_dataset(dataset, run)


def test_crowds_stay_crowds_and_labels_without_a_class_or_a_place_are_counted(fo, dataset, tmp_path):
    from s2st_aug.review.curated import write_dataset

    place = [0.25, 0.5, 0.125, 0.125]
    triangle = [[[0, 0.5], [1, 0.5], [1, 1]]]
    labels = [
        fo.Detection(label="car", bounding_box=place, iscrowd=1),
        fo.Detection(label="car", bounding_box=place, iscrowd=0),
        fo.Detection(label=None, bounding_box=place),
        fo.Detection(label="car"),
        fo.Detection(label="car", bounding_box=[float("nan"), 0, 0.1, 0.1]),
    ]
    sample = dataset.first()
    sample["ground_truth"] = fo.Detections(detections=labels)
    sample["lanes"] = fo.Polylines(
        polylines=[
            fo.Polyline(label="road", points=triangle, closed=True, iscrowd=1),
            fo.Polyline(points=triangle, closed=True),
        ]
    )
    sample.save()
    for field, crowds, left_out in (("ground_truth", [True, False], 3), ("lanes", [True], 1)):
        found = write_dataset(dataset.select(sample.id), tmp_path / field, field)
        [objects] = scenes(found.root).values()
        assert [o.crowd for o in objects] == crowds
        assert {o.category for o in objects} <= {"car", "road"}
        assert (found.labels, found.left_out) == (len(crowds), left_out)


def test_what_a_run_cannot_take_is_refused(fo, dataset, tmp_path):
    from PIL import Image

    from s2st_aug.review.curated import write_dataset

    with pytest.raises(UsageError, match=r"on this machine, s3://b/run is in a store"):
        write_dataset(dataset, "s3://b/run")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (W, H)).save(tmp_path / "turned.jpg", exif=exif)
    turned = fo.Dataset("turned")
    turned.add_sample(fo.Sample(str(tmp_path / "turned.jpg")))
    with pytest.raises(UsageError, match=r"turned\.jpg: turned or mirrored by its EXIF orientation"):
        write_dataset(turned, tmp_path / "run")
    moving = fo.Dataset("moving")
    moving.add_sample(fo.Sample(str(tmp_path / "a.mp4")))
    with pytest.raises(UsageError, match="view of images, this one holds video"):
        write_dataset(moving, tmp_path / "run")


def test_what_is_not_there_is_one_line(fo, dataset, tmp_path):
    from s2st_aug.review.curated import open_view, write_dataset

    assert len(open_view(fo, "my streets")) == 3
    assert len(open_view(fo, "my streets/wanted")) == 2
    for name, says in {
        "my street": "holds no dataset 'my street'; did you mean 'my streets'",
        "my streets/want": "has no saved view 'want'; did you mean 'wanted'",
    }.items():
        with pytest.raises(UsageError, match=says):
            open_view(fo, name)
    with pytest.raises(UsageError, match="no labels in the field 'lane': expected one of ground_truth, lanes"):
        write_dataset(dataset, tmp_path / "x", "lane")
    dataset.rename_sample_field("ground_truth", "mine")
    with pytest.raises(UsageError, match=r"several fields hold labels: .*--fiftyone-field"):
        write_dataset(dataset, tmp_path / "x")
    Path(dataset.first().filepath).unlink()
    with pytest.raises(UsageError, match=r"0001\.png: no image on this machine"):
        write_dataset(dataset, tmp_path / "x", "mine")


def test_augment_takes_a_view_in_place_of_the_configs_dataset(dataset, tmp_path, capsys):
    from s2st_aug.cli import main

    config = tmp_path / "night.yaml"
    config.write_text("domains: [night]\nmethod: {name: gamma}\n")
    words = ["augment", str(config), "--run", str(tmp_path / "run"), "--dry-run"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--fiftyone", "my streets/wanted"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    assert "2 images and 4 labels of ground_truth" in err and "2 in 1 domain" in out
    with pytest.raises(SystemExit):
        main([*words, "--fiftyone", "my streets/wanted", "--set", "dataset.limit=1"])
    assert "1 in 1 domain" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main([*words, "--fiftyone-field", "lanes"])
    assert (stop.value.code, "needs --fiftyone" in capsys.readouterr().err) == (2, True)


FAKE_RUN = """
import json, sys
from pathlib import Path
from s2st_aug.testing.reviewed_runs import FakeRun, make_run
words = sys.argv[1:]
assert words[0] == "augment" and words[4:] == ["--log-format", "json"], words
told = Path(words[1]).read_text()
assert "night" in told and "-source" in told and "gamma" in told, told
counts = dict(accepted=1, rejected=0, failed=0)
print(json.dumps(dict(event="progress", done=1, total=2, **counts)), file=sys.stderr)
print("no JSON", file=sys.stderr)
make_run(Path(words[3]), FakeRun(scenes=2))
"""


def test_selected_samples_are_run_pushed_and_opened(fo, dataset, tmp_path):
    from s2st_aug.review.translating import translate_view

    view, command = dataset.load_saved_view("wanted"), (sys.executable, "-c", FAKE_RUN)
    told, name = to_the_end(translate_view(view, ["night"], tmp_path / "run", method="gamma", command=command))
    assert (0.5, "1 of 2: 1 accepted, 0 rejected, 0 failed") in told
    assert [share for share, _ in told] == [0, 0, 0.5, 1]
    assert "night" in fo.load_dataset(name).group_slices


def to_the_end(steps):
    """What a generator yielded, and what it returned."""
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return told, end.value


def test_a_run_that_nobody_watches_any_more_is_stopped(dataset, tmp_path):
    from s2st_aug.review.translating import translate_view

    pid = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    steps = translate_view(dataset, ["night"], tmp_path / "run", command=(sys.executable, "-c", code))
    assert len([next(steps), next(steps)]) == 2
    while not pid.is_file() or not pid.read_text():
        time.sleep(0.02)
    steps.close()  # the page was closed
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print(json.dumps(dict(event='error', message='no such model', exit_code=2)), file=sys.stderr); sys.exit(2)",
         "no such model"),
        ("print(json.dumps(dict(event='error', message='unexpected', exit_code=1)), file=sys.stderr); sys.exit(1)",
         "unexpected"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
    ],
)  # fmt: skip
def test_a_run_that_fails_says_why_and_nothing_is_pushed(dataset, tmp_path, monkeypatch, code, says):
    from s2st_aug.review import translating

    monkeypatch.setattr(translating, "push", lambda _run: pytest.fail("pushed"))
    command = (sys.executable, "-c", f"import json, sys; {code}")
    with pytest.raises(UsageError, match=says):
        to_the_end(translating.translate_view(dataset, ["night"], tmp_path / "run", command=command))


def test_the_real_command_says_why_in_words_that_are_passed_on(dataset, tmp_path):
    from s2st_aug.review.translating import translate_view

    with pytest.raises(UsageError, match="snow"):
        to_the_end(translate_view(dataset, ["snow"], tmp_path / "run", method="gamma"))
    own = tmp_path / "run.yaml"
    assert not own.exists()


def test_the_plugin_is_downloaded_as_any_other(fo, tmp_path, monkeypatch):
    import fiftyone.operators as foo
    import fiftyone.plugins as fop
    from fiftyone.plugins.core import ensure_plugin_compatibility

    from s2st_aug.review.app import PLUGIN

    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    shutil.make_archive(str(tmp_path / "served/review"), "zip", PLUGIN)
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = fop.download_plugin(f"http://127.0.0.1:{server.server_port}/review.zip")
        server.shutdown()
    assert [Path(place).parent.parent for place in made.values()] == [tmp_path / "plugins"]
    assert "@s2st-aug/review" in fop.list_enabled_plugins()
    ensure_plugin_compatibility("@s2st-aug/review")
    ours = {o.name: o for o in foo.list_operators() if o.uri.startswith("@s2st-aug/review/")}
    declared = fop.get_plugin("@s2st-aug/review").operators
    assert ours.keys() == set(declared)
    risks = {name: o.config.risk_level.value for name, o in ours.items()}
    assert {n for n, risk in risks.items() if risk == "low"} == {"next_undecided", "panel_data"}
    assert set(risks.values()) == {"low", "medium"}
    assert all(o.config.description for o in ours.values() if not o.config.unlisted)
    asked = ours["translate_selected"].config
    assert asked.allow_delegated_execution and asked.default_choice_to_delegated


def made_of(steps, seen):
    """A stand-in for a run: it tells of its steps and gives a dataset, or raises."""

    def run(view, *places, **options):
        seen.update(n=len(view), places=places, options=options)
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step
        return "made"

    return run


def test_the_operator_asks_for_what_a_run_needs_and_takes_the_selection(fo, dataset, monkeypatch, tmp_path):
    from s2st_aug.review import plugin, translating

    monkeypatch.setattr(fo.config, "default_dataset_dir", str(tmp_path / "fiftyone"))
    monkeypatch.setattr(fo.config, "allow_legacy_orchestrators", False)
    seen, shown, steps = {}, [], [(0.5, "half")]
    monkeypatch.setattr(translating, "translate_view", made_of(steps, seen))
    ctx = SimpleNamespace(
        dataset=dataset, view=dataset.view(), selected=dataset.values("id")[1:], delegated=False,
        params={"run": "mine/x", "domains": ["rain"], "method": "gamma", "field": "lanes"},
        set_progress=lambda **told: shown.append(told),
        ops=SimpleNamespace(
            open_dataset=lambda name: ("open", name), set_progress=lambda **told: told,
            notify=lambda message, variant: (variant, message),
        ),
    )  # fmt: skip
    operator = plugin.TranslateSelected()
    asked = operator.resolve_input(ctx).type.properties
    assert {"domains", "method", "model", "field", "run", "now"} <= asked.keys()
    assert "selected images (2)" in asked["what"].view.label and "LEGACY_ORCHESTRATORS" in asked["now"].view.label
    assert asked["run"].default == str(tmp_path / "fiftyone/my-streets-translated")  # not the server's own folder
    assert list(operator.execute(ctx)) == [{"progress": 0.5, "label": "half"}, ("open", "made")]
    assert (seen["n"], seen["places"]) == (2, (["rain"], tmp_path / "fiftyone/mine/x"))
    assert (seen["options"]["method"], seen["options"]["field"]) == ("gamma", "lanes")
    steps.append(UsageError("no such model"))
    assert list(operator.execute(ctx))[-1] == ("error", "no such model")
    steps.pop()
    ctx.selected, ctx.delegated, ctx.params["run"] = [], True, "~/x"
    assert operator.execute(ctx) == {"dataset": "made"}
    assert (seen["n"], seen["places"][1], shown) == (3, Path("~/x").expanduser(), [{"progress": 0.5, "label": "half"}])
    assert "No image is selected" in operator.resolve_input(ctx).type.properties["what"].view.label


def test_the_operator_offers_every_method_that_is_installed(tmp_path, monkeypatch):
    from s2st_aug.review import plugin

    assert {*plugin.METHODS} == METHODS.keys() - {"external"}
    info = tmp_path / "invert-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: invert\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[s2st_aug.methods]\ninvert = nowhere:Invert\n")
    assert "invert" not in plugin.method_choices()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugin.method_choices() == [*plugin.METHODS, "invert"]


def test_variants_come_first_and_every_field_says_what_it_is(fo, tmp_path):
    from s2st_aug.review.app import first_view
    from s2st_aug.review.push import open_dataset, push

    run = make_run(tmp_path / "run")
    push(run)
    made = open_dataset(fo, run)
    assert (made.default_group_slice, first_view(made)) == ("night", "?view=to-review-least-sure-first")
    unsaid = [p for p, f in made.get_field_schema(flat=True).items() if not f.description and "." not in p]
    assert set(unsaid) <= {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "group"}
    assert made.get_field("strength").description.startswith("how far it moved from the source's domain")
    labels = made.get_field_schema(flat=True)
    assert labels["boxes.detections.structure"].description and labels["lines.polylines.verdict"].description
    sample = made.first()
    found = sample.metadata
    assert (found.width, found.height, found.mime_type) == (W, H, "image/png")
    assert found.size_bytes == Path(sample.filepath).stat().st_size
    assert not any(line.filled for line in sample.lines.polylines)
