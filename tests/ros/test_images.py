"""Pictures go to ROS and back unchanged, and no garbage raises anything but ImageError."""

from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipt_ros.errors import ErrorCode
from ipt_ros.images import (
    COLOUR_ENCODINGS,
    DEPTH_ENCODINGS,
    ImageError,
    compressed_to_rgb,
    depth_to_image,
    depth_to_metres,
    image_to_rgb,
    rgb_to_image,
)

pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed")
from std_msgs.msg import Header

pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def message(data, encoding, width, height, step, big=0):
    return SimpleNamespace(
        data=data, encoding=encoding, width=width, height=height, step=step, is_bigendian=big
    )


def with_padding(pixels, padding):
    height = pixels.shape[0]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=7)


@given(pictures)
def test_rgb_makes_the_round_trip(rgb):
    image = rgb_to_image(rgb, Header(frame_id="eye"))
    assert (image.encoding, image.step, image.header.frame_id) == ("rgb8", 3 * rgb.shape[1], "eye")
    np.testing.assert_array_equal(image_to_rgb(image), rgb)


@given(pictures, st.sampled_from(["rgb8", "bgr8", "rgba8", "bgra8"]), st.integers(0, 5))
def test_every_order_of_channels_and_any_row_padding_is_read(rgb, encoding, padding):
    order = [("rgba".index(c)) for c in encoding[:-1]]
    rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 9)], axis=2)
    rows = with_padding(rgba[..., order], padding)
    got = image_to_rgb(
        message(rows.tobytes(), encoding, rgb.shape[1], rgb.shape[0], rows.shape[1])
    )
    np.testing.assert_array_equal(got, rgb)


def test_rgb_is_not_copied_and_cannot_be_written():
    image = rgb_to_image(np.zeros((4, 5, 3), np.uint8), Header())
    view = image_to_rgb(image)
    assert np.shares_memory(view, np.frombuffer(image.data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0, 0] = 1


def test_grey_bayer_yuv_and_sixteen_bits_give_the_colours_they_mean():
    def read(pixels, encoding, big=0):
        height, width = pixels.shape[:2]
        step = pixels.nbytes // height
        return image_to_rgb(message(pixels.tobytes(), encoding, width, height, step, big))

    assert (read(np.full((4, 6), 90, np.uint8), "mono8") == 90).all()
    assert (read(np.full((4, 6), 90 * 257, np.uint16), "mono16") == 90).all()
    assert (read(np.full((4, 6), 90 * 257, ">u2"), "mono16", big=1) == 90).all()
    wide = np.full((4, 6, 3), (257 * 200, 257 * 100, 0), np.uint16)
    assert (read(wide, "rgb16") == (200, 100, 0)).all()
    assert (read(wide, "bgr16") == (0, 100, 200)).all()
    # one colour over all: every sensor pixel shows its own filter's share of it
    red, green, blue = 200, 100, 50
    for order, shares in {
        "rggb": (red, green, green, blue),
        "bggr": (blue, green, green, red),
        "gbrg": (green, blue, red, green),
        "grbg": (green, red, blue, green),
    }.items():
        mosaic = np.tile(np.array(shares, np.uint8).reshape(2, 2), (4, 4))
        got = read(mosaic, f"bayer_{order}8")
        assert (got[2:-2, 2:-2] == (red, green, blue)).all(), order
    grey = np.tile(np.array([128, 90], np.uint8), (4, 6, 1))
    assert np.ptp(read(grey, "uyvy")) == 0 and abs(int(read(grey, "uyvy")[0, 0, 0]) - 86) < 2
    np.testing.assert_array_equal(read(grey[..., ::-1].copy(), "yuyv"), read(grey, "uyvy"))


def test_compressed_pictures_are_read():
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, 15:] = (220, 30, 10)
    png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()
    got = compressed_to_rgb(SimpleNamespace(data=array("B", png), format="png"))
    np.testing.assert_array_equal(got, rgb)
    lossy = compressed_to_rgb(SimpleNamespace(data=array("B", jpeg), format="jpeg"))
    assert np.abs(lossy[:, 20:].astype(int) - rgb[:, 20:]).max() < 12


