"""Rebuild every domain profile that ships with a model: python
pipelines/build_domain.py CONFIG [--model M] [--out DIR] [--only NAME].
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from s2st_aug.diffusion.device import resolve_device
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.errors import S2STError
from s2st_aug.profiles.recipe import build_all, read_recipe


def main() -> int:
    """Exit 0 once every profile is written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="configs/domains_street_mini.yaml")
    parser.add_argument("--model", help="another model than the config's")
    parser.add_argument("--out", type=Path, help="another folder than the config's")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this domain alone (may be repeated)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        given = {key: value for key, value in (("model", arguments.model), ("out", arguments.out)) if value}
        recipe = read_recipe(arguments.config).model_copy(update=given)
        model = load_model(recipe.model, device=resolve_device(arguments.device))
        for profile in build_all(recipe, model, only=arguments.only):
            found = profile.discriminant
            strength = (
                f"strength fitted on {found.fitted_on}, elsewhere right in {found.accuracy}" if found else "no strength"
            )
            print(f"{profile.name}: {len(profile.references)} references, {strength}, sha256 {profile.sha256[:12]}")
    except S2STError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
