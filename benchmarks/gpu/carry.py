"""Photos and averaged weights for the lent machine: python -m benchmarks.gpu.carry FOLDER [--checkpoint FILE]."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open

from s2st_aug.errors import ModelError
from s2st_aug.real_data import VARIABLE
from s2st_aug.training.checkpoints import save_checkpoint
from s2st_aug.training.data import Source, list_samples, load_sample

SIZE, QUALITY = (512, 288), 82


def carry_photos(root: Path, out: Path) -> int:
    """The permissive photos, cropped to 16:9, as JPEG of SIZE in `out/day` and `out/night`; gives how many."""
    rng, samples = np.random.default_rng(0), list_samples([Source(root=root)], ("day", "night"))
    for index, sample in enumerate(samples):
        path = out / sample.domain / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            image = load_sample(sample.path, SIZE, quality=95, rng=rng)
            cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return len(samples)


def carry_average(checkpoint: Path, out: Path) -> int:
    """The averaged UNet and text encoder of a checkpoint in float16; gives how many parameters."""
    with safe_open(checkpoint, framework="pt") as file:
        names = list(file.keys())
        inside = [n for n in names if n.startswith("average.")] or names
        wanted = [n for n in inside if n.removeprefix("average.").startswith(("unet.", "text_encoder."))]
        if not wanted:
            raise ModelError(f"{checkpoint}: neither a training's checkpoint nor its averaged weights")
        tensors = {n.removeprefix("average."): file.get_tensor(n) for n in wanted}
    half = {n: t.to(torch.float16) if t.is_floating_point() else t for n, t in tensors.items()}
    save_checkpoint(out, half, {"from": checkpoint.name})
    return sum(t.numel() for t in half.values())


def main() -> None:
    """Carry what there is, and say what."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args()
    root = Path(os.environ.get(VARIABLE, "/nowhere")) / "permissive"
    out = arguments.folder / "data" / "permissive"
    print(
        f"photos: {carry_photos(root, out)} to {out}" if root.is_dir() else f"photos: none, {VARIABLE} names no folder"
    )
    if arguments.checkpoint:
        count = carry_average(arguments.checkpoint, arguments.folder / "average.safetensors")
        print(f"checkpoint: {count / 1e6:.1f} M parameters of {arguments.checkpoint} in float16")


if __name__ == "__main__":
    main()
