"""Commands in a process whose locale knows ASCII alone, over names and classes of other letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from trees import image, put

from s2st_aug.formats import load_card
from s2st_aug.testing.runs import write_run

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
OUTPUT = {"PYTHONIOENCODING": "ascii"}
ALL = """
import json, sys
from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import in_any_locale, run_group
in_any_locale()
for words in json.loads(sys.argv[1]):
    print("----", flush=True)
    print("----", file=sys.stderr, flush=True)
    print("code", run_group(build_group(), words), file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and runs of other letters: `Straße/é.jpg`, class `Fußgänger`, a reviewer, a config, references."""
    root = tmp_path_factory.mktemp("Größe")
    data = root / "Daten-é"
    put(data, "data.yaml", "train: images/train\nnames: [Auto, Fußgänger, 行人]\n".encode())
    for name in ("é", "Straße"):
        image(data, f"images/train/{name}.jpg", (48, 32))
        put(data, f"labels/train/{name}.txt", "1 0.5 0.5 0.25 0.5\n2 0.3 0.3 0.2 0.2\n")
    for run in ("Lauf-ö", "Lauf-ü"):
        write_run(root / run, load_card("yolo"), data)
    dataset = {"format": "yolo", "root": str(data), "split": "train"}
    put(root, "ä.yaml", yaml.safe_dump({"dataset": dataset, "domains": ["night"]}, allow_unicode=True).encode())
    image(root, "Bild-ñ.png", (64, 48))
    return root


def ran(place: Path, commands: list[list[str]], env: dict[str, str]) -> list[tuple[str, str]]:
    """What each command wrote to stdout and to stderr."""
    words = [sys.executable, "-c", ALL, json.dumps(commands)]
    done = subprocess.run(words, env={**os.environ, **env}, cwd=place, capture_output=True, check=False)
    out, err = (text.decode().split("----\n")[1:] for text in (done.stdout, done.stderr))
    assert len(out) == len(err) == len(commands), done.stderr.decode()
    return list(zip(out, err, strict=True))


COMMANDS = [
    "status Lauf-ö",
    "status Lauf-ö --json",
    "verify Lauf-ö",
    "verify Lauf-ö --json",
    "export Lauf-ö --format yolo --out Ausfuhr-ß",
    "config show ä.yaml",
    "config cp demo.yaml Kopie-é.yaml",
    "doctor --dataset yolo Daten-é",
    "doctor --dataset yolo Daten-é --json",
    "augment é-fehlt.yaml",
    "review pull Lauf-ö --file entschieden-é.json",
    "--help",
]
LONGER = [
    "export Lauf-ö --format coco --out Ausfuhr-coco",
    "merge Lauf-ö Lauf-ü --out Lauf-beide-ä",
    "adopt ä.yaml --variants Lauf-ö/images --dry-run",
    "augment ä.yaml --dry-run-full",
    "report Lauf-ö --review",
    "report Lauf-ö",
    "scenes Szenen-é --count 1 --format bdd100k --conditions day --size 64x48",
    "translate Bild-ñ.png --to night --method histogram --out Ergebnis-é",
    "translate Bild-ñ.png --to night --method histogram --out Ergebnis-é --json",
    "preview ä.yaml -n 1 --method histogram --out Bogen-é.png",
]


def check(place: Path, commands: list[str], env: dict[str, str]) -> None:
    """None of them ends for a letter; what is JSON stays JSON."""
    for words, (out, err) in zip(commands, ran(place, [c.split() for c in commands], env), strict=True):
        told = f"{words}\n{out}\n{err}"
        assert "Unicode" not in out + err, told
        assert "unexpected" not in err, told
        assert "Traceback" not in err, told
        if "--json" in words and out:
            json.loads(out)


def test_no_command_ends_for_letters_that_its_locale_has_not(place):
    decided = {"decisions": [{"variant_id": "0" * 40, "decision": "reject", "reviewer": "Zoë"}]}
    put(place, "entschieden-é.json", json.dumps(decided, ensure_ascii=False).encode())
    check(place, COMMANDS, ASCII)
    assert "Fußgänger" in (place / "Ausfuhr-ß/data.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_longer_command_ends_so(place):
    check(place, LONGER, ASCII)


def test_no_command_ends_for_letters_that_its_output_has_not(place):
    check(place, [c for c in COMMANDS if c.split()[0] in ("status", "verify", "config", "doctor")], OUTPUT)


def test_the_command_itself_starts_again_in_utf_8(place):
    words = [sys.executable, "-c", "from s2st_aug.cli import main; main()", "doctor", "--dataset", "yolo", "Daten-é"]
    done = subprocess.run(words, env={**os.environ, **ASCII}, cwd=place, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 scenes" in done.stdout.decode("ascii"), done.stdout
