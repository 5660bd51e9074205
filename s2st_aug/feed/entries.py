"""What a training set holds: one light entry per image, real or
synthetic, with people's decisions and the gates applied.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from s2st_aug.arrays import Image
from s2st_aug.errors import DatasetError, LabelError, SourceChanged, UsageError, counted, did_you_mean
from s2st_aug.export.consumers import unreadable_sources
from s2st_aug.export.convert import label_source, theme
from s2st_aug.export.options import ExportOptions, UnjudgedPolicy
from s2st_aug.export.run_labels import RunLabels
from s2st_aug.export.selection import COLUMNS, Selection, refuse_held_out, select
from s2st_aug.feed.arguments import wrong
from s2st_aug.formats import Card, dataset_card, orientation_of, read_objects, read_scenes
from s2st_aug.formats.loss_report import LossReport
from s2st_aug.images import read_photo, sha256_bytes
from s2st_aug.records.scene import Scene, SceneObject
from s2st_aug.storage import RunFolder
from s2st_aug.storage.decisions import from_table, resolve

log = logging.getLogger(__name__)
REAL = "source"  # the domain of real images, as in the lock file of an export


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the training set. `sample_id` is the variant's id, or the scene's for a real image.

    `ignored` are the labels that a verdict or a person took out of training; `sha256` is the image file's.
    """

    sample_id: str
    scene: Scene
    domain: str
    image: Path
    sha256: str | None
    ignored: frozenset[str] = frozenset()

    @property
    def synthetic(self) -> bool:
        """False for a real image."""
        return self.domain != REAL


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An entry with its pixels and labels; `trained` are the labels to
    learn from, `ignored` the regions to leave out.
    """

    entry: Entry
    image: Image
    trained: tuple[SceneObject, ...]
    ignored: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FeedIndex:
    """A training set that is not yet read: what is in it, in a stable order."""

    format: str  # the dataset card's name
    root: Path
    entries: tuple[Entry, ...]
    rescale_labels: bool = False  # as the run's `dataset.rescale_labels`
    labels: RunLabels | None = None  # that the run judged

    @property
    def card(self) -> Card:
        """The dataset's card, which says how its labels are read."""
        return dataset_card({"format": self.format, "root": self.root, "rescale_labels": self.rescale_labels})

    def read(self, entry: Entry) -> Sample:
        """Decode one entry; raises SourceChanged where the file or the labels are not those that the run recorded."""
        try:
            data = entry.image.read_bytes()
        except OSError as error:
            raise DatasetError(f"{entry.image}: cannot be read ({error.strerror})") from None
        if entry.sha256 is not None and sha256_bytes(data) != entry.sha256:
            raise SourceChanged(f"{entry.image}: not the file that the run recorded for {entry.sample_id}")
        card = self.card
        image = read_photo(data, orientation=orientation_of(card, self.root, entry.scene)).rgb
        objects = read_objects(card, self.root, entry.scene)
        other = self.labels.difference(entry.scene.scene_id, objects) if self.labels else None
        if other is not None:
            raise SourceChanged(f"{entry.scene.scene_id}: its labels are not those that the run was made from: {other}")
        ignored = tuple(o for o in objects if o.object_id in entry.ignored or o.crowd or o.unsound)
        out = {o.object_id for o in ignored}
        trained = tuple(o for o in things_once(card, entry.scene, objects) if o.object_id not in out)
        return Sample(entry, image, trained, ignored)

    def images_by_domain(self) -> Counter[str]:
        """How many images of each domain; real ones count as `source`."""
        return Counter(e.domain for e in self.entries)


def things_once(card: Card, scene: Scene, objects: Sequence[SceneObject]) -> tuple[SceneObject, ...]:
    """The labels without second forms of one thing.

    Where a scene's files tell of a class of things twice (COCO's instances and keypoints, BDD100K's boxes and masks),
    the first in the card's order counts, as in an export to another format.
    """
    first: dict[str, str] = {}
    kept = []
    for item in objects:
        known = card.category(item.category)
        told = label_source(card, scene, item)
        if theme(item) != "things" or first.setdefault(known.name if known else item.category, told) == told:
            kept.append(item)
    return tuple(kept)


