from __future__ import annotations

import numpy as np
import pytest
import torch

from s2st_aug.training.detector import StreetDetector, boxes_of, detection_loss, grid, targets, write_onnx
from s2st_aug.training.detector_data import NAMES, SIZE, Example, padded, with_pasted, worn
from s2st_aug.training.detector_recipe import scored
from s2st_aug.validation.detectors import Detection

CAR = np.array([[100.0, 100.0, 140.0, 130.0]], np.float32)


def test_the_onnx_file_computes_what_the_network_does(tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net = StreetDetector().eval()
    write_onnx(net, tmp_path / "d.onnx", "untrained")
    pixels = torch.rand(1, 3, SIZE[1], SIZE[0])
    session = runtime.InferenceSession(str(tmp_path / "d.onnx"), providers=["CPUExecutionProvider"])
    out = session.run(None, {"images": pixels.numpy()})[0]
    with torch.inference_mode():
        raw = net(pixels)
    assert np.abs(out[:, :4] - boxes_of(raw).numpy()).max() < 1e-2
    assert np.abs(out[:, 4:] - raw[:, 4:].sigmoid().numpy()).max() < 1e-5
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
    right = torch.full((1, 4 + len(NAMES), middles.shape[1]), -6.0)
    right[0, :2] = (torch.tensor([[120.0], [115.0]]) - middles) / stride
    right[0, 2:4] = torch.log(torch.tensor([[40.0], [30.0]]) / stride)
    wrong = right.clone()
    right[0, 4, owner >= 0] = 6.0
    wanted = [(CAR, np.array([0]), np.array([True]))]
    assert detection_loss(right, wanted) < 0.05 < detection_loss(wrong, wanted)


def example(n: int = 1) -> Example:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (360, 640, 3), dtype=np.uint8)
    cut = (np.full((20, 30, 3), 250, np.uint8), np.ones((20, 30), bool), 1)
    return Example(image, np.repeat(CAR, n, 0), np.zeros(n, np.int64), np.ones(n, bool), (cut,) * 6)


def test_pasted_objects_are_labelled_where_they_are_and_mirroring_moves_labels_too():
    found = next(
        e
        for e in (with_pasted(example(), example().cuts, np.random.default_rng(k)) for k in range(9))
        if len(e.boxes) > 1
    )
    x1, y1, x2, y2 = found.boxes[-1].astype(int)
    assert (found.image[y1:y2, x1:x2] == 250).all()
    assert found.classes[-1] == 1
    mirrored = next(w for w in (worn(example(), np.random.default_rng(k)) for k in range(9)) if w.boxes[0, 0] != 100)
    assert mirrored.boxes[0].tolist() == [500.0, 100.0, 540.0, 130.0]
    assert padded(mirrored.image).shape == (SIZE[1], SIZE[0], 3)


def test_detections_are_scored_once_each():
    box = (101.0, 101.0, 139.0, 129.0)
    found = (Detection(box, "car", 0.9), Detection(box, "car", 0.8), Detection(box, "traffic sign", 0.7))
    counts = scored(found, example())
    assert counts["car"] == (1, 1, 1)
    assert counts["traffic sign"] == (0, 0, 1)
