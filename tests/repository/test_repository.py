"""The repository itself: every YAML loads, layers hold, scripts are thin, figures are explained, the API is pinned."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

import benchmarks
import s2st_aug
from benchmarks import NOT_YET, SUITES, run_suite, write_figures
from benchmarks.figure import Figure, measured, undecided

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".git", "runs", "site", "checkpoints", "dist", "build"}
PIPELINES = (
    "augment",
    "build_domain",
    "review",
    "export",
    "report",
    "gain",
    "train_street_mini",
    "train_aligned",
    "ablate",
    "benchmark",
)


def files(*suffixes: str) -> list[Path]:
    found = (p for s in suffixes for p in ROOT.rglob(f"*{s}"))
    return sorted(p for p in found if not SKIPPED & set(p.relative_to(ROOT).parts))


def load_yaml_of_its_kind(path: Path) -> object:
    """Every YAML through the loader that users meet."""
    place = path.relative_to(ROOT)
    if place.parts[0] == "datasets":
        from s2st_aug.formats import load_card

        return load_card(path)
    if place.parts[:2] == ("configs", "cluster") or place.parts[0] != "configs":
        return list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Plain))
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if place.name.startswith("gain"):
        from s2st_aug.gain.config import load_config as load_gain

        return load_gain(path)
    if place.name.startswith("train"):
        from s2st_aug.training.recipe import read_training_config

        return read_training_config(path)
    if place.name.startswith("aligned"):
        from s2st_aug.training.aligned_recipe import read_aligned_config

        return read_aligned_config(path)
    if place.name.startswith("domains"):
        from s2st_aug.profiles.recipe import read_recipe

        return read_recipe(path)
    if "dataset" in raw:
        from s2st_aug.config import load_config

        return load_config(path)
    return raw


class _Plain(yaml.SafeLoader):
    """mkdocs.yml names Python objects; here they are only text."""


_Plain.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
_Plain.add_multi_constructor("!", lambda loader, suffix, node: suffix)


SOUND = [path for path in files(".yaml", ".yml") if "cases" not in path.parts]  # users' inputs may be anything


@pytest.mark.parametrize("path", SOUND, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_yaml_loads(path: Path, named_photos: None) -> None:
    assert load_yaml_of_its_kind(path)


def test_folders_of_files_are_no_packages() -> None:
    assert [d for d in ("datasets", "pipelines", "configs", "tests") if (ROOT / d / "__init__.py").exists()] == []


def test_layers_and_doors_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_are_there_thin_and_imported_by_nothing(name: str) -> None:
    path = ROOT / f"pipelines/{name}.py"
    assert len(path.read_text().splitlines()) <= 90
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_nothing_imports_the_pipelines() -> None:
    assert [p for p in files(".py") if re.search(r"^\s*(from|import) pipelines\b", p.read_text(), re.M)] == []


def test_the_library_does_not_print_or_leave_work_behind() -> None:
    for path in (p for p in files(".py") if p.is_relative_to(ROOT / "s2st_aug")):
        assert not re.search(r"#\s*(TODO|FIXME|XXX)\b", path.read_text()), path
        assert path.stem != "utils", path


def goals_of(words: str) -> object:
    """A goal as the page writes it: `at least 8 s`, `0.9 to 1.25`, `none`."""
    numbers = [float(n) for n in re.findall(r"[\d.]+(?:e-?\d+)?", words.partition("(")[0].partition(",")[0])]
    return None if words == "none" else tuple(numbers) if " to " in words else numbers[0]


def test_every_figure_is_explained_with_its_goal() -> None:
    page = (ROOT / "docs/reference/figures.md").read_text()
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    assert list(parts) == list(SUITES)
    for suite, names in SUITES.items():
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", parts[suite], re.M)
        assert [(name, goals_of(words)) for name, words in rows] == [(name, goal) for name, (goal, _) in names.items()]


def test_what_is_not_measured_yet_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.importlib, "import_module", lambda name: types.SimpleNamespace(run=lambda quick: ()))
    for suite, names in SUITES.items():
        found = {f.name: f for f in run_suite(suite, quick=True)}
        assert list(found) == list(names)
        for name in names.keys() & NOT_YET.keys():
            assert found[name].holds is None
            assert found[name].why.startswith("not measured yet: ")
    assert {name for names in SUITES.values() for name in names} >= NOT_YET.keys()


def test_a_suite_that_breaks_off_keeps_what_it_had_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(*, quick: bool):
        assert quick
        yield measured("scenes_per_second", 9.0, "1/s", 8.0, "at_least", n=5, interval=(float("nan"), 9.5))
        yield undecided("extra", "x", None, "reported beside the others")
        raise ValueError("out of\nscenes")

    monkeypatch.setattr(benchmarks.importlib, "import_module", lambda name: types.SimpleNamespace(run=run))
    figures = run_suite("scenes", quick=True)
    assert [f.name for f in figures] == [*SUITES["scenes"], "extra"]
    assert figures[0].holds is True
    assert figures[1].holds is None
    assert "ValueError: out of scenes" in figures[1].why
    write_figures(figures, tmp_path / "x.json")
    stored = json.loads((tmp_path / "x.json").read_text())
    assert set(stored[0]) == {"name", "value", "unit", "goal", "holds", "n", "interval", "why"}
    assert stored[0]["interval"] is None


@pytest.mark.parametrize(
    ("value", "direction", "holds"),
    [
        (1.0, "at_least", True),
        (1.0, "at_most", True),
        (1.0, "below", False),
        (0.9, "at_least", False),
        (1.0, "within", True),
        (1.2, "within", True),
        (1.3, "within", False),
        (0.9, "within", False),
        (float("nan"), "at_most", None),
    ],
)
def test_figures_are_judged_against_their_goal(value: float, direction, holds: bool | None) -> None:
    figure = measured("x", value, "u", (1.0, 1.25) if direction == "within" else 1.0, direction, n=1)
    assert isinstance(figure, Figure)
    assert figure.holds is holds
    assert holds is not None or "nan" in figure.why


def test_the_benchmark_script_refuses_an_unknown_suite() -> None:
    script = [sys.executable, str(ROOT / "pipelines/benchmark.py"), "--suite", "speed", "--json", "/tmp/x.json"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'speed'" in done.stderr


def test_importing_the_package_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import s2st_aug; s = time.perf_counter() - t;"
        "heavy = {'torch', 'numpy', 'ray', 'cv2', 'fiftyone', 'diffusers', 'transformers'};"
        "print(s, *sorted(heavy & set(sys.modules)))"
    )
    spent = []
    for _ in range(3):
        seconds, *heavy = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        assert heavy == []
        spent.append(float(seconds))
    assert min(spent) < 0.3


def test_driver_and_workers_of_a_method_without_a_network_do_without_torch() -> None:
    """It took a second of each process's start, and every one of a run's workers is a process."""
    code = (
        "import sys, s2st_aug.engine.augment, s2st_aug.engine.engine, s2st_aug.testing.methods;"
        "print(*({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


PINNED = {
    "translate": ["photo", "to", "model", "preset", "rng_key", "device"],
    "augment": ["config", "run", "changes", "on_progress", "options"],
    "validate": ["source", "variant", "labels", "domain", "model", "thresholds"],
    "export": ["run", "format", "out", "options", "more"],
    "export_run": ["run", "format", "out", "options", "more"],
    "adopt": ["config", "variants", "run", "pattern", "made_by", "note", "options"],
    "load_translator": ["domains", "model", "preset", "overrides", "device"],
    "open_run": ["place"],
    "Translator.__init__": ["self", "model", "profiles", "settings"],
    "Translator.translate": ["self", "photos", "domains", "objects", "keys"],
    "Run.rows": ["self", "domain", "status"],
    "Run.image": ["self", "row"],
    "Run.source": ["self", "row"],
    "Run.decisions": ["self"],
}


@pytest.mark.parametrize("name", PINNED)
def test_the_public_api_is_pinned(name: str) -> None:
    first, _, method = name.partition(".")
    found = getattr(s2st_aug, first)
    found = getattr(found, method) if method else found
    assert list(inspect.signature(found).parameters) == PINNED[name]
    assert inspect.getdoc(found) or method == "__init__"


def test_the_public_names_are_these() -> None:
    names = ["Run", "Translator", "__version__", "adopt", "augment", "export", "export_run", "load_translator"]
    assert dir(s2st_aug) == sorted([*names, "open_run", "translate", "validate"])
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = s2st_aug.nothing
    assert (ROOT / "s2st_aug/py.typed").is_file()


def test_the_version_is_one() -> None:
    assert f'version = "{s2st_aug.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_shapes_are_checked_in_tests() -> None:
    import numpy as np

    from s2st_aug.images import luma

    with pytest.raises(Exception, match="Type-check error"):
        luma(np.zeros((4, 4), np.uint8))
