"""The experiment's machinery on tiny data.

Equal updates, paired orders, honest statements, AP that a perfect detector reaches.
"""

from __future__ import annotations

import contextlib
import json

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from gain_photos import photos

from s2st_aug.errors import ConfigError, DatasetError, RunFolderError, UsageError
from s2st_aug.gain.arms import CHANGES, changed
from s2st_aug.gain.boxes import Boxes, average_precision, decode, targets
from s2st_aug.gain.config import ORACLES, load_config
from s2st_aug.gain.results import RESAMPLES, Outcome
from s2st_aug.gain.statistics import compare, estimate
from s2st_aug.images import luma
from s2st_aug.testing.reviewed_runs import FakeRun, make_dataset, make_run

HERE = "cuda:0" if torch.cuda.is_available() else "cpu"
TINY = {"steps": 2, "batch": 2, "size": [64, 48], "widths": [4, 8]}


def segmentation_config(tmp_path, **changes):
    day, dusk = photos(tmp_path / "day", 6, 100), photos(tmp_path / "dusk", 4, 20)
    data = {"train": day, "test": dusk, "references": {"images": dusk["images"]}, "classes": ["sky", "road"], "void": 2}
    made = {
        "task": "segmentation",
        "domains": ["night"],
        "segmentation": data,
        "out": str(tmp_path / "out"),
        "training": TINY,
    }
    path = tmp_path / "gain.yaml"
    path.write_text(yaml.safe_dump(made | {"arms": ["real_only", "copies"], "rng_keys": [0, 1]} | changes))
    return path


@pytest.mark.parametrize("arm", ["real_only", *CHANGES, "colour_transfer_once"])
def test_every_control_arm_trains_and_reports_the_classes_that_occur(tmp_path, arm):
    from s2st_aug.gain.segmentation import measure, train

    config = load_config(segmentation_config(tmp_path))
    tested = measure(config, train(config, arm, 0))
    measures = tested.measures
    assert len(tested.resampled["miou"]) == RESAMPLES
    assert set(measures) == {"miou", "iou_sky", "iou_road"}
    assert measures["miou"] == pytest.approx((measures["iou_sky"] + measures["iou_road"]) / 2)


@pytest.mark.parametrize("name", ["photometric", "weather", "colour_transfer", "histogram"])
def test_an_arm_of_fixed_pictures_shows_one_of_each_image_and_another_of_the_next(name):
    rng = np.random.default_rng(0)
    image, *references = (rng.integers(0, 255, (24, 32, 3)).astype(np.uint8) for _ in range(9))
    photos = {"night": references}
    shown = {arm: [changed(arm, i, image, photos, rng) for i in (0, 0, 0, 1, 2)] for arm in (name, f"{name}_once")}
    once = shown[f"{name}_once"]
    assert (once[0] == once[1]).all() and (once[0] == once[2]).all()
    assert any((once[0] != other).any() for other in once[3:])
    assert any((shown[name][0] != other).any() for other in shown[name][1:3])


def test_arms_of_one_rng_key_start_from_the_same_weights_and_see_the_same_order(tmp_path):
    from s2st_aug.gain.training import fit

    config = load_config(segmentation_config(tmp_path, training=TINY | {"steps": 5, "batch": 3}))
    seen = {}
    for arm in ("a", "b"):
        drawn = []

        def loss_of(network, indices, replaced, rng, arm=arm, drawn=drawn):
            drawn.append(
                (indices.tolist(), replaced.tolist(), float(network.weight.sum().detach()) if not drawn else 0)
            )
            rng.random(7 if arm == "a" else 1)  # an arm that draws more must not move the order
            return network.weight.sum() * 0.0

        fit(lambda: torch.nn.Linear(2, 2), loss_of, 10, config, 4)
        seen[arm] = drawn
    assert seen["a"] == seen["b"]


