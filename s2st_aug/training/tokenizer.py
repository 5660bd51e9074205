"""A small byte-pair vocabulary in CLIP's format (vocab.json, merges.txt): any text can be written in it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")  # CLIP's own split


def learn_vocabulary(corpus: Sequence[str], *, size: int = 1024) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of at most `size` tokens: every byte, alone and as
    a word's end, then the merges, then start and end.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges([text.lower() for text in corpus], alphabet, size)
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    merges = merges[: max(size - len(tokens) - 2, 0)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    return {token: index for index, token in enumerate([*dict.fromkeys(tokens), START, END])}, merges


def _merges(corpus: Sequence[str], alphabet: list[str], size: int) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
