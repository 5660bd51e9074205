"""Colours that a colour-blind person can tell apart (Okabe and Ito), each with a line style and a word of its own."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]
INK: RGB = (24, 28, 36)
PAPER: RGB = (250, 250, 247)
QUIET: RGB = (104, 110, 120)


@dataclass(frozen=True, slots=True)
class Mark:
    """How one verdict or status is drawn: never by colour alone."""

    colour: RGB
    width: int  # of the line, pixels
    dash: int  # length of a dash, pixels; 0 is a solid line
    word: str

    @property
    def hex(self) -> str:
        """The colour as CSS writes it."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


VERDICTS: dict[str, Mark] = {
    "keep": Mark((0, 158, 215), 1, 0, "keep: still true"),
    "ignore": Mark((240, 180, 40), 1, 4, "ignore: cannot be judged"),
    "lost": Mark((225, 60, 0), 3, 0, "lost: no longer true"),
}
STATUSES: dict[str, Mark] = {
    "ok": Mark((0, 114, 178), 0, 0, "accepted by the checks"),
    "rejected": Mark((200, 70, 0), 4, 0, "rejected by the checks"),
    "failed": Mark((90, 90, 90), 4, 6, "failed, no image"),
}
