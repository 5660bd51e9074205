"""docs/own_method.md as printed: a network in ONNX becomes a method, its file is in the plan, its code is shipped."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from engine_here import rows_of, run_here
from onnx import TensorProto, helper

from s2st_aug.config import load_config
from s2st_aug.engine.context import identify, method_for_workers
from s2st_aug.errors import ConfigError
from s2st_aug.images import read_image
from s2st_aug.methods.registry import METHODS, find_method, method_source
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_dataset

PAGE = Path(__file__).parents[2] / "docs/own_method.md"


def printed(title: str) -> str:
    (found,) = re.findall(rf'```\w+ title="{re.escape(title)}"\n(.*?)```', PAGE.read_text(), re.S)
    return found


def write_network(path: Path, gain: float) -> None:
    """One 1x1 convolution that darkens: y = gain x + (gain - 1), in [-1, 1]."""
    kernel = helper.make_tensor("w", TensorProto.FLOAT, (3, 3, 1, 1), (np.eye(3) * gain).ravel())
    offset = helper.make_tensor("b", TensorProto.FLOAT, (3,), [gain - 1] * 3)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3, None, None)) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])], "darken", *map(list, zip(ends)), [kernel, offset]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The page's two files in the working folder, with data of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "onnx_method", raising=False)
    Path("onnx_method.py").write_text(printed("onnx_method.py"), encoding="utf-8")
    write_network(Path("night.onnx"), 0.25)
    raw = yaml.safe_load(printed("night.yaml"))
    raw["dataset"]["root"] = str(make_dataset(tmp_path / "data", 2, size=(64, 36)))
    raw["method"]["size"] = [64, 36]
    Path("night.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    yield Path("night.yaml")
    sys.modules.pop("onnx_method", None)


def test_the_page_as_printed_makes_a_judged_run(config, tmp_path):
    run = run_here(load_config(config), tmp_path / "run")
    rows = rows_of(run)
    assert len(rows) == 2 and verify(run).findings == ()
    for row in rows.values():
        assert row["status"] != "failed" and row["method"] == "onnx_method:OnnxMethod" and row["strength"] is not None
        dark, source = (
            read_image(p).astype(float) for p in (run.image_file(row["image"]), tmp_path / "data" / row["source_image"])
        )
        assert np.abs(dark - 0.25 * source).max() <= 1


def test_a_domain_by_the_file_of_its_profile_is_called_by_its_own_name(config, repo, tmp_path):
    shutil.copyfile(repo / "s2st_aug/weights/street-mini/profiles/night.safetensors", "dark.safetensors")
    run = run_here(load_config(config, ["domains=[dark.safetensors]"]), tmp_path / "run")
    assert {row["status"] for row in rows_of(run).values()} <= {"ok", "rejected"}


def test_the_networks_bytes_are_in_the_plan(config):
    before = identify(load_config(config))
    write_network(Path("night.onnx"), 0.3)
    assert identify(load_config(config)) != before
    Path("night.onnx").unlink()
    with pytest.raises(ConfigError, match=r"^method\.networks: no file for night: night\.onnx$"):
        identify(load_config(config))


def test_a_worker_in_another_folder_finds_the_networks(config, tmp_path, monkeypatch):
    """As on a cluster that is joined: its workers do not start where the driver does."""
    told = method_for_workers(load_config(config))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    translator = find_method("onnx_method:OnnxMethod").load(told, "cpu")
    photo = np.full((36, 64, 3), 200, np.uint8)
    assert abs(translator.translate([photo], ["night"])[0]["night"].image.mean() - 50) <= 1


def test_code_that_is_not_installed_is_shipped(config, tmp_path):
    load_config(config)
    assert method_source("onnx_method:OnnxMethod") == tmp_path / "onnx_method.py"
    Path("own").mkdir()
    Path("own/__init__.py").write_text("", encoding="utf-8")
    assert method_source("own.deep.module:Method") == tmp_path / "own"
    assert [method_source(name) for name in (*METHODS, "pydantic:BaseModel", "json:Thing", "nowhere:Thing")] == [
        None
    ] * (len(METHODS) + 3)


def test_the_example_is_about_forty_lines():
    lines = [line for line in printed("onnx_method.py").splitlines() if line.strip()]
    assert len(lines) <= 42
