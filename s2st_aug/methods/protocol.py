"""The interface of a method: it is identified before a run, loaded in a worker, and called for each batch.

A whole one, which darkens and needs no model::

    class Darken(Method[DarkenSettings]):
        settings = DarkenSettings                       # a pydantic record; its keys stand beside `name` in the config
        version = "1"                                   # another one whenever the same settings give other pixels
        needs_model, any_domain = False, True

        def identify(self, config):
            hashes = self.profile_hashes(config)
            return MethodIdentity(config.name, self.version, config.settings.model_dump(), "", hashes)

        def load(self, config, device):
            return DarkenTranslator(config.settings)    # anything with TranslatorLike.translate

One around a network of one's own is in docs/own_method.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from s2st_aug.arrays import AnyImage
from s2st_aug.errors import SampleError
from s2st_aug.records.profile import DomainProfile
from s2st_aug.records.scene import SceneObject
from s2st_aug.records.translated import Translated
from s2st_aug.records.verdicts import Judge
from s2st_aug.validation.settings import ValidationSettings

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MethodConfig(Generic[Settings]):
    """What a method knows about a run: plain values, the same in the driver and in every worker."""

    name: str
    """as the config spells it"""
    settings: Settings
    """the method's own record"""
    model: str
    """street-mini, street-photo, a folder or a hub id: what translates, and whose domain profiles judge"""
    domains: tuple[str, ...]
    """shipped profiles by name, or paths of built ones"""
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    """thresholds of the checks"""
    threads: int | None = None
    """CPU threads of a worker; None: as many as there are cores"""
    gpus: int = 1
    """GPUs that one model is spread over"""


@dataclass(frozen=True, slots=True)
class MethodIdentity:
    """Everything that decides a pixel, known in the driver before a worker exists.

    Whatever decides a pixel is in here: the plan hash is made of it.
    """

    name: str
    version: str
    settings: Mapping[str, Any]
    """JSON values: the settings that decide pixels, and hashes of the files they name"""
    model_sha256: str
    """empty: the method has no model"""
    profiles: Mapping[str, str]
    """domain -> sha256 of its profile (empty: it has none); the domains are called so in the manifest, in this order"""
    by_scene: bool = False
    """whether `translate` is also told which scenes the photos are: keywords `scenes` and `orientations` (`apply` or
    `ignore`: whether their pixels lie upright or as stored)"""
    label_aware: bool = False
    """whether `translate` is given the labels, which then count in every variant_id"""
    evals_per_scene: tuple[float, float] = (0.0, 0.0)
    """network passes forward and backward, all domains together"""
    model_files: Mapping[str, str] = field(default_factory=dict)
    """weight file -> sha256"""
    model_commit: str = ""
    """of a model from the hub"""


class TranslatorLike(Protocol):
    """A loaded method, which a worker calls."""

    def translate(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> Sequence[Mapping[str, Translated | SampleError]]:
        """A batch: for each photo (`h w 3` uint8, any size) every domain's image at the photo's exact size.

        `objects` are each photo's labels (None: not label-aware); `keys` the samples' random keys: draw from them and
        from nothing else. The result must not depend on the worker, on earlier batches, or on time. A sample that did
        not work out comes back as a SampleError (such as Diverged) in its place; what is raised fails the whole batch,
        which is then tried photo by photo.
        """
        ...


@runtime_checkable
class InTwoParts(Protocol):
    """A translator that finishes its work in a second part without the device, which meanwhile takes the next batch."""

    def start(
        self,
        photos: Sequence[AnyImage],
        domains: Sequence[str],
        objects: Sequence[Sequence[SceneObject]] | None = None,
        keys: Sequence[int] | None = None,
    ) -> Callable[[], Sequence[Mapping[str, Translated | SampleError]]]:
        """All that the device does of `translate`; what is given back does the rest, in any thread, and its results."""
        ...


class Method(ABC, Generic[Settings]):
    """A method in the registry. Each process has one object of it, without state."""

    needs_model: ClassVar[bool] = True
    """False: the config's `model` is neither loaded, hashed nor downloaded, and rows name none"""
    any_domain: ClassVar[bool] = False
    """True: `domains` may have names without a profile (`identify` says which it takes); their strength is null"""
    settings: ClassVar[type[BaseModel]]
    """the method's own settings: a frozen pydantic record that forbids unknown keys"""
    files: ClassVar[tuple[str, ...]] = ()
    """settings that name a file or folder, or a list or table of them: workers, which may start in another folder, are
    told absolute paths"""
    version: ClassVar[str]
    """part of the plan hash: another one whenever the same settings give other pixels"""
    presets: ClassVar[Mapping[str, BaseModel]] = {}
    """records that `preset: NAME` starts from; the settings then have a field `preset`, whose default is the default
    preset"""

    def presets_on(self, model: str) -> Mapping[str, BaseModel]:
        """`presets` as that model (as the config names it) wants them. Raises ModelError."""
        return self.presets

    @abstractmethod
    def identify(self, config: MethodConfig[Settings]) -> MethodIdentity:
        """In the driver, before anything is started. Raises a UsageError for what could not run, and loads nothing."""

    @abstractmethod
    def load(self, config: MethodConfig[Settings], device: str) -> TranslatorLike:
        """In a worker, once: ready to translate on a torch device (`cpu`, `cuda:0`)."""

    def profile_hashes(self, config: MethodConfig[Settings]) -> dict[str, str]:
        """What `MethodIdentity.profiles` wants: the domains by their own names, with the hashes of their profiles.

        Raises ModelError, ProfileError or ConfigError.
        """
        return {name: profile.sha256 if profile else "" for name, profile in self._profiles(config).items()}

    def judge(self, config: MethodConfig[Settings]) -> Judge:
        """The validity checks against the domain profiles. Only fakes need to override this."""
        from s2st_aug.methods.checks import validity_checks  # torch: the driver and the CLI do without

        return validity_checks(self._profiles(config), config.validation)

    def _profiles(self, config: MethodConfig[Settings]) -> Mapping[str, DomainProfile | None]:
        from s2st_aug.methods.checks import find_image_profiles, hash_model, profiles_by_name

        if self.needs_model:
            return profiles_by_name(config.domains, hash_model(config.model).shell)
        return find_image_profiles(config.domains, config.model, required=not self.any_domain)
