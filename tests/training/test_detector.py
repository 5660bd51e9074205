from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import object_lessons
from s2st_aug.records.scene import SceneObject
from s2st_aug.training import detector_data, detector_recipe
from s2st_aug.training.checkpoints import load_checkpoint, unpack
from s2st_aug.training.detector import StreetDetector, boxes_of, detection_loss, grid, targets, write_onnx
from s2st_aug.training.detector_data import NAMES, SIZE, Example, read_examples, store_examples, worn
from s2st_aug.training.detector_recipe import DetectorRecipe

CAR = np.array([[100.0, 100.0, 140.0, 130.0]], np.float32)


def test_the_onnx_file_computes_what_the_network_does(tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net = StreetDetector().eval()
    write_onnx(net, tmp_path / "d.onnx", "untrained")
    pixels = torch.rand(1, 6, 2 * SIZE[1], 2 * SIZE[0])
    session = runtime.InferenceSession(str(tmp_path / "d.onnx"), providers=["CPUExecutionProvider"])
    out = session.run(None, {"images": pixels.numpy()})[0]
    with torch.inference_mode():
        raw = net(F.avg_pool2d(pixels, 2))
    assert np.abs(out[:, :4] - 2 * boxes_of(raw).numpy()).max() < 1e-2
    assert np.abs(out[:, 4:] - raw[:, 4 : 4 + len(NAMES)].sigmoid().numpy()).max() < 1e-5
    assert session.get_modelmeta().custom_metadata_map["names"] == str(dict(enumerate(NAMES)))


def test_an_object_is_found_by_the_cells_at_its_middle_on_the_level_of_its_size():
    owner, counts, truth = targets(CAR, np.array([0]), np.array([True]))
    middles, stride = grid()
    mine = owner.numpy() >= 0
    assert mine.any() and (stride[0].numpy()[mine] == 8).all()
    assert (np.abs(middles.numpy()[:, mine] - [[120.0], [115.0]]) < 8).all()
    assert counts.numpy()[mine].all() and not counts.all(), "other levels at the same place are neither right nor wrong"
    assert truth.tolist() == [[120.0, 115.0, 40.0, 30.0]]


def test_what_need_not_be_found_is_neither_right_nor_wrong():
    owner, counts, _ = targets(CAR, np.array([0]), np.array([False]))
    assert (owner < 0).all()
    assert 0 < (~counts).sum() < len(counts) / 10


def test_the_loss_falls_where_the_answer_is_right():
    middles, stride = grid()
    owner, _, _ = targets(CAR, np.array([0]), np.array([True]))
    right = torch.full((1, 4 + 2 * len(NAMES), middles.shape[1]), -6.0)
    right[0, :2] = (torch.tensor([[120.0], [115.0]]) - middles) / stride
    right[0, 2:4] = torch.log(torch.tensor([[40.0], [30.0]]) / stride)
    unseen = right.clone()
    right[0, [4, 4 + len(NAMES)]] = torch.where(owner >= 0, 6.0, -6.0)
    known = right.clone()
    known[0, 4] = -6.0
    one = np.array([True])
    new, old = ([(CAR, np.array([0]), one, np.array([v]))] for v in (True, False))
    assert detection_loss(right, new) < 0.05 < min(detection_loss(unseen, new), detection_loss(known, new))
    assert detection_loss(known, old) < 0.05 < detection_loss(right, old)


def example() -> Example:
    rng = np.random.default_rng(0)
    source, picture = rng.integers(0, 200, (2, 180, 320, 3), dtype=np.uint8)
    picture[50:65, 40:60] = 250  # the object, brighter than anything else
    return Example(
        source, picture, np.array([[40.0, 50.0, 60.0, 65.0]], np.float32), np.array([1]), *(np.array([True]),) * 2
    )


@pytest.mark.parametrize("key", range(6))
def test_a_label_follows_its_object_through_wear_and_tear(key, monkeypatch):
    monkeypatch.setattr(detector_data, "NOISY", 0.0)
    inputs, e = worn(example(), np.random.default_rng(key))
    assert inputs.shape == (SIZE[1], SIZE[0], 6)
    assert (inputs[180:] == 114).all()
    assert np.array_equal(inputs[:180, :, 3:], e.picture)
    if len(e.boxes) and e.sure[0]:
        x1, y1, x2, y2 = np.rint(e.boxes[0]).astype(int)
        inside = e.picture[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean()
        assert inside > 1.5 * e.picture.mean()


def test_what_an_enlarged_part_leaves_out_is_no_label_of_it():
    few = [len(worn(example(), np.random.default_rng(key))[1].boxes) for key in range(60)]
    assert 0 in few and 1 in few


def test_examples_come_back_from_their_file(tmp_path):
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), *(np.zeros(0, bool),) * 2
    none = Example(*(example().source,) * 2, *empty)
    store_examples(tmp_path / "e.npz", [example(), none])
    first, second = read_examples(tmp_path / "e.npz")
    assert np.array_equal(first.picture, example().picture)
    assert first.boxes.tolist() == example().boxes.tolist()
    assert len(second.boxes) == len(second.sure) == 0


@pytest.mark.slow
def test_a_training_that_stops_goes_on_as_if_it_had_not(tmp_path, monkeypatch):
    files = []
    for name, clock in (("whole", [0, 1, 1]), ("halves", [0, 1, 9, 0, 1])):  # s at which it starts and asks
        own = SimpleNamespace(monotonic=iter(clock).__next__)  # other threads of this process keep the true one
        monkeypatch.setattr(detector_recipe, "time", own)
        (tmp_path / name).mkdir()
        store_examples(tmp_path / name / "examples-0.npz", [example()])
        recipe = DetectorRecipe(tmp_path / name, steps=2)
        finished = [recipe.train(5.0) for _ in range(clock.count(0))]
        assert finished == ([True] if name == "whole" else [False, True])
        files.append(unpack("averaged", load_checkpoint(tmp_path / name / "detector.safetensors")[0]))
    assert all(torch.equal(files[0][k], files[1][k]) for k in files[0])


def test_a_lesson_asks_for_what_the_source_does_not_show(monkeypatch):
    car = SceneObject("16", "mask", "car", (10.0, 20.0, 50.0, 60.0), (), np.ones((360, 640), bool))
    flat, step = np.zeros((360, 640, 3), np.float32), np.zeros((360, 640, 3), np.float32)
    mask = np.zeros((360, 640), bool)
    mask[20:60, 10:50] = True
    step[mask] = 50
    car = replace(car, mask=mask)
    wanted = object_lessons._wanted
    assert wanted(car, {2}, {}, [step]) == (car.bbox, 0, True, True)
    assert wanted(car, {2}, {}, [flat]) == (car.bbox, 0, False, True), "in this light nobody sees it"
    assert wanted(car, set(), {"16": car}, [step]) == (car.bbox, 0, True, False), "it stands in both"
    hidden = replace(car, mask=np.zeros_like(mask))
    assert wanted(car, set(), {"16": hidden}, [step]) == (car.bbox, 0, False, False), "something stood before it"
