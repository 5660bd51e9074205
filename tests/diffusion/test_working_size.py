"""Working sizes: the examples of docs/method.md#working-size and what must hold for any photo."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2st_aug.diffusion.model import working_size

MINI, SD512, SD768 = ((256, 192), 16), ((512, 512), 64), ((768, 768), 64)


@pytest.mark.parametrize(("model", "size"), [(MINI, (288, 160)), (SD512, (704, 384)), (SD768, (1024, 576))])
def test_the_sizes_of_1280x720(model, size):
    assert working_size(1280, 720, *model) == size


@pytest.mark.parametrize(
    ("photo", "size"),
    [((256, 192), (256, 192)), ((480, 360), (256, 192)), ((720, 1280), (160, 288)), ((64, 64), (224, 224))],
)
def test_other_shapes_of_the_small_model(photo, size):
    assert working_size(*photo, *MINI) == size


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_any_photo_gets_a_size_within_the_area(width, height):
    w, h = working_size(width, height, *MINI)
    assert w % 16 == h % 16 == 0
    assert abs(w * h - 256 * 192) <= 0.12 * 256 * 192
