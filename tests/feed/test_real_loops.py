"""The receipt where training happens: loops by `next`, several ranks, limits, frameworks that own the loop."""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from benchmarks import receipt_loops
from s2st_aug.errors import CheckFailed, MissingDependency, UsageError
from s2st_aug.feed import FeedReceipt, Mix, open_feed
from s2st_aug.feed.hooks import (
    by_file,
    by_image_id,
    detectron2_hook,
    exported_ids,
    lightning_callback,
    mmengine_hook,
    ultralytics_callbacks,
)
from s2st_aug.feed.receipt import Receipt
from s2st_aug.testing.reviewed_runs import FakeRun, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("loops") / "run", FakeRun(scenes=20, statuses=("ok", "ok", "ok", "rejected"))
    )


@pytest.fixture(scope="module")
def index(run):
    return open_feed(run)


@pytest.fixture(scope="module")
def mix(index):
    return Mix.of(index)


@pytest.fixture(scope="module")
def ids(index):
    return [e.sample_id for e in index.entries]


def loader(ids, **given):
    return DataLoader(list(ids), batch_size=4, collate_fn=lambda chosen: {"sample_id": chosen}, **given)


def take(receipt, batches, epochs=1):
    """A loop by `next`, which never asks for the batch after the last."""
    for _ in range(epochs):
        reader = iter(receipt)
        for _ in range(batches):
            next(reader)


def test_a_loop_by_next_is_held_to_the_loader_s_own_length(ids, mix):
    with FeedReceipt(loader(ids, shuffle=True), mix) as receipt:
        take(receipt, len(receipt), epochs=2)
    assert [(e.end, e.total) for e in receipt.epochs] == [("complete", len(ids))] * 2
    with pytest.raises(CheckFailed, match="left out 1 of the locked mix"), FeedReceipt(loader(ids[1:]), mix) as receipt:
        take(receipt, len(receipt))


def test_an_epoch_that_is_broken_off_without_a_word_is_not_exact(ids, mix):
    """It was held to the rule of `sampled` instead, and nobody was told."""
    receipt = FeedReceipt(loader(ids, shuffle=True), mix)
    with pytest.raises(CheckFailed, match=r"ended after 12 of 50 images.*limit_batches=N"), receipt:
        take(receipt, 3)
    told = FeedReceipt(loader(ids, shuffle=True), mix)
    with told:
        take(told, 3)
        told.end_epoch(early=True)
    assert told.epochs[0].end == "early"


def test_limited_epochs_hold_where_they_are_drawn_from_all_images(ids, mix):
    with FeedReceipt(loader(ids, shuffle=True), mix, limit_batches=6) as receipt:
        take(receipt, 6, epochs=8)
    assert {e.end for e in receipt.epochs} == {"limit"}
    with (
        pytest.raises(CheckFailed, match="is the loader shuffled"),
        FeedReceipt(loader(ids), mix, limit_batches=6) as first,
    ):
        take(first, 6, epochs=8)  # the same first images in each epoch


