"""The constants that decide pixels are covered by ALGORITHM_VERSION: changing one without raising it fails here."""

from __future__ import annotations

import importlib
import json
import pkgutil

import numpy as np

from s2st_aug import lights, translation
from s2st_aug.config.hashes import ALGORITHM_VERSION
from s2st_aug.diffusion import ddim, denoiser, model, schedule
from s2st_aug.images import sha256_bytes
from s2st_aug.lights import radiance
from s2st_aug.records import classes
from s2st_aug.validation.identity import constants_of

PINNED = {"1": "276f3df29898c9b0", "2": "276f3df29898c9b0", "3": "1007eb0175d98257"}
"""ALGORITHM_VERSION -> the hash of the constants of that version."""
NO_VALUES = ("_TABLE", "PRESETS", "TUNED", "TUNABLE", "_UNTUNED", "_FROZEN", "BETAS", "SPACINGS", "DTYPES")
"""Settings, which are hashed themselves, tables of functions, and float32 powers, whose last bits differ by machine."""


def constants_sha256() -> str:
    names = [f"{p.__name__}.{m.name}" for p in (translation, lights) for m in pkgutil.iter_modules(p.__path__)]
    modules = [importlib.import_module(name) for name in names]
    values = dict(constants_of(*modules, ddim, denoiser, model, schedule, classes, leave_out=NO_VALUES))
    return sha256_bytes(json.dumps(values, sort_keys=True).encode())[:16]


def test_a_constant_that_decides_pixels_changes_with_the_algorithm_version_alone():
    found = constants_sha256()
    assert PINNED.get(ALGORITHM_VERSION) == found, (
        f"a constant of translation/ or diffusion/ is not what it was under ALGORITHM_VERSION {ALGORITHM_VERSION!r}: "
        "if it can change a pixel, raise ALGORITHM_VERSION in config/hashes.py, so that variants of both are never "
        f"mixed in one run; in either case pin the constants here: PINNED[{ALGORITHM_VERSION!r}] = {found!r}"
    )


def test_brightness_is_srgbs():
    """IEC 61966-2-1; left out above, as its last bits are the processor's."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(radiance._TABLE, linear, rtol=1e-5)


def test_a_changed_constant_is_seen(monkeypatch):
    from s2st_aug.translation import detail, label_maps, losses

    before = constants_sha256()
    for module, name, value in (
        (detail, "SHADE", 0.71),
        (losses, "CONTRAST_FLOOR", 0.151),
        (label_maps, "IMPORTANCE", {**label_maps.IMPORTANCE, "car": 0.7}),
        (schedule, "LEAST", 2.0**-19),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert constants_sha256() != before, name
