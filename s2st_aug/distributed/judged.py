"""A kit for measuring: the real checks of a real model's profiles, behind the fake translator."""

from __future__ import annotations

from s2st_aug.distributed import s2st
from s2st_aug.distributed.fakes import FakeTranslator
from s2st_aug.distributed.kit import Kit

KIT = Kit(s2st.identify, lambda config, device: FakeTranslator(), s2st.make_judge)
