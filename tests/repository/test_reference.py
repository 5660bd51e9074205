"""The reference pages hold every option, key, column, word and exit code of the code, each with its meaning."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).parents[2]
PAGES = ("commands", "config", "run_folder", "promises")


@pytest.fixture(scope="module")
def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    assert spec is not None and spec.loader is not None
    before, module = list(sys.path), importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.fixture(scope="module")
def tables(hooks: ModuleType) -> Any:
    return hooks.reference


@pytest.fixture(scope="module")
def pages(hooks: ModuleType) -> dict[str, str]:
    return {n: hooks.on_page_markdown((ROOT / f"docs/reference/{n}.md").read_text()) for n in PAGES}


def cells(page: str) -> list[list[str]]:
    """Every row of every table of a page that has a head of `what` or `means`; the head's own words first."""
    rows, head = [], []
    for line in page.splitlines():
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] if line.startswith("|") else []
        if not row:
            head = []
        elif not head:
            head = row
        elif set(line) - set("|-"):
            rows.append([f"{name}: {cell}" for name, cell in zip(head, row, strict=True)])
    return rows


def keys_of(record: type[BaseModel]) -> set[str]:
    """Names of a record's keys and of those within."""
    found = set()
    for name, field in record.model_fields.items():
        inside = [k for k in flat(field.annotation) if isinstance(k, type) and issubclass(k, BaseModel)]
        found |= {key for kind in inside for key in keys_of(kind)} if inside else {name}
    return found


def flat(kind: Any) -> list[Any]:
    return [kind, *(inner for a in get_args(kind) for inner in flat(a))]


def test_every_argument_and_option_of_every_command_is_listed(pages, tables):
    from s2st_aug.cli import COMMANDS

    for name in COMMANDS:
        part = pages["commands"].partition(f"## s2st-aug {name} {{")[2].partition("\n## ")[0]
        for parameter in tables.find_command(name).params:
            if not getattr(parameter, "hidden", False):
                words = [tables.metavar(parameter).strip("[]")] if tables.is_argument(parameter) else parameter.opts
                assert any(re.search(rf"\| `[^`]*{re.escape(word)}", part) for word in words), f"{name} {words}"


@pytest.mark.parametrize("page", PAGES)
def test_no_cell_that_explains_is_empty(pages, page):
    empty = [
        row for row in cells(pages[page]) if any(re.match(r"(what|means|type|value|key|column): *$", c) for c in row)
    ]
    assert empty == []


def test_every_key_of_every_kind_of_config_is_listed(pages, tables):
    for place in tables.CONFIGS.values():
        for key in keys_of(tables.find(place)) - {"settings", "rng_key"}:
            assert re.search(rf"\| `(?:[\w.\[\]]+\.)?{key}`", pages["config"]), f"{place[1]}: {key}"


def test_every_setting_of_every_method_is_listed(pages):
    from s2st_aug.methods import METHODS, find_method

    for name in METHODS:
        for key in find_method(name).settings.model_fields:
            assert f"| `method.{key}` |" in pages["config"], f"{name}: {key}"


def test_every_column_and_word_is_listed(pages, tables):
    from s2st_aug.errors import FailureKind
    from s2st_aug.records import verdicts

    for place in (*tables.COLUMNS.values(), *tables.RECORDS.values()):
        for field in dataclasses.fields(tables.find(place)):
            assert f"| `{field.name}` |" in pages["run_folder"], f"{place[1]}: {field.name}"
    kinds = ("VerdictKind", "Status", "Cause", "Gate", "StructureNull", "StrengthNull")
    for kind in (FailureKind, *(getattr(verdicts, name) for name in kinds)):
        assert {word for word in get_args(kind) if f"| `{word}` |" not in pages["run_folder"]} == set()


def test_every_exit_code_and_error_is_listed(pages):
    from s2st_aug import errors

    for name, code in vars(errors).items():
        if name.startswith("EXIT_"):
            assert re.search(rf"^\| {code} \| \w", pages["commands"], re.M), name
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.S2STError)]
    assert [e.__name__ for e in found if f"`{e.__name__}`" not in pages["commands"]] == []


def test_every_variable_of_the_environment_is_listed(tables):
    code = "\n".join(p.read_text() for p in (ROOT / "s2st_aug").rglob("*.py"))
    read = set(re.findall(r"environ\.get\(\"(\w+)\"", code)) | {
        m[1]
        for name in re.findall(r"environ\.get\(([A-Z]\w*)\)", code)
        if (m := re.search(rf'^{name} = "(\w+)"', code, re.M))
    }
    others = {name for name in read if name.startswith(("RAY_", "HF_", "FIFTYONE_", "S2ST_FAKE_"))}
    assert read - others == tables.ENVIRONMENT.keys() - {"RAY_ADDRESS"}


def test_no_marker_is_left_and_none_is_made_for_nothing(hooks):
    texts = {p: p.read_text() for p in (ROOT / "docs").rglob("*.md")}
    used = {name for text in texts.values() for name, _ in hooks.MARKER.findall(text)}
    assert hooks.TABLES.keys() <= used
    for page in PAGES:
        left = hooks.MARKER.findall(hooks.on_page_markdown(texts[ROOT / f"docs/reference/{page}.md"]))
        assert left == [], page


class Unsaid(BaseModel):
    steps: int = 3


class Unmeasured(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)
    steps: int = 3
    """how many"""


@pytest.mark.parametrize(("record", "missing"), [(Unsaid, "no description"), (Unmeasured, "does not end in")])
def test_a_key_without_meaning_or_unit_stops_the_docs(tables, record, missing):
    with pytest.raises(KeyError, match=missing):
        list(tables.fields(record))


def test_an_option_without_help_stops_the_docs(tables, monkeypatch):
    from s2st_aug.cli import verify

    monkeypatch.setitem(verify.verify.__annotations__, "repair", "bool")
    (unsaid,) = (p for p in tables.find_command("verify").params if p.name == "repair")
    with pytest.raises(KeyError, match="--repair"):
        tables.option_row(unsaid)
