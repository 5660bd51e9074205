"""A feed yields what was decided, in every form, and its receipt fails loudly when a loader does not."""

from __future__ import annotations

import json
import random
import tarfile
from datetime import UTC, datetime

import pytest
from PIL import Image
from torch.utils.data import DataLoader, Subset

from s2st_aug.errors import CheckFailed, SourceChanged, UsageError
from s2st_aug.feed import FeedReceipt, Mix, open_feed
from s2st_aug.feed.dataset import RunDataset, collate
from s2st_aug.feed.shards import write_shards
from s2st_aug.formats import load_card
from s2st_aug.storage.decisions import Decision, to_table
from s2st_aug.testing.datasets import make_dataset
from s2st_aug.testing.reviewed_runs import FakeRun, make_run
from s2st_aug.testing.runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("feed") / "run", FakeRun(scenes=10, statuses=("ok", "ok", "rejected", "ok", "failed"))
    )


@pytest.fixture(scope="module")
def index(run):
    return open_feed(run)


def loader(index, entries=None, **kwargs):
    data = RunDataset(index)
    return DataLoader(data if entries is None else Subset(data, entries), batch_size=4, collate_fn=collate, **kwargs)


def test_gates_and_decisions_are_applied(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=3, statuses=("ok",)))
    rows = run.read_manifest().to_pylist()
    target, other = rows[0]["variant_id"], rows[1]["variant_id"]
    kept = next(o["object_id"] for o in rows[1]["objects"] if o["verdict"] == "keep" and o["kind"] == "box")
    time = datetime(2026, 1, 1, tzinfo=UTC)
    run.append_decisions(
        to_table([Decision(target, None, "reject", "ann", time), Decision(other, kept, "ignore", "ann", time)])
    )
    index = open_feed(run)
    assert index.images_by_domain() == {"source": 3, "night": 2, "rain": 3}
    entry = next(e for e in index.entries if e.sample_id == other)
    sample = index.read(entry)
    assert kept in {o.object_id for o in sample.ignored} and kept not in {o.object_id for o in sample.trained}
    assert {o["object_id"] for o in rows[1]["objects"] if o["verdict"] != "keep"} <= {
        o.object_id for o in sample.ignored
    }


def test_a_run_of_val_is_refused(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=2, split="val"))
    with pytest.raises(UsageError, match="held-out"):
        open_feed(run)


def test_a_variant_that_is_not_the_recorded_file_is_refused(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=2, statuses=("ok",)))
    index = open_feed(run)
    entry = next(e for e in index.entries if e.synthetic)
    entry.image.write_bytes(index.entries[0].image.read_bytes())
    with pytest.raises(SourceChanged, match="not the file"):
        index.read(entry)


def test_a_domain_that_the_run_has_not_made_is_refused_by_name(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=2, statuses=("ok",)))
    with pytest.raises(UsageError, match="no variants of 'nigth'; did you mean 'night'"):
        open_feed(run, domains=("nigth",))


@pytest.mark.parametrize(
    ("shares", "mode", "message"),
    [
        ({"source": 0.7, "nigth": 0.3}, "sampled", "did you mean 'night'"),
        ({"source": 0.7, "night": 0.7}, "sampled", "sum to 1"),
        ({"source": 1.3, "night": -0.3}, "sampled", "sum to 1"),
        ({"source": 0.7, "night": 0.3}, "exact", "mode='sampled'"),
        (None, "sampeld", "did you mean 'sampled'"),
    ],
)
def test_a_mix_or_a_mode_that_cannot_be_is_refused_before_training(index, shares, mode, message):
    with pytest.raises(UsageError, match=message):
        FeedReceipt([], Mix.of(index, shares=shares), mode=mode)


