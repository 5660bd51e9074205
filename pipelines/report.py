"""The HTML page of a run: python pipelines/report.py RUN [--out FILE] [--review]; the same as `s2st-aug report`."""

from __future__ import annotations

import sys

from s2st_aug.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
