"""The stages in this process, without Ray and without a run folder: a preview shows what a run would make."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import s2st_aug
from s2st_aug.arrays import Image
from s2st_aug.config import AugmentConfig
from s2st_aug.config.hashes import ALGORITHM_VERSION, method_hash, plan_hash, validation_hash
from s2st_aug.engine.attempts import AttemptTracker
from s2st_aug.engine.context import RunContext, identify, method_for_workers
from s2st_aug.engine.planning import selected_scenes
from s2st_aug.engine.remote_dataset import with_local_root
from s2st_aug.engine.sources import SourceReader, SourceScene
from s2st_aug.engine.translate import TranslateStage
from s2st_aug.engine.validate import ValidatedBatch, ValidateStage
from s2st_aug.errors import WorkerFault, counted
from s2st_aug.formats import dataset_card
from s2st_aug.records.manifest import ManifestRow
from s2st_aug.records.scene import Scene
from s2st_aug.report.contact_sheet import spread
from s2st_aug.storage.plan import PlannedBatch, PlannedScene, batch_key

log = logging.getLogger(__name__)

LOOKED_AT = 5000
"""scenes of a dataset, from its start, that a preview is spread over"""


def translate_and_validate(
    context: RunContext, batches: Iterable[PlannedBatch], *, device: str = "cpu"
) -> Iterator[ValidatedBatch]:
    """What a run's workers do with planned batches.

    Raises UsageError where the method cannot be loaded, WorkerFault where it fails whatever it is given, and nothing
    for a bad sample.
    """
    translate, validate = TranslateStage(context, AttemptTracker(), device=device), ValidateStage(context)
    for batch in batches:
        translate.load()  # else a method that cannot be loaded would fail every sample
        translated = translate(batch)
        if translated.fault:  # there is no other worker to give it to
            raise WorkerFault(translated.fault, certain=translated.certain)
        yield validate(translated)


@dataclass(frozen=True, slots=True, eq=False)
class PreviewVariant:
    """A variant's row as a run would write it, and its image; None where it failed."""

    row: ManifestRow
    image: Image | None


def spread_scenes(config: AugmentConfig, count: int) -> tuple[list[PlannedScene], int]:
    """Scenes evenly over the first LOOKED_AT of the dataset, and how many of those there are; raises DatasetError."""
    absent: list[Scene] = []
    every = list(islice(selected_scenes(with_local_root(config).dataset, on_absent=absent.append), LOOKED_AT))
    if absent:
        log.warning("left out %s without an image; first: %s", counted(len(absent), "scene"), absent[0].image)
    return [PlannedScene(scene, None, None, None) for scene in spread(every, count)], len(every)


def read_sources(config: AugmentConfig, scenes: Sequence[PlannedScene]) -> dict[str, SourceScene]:
    """Pixels and labels by scene id; what cannot be read has a `failure`."""
    read = SourceReader(config.dataset, dataset_card(config.dataset.model_dump()))
    return {planned.scene.scene_id: read(planned) for planned in scenes}


def preview_variants(config: AugmentConfig, scenes: Sequence[PlannedScene], *, device: str) -> Iterator[PreviewVariant]:
    """Every scene in every domain, in the batches that a run of this config would make of them."""
    identity = identify(config)
    context = RunContext(
        run="",
        config=config,
        card=dataset_card(config.dataset.model_dump()),
        method=method_for_workers(config),
        identity=identity,
        plan_sha256=plan_hash(config, identity),
        method_sha256=method_hash(identity),
        algorithm_version=ALGORITHM_VERSION,
        validation_sha256=validation_hash(config.validation),
        code_version=s2st_aug.__version__,
    )
    size, todo = config.cluster.batch_size, tuple(context.domains)
    groups = [tuple(scenes[i : i + size]) for i in range(0, len(scenes), size)]
    batches = [PlannedBatch(batch_key(context.plan_sha256, g), g, tuple(todo for _ in g)) for g in groups]
    for done in translate_and_validate(context, batches, device=device):
        for row, variant in zip(done.rows, done.translated.variants, strict=True):
            made = row.status != "failed" and variant.image_index is not None
            yield PreviewVariant(row, done.translated.pixels(variant, raw=False) if made else None)
