"""Paths out of a run folder's files never leave it: whatever a manifest, plan or link says, each command keeps away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_here import run_here

from s2st_aug.cli import main
from s2st_aug.config import AugmentConfig
from s2st_aug.engine.context import identify
from s2st_aug.engine.options import Options
from s2st_aug.engine.refusals import refuse
from s2st_aug.errors import RunFolderError
from s2st_aug.feed.entries import open_feed
from s2st_aug.images import encode_png, sha256_file
from s2st_aug.review.sources import read_review_scenes
from s2st_aug.storage.plan import plan_files, read_plan, table_to_batches
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.view import open_run
from s2st_aug.testing.datasets import make_config, make_dataset

SECRET = encode_png(np.full((32, 48, 3), 99, np.uint8))


def call(*words: object) -> int:
    """The exit code of `s2st-aug WORDS`."""
    with pytest.raises(SystemExit) as end:
        main([str(w) for w in words])
    return int(end.value.code or 0)


class Place:
    """A finished run twice, and beside it a folder of somebody else's that must stay as it is."""

    def __init__(self, base: Path, template: Path) -> None:
        shutil.copytree(template, base, dirs_exist_ok=True)
        info = json.loads((base / "run/run.json").read_text())
        (base / "run/run.json").write_text(json.dumps({**info, "dataset_root": str(base / "data")}))
        shutil.copytree(base / "run", base / "twin")
        self.config = _config(base)
        self.run, self.twin = RunFolder(base / "run"), RunFolder(base / "twin")
        self.others = base / "others"
        self.others.mkdir()
        (self.others / "x.png").write_bytes(SECRET)
        self.out = base / "out"

    def rewrite(self, **columns: object) -> None:
        """The first row of the manifest with other values."""
        for name in self.run.manifest_parts():
            path = self.run.path / name
            table = pq.read_table(path)
            for column, value in columns.items():
                at = table.schema.get_field_index(column)
                values = [value, *table[column].to_pylist()[1:]]
                table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
            pq.write_table(table, path)

    def first(self) -> Path:
        """The image of the manifest's first row."""
        return self.run.path / self.run.read_manifest(["image"])["image"][0].as_py()


def _config(base: Path) -> AugmentConfig:
    return make_config(base / "data", domains=["night"], cluster={"batch_size": 1})


def absolute(place: Place) -> None:
    place.rewrite(image=str(place.others / "x.png"), image_sha256=sha256_file(place.others / "x.png"))


def climbing(place: Place) -> None:
    place.rewrite(image="images/../../others/x.png", image_sha256=sha256_file(place.others / "x.png"))


def source(place: Place) -> None:
    place.rewrite(source_image="../others/x.png", source_sha256=sha256_file(place.others / "x.png"))


def linked_file(place: Place) -> None:
    image = place.first()
    image.unlink()
    image.symlink_to(place.others / "x.png")
    place.rewrite(image_sha256=sha256_file(place.others / "x.png"))


def linked_folder(place: Place) -> None:
    folder = place.first().parent
    for image in folder.iterdir():
        (place.others / image.name).write_bytes(image.read_bytes()[:60])
    shutil.rmtree(folder)
    folder.symlink_to(place.others)


def linked_images(place: Place) -> None:
    shutil.rmtree(place.run.path / "images")
    (place.run.path / "images").symlink_to(place.others)


FAULTS = [absolute, climbing, source, linked_file, linked_folder, linked_images]
COMMANDS = {
    "verify": ["verify", "RUN"],
    "repair": ["verify", "RUN", "--repair"],
    "merge": ["merge", "RUN", "TWIN", "--out", "OUT"],
    "export": ["export", "RUN", "--format", "coco", "--out", "OUT"],
    "export links": ["export", "RUN", "--format", "bdd100k", "--out", "OUT", "--link", "hard"],
    "report": ["report", "RUN"],
    "report page": ["report", "RUN", "--review"],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("template")
    make_dataset(base / "data", 3)
    run_here(_config(base), base / "run")
    return base


@pytest.fixture
def place(tmp_path, template) -> Place:
    return Place(tmp_path, template)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_nlink) for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_no_command_touches_what_lies_outside(place, fault, command, capsys):
    fault(place)
    before = state(place.others)
    words = [{"RUN": place.run.path, "TWIN": place.twin.path, "OUT": place.out}.get(w, w) for w in COMMANDS[command]]
    code = call(*words)
    said = capsys.readouterr().err
    assert state(place.others) == before  # nothing moved, deleted, written, or linked from elsewhere
    assert code in (2, 3)
    assert "outside" in said or command == "repair"
    assert "Traceback" not in said
    copies = [p for p in (*place.run.path.rglob("*"), *place.out.rglob("*")) if p.is_file() and not p.is_symlink()]
    assert not any(p.read_bytes() == SECRET for p in copies)


