"""How long a model as large as Stable Diffusion 1.5 takes to load from disk, beside diffusers' own pipeline.

    python -m benchmarks.loading --json out.json [--repeats 3] [--dtype float32]

Random weights of that shape (1.07e9 parameters, float16, safetensors) are written to a folder of the system's temporary
one and removed afterwards. Every load is a process of its own; `cold` ones find nothing of the files in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.shapes import AUTOENCODERS, UNETS, random_network
from s2st_aug.diffusion.model_files import all_weight_files, hash_files
from s2st_aug.diffusion.networks import SCHEDULER_CONFIG
from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.training.package import Networks, write_model
from s2st_aug.training.tokenizer import learn_vocabulary

WAYS = ("hash", "s2st_aug", "diffusers")
CLIP_L: dict[str, Any] = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12,
}  # fmt: skip


def write_folder(folder: Path) -> float:
    """Stable Diffusion 1.5's shapes with random weights in float16; gives the size of the weight files [GB]."""
    import diffusers
    import transformers

    unet = random_network(diffusers.UNet2DConditionModel, **UNETS["sd-1.5"])
    vae = random_network(diffusers.AutoencoderKL, **AUTOENCODERS["sd"], scaling_factor=0.18215)
    encoder = random_network(transformers.CLIPTextModel, transformers.CLIPTextConfig(**CLIP_L))
    made = Networks(unet, vae, encoder, *learn_vocabulary(["a street"], size=600))
    write_model(folder, made, max_tokens=77)
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"][1] = "AutoencoderKL"
    (folder / "model_index.json").write_text(json.dumps(index))
    encoder.half().save_pretrained(folder / "text_encoder")
    scheduler = {"_class_name": "DDIMScheduler", **SCHEDULER_CONFIG, "prediction_type": "epsilon"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return sum(file.stat().st_size for file in all_weight_files(folder)) / 1e9


def forget(folder: Path) -> None:
    """Drop the weight files from the system's memory, so that the next load reads the disk."""
    for file in all_weight_files(folder):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def load(way: str, folder: Path, dtype: torch.dtype) -> dict[str, float]:
    """Seconds by the clock and of the processor, without imports, and the process's peak of memory."""
    import diffusers
    import transformers

    pipeline: Any = diffusers.StableDiffusionPipeline
    for lazy in ((diffusers, "UNet2DConditionModel"), (diffusers, "AutoencoderKL"), (transformers, "CLIPTextModel")):
        getattr(*lazy)  # imported here, so that only loading is timed
    start, worked = time.perf_counter(), time.process_time()
    if way == "hash":
        hash_files(folder)
    elif way == "s2st_aug":
        load_model(folder, dtype=dtype, self_test=False)
    else:
        pipeline.from_pretrained(folder, torch_dtype=dtype, local_files_only=True)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def measure(repeats: int, dtype: str) -> dict[str, Any]:
    """Every way, cold and warm, one after another in turn: the least of the repeats, by the clock."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        gigabytes = write_folder(Path(place))
        for _ in range(repeats):
            for way in WAYS:
                for state in ("cold", "warm"):
                    if state == "cold":
                        forget(Path(place))
                    words = [sys.executable, "-m", "benchmarks.loading", "--one", way, place, "--dtype", dtype]
                    done = subprocess.run(words, check=True, capture_output=True, text=True)
                    found.setdefault(f"{way}, {state}", []).append(json.loads(done.stdout.splitlines()[-1]))
                    sys.stderr.write(f"{way}, {state}: {found[f'{way}, {state}'][-1]}\n")
    best = {name: min(runs, key=lambda run: run["seconds"]) for name, runs in found.items()}
    return {"gigabytes": round(gigabytes, 2), "dtype": dtype, "repeats": repeats, "best": best, "all": found}


def main() -> None:
    """Measure all, or load once as a process of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(load(given.one[0], Path(given.one[1]), getattr(torch, given.dtype))) + "\n")
        return
    found = json.dumps(measure(given.repeats, given.dtype), indent=2)
    sys.stdout.write(found + "\n")
    if given.json:
        given.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