def test_a_few_images_drawn_again_and_again_fail_whatever_their_domains(ids, index, mix):
    by_domain = {d: [e.sample_id for e in index.entries if e.domain == d] for d in index.images_by_domain()}
    few = [i for chosen in by_domain.values() for i in chosen[: max(1, len(chosen) // 5)]]
    drawn = random.Random(0).choices(few, k=900)
    with pytest.raises(CheckFailed, match="are never among them"):
        list(FeedReceipt(loader(drawn), mix, mode="sampled"))
    favoured = random.Random(0).choices([*ids * 2, *[ids[0]] * 9], k=900)
    with pytest.raises(CheckFailed, match=r"drawn \d+ times of 900"):
        list(FeedReceipt(loader(favoured), mix, mode="sampled"))


def test_what_no_single_epoch_shows_is_found_over_all_of_them(ids, index, mix):
    """One batch an epoch, always the first: each epoch alone is too short to tell."""
    with pytest.raises(CheckFailed, match="by the locked mix"):
        take(FeedReceipt(loader(ids), mix, mode="sampled"), 1, epochs=60)


@pytest.mark.parametrize("mode", ["exact", "sampled"])
def test_an_empty_epoch_fails_at_once(ids, mix, mode):
    receipt = FeedReceipt(loader([]), mix, mode=mode)
    with pytest.raises(CheckFailed, match="an epoch of 0 images"):
        list(receipt)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit_batches": 0}, "limit_batches: expected a whole number of at least 1, got 0"),
        ({"limit_batches": 0.5}, "limit_batches: expected a whole number of at least 1, got 0.5"),
        ({"padding": -1}, "padding: expected a whole number of at least 0, or None, got -1"),
        ({"padding": True}, "padding: expected a whole number of at least 0, or None, got True"),
    ],
)
def test_a_wrong_argument_is_one_line(mix, given, message):
    with pytest.raises(UsageError) as error:
        FeedReceipt([], mix, **given)
    assert str(error.value) == message


def rank(number, store, ids, mix, kind, answers):
    """One of two processes; answers what its receipt counted, or said."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=2)
    chosen = ids[:-1] if kind == "left out" else ids
    sampler = None if kind == "not shared out" else DistributedSampler(chosen)
    batches = list(loader(chosen)) if kind == "doubled" else loader(chosen, sampler=sampler)
    try:
        with FeedReceipt(batches, mix) as receipt:
            if kind == "broken off on one rank":  # the other ends its epoch while this one begins the next
                take(receipt, 2 * number)
                list(receipt)
            take(receipt, len(receipt), epochs=2)
        answers.put((number, [e.ranks for e in receipt.epochs]))
    except CheckFailed as error:
        answers.put((number, str(error)))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("shared out", None),
        ("left out", "left out 1 of the locked mix"),
        ("not shared out", "each of 2 ranks would read all 50 images"),
        ("doubled", "(2 ranks yielded 50 + 50 images)"),
        ("broken off on one rank", "one rank ended an epoch while another began one"),
    ],
)
def test_ranks_are_counted_together(ids, mix, kind, said, tmp_path):
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    ranks = [fork.Process(target=rank, args=(n, tmp_path / "store", ids, mix, kind, answers)) for n in range(2)]
    for process in ranks:
        process.start()
    found = dict(answers.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join(60)
    assert found[0] == found[1], "every rank says the same"
    assert found[0] == [(25, 25)] * 2 if said is None else said in found[0]


FOUND = {  # a fault is caught for what it is, not for anything that happens to raise
    "never loaded": "left out 30 of the locked mix",
    "loaded too often": "images were yielded more than once in an epoch",
    "wrong share": "images are night, expected",
    "a few images again and again": "are never among them",
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["plain", "lightning", "accelerate", "ray"])
def test_frameworks_own_loops(run, index, framework):
    if not receipt_loops.is_installed(framework):
        pytest.skip(f"{receipt_loops.INSTALLED_AS[framework]} is not installed")
    said = receipt_loops.said_by(framework, run.path)
    wrong = [(name, said[framework][name]) for _, name, right in receipt_loops.judged(said, index) if not right]
    assert len(said[framework]) >= 6 and not wrong
    assert {name: words in said[framework][name] for name, words in FOUND.items()} == dict.fromkeys(FOUND, True)


def test_lightning_on_one_process_counts_what_is_trained_on(ids, mix):
    """Whole epochs, limited ones, and one that `max_steps` breaks off."""
    lightning = pytest.importorskip("pytorch_lightning", reason="pytorch_lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            return self.line(torch.ones(len(batch["sample_id"]), 1)).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    def fit(chosen, **given):
        receipt = Receipt(mix)
        quiet = dict.fromkeys(
            ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "barebones"), False
        )
        trainer = lightning.Trainer(
            accelerator="cpu", callbacks=[lightning_callback(receipt)], **quiet, **({"max_epochs": 2} | given)
        )
        trainer.fit(Module(), loader(chosen, shuffle=True))
        return [(e.end, e.total) for e in receipt.epochs]

    assert fit(ids) == [("complete", 50)] * 2
    assert fit(ids, limit_train_batches=5) == [("limit", 20)] * 2
    assert fit(ids, max_steps=16, max_epochs=None) == [("complete", 50), ("early", 12)]
    with pytest.raises(CheckFailed, match="left out 1 "):
        fit(ids[1:])


def batches_of(ids, size=4):
    return [ids[i : i + size] for i in range(0, len(ids), size)]


FAULTS = {
    "never loaded": slice(0, 20),
    "loaded too often": [*range(50), *range(20, 50)],
    "wrong share": [*range(20, 50)],
}


def positions(ids, name):
    chosen = FAULTS[name]
    return ids[chosen] if isinstance(chosen, slice) else [ids[i] for i in chosen]


def ultralytics_fit(receipt, paths):
    """The events of `ultralytics.engine.trainer.BaseTrainer`, in its order, around a batch with `im_file`."""
    hooks = ultralytics_callbacks(receipt)
    trainer = SimpleNamespace(train_loader=batches_of(paths), preprocess_batch=lambda batch: batch)
    hooks["on_train_start"](trainer)
    for _ in range(2):
        for files in trainer.train_loader:
            trainer.preprocess_batch({"im_file": files, "img": None})
        hooks["on_train_epoch_end"](trainer)
    hooks["on_train_end"](trainer)


def mmengine_fit(receipt, paths):
    """The points of MMEngine's epoch-based loop, around MMDetection's packed batch."""
    module = ModuleType("mmengine.hooks")
    module.Hook = type("Hook", (), {})
    sys.modules.update({"mmengine": ModuleType("mmengine"), "mmengine.hooks": module})
    try:
        hook = mmengine_hook(receipt)
    finally:
        del sys.modules["mmengine"], sys.modules["mmengine.hooks"]
    assert isinstance(hook, module.Hook)
    runner = SimpleNamespace(train_dataloader=batches_of(paths))
    for _ in range(2):
        for number, files in enumerate(runner.train_dataloader):
            samples = [SimpleNamespace(metainfo={"img_path": path, "img_id": 1}) for path in files]
            hook.before_train_iter(runner, batch_idx=number, data_batch={"inputs": [], "data_samples": samples})
        hook.after_train_epoch(runner)
    hook.after_train(runner)


@pytest.mark.parametrize("fit", [ultralytics_fit, mmengine_fit])
def test_hooks_of_frameworks_that_read_files_count_an_export_s_images(run, index, mix, fit, tmp_path):
    from s2st_aug.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["export", str(run.path), "--format", "yolo", "--out", str(tmp_path / "yolo")])
    assert stop.value.code == 0
    names = exported_ids(tmp_path / "yolo", index)
    assert sorted(names.values()) == sorted(e.sample_id for e in index.entries)
    where = {sample: path for path, sample in names.items()}
    paths = [where[e.sample_id] for e in index.entries]
    receipt = Receipt(mix, identify=by_file(names))
    fit(receipt, paths)
    assert [e.domains for e in receipt.epochs] == [index.images_by_domain()] * 2
    for name in FAULTS:
        with pytest.raises(CheckFailed):
            fit(Receipt(mix, identify=by_file(names)), positions(paths, name))
    with pytest.raises(CheckFailed, match="not in the locked mix"):
        fit(Receipt(mix, identify=by_file(names)), [str(tmp_path / "other.png")])


def test_detectron2_s_endless_stream_is_held_to_shares(ids, mix):
    """HookBase's `after_step` and `after_train`, around a loader without an end, whose batches are lists of dicts."""
    module = ModuleType("detectron2.engine")
    module.HookBase = type("HookBase", (), {})

    def fit(chosen):
        rng = random.Random(0)
        stream = ([{"image_id": i} for i in rng.choices(chosen, k=4)] for _ in iter(int, 1))
        receipt = FeedReceipt(stream, mix, identify=by_image_id, mode="sampled")
        sys.modules.update({"detectron2": ModuleType("detectron2"), "detectron2.engine": module})
        try:
            hook = detectron2_hook(receipt, every=50)
        finally:
            del sys.modules["detectron2"], sys.modules["detectron2.engine"]
        reader = iter(receipt)
        for _ in range(120):
            next(reader)
            hook.after_step()
        hook.after_train()
        return [e.batches for e in receipt.epochs]

    assert fit(ids) == [50, 50, 20]
    for name in FAULTS:
        with pytest.raises(CheckFailed):
            fit([*positions(ids, name), *(ids[20:] * 3 if name == "loaded too often" else [])])


def test_a_hook_without_its_framework_is_one_line(mix):
    for make in (mmengine_hook, lambda r: detectron2_hook(Receipt(mix, mode="sampled"))):
        with pytest.raises(MissingDependency, match="is not installed"):
            make(Receipt(mix))
    with pytest.raises(UsageError, match="expected 'sampled'"):
        detectron2_hook(Receipt(mix))
    with pytest.raises(UsageError, match="receipt: expected a Receipt"):
        lightning_callback(mix)


def test_the_same_part_of_the_mix_in_each_epoch_fails_though_its_shares_are_right(ids, mix, index):
    of = {e.sample_id: e.domain for e in index.entries}
    part = [i for d in ("source", "night", "rain") for i in [x for x in ids if of[x] == d][: 4 if d == "rain" else 8]]
    rest = [i for i in ids if i not in part]
    said = r"20 of the 20 images of an epoch were in earlier ones already.*shuffled"
    with pytest.raises(CheckFailed, match=said), FeedReceipt(loader([*part, *rest]), mix, limit_batches=5) as receipt:
        take(receipt, 5, epochs=2)


def test_a_folder_that_is_no_export_is_one_line(index, tmp_path):
    with pytest.raises(UsageError, match=r"found no s2st_aug\.lock\.json"):
        exported_ids(tmp_path, index)


def test_the_receipt_s_file_says_how_each_epoch_ended_and_what_each_rank_read(ids, mix, tmp_path):
    with FeedReceipt(loader(ids), mix) as receipt:
        list(receipt)
    receipt.write(tmp_path / "receipt.json")
    stored = json.loads((tmp_path / "receipt.json").read_text())
    (epoch,) = stored["epochs"]
    assert (epoch["end"], epoch["finished"], epoch["ranks"], epoch["batches"]) == ("complete", True, [50], 13)
