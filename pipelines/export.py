"""A training set out of a run folder; the arguments are those of `s2st-aug export`."""

from __future__ import annotations

import sys

from s2st_aug.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
