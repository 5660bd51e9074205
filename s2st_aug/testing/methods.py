"""Public fakes of a method: a photometric change in place of the model, so that the engine can be tried anywhere.

They are deterministic in the image and the domain, need no weights, and misbehave on request: a photo whose top left
pixel is one of MAGIC makes the translator raise, run out of memory, diverge, kill its process, or keep memory.
`S2ST_FAKE_SLEEP` (seconds a batch) stands for a model's work. `S2ST_FAKE_ILL` makes whole workers ill: `load` (no
model), `device` (a CUDA error that stays), `raise` (whatever they are given), `hang` (an hour a batch), `judge` (the
checks fail on whatever they are given).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from weakref import WeakSet

import numpy as np
from pydantic import BaseModel, ConfigDict

from s2st_aug.arrays import Image
from s2st_aug.config.hashes import hash_of
from s2st_aug.errors import Diverged
from s2st_aug.images import luma, to_uint8
from s2st_aug.methods import Judge, Method, MethodConfig, MethodIdentity, Translated, TranslatorLike
from s2st_aug.methods.s2st import S2ST
from s2st_aug.randomness import numpy_generator
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.verdicts import Gate, Judgement, ObjectVerdict
from s2st_aug.translation.settings import MethodSettings

FAKE, JUDGED = "s2st_aug.testing.methods:FakeMethod", "s2st_aug.testing.methods:JudgedMethod"
"""`method.name` of the fakes below"""
HUNGRY = "s2st_aug.testing.methods:HungryMethod"
RAISES, OUT_OF_MEMORY, DIVERGES, DIES, LEAKS = (255, 0, 1), (255, 0, 2), (255, 0, 3), (255, 0, 4), (255, 0, 5)
ASSERTS = (255, 0, 6)
"""it breaks the device of its worker, which is ill from then on"""
MAGIC = (RAISES, OUT_OF_MEMORY, DIVERGES, DIES, LEAKS, ASSERTS)
LEAK_BYTES = 200 << 20
_LEAKED: list[np.ndarray] = []
GAINS = {
    "night": (0.3, 0.3, 0.4),
    "rain": (0.7, 0.75, 0.8),
    "dusk": (0.6, 0.5, 0.5),
    "fog": (0.9, 0.9, 0.95),
    "night_rain": (0.2, 0.25, 0.35),
}


class FakeTranslator:
    """Scales the colours per domain and adds a little noise that belongs to the sample."""

    def translate(
        self,
        photos: Sequence[Image],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        """One dict per photo, domain -> Translated."""
        _be_ill()
        time.sleep(float(os.environ.get("S2ST_FAKE_SLEEP", "0")))
        for photo in photos:
            _misbehave(photo, len(photos))
        keys = keys or [0] * len(photos)
        return [{d: _darken(p, d, k) for d in domains} for p, k in zip(photos, keys, strict=True)]


def _be_ill() -> None:
    ill = os.environ.get("S2ST_FAKE_ILL", "")
    if ill == "device":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if ill == "raise":
        raise ValueError("this worker raises whatever it is given")
    if ill == "hang":
        time.sleep(3600)


def _misbehave(photo: Image, batch: int) -> None:
    pixel = tuple(int(v) for v in photo[0, 0])
    if pixel == RAISES:
        raise ValueError("this photo makes the fake raise")
    if pixel == OUT_OF_MEMORY and batch > 1:
        raise MemoryError("out of memory: the fake takes this photo only alone")
    if pixel == DIVERGES:
        raise Diverged("NaN in the latents, in float32 too")
    if pixel == ASSERTS:
        os.environ["S2ST_FAKE_ILL"] = "device"
        raise RuntimeError("CUDA error: device-side assert triggered")
    if pixel == LEAKS:
        _LEAKED.append(np.ones(LEAK_BYTES, np.uint8))
    if pixel == DIES:
        os._exit(9)


def _darken(photo: Image, domain: str, key: int) -> Translated:
    noise = numpy_generator(key, domain).integers(-3, 4, (*photo.shape[:2], 1))
    image = to_uint8(photo * np.array(GAINS[domain]) + noise)
    return Translated(image, image, st_iterations=1, to_iterations=1, forward_evals=1.0)


def _judge(source: Image, variant: Image, raw: Image, objects: Sequence[SceneObject], domain: str) -> Judgement:
    """Rejects a variant that is not darker; keeps every object."""
    if os.environ.get("S2ST_FAKE_ILL") == "judge":
        raise RuntimeError("the detector's runtime is gone")
    verdicts = tuple(
        ObjectVerdict(o.object_id, o.kind, o.category, o.bbox, "keep", None, 1.0, 1.0, 1.0, 0.0) for o in objects
    )
    strength = float(1 - luma(variant).mean() / max(luma(source).mean(), 1.0))
    gates: tuple[Gate, ...] = () if strength > 0.02 else ("strength",)
    return Judgement("rejected" if gates else "ok", gates, verdicts, (), 1.0, 1.0, strength, gates)


class FakeSettings(BaseModel):
    """What the fake can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    label_aware: bool = True
    """whether labels count in the variants' identity; no pixel depends on them"""
    number: int = 0
    """anything: another number is another plan"""