def test_a_stopped_experiment_goes_on_and_the_page_says_what_one_may_say(tmp_path):
    from s2st_aug.gain import experiment
    from s2st_aug.gain.tables import write_tables

    ran = []

    def here(function, tasks, **kwargs):
        for index, task in enumerate(tasks):
            ran.append(task[1:])
            yield index, Outcome({"miou": 10.0 + task[2] + (5 if task[1] == "photometric" else 0)})

    config = load_config(segmentation_config(tmp_path, arms=["real_only", "photometric"]))
    page = write_tables(config, experiment.run_experiment(config, run=here)).read_text()
    assert len(ran) == 4 and "| photometric | 15.5" in page and "no statement" in page
    more = config.model_copy(update={"rng_keys": (0, 1, 2)})
    page = write_tables(more, experiment.run_experiment(more, run=here)).read_text()
    assert ran[4:] == [("real_only", 2), ("photometric", 2)]
    assert "+5.0" in page and ": gain" in page
    assert (config.out / "result.json").exists()


def test_copies_are_real_only_s_training_and_are_not_trained_twice(tmp_path):
    from s2st_aug.gain import experiment
    from s2st_aug.gain.segmentation import measure, train

    config = load_config(segmentation_config(tmp_path))
    assert measure(config, train(config, "copies", 3)) == measure(config, train(config, "real_only", 3))
    ran = []

    def here(function, tasks, **kwargs):
        for index, task in enumerate(tasks):
            ran.append(task[1:])
            yield index, Outcome({"miou": 10.0 + task[2]})

    results = experiment.run_experiment(config, run=here)
    assert ran == [("real_only", 0), ("real_only", 1)] and results["copies"] == results["real_only"]


