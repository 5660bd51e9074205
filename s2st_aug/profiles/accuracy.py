"""What is known of how well each profile's discriminant tells its domain on photos of another data set."""

from __future__ import annotations

from s2st_aug.diffusion.model_files import profiles_beside
from s2st_aug.profiles.store import find_image_profiles, profile_files
from s2st_aug.records.profile import Discriminant, DomainProfile
from s2st_aug.validation.strength import LEAST_ACCURACY, ungated


def discriminants_beside(model: str) -> dict[str, Discriminant]:
    """The discriminants of the profiles that ship with a model, by domain; raises ModelError and ProfileError."""
    found = find_image_profiles(profile_files(profiles_beside(model)), model)
    return {name: p.discriminant for name, p in found.items() if p is not None and p.discriminant is not None}


def strength_line(profile: DomainProfile | None) -> str:
    """Whether strength may reject variants of this domain, and the accuracy on other photos that says so."""
    own = profile.discriminant if profile else None
    if own is None:
        return "no discriminant, strength is null"
    if own.accuracy is None:
        return f"strength is measured and rejects nothing: accuracy on other photos unknown (fitted on {own.fitted_on})"
    told = f"accuracy {own.accuracy:.2f} on other photos"
    if ungated(own):
        return f"strength is measured and rejects nothing: {told}, at least {LEAST_ACCURACY:g} is needed"
    return f"strength may reject: {told}"