@given(st.binary(max_size=200))
def test_garbage_is_no_compressed_picture(data):
    with pytest.raises(ImageError, match="is no JPEG or PNG") as error:
        compressed_to_rgb(SimpleNamespace(data=data, format="jpeg"))
    assert error.value.code == ErrorCode.BAD_IMAGE


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 65.0, width=32)))
def test_both_depth_encodings_make_the_round_trip(depth):
    metres = depth_to_metres(depth_to_image(depth, Header()))
    np.testing.assert_array_equal(metres, depth)
    coarse = depth_to_metres(depth_to_image(depth, Header(), "16UC1"))
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse, depth, atol=0.00051)


def test_no_return_is_zero_whatever_the_driver_writes():
    odd = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0]], np.float32)
    np.testing.assert_array_equal(
        depth_to_metres(message(odd.tobytes(), "32FC1", 6, 1, 24)), [[0, 0, 0, 0, 0, 2]]
    )
    image = depth_to_image(np.append(odd, [[70.0]], axis=1), Header(), "16UC1")
    np.testing.assert_array_equal(depth_to_metres(image), [[0, 0, 0, 0, 0, 2, 0]])


@pytest.mark.parametrize(
    ("encoding", "dtype", "value"), [("32FC1", "f4", 1.5), ("16UC1", "u2", 1500)]
)
@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_of_either_byte_order_and_padding(encoding, dtype, value, big, padding):
    pixels = np.full((3, 5), value, np.dtype(dtype).newbyteorder(">" if big else "<"))
    rows = with_padding(pixels, padding)
    got = depth_to_metres(message(rows.tobytes(), encoding, 5, 3, rows.shape[1], big))
    np.testing.assert_allclose(got, 1.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "rgb9"}, "encoding 'rgb9' is unknown; expected one of"),
        ({"encoding": ""}, "encoding '' is unknown"),
        ({"width": 0, "step": 0}, "the size is zero"),
        ({"height": 0}, "the size is zero"),
        ({"step": 11}, "step is 11, but a row has 12 bytes"),
        ({"data": bytes(35)}, "3 rows of 12 bytes were declared, 35 bytes came"),
        ({"data": bytes(37)}, "37 bytes came"),
        ({"data": b""}, "0 bytes came"),
        ({"width": 2**31, "step": 2**32 - 1, "height": 2**32 - 1}, "more than"),
    ],
)
def test_a_bad_image_says_what_is_wrong_with_it(change, words):
    fields = {"data": bytes(36), "encoding": "rgb8", "width": 4, "height": 3, "step": 12}
    with pytest.raises(ImageError, match=words) as error:
        image_to_rgb(message(**(fields | change)))
    assert error.value.code == ErrorCode.BAD_IMAGE
    depth = fields | {"encoding": "32FC1", "width": 3} | change
    with pytest.raises(ImageError) as error:
        depth_to_metres(message(**depth))
    assert error.value.code == ErrorCode.BAD_DEPTH


@settings(max_examples=400, deadline=None)
@given(
    data=st.binary(max_size=300),
    encoding=st.one_of(st.sampled_from(COLOUR_ENCODINGS + DEPTH_ENCODINGS), st.text(max_size=8)),
    width=st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1)),
    height=st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1)),
    big=st.integers(0, 255),
    fill=st.booleans(),
)
def test_garbage_never_raises_anything_but_image_error(
    data, encoding, width, height, step, big, fill
):
    if fill and height * step < 10_000:  # sizes that agree reach the decoders
        data = (data or b"x") * (height * step // len(data or b"x") + 1)
        data = data[: height * step]
    for convert in (image_to_rgb, depth_to_metres):
        try:
            got = convert(message(data, encoding, width, height, step, big))
        except ImageError as error:
            assert error.text
        else:
            assert got.shape[:2] == (height, width) and got.dtype in (np.uint8, np.float32)
            assert np.isfinite(got).all()


def test_what_is_no_picture_is_not_published():
    for bad in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.float32)):
        with pytest.raises(ImageError, match="uint8 RGB"):
            rgb_to_image(bad, Header())
    with pytest.raises(ImageError, match="32FC1 or 16UC1"):
        depth_to_image(np.zeros((2, 2)), Header(), "mono8")
    assert rgb_to_image(np.zeros((0, 0, 3), np.uint8), Header()).height == 0