def test_statements():
    assert compare([9.0], [1.0]).statement == "1 seed: no statement"
    assert compare([9.0, 9.1], [1.0, 1.2]).statement == "2 seeds: no statement"
    assert compare([9.0, 9.1, 9.3], [1.0, 1.2, 1.1]).statement == "gain"
    assert compare([1.0, 1.2, 1.1], [9.0, 9.1, 9.3]).statement == "loss"
    assert compare([1.0, 9.0, 2.0], [2.0, 3.0, 4.0]).statement == "not shown"
    low, high = estimate([1.0, 2.0, 3.0]).low, estimate([1.0, 2.0, 3.0]).high
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": ["copies"]}, "did you mean 'arms'"),
        ({"arms": ["real_only", "s2st_gated"]}, "need `run`"),
        ({"arms": ["copies"]}, "must hold real_only"),
        ({"task": "detection"}, "needs a section `detection`"),
    ],
)
def test_a_wrong_config_is_one_clear_line(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load_config(segmentation_config(tmp_path, **change))


def test_gated_variants_leave_rejected_ones_out_and_mark_what_is_no_longer_true(tmp_path):
    from s2st_aug.gain.variants import read_variants

    run = make_run(tmp_path / "run", FakeRun(scenes=5, domains=("night",), statuses=("ok", "rejected")))
    every = read_variants(run.path, ("night",), (64, 36), gated=False)
    gated = read_variants(run.path, ("night",), (64, 36), gated=True)
    assert (len(every), len(gated)) == (5, 3)
    assert all(v.ignored is None for vs in every.values() for v in vs)
    assert any(v.ignored is not None and v.ignored.any() for vs in gated.values() for v in vs)


def test_the_unread_arm_trains_on_labels_that_the_measure_could_not_judge_and_on_no_lost_one(tmp_path):
    from s2st_aug.gain.variants import variants_of

    run = make_run(tmp_path / "run", FakeRun(scenes=5, domains=("night",), statuses=("ok", "rejected")))
    config = load_config(
        segmentation_config(tmp_path, run=str(run.path), arms=["real_only", "s2st_gated", "s2st_gated_unread"])
    )
    left_out = {}
    for arm in ("s2st_ungated", "s2st_gated", "s2st_gated_unread"):
        left_out[arm] = sum(len(v.ignored_boxes) for vs in variants_of(config, arm).values() for v in vs)
    verdicts = [o["verdict"] for r in run.read_manifest().to_pylist() if r["status"] == "ok" for o in r["objects"]]
    void = verdicts.count("ignore") + verdicts.count("lost")
    assert left_out == {"s2st_ungated": 0, "s2st_gated": void, "s2st_gated_unread": verdicts.count("lost")}
    assert 0 < verdicts.count("lost") < void


def test_a_perfect_heatmap_decodes_to_its_boxes_and_scores_full_ap():
    boxes = Boxes(np.array([[10.0, 8.0, 30.0, 24.0], [40.0, 20.0, 46.0, 40.0]]), np.array([0, 1]), np.zeros((0, 4)))
    heat, geometry, _ = targets(boxes, (64, 48), 2)
    found = decode(torch.from_numpy(np.where(heat > 0.999, 9.0, -9.0))[None], torch.from_numpy(geometry)[None])
    order = np.argsort(-found[2], kind="stable")[:2]
    assert sorted(map(tuple, found[0][order].round(3).tolist())) == sorted(map(tuple, boxes.xyxy.tolist()))
    tested = average_precision([boxes], [found], ("car", "traffic light"))
    measures = tested.measures
    assert tested.resampled["ap"] == pytest.approx([100] * RESAMPLES)
    assert measures["ap"] == pytest.approx(100) and measures["ap_traffic light"] == pytest.approx(100)
    shifted = (found[0] + 30, found[1], found[2])
    assert average_precision([boxes], [shifted], ("car", "traffic light")).measures["ap"] == 0


def test_a_crop_keeps_what_it_mostly_holds_and_does_not_judge_what_it_cuts():
    xyxy = np.array([[12.0, 12, 20, 20], [28, 10, 36, 14], [29, 20, 41, 24], [0, 0, 5, 5]])
    boxes = Boxes(xyxy, np.array([0, 1, 2, 3]), np.array([[0.0, 0, 15, 15], [50, 50, 60, 60]]))
    held = boxes.cropped(10, 8, (22, 20))
    assert held.xyxy.tolist() == [[2, 4, 10, 12], [18, 2, 22, 6]] and held.classes.tolist() == [0, 1]
    assert held.ignored.tolist() == [[0, 0, 5, 7], [19, 12, 22, 16]]


@pytest.mark.parametrize("seen", range(8))
def test_a_crop_of_a_scene_lies_inside_of_it_and_shows_the_box_s_own_pixels(seen):
    from s2st_aug.gain.detection import _augment

    image = np.zeros((48, 64, 3), np.uint8)
    image[30:36, 50:60] = 255
    boxes = Boxes(np.array([[50.0, 30, 60, 36]]), np.array([0]), np.zeros((0, 4)))
    crop, held = _augment(image, boxes, (32, 24), np.random.default_rng(seen))
    assert crop.shape == (24, 32, 3)
    for x1, y1, x2, y2 in held.xyxy.astype(int):
        assert crop[y1:y2, x1:x2].min() == 255


def detection_config(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=4, domains=("night",), statuses=("ok",)))
    for name in ("night", "rain"):
        make_dataset(tmp_path / name, FakeRun(scenes=2, split="val"))
    make_dataset(tmp_path / "truth", FakeRun(scenes=4))
    references = {"night": {"images": str(tmp_path / "night/images/100k/val")}}
    data = {
        "train": run.run_json().dataset_root,
        "test": {n: str(tmp_path / n) for n in ("night", "rain")},
        "references": references,
        "truths": {"night": str(tmp_path / "truth")},
    }
    data |= {"classes": ["car", "pedestrian", "traffic light"]}
    made = {
        "task": "detection",
        "domains": ["night"],
        "detection": data,
        "out": str(tmp_path / "out"),
        "run": str(run.path),
    }
    (tmp_path / "gain.yaml").write_text(yaml.safe_dump(made | {"training": TINY | {"cell": 4, "crop": [32, 24]}}))
    return load_config(tmp_path / "gain.yaml")


