"""The run's config: YAML in, one frozen record out, every problem at once.

And the hashes that decide what may be mixed.
"""

from __future__ import annotations

from s2st_aug.config.augment import AugmentConfig
from s2st_aug.config.load import load_config

__all__ = ["AugmentConfig", "load_config"]
