"""Building, storing and finding domain profiles: what a target domain is, for one model."""

from s2st_aug.profiles.build import build_profile
from s2st_aug.profiles.store import find_image_profiles, find_profile, find_profiles, load_profile, save_profile

__all__ = ["build_profile", "find_image_profiles", "find_profile", "find_profiles", "load_profile", "save_profile"]