class FakeMethod(Method[FakeSettings]):
    """Needs no model: neither the translator nor the checks are real."""

    settings = FakeSettings
    version = "1"

    def identify(self, config: MethodConfig[FakeSettings]) -> MethodIdentity:
        """Of nothing but names."""
        return MethodIdentity(
            name=config.name,
            version=self.version,
            settings=config.settings.model_dump(mode="json"),
            model_sha256=hash_of("fake"),
            profiles={d: hash_of(["fake", d]) for d in config.domains},
            label_aware=config.settings.label_aware,
            evals_per_scene=(1.0 * len(config.domains), 0.0),
        )

    def load(self, config: MethodConfig[FakeSettings], device: str) -> TranslatorLike:
        """Nothing to load."""
        if os.environ.get("S2ST_FAKE_ILL") == "load":
            raise RuntimeError("no kernel image is available for execution on the device")
        return FakeTranslator()

    def judge(self, config: MethodConfig[FakeSettings]) -> Judge:
        """Brightness alone."""
        return _judge


class _Weights:
    """Stands for a network's memory."""


class HungryTranslator:
    """Takes ROOM photos at once; with more it runs out of memory while its activations are alive."""

    ROOM = 2
    alive: WeakSet[_Weights] = WeakSet()
    """what holds memory in this process: weights and activations of all translators"""
    loads: list[int] = []
    """how much of that was there when each translator was loaded"""
    sizes: list[int] = []
    """of the batches that were tried"""

    def __init__(self) -> None:
        self.loads.append(len(self.alive))
        self._weights = self._held()

    def translate(
        self,
        photos: Sequence[Image],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> list[dict[str, Translated | Diverged]]:
        """As the fake, where there is room."""
        activations = self._held()
        self.sizes.append(len(photos))
        if len(photos) > self.ROOM:
            raise MemoryError(f"out of memory: {len(photos)} photos, {activations}")
        return FakeTranslator().translate(photos, domains, objects, keys)

    def _held(self) -> _Weights:
        made = _Weights()
        self.alive.add(made)
        return made


class HungryMethod(FakeMethod):
    """The fake with too little memory for batches above HungryTranslator.ROOM."""

    def load(self, config: MethodConfig[FakeSettings], device: str) -> TranslatorLike:
        """Weights of its own."""
        return HungryTranslator()


class JudgedMethod(S2ST):
    """For measuring: the real checks against a real model's profiles, behind the fake translator."""

    def load(self, config: MethodConfig[MethodSettings], device: str) -> TranslatorLike:
        """Nothing to load."""
        return FakeTranslator()