def test_the_detection_task_reports_test_sets_classes_and_sizes_and_its_ap_is_of_the_config_s_domains(tmp_path):
    from s2st_aug.gain.detection import measure, train

    config = detection_config(tmp_path)
    tested = measure(config, train(config, "s2st_gated", 0))
    assert {"ap", "ap_traffic light", "night_ap", "rain_ap_car", "night_ap50"} <= set(tested.measures)
    assert tested.measures["ap"] == tested.measures["night_ap"]  # rain is tested, and not asked for
    assert len(tested.resampled["rain_ap"]) == RESAMPLES


def test_oracles_show_the_true_render_of_the_drawn_domain_or_its_lights_over_a_colour_transfer(tmp_path):
    from s2st_aug.gain.detection import _counterpart, load

    config = detection_config(tmp_path)
    data = config.detection
    scenes = load(data, data.train, "train", (64, 48))
    for path in (data.truths["night"] / "images/100k/train").iterdir():
        lamp = np.zeros_like(cv2.imread(str(path)))
        lamp[len(lamp) // 4 : len(lamp) // 2, lamp.shape[1] // 3 : lamp.shape[1] // 2] = (90, 200, 255)
        cv2.imwrite(str(path), lamp)
    truth = load(data, data.truths["night"], "train", (64, 48))
    rng = np.random.default_rng(0)
    shown = {arm: _counterpart(config, data, scenes, arm)(1, rng)[0] for arm in ORACLES}
    assert (shown["true_render"] == truth.images[1]).all()
    lit = luma(truth.images[1]) > 110
    assert lit.any() and np.abs(shown["colour_transfer_true_lights"].astype(int) - truth.images[1])[lit].max() <= 1
    other = config.model_copy(update={"detection": data.model_copy(update={"truths": {"night": data.test["night"]}})})
    with pytest.raises(DatasetError, match=r"no image|expected the names of"):
        _counterpart(other, other.detection, scenes, "true_render")


def test_every_arm_goes_on_from_the_first_training_s_weights(tmp_path):
    from s2st_aug.gain.experiment import run_experiment
    from s2st_aug.gain.training import first_file, fit

    first = {"first": {"steps": 3, "learning_rate": 0.01}}
    config = load_config(segmentation_config(tmp_path, training=TINY | first))

    def here(function, tasks, **kwargs):
        yield from ((index, function(*task)) for index, task in enumerate(tasks))

    with pytest.raises(RunFolderError, match="the first training makes it"):
        fit(lambda: torch.nn.Linear(2, 2), None, 1, config, 0)
    run_experiment(config, run=here)
    made = first_file(config)
    changed = made.stat().st_mtime_ns
    more = load_config(segmentation_config(tmp_path, training=TINY | first | {"replaced": 0.3}, arms=["real_only"]))
    run_experiment(more, run=here)
    assert first_file(more) == made and made.stat().st_mtime_ns == changed  # once for all that comes after
    assert "miou" in json.loads(made.with_suffix(".json").read_text())
    started = {}

    def loss_of(network, indices, replaced, rng):
        started.setdefault("weights", {k: v.detach().clone() for k, v in network.state_dict().items()})
        return sum(p.sum() for p in network.parameters()) * 0.0

    from s2st_aug.gain.networks import Segmenter

    fit(lambda: Segmenter(config.training.widths, 2), loss_of, 4, config, 5)
    stored = safetensors.torch.load_file(made)
    assert all(torch.equal(started["weights"][k], v) for k, v in stored.items())


def test_test_images_widen_the_interval_and_the_same_draws_cancel_in_a_difference():
    from s2st_aug.gain.statistics import headroom_closed, image_spread

    rng = np.random.default_rng(0)
    draws = rng.normal(0, 3, 200)
    arm, base = [list(10 + draws)] * 3, [list(8 + draws)] * 3
    spread = image_spread(arm)
    assert spread == pytest.approx(draws.std(ddof=1)) and image_spread(arm, base) == pytest.approx(0, abs=1e-9)
    narrow, wide = estimate([1.0, 2.0, 3.0]), estimate([1.0, 2.0, 3.0], spread)
    assert wide.high - wide.low > narrow.high - narrow.low and wide.mean == narrow.mean
    assert compare([9.0, 9.1, 9.3], [1.0, 1.2, 1.1], 5.0).statement == "not shown"
    closed = headroom_closed([3.0, 3.2, 3.1], [1.0, 1.1, 0.9], [5.0, 5.3, 4.9])
    assert closed.mean == pytest.approx(0.516, abs=0.01) and closed.low < closed.mean < closed.high
    assert headroom_closed([3.0, 3.2, 3.1], [1.0, 1.1, 0.9], [1.0, 1.0, 0.9]) is None


def test_camvid_masks_become_cityscapes_ids(tmp_path):
    from s2st_aug.formats import load_card, read_objects, read_scenes
    from s2st_aug.gain.camvid import write_cityscapes
    from s2st_aug.gain.config import Photos

    made = photos(tmp_path / "day", 2, 100)
    assert write_cityscapes(Photos(images=made["images"], labels=made["labels"]), tmp_path / "city") == 2
    card = load_card("cityscapes")
    scenes = list(read_scenes(card, tmp_path / "city", "train"))
    assert [s.scene_id.split("/")[-1] for s in scenes] == ["00000", "00001"]
    assert {o.category for o in read_objects(card, tmp_path / "city", scenes[0])} == {"sky", "building", "pole"}


def test_the_benchmark_s_night_val_has_the_training_set_s_categories_and_real_images_alone(tmp_path):
    from pycocotools.coco import COCO

    from s2st_aug.errors import DatasetError, UsageError
    from s2st_aug.gain.bdd100k import write_night_val

    root = tmp_path / "bdd"
    make_dataset(root, FakeRun(scenes=3, split="val"))
    labels = root / "labels/det_20/det_val.json"
    trained = tmp_path / "instances_train2017.json"
    trained.write_text(json.dumps({"categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "traffic light"}]}))
    with pytest.raises(DatasetError, match="no image of val has timeofday night"):
        write_night_val(root, trained, tmp_path / "night.json")
    frames = json.loads(labels.read_text())
    for frame in frames[:2]:
        frame["attributes"]["timeofday"] = "night"
    labels.write_text(json.dumps(frames))
    assert write_night_val(root, trained, tmp_path / "night.json") == 2
    made = COCO(str(tmp_path / "night.json"))
    assert {a["category_id"] for a in made.dataset["annotations"]} == {3, 9}
    assert all((root / image["file_name"]).is_file() for image in made.dataset["images"])
    box = frames[0]["labels"][0]["box2d"]
    assert made.dataset["annotations"][0]["bbox"] == [
        box["x1"],
        box["y1"],
        box["x2"] - box["x1"],
        box["y2"] - box["y1"],
    ]
    trained.write_text("[]")
    with pytest.raises(UsageError, match="with categories"):
        write_night_val(root, trained, tmp_path / "night.json")


def test_an_external_trainer_is_run_per_arm_and_key_and_its_failure_is_one_line(tmp_path):
    import sys

    from s2st_aug.errors import CheckFailed, DatasetError
    from s2st_aug.gain.external import train_and_test

    program = "import json, sys; d, a, k, o = sys.argv[1:]; measures = {'ap': int(k) + (a != 'real_only')}\n"
    program += "json.dump(measures, open(o + '/measures.json', 'w'))"
    made = {"task": "external", "domains": ["night"], "arms": ["real_only", "s2st_gated"], "out": str(tmp_path)}
    command = [sys.executable, "-c", program, "{dataset}", "{arm}", "{rng_key}", "{out}"]
    (tmp_path / "gain.yaml").write_text(
        yaml.safe_dump(
            made
            | {
                "external": {
                    "command": command,
                    "datasets": {"real_only": str(tmp_path / "a"), "s2st_gated": str(tmp_path)},
                }
            }
        )
    )
    config = load_config(tmp_path / "gain.yaml")
    assert train_and_test(config, "s2st_gated", 3) == {"ap": 4.0}
    with pytest.raises(DatasetError, match="the training set of real_only does not exist"):
        train_and_test(config, "real_only", 3)
    broken = config.model_copy(
        update={"external": config.external.model_copy(update={"command": (sys.executable, "-c", "1/0")})}
    )
    with pytest.raises(CheckFailed, match="ended with code 1"):
        train_and_test(broken, "s2st_gated", 0)


@pytest.mark.parametrize(
    ("asked", "environment", "joined"), [(None, None, "local"), ("a:1", "b:2", "a:1"), (None, "b:2", "b:2")]
)
def test_trainings_join_no_cluster_that_nobody_named(monkeypatch, asked, environment, joined):
    import ray

    from s2st_aug.engine.experiments import run_tasks

    class Asked(Exception):
        pass

    def init(address, **settings):
        raise Asked(address)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    with pytest.raises(Asked, match=joined):
        next(run_tasks(len, [([],)], address=asked))


def test_every_gain_config_of_the_repository_loads(repo, monkeypatch, tmp_path):
    monkeypatch.setenv("S2ST_AUG_DATA", str(tmp_path))  # what configs name need not be there to be read
    paths = sorted((repo / "configs").glob("gain_*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        load_config(path)


def summaries(path, measures):
    """A committed result as `write_tables` writes its summary."""
    from dataclasses import asdict

    from s2st_aug.gain.tables import summarise

    arms = next(iter(measures.values()))
    results = {arm: [Outcome({m: measures[m][arm][k] for m in measures}) for k in range(3)] for arm in arms}
    summary = {m: [asdict(row) for row in summarise(results, m)] for m in measures}
    keys = {arm: [outcome.measures for outcome in outcomes] for arm, outcomes in results.items()}
    path.write_text(json.dumps({"summary": summary, "results": keys}))
    return path


def test_the_benchmark_reads_committed_results_and_says_so(tmp_path):
    from benchmarks.gain import gain_figures

    runs = {
        "real_only": [20.0, 21.0, 22.0],
        "colour_transfer": [30.0, 30.0, 31.0],
        "copies": [20.0] * 3,
        "s2st_gated": [37.0, 37.0, 38.5],
    }
    photos = summaries(tmp_path / "a.json", {"miou": runs})
    miou, control, lights, *_ = gain_figures(photos, tmp_path / "none.json")
    assert (miou.value, miou.n) == (pytest.approx(16.5), 3) and miou.interval[0] < 16.5 < miou.interval[1]
    assert control.value == pytest.approx(37.5 - 91 / 3)
    assert "colour_transfer" in control.why and "not run here" in control.why
    assert lights.holds is None and lights.why


@pytest.mark.parametrize(("ours", "holds"), [([9.0, 9.1, 9.2], True), ([9.0, 2.0, 12.0], False), ([5.0] * 3, False)])
def test_a_gain_at_night_holds_where_it_is_large_and_its_interval_above_0_and_no_oracle_is_a_control(
    tmp_path, ours, holds
):
    from benchmarks.gain import gain_figures

    night = {"real_only": [1.0, 1.1, 1.2], "histogram": [4.0, 4.1, 4.0], "s2st_gated": ours, "true_render": [12.0] * 3}
    cars = night | {"s2st_gated": [9.0] * 3}
    both = summaries(tmp_path / "a.json", {"night_ap": night, "night_ap_car": cars, "ap_traffic light": night})
    *_, over, car = gain_figures(tmp_path / "none.json", both)
    assert over.value == pytest.approx(sum(ours) / 3 - 12.1 / 3) and "against histogram" in over.why
    assert over.holds is holds and car.value == pytest.approx(0.75) and car.holds


@pytest.mark.parametrize(
    ("ours", "holds", "interval"),
    [([9.0] * 3, True, (0.75, 0.75)), ([9.0, 6.0, 8.0], None, (0.375, 1.058)), ([9.0, 0.0, 8.0], False, None)],
)
def test_a_share_of_what_true_night_gives_is_held_to_its_interval(tmp_path, ours, holds, interval):
    """It held by its mean alone, though the trainings differ."""
    from benchmarks.gain import gain_figures

    cars = {"real_only": [1.0] * 3, "s2st_gated": ours, "true_render": [12.0] * 3}
    *_, car = gain_figures(tmp_path / "none.json", summaries(tmp_path / "a.json", {"night_ap_car": cars}))
    assert car.holds is holds
    assert car.interval == (interval and pytest.approx(interval, abs=0.001))


@pytest.mark.parametrize(
    ("device", "gpus", "found"), [("auto", 0, "cpu"), ("cpu", 1, "cpu"), ("auto", 1, HERE), ("auto", 0.5, HERE)]
)
def test_a_training_takes_the_gpu_that_is_reserved_for_it_or_the_device_that_is_named(tmp_path, device, gpus, found):
    from s2st_aug.gain.training import device_of

    config = load_config(segmentation_config(tmp_path, device=device, gpus_per_training=gpus))
    assert str(device_of(config)) == found


def test_every_tensor_of_a_training_is_on_its_device(tmp_path, monkeypatch):
    """On `meta`, where shapes alone are computed: what stays on the CPU would be refused there."""
    from s2st_aug.gain import detection, segmentation, training

    boxes, masks = detection_config(tmp_path / "boxes"), load_config(segmentation_config(tmp_path))
    monkeypatch.setattr(training, "device_of", lambda config: torch.device("meta"))
    monkeypatch.setattr(torch, "autocast", lambda *named: contextlib.nullcontext())
    for network in (segmentation.train(masks, "photometric", 0), detection.train(boxes, "s2st_gated", 0)):
        assert {p.device.type for p in network.parameters()} == {"meta"}


def test_a_device_that_is_not_there_is_one_line_before_anything_is_trained(tmp_path, monkeypatch):
    from s2st_aug.gain.experiment import run_experiment

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = load_config(segmentation_config(tmp_path, device="cuda:99"))
    with pytest.raises(UsageError, match=r"^device cuda:99: this machine has \d+ CUDA devices"):
        run_experiment(config, run=lambda *tasks, **needs: pytest.fail("started"))


def test_gpus_that_are_not_there_are_not_waited_for(monkeypatch):
    import ray

    from s2st_aug.engine.experiments import run_tasks

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for name, answer in (("init", None), ("shutdown", None), ("cluster_resources", {"CPU": 2.0})):
        monkeypatch.setattr(ray, name, lambda *given, answer=answer, **named: answer)
    with pytest.raises(UsageError, match=r"^gpus_per_training: 0\.5, but Ray finds 0 GPUs.*gpus_per_training=0.*CPU"):
        next(run_tasks(len, [([],)], gpus_per_task=0.5))


def test_the_device_does_not_decide_what_was_trained_and_no_one_names_it_to_somebody_elses_trainer(tmp_path):
    configs = [load_config(segmentation_config(tmp_path, device=d)) for d in ("auto", "cuda")]
    assert len({c.sha256() for c in configs}) == 1
    own = {"command": ["true"], "datasets": {"real_only": str(tmp_path)}}
    with pytest.raises(ConfigError, match=r"external\.command says where it trains, device cannot"):
        load_config(segmentation_config(tmp_path, task="external", external=own, arms=["real_only"]), ["device=cuda"])


@pytest.mark.parametrize("gated", [True, False])
def test_photos_of_one_name_in_two_folders_are_refused_before_their_labels_are_mixed_up(tmp_path, gated):
    from s2st_aug.formats import load_card
    from s2st_aug.gain.variants import read_variants
    from s2st_aug.testing.runs import write_run
    from s2st_aug.testing.trees import write_tree

    root = tmp_path / "data"
    split = write_tree("yolo", root)
    first = next(p for p in (root / "images/train").rglob("*") if p.is_file())
    for folder in ("left", "right"):
        for place, data in (("images", first.read_bytes()), ("labels", b"0 0.5 0.5 0.2 0.2\n")):
            file = root / place / split / folder / f"0001{first.suffix if place == 'images' else '.txt'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    write_run(tmp_path / "run", load_card("yolo"), root, split)
    with pytest.raises(UsageError, match=r"left/0001.* and .*right/0001.* have the same"):
        read_variants(tmp_path / "run", ("night",), (64, 36), gated=gated)
