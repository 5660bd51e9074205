"""The small detector of invented objects: an anchor-free convolution pyramid over a source and a picture of its street,
its loss, and its ONNX file, whose output has the form of YOLOv8's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from s2st_aug.errors import MissingDependency
from s2st_aug.images import LUMA
from s2st_aug.training.detector_data import NAMES, SIZE

STRIDES = (4, 8, 16)
LARGEST = (28.0, 64.0, float("inf"))  # px of the longer side that each level is answerable for
WIDTHS = (16, 32, 48, 64, 96)
NECK = 48
REACH = 0.9  # cells from an object's middle, along each axis, that must find it
PRIOR = -4.0  # logit that every class starts from
WINDOW, FAINT = 15, 0.02  # px of the neighbourhood that luma is compared with, and a contrast that is none


def _conv(a: int, b: int, *, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, side, stride, side // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


def _head() -> nn.Conv2d:
    """Starts from boxes of a few cells and from finding nothing."""
    head = nn.Conv2d(NECK, 4 + 2 * len(NAMES), 1)
    nn.init.normal_(head.weight, std=0.01)
    head.bias = nn.Parameter(torch.tensor([0.0, 0.0, 1.0, 1.0, *[PRIOR] * 2 * len(NAMES)]))
    return head


def with_contrast(image: torch.Tensor) -> torch.Tensor:
    """RGB and a fourth channel, `b 4 h w`: luma less its mean around, over its spread there, alike by night and day."""
    luma = (image * torch.from_numpy(LUMA).to(image).reshape(3, 1, 1)).sum(1, keepdim=True)
    mean, square = (F.avg_pool2d(x, WINDOW, 1, WINDOW // 2, count_include_pad=False) for x in (luma, luma * luma))
    spread = (square - mean * mean).clamp_min(0) + FAINT**2
    return torch.cat([image, (luma - mean) / spread.sqrt()], 1)


class StreetDetector(nn.Module):
    """Source and picture, RGB in 0..1, `b 6 192 320`, to `b (4 + 2 classes) cells` in logits: middle offset and log
    size in strides, then for each class whether the picture alone shows such a thing, then whether it shows one at all.

    The last ones are there to learn from: few things are new, many are there.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.stem = nn.Sequential(_conv(4, a, stride=2), _conv(a, b, stride=2))
        self.fine = nn.Sequential(_conv(3 * b, c), _conv(c, c), _conv(c, c))
        self.middle = nn.Sequential(_conv(c, d, stride=2), _conv(d, d), _conv(d, d))
        self.coarse = nn.Sequential(_conv(d, e, stride=2), _conv(e, e), _conv(e, e))
        self.sides = nn.ModuleList(_conv(n, NECK, side=1) for n in (c, d, e))
        self.necks = nn.ModuleList(_conv(NECK, NECK) for _ in STRIDES)
        self.heads = nn.ModuleList(_head() for _ in STRIDES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Raw answers of all cells, fine level first."""
        before, after = self.stem(torch.cat([with_contrast(part) for part in x.chunk(2, 1)])).chunk(2)
        fine = self.fine(torch.cat([before, after, after - before], 1))
        middle = self.middle(fine)
        levels = [side(f) for side, f in zip(self.sides, (fine, middle, self.coarse(middle)), strict=True)]
        levels[1] = levels[1] + F.interpolate(levels[2], scale_factor=2.0)
        levels[0] = levels[0] + F.interpolate(levels[1], scale_factor=2.0)
        out = [head(neck(f)).flatten(2) for head, neck, f in zip(self.heads, self.necks, levels, strict=True)]
        return torch.cat(out, 2)


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Middle of every cell, `2 cells` in pixels, and its stride, `1 cells`."""
    parts = [
        (torch.stack(torch.meshgrid(torch.arange(SIZE[0] // s), torch.arange(SIZE[1] // s), indexing="xy")), s)
        for s in STRIDES
    ]
    middles = [(g.reshape(2, -1).float() + 0.5) * s for g, s in parts]
    return torch.cat(middles, 1), torch.cat(
        [torch.full((1, m.shape[1]), float(s)) for m, (_, s) in zip(middles, parts, strict=True)], 1
    )


def boxes_of(raw: torch.Tensor) -> torch.Tensor:
    """cx cy w h in pixels, `b 4 cells`, from raw answers."""
    middles, stride = grid()
    return torch.cat([middles + raw[:, :2] * stride, raw[:, 2:4].clamp(-3, 5).exp() * stride], 1)


def targets(
    boxes: np.ndarray, classes: np.ndarray, sure: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each cell the object that it must find (-1: none), and whether it counts, then boxes `n 4` cx cy w h.

    A cell belongs to the smallest object whose middle is within REACH cells on the object's own level; cells inside of
    objects that need not be found, or that belong to another level, count for nothing where they find something.
    """
    (mx, my), stride = (t.numpy() for t in grid())
    owner, counts, size = np.full(len(mx), -1), np.ones(len(mx), bool), np.full(len(mx), np.inf)
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for n in range(len(boxes)):
        level = STRIDES[next(i for i, most in enumerate(LARGEST) if sides[n].max() <= most)]
        near = (np.abs(mx - middle[n, 0]) < REACH * stride[0]) & (np.abs(my - middle[n, 1]) < REACH * stride[0])
        if not sure[n]:
            counts &= ~(
                (mx > boxes[n, 0] - 2) & (mx < boxes[n, 2] + 2) & (my > boxes[n, 1] - 2) & (my < boxes[n, 3] + 2)
            )
            continue
        mine = near & (stride[0] == level) & (sides[n].prod() < size)
        owner[mine], size[mine] = n, sides[n].prod()
        counts &= ~(near & (stride[0] != level)) | (owner >= 0)
    counts |= owner >= 0
    return (
        torch.from_numpy(owner),
        torch.from_numpy(counts),
        torch.from_numpy(np.concatenate([middle, sides], 1).astype(np.float32)),
    )


def detection_loss(
    raw: torch.Tensor, wanted: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
) -> torch.Tensor:
    """Focal loss of the classes and 1 - GIoU of the boxes, over the number of cells that must find something.

    `wanted` is of each picture: boxes `n 4` xyxy, classes `n`, whether each must be found `n`, whether it is new `n`.
    """
    boxes, total, found = boxes_of(raw), raw.new_zeros(()), 0
    for n, (corners, classes, sure, new) in enumerate(wanted):
        owner, counts, truth = targets(corners, classes, sure)
        mine = owner >= 0
        goal = torch.zeros_like(raw[n, 4:])
        if mine.any():
            number, is_new = (torch.from_numpy(v)[owner[mine]] for v in (classes, new))
            at = torch.nonzero(mine)[:, 0]
            goal[len(NAMES) + number, at] = 1.0
            goal[number[is_new], at[is_new]] = 1.0
            total = total + 2 * (1 - _giou(boxes[n][:, mine].T, truth[owner[mine]])).sum()
        total = total + (_focal(raw[n, 4:], goal) * counts).sum()
        found += int(mine.sum())
    return total / max(found, 1)


def _focal(logits: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    p = logits.sigmoid()
    weight = torch.where(goal > 0.5, 0.4 * (1 - p) ** 2, 0.6 * p**2)
    return 2.5 * weight * F.binary_cross_entropy_with_logits(logits, goal, reduction="none")


def _giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Generalised IoU of boxes `n 4` in cx cy w h."""
    a1, a2, b1, b2 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2, b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    shared = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp_min(0).prod(1)
    whole = a[:, 2:].prod(1) + b[:, 2:].prod(1) - shared
    hull = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).prod(1)
    return shared / whole.clamp_min(1e-6) - (hull - whole) / hull.clamp_min(1e-6)


class _Graph:
    """An ONNX graph written by hand: no exporter, no tracing, nothing but standard operators."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One node; returns the name of its output."""
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """A constant; returns its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> str:
        """A convolution with the normalisation behind it folded into its weights."""
        weight, bias = conv.weight.detach(), torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        if norm is not None:
            assert norm.running_var is not None and norm.running_mean is not None
            scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
            weight, bias = weight * scale[:, None, None, None], norm.bias.detach() + (bias - norm.running_mean) * scale
        side, stride = conv.kernel_size[0], conv.stride[0]
        names = [x, self.constant(weight.float().numpy()), self.constant(bias.float().numpy())]
        return self.add("Conv", names, kernel_shape=[side, side], strides=[stride, stride], pads=[side // 2] * 4)

    def split(self, x: str, parts: int, axis: int = 1, sizes: Sequence[int] | None = None) -> list[str]:
        """The parts of a tensor along an axis, of equal sizes or of those given; returns their names."""
        from onnx import helper

        names = [f"v{len(self.nodes)}p{n}" for n in range(parts)]
        inputs = [x] if sizes is None else [x, self.constant(np.array(sizes, np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, names, axis=axis))
        return names

    def block(self, x: str, block: nn.Module) -> str:
        """What `_conv` makes, or a sequence of it."""
        parts = list(block.children())
        if isinstance(parts[0], nn.Conv2d):
            return self.add(
                "Relu", [self.conv(x, parts[0], parts[1] if isinstance(parts[1], nn.BatchNorm2d) else None)]
            )
        for part in parts:
            x = self.block(x, part)
        return x


def write_onnx(net: StreetDetector, path: Path, about: str) -> None:
    """The detector as an ONNX file with YOLOv8's output (`4 + classes` by cells: cx cy w h in pixels, then
    probabilities).

    Its input is twice as wide and high as the network's and is halved first: YOLO's strides then are the file's.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingDependency("writing the detector needs onnx: pip install 's2st-aug[dev]'") from error
    graph = _Graph()
    _finished(graph, _raw(graph, net.eval()))
    cells = grid()[0].shape[1]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 6, 2 * SIZE[1], 2 * SIZE[0]])
    output = helper.make_tensor_value_info(graph.nodes[-1].output[0], TensorProto.FLOAT, [1, 4 + len(NAMES), cells])
    whole = helper.make_graph(graph.nodes, "street-mini-detector", [image], [output], graph.constants)
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="s2st_aug"
    )
    helper.set_model_props(model, {"names": str(dict(enumerate(NAMES))), "licence": "Apache-2.0", "about": about})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _raw(graph: _Graph, net: StreetDetector) -> str:
    half = graph.add("AveragePool", ["images"], kernel_shape=[2, 2], strides=[2, 2])
    before, after = graph.split(half, 2)
    features = [graph.block(_contrast(graph, part), net.stem) for part in (before, after)]
    joined = graph.add("Concat", [*features, graph.add("Sub", [features[1], features[0]])], axis=1)
    fine = graph.block(joined, net.fine)
    middle = graph.block(fine, net.middle)
    levels = [
        graph.block(f, side) for f, side in zip((fine, middle, graph.block(middle, net.coarse)), net.sides, strict=True)
    ]
    twice = graph.constant(np.array([1, 1, 2, 2], np.float32))
    for n in (1, 0):
        larger = graph.add(
            "Resize",
            [levels[n + 1], "", twice],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        levels[n] = graph.add("Add", [levels[n], larger])
    shape = graph.constant(np.array([1, 4 + 2 * len(NAMES), -1], np.int64))
    flat = []
    for level, neck, head in zip(levels, net.necks, net.heads, strict=True):
        assert isinstance(head, nn.Conv2d)
        flat.append(graph.add("Reshape", [graph.conv(graph.block(level, neck), head, None), shape]))
    return graph.add("Concat", flat, axis=2)


def _contrast(graph: _Graph, image: str) -> str:
    """What `with_contrast` makes."""
    weights = graph.constant(LUMA.reshape(1, 3, 1, 1))
    luma = graph.add("Conv", [image, weights], kernel_shape=[1, 1])
    around = {"kernel_shape": [WINDOW, WINDOW], "strides": [1, 1], "pads": [WINDOW // 2] * 4}
    mean = graph.add("AveragePool", [luma], **around)
    square = graph.add("AveragePool", [graph.add("Mul", [luma, luma])], **around)
    spread = graph.add("Sub", [square, graph.add("Mul", [mean, mean])])
    least, faint = (graph.constant(np.array(v, np.float32)) for v in (0, FAINT**2))
    spread = graph.add("Sqrt", [graph.add("Add", [graph.add("Max", [spread, least]), faint])])
    contrast = graph.add("Div", [graph.add("Sub", [luma, mean]), spread])
    return graph.add("Concat", [image, contrast], axis=1)


def _finished(graph: _Graph, raw: str) -> str:
    """Pixels of the file's input, and probabilities, from raw answers."""
    middles, stride = (2 * t.numpy()[None] for t in grid())
    offset, size, logits, _ = graph.split(raw, 4, sizes=[2, 2, len(NAMES), len(NAMES)])
    by = graph.constant(stride)
    middle = graph.add("Add", [graph.add("Mul", [offset, by]), graph.constant(middles)])
    limits = [graph.constant(np.array(v, np.float32)) for v in (-3, 5)]
    sides = graph.add("Mul", [graph.add("Exp", [graph.add("Clip", [size, *limits])]), by])
    return graph.add("Concat", [middle, sides, graph.add("Sigmoid", [logits])], axis=1)
