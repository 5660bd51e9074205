"""What an export is asked for, checked when it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypedDict, get_args

from s2st_aug.errors import UsageError
from s2st_aug.export.images import ImageFormat
from s2st_aug.export.output import Link

LostPolicy = Literal["paint", "drop-image", "drop-label"]
"""What becomes of a label that training should ignore where the format has no way to say so."""
UnjudgedPolicy = Literal["ignore", "train", "train-all"]
"""What becomes of labels with the verdict ignore: ignored in training, left as they are unless the measure has doubts
(`DOUBTS`), or left as they are.
"""
UNREAD: dict[str, UnjudgedPolicy] = {"void": "ignore", "train": "train"}
"""The older spelling (`--unread`) and the policy that it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of `s2st-aug export`. Raises UsageError for a value that is none of them."""

    accepted_only: bool = False
    """only variants that a person accepted"""
    mix: float | None = None
    """fraction of the exported images that is synthetic, 0 to 1; None: all of both"""
    image_format: ImageFormat | None = None
    """file type of the variants; None: the source's own"""
    link: Link = "copy"
    """how files get there that go out as they are"""
    balance: bool = False
    """as many variants of every domain as of the rarest"""
    by_class: bool = False
    """with `mix`: prefer variants with rare classes"""
    unjudged: UnjudgedPolicy | None = None
    """labels with the verdict ignore: `ignore` (the default), `train`, or `train-all`, which takes doubted ones too"""
    unread: str | None = None
    """the older spelling of `unjudged`: void or train"""
    lost: LostPolicy = "paint"
    """labels to ignore in a format that cannot say so (YOLO)"""
    with_val: bool = False
    """copy the dataset's held-out splits too, untouched"""

    def __post_init__(self) -> None:
        """Raises UsageError, one line that names the option."""
        for name in ("accepted_only", "balance", "by_class", "with_val"):
            if not isinstance(value := getattr(self, name), bool):
                raise UsageError(f"{name}: expected True or False, got {value!r}")
        mix = self.mix
        if mix is not None and (isinstance(mix, bool) or not isinstance(mix, Real) or not 0 <= float(mix) <= 1):
            raise UsageError(f"--mix: expected a fraction from 0 to 1, got {mix!r}")
        if self.by_class and mix is None:
            raise UsageError("--balance-classes chooses among the variants and needs --mix, which says how many")
        for name, kind in (("lost", LostPolicy), ("link", Link), ("image_format", ImageFormat | None)):
            words = [word for part in get_args(kind) if part is not type(None) for word in get_args(part) or [part]]
            value = getattr(self, name)
            if value not in words and not (name == "image_format" and value is None):
                option = name.replace("_", "-")
                raise UsageError(f"--{option}: expected one of {', '.join(words)}, got {value!r}")
        unjudged_policy(self.unjudged, self.unread)

    @property
    def policy(self) -> UnjudgedPolicy:
        """What `unjudged` and its older spelling come to."""
        return unjudged_policy(self.unjudged, self.unread)

    def recorded(self, format: str, *, holds_ignored: bool) -> dict[str, object]:
        """The settings as the lock file has them; where files only lie otherwise (`link`) is none."""
        found: dict[str, object] = {"format": format, "accepted_only": self.accepted_only, "mix": self.mix}
        found |= {"balance": self.balance, "image_format": self.image_format}
        found |= {"unjudged": self.policy, "unread": "void" if self.policy == "ignore" else "train"}
        found |= {"balance_classes": True} if self.by_class else {}
        found |= {} if holds_ignored else {"lost": self.lost}
        return found | ({"with_val": True} if self.with_val else {})


class Choices(TypedDict, total=False):
    """The fields of `ExportOptions`, given by keyword."""

    accepted_only: bool
    mix: float | None
    image_format: ImageFormat | None
    link: Link
    balance: bool
    by_class: bool
    unjudged: UnjudgedPolicy | None
    unread: str | None
    lost: LostPolicy
    with_val: bool


def unjudged_policy(unjudged: str | None, unread: str | None = None) -> UnjudgedPolicy:
    """The policy from its word or its older spelling, `ignore` without either.

    Raises UsageError for another word, or for two that differ.
    """
    words = get_args(UnjudgedPolicy)
    if unjudged is not None and unjudged not in words:
        raise UsageError(f"--unjudged: expected one of {', '.join(words)}, got {unjudged!r}")
    if unread is not None and unread not in UNREAD:
        raise UsageError(f"--unread: expected {' or '.join(UNREAD)}, got {unread!r}")
    asked: set[UnjudgedPolicy] = {
        policy for policy in words if unjudged == policy or (unread and UNREAD[unread] == policy)
    }
    if len(asked) > 1:
        raise UsageError(f"--unjudged {unjudged} and --unread {unread} contradict one another; give --unjudged alone")
    return asked.pop() if asked else "ignore"
