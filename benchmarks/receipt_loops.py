"""Receipts in real training loops on two ranks: plain PyTorch, Lightning, accelerate and Ray Train.

`python -m benchmarks.receipt_loops RUN FRAMEWORK...` trains a network of one weight on two processes, once for each
planted fault and each honest loop, and prints one line of JSON: what the receipt said in each. A framework that is not
installed is left out.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from s2st_aug.config.augment import ClusterConfig
from s2st_aug.engine.ray_session import ray_session
from s2st_aug.errors import CheckFailed
from s2st_aug.feed import FeedIndex, FeedReceipt, Mix, open_feed
from s2st_aug.feed.dataset import RunDataset, collate
from s2st_aug.feed.hooks import lightning_callback
from s2st_aug.feed.receipt import Mode, Receipt

log = logging.getLogger(__name__)

RANKS = 2
ANSWER = "receipts "  # before the line of JSON that the first rank prints
INSTALLED_AS = {"lightning": "pytorch_lightning", "accelerate": "accelerate", "ray": "ray.train"}


@dataclass(frozen=True, slots=True)
class Fed:
    """A run's feed with its mix, and its items read once."""

    index: FeedIndex
    mix: Mix
    items: list[Any]

    @classmethod
    def of(cls, run: Path | str) -> Fed:
        """Read every image of a run's feed."""
        index = open_feed(run)
        data = RunDataset(index, small)
        return cls(index, Mix.of(index), [data[i] for i in range(len(data))])


@dataclass(frozen=True, slots=True)
class Loop:
    """One training: the positions of the feed's images in the dataset, in which order, and whether all is well."""

    name: str
    honest: bool
    positions: Sequence[int]
    mode: Mode = "exact"
    kind: str = ""  # how the loop reads: whole epochs, or as `special` says


def loops_of(index: FeedIndex) -> list[Loop]:
    """Two honest feeds, and faults of every kind that the receipt names."""
    every = range(len(index.entries))
    real = [i for i in every if not index.entries[i].synthetic]
    made = [i for i in every if index.entries[i].synthetic]
    night = [i for i in every if index.entries[i].domain == "night"]
    rng = random.Random(3)
    return [
        Loop("honest", True, every),
        Loop("honest, drawn", True, rng.choices(every, k=300), "sampled"),
        Loop("never loaded", False, real),
        Loop("loaded too often", False, [*every, *made * 3]),
        Loop("wrong share", False, rng.choices(real + night * 3, k=300), "sampled"),
        Loop("a few images again and again", False, rng.choices(real[:3] + made[:6], k=300), "sampled"),
    ]


def special(index: FeedIndex) -> dict[str, list[Loop]]:
    """Loops that only one framework can be."""
    every = range(len(index.entries))
    return {
        "plain": [
            Loop("by next, as many as the loader has", True, every, kind="next"),
            Loop("by next, one image left out", False, every[:-1], kind="next"),
            Loop("broken off and not said", False, every, kind="broken off"),
            Loop("the same images on each rank", False, every, kind="not shared out"),
        ],
        "lightning": [
            Loop("limit_train_batches", True, every, kind="limited"),
            Loop("limit_train_batches, never shuffled", False, every, kind="limited, in order"),
            Loop("the same images on each rank", False, every, kind="not shared out"),
            Loop("a receipt in the loader's place", False, every, kind="wrapped"),
        ],
    }


def said_by(framework: str, run: Path) -> dict[str, dict[str, str]]:
    """Framework -> loop -> what the receipt said, empty where it passed."""
    return {"ray": on_ray_train(run)} if framework == "ray" else on_ranks(run, [framework])


def on_ranks(run: Path, frameworks: Iterable[str], *, timeout: float = 600) -> dict[str, dict[str, str]]:
    """Framework -> loop -> what the receipt said (empty: it passed), from two processes that train together.

    Raises RuntimeError where one of them broke off.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(RANKS), "OMP_NUM_THREADS": "1"}
    given |= {"TORCHELASTIC_RUN_ID": "receipts", "ACCELERATE_USE_CPU": "true", "LOCAL_WORLD_SIZE": str(RANKS)}
    command = [sys.executable, "-m", "benchmarks.receipt_loops", str(run), *frameworks]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **given, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        said = [process.communicate(timeout=timeout)[0] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    answers = [line for line in said[0].splitlines() if line.startswith(ANSWER)]
    if any(process.returncode for process in ranks) or not answers:
        raise RuntimeError(f"two ranks that train: {' '.join(said[0].split())[-600:]}")
    return json.loads(answers[0].removeprefix(ANSWER))


def judged(said: Mapping[str, Mapping[str, str]], index: FeedIndex) -> Iterator[tuple[str, str, bool]]:
    """(framework, loop, whether the receipt was right)."""
    for framework, loops in said.items():
        known = {loop.name: loop for loop in loops_of(index) + special(index).get(framework, [])}
        for name, words in loops.items():
            yield framework, name, known[name].honest == (not words)


def is_installed(framework: str) -> bool:
    """Whether the framework can be tried here."""
    name = INSTALLED_AS.get(framework, "torch")
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def said_in(loops: Iterable[Loop], train: Callable[[Loop], None]) -> dict[str, str]:
    """What the receipt said of each loop, one training after the other."""
    out = {}
    for loop in loops:
        try:
            train(loop)
            out[loop.name] = ""
        except CheckFailed as error:
            out[loop.name] = str(error)
        log.info("%s: %s", loop.name, out[loop.name] or "passed")
    return out


def loader_of(fed: Fed, loop: Loop, **given: Any) -> DataLoader[Any]:
    """An ordinary loader over the loop's images, four in a batch."""
    return DataLoader([fed.items[i] for i in loop.positions], batch_size=4, collate_fn=collate, **given)  # type: ignore[arg-type]


