from __future__ import annotations

import numpy as np
import pytest

from s2st_aug.errors import ModelError
from s2st_aug.records.scene import SceneObject
from s2st_aug.testing.detectors import FakeDetector
from s2st_aug.validation.detectors import (
    Detection,
    PairDetector,
    decoded,
    find_detector,
    hallucinated_objects,
    layout_of,
    load_detector,
)
from s2st_aug.validation.judge import judge
from s2st_aug.validation.settings import ValidationSettings

SIZE = (64, 64)
CELLS = 64 + 16 + 4


def yolox_output(cell: int, offset: tuple[float, float], wh: tuple[float, float], number: int) -> np.ndarray:
    out = np.zeros((CELLS, 5 + 8), np.float32)
    out[:, 2:4] = -9
    out[cell, :4] = (*offset, *np.log(np.array(wh) / 8))
    out[cell, 4], out[cell, 5 + number] = 0.9, 1.0
    return out


def test_yolox_boxes_are_read_off_their_grid():
    boxes, scores = decoded(yolox_output(9, (0.5, 0.5), (16, 24), 2), SIZE)
    best = int(scores.max(1).argmax())
    assert boxes[best].tolist() == pytest.approx([12, 12, 16, 24])
    assert scores[best].argmax() == 2


def test_the_three_layouts_are_told_by_their_shape():
    assert [layout_of(s, SIZE) for s in ((CELLS, 13), (3 * CELLS, 13), (12, CELLS))] == ["yolox", "yolov5", "yolov8"]
    with pytest.raises(ModelError, match="fits no YOLO layout"):
        layout_of((100, 7), SIZE)


def constant_model(path, answer: np.ndarray, channels: int = 3) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, 64, 64])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, *answer.shape])
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output"]),
    ]
    constants = [
        numpy_helper.from_array(answer[None], "answer"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    graph = helper.make_graph(nodes, "constant", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def test_an_onnx_file_detects_in_the_images_own_pixels(tmp_path):
    pytest.importorskip("onnxruntime")
    constant_model(tmp_path / "yolox.onnx", yolox_output(9, (0.5, 0.5), (16, 24), 2))
    found = load_detector(str(tmp_path / "yolox.onnx")).detect(np.zeros((128, 128, 3), np.uint8))
    assert [(d.category, round(d.score, 2)) for d in found] == [("car", 0.9)]
    assert found[0].bbox == pytest.approx((8, 0, 40, 48))


def test_a_file_of_pairs_looks_at_the_source_and_at_what_the_model_painted(tmp_path, pair):
    pytest.importorskip("onnxruntime")
    constant_model(tmp_path / "pair.onnx", yolox_output(9, (0.5, 0.5), (16, 24), 2), channels=6)
    detector = load_detector(str(tmp_path / "pair.onnx"))
    assert isinstance(detector, PairDetector)
    grey = np.zeros((128, 128, 3), np.uint8)
    (found,) = hallucinated_objects(detector, grey, grey, grey, ())
    assert (found.kind, round(found.score, 2), found.bbox) == ("car", 0.9, pytest.approx((8, 0, 40, 48)))
    known = (SceneObject("1", "box", "car", (5.0, 0.0, 42.0, 50.0)),)
    assert hallucinated_objects(detector, grey, grey, grey, known) == ()
    constant_model(tmp_path / "four.onnx", yolox_output(9, (0.5, 0.5), (16, 24), 2), channels=4)
    with pytest.raises(ModelError, match=r"1x3xHxW \(an image\) or 1x6xHxW \(source and variant\), got"):
        load_detector(str(tmp_path / "four.onnx"))


def test_a_detector_of_pairs_is_shown_the_picture_before_the_detail_step():
    seen = []

    class Pairs:
        def detect_new(self, source: np.ndarray, picture: np.ndarray) -> tuple[Detection, ...]:
            seen.append((source, picture))
            return ()

    source, variant, raw = (np.full((64, 64, 3), n, np.uint8) for n in range(3))
    hallucinated_objects(Pairs(), source, variant, raw, ())
    assert seen[0][0] is source and seen[0][1] is raw


def test_a_missing_or_foreign_file_is_one_clear_line(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match="no detector at"):
        load_detector(str(tmp_path / "none.onnx"))
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="no ONNX model"):
        load_detector(str(tmp_path / "text.onnx"))


def test_only_what_neither_labels_nor_source_have_is_made_up(pair):
    ghost, known, seen = (200.0, 20.0, 240.0, 60.0), (150.0, 130.0, 215.0, 183.0), (20.0, 200.0, 60.0, 230.0)

    def answer(image: np.ndarray) -> list[Detection]:
        both = [Detection(seen, "car", 0.8)]
        return both if image is pair.source else [*both, Detection(ghost, "car", 0.9), Detection(known, "car", 0.9)]

    labels = (SceneObject("car", "box", "car", known),)
    found = hallucinated_objects(FakeDetector(answer), pair.source, pair.variant, pair.variant, labels)
    assert [(h.bbox, h.kind, h.score) for h in found] == [(ghost, "car", 0.9)]
    judged = judge(
        pair.source, pair.variant, pair.variant, labels, None, ValidationSettings(), detector=FakeDetector(answer)
    )
    assert any(r.startswith("hallucination: car") for r in judged.reasons)


def test_a_part_of_a_labelled_object_is_not_made_up_and_a_doubtful_detection_does_not_reject(pair):
    car = pair.objects[0].bbox
    part, ghost = (car[0], car[1], car[0] + 20.0, car[3]), (20.0, 200.0, 60.0, 230.0)
    detector = FakeDetector(
        lambda image: [] if image is pair.source else [Detection(part, "car", 0.9), Detection(ghost, "car", 0.4)]
    )
    assert [h.bbox for h in hallucinated_objects(detector, pair.source, pair.variant, pair.variant, pair.objects)] == [
        ghost
    ]
    found = judge(pair.source, pair.variant, pair.variant, pair.objects, None, ValidationSettings(), detector=detector)
    assert found.status == "ok", found.reasons
    strict = ValidationSettings(detector_score=0.4)
    assert (
        judge(pair.source, pair.variant, pair.variant, pair.objects, None, strict, detector=detector).status
        == "rejected"
    )


def test_the_shipped_detector_is_small_and_says_what_it_knows():
    pytest.importorskip("onnxruntime")
    file = find_detector("street-mini-detector")
    assert file.stat().st_size < 3_000_000
    assert (file.parent / "README.md").read_text().startswith("---\nlicense: apache-2.0")
    assert set(load_detector("street-mini-detector").names.values()) == {
        "car",
        "pedestrian",
        "bicycle",
        "traffic light",
        "traffic sign",
    }
