"""From a camera picture to the two sizes the model looks at, and from 8 bits to model input.

A picture is resized for the VAE first and that result again for the ViT, both keeping the aspect
ratio as nearly as whole patches allow. Resampling is Pillow's antialiased bicubic, the reference's
own: the parity pictures come out byte for byte, where torch's 8-bit antialiased bicubic is off by
up to 2 levels and OpenCV's (no antialias) by up to 48. Knows nothing of tokens or models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..question import check_image


def fit_size(
    width: int, height: int, *, max_size: int, min_size: int, stride: int, max_pixels: int
) -> tuple[int, int]:
    """The width and height, multiples of `stride`, that a picture of this size is resized to.

    The long side shrinks to `max_size`, the short side grows to `min_size` (which wins). When that
    breaks `max_pixels` or `max_size`, the result is scaled once more by the plain ratio of areas
    or of sides: the released model was trained with exactly this rule, including that the area
    ratio is not a root.
    """
    if width < 1 or height < 1:
        raise ValueError(f"expected a picture of at least 1 x 1, got {width} x {height}")

    def scaled(w: int, h: int, scale: float) -> tuple[int, int]:
        return snap(round(w * scale)), snap(round(h * scale))

    def snap(side: int) -> int:
        return max(stride, round(side / stride) * stride)

    scale = max(min(max_size / max(width, height), 1.0), min_size / min(width, height))
    w, h = scaled(width, height, scale)
    if w * h > max_pixels:
        w, h = scaled(w, h, max_pixels / (w * h))
    if max(w, h) > max_size:
        w, h = scaled(w, h, max_size / max(w, h))
    return w, h


@dataclass(frozen=True)
class SizeRule:
    """Limits on the sides of a resized picture, in pixels; `stride` is the side of one token."""

    max_size: int
    min_size: int
    stride: int
    max_pixels: int = 14 * 14 * 9 * 1024

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.min_size <= self.max_size:
            raise ValueError(f"expected 0 < stride <= min_size <= max_size, got {self}")

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Width and height for a picture of this width and height."""
        return fit_size(
            width,
            height,
            max_size=self.max_size,
            min_size=self.min_size,
            stride=self.stride,
            max_pixels=self.max_pixels,
        )


@dataclass(frozen=True)
class ImageSizes:
    """The two size rules of a checkpoint; the defaults are those of the released 7B model."""

    vae: SizeRule = SizeRule(max_size=1024, min_size=512, stride=16)
    vit: SizeRule = SizeRule(max_size=980, min_size=224, stride=14)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ImageSizes:
        """Read what `to_dict` wrote; a missing part keeps the default."""
        default = ImageSizes()
        return ImageSizes(
            vae=SizeRule(**{**asdict(default.vae), **data.get("vae", {})}),
            vit=SizeRule(**{**asdict(default.vit), **data.get("vit", {})}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)

    def vae_picture(self, image: np.ndarray) -> np.ndarray:
        """The picture as the VAE sees it, H x W x 3 uint8."""
        check_image(image, "image")
        return resize(image, *self.vae.fit(image.shape[1], image.shape[0]))

    def vit_picture(self, vae_picture: np.ndarray) -> np.ndarray:
        """The picture as the ViT sees it, H x W x 3 uint8, from what `vae_picture` returned."""
        check_image(vae_picture, "vae_picture")
        return resize(vae_picture, *self.vit.fit(vae_picture.shape[1], vae_picture.shape[0]))


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Antialiased bicubic in 8 bits; the very same array when the size already fits."""
    if (image.shape[1], image.shape[0]) == (width, height):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
