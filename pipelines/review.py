"""Review a run: python pipelines/review.py push|open|pull RUN [options of `s2st-aug review`]."""

from __future__ import annotations

import sys

from s2st_aug.cli import main

if __name__ == "__main__":
    main(["review", *sys.argv[1:]])
