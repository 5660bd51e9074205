"""One Ray for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray with four logical CPUs and GPUs for every test that computes."""
    from s2st_aug.config.augment import ClusterConfig
    from s2st_aug.engine.ray_session import ray_session

    with ray_session(ClusterConfig(actors=(1, 4)), None, num_gpus=4):
        yield
