"""Receipts in frameworks that own the loop: each hook counts the batches that the framework trains on.

- Lightning: `Trainer(callbacks=[lightning_callback(Receipt(mix))])`, with the loader as it is;
- Ultralytics: `for event, hook in ultralytics_callbacks(receipt).items(): model.add_callback(event, hook)`;
- MMEngine and MMDetection: `Runner(..., custom_hooks=[mmengine_hook(receipt)])`;
- Detectron2: `build_train_loader` gives `FeedReceipt(loader, mix, identify=by_image_id, mode="sampled")`, and the
  trainer registers `detectron2_hook(receipt)`.

In exports images have names of their own: `identify=by_file(exported_ids(folder))`. Events and batches are as the
frameworks' own documentation has them; the hooks of the last three are tested against stand-ins of that form.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from s2st_aug.errors import CheckFailed, MissingDependency, UsageError
from s2st_aug.export.output import LOCK
from s2st_aug.feed.arguments import refuse_below_one, refuse_other
from s2st_aug.feed.entries import FeedIndex
from s2st_aug.feed.receipt import Identify, Receipt, length_of


def exported_ids(export: Path | str, index: FeedIndex) -> dict[str, str]:
    """The sample id of each image of an export's training set, by its absolute path; `index` is the run's feed.

    Raises UsageError for a folder without a lock file.
    """
    refuse_other("index", index, FeedIndex)
    root = Path(export).resolve()
    if not (root / LOCK).is_file():
        raise UsageError(f"{root}: expected a folder written by `s2st-aug export`, found no {LOCK}")
    names = json.loads((root / LOCK).read_text(encoding="utf-8"))["names"]
    ids = {(e.scene.scene_id, e.domain if e.synthetic else "real"): e.sample_id for e in index.entries}
    return {str(root / name): ids.get(tuple(place), f"{name} (not in the feed)") for name, place in names.items()}


def by_file(ids: Mapping[str, str]) -> Identify:
    """The ids of a batch by the paths of its images: Ultralytics' `im_file`, MMDetection's `img_path`."""

    def identify(batch: Any) -> Iterable[str]:
        paths = files_of_batch(batch)
        return [ids.get(str(Path(path).resolve()), str(path)) for path in paths]

    return identify


def files_of_batch(batch: Any) -> list[str]:
    """The images' paths; raises CheckFailed where the batch has none of the known forms."""
    if isinstance(batch, Mapping) and "im_file" in batch:
        return list(batch["im_file"])
    if isinstance(batch, Mapping) and "data_samples" in batch:
        return [sample.metainfo["img_path"] for sample in batch["data_samples"]]
    raise CheckFailed(f"a batch of type {type(batch).__name__} carries neither im_file nor data_samples")


def by_image_id(batch: Any) -> Iterable[str]:
    """The ids of Detectron2's batch, a list of dicts made by `detectron2_dicts`."""
    return [str(image["image_id"]) for image in batch]


def lightning_callback(receipt: Receipt) -> Any:
    """A callback for Lightning's Trainer; the batches of each rank, whatever sampler, limit or workers it uses.

    Raises MissingDependency where neither `lightning` nor `pytorch_lightning` is installed.
    """
    refuse_other("receipt", receipt, Receipt)

    class ReceiptCallback(_lightning().Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.receipt, self.resumed = receipt, False

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            if receipt.current is None:
                self.resumed = batch_idx > 0
            receipt.count(batch)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            seen, planned = receipt.current.batches if receipt.current else 0, trainer.num_training_batches
            loader = trainer.train_dataloader
            whole = None if isinstance(loader, Mapping) else length_of(loader)
            stopped = trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
            short = stopped if planned == float("inf") else seen < planned  # a stream ends where it ends
            limited = planned != float("inf") and (whole is None or seen < whole)
            receipt.end_epoch(early=self.resumed or short, limited=limited)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            receipt.close()

    return ReceiptCallback()


def _lightning() -> Any:
    """The Lightning that the program uses: `lightning.pytorch` and `pytorch_lightning` have classes of their own."""
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in sorted(names, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingDependency("Lightning is not installed: pip install pytorch-lightning")


def ultralytics_callbacks(receipt: Receipt) -> dict[str, Callable[[Any], None]]:
    """Events and functions for `model.add_callback`. The trainer hands every batch to its `preprocess_batch`.

    Of a mosaic, the image counts that it was made for. Ultralytics starts ranks without callbacks: train on one GPU.
    """
    refuse_other("receipt", receipt, Receipt)

    def start(trainer: Any) -> None:
        prepare = trainer.preprocess_batch

        def counted(batch: Any) -> Any:
            receipt.count(batch)
            return prepare(batch)

        trainer.preprocess_batch = counted

    def end_epoch(trainer: Any) -> None:
        seen = receipt.current.batches if receipt.current else 0
        receipt.end_epoch(early=seen < len(trainer.train_loader))

    return {
        "on_train_start": start,
        "on_train_epoch_end": end_epoch,
        "on_train_end": lambda trainer: receipt.close(),
    }


def mmengine_hook(receipt: Receipt) -> Any:
    """A hook for MMEngine's Runner, and so for MMDetection; its iteration-based loop needs `mode="sampled"`.

    Raises MissingDependency where mmengine is not installed.
    """
    refuse_other("receipt", receipt, Receipt)

    class ReceiptHook(_module("mmengine.hooks").Hook):  # type: ignore[misc]
        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            receipt.count(data_batch)

        def after_train_epoch(self, runner: Any) -> None:
            seen, whole = receipt.current.batches if receipt.current else 0, length_of(runner.train_dataloader)
            receipt.end_epoch(early=whole is not None and seen < whole)

        def after_train(self, runner: Any) -> None:
            receipt.close()

    return ReceiptHook()


def detectron2_hook(receipt: Receipt, every: int = 1000) -> Any:
    """A hook for Detectron2's trainers, whose loader is an endless stream: checked every so many steps, and at the end.

    The batches are counted by a FeedReceipt around the loader; this hook ends its epochs. Raises MissingDependency
    where detectron2 is not installed.
    """
    refuse_other("receipt", receipt, Receipt)
    refuse_below_one("every", every)
    if receipt.mode != "sampled":
        raise UsageError("mode: expected 'sampled', since Detectron2's loader has no epochs, got 'exact'")

    class ReceiptHook(_module("detectron2.engine").HookBase):  # type: ignore[misc]
        def after_step(self) -> None:
            if receipt.current is not None and receipt.current.batches >= every:
                receipt.end_epoch(limited=True)

        def after_train(self) -> None:
            receipt.close()

    return ReceiptHook()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package = name.partition(".")[0]
        raise MissingDependency(f"{package} is not installed, and its hooks are classes of its own") from None