def open_feed(
    run: RunFolder | Path | str,
    *,
    accepted_only: bool = False,
    mix: float | None = None,
    balance: bool = False,
    by_class: bool = False,
    domains: Sequence[str] | None = None,
    unjudged: UnjudgedPolicy | None = None,
    unread: str | None = None,
) -> FeedIndex:
    """The training set of a run: its sources, and the variants that passed the checks and that no reviewer rejected.

    `mix` is the fraction of synthetic images, `balance` takes as many of every domain, `by_class` prefers rare classes;
    `unjudged="train"` leaves labels that the measure could not judge (verdict *ignore*, no word of a person) in
    training unless it has doubts about them, `"train-all"` these too; the default, `"ignore"`, takes them out
    (`unread="void"` and `"train"` are the older spelling); all as in `s2st-aug export`.

    Real images that cannot be opened, or whose labels cannot be read, are left out with a
    warning. Raises UsageError for a wrong argument, for a run of val or test, or where nothing is left, SourceChanged
    where a scene's label record is not the one that the run was made from.
    """
    run = _folder(run)
    options = ExportOptions(
        accepted_only=accepted_only, mix=mix, balance=balance, by_class=by_class, unjudged=unjudged, unread=unread
    )
    info = run.run_json()
    table = run.read_manifest(COLUMNS)
    if domains is not None:
        table = _of_domains(run, table, domains)
    card_name, root = info.config["dataset"]["format"], Path(info.dataset_root)
    splits = sorted(set(table["split"].to_pylist()))
    card = dataset_card(info.config["dataset"] | {"root": root})
    refuse_held_out(table)
    scenes = {s.scene_id: s for split in splits for s in read_scenes(card, root, split)}
    unreadable = _unreadable(table, card, root, scenes)
    selection = select(table, resolve(from_table(run.read_decisions())), options, unreadable=unreadable)
    rescale = bool(info.config["dataset"].get("rescale_labels"))
    entries = tuple(_entries(run, root, selection, scenes))
    return FeedIndex(card_name, root, entries, rescale, selection.labels)


def _unreadable(table: pa.Table, card: Card, root: Path, scenes: dict[str, Scene]) -> frozenset[str]:
    """Scenes of which the run has no variant, and whose image or labels no training could read."""
    losses = LossReport()
    found = set(unreadable_sources(table, root, losses))
    made = set(table.filter(pc.is_valid(table["image"]))["scene_id"].to_pylist())
    for scene_id in set(table["scene_id"].to_pylist()) - made - found:
        try:
            read_objects(card, root, scenes[scene_id]) if scene_id in scenes else ()
        except LabelError:
            found.add(scene_id)
    if found:
        told = "left out, as it cannot be opened or its labels cannot be read"
        log.warning("%s %s; the first is %s", counted(len(found), "real image"), told, min(found))
    return frozenset(found)


def _folder(run: object) -> RunFolder:
    if not isinstance(run, RunFolder | Path | str):
        raise wrong("run", "a RunFolder or its path", run)
    return run if isinstance(run, RunFolder) else RunFolder(Path(run))


def _of_domains(run: RunFolder, table: pa.Table, domains: object) -> pa.Table:
    named = (
        isinstance(domains, Collection) and not isinstance(domains, str) and all(isinstance(d, str) for d in domains)
    )
    if not isinstance(domains, Collection) or not named or not domains:
        raise wrong("domains", "a list of names", domains)
    made = table["domain"].to_pylist()
    for name in sorted(set(domains) - set(made)):
        raise UsageError(f"{run.place}: the run has no variants of {name!r}{did_you_mean(name, set(made))}")
    return table.filter([d in domains for d in made])


def _entries(run: RunFolder, root: Path, selection: Selection, scenes: dict[str, Scene]) -> list[Entry]:
    gone = sorted(selection.scenes() - scenes.keys())
    if gone:
        raise DatasetError(f"{root}: {len(gone)} scenes of the run are no longer in the dataset, the first {gone[0]!r}")
    for scene_id in sorted(selection.scenes()):
        planned, found = selection.label_keys.get(scene_id), scenes[scene_id].label_key
        if planned is not None and found is not None and planned.rpartition(":")[2] != found.sha256:
            file = scenes[scene_id].label_file
            raise SourceChanged(f"{scene_id}: its label record in {file} is not the one that the run was made from")
    real = [Entry(s, scenes[s], REAL, root / scenes[s].image, sha) for s, sha in sorted(selection.sources.items())]
    made = [
        Entry(v.variant_id, scenes[s], v.domain, run.image_file(v.image), v.image_sha256, v.ignored)
        for s in sorted(selection.variants)
        for v in selection.variants[s]
    ]
    return real + made
