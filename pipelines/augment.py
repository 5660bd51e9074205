"""The main job as a script: what `ray job submit --working-dir . -- python pipelines/augment.py CONFIG` runs.

Takes the arguments of `s2st-aug augment`; on a cluster, RUN and dataset.root are places that every node sees.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "s2st_aug/__init__.py").is_file():  # a submitted working directory is not installed
        sys.path.insert(0, str(checkout))
    from s2st_aug.cli import main

    main(["augment", *sys.argv[1:]])
