"""Run a gain experiment: python pipelines/gain.py configs/gain_camvid_dusk.yaml [--address A] [--out DIR]."""

from __future__ import annotations

import sys

from s2st_aug.cli import main

if __name__ == "__main__":
    main(["gain", *sys.argv[1:]])
