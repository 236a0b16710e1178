"""Pictures go to ROS and back unchanged, and no garbage raises anything but ImageError."""

import struct
from array import array
from types import SimpleNamespace
from zlib import compress, crc32

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipt_model.messages.picture_header import picture_size
from ipt_model.messages.pictures import COLOUR_ENCODINGS
from ipt_ros.errors import ErrorCode
from ipt_ros.senses.images import (
    ImageError,
    compressed_to_rgb,
    depth_to_image,
    depth_to_metres,
    image_to_mask,
    image_to_rgb,
    mask_to_image,
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


def png_of(width, height, *chunks):
    """A grey picture of one bit a pixel: many pixels, few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    rows = compress(bytes(-(-width // 8) + 1) * height)
    header = chunk(b"IHDR", struct.pack(">II5B", width, height, 1, 0, 0, 0, 0))
    body = b"".join(chunk(*c) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_of(width, height):
    """A small JPEG whose header claims another size."""
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def with_segment(jpeg, marker, payload):
    """As with EXIF and its thumbnail: something in front of the frame."""
    return jpeg[:2] + b"\xff" + marker + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def refused(data, words, format="jpeg"):
    with pytest.raises(ImageError, match=words) as error:
        compressed_to_rgb(SimpleNamespace(data=array("B", data), format=format))
    assert error.value.code == ErrorCode.BAD_IMAGE and len(error.value.text) < 300


@pytest.fixture
def undecoded(monkeypatch):
    def decode(*_):
        raise AssertionError("a picture was decoded that should have been refused before")

    monkeypatch.setattr(cv2, "imdecode", decode)


def test_a_picture_bomb_is_refused_by_its_header(undecoded):
    bomb = png_of(12_000, 12_000)
    assert len(bomb) < 30_000
    refused(bomb, "is 12000 x 12000 by its header: more than 32000000 pixels")
    refused(png_of(2**31 - 1, 3), "is 2147483647 x 3 by its header")
    refused(jpeg_of(65_000, 65_000), "is 65000 x 65000 by its header")
    hidden = with_segment(jpeg_of(65_000, 65_000), b"\xe1", b"Exif" + jpeg_of(16, 16))
    refused(hidden, "is 65000 x 65000")
    refused(jpeg_of(65_000, 65_000).replace(b"\xff\xc0", b"rubbish\xff\xff\xc0"), "65000 x")
    progressive = jpeg_of(4000, 4000).replace(b"\xff\xc0", b"\xff\xc2")
    scan = progressive[progressive.index(b"\xff\xda") : -2]
    refused(progressive[:-2] + 100 * scan, "JPEG of 101 scans; expected at most 64")


def test_what_cannot_be_measured_is_not_decoded(undecoded):
    rgb = np.zeros((8, 8, 3), np.uint8)
    for suffix, name in ((".webp", "WebP"), (".tiff", "TIFF"), (".bmp", "BMP"), (".ppm", "")):
        data = cv2.imencode(suffix, rgb)[1].tobytes()
        refused(data, f"is no JPEG or PNG but {name}" if name else "is no JPEG or PNG$")
    refused(png_of(8, 8, (b"acTL", bytes(8))), "animated PNG")
    refused(png_of(8, 8).replace(b"IHDR", b"IHDX"), "PNG without a header")
    refused(png_of(8, 8)[:20], "PNG without a header")
    refused(png_of(0, 8), "is 0 x 8 by its header: the size is zero")
    refused(jpeg_of(8, 0), "is 8 x 0 by its header")
    jpeg = jpeg_of(8, 8)
    refused(jpeg[: jpeg.index(b"\xff\xc0") + 4], "ends before its size")
    refused(jpeg.replace(b"\xff\xc0", b"\xff\xc3"), "of a kind that is not read .marker FFC3")
    refused(jpeg[:2] + b"\xff\xe1\0\1" + jpeg[2:], "damaged header .marker FFE1")
    refused(jpeg[:2] + jpeg[jpeg.index(b"\xff\xda") :], "without a size before its first scan")
    refused(b"GIF89a" + bytes(20), "but GIF", format="x" * 500_000)


def test_whatever_is_measured_is_the_size_that_is_decoded():
    rng = np.random.default_rng(3)
    for suffix, flags in (
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        (".png", []),
    ):
        for shape in ((7, 33), (33, 7), (64, 48, 3), (5, 9, 4)):
            if len(shape) == 3 and shape[2] == 4 and suffix == ".jpg":
                continue
            pixels = rng.integers(0, 256, shape, np.uint8)
            data = cv2.imencode(suffix, pixels, flags)[1].tobytes()
            assert picture_size(data) == shape[:2]
            got = compressed_to_rgb(SimpleNamespace(data=array("B", data), format=""))
            assert got.shape == (*shape[:2], 3)
    turned = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    wide = cv2.imencode(".jpg", np.zeros((16, 32, 3), np.uint8))[1].tobytes()
    wide = with_segment(wide, b"\xe1", turned)
    got = compressed_to_rgb(SimpleNamespace(data=array("B", wide), format="jpeg"))
    assert got.shape == (16, 32, 3), "as the sensor lies: the calibration is for that"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_to_a_picture_is_refused_or_of_the_size_that_was_measured(data):
    whole = data.draw(st.sampled_from([png_of(40, 30), jpeg_of(16, 16)]))
    damaged = bytearray(whole[: data.draw(st.integers(2, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        got = compressed_to_rgb(SimpleNamespace(data=array("B", damaged), format="jpeg"))
    except ImageError as error:
        assert error.code == ErrorCode.BAD_IMAGE
    else:
        assert got.shape == (*picture_size(bytes(damaged)), 3)


@given(st.binary(max_size=200))
def test_garbage_is_no_compressed_picture(data):
    with pytest.raises(ImageError, match=r"is (no|a) (JPEG|PNG)") as error:
        compressed_to_rgb(SimpleNamespace(data=data, format="jpeg"))
    assert error.value.code == ErrorCode.BAD_IMAGE


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 65.0, width=32)))
def test_both_depth_encodings_make_the_round_trip(depth):
    metres = depth_to_metres(depth_to_image(depth, Header()))
    np.testing.assert_array_equal(metres, depth)
    coarse = depth_to_metres(depth_to_image(depth, Header(), "16UC1"))
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse, depth, atol=0.00051)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_masks_make_the_round_trip(mask):
    message = mask_to_image(mask, Header())
    assert message.encoding == "mono8" and (image_to_mask(message) == mask).all()


def test_a_mask_is_mono8_and_bool():
    with pytest.raises(ImageError, match="expected mono8"):
        image_to_mask(rgb_to_image(np.zeros((2, 2, 3), np.uint8), Header()))
    with pytest.raises(ImageError, match="bool"):
        mask_to_image(np.zeros((2, 2), np.uint8), Header())


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
    encoding=st.one_of(
        st.sampled_from((*COLOUR_ENCODINGS, "32FC1", "16UC1", "mono16")), st.text(max_size=8)
    ),
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
