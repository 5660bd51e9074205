"""What trained weights draw and how they translate: python -m benchmarks.gpu.look WEIGHTS OUT [--streets 8].

Prints a row of figures a line, writes OUT/look.jpg. Its rows: each condition from noise, then held-out streets by day,
as night and rain by DDIB at guidance 1 (arXiv 2203.08382), and as they truly are. The streets are of rng_key 820017,
which is for tuning: training has not seen them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.lights import count_lights, sum_counts, wet_road
from benchmarks.render_distance import render_distance
from s2st_aug.arrays import Image
from s2st_aug.diffusion import ddim
from s2st_aug.diffusion.denoiser import guided, with_context
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.images import resize, to_uint8
from s2st_aug.procedural.drawing import draw_street
from s2st_aug.procedural.render import render_drawn
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.procedural.surfaces import surfaces
from s2st_aug.records.domains import CONDITIONS, ConditionName
from s2st_aug.training.aligned_recipe import package_weights
from s2st_aug.training.measure import generate
from s2st_aug.training.prompts import canonical_prompt

TUNING, SIZE, TILE = 820_017, (640, 360), (256, 144)
VIEWS: tuple[ConditionName, ...] = ("day", "night", "rain")


@torch.no_grad()
def translate(model: LatentModel, photos: list[Image], domain: str, *, steps: int, guidance: float) -> list[Image]:
    """DDIB: invert with the day's prompt, sample with the domain's, and no optimisation; images of SIZE."""
    size = model.working_size(*SIZE)
    pixels = torch.from_numpy(np.stack([resize(p, size) for p in photos])).to(model.device)
    clean = model.encode(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
    with torch.autocast(model.device.type, torch.bfloat16):
        source = with_context(model.denoiser, model.embed([canonical_prompt("day")] * len(clean)))
        seed = ddim.invert(source, clean, model.schedule, steps)[-1]
        target = guided(model.denoiser, model.embed([""]), guidance)
        prompt = model.embed([canonical_prompt(domain)] * len(clean))
        done = ddim.sample(with_context(target, prompt), seed, model.schedule, steps)
    made = ((model.decode(done).float() + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy()
    return [to_uint8(resize(np.ascontiguousarray(m, np.float32), SIZE)) for m in made]


def figures(
    streets: list[dict[ConditionName, Image]], made: dict[ConditionName, list[Image]]
) -> dict[str, float | None]:
    """Distances of night and rain, lights, wet road."""
    found: dict[str, float | None] = {}
    for domain, images in made.items():
        distances = [render_distance(s["day"], v, s[domain]) or 0.0 for s, v in zip(streets, images, strict=True)]
        found[f"distance_{domain}"] = float(np.mean(distances))
    counts = sum_counts(count_lights(v, s["night"]) for s, v in zip(streets, made["night"], strict=True))
    wet = [wet_road(s["day"], v, s["rain"]) for s, v in zip(streets, made["rain"], strict=True)]
    lights = {"light_recall": counts.recall, "light_precision": counts.precision, "light_f1": counts.f1}
    return found | lights | {"wet_road": float(np.mean(wet))}


def look(model: LatentModel, count: int, out: Path) -> None:
    """Print a row of figures for each number of steps and guidance, and write look.jpg."""
    streets = []
    for index in range(count):
        drawn = draw_street(sample_street(TUNING, index, SIZE))
        surface = surfaces(drawn)
        streets.append({c: render_drawn(drawn, surface, c) for c in VIEWS})
    shown: dict[ConditionName, list[Image]] = {}
    for steps in (4, 8, 16):
        for guidance in (1.0, 3.0):
            days = [s["day"] for s in streets]
            made: dict[ConditionName, list[Image]] = {
                d: translate(model, days, d, steps=steps, guidance=guidance) for d in VIEWS[1:]
            }
            print(json.dumps({"steps": steps, "guidance": guidance} | figures(streets, made)), flush=True)
            shown = made if (steps, guidance) == (16, 1.0) else shown
    grid = [list(generate(model, canonical_prompt(c), range(6), guidance=2.0, steps=16)) for c in CONDITIONS]
    for i, street in enumerate(streets[:6]):
        grid.append(
            [street["day"], shown["night"][i], street["night"], shown["rain"][i], street["rain"], street["day"]]
        )
    sheet = np.concatenate([np.concatenate([resize(image, TILE) for image in row], 1) for row in grid])
    cv2.imwrite(str(out / "look.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    """Open the weights and look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--streets", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s2st_aug-look-") as folder:
        package_weights(arguments.weights, Path(folder) / "model")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        look(load_model(Path(folder) / "model", device=device, self_test=False), arguments.streets, arguments.out)


if __name__ == "__main__":
    main()
