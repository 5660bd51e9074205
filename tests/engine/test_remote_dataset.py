"""Datasets and run folders on an object store that throttles and drops connections.

The same rows, and no secret on any disk.
"""

from __future__ import annotations

import json
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from engine_here import rows_of, run_here
from object_store import s3_server

from s2st_aug.cli import build_group
from s2st_aug.cli.terminal import run_group
from s2st_aug.engine.augment import Options, augment
from s2st_aug.engine.dry_run import dry_run
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.remote_dataset import RemoteDataset, cache_folder, is_source, with_local_root
from s2st_aug.errors import DatasetError
from s2st_aug.formats import load_card
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import open_store
from s2st_aug.storage.verify import verify
from s2st_aug.testing.datasets import make_config, make_dataset
from s2st_aug.testing.methods import DIES, RAISES

TIMES = ("seconds", "created_at")


@pytest.fixture
def mirrors(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("S2ST_MIRROR", str(tmp_path / "mirrors"))


@pytest.fixture
def address(mirrors) -> Iterator[str]:
    with s3_server(0) as address:
        yield address


@pytest.fixture(params=[0, 9], ids=["calm", "troubled"])
def any_address(request, mirrors) -> Iterator[str]:
    """Troubled: each ninth request is throttled and the tenth's connection dropped."""
    with s3_server(request.param) as address:
        yield address


def upload(root: Path, address: str) -> str:
    store = open_store(address.format("data"))
    store.write_many({str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()})
    return address.format("data")


def without_times(rows: dict) -> dict:
    return {key: {k: v for k, v in row.items() if k not in TIMES} for key, row in rows.items()}


def blocks(folder: Path) -> int:
    return sum(p.stat().st_blocks for p in folder.rglob("*.png"))


def test_a_run_over_a_store_gives_the_rows_of_a_local_one(any_address, tmp_path):
    address = any_address
    root = make_dataset(tmp_path / "data", 4)
    local = run_here(make_config(root, cluster={"batch_size": 2}), tmp_path / "local")
    uri = upload(root, address)
    shutil.rmtree(root)
    config = make_config(uri, dataset={"format": "bdd100k", "root": uri}, cluster={"batch_size": 2})
    run_here(config, address.format("run"), batches=slice(0, 1))
    run = run_here(config, address.format("run"))
    assert without_times(rows_of(run)) == without_times(rows_of(local))
    assert verify(run).holds
    assert blocks(cache_folder(uri)) == 0  # images do not stay on a worker's disk
    kept = b"".join(run.store.read(n) for n in run.store.names("")) + b"".join(
        p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()
    )
    assert b"pa55word" not in kept


@pytest.mark.slow
def test_ray_reads_and_writes_a_store(ray_here, mirrors, tmp_path):
    """Plan, images, rows, lock and books on a store that is in trouble.

    `ray_here` began before the mirrors' folder was set.
    """
    with s3_server(9) as address:
        root = make_dataset(tmp_path / "data", 4)
        uri = upload(root, address)
        config = make_config(uri, dataset={"format": "bdd100k", "root": uri}, cluster={"batch_size": 2})
        summary = augment(config, address.format("run"), Options())
        assert (summary.exit_code, summary.snapshot.ok) == (0, 8)
        assert "pa55word" not in summary.run
        run = RunFolder(address.format("run"))
        assert verify(run).holds
        assert without_times(rows_of(run)) == without_times(
            rows_of(run_here(make_config(root, cluster={"batch_size": 2}), tmp_path / "local"))
        )


@pytest.mark.slow
def test_nothing_that_ray_writes_of_a_run_holds_a_secret(ray_here, address, tmp_path):
    """All of Ray's session (logs of workers that raise and that die, events, sockets' names), whatever Ray shows of
    actors and tasks there; and the engine asks for nothing that Ray calls deprecated.
    """
    import ray

    uri = upload(make_dataset(tmp_path / "data", 6, magic={1: RAISES, 4: DIES}), address)
    config = make_config(uri, dataset={"format": "bdd100k", "root": uri}, cluster={"batch_size": 1})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        summary = augment(config, address.format("run"), Options())
    assert (summary.exit_code, summary.snapshot.ok, summary.snapshot.failed) == (1, 8, 4)
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    written = [path for path in session.rglob("*") if path.is_file()]
    assert any(path.name.startswith("worker-") for path in written) and any(
        "TranslateActor" in read(p) for p in written
    )
    assert [str(path) for path in written if "pa55word" in read(path)] == []
    shown = [str(w.message) for w in told if "remote_args" in str(w.message) or "Ray" in type(w.message).__name__]
    assert shown == []


def read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_two_runs_of_one_machine_do_not_take_each_others_images_away(address, tmp_path):
    """Both read the same scene; one is done with it first, plans anew, and the other still has its bytes."""
    root = make_dataset(tmp_path / "data", 2)
    uri = upload(root, address)
    one, other = RemoteDataset(uri, "one"), RemoteDataset(uri, "other")
    card = load_card("bdd100k")
    scene = next(iter(selected_scenes(with_local_root(make_config(uri)).dataset)))
    for dataset in (one, other):
        dataset.fetch(scene)
    other.drop(scene)
    other.make_placeholders(card)
    assert (one.root / scene.image).read_bytes() == (root / scene.image).read_bytes()
    assert not (other.root / scene.image).exists()
    assert (one.root / scene.label_file).stat().st_ino == (other.root / scene.label_file).stat().st_ino
    one.drop(scene)
    assert blocks(cache_folder(uri)) == 0


def test_what_a_killed_process_left_is_swept_by_the_next(address, tmp_path):
    uri = upload(make_dataset(tmp_path / "data", 1), address)
    scene = next(iter(selected_scenes(with_local_root(make_config(uri)).dataset)))
    dead = RemoteDataset(uri, f"{socket.gethostname()}-{2**22 + 1}")
    dead.fetch(scene)
    RemoteDataset(uri).fetch(scene)
    assert not dead.root.exists()


def test_changed_and_new_objects_are_seen(address, tmp_path):
    root = make_dataset(tmp_path / "data", 2)
    uri = upload(root, address)
    config = make_config(uri, dataset={"format": "bdd100k", "root": uri})
    run_here(config, tmp_path / "run")
    make_dataset(root, 2)
    (root / "images/100k/train/f000000.png").write_bytes((root / "images/100k/train/f000001.png").read_bytes())
    upload(root, address)
    run = run_here(config, tmp_path / "run", Options(extend=True, check_sources=True))
    rows = rows_of(run)
    assert len(rows) == 8
    assert rows["train/f000000", "night"]["source_sha256"] == rows["train/f000001", "night"]["source_sha256"]


def test_a_dry_run_sees_a_store(address, tmp_path):
    uri = upload(make_dataset(tmp_path / "data", 3), address)
    estimate = dry_run(make_config(uri, dataset={"format": "bdd100k", "root": uri}), full=True)
    assert (estimate.scenes, estimate.absent, estimate.labels, estimate.problems) == (3, 0, 3, [])
    assert estimate.bytes_needed > 0


def test_a_dry_run_over_a_store_tells_the_plan_that_augment_makes(address, tmp_path):
    uri = upload(make_dataset(tmp_path / "data", 1), address)
    day = {"format": "bdd100k", "root": uri, "select": {"timeofday": ["daytime"]}}
    config = make_config(uri, dataset=day)
    run = run_here(config, tmp_path / "run")
    assert dry_run(config, full=False).plan_sha256 == run.run_json().plan_sha256


def test_a_preview_of_a_store_is_that_of_the_local_tree(any_address, tmp_path, capsys):
    """The same sheet and the same figures, as augment makes the same rows; and nothing stays on the disk."""
    root = make_dataset(tmp_path / "data", 5)
    uri = upload(root, any_address)
    sheets, columns = [], []
    for place in (str(root), uri):
        config = tmp_path / "small.yaml"
        raw = make_config(place, dataset={"format": "bdd100k", "root": place}).model_dump(mode="json")
        config.write_text(yaml.safe_dump(raw))
        out = tmp_path / f"{len(sheets)}.png"
        assert run_group(build_group(), ["preview", str(config), "-n", "3", "--out", str(out), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        sheets.append(out.read_bytes())
        columns.append([{k: v for k, v in c.items() if k != "seconds"} for c in told["columns"]])
    assert sheets[0] == sheets[1]
    assert columns[0] == columns[1] and [c["tried"] for c in columns[0]] == [3, 3]
    assert blocks(cache_folder(uri)) == 0


def test_a_preview_of_an_empty_address_is_one_line_without_the_secret(address, tmp_path, capsys):
    uri = address.format("none")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(make_config(uri).model_dump(mode="json")))
    assert run_group(build_group(), ["preview", str(tmp_path / "c.yaml")]) == 2
    said = capsys.readouterr().err
    assert "no files found" in said and "pa55word" not in said and said.count("\n") == 1


def test_an_empty_address_is_one_clear_error(address):
    with pytest.raises(DatasetError, match=r"s3://\*\*\*@bucket/none.*no files found"):
        RemoteDataset(address.format("none")).make_placeholders(load_card("bdd100k"))


@pytest.mark.parametrize(
    ("card", "name", "source"),
    [
        ("bdd100k", "images/100k/train/a.jpg", True),
        ("bdd100k", "labels/ins_seg/bitmasks/train/a.png", False),
        ("bdd100k", "labels/det_20/det_train.json", False),
        ("cityscapes", "leftImg8bit/train/x/x_leftImg8bit.png", True),
        ("cityscapes", "gtFine/train/x/x_gtFine_labelIds.png", False),
        ("kitti", "training/image_2/000001.png", True),
        ("yolo", "images/train/a.jpg", True),
        ("yolo", "data.yaml", False),
    ],
)
def test_source_images_are_told_from_label_images(card, name, source):
    assert is_source(load_card(card), name) == source
