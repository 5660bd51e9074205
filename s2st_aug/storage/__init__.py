"""What a run leaves behind: its folder, the manifest, the lock, and the check of every promise against the files."""

from __future__ import annotations

from s2st_aug.storage.run_folder import RunFolder

__all__ = ["RunFolder"]
