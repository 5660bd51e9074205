"""The main job as a script: what `ray job submit --working-dir . -- python pipelines/augment.py CONFIG` runs.

Takes the arguments of `s2st-aug augment`; on a cluster, RUN and dataset.root are places that every node sees.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a submitted working directory is not installed

from s2st_aug.cli import main

if __name__ == "__main__":
    main(["augment", *sys.argv[1:]])