def linked_part(place: Place) -> None:
    part = place.run.path / place.run.manifest_parts()[0]
    shutil.move(part, place.others / "part.parquet")
    part.symlink_to(place.others / "part.parquet")


WITHOUT_IMAGES = {
    "status": ["status", "RUN"],
    "rescore": ["rescore", "RUN", "--config", "CONFIG"],
    "migrate": ["migrate", "RUN"],
}
"""commands that open no image: a name that leads outside is passed on, or refused, and never followed"""


@pytest.mark.parametrize("command", WITHOUT_IMAGES)
@pytest.mark.parametrize("fault", [climbing, linked_images, linked_part], ids=lambda f: f.__name__)
def test_what_opens_no_image_follows_no_name_either(place, fault, command, tmp_path, capsys):
    if command == "migrate":
        info = json.loads((place.run.path / "run.json").read_text())
        (place.run.path / "run.json").write_text(json.dumps({**info, "schema_version": 1}))
    fault(place)
    (tmp_path / "thresholds.yaml").write_text("max_ignored: 0.5\n")
    before = state(place.others)
    given = {"RUN": place.run.path, "CONFIG": tmp_path / "thresholds.yaml"}
    code = call(*(given.get(word, word) for word in WITHOUT_IMAGES[command]))
    said = capsys.readouterr().err
    assert state(place.others) == before
    assert code in (0, 2) and "Traceback" not in said
    assert (code == 2) == ("outside" in said) == (fault is linked_part and command != "status")


@pytest.mark.parametrize("fault", [absolute, climbing, source], ids=lambda f: f.__name__)
def test_repair_sets_the_row_aside_and_the_run_can_be_finished(place, fault, capsys):
    fault(place)
    assert call("verify", place.run.path, "--repair") == 3
    run_here(place.config, place.run.path)
    call("verify", place.run.path, "--repair")  # the image that the row no longer named
    assert call("verify", place.run.path) == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_the_library_reads_nothing_outside(place, fault):
    fault(place)
    with pytest.raises(RunFolderError, match="outside"):
        _read_all(place.run)
    with pytest.raises(RunFolderError, match="outside"):
        open_feed(place.run.path)
    with pytest.raises(RunFolderError, match="outside"):
        _review_all(place.run)


def _read_all(folder: RunFolder) -> None:
    run = open_run(folder.path)
    for row in run.rows():
        run.image(row)


def _review_all(folder: RunFolder) -> None:
    wanted = set(folder.read_manifest(["variant_id"])["variant_id"].to_pylist())
    for scene in read_review_scenes(folder, wanted):
        for row in scene.rows:
            folder.image_file(row["image"])


@pytest.mark.parametrize("field", ["image", "label_file", "extra_files"])
def test_a_plan_that_points_outside_is_refused(place, field):
    name = plan_files(place.run)[0]
    table = pq.read_table(place.run.path / name)
    rows = table.to_pylist()
    rows[0]["scenes"][0][field] = ["../others/x.png"] if field == "extra_files" else "../others/x.png"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), place.run.path / name)
    with pytest.raises(RunFolderError, match=r"plan.*outside"):
        list(read_plan(place.run))
    with pytest.raises(RunFolderError, match="outside"):  # a worker reads a work list by itself
        table_to_batches(pq.read_table(place.run.path / name))


@pytest.mark.parametrize("part", ["images", "manifest", ".state", ".state/rows", "logs", "lock", "decisions"])
def test_a_run_folder_whose_part_is_a_link_to_elsewhere_is_refused_at_the_start(place, part):
    path = place.run.path / part
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(place.others)
    with pytest.raises(RunFolderError, match=rf"{part}.*outside"):
        refuse(place.run, place.config, identify(place.config), Options())


def test_the_store_keeps_every_name_inside(place):
    store = place.run.store
    (place.run.path / "images/away").symlink_to(place.others)
    for name in ("../others/x.png", str(place.others / "x.png"), "images/away/x.png", "a\0b", ""):
        for action in (
            lambda n: store.read(n),
            lambda n: store.write_many({n: b"mine"}),
            lambda n: store.write_new(n, b"mine"),
            lambda n: store.size(n),
            lambda n: store.delete(n),
            lambda n: store.move(n, "images/stolen.png"),
            lambda n: store.move("run.json", n),
        ):
            with pytest.raises(RunFolderError, match="outside"):
                action(name)
    for folder in ("../others", "images/away", str(place.others)):
        with pytest.raises(RunFolderError, match="outside"):
            list(store.names(folder))
    assert state(place.others) == {"x.png": (SECRET, 1)}
    assert (place.run.path / "run.json").is_file()


def test_a_run_folder_may_itself_be_reached_by_a_link(place, tmp_path):
    (tmp_path / "link").symlink_to(place.run.path)
    assert call("verify", tmp_path / "link") == 0
    assert RunFolder(tmp_path / "link").image_file(place.first().relative_to(place.run.path).as_posix()).is_file()
