from __future__ import annotations
from s2st_aug.export.job import Job


def export_converted(job: Job, target: str) -> None:
    """x"""
