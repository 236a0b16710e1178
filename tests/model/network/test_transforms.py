"""The size rules and resampling against the reference's own numbers, and odd pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ipt_model.network.transforms import (
    ImageSizes,
    SizeRule,
    fit_size,
    resize,
)
from ipt_model.question import QuestionError

FIXTURES = Path(__file__).parents[2] / "data" / "bagel_tiny"
TINY = ImageSizes(vae=SizeRule(64, 16, 16), vit=SizeRule(64, 8, 8))


def test_sizes_are_those_of_the_reference() -> None:
    golden = json.loads((FIXTURES / "cases.json").read_text())["resize_sizes"]
    for row in golden["rows"]:
        width, height, *expected = row
        vae = fit_size(width, height, **golden["vae_transform"])
        vit = fit_size(width, height, **golden["vit_transform"])
        assert [*vae, *vit] == expected, f"{width} x {height}"
        assert (ImageSizes().vae.fit(width, height), ImageSizes().vit.fit(width, height)) == (
            vae,
            vit,
        )


@pytest.mark.parametrize("case", ["turn.turn", "turn.turn_think"])
def test_resampling_is_byte_identical_to_the_reference(case: str) -> None:
    tensors = load_file(FIXTURES / "cases.safetensors")
    expected = tensors[f"{case}.vit_pixels"]
    height, width = expected.shape[:2]
    np.testing.assert_array_equal(resize(tensors[f"{case}.image_u8"], width, height), expected)


@given(st.integers(1, 6000), st.integers(1, 6000), st.sampled_from([ImageSizes(), TINY]))
def test_every_size_fits_the_tables(width: int, height: int, sizes: ImageSizes) -> None:
    for rule in (sizes.vae, sizes.vit):
        w, h = rule.fit(width, height)
        assert w % rule.stride == h % rule.stride == 0
        assert rule.stride <= min(w, h) and max(w, h) <= rule.max_size + rule.stride // 2


def test_a_small_model_never_sees_an_enlarged_camera_picture() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    assert TINY.vae_picture(image) is image
    assert TINY.vit_picture(image) is image
    assert TINY.vae_picture(np.zeros((480, 640, 3), np.uint8)).shape == (48, 64, 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (10, 5000, 3), (5000, 10, 3)])
@pytest.mark.parametrize("sizes", [ImageSizes(), TINY])
def test_odd_shapes_are_resized(shape: tuple[int, int, int], sizes: ImageSizes) -> None:
    vae = sizes.vae_picture(np.full(shape, 7, np.uint8))
    vit = sizes.vit_picture(vae)
    assert (vae == 7).all() and (vit == 7).all()
    assert vae.shape[0] % 16 == 0 and vit.shape[1] % sizes.vit.stride == 0


def test_a_gray_picture_is_refused() -> None:
    with pytest.raises(QuestionError, match=r"H x W x 3 uint8 RGB.*\(64, 64\)"):
        TINY.vae_picture(np.zeros((64, 64), np.uint8))


def test_settings_survive_json_and_wrong_ones_are_refused() -> None:
    assert ImageSizes.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    assert ImageSizes.from_dict({"vit": {"max_size": 518}}).vit == SizeRule(518, 224, 14)
    with pytest.raises(ValueError, match="stride <= min_size"):
        SizeRule(64, 8, 16)
    with pytest.raises(ValueError, match="at least 1 x 1"):
        TINY.vae.fit(0, 4)
