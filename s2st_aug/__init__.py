"""Night and rain variants of labelled driving scenes, with every label checked to still be true."""

from __future__ import annotations

__version__ = "0.1.0"
