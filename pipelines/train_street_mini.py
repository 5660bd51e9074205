"""Train a small latent diffusion model: `python pipelines/train_street_mini.py configs/train_street_mini.yaml`.

Stops and resumes at any time; checkpoints lie in `checkpoints/<name>`. `--stage` runs single stages, `--init-from`
begins from a folder of weights (the shipped ones, say), whose encoder and vocabulary are kept.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from s2st_aug.errors import S2STError
from s2st_aug.training.recipe import STAGES, Recipe, read_training_config


def main() -> int:
    """Run the recipe as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--stage", action="append", choices=STAGES, help="only these stages; default: all")
    parser.add_argument("--init-from", type=Path, help="a model folder to begin from")
    parser.add_argument("--out", type=Path, help="where the model is written; default: the config's")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = read_training_config(arguments.config)
        changes = {key: value for key in ("init_from", "out") if (value := getattr(arguments, key))}
        recipe = Recipe(config.model_copy(update=changes), arguments.checkpoints / config.name)
        folder = recipe.run(tuple(arguments.stage or STAGES))
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{config.name}: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
