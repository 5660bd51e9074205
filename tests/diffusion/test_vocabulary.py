"""A prompt's words that the model's tokenizer splits are named, with those that it knows."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from s2st_aug.diffusion.stable_diffusion import load_model
from s2st_aug.diffusion.vocabulary import Vocabulary, doubt_about
from s2st_aug.errors import ProfileError
from s2st_aug.profiles import build_profile, find_image_profiles
from s2st_aug.profiles.cleaning import ReferencePhotos
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.training.prompts import vocabulary_corpus


def test_street_mini_knows_every_phrase_it_was_trained_with_but_not_snow() -> None:
    vocabulary = load_model("street-mini").vocabulary
    assert vocabulary is not None
    assert doubt_about(vocabulary, "a street at night, in heavy rain") is None
    doubt = doubt_about(vocabulary, "a street in heavy Snow")
    assert doubt is not None
    assert "'snow' is split into s, no, w" in doubt and "fog, foggy" in doubt and " ffic," not in doubt
    unlisted = [text for text in vocabulary_corpus() if doubt_about(vocabulary, text)]
    assert len(unlisted) < 5, unlisted  # of what it was trained on, nearly all words are held whole


def test_a_model_that_lists_no_words_gets_a_warning_without_a_list() -> None:
    assert doubt_about(Vocabulary(lambda word: [word[:4], word[4:]]), "dashcam") == (
        "prompt 'dashcam': 'dashcam' is split into dash, cam. The model may not know such words"
    )


def test_building_a_profile_warns_before_anything_is_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = replace(tiny_latent_model(), vocabulary=Vocabulary(list, ("fog",)))
    with caplog.at_level(logging.WARNING), pytest.raises(ProfileError):
        build_profile(model, "snow", "snow", [ReferencePhotos(tmp_path)], find_image_profiles(["day"], "street-mini"))
    assert "'snow' is split into s, n, o, w" in caplog.text and "it knows: fog" in caplog.text
