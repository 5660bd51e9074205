"""A kit for measuring: the real checks of a real model's profiles, behind the fake translator."""

from __future__ import annotations

from s2st_aug.engine import s2st
from s2st_aug.engine.kit import Kit
from s2st_aug.testing.methods import FakeTranslator

KIT = Kit(s2st.identify, lambda config, device: FakeTranslator(), s2st.make_judge)
