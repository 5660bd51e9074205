"""The same promises on an object store that throttles and drops connections."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator

import pytest
from object_store import s3_server

from s2st_aug.storage import store as stores
from s2st_aug.storage.run_folder import RunFolder, RunInfo
from s2st_aug.storage.shards import gather
from s2st_aug.storage.store import open_store
from s2st_aug.storage.verify import verify


@pytest.fixture(params=[0, 7], ids=["calm", "troubled"])
def place(request) -> Iterator[str]:
    """A run's address on a server of our own; troubled: each seventh request is throttled, each eighth dropped."""
    with s3_server(request.param) as address:
        yield address.format("runs/one")


def test_a_store_keeps_what_it_is_given(place):
    store = open_store(place)
    big = os.urandom(1 << 20)
    store.write_many({"a/b.bin": b"1", "a/c/big": big})
    assert (store.read("a/b.bin"), store.read("a/c/big") == big) == (b"1", True)
    assert sorted(store.names("a")) == ["a/b.bin", "a/c/big"]
    assert list(store.names("a", deep=False)) == ["a/b.bin"]
    assert (store.size("a/b.bin"), store.size("a/none")) == (1, None)
    assert not store.write_new("a/b.bin", b"2")
    store.move("a/b.bin", "d")
    store.delete("nothing")
    assert sorted(store.names("")) == ["a/c/big", "d"]
    with pytest.raises(FileNotFoundError):
        store.read("a/b.bin")
    assert "pa55word" not in store.root


def test_a_run_folder_on_an_object_store_holds(place, made):
    """A local run, carried over file by file, then continued and verified there."""
    made.commit(0)
    remote = RunFolder(place)
    for name in made.run.store.names(""):
        remote.store.write_many({name: made.run.store.read(name)})
    made.run = remote
    for number in (1, 2, 3):
        made.commit(number)
    assert gather(remote) == 4
    report = verify(remote)
    assert (report.holds, report.rows, report.images_hashed) == (True, 8, 8)
    assert isinstance(remote.run_json(), RunInfo)


def counts(place: str) -> dict[str, int]:
    """What the server was asked for so far."""
    server = re.search(r"endpoint_override=([\w.%]+)", place)[1].replace("%3A", ":")
    with urllib.request.urlopen(f"http://{server}/_counts") as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("place", [0], indirect=True, ids=["calm"])
@pytest.mark.parametrize("new", [False, True], ids=["write_many", "write_many_new"])
def test_images_of_a_batch_are_put_at_once(place, new):
    """One after the other, eight images of a batch would wait for eight answers."""
    store = open_store(place)
    files = {f"slow/{i}": b"%d" % i for i in range(8)}
    assert (store.write_many_new if new else store.write_many)(files) == (set(files) if new else None)
    told = counts(place)
    assert told["most puts at once"] >= 4
    if new:  # the condition asks: no request of its own does, and a LIST costs as much as a PUT
        looked = {kind: told.get(kind, 0) for kind in ("HEAD", "LIST", "GET")}
        assert looked == dict.fromkeys(looked, 0)
    assert {name: store.read(name) for name in store.names("slow")} == files
    assert not store.write_many_new(files)


@pytest.mark.parametrize("place", [0], indirect=True, ids=["calm"])
@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "one by one"])
def test_gathered_shards_are_deleted_in_few_requests(place, bulk, monkeypatch):
    """A run has a shard a batch: one by one, each in five requests, they keep the end of a run waiting for an hour."""
    if not bulk:
        monkeypatch.setattr(stores, "bulk_delete", lambda uri: None)
    store = open_store(place)
    names = [f"rows/{i:02d}" for i in range(40)]
    store.write_many(dict.fromkeys(names, b"x"))
    before = counts(place)
    store.delete_many([*names[1:], "rows/none"])
    asked = sum(counts(place).get(kind, 0) - before.get(kind, 0) for kind in ("PUT", "HEAD", "DELETE", "POST", "LIST"))
    assert list(store.names("rows")) == names[:1]
    assert asked < 20 or not bulk
    store.delete_many([])