def test_an_honest_loader_passes_in_both_modes_and_leaves_a_receipt(index, tmp_path):
    mix = Mix.of(index)
    with FeedReceipt(loader(index, shuffle=True), mix) as receipt:
        for _ in range(2):
            batches = sum(1 for _ in receipt)
    assert batches == -(-len(index.entries) // 4)
    receipt.write(str(tmp_path / "receipt.json"))
    stored = json.loads((tmp_path / "receipt.json").read_text())
    assert [e["domains"] for e in stored["epochs"]] == [dict(receipt.epochs[0].domains)] * 2
    rng = random.Random(0)
    drawn = [rng.randrange(len(index.entries)) for _ in range(200)]
    with FeedReceipt([{"sample_id": [index.entries[i].sample_id]} for i in drawn], mix, mode="sampled") as receipt:
        list(receipt)


def synthetic(index):
    return [i for i, e in enumerate(index.entries) if e.synthetic]


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (lambda ix: [i for i, e in enumerate(ix.entries) if not e.synthetic], "left out .* of night"),
        (lambda ix: list(range(len(ix.entries))) + synthetic(ix) * 18, "more than once"),
        (lambda ix: [i for i in range(len(ix.entries)) if i != synthetic(ix)[-1]], "left out 1"),
    ],
)
def test_a_loader_that_forgets_or_repeats_fails(index, pick, message):
    receipt = FeedReceipt(loader(index, pick(index)), Mix.of(index))
    with pytest.raises(CheckFailed, match=message):
        list(receipt)


def test_a_loader_that_is_never_read_fails(index):
    with pytest.raises(CheckFailed, match="never read"), FeedReceipt(loader(index), Mix.of(index)):
        pass


def test_images_of_another_run_and_of_another_split_fail(index, tmp_path):
    with pytest.raises(CheckFailed, match="not in the locked mix"):
        list(FeedReceipt([{"sample_id": ["elsewhere"]}], Mix.of(index)))
    wrong = Mix.of(index, split="val")
    with pytest.raises(CheckFailed, match="locked are bdd100k val"):
        list(FeedReceipt(loader(index), wrong))


def test_sampling_that_favours_the_real_images_fails_within_an_epoch_that_was_broken_off(index):
    real = [e.sample_id for e in index.entries if not e.synthetic]
    ids = random.Random(0).choices(real, k=200)
    receipt = FeedReceipt([{"sample_id": [i]} for i in ids], Mix.of(index), mode="sampled")
    for number, _ in enumerate(receipt):
        if number == 100:
            break
    with pytest.raises(CheckFailed, match="by the locked mix"):
        receipt.close()


def test_shards_hold_every_image_once_byte_for_byte(index, tmp_path):
    paths = write_shards(index, tmp_path / "shards", per_shard=7)
    members = {}
    for path in paths:
        with tarfile.open(path) as tar:
            members |= {m.name: tar.extractfile(m).read() for m in tar}
    labels = [json.loads(data) for name, data in members.items() if name.endswith(".json")]
    assert sorted(x["sample_id"] for x in labels) == sorted(e.sample_id for e in index.entries)
    entry = next(e for e in index.entries if e.synthetic)
    assert members[f"{entry.sample_id}.png"] == entry.image.read_bytes()


def test_the_ray_form_yields_the_same_rows(index):
    from s2st_aug.feed.ray_form import _Reader

    row = _Reader(index)(0)
    assert row["sample_id"] == index.entries[0].sample_id and row["image"].shape == (72, 128, 3)
    assert {o["category"] for o in json.loads(row["labels"])["objects"]} <= {
        t for tag in Mix.of(index).tags.values() for t in tag.classes
    }


