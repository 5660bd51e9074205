"""A file in parts, for a door that lets only small files through, and whole again with its hash checked."""

from __future__ import annotations

import json
from pathlib import Path

from s2st_aug.errors import ModelError
from s2st_aug.images import sha256_bytes

INDEX = "parts.json"


def write_parts(path: Path, folder: Path, *, limit: int = 63 * 2**18) -> int:
    """Lay `path` into `folder` as `<name>.0`, `<name>.1`, ... of at most `limit` bytes, the index last; gives how many.

    Every part is renamed into place whole. A kill between two of them leaves a mixture, which the index's hash refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes()
    pieces = [data[start : start + limit] for start in range(0, len(data), limit)]
    names = [f"{path.name}.{k}" for k in range(len(pieces))]
    index = json.dumps({"name": path.name, "sha256": sha256_bytes(data), "parts": names}).encode()
    for name, piece in [*zip(names, pieces, strict=True), (INDEX, index)]:
        temporary = path.with_name(f"{name}.part")  # beside the source, so that `folder` never holds a file too many
        temporary.write_bytes(piece)
        try:
            temporary.replace(folder / name)
        except OSError:  # another file system
            (folder / name).write_bytes(piece)
            temporary.unlink()
    return len(pieces)


def join_parts(folder: Path, out: Path) -> Path:
    """The file whose parts lie in `folder`, written into `out`; raises ModelError where they do not belong together."""
    if not (folder / INDEX).is_file():
        raise ModelError(f"{folder}: no {INDEX}: these are not the parts of a file")
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    missing = [name for name in index["parts"] if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder}: the part {missing[0]} is missing ({len(missing)} of {len(index['parts'])})")
    data = b"".join((folder / name).read_bytes() for name in index["parts"])
    if sha256_bytes(data) != index["sha256"]:
        raise ModelError(
            f"{folder}: the parts of {index['name']} do not belong together (another SHA-256 than {INDEX} names)"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / index["name"]).write_bytes(data)
    return out / index["name"]
