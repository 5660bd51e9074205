"""A driver process for the kill tests: python drive.py CONFIG.yaml RUN, on the fake kit; exits with the run's code."""

from __future__ import annotations

import sys

from s2st_aug.config import load_config
from s2st_aug.distributed.augment import Options, augment

if __name__ == "__main__":
    summary = augment(load_config(sys.argv[1]), sys.argv[2], Options(kit="fake"))
    sys.exit(summary.exit_code)
