"""Which words of a prompt a model knows: what its tokenizer splits into pieces, a small text encoder never learnt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A model's words. `split` takes a text to its tokens, as text; `known` lists its words where they are few."""

    split: Callable[[str], list[str]]
    known: tuple[str, ...] = ()


def split_words(vocabulary: Vocabulary, prompt: str) -> dict[str, list[str]]:
    """The words of the prompt that the tokenizer splits, each with its pieces.

    >>> split_words(Vocabulary(list), "a fog")
    {'fog': ['f', 'o', 'g']}
    """
    found = {word: vocabulary.split(word) for word in dict.fromkeys(WORD.findall(prompt.lower()))}
    return {word: pieces for word, pieces in found.items() if len(pieces) > 1}


def doubt_about(vocabulary: Vocabulary, prompt: str) -> str | None:
    """One line about the words that the model does not know, with those that it does; None where it knows all."""
    split = split_words(vocabulary, prompt)
    if not split:
        return None
    told = "; ".join(f"{word!r} is split into {', '.join(pieces)}" for word, pieces in split.items())
    if not vocabulary.known:
        return f"prompt {prompt!r}: {told}. The model may not know such words"
    return f"prompt {prompt!r}: {told}. The model does not know such words; it knows: {', '.join(vocabulary.known)}"
