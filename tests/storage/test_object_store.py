"""The same promises on an object store that throttles and drops connections."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from object_store import s3_server

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
