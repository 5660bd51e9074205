"""The WebDataset form: tar shards of `<key>.<png|jpg>` and `<key>.json`,
readable by webdataset and by anything that reads tar.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from s2st_aug.feed.arguments import refuse_below_one, refuse_other
from s2st_aug.feed.entries import FeedIndex, Sample
from s2st_aug.images import sha256_bytes

TIME = 0  # every file's time stamp: two writings give the same bytes


def write_shards(index: FeedIndex, folder: Path | str, *, per_shard: int = 1000) -> list[Path]:
    """Write `feed-000000.tar` and so on, in the index's order; image files go in byte for byte.

    Shards of an earlier call that this one does not replace are removed: they are of another training set.
    """
    refuse_below_one("per_shard", per_shard)
    refuse_other("index", index, FeedIndex)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys(index)
    paths = []
    for number, start in enumerate(range(0, len(index.entries), per_shard)):
        path = folder / f"feed-{number:06}.tar"
        temporary = path.with_suffix(".tmp")
        with tarfile.open(temporary, "w") as tar:
            for entry in index.entries[start : start + per_shard]:
                labels = json.dumps(record(index.read(entry)), sort_keys=True)
                key = keys[entry.sample_id]
                _add(tar, f"{key}{entry.image.suffix.lower()}", entry.image.read_bytes())
                _add(tar, f"{key}.json", labels.encode())
        temporary.replace(path)
        paths.append(path)
    for earlier in set(folder.glob("feed-??????.tar")) - set(paths):
        earlier.unlink()
    return paths


def _keys(index: FeedIndex) -> dict[str, str]:
    """The key of each sample: webdataset ends one at its first dot, and joins files that have the same."""
    keys = {e.sample_id: e.sample_id.replace("/", "__").replace(".", "_") for e in index.entries}
    counts = Counter(keys.values())
    return {
        sample_id: key if counts[key] == 1 else f"{key}-{sha256_bytes(sample_id.encode())[:8]}"
        for sample_id, key in keys.items()
    }


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), TIME
    tar.addfile(member, io.BytesIO(data))


def record(sample: Sample) -> dict[str, Any]:
    """The labels of a sample as plain values: boxes in pixels, what is ignored marked."""
    entry = sample.entry
    objects = [_plain(o) | {"ignored": False} for o in sample.trained] + [
        _plain(o) | {"ignored": True} for o in sample.ignored
    ]
    own = {
        "sample_id": entry.sample_id,
        "scene_id": entry.scene.scene_id,
        "domain": entry.domain,
        "synthetic": entry.synthetic,
    }
    height, width = sample.image.shape[:2]
    return own | {
        "dataset": entry.scene.dataset,
        "split": entry.scene.split,
        "width": width,
        "height": height,
        "objects": objects,
    }


def _plain(one: Any) -> dict[str, Any]:
    return {"object_id": one.object_id, "kind": one.kind, "category": one.category, "bbox": list(one.bbox)}
