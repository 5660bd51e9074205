"""What the driver knows of a run's model before a worker exists."""

from __future__ import annotations

from s2st_aug.config import load_config
from s2st_aug.diffusion.model_files import combined_hash
from s2st_aug.engine.context import identify


def test_every_weight_file_is_recorded_beside_the_combined_hash(repo):
    found = identify(load_config(repo / "configs" / "demo.yaml"))
    assert {name.split("/")[0] for name in found.model_files} == {"unet", "vae", "text_encoder"}
    assert combined_hash(found.model_files) == found.model_sha256
    assert found.model_commit == ""
