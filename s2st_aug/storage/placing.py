"""Images are written once and never over one another: attempts with other bytes take other names, and the row decides.

The first bytes of a variant get its plain name. Where other bytes stand there (a worker of another kind of device that
was thought dead, an attempt that a kill ended), or where the store cannot refuse a second writer, the name ends in the
bytes' hash. What no row names when a run ends goes to quarantine/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from s2st_aug.images import sha256_bytes
from s2st_aug.storage.repair import set_files_aside
from s2st_aug.storage.run_folder import RunFolder
from s2st_aug.storage.store import Store

HASH_DIGITS = 12


def place_images(store: Store, files: Mapping[str, bytes]) -> dict[str, str]:
    """Writes images, each under its name or, where other bytes have that, under one of its own; name -> that name."""
    plain = dict(files) if store.exclusive else {}
    written = store.write_many_new(plain)
    kept = {name for name in plain if name in written or _holds(store, name, files[name])}
    others = {name: hashed_name(name, data) for name, data in files.items() if name not in kept}
    store.write_many({to: files[name] for name, to in others.items()})  # who writes such a name writes these bytes
    return {name: others.get(name, name) for name in files}


def hashed_name(name: str, data: bytes) -> str:
    """`images/night/train/a.png` -> `images/night/train/a~0123456789ab.png`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}~{sha256_bytes(data)[:HASH_DIGITS]}{path.suffix}"))


def sweep_images(run: RunFolder, there: Iterable[str], named: Iterable[str]) -> list[str]:
    """Images that are there and that no row names, to quarantine/; their names. Nobody may write images meanwhile."""
    stray = sorted(set(there) - set(named))
    set_files_aside(run, stray)
    return stray


def _holds(store: Store, name: str, data: bytes) -> bool:
    try:
        return store.size(name) == len(data) and store.read(name) == data
    except FileNotFoundError:
        return False
