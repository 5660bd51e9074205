"""The registry of translators: `s2st`, `histogram`, and whatever a package or a user adds; a module and a line each.

A method of one's own is a class: `Method` says what it has, `method: {name: "my_package.my_module:MyMethod"}` in a
config uses it, and the entry point group `s2st_aug.methods` gives it a short name.
"""

from __future__ import annotations

from s2st_aug.methods.protocol import InTwoParts, Method, MethodConfig, MethodIdentity, TranslatorLike
from s2st_aug.methods.registry import METHODS, find_method, method_names
from s2st_aug.records.translated import Translated
from s2st_aug.records.verdicts import Judge

__all__ = [
    "METHODS",
    "InTwoParts",
    "Judge",
    "Method",
    "MethodConfig",
    "MethodIdentity",
    "Translated",
    "TranslatorLike",
    "find_method",
    "method_names",
]