def test_labels_that_the_measure_could_not_judge_stay_in_training_where_that_is_asked(tmp_path):
    run = make_run(tmp_path / "run", FakeRun(scenes=6, statuses=("ok",)))
    rows = run.read_manifest().to_pylist()
    row = next(r for r in rows if sum(o["verdict"] == "ignore" for o in r["objects"]) > 1)
    unjudged = [o["object_id"] for o in row["objects"] if o["verdict"] == "ignore"]
    time = datetime(2026, 1, 1, tzinfo=UTC)
    run.append_decisions(to_table([Decision(row["variant_id"], unjudged[0], "ignore", "ann", time)]))
    found = {policy: open_feed(run, unjudged=policy) for policy in ("ignore", "train")}
    ignored = {kind: {e.sample_id: e.ignored for e in index.entries} for kind, index in found.items()}
    lost = {r["variant_id"]: {o["object_id"] for o in r["objects"] if o["verdict"] == "lost"} for r in rows}
    assert ignored["ignore"][row["variant_id"]] >= set(unjudged)
    assert ignored["train"][row["variant_id"]] == {unjudged[0]} | lost[row["variant_id"]]
    assert all(ignored["train"][name] == lost[name] for name in lost.keys() - {row["variant_id"]})
    assert open_feed(run).entries == open_feed(run, unread="void").entries == found["ignore"].entries
    assert open_feed(run, unread="train").entries == found["train"].entries


def test_real_images_come_in_the_pixels_that_their_labels_are_in(tmp_path):
    """BDD100K's boxes are in stored pixels: a photo with an orientation tag was once turned under them."""
    root, exif = make_dataset(tmp_path / "data", 1), Image.Exif()
    exif[0x0112] = 6
    (path,) = (root / "images/100k/train").iterdir()
    Image.open(path).save(path, exif=exif)
    index = open_feed(write_run(tmp_path / "run", load_card("bdd100k"), root))
    assert [index.read(entry).image.shape for entry in index.entries] == [(32, 48, 3), (32, 48, 3)]


WRONG = [
    ({"mix": "x"}, "--mix: expected a fraction from 0 to 1, got 'x'"),
    ({"mix": True}, "--mix: expected a fraction from 0 to 1, got True"),
    ({"mix": float("nan")}, "--mix: expected a fraction from 0 to 1, got nan"),
    ({"unjudged": "void"}, "--unjudged: expected one of ignore, train, train-all, got 'void'"),
    (
        {"unjudged": "train", "unread": "void"},
        "--unjudged train and --unread void contradict one another; give --unjudged alone",
    ),
    ({"unread": "keep"}, "--unread: expected void or train, got 'keep'"),
    ({"accepted_only": "no"}, "accepted_only: expected True or False, got 'no'"),
    ({"balance": 1}, "balance: expected True or False, got 1"),
    ({"domains": "night"}, "domains: expected a list of names, got 'night'"),
    ({"domains": [1]}, "domains: expected a list of names, got [1]"),
    ({"run": None}, "run: expected a RunFolder or its path, got None"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_a_wrong_argument_of_a_feed_is_one_line(run, given, message):
    with pytest.raises(UsageError) as error:
        open_feed(**{"run": run} | given)
    assert str(error.value) == message


def test_a_wrong_argument_of_dataset_receipt_or_shards_is_one_line(index, tmp_path):
    mix = Mix.of(index)
    calls = [
        (lambda: RunDataset([1]), "index: expected a FeedIndex, got [1]"),
        (lambda: RunDataset(index, 3), "transform: expected a function, got 3"),
        (lambda: Mix.of(None), "index: expected a FeedIndex, got None"),
        (
            lambda: Mix.of(index, shares={"night": "x"}),
            "shares: expected a fraction for each domain, or None, got {'night': 'x'}",
        ),
        (lambda: FeedReceipt([], {}), "mix: expected a Mix, got {}"),
        (lambda: FeedReceipt([], mix, identify="id"), "identify: expected a function, got 'id'"),
        (lambda: FeedReceipt([], mix, drop_last=0), "drop_last: expected a whole number of at least 1, got 0"),
        (
            lambda: write_shards(index, tmp_path, per_shard=0),
            "per_shard: expected a whole number of at least 1, got 0",
        ),
    ]
    for call, message in calls:
        with pytest.raises(UsageError) as error:
            call()
        assert str(error.value) == message


def test_a_feed_opens_a_path(run):
    assert open_feed(str(run.path)).images_by_domain() == open_feed(run).images_by_domain()
