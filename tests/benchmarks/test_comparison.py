"""The table against peers: what its columns mean."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import same_street
from benchmarks.comparison import (
    ENDS,
    KNOBS,
    METHODS,
    NULL_TEXT_GUIDANCE,
    OURS,
    TRUTH,
    Given,
    HeldOutStreet,
    Row,
    as_markdown,
    at_structure,
    draw_pareto,
    summarise,
)
from benchmarks.finishing import Finish
from s2st_aug.records.scene import SceneObject
from s2st_aug.testing.models import tiny_latent_model
from s2st_aug.translation.settings import method_settings


def row(method: str, knob: float, street: int, distance: float, structure: float) -> Row:
    return Row(method, knob, street, "night", distance, structure, 0.7, 0.9, True, 20.0, 2.0)


ROWS = [
    *(row(OURS, k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.8, 1.2), (4.0, 0.4, 1.0))),
    *(row("peer", k, s, d + 0.1 * s, q) for s in (0, 1) for k, d, q in ((1.0, 0.9, 1.1), (2.0, 0.7, 1.0))),
]


def test_ours_is_read_at_the_others_structure():
    curve = [row(OURS, 4.0, 0, 0.4, 1.0), row(OURS, 1.0, 0, 0.8, 1.2)]
    assert at_structure(curve, 1.1) == pytest.approx(0.6)
    assert at_structure(curve, 0.5) is at_structure(curve, 2.0) is at_structure([], 1.0) is None, (
        "what it does not reach is not compared"
    )


def test_the_best_knob_is_the_nearest_and_differences_are_paired():
    found = {(s.method, s.knob): s for s in summarise(ROWS)}
    assert [key for key, s in found.items() if s.best] == [(OURS, 4.0), ("peer", 2.0)]
    assert found["peer", 2.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].ours_less_theirs[0] == pytest.approx(-0.3)
    assert found["peer", 1.0].reached == 2
    assert found[OURS, 4.0].ours_less_theirs is None
    far = summarise([*ROWS, row("far", 1.0, 0, 0.9, 1.5), row("far", 1.0, 1, 0.9, 1.1)])[-1]
    assert far.reached == 1 and far.ours_less_theirs[0] == pytest.approx(0.7 - 0.9)


def test_table_and_plot_name_every_method():
    table, plot = as_markdown(summarise(ROWS), "about"), draw_pareto(summarise(ROWS))
    assert table.index(f"**{OURS}** | 4") < table.index("**peer** | 2")
    assert "-0.30 (-0.30 to -0.30)" in table
    assert plot.startswith("<?xml") and "peer" in plot


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 255, (72, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def finish():
    settings = method_settings("standard", {"detail": 1.0, "label_detail": 1.0})
    return Finish(tiny_latent_model(), settings, None)


def test_a_peer_that_changes_nothing_gets_the_source_s_detail_back(photo, finish):
    """The autoencoder loses fine structure; DDIB was compared without it, and ours with it."""
    size = finish.model.working_size(128, 72)
    with torch.no_grad():
        small = finish.model.decode(finish.model.encode_photos([photo], size))[0].float()
    lossy = ((small + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).numpy()
    lossy = np.asarray(Image.fromarray(lossy.astype(np.uint8)).resize((128, 72)))
    finished, raw = finish.generated(photo, lossy, "night", [])

    def error(image):
        return np.abs(image.astype(float) - photo).mean()

    assert error(finished) < error(raw) / 2
    assert finished.shape == raw.shape == photo.shape


def test_labels_hold_a_peer_s_signals_too(finish):
    day = np.full((60, 40, 3), 60, np.uint8)
    day[10:22, 14:26] = (250, 40, 30)
    light = SceneObject("1", "box", "traffic light", (10.0, 6.0, 30.0, 54.0), signal="red")
    dark = (day * 0.2).astype(np.uint8)
    held = finish.photometric(day, dark, "night", [light])
    assert held[16, 20, 0] > dark[16, 20, 0] + 50
    assert np.array_equal(finish.photometric(day, dark, "night", []), dark)


def test_both_ends_of_the_scales_are_rows_and_nobody_touches_them(photo):
    street = HeldOutStreet(0, {"day": photo, "night": 255 - photo}, [], [])
    given = Given(None, SimpleNamespace(name="night"), None, street, None)
    assert np.array_equal(METHODS["identity"][0](given, 1.0).image, photo)
    assert np.array_equal(METHODS[TRUTH][0](given, 1.0).image, 255 - photo)
    assert set(ENDS) <= METHODS.keys()


def test_too_much_is_outside_of_an_aim_as_too_little_is():
    rows = [row("a", 1.0, i, 0.5, structure) for i, structure in enumerate((0.8, 1.0, 1.85, 1.2))]
    assert summarise(rows)[0].within == 0.5
    assert "structure and strength within their aims" in as_markdown(summarise(ROWS), "about")


def test_every_peer_is_entered_at_every_value_of_its_knob():
    assert len(same_street.peers()) == sum(len(values) for _, values in KNOBS.values()) == 18
    assert "ddib,guidance=3" in same_street.peers()
    assert len(NULL_TEXT_GUIDANCE) > 1