def small(sample: Any) -> dict[str, Any]:
    """A colour for each image: the network has one weight."""
    return {"colour": torch.tensor(sample.image.mean((0, 1)) / 255, dtype=torch.float32)}


class Network(torch.nn.Module):
    """One linear layer on a colour."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(3, 1)

    def forward(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """The mean answer of a batch."""
        return self.line(torch.stack(list(batch["colour"]))).mean()


def plain(fed: Fed, loop: Loop) -> None:
    """DistributedDataParallel as PyTorch's own tutorial has it."""
    shared = loop.kind != "not shared out"
    sampler: DistributedSampler[Any] | None = DistributedSampler(loader_of(fed, loop).dataset) if shared else None
    loader = loader_of(fed, loop, sampler=sampler)
    network = torch.nn.parallel.DistributedDataParallel(Network())
    with FeedReceipt(loader, fed.mix, mode=loop.mode) as receipt:
        for epoch in range(2):
            if sampler is not None:
                sampler.set_epoch(epoch)
            count = 3 if loop.kind == "broken off" else len(loader)
            batches = iter(receipt)
            for batch in (next(batches) for _ in range(count)) if loop.kind in ("next", "broken off") else batches:
                network(batch).backward()


def lightning(fed: Fed, loop: Loop) -> None:
    """Lightning's Trainer, which puts a DistributedSampler into the loader."""
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = Network()

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self.network(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    mix, wrapped, limited = fed.mix, loop.kind == "wrapped", loop.kind.startswith("limited")
    in_order = loop.kind == "limited, in order"  # by a sampler of its own: Lightning's always shuffles in training
    loader: Any = loader_of(fed, loop, shuffle=True)
    if in_order:
        loader = loader_of(fed, loop, sampler=DistributedSampler(loader.dataset, shuffle=False))
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=RANKS,
        max_epochs=2,
        limit_train_batches=2 if limited else 1.0,
        use_distributed_sampler=loop.kind != "not shared out" and not in_order,
        callbacks=[] if wrapped else [lightning_callback(Receipt(mix, mode=loop.mode))],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), FeedReceipt(loader, mix) if wrapped else loader)


def accelerated(fed: Fed, loop: Loop) -> None:
    """accelerate's `prepare`, which shares the loader's batches out among the ranks."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    network, loader = accelerator.prepare(Network(), loader_of(fed, loop, shuffle=True))
    with FeedReceipt(loader, fed.mix, mode=loop.mode) as receipt:
        for _ in range(2):
            for batch in receipt:
                accelerator.backward(network(batch))


def on_ray_train(run: Path, *, timeout: float = 600) -> dict[str, str]:
    """Loop -> what the receipt said, from two workers of Ray Train; starts Ray where none runs."""
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    answer = run.parent / "ray_train.json"  # Ray Train keeps the metrics of checkpoints alone

    def work(config: dict[str, str]) -> None:
        fed = Fed.of(config["run"])
        said = said_in(loops_of(fed.index), lambda loop: ray_worker(fed, loop))
        if ray.train.get_context().get_world_rank() == 0:
            Path(config["answer"]).write_text(json.dumps(said), encoding="utf-8")

    scaling = ray.train.ScalingConfig(num_workers=RANKS, resources_per_worker={"CPU": 0.5})
    trainer = TorchTrainer(
        work,
        train_loop_config={"run": str(run), "answer": str(answer)},
        scaling_config=scaling,
        torch_config=TorchConfig(backend="gloo", timeout_s=int(timeout)),
        run_config=ray.train.RunConfig(storage_path=str(run.parent / "ray_train"), name="receipts"),
    )
    with ray_session(ClusterConfig(), None):
        trainer.fit()
    said: dict[str, str] = json.loads(answer.read_text())
    return said


def ray_worker(fed: Fed, loop: Loop) -> None:
    """One worker's training: Ray Train prepares loader and model."""
    from ray.train.torch import prepare_data_loader, prepare_model

    network = prepare_model(Network())
    loader: Any = prepare_data_loader(loader_of(fed, loop, shuffle=True), auto_transfer=False)
    with FeedReceipt(loader, fed.mix, mode=loop.mode) as receipt:
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            for batch in receipt:
                network(batch).backward()


TRAIN: dict[str, Callable[[Fed, Loop], None]] = {
    "plain": plain,
    "lightning": lightning,
    "accelerate": accelerated,
}


def main(run: str, *frameworks: str) -> str:
    """One rank: every loop of the frameworks, in one order on all ranks."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.distributed.init_process_group("gloo")
    fed = Fed.of(run)
    out = {}
    for name in frameworks:
        loops = loops_of(fed.index) + special(fed.index).get(name, [])
        out[name] = said_in(loops, lambda loop, train=TRAIN[name]: train(fed, loop))  # type: ignore[misc]
    torch.distributed.destroy_process_group()
    return ANSWER + json.dumps(out)


if __name__ == "__main__":
    sys.stdout.write("\n" + main(*sys.argv[1:]) + "\n")
