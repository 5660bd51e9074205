"""How much of a label survives an export to its own format, judged by another reader.

Numbers are compared by their text, keys in their order.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from s2st_aug.export import export_run
from s2st_aug.formats import load_card
from s2st_aug.testing.runs import write_run
from s2st_aug.testing.trees import VARIETIES

_ODD = (
    "-0.0",
    "1e-17",
    "NaN",
    "123456789012345678901234567890",
    "1.50",
    "2E+3",
    '"\\u00e9\\/"',
    '"Stra\u00dfe \u5730\u56fe \U0001f6a6"',
    "null",
    "[[[]]]",
    '{"a": {"a": -0}}',
    '""',
)
_SIZE = (16, 12)


def measure(name: str, folder: Path, records: int) -> tuple[int, int]:
    """Records kept whole and records exported (real ones and variants)."""
    rng = random.Random(f"lossless/{name}")
    sources = _WRITERS[name](folder / "data", records, rng)
    write_run(folder / "run", load_card(name), folder / "data", VARIETIES[name].split)
    export_run(folder / "run", name, folder / "out")
    return _READERS[name](folder, sources)


def _image(path: Path) -> None:

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", _SIZE).save(path)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def _unknown(rng: random.Random) -> str:
    return "".join(f', "x{i}": {rng.choice(_ODD)}' for i in range(rng.randint(0, 4)))


def _spelt(text: str) -> Any:
    """JSON with every number as its text and every object as its pairs."""
    return json.loads(
        text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=lambda pairs: [("object", *pairs)]
    )


def _without(value: Any, names: frozenset[str]) -> Any:
    """A spelt object without some members."""
    return [pair for pair in value[0] if pair == "object" or pair[0] not in names]


def _bdd100k(root: Path, records: int, rng: random.Random) -> list[str]:
    frames = []
    for index in range(records):
        labels = [
            f'{{"id": "{k}", "category": "car"{_unknown(rng)}, "box2d": {{"x1": 1.0, "y1": -0.0, "x2": 9, "y2": 9}}}}'
            for k in range(rng.randint(0, 5))
        ]
        attributes = f'{{"weather": "clear", "timeofday": "daytime"{_unknown(rng)}}}'
        space = rng.choice(["", " ", "\n\t"])
        frames.append(
            f'{{{space}"name": "{index}.png"{_unknown(rng)},{space}"attributes": {attributes}, '
            f'"labels": [{", ".join(labels)}]}}'
        )
        _image(root / f"images/100k/train/{index}.png")
    _put(root / "labels/det_20/det_train.json", "[" + ",".join(frames) + "]")
    return frames


def _read_bdd100k(folder: Path, sources: list[str]) -> tuple[int, int]:
    text = (folder / "out/labels/det_20/det_train.json").read_bytes().decode()
    kept = sum(source in text for source in sources)  # the real records, byte for byte
    changed = frozenset({"name", "attributes"})
    for source, variant in zip(sources, _spelt(text)[1::2], strict=True):
        before = _spelt(source)
        own, other = (next(p for p in v[0] if p[0] == "attributes")[1] for v in (before, variant))
        attributes = _without(other, frozenset({"timeofday", "timeofday_source"})) == _without(
            own, frozenset({"timeofday"})
        )
        kept += attributes and _without(before, changed) == _without(variant, changed)
    return kept, 2 * len(sources)


def _coco(root: Path, records: int, rng: random.Random) -> list[str]:
    images, annotations = [], []
    for index in range(records):
        images.append(f'{{"id": {index + 1}, "file_name": "{index}.png"{_unknown(rng)}}}')
        box = rng.choice(["[1, 2, 3.0, 4]", "[1.50, 2, 3, 1e0]"])
        annotations.append(
            f'{{"id": {index + 1}, "image_id": {index + 1}, "category_id": 1, "bbox": {box}{_unknown(rng)}}}'
        )
        _image(root / f"train2017/{index}.png")
    lists = f'"images": [{", ".join(images)}], "annotations": [{", ".join(annotations)}]'
    _put(
        root / "annotations/instances_train2017.json",
        f'{{{lists}, "categories": [{{"id": 1, "name": "car"}}], "info": {{"x": -0.0}}}}',
    )
    return images + annotations


def _read_coco(folder: Path, sources: list[str]) -> tuple[int, int]:
    text = (folder / "out/annotations/instances_train2017.json").read_bytes().decode()
    kept = sum(source in text for source in sources)
    members = dict(_spelt(text)[0][1:])
    count = len(sources) // 2
    changed = frozenset({"id", "file_name", "image_id"})
    variants = members["images"][count:] + members["annotations"][count:]
    kept += sum(
        _without(_spelt(source), changed) == _without(variant, changed)
        for source, variant in zip(sources, variants, strict=True)
    )
    return kept, 2 * len(sources)


def _cityscapes(root: Path, records: int, rng: random.Random) -> list[str]:
    for index in range(records):
        base = f"bonn/bonn_{index:06d}_000001"
        polygons = [
            f'{{"label": "car", "polygon": [[0, 0], [4.50, -0.0], [4, 9]]{_unknown(rng)}}}'
            for _ in range(rng.randint(0, 4))
        ]
        _put(
            root / f"gtFine/train/{base}_gtFine_polygons.json",
            f'{{"imgHeight": 12{_unknown(rng)}, "objects": [{", ".join(polygons)}]}}',
        )
        _put(root / f"camera/train/{base}_camera.json", f'{{"a": 1{_unknown(rng)}}}')
        _image(root / f"leftImg8bit/train/{base}_leftImg8bit.png")
        _image(root / f"gtFine/train/{base}_gtFine_color.png")
    return ["gtFine", "camera"]


def _yolo(root: Path, records: int, rng: random.Random) -> list[str]:
    for index in range(records):
        lines = [f"0 0.50 {rng.random()} 1e-17 .25{rng.choice(['', ' '])}" for _ in range(rng.randint(0, 4))]
        _put(root / f"labels/train/{index}.txt", rng.choice(["\n", "\r\n"]).join(lines))
        _image(root / f"images/train/{index}.png")
    _put(root / "data.yaml", "train: images/train\nval: images/val\nnames: [car]\n")
    return ["labels"]


def _kitti(root: Path, records: int, rng: random.Random) -> list[str]:
    for index in range(records):
        lines = [f"Car -0.0 0 1e-17 1.00 {rng.random()} 30 15 1.5 1.6 3.9 1 2 3 0.10" for _ in range(rng.randint(0, 4))]
        _put(root / f"training/label_2/{index:06d}.txt", rng.choice(["\n", "\r\n"]).join(lines))
        _put(root / f"training/calib/{index:06d}.txt", f"P0: {rng.random()}\n")
        _image(root / f"training/image_2/{index:06d}.png")
    return ["training/label_2", "training/calib"]


def _read_files(folder: Path, sources: list[str]) -> tuple[int, int]:
    """Whole files: the source's and its variant's bytes are the same."""
    kept = total = 0
    for part in sources:
        for path in sorted(p for p in (folder / "data" / part).rglob("*") if p.is_file()):
            name = path.relative_to(folder / "data").as_posix()
            for other in (name, _marked(name)):
                target = folder / "out" / other
                total += 1
                kept += target.is_file() and target.read_bytes() == path.read_bytes()
    return kept, total


def _marked(name: str) -> str:
    if "bonn_" in name:
        return re.sub(r"_(gtFine|camera)(?=[_.])", r"-night_\1", name)
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}__night{dot}{suffix}"


_WRITERS: dict[str, Callable[[Path, int, random.Random], list[str]]] = {
    "bdd100k": _bdd100k,
    "cityscapes": _cityscapes,
    "coco": _coco,
    "yolo": _yolo,
    "kitti": _kitti,
}
_READERS: dict[str, Callable[[Path, list[str]], tuple[int, int]]] = {
    "bdd100k": _read_bdd100k,
    "cityscapes": _read_files,
    "coco": _read_coco,
    "yolo": _read_files,
    "kitti": _read_files,
}
